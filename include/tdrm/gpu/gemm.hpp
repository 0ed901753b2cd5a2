// Matrix products of a device.
#pragma once

#include "tdrm/gpu/types.hpp"

namespace tdrm::gpu {

/// Which operand is read across. Matrices are row-major.
enum class Product {
    nt,  ///< C_MN = A_MK B_NK^T: activations times weights
    nn,  ///< C_MN = A_MK B_KN: gradients with respect to inputs
    tn,  ///< C_MN = A_KM^T B_KN: gradients with respect to weights
};

/// C = beta C + alpha A B, bf16 operands, sums in fp32. C is bf16, or fp32 if `c_float` is set. A row of C depends on
/// its row of A alone, whatever M is: no product is split over K.
struct Gemm {
    Product product;
    int m, n, k;
    const bf16* a;
    int a_pitch;  ///< numbers from row to row, as below
    const bf16* b;
    int b_pitch;
    bf16* c;
    float* c_float;
    int c_pitch;
    float beta;  ///< 0 or 1
    float alpha = 1;
};

/// The product in plain loops, for the emulated device and as what others are compared with.
void reference_product(const Gemm& gemm);

}  // namespace tdrm::gpu
