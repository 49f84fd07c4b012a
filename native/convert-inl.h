// Rows of elements to lanes and back. Plain loops, one element at a time: the compiler makes
// vectors of them.
#pragma once

#include <type_traits>

#include "math-inl.h"
#include "vec.h"

namespace cenote::CENOTE_TARGET {

// Half types are 16 bits that stand for floats.
struct BF16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

template <class To, class From>
inline To value_as(From from) {
  return To(from);
}
template <class To>
inline To value_as(BF16 from) {
  return To(__builtin_bit_cast(float, std::uint32_t(from.bits) << 16));
}
template <class To>
inline To value_as(F16 from) {
  const std::uint32_t size = from.bits & 0x7fff, sign = std::uint32_t(from.bits & 0x8000) << 16;
  // Below normal: a multiple of 2^-24. Else the exponent moves from its bias to float's.
  const std::uint32_t small =
      __builtin_bit_cast(std::uint32_t, float(std::int32_t(size)) * 0x1p-24f);
  const std::uint32_t normal = (size << 13) + (size < 0x7c00 ? 112u << 23 : 224u << 23);
  return To(__builtin_bit_cast(float, (size < 0x400 ? small : normal) | sign));
}

// Rounded to the nearest, halves to even; NaN stays NaN.
inline BF16 to_bf16(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return {std::uint16_t(x != x ? bits >> 16 | 0x40 : rounded)};
}
inline F16 to_f16(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  // Below normal adding 0.5 rounds at 2^-24, the step of the numbers there.
  const float shifted = __builtin_bit_cast(float, size) + 0.5f;
  const std::uint32_t small = __builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000;
  const std::uint32_t normal = (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13;
  std::uint32_t half = size < 0x38800000 ? small : normal;
  half = size >= 0x477ff000 ? 0x7c00 : half;  // 65520 and more
  half = size > 0x7f800000 ? 0x7e00 : half;
  return {std::uint16_t(half | sign)};
}

// A vector of elements as lanes.
template <class T, class E, class Lanes>
inline Vec<T> load_as(const E* from, Lanes lanes) {
  if constexpr (std::is_same_v<E, T>) {
    return load_first<T>(from, lanes);
  } else {
    constexpr bool whole = std::is_same_v<Lanes, AllLanes<T>>;
    using Bits = typename UnsignedOf<sizeof(E)>::type;
    using V = typename VecOf<std::conditional_t<std::is_same_v<E, BF16>, Bits, E>, kLanes<T>>::type;
    V elements = {};
    __builtin_memcpy(&elements, from, std::size_t(whole ? kLanes<T> : int(lanes)) * sizeof(E));
    if constexpr (std::is_same_v<E, BF16>)
      return Vec<T>(__builtin_convertvector(elements, TapVec<T>) << 16);
    else
      return __builtin_convertvector(elements, Vec<T>);
  }
}

template <class To, class From>
inline To element_of(From lane) {
  if constexpr (std::is_same_v<To, BF16>)
    return to_bf16(float(lane));
  else if constexpr (std::is_same_v<To, F16>)
    return to_f16(float(lane));
  else if constexpr (kFloats<From> && !kFloats<To>)
    return To(std::int32_t(lane));  // such lanes hold small integers; what is too large wraps
  else
    return To(lane);
}

template <class E, class L, Map map>
inline L read_one(E element, const Conversion& c) {
  const L x = value_as<L>(element);
  if constexpr (map == kTurned) return L(x ^ L(c.mask));
  if constexpr (map == kAbs) return x < 0 ? -x : x == 0 ? L(0) : x;
  if constexpr (map == kSquare) return x * x;
  if constexpr (map == kScaled) return x * L(c.p);
  if constexpr (map == kPower) return L(power_of(x < 0 ? -x : x, c.p));
  if constexpr (map == kRaised) return L(power_of(x < c.floor ? c.floor : x, c.p));
  return x;
}

template <class L, class E, Map map>
inline E write_one(L lane, const Conversion& c) {
  if constexpr (map == kTurned) return E(lane ^ L(c.mask));
  if constexpr (map == kHalfEven) {
    constexpr L kToInteger = 12582912.0f;  // 1.5*2^23: the sum has no bits below 1
    return element_of<E>(L(lane + kToInteger - kToInteger));
  }
  if constexpr (map == kRoot)
    return element_of<E>(L(c.p == 2 ? __builtin_sqrt(lane) : power_of(lane, 1 / c.p)));
  return element_of<E>(lane);
}

template <class E, class L, Map map>
void read_row(const void* from, void* to, Index count, const Conversion& conversion) {
  const E* element = static_cast<const E*>(from);
  L* lane = static_cast<L*>(to);
  const Conversion c = conversion;
  for (Index x = 0; x < count; ++x) lane[x] = read_one<E, L, map>(element[x], c);
}
template <class L, class E, Map map>
void write_row(const void* from, void* to, Index count, const Conversion& conversion) {
  const L* lane = static_cast<const L*>(from);
  E* element = static_cast<E*>(to);
  const Conversion c = conversion;
  for (Index x = 0; x < count; ++x) element[x] = write_one<L, E, map>(lane[x], c);
}

// Half types have a sign and a size: as numbers in two's complement they have their order, turned
// by `mask` if the least is sought. Not so NaN, and -0, which equals 0 but is less here.
template <class E>
constexpr std::uint16_t kInfinity = std::is_same_v<E, BF16> ? 0x7f80 : 0x7c00;
template <class E>
void read_keys(const void* from, void* to, Index count, const Conversion& conversion) {
  const auto* bits = static_cast<const std::uint16_t*>(from);
  auto* key = static_cast<std::int16_t*>(to);
  const auto mask = std::int16_t(conversion.mask);
  std::uint16_t largest = 0;  // of the sizes: NaNs are beyond infinity
  std::int16_t least = 0;     // of the bits as a number: that is -0
  for (Index x = 0; x < count; ++x) {
    const auto size = std::uint16_t(bits[x] & 0x7fff);
    const auto sign = std::uint16_t(std::int16_t(bits[x]) >> 15);  // all bits or none
    const auto number = std::int16_t(bits[x]);
    largest = largest < size ? size : largest;
    least = number < least ? number : least;
    key[x] = std::int16_t(std::uint16_t(bits[x] ^ (sign & 0x7fff)) ^ std::uint16_t(mask));
  }
  if (largest > kInfinity<E> || std::uint16_t(least) == 0x8000)
    __atomic_store_n(conversion.odd, true, __ATOMIC_RELAXED);
}
inline void write_keys(const void* from, void* to, Index count, const Conversion& conversion) {
  const auto* key = static_cast<const std::int16_t*>(from);
  auto* bits = static_cast<std::uint16_t*>(to);
  const auto mask = std::uint16_t(conversion.mask);
  for (Index x = 0; x < count; ++x) {
    const auto turned = std::uint16_t(std::uint16_t(key[x]) ^ mask);
    bits[x] = std::uint16_t(turned ^ (std::uint16_t(std::int16_t(turned) >> 15) & 0x7fff));
  }
}

// The table of both directions: which elements go into which lanes, and how.
#define CENOTE_ROWS                                                         \
  CENOTE_ROW(kBF16, BF16, kLaneF32, float, kPlain, kPlain)                  \
  CENOTE_ROW(kF16, F16, kLaneF32, float, kPlain, kPlain)                    \
  CENOTE_ROW(kI8, std::int8_t, kLaneI8, std::int8_t, kTurned, kTurned)      \
  CENOTE_ROW(kU8, std::uint8_t, kLaneU8, std::uint8_t, kTurned, kTurned)    \
  CENOTE_ROW(kBool, std::uint8_t, kLaneU8, std::uint8_t, kTurned, kTurned)  \
  CENOTE_ROW(kBool, std::uint8_t, kLaneI32, std::int32_t, kTurned, kTurned) \
  CENOTE_ROW(kI16, std::int16_t, kLaneI16, std::int16_t, kTurned, kTurned)  \
  CENOTE_ROW(kI8, std::int8_t, kLaneI32, std::int32_t, kTurned, kTurned)    \
  CENOTE_ROW(kU8, std::uint8_t, kLaneI32, std::int32_t, kTurned, kTurned)   \
  CENOTE_ROW(kI16, std::int16_t, kLaneI32, std::int32_t, kTurned, kTurned)  \
  CENOTE_ROW(kI32, std::int32_t, kLaneI32, std::int32_t, kTurned, kTurned)  \
  CENOTE_ROW(kI64, Index, kLaneI64, Index, kTurned, kTurned)                \
  CENOTE_ROW(kI8, std::int8_t, kLaneI16, std::int16_t, kPlain, kPlain)      \
  CENOTE_ROW(kU8, std::uint8_t, kLaneI16, std::int16_t, kPlain, kPlain)     \
  CENOTE_ROW(kI8, std::int8_t, kLaneF32, float, kPlain, kPlain)             \
  CENOTE_ROW(kU8, std::uint8_t, kLaneF32, float, kPlain, kPlain)            \
  CENOTE_ROW(kI16, std::int16_t, kLaneF32, float, kPlain, kPlain)           \
  CENOTE_ROW(kI8, std::int8_t, kLaneF32, float, kPlain, kHalfEven)          \
  CENOTE_ROW(kU8, std::uint8_t, kLaneF32, float, kPlain, kHalfEven)         \
  CENOTE_ROW(kI16, std::int16_t, kLaneF32, float, kPlain, kHalfEven)        \
  CENOTE_ROW(kI8, std::int8_t, kLaneI64, Index, kPlain, kPlain)             \
  CENOTE_ROW(kU8, std::uint8_t, kLaneI64, Index, kPlain, kPlain)            \
  CENOTE_ROW(kI16, std::int16_t, kLaneI64, Index, kPlain, kPlain)           \
  CENOTE_ROW(kI32, std::int32_t, kLaneI64, Index, kPlain, kPlain)           \
  CENOTE_ROW(kBool, std::uint8_t, kLaneI64, Index, kPlain, kPlain)          \
  CENOTE_POWERS(kF32, float)                                                \
  CENOTE_POWERS(kBF16, BF16)                                                \
  CENOTE_POWERS(kF16, F16)                                                  \
  CENOTE_POWERS(kF64, double)
// Powers are taken in double, where none of a float overflows.
#define CENOTE_POWERS(type, E)                          \
  CENOTE_ROW(type, E, kLaneF64, double, kAbs, kPlain)   \
  CENOTE_ROW(type, E, kLaneF64, double, kSquare, kRoot) \
  CENOTE_ROW(type, E, kLaneF64, double, kPower, kRoot)  \
  CENOTE_ROW(type, E, kLaneF64, double, kRaised, kRoot) \
  CENOTE_ROW(type, E, kLaneF64, double, kPlain, kPlain) \
  CENOTE_ROW(type, E, kLaneF64, double, kScaled, kPlain)

inline Row find_read(Type type, Lane lane, Map map) {
  if (map == kKey) return type == kBF16 ? read_keys<BF16> : read_keys<F16>;
#define CENOTE_ROW(t, E, l, L, in, out) \
  if (type == t && lane == l && map == in) return read_row<E, L, in>;
  CENOTE_ROWS
#undef CENOTE_ROW
  return nullptr;
}
inline Row find_write(Lane lane, Type type, Map map) {
  if (map == kKey) return write_keys;
#define CENOTE_ROW(t, E, l, L, in, out) \
  if (type == t && lane == l && map == out) return write_row<L, E, out>;
  CENOTE_ROWS
#undef CENOTE_ROW
  return nullptr;
}

}  // namespace cenote::CENOTE_TARGET
