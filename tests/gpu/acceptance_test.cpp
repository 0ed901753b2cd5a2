// What a GPU is accepted by leaves no operation out.
#include <gtest/gtest.h>

#include <set>

#include "../../src/gpu/acceptance/kernels.hpp"
#include "../engine/forwarding_device.hpp"

namespace tdrm::gpu {
namespace {

/// Which operations it was asked for.
class RecordingDevice final : public engine::ForwardingDevice {
public:
    void run(const Operation& operation) override {
        asked.insert(operation.index());
        ForwardingDevice::run(operation);
    }
    std::set<std::size_t> asked;
};

TEST(Acceptance, RunsEveryOperation) {
    RecordingDevice device;
    for (const KernelCase& kernel : kernel_cases(true)) {
        Arrays arrays(device, 7);
        for (const double number : kernel.run(arrays)) ASSERT_FALSE(std::isnan(number)) << kernel.name;
    }
    for (std::size_t i = 0; i < std::variant_size_v<Operation>; ++i)
        EXPECT_TRUE(device.asked.contains(i)) << "operation " << i << " of gpu::Operation";
}

}  // namespace
}  // namespace tdrm::gpu
