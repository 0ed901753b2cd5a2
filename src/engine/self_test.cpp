#include "tdrm/engine/self_test.hpp"

#include <cstring>
#include <vector>

#include "tdrm/base/clock.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::engine {

double product_rate() {
    constexpr int n = 768;
    constexpr std::size_t area = std::size_t{n} * n;
    constexpr double kEnough = 0.1;  // seconds
    std::vector<float> a(area, 0.5F), b(area, 0.25F), c(area);
    model::ops::PackedMatrix packed;
    packed.pack(b.data(), n, n);
    model::ops::gemm_nt(c.data(), a.data(), packed, n);
    const double start = steady_seconds();
    double seconds = 0;
    int products = 0;
    for (; seconds < kEnough; ++products) {
        model::ops::gemm_nt(c.data(), a.data(), packed, n);
        seconds = steady_seconds() - start;
    }
    return 2.0 * n * n * n * products / seconds;
}

bool rows_are_invariant() {
    constexpr int n = 160, k = 128, rows = 512;
    Random random(random_key(1, "doctor"));
    const auto floats = [](int height, int width) {
        return std::vector<float>(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
    };
    auto x = floats(rows, k), w = floats(n, k), whole = floats(rows, n), part = floats(rows, n);
    for (float& v : x) v = static_cast<float>(random.next_normal());
    for (float& v : w) v = static_cast<float>(random.next_normal());
    model::ops::PackedMatrix packed;
    packed.pack(w.data(), n, k);
    model::ops::gemm_nt(whole.data(), x.data(), packed, rows);
    for (const int m : {1, 7, 16, 100, 255}) {
        model::ops::gemm_nt(part.data(), x.data(), packed, m);
        if (std::memcmp(part.data(), whole.data(), sizeof(float) * static_cast<std::size_t>(m * n)) != 0) return false;
    }
    return true;
}

void load_libraries() { model::ops::load_products(); }

std::string torch_version() { return model::ops::torch_version(); }

}  // namespace tdrm::engine
