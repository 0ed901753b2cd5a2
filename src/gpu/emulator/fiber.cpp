#include "fiber.hpp"

#include <cstdint>

#if !defined(__x86_64__)
#error "the emulator of devices switches stacks of x86-64 only"
#endif

// Under sanitizers this file itself isn't instrumented (tests/gpu/sanitized.sh): what it does to memory is the
// machine's doing, not a kernel's.
#ifdef TDRM_EMULATOR_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}
#endif
#ifdef TDRM_EMULATOR_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void** fake, const void* bottom, std::size_t bytes);
void __sanitizer_finish_switch_fiber(void* fake, const void** bottom, std::size_t* bytes);
}
#endif

// Saves what a call must preserve on the stack that runs, and goes on with another.
extern "C" void tdrm_emulator_switch(void** from, void* to);
asm(R"(
.text
.globl tdrm_emulator_switch
.type tdrm_emulator_switch,@function
tdrm_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tdrm_emulator_switch,.-tdrm_emulator_switch
)");

namespace tdrm::gpu::emulator {
namespace {

constexpr std::size_t kLine = 64, kLines = 128, kSavedRegisters = 6;

/// The fiber that a first switch came from, whose stack ASan asks for.
[[maybe_unused]] Fiber* caller = nullptr;

}  // namespace

Fiber::Fiber() {  // NOLINT(modernize-use-equals-default): not under ThreadSanitizer
#ifdef TDRM_EMULATOR_TSAN
    tsan_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)(), std::size_t stagger)
    : entry_(entry), stagger_(stagger % kLines), stack_(new char[kStackBytes + kLine * (kLines + 1)]) {
    bottom_ = stack_.get();
    bytes_ = kStackBytes + kLine * (kLines + 1);
    restart();
#ifdef TDRM_EMULATOR_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {  // NOLINT(modernize-use-equals-default): as above
#ifdef TDRM_EMULATOR_TSAN
    if (stack_) __tsan_destroy_fiber(tsan_);
#endif
}

void Fiber::restart() {
    const auto end = reinterpret_cast<std::uintptr_t>(stack_.get()) + kStackBytes + kLine * stagger_;
    auto** top = reinterpret_cast<void**>(end / kLine * kLine);
    *--top = nullptr;  // where `entry` would return to
    *--top = reinterpret_cast<void*>(entry_);
    for (std::size_t i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
    top_ = top;
}

void Fiber::switch_to(Fiber& to) {
#ifdef TDRM_EMULATOR_TSAN
    if (!stack_) tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan_, 1);  // 1: no order between the two but what is said
#endif
#ifdef TDRM_EMULATOR_ASAN
    void* fake = nullptr;
    caller = this;
    __sanitizer_start_switch_fiber(&fake, to.bottom_, to.bytes_);
#endif
    tdrm_emulator_switch(&top_, to.top_);
#ifdef TDRM_EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::arrived() {
#ifdef TDRM_EMULATOR_ASAN
    const void* bottom = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (!caller->stack_) caller->bottom_ = bottom, caller->bytes_ = bytes;
#endif
}

void note_read([[maybe_unused]] const void* from, [[maybe_unused]] std::size_t bytes) {
#ifdef TDRM_EMULATOR_TSAN
    __tsan_read_range(const_cast<void*>(from), bytes);
#endif
}

void note_write([[maybe_unused]] void* to, [[maybe_unused]] std::size_t bytes) {
#ifdef TDRM_EMULATOR_TSAN
    __tsan_write_range(to, bytes);
#endif
}

void acquire([[maybe_unused]] void* sync) {
#ifdef TDRM_EMULATOR_TSAN
    __tsan_acquire(sync);
#endif
}

void release([[maybe_unused]] void* sync) {
#ifdef TDRM_EMULATOR_TSAN
    __tsan_release(sync);
#endif
}

}  // namespace tdrm::gpu::emulator
