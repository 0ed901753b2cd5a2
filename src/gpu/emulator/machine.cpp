#include "machine.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fiber.hpp"
#include "warp.hpp"

namespace tdrm::gpu::emulator {
namespace {

constexpr std::size_t kPoison = 0xff;  // NaN in every format
constexpr std::size_t kAlign = 128;

struct Copy {
    void* to;
    const void* from;
};

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct Thread {
    explicit Thread(std::size_t number);
    Fiber fiber;
    Dim3 index;
    int warp = 0, lane = 0;
    State state = State::ready;
    long waits_for = 0;                     ///< the round of its barrier that has to end
    std::vector<std::vector<Copy>> groups;  ///< of copies under way; the last is open
};

/// A barrier of a warp or a block. Two sync objects alternate: with one, late wakers would inherit the order of a later
/// round, and races would hide.
struct Barrier {
    int members = 0, arrived = 0;
    long round = 0;
    long sync[2]{};
};

struct Machine {
    Schedule schedule;
    Fiber main;
    std::deque<Thread> threads;  // stay where they are
    std::vector<Barrier> warp_barriers;
    std::vector<Warp> warps;
    Barrier block_barrier;
    std::vector<int> order;
    std::function<void()> body;
    Dim3 grid, block, index;
    int size = 0, alive = 0;
    std::vector<char> memory;
    char* shared = nullptr;
    Thread* current = nullptr;
    std::string failure;
    long start = 0, end = 0;  ///< addresses for TSan's order between a grid and what is around it
};
Machine machine;

void run(Thread& next) {
    Thread& before = *machine.current;
    if (&next == &before) return;
    machine.current = &next;
    before.fiber.switch_to(next.fiber);
}

std::string where() {
    std::ostringstream text;
    const auto write = [&](const char* what, const Dim3& d) {
        text << what << " (" << d.x << ", " << d.y << ", " << d.z << ")";
    };
    write(" in block", machine.index);
    write(", thread", machine.current->index);
    return text.str();
}

/// Ends the grid: `run_grid` throws.
void fail(const std::string& what) {
    machine.failure = what + where();
    machine.current->fiber.switch_to(machine.main);
}

Barrier& barrier_of(const Thread& thread) {
    return thread.state == State::at_warp_barrier ? machine.warp_barriers[static_cast<std::size_t>(thread.warp)]
                                                  : machine.block_barrier;
}

bool ready(const Thread& thread) {
    if (thread.state == State::done) return false;
    return thread.state == State::ready || barrier_of(thread).round > thread.waits_for;
}

/// The next thread that can go on: of the own warp first, so that a warp stays together.
Thread* next_ready() {
    const Thread& me = *machine.current;
    const int first = me.warp * kWarp, size = std::min(kWarp, machine.size - first);
    for (int i = 1; i < size; ++i) {
        Thread& other = machine.threads[static_cast<std::size_t>(first + (me.lane + i) % size)];
        if (ready(other)) return &other;
    }
    for (const int t : machine.order) {
        Thread& other = machine.threads[static_cast<std::size_t>(t)];
        if (&other != &me && ready(other)) return &other;
    }
    return nullptr;
}

void end_round(Barrier& barrier) {
    barrier.arrived = 0;
    ++barrier.round;
}

void wait_at(Barrier& barrier, State state) {
    Thread& me = *machine.current;
    void* const sync = &barrier.sync[barrier.round & 1];
    release(sync);
    me.state = state;
    me.waits_for = barrier.round;
    if (++barrier.arrived == barrier.members) end_round(barrier);
    while (!ready(me)) {
        Thread* next = next_ready();
        if (next == nullptr) return fail("threads wait at different barriers");
        run(*next);
    }
    me.state = State::ready;
    acquire(sync);
}

/// A thread's end: barriers of those that stay don't wait for it.
void leave() {
    Thread& me = *machine.current;
    me.state = State::done;
    --machine.alive;
    Barrier& block = machine.block_barrier;
    Barrier& warp = machine.warp_barriers[static_cast<std::size_t>(me.warp)];
    --block.members;
    --warp.members;
    if (warp.members > 0 && warp.arrived > 0) return fail("a lane left while its warp waits for it");
    if (block.members > 0 && block.arrived == block.members) end_round(block);
    Thread* next = next_ready();
    if (next == nullptr && machine.alive > 0) return fail("threads wait at different barriers");
    if (next == nullptr) return me.fiber.switch_to(machine.main);
    run(*next);
}

void thread_main() {
    Fiber::arrived();
    for (;;) {
        acquire(&machine.start);
        machine.body();
        release(&machine.end);
        leave();
    }
}

Thread::Thread(std::size_t number) : fiber(thread_main, number * 5) {}

void make_copy(const Copy& copy) {
    note_write(copy.to, 16);
    if (copy.from == nullptr) {
        std::memset(copy.to, 0, 16);
        return;
    }
    note_read(copy.from, 16);
    std::memcpy(copy.to, copy.from, 16);
}

void start_block(std::minstd_rand& random) {
    const Dim3& size = machine.block;
    machine.alive = machine.size;
    std::iota(machine.order.begin(), machine.order.end(), 0);
    if (machine.schedule.seed != 0) std::shuffle(machine.order.begin(), machine.order.end(), random);
    machine.block_barrier = {machine.size, 0, 0, {}};
    for (auto& barrier : machine.warp_barriers) barrier = {};
    for (auto& warp : machine.warps) warp = {};
    for (int i = 0; i < machine.size; ++i) {
        Thread& thread = machine.threads[static_cast<std::size_t>(i)];
        const auto t = static_cast<unsigned>(i);
        thread.state = State::ready;
        thread.warp = i / kWarp;
        thread.lane = i % kWarp;
        thread.index = {t % size.x, t / size.x % size.y, t / (size.x * size.y)};
        thread.groups.assign(1, {});
        ++machine.warp_barriers[static_cast<std::size_t>(thread.warp)].members;
    }
    std::fill(machine.memory.begin(), machine.memory.end(), static_cast<char>(kPoison));
}

void run_block() {
    release(&machine.start);
    machine.current = &machine.threads[static_cast<std::size_t>(machine.order[0])];
    machine.main.switch_to(machine.current->fiber);
    acquire(&machine.end);
    if (machine.failure.empty()) return;
    for (Thread& thread : machine.threads) thread.fiber.restart();
    throw KernelError(std::exchange(machine.failure, {}));
}

}  // namespace

void set_schedule(const Schedule& schedule) { machine.schedule = schedule; }

void run_grid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
    constexpr unsigned kMostBlocks = 65535;        // of y and z
    constexpr std::size_t kMostShared = 99 << 10;  // of the smallest devices
    if (grid.y > kMostBlocks || grid.z > kMostBlocks || shared_bytes > kMostShared)
        throw KernelError("a kernel is started with more blocks or shared memory than devices have");
    machine.grid = grid;
    machine.block = block;
    machine.body = body;
    machine.size = static_cast<int>(block.x * block.y * block.z);
    const auto size = static_cast<std::size_t>(machine.size), warps = (size + kWarp - 1) / kWarp;
    while (machine.threads.size() < size) machine.threads.emplace_back(machine.threads.size());
    machine.warp_barriers.resize(warps);
    machine.warps.resize(warps);
    machine.order.resize(size);
    machine.memory.assign(shared_bytes + kAlign, 0);
    void* shared = machine.memory.data();
    std::size_t space = machine.memory.size();
    machine.shared = static_cast<char*>(std::align(kAlign, shared_bytes, shared, space));
    std::minstd_rand random(machine.schedule.seed);
    // Blocks from somewhere on, forwards or backwards.
    const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z, first = random() % blocks;
    for (std::size_t i = 0; i < blocks; ++i) {
        const std::size_t b = (first + (machine.schedule.seed % 4 < 2 ? i : blocks - i)) % blocks;
        machine.index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                         static_cast<unsigned>(b / grid.x / grid.y)};
        start_block(random);
        run_block();
    }
}

