// The backward pass's matrix products, by libtorch (MKL). Not linked into the program but opened by it, see gemm.cpp.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "products.hpp"

namespace tdrm::model::ops {
namespace {

at::Tensor view(const float* data, int rows, int columns) {
    // from_blob wants a mutable pointer; inputs are never written.
    return at::from_blob(const_cast<float*>(data), {rows, columns}, at::kFloat);
}

void multiply(at::Tensor out, const at::Tensor& a, const at::Tensor& b, float beta) {
    const c10::InferenceMode no_autograd;
    if (beta == 0) {
        at::mm_out(out, a, b);
    } else {
        at::addmm_out(out, out, a, b);
    }
}

void multiply_nn(float* x, const float* y, const float* w, int m, int n, int k, float beta) {
    multiply(view(x, m, k), view(y, m, n), view(w, n, k), beta);
}

void multiply_tn(float* w, const float* y, const float* x, int m, int n, int k, float beta) {
    multiply(view(w, n, k), view(y, m, n).t(), view(x, m, k), beta);
}

constexpr Products kProducts{multiply_nn, multiply_tn};

}  // namespace
}  // namespace tdrm::model::ops

/// One thread a rank: results then don't depend on how libtorch would split its products.
extern "C" const tdrm::model::ops::Products* tdrm_products_1() {
    at::set_num_threads(1);
    return &tdrm::model::ops::kProducts;
}
