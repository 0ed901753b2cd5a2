// What the module libtdrm_gemm.so gives to the program: libtorch's matrix products (docs/adr/0072).
#pragma once

namespace tdrm::model::ops {

/// gemm_nn and gemm_tn of ops.hpp, on one thread.
struct Products {
    void (*gemm_nn)(float* x, const float* y, const float* w, int m, int n, int k, float beta);
    void (*gemm_tn)(float* w, const float* y, const float* x, int m, int n, int k, float beta);
};

constexpr const char* kProductsFile = "libtdrm_gemm.so";
constexpr const char* kProductsSymbol = "tdrm_products_1";  ///< counts versions of the struct
using GetProducts = const Products* (*)();

}  // namespace tdrm::model::ops
