// Powers and logarithms of doubles in plain arithmetic, so that the compiler does whole vectors of
// them and every instruction set gives the same bits.
#pragma once

#include "window.h"

namespace cenote::CENOTE_TARGET {

// The nearest integer, for |x| below 2^51: adding 1.5*2^52 leaves it in the low bits.
constexpr double kShift = 6755399441055744.0;
inline double nearest(double x) { return x + kShift - kShift; }

// 2^(whole + f) for an integer |whole| below 2100 and |f| of 0.5 or little more.
inline double exp2_of(double whole, double f) {
  // The Taylor series of e^(f ln 2): its next term is below 2^-60 there.
  constexpr double kLn2 = 0.6931471805599453094;
  const double t = f * kLn2;
  constexpr double kFactorials[] = {6227020800.0, 479001600.0, 39916800.0, 3628800.0, 362880.0,
                                    40320.0,      5040.0,      720.0,      120.0,     24.0,
                                    6.0,          2.0,         1.0,        1.0};
  double series = 1.0 / 87178291200.0;
  for (const double factorial : kFactorials) series = series * t + 1.0 / factorial;
  // In two steps, so that results below normal come out.
  const Index n = __builtin_bit_cast(Index, whole + kShift) - __builtin_bit_cast(Index, kShift);
  const Index half = n >> 1;
  const double low = __builtin_bit_cast(double, (half + 1023) << 52);
  const double high = __builtin_bit_cast(double, (n - half + 1023) << 52);
  return series * low * high;
}

// 2^x, to about a unit in the last place; 0 below -1080, infinity above 1030, NaN of NaN.
inline double exp2_of(double x) {
  const double held = x < -1080 ? -1080 : x > 1030 ? 1030 : x;
  const double whole = nearest(held);
  const double y = exp2_of(whole, held - whole);
  return x != x ? x : y;
}

// log2 of a finite x > 0, as an integer and a fraction in [-0.5, 0.5] that is off by some 2^-54.
struct Log2 {
  double whole, fraction;
};
inline Log2 log2_of(double x) {
  const bool tiny = x < 0x1p-1022;
  // Without a sign, because -0 may run over; what comes of it is not used.
  const uint64_t bits = __builtin_bit_cast(uint64_t, tiny ? x * 0x1p54 : x);
  // The mantissa in [sqrt(1/2), sqrt(2)), so that logarithms near 1 lose nothing.
  constexpr uint64_t kRoot = 0x3fe6a09e667f3bcd;
  const Index exponent = static_cast<Index>(bits - kRoot) >> 52;
  const double m = __builtin_bit_cast(double, bits - (static_cast<uint64_t>(exponent) << 52));
  // ln m = 2 artanh((m-1)/(m+1)); with |s| < 0.172 the next term is below 2^-60 of the sum.
  const double s = (m - 1) / (m + 1), z = s * s;
  double series = 1.0 / 23;
  for (int odd = 21; odd > 1; odd -= 2) series = series * z + 1.0 / odd;
  constexpr double kTwoOverLn2 = 2.8853900817779268147;
  // An integer this small becomes a double in the low bits of the shift.
  const double whole = __builtin_bit_cast(double, __builtin_bit_cast(Index, kShift) + exponent);
  return {whole - kShift - (tiny ? 54 : 0), (s + s * z * series) * kTwoOverLn2};
}

// The natural logarithm of x >= 0; -infinity at 0.
inline double ln_of(double x) {
  constexpr double kLn2High = 0x1.62e42fefa3800p-1, kLn2Low = 0x1.ef35793c76730p-45;
  const Log2 l = log2_of(x);
  const double y = l.whole * kLn2High + (l.fraction * 0.6931471805599453094 + l.whole * kLn2Low);
  return x == 0 ? -__builtin_inf() : x - x == 0 ? y : x;
}

// x^p for x >= 0 and a finite p > 0, to a few units in the last place for small p.
inline double power_of(double x, double p) {
  const Log2 l = log2_of(x);
  // p*whole exactly, as a sum of two: both have few enough bits once p is cut in half.
  const double cut = p * 134217729.0, p_high = cut - (cut - p), p_low = p - p_high;
  const double high = p_high * l.whole, low = p_low * l.whole + p * l.fraction;
  const double total = high + low;
  const double held = total < -1080 ? -1080 : total > 1030 ? 1030 : total;
  const double whole = nearest(held);
  const double y = exp2_of(whole, total == held ? (high - whole) + low : 0);
  const double edge = x == 0 ? 0 : x;  // 0, infinity and NaN are their own
  return x > 0 && x - x == 0 ? y : edge;
}

}  // namespace cenote::CENOTE_TARGET
