// The backward pass's matrix products. libtorch, which makes them, takes 0.2 s and 100 MB to load, which no verb but a
// training run should pay: it lies behind a module that is opened by the first who needs it (docs/adr/0072).
#include <dlfcn.h>
#include <torch/version.h>

#include "products.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {
namespace {

[[noreturn]] void fail() {
    const char* reason = ::dlerror();
    throw MissingError(cat("can't load ", kProductsFile,
                           " (training multiplies with it): ", reason == nullptr ? "no reason is told" : reason,
                           ". Install tdrm again with libtorch, or name their folders in LD_LIBRARY_PATH."));
}

/// The module is found as libraries are: by the program's run path, then LD_LIBRARY_PATH.
const Products& load() {
    void* module = ::dlopen(kProductsFile, RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) fail();
    const auto get = reinterpret_cast<GetProducts>(::dlsym(module, kProductsSymbol));
    if (get == nullptr) fail();
    return *get();
}

const Products& products() {
    static const Products& loaded = load();
    return loaded;
}

}  // namespace

std::string torch_version() { return TORCH_VERSION; }

void load_products() { (void)products(); }

void gemm_nn(float* x, const float* y, const float* w, int m, int n, int k, float beta) {
    products().gemm_nn(x, y, w, m, n, k, beta);
}

void gemm_tn(float* w, const float* y, const float* x, int m, int n, int k, float beta) {
    products().gemm_tn(w, y, x, m, n, k, beta);
}

}  // namespace tdrm::model::ops
