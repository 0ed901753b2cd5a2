#include "measure.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace tdrm::bench {

double gemm_rate() {
    at::set_num_threads(1);
    constexpr int n = 1024;
    const at::Tensor a = at::rand({n, n}), b = at::rand({n, n});
    at::Tensor c = at::empty({n, n});
    double best = 1e9;
    for (int i = 0; i < 6; ++i) best = std::min(best, seconds([&] { at::mm_out(c, a, b.t()); }));
    return 2.0 * n * n * n / best;
}

}  // namespace tdrm::bench
