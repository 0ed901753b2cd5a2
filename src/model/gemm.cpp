// The backward pass's matrix products, by libtorch (MKL).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include "tdrm/model/ops.hpp"

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

}  // namespace

std::string torch_version() { return TORCH_VERSION; }

void use_one_thread() { at::set_num_threads(1); }

void gemm_nn(float* x, const float* y, const float* w, int m, int n, int k, float beta) {
    multiply(view(x, m, k), view(y, m, n), view(w, n, k), beta);
}

void gemm_tn(float* w, const float* y, const float* x, int m, int n, int k, float beta) {
    multiply(view(w, n, k), view(y, m, n).t(), view(x, m, k), beta);
}

}  // namespace tdrm::model::ops
