// Clocks and the machine's own rate of matrix products, which speeds are compared with.
#pragma once

#include <ATen/ATen.h>
#include <time.h>

#include <algorithm>
#include <vector>

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

/// Processor seconds of the calling thread, so that other programs on the machine matter little.
inline double clock_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class Work>
double seconds(Work&& work) {
    const double start = clock_seconds();
    work();
    return clock_seconds() - start;
}

inline double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

inline double least(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

/// FLOP/s of libtorch's (MKL's) fp32 products of 1024 x 1024 matrices on one thread, best of several.
inline double gemm_rate() {
    constexpr int n = 1024;
    const at::Tensor a = at::rand({n, n}), b = at::rand({n, n});
    at::Tensor c = at::empty({n, n});
    double best = 1e9;
    for (int i = 0; i < 6; ++i) best = std::min(best, seconds([&] { at::mm_out(c, a, b.t()); }));
    return 2.0 * n * n * n / best;
}

}  // namespace tdrm::bench
