// Clocks and the machine's own rate of matrix products, which speeds are compared with.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "tdrm/model/ops.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::bench {

/// Sizes of the default experiment's model.
inline model::ModelSpec small_spec(int vocab) {
    model::ModelSpec spec;
    spec.vocab = vocab;
    spec.layers = 4;
    spec.width = 128;
    spec.heads = 4;
    spec.ffn = 384;
    return spec.resolved();
}

template <class Work>
double seconds(Work&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// FLOP/s of fp32 products of 1024 x 1024 matrices on one thread, best of several.
inline double gemm_rate() {
    constexpr int n = 1024;
    std::vector<float> a(n * n, 0.5F), b(n * n, 0.25F), c(n * n);
    double best = 1e9;
    for (int i = 0; i < 6; ++i)
        best = std::min(best, seconds([&] { model::ops::gemm_nt(c.data(), a.data(), b.data(), n, n, n); }));
    return 2.0 * n * n * n / best;
}

}  // namespace tdrm::bench
