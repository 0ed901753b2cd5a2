#include "tdrm/eval/pass_at_k.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {

double pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k) {
    ensure(k >= 1 && k <= n && c >= 0 && c <= n, "pass@k has 1 <= k <= n and 0 <= c <= n");
    double all_wrong = 1;  // C(n - c, k) / C(n, k) = prod_{i = n-c+1}^{n} (1 - k / i), which overflows nowhere
    for (std::int64_t i = n - c + 1; i <= n && all_wrong > 0; ++i) {
        all_wrong *= i > k ? 1 - static_cast<double>(k) / static_cast<double>(i) : 0;
    }
    return 1 - all_wrong;
}

}  // namespace tdrm::eval