void check_aligned(const void* address) {
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) fail("16 bytes are moved from an address between them");
}

const Dim3& thread_index() { return machine.current->index; }
const Dim3& block_index() { return machine.index; }
const Dim3& block_size() { return machine.block; }
const Dim3& grid_size() { return machine.grid; }
int lane() { return machine.current->lane; }
void* shared_memory() { return machine.shared; }

void block_barrier() { wait_at(machine.block_barrier, State::at_block_barrier); }

void warp_barrier() { collective(Collective::barrier, nullptr, 0, nullptr, 0); }

void collective(Collective kind, const std::uint32_t* in, int words, std::uint32_t* out, int results) {
    Thread& me = *machine.current;
    const auto w = static_cast<std::size_t>(me.warp);
    Warp& warp = machine.warps[w];
    Barrier& barrier = machine.warp_barriers[w];
    Round& round = warp.rounds[barrier.round & 1];
    if (barrier.arrived == 0) round.kind = kind;
    if (round.kind != kind) return fail("lanes of a warp take different paths to a collective");
    std::copy_n(in, words, round.in[me.lane]);
    if (barrier.arrived + 1 == barrier.members) {
        if (const char* problem = compute(round)) return fail(problem);
    }
    wait_at(barrier, State::at_warp_barrier);
    std::copy_n(round.out[me.lane], results, out);
}

void copy_async(void* to, const void* from) {
    if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
        return fail("an asynchronous copy isn't aligned to 16 bytes");
    const Copy copy{to, from};
    if (machine.schedule.early_copies) {
        make_copy(copy);
    } else {
        machine.current->groups.back().push_back(copy);
    }
}

void copy_commit() { machine.current->groups.emplace_back(); }

void copy_wait(int pending) {
    auto& groups = machine.current->groups;
    while (std::ssize(groups) > pending + 1) {
        for (const Copy& copy : groups.front()) make_copy(copy);
        groups.erase(groups.begin());
    }
}

}  // namespace tdrm::gpu::emulator
