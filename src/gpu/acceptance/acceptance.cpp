#include "tdrm/gpu/acceptance.hpp"

#include <cmath>

#include "kernels.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/gpu/plugin.hpp"

namespace tdrm::gpu {
namespace {

double distance(const std::vector<double>& a, const std::vector<double>& b) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return std::sqrt(difference / norm);
}

void check_kernels(Report& report, Device& device, Device& reference, bool quick) {
    report.section("kernels: distance to the emulated device, and numbers that differ between three runs");
    for (const KernelCase& kernel : kernel_cases(quick)) {
        const auto run = [&](Device& on) {
            Arrays arrays(on, 7);
            return kernel.run(arrays);
        };
        const auto result = run(device);
        report.at_most(kernel.name, distance(result, run(reference)), kernel.tolerance);
        double others = 0;
        for (int again = 0; again < 2; ++again) {
            const auto other = run(device);
            for (std::size_t i = 0; i < result.size(); ++i) others += other[i] != result[i] ? 1 : 0;
        }
        if (others > 0) report.at_most(kernel.name + ", bits", others, 0);
    }
}

/// The first rows of a product of many rows and of few.
void check_rows(Report& report, Device& device, bool quick) {
    report.section("rows of products: numbers that differ from those among 2048 rows");
    struct Shape {
        const char* name;
        int n, k;
        bool wide;
    };
    for (const Shape& shape : {Shape{"qkv of 0.5B", 1152, 896, false}, Shape{"gate and up of 0.5B", 9728, 896, false},
                               Shape{"down of 0.5B", 896, 4864, false}, Shape{"head of 0.5B", 151936, 896, true},
                               Shape{"qkv of 7B", 4608, 3584, false}, Shape{"down of 7B", 3584, 18944, false}}) {
        const int n = quick ? shape.n / 32 / 8 * 8 : shape.n, k = quick ? shape.k / 32 / 8 * 8 : shape.k;
        const int most = quick ? 70 : 2048;
        Arrays arrays(device, 3);
        const bf16* x = arrays.bf16s(static_cast<std::size_t>(most) * static_cast<std::size_t>(k));
        const bf16* w = arrays.bf16s(static_cast<std::size_t>(n) * static_cast<std::size_t>(k), 0.02F);
        const std::size_t bytes = static_cast<std::size_t>(n) * (shape.wide ? sizeof(float) : sizeof(bf16));
        char* y = arrays.room<char>(bytes * static_cast<std::size_t>(most));
        const auto first_row = [&](int m) {
            device.multiply({Product::nt, m, n, k, x, k, w, k, shape.wide ? nullptr : reinterpret_cast<bf16*>(y),
                             shape.wide ? reinterpret_cast<float*>(y) : nullptr, n, 0});
            return arrays.back(y, bytes);
        };
        const auto among = first_row(most);
        for (const int m : {1, 7, 64, 256}) {
            if (m > most) continue;
            const auto row = first_row(m);
            double others = 0;
            for (std::size_t i = 0; i < bytes; ++i) others += row[i] != among[i] ? 1 : 0;
            report.at_most(std::string(shape.name) + " among " + std::to_string(m), others, 0);
        }
    }
}

/// Numbers that devices of one rank exchange with themselves: whether the library that does it starts and keeps them.
void check_exchange(Report& report, Device& device) {
    report.section("exchange of one rank: numbers that differ");
    const auto peers = device.place().empty() ? nullptr : device.connect(device.new_peers_id(), 0, 1);
    if (peers == nullptr) return report.says("NCCL", "isn't there");
    constexpr std::size_t n = 100'000;
    Arrays arrays(device, 5);
    float* values = arrays.floats(n, 1);
    auto* total = arrays.room<std::int64_t>(n);
    device.zero(total, n * sizeof(std::int64_t));
    device.run(ExactAdd{total, values, n});
    const auto numbers = [&] {
        auto all = arrays.back(reinterpret_cast<const char*>(values), n * sizeof(float));
        for (const double x : arrays.back(reinterpret_cast<const char*>(total), n * sizeof(std::int64_t)))
            all.push_back(x);
        return all;
    };
    const auto before = numbers();
    peers->sum(total, n, 0);
    peers->sum(values, n, -1);
    peers->broadcast(values, n * sizeof(float), 0);
    peers->join();
    const auto after = numbers();
    peers->wait();
    double others = 0;
    for (std::size_t i = 0; i < before.size(); ++i) others += after[i] != before[i] ? 1 : 0;
    report.at_most("sums and a broadcast", others, 0);
}

/// Seconds of one of several runs.
template <class Work>
double seconds(Device& device, Work&& work) {
    work();
    device.wait();
    constexpr int runs = 10;
    const double start = steady_seconds();
    for (int i = 0; i < runs; ++i) work();
    device.wait();
    return (steady_seconds() - start) / runs;
}

double product_rate(Device& device, Product product, int m, int n, int k) {
    Arrays arrays(device, 1);
    const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    const bf16* a = arrays.many_bf16s(size(m, k));
    const bf16* b = arrays.many_bf16s(size(n, k));
    bf16* c = arrays.room<bf16>(size(m, n));
    const double time = seconds(device, [&] {
        device.multiply(
            {product, m, n, k, a, product == Product::tn ? m : k, b, product == Product::nt ? k : n, c, nullptr, n, 0});
    });
    return 2e-12 * m * n * k / time;
}

void measure(Report& report, Device& device) {
    report.section("speed: found, wanted");
    constexpr std::size_t bytes = std::size_t{2} << 30;
    Arrays arrays(device, 1);
    char* from = arrays.room<char>(bytes);
    char* to = arrays.room<char>(bytes);
    const double copied = 2e-9 * bytes / seconds(device, [&] { device.copy(to, from, bytes); });
    report.reaches("copy, GB/s", copied, 3000);
    const double ceiling = product_rate(device, Product::nt, 8192, 8192, 8192);
    report.reaches("product 8192, TFLOP/s", ceiling, 600);
    report.reaches("gate and up of 0.5B, 16k rows, TFLOP/s", product_rate(device, Product::nt, 16384, 9728, 896),
                   0.85 * ceiling);
    report.reaches("down of 1.5B, 16k rows, TFLOP/s", product_rate(device, Product::nt, 16384, 1536, 8960),
                   0.85 * ceiling);
    report.reaches("gradient of gate and up of 7B, TFLOP/s", product_rate(device, Product::tn, 37888, 3584, 16384),
                   0.85 * ceiling);
    report.reaches("down of 7B, 256 rows, TFLOP/s", product_rate(device, Product::nt, 256, 3584, 18944), 200);
    constexpr std::size_t n = 100'000'000;
    float* values = arrays.room<float>(n);
    auto* total = arrays.room<std::int64_t>(n);
    device.zero(values, n * sizeof(float));
    device.zero(total, n * sizeof(std::int64_t));
    report.reaches("exact sums, GB/s",
                   20e-9 * n /
                       seconds(device,
                               [&] {
                                   device.run(ExactAdd{total, values, n});
                               }),
                   0.8 * copied);
    constexpr int rows = 16384, width = 3584;
    auto* x = reinterpret_cast<bf16*>(from);
    report.reaches(
        "RMSNorm, GB/s",
        4e-9 * rows * width /
            seconds(device,
                    [&] {
                        device.run(RmsNorm{reinterpret_cast<bf16*>(to), nullptr, x, x, nullptr, rows, width, 1e-6F});
                    }),
        0.75 * copied);
    const AttentionCase c = attention_case({28, 4, 128}, 1024, 1024, 7);
    Arrays of(device, 2);
    const QueryPlan plan{of.place(c.tiles), of.place(c.ranges), of.place(c.row_of), of.place(c.seen),
                         static_cast<int>(c.tiles.size())};
    double pairs = 0;
    for (const SeenKeys& seen : c.seen) pairs += seen.end - seen.first;
    bf16* out = of.room<bf16>(static_cast<std::size_t>(c.tokens) * 28 * 128);
    const bf16* qkv = of.many_bf16s(static_cast<std::size_t>(c.tokens) * 36 * 128);
    report.reaches(
        "attention of 7B, 8 x 1k tokens, TFLOP/s",
        4e-12 * pairs * 28 * 128 /
            seconds(device,
                    [&] {
                        device.run(Attend{out, nullptr, qkv, plan, c.shape, 0.1F, nullptr, nullptr, nullptr});
                    }),
        200);
}

}  // namespace

void accept(Report& report, const std::string& kind, bool quick) {
    const auto device = kind == "cuda" ? cuda_device(0) : emulated_device();
    const auto reference = emulated_device();
    report.section("device");
    report.says("name", device->name());
    check_kernels(report, *device, *reference, quick);
    check_rows(report, *device, quick);
    check_exchange(report, *device);
    if (!quick) measure(report, *device);
}

}  // namespace tdrm::gpu
