// Failures of a device as the program tells them.
#include "../../src/engine/checked_device.hpp"

#include <gtest/gtest.h>

#include <new>

#include "../../src/engine/device_engine.hpp"
#include "../../src/engine/processors.hpp"
#include "../rollout/toy.hpp"
#include "forwarding_device.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

/// A device with so much memory, which fails at its n-th wait.
class FrailDevice final : public ForwardingDevice {
public:
    FrailDevice(std::size_t bytes, int waits) : bytes_(bytes), waits_(waits) {}
    [[nodiscard]] std::string name() const override { return "frail"; }
    [[nodiscard]] void* allocate(std::size_t bytes, const char* what) override {
        if (bytes > bytes_) throw std::bad_alloc();
        bytes_ -= bytes;
        return ForwardingDevice::allocate(bytes, what);
    }
    void wait() override {
        if (--waits_ < 0) throw std::runtime_error("an illegal memory access was encountered");
        ForwardingDevice::wait();
    }

private:
    std::size_t bytes_;
    int waits_;
};

std::string message_of(const auto& work) {
    try {
        work();
    } catch (const Error& error) {
        return cat(static_cast<int>(error.code()), " ", error.what());
    }
    return "";
}

TEST(CheckedDevice, SaysWhatFailedAndWhatToDo) {
    const auto spec = rollout::toy_spec();
    model::Forest forest;
    forest.add(std::vector<std::int32_t>(500, 7));
    DeviceEngine small(spec, std::make_unique<FrailDevice>(200'000, 100));
    const std::string memory =
        message_of([&] { (void)small.forward(forest, std::vector<std::int32_t>{3}, Keep::activations); });
    EXPECT_NE(memory.find("64 the memory of frail is used up"), std::string::npos) << memory;
    EXPECT_NE(memory.find("for activations"), std::string::npos) << memory;
    EXPECT_NE(memory.find("Lower unit_tokens"), std::string::npos) << memory;
    DeviceEngine ill(spec, std::make_unique<FrailDevice>(100'000'000, 1));
    std::vector<float> weight(1);
    ill.read(Array::weights, 0, weight);
    const std::string failure = message_of([&] { ill.read(Array::weights, 0, weight); });
    EXPECT_NE(failure.find("71 the device frail failed: an illegal memory access"), std::string::npos) << failure;
}

TEST(Processors, AreReadFromLinuxsLists) {
    EXPECT_EQ(listed_processors("0-3,8,10-11"), (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
    EXPECT_EQ(listed_processors("5"), (std::vector<int>{5}));
    EXPECT_TRUE(listed_processors("").empty());
    EXPECT_TRUE(listed_processors("none").empty());
}

TEST(CheckedDevice, CountsWhatIsTakenAtTheTime) {
    constexpr std::size_t mib = 1 << 20;
    CheckedDevice device(std::make_unique<FrailDevice>(8 * mib, 100));
    for (int again = 0; again < 3; ++again) device.release(device.allocate(mib, "tests"));
    void* kept = device.allocate(mib, "tests");
    const std::string memory = message_of([&] { (void)device.allocate(8 * mib, "a test"); });
    EXPECT_NE(memory.find("8 MiB more were asked for, for a test, beside 1 MiB (weights"), std::string::npos) << memory;
    device.release(kept);
}

}  // namespace
}  // namespace tdrm::engine
