// Clocks and the machine's own rate of matrix products, which speeds are compared with.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tdrm/engine/devices.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::bench {

/// PRODUCTS=bf16 in the environment: engines multiply so from now on.
inline void choose_products() {
    const char* wished = std::getenv("PRODUCTS");
    if (wished != nullptr && std::string_view(wished) == "bf16")
        engine::use_device(engine::DeviceKind::cpu, model::Products::bf16);
}

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

/// Shapes of a small language model for text: grouped-query heads of 64.
inline model::ModelSpec text_spec(int vocab) {
    model::ModelSpec spec;
    spec.vocab = vocab;
    spec.layers = 6;
    spec.width = 384;
    spec.heads = 6;
    spec.kv_heads = 2;
    spec.ffn = 1024;
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

/// FLOP/s of libtorch's (MKL's) fp32 products of 1024 x 1024 matrices on one thread, best of several. From then on
/// libtorch uses one thread.
[[nodiscard]] double gemm_rate();

}  // namespace tdrm::bench
