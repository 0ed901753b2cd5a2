// The floating point type of the verifier: 113 bits (quad precision) where the compiler has them.
#pragma once

#include <cmath>

#if defined(__SIZEOF_FLOAT128__) && __has_include(<quadmath.h>)
#define TDRM_HAS_QUADMATH 1
#include <quadmath.h>
#endif

namespace tdrm::math {

#ifdef TDRM_HAS_QUADMATH
__extension__ typedef __float128 Real;
inline const Real kPi = 2 * asinq(1);
inline constexpr double kEpsilon = 0x1p-112;
inline Real sqrt_of(Real x) { return sqrtq(x); }
inline Real exp_of(Real x) { return expq(x); }
inline Real log_of(Real x) { return logq(x); }
inline Real sin_of(Real x) { return sinq(x); }
inline Real cos_of(Real x) { return cosq(x); }
inline Real sinh_of(Real x) { return sinhq(x); }
inline Real cosh_of(Real x) { return coshq(x); }
inline Real atan2_of(Real y, Real x) { return atan2q(y, x); }
inline Real gamma_of(Real x) { return tgammaq(x); }
inline Real floor_of(Real x) { return floorq(x); }
inline Real abs_of(Real x) { return fabsq(x); }
inline Real hypot_of(Real x, Real y) { return hypotq(x, y); }
inline bool is_finite(Real x) { return finiteq(x) != 0; }
inline Real scale_of(Real x, long exponent) { return scalblnq(x, exponent); }
#else
using Real = long double;
inline const Real kPi = 2 * std::asin(1.0L);
inline constexpr long double kEpsilon = 4 * __LDBL_EPSILON__;
inline Real sqrt_of(Real x) { return std::sqrt(x); }
inline Real exp_of(Real x) { return std::exp(x); }
inline Real log_of(Real x) { return std::log(x); }
inline Real sin_of(Real x) { return std::sin(x); }
inline Real cos_of(Real x) { return std::cos(x); }
inline Real sinh_of(Real x) { return std::sinh(x); }
inline Real cosh_of(Real x) { return std::cosh(x); }
inline Real atan2_of(Real y, Real x) { return std::atan2(y, x); }
inline Real gamma_of(Real x) { return std::tgamma(x); }
inline Real floor_of(Real x) { return std::floor(x); }
inline Real abs_of(Real x) { return std::fabs(x); }
inline Real hypot_of(Real x, Real y) { return std::hypot(x, y); }
inline bool is_finite(Real x) { return std::isfinite(x); }
inline Real scale_of(Real x, long exponent) { return std::scalbln(x, exponent); }
#endif

}  // namespace tdrm::math
