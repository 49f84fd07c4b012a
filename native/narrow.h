// Tap numbers between their narrow form in memory and lanes as wide as the values beside them.
// GCC 12 compiles the general vector conversion lane by lane, so x86 has its instructions spelt out
// here.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "vec.h"

namespace cenote::CENOTE_TARGET {

// All lanes of one vector, in the general form.
template <class T, class Tap>
struct Narrow {
  using Few = typename VecOf<Tap, kLanes<T>>::type;
  static TapVec<T> load_all(const Tap* from) {
    return __builtin_convertvector(load<Few>(from), TapVec<T>);
  }
  static void store_all(Tap* to, TapVec<T> v) { store(to, __builtin_convertvector(v, Few)); }
};

// The same with the instructions for one pair of types; REG is the register of the lanes.
#define CENOTE_NARROW(T, Tap, LOAD, WIDEN, REG, NARROW, STORE, CAST)      \
  template <>                                                             \
  struct Narrow<T, Tap> {                                                 \
    static TapVec<T> load_all(const Tap* from) {                          \
      return TapVec<T>(WIDEN(LOAD(reinterpret_cast<const CAST*>(from)))); \
    }                                                                     \
    static void store_all(Tap* to, TapVec<T> v) {                         \
      STORE(reinterpret_cast<CAST*>(to), NARROW(REG(v)));                 \
    }                                                                     \
  };

#if CENOTE_VECTOR_BYTES == 64
CENOTE_NARROW(float, std::uint8_t, _mm_loadu_si128, _mm512_cvtepu8_epi32, __m512i,
              _mm512_cvtepi32_epi8, _mm_storeu_si128, __m128i)
CENOTE_NARROW(float, std::uint16_t, _mm256_loadu_si256, _mm512_cvtepu16_epi32, __m512i,
              _mm512_cvtepi32_epi16, _mm256_storeu_si256, __m256i)
CENOTE_NARROW(double, std::uint8_t, _mm_loadl_epi64, _mm512_cvtepu8_epi64, __m512i,
              _mm512_cvtepi64_epi8, _mm_storel_epi64, __m128i)
CENOTE_NARROW(double, std::uint16_t, _mm_loadu_si128, _mm512_cvtepu16_epi64, __m512i,
              _mm512_cvtepi64_epi16, _mm_storeu_si128, __m128i)
CENOTE_NARROW(double, std::uint32_t, _mm256_loadu_si256, _mm512_cvtepu32_epi64, __m512i,
              _mm512_cvtepi64_epi32, _mm256_storeu_si256, __m256i)
#elif CENOTE_VECTOR_BYTES == 32 && defined(__AVX2__)
// The low byte, or the low two, of every 32-bit lane.
inline __m128i low_bytes(__m256i v) {
  const __m256i each = _mm256_shuffle_epi8(v, _mm256_set1_epi32(0x0c080400));
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(each), _mm256_extracti128_si256(each, 1));
}
inline __m128i low_halves(__m256i v) {
  const __m256i each = _mm256_shuffle_epi8(v, _mm256_set1_epi64x(0x0d0c090805040100));
  return _mm_unpacklo_epi64(_mm256_castsi256_si128(each), _mm256_extracti128_si256(each, 1));
}
CENOTE_NARROW(float, std::uint8_t, _mm_loadl_epi64, _mm256_cvtepu8_epi32, __m256i, low_bytes,
              _mm_storel_epi64, __m128i)
CENOTE_NARROW(float, std::uint16_t, _mm_loadu_si128, _mm256_cvtepu16_epi32, __m256i, low_halves,
              _mm_storeu_si128, __m128i)
#elif CENOTE_VECTOR_BYTES == 16 && defined(__SSE4_1__)
inline __m128i low_bytes(__m128i v) { return _mm_shuffle_epi8(v, _mm_set1_epi32(0x0c080400)); }
inline __m128i low_halves(__m128i v) {
  return _mm_shuffle_epi8(v, _mm_set1_epi64x(0x0d0c090805040100));
}
CENOTE_NARROW(float, std::uint8_t, _mm_loadu_si32, _mm_cvtepu8_epi32, __m128i, low_bytes,
              _mm_storeu_si32, std::uint8_t)
CENOTE_NARROW(float, std::uint16_t, _mm_loadl_epi64, _mm_cvtepu16_epi32, __m128i, low_halves,
              _mm_storel_epi64, __m128i)
#endif
#undef CENOTE_NARROW

// Lanes of integers hold tap numbers as lanes of floats of their size do.
template <class T>
struct FloatOf {
  using type = T;
};
template <>
struct FloatOf<std::int32_t> {
  using type = float;
};
template <>
struct FloatOf<Index> {
  using type = double;
};
template <class T, class Tap>
using NarrowFor = Narrow<typename FloatOf<T>::type, Tap>;

// The lanes [low, high) from memory; the others hold "no tap".
template <class T, class Tap>
inline TapVec<T> load_taps(const Tap* from, int low = 0, int high = kLanes<T>) {
  if (high - low == kLanes<T>) return NarrowFor<T, Tap>::load_all(from);
  TapVec<T> v = broadcast<TapVec<T>>(kNoTap<Tap>);
#if CENOTE_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4 && sizeof(Tap) == 1) {
    const __mmask16 inside = __mmask16(part_of(low, high));
    return TapVec<T>(
        _mm512_mask_cvtepu8_epi32(__m512i(v), inside, _mm_maskz_loadu_epi8(inside, from)));
  }
#endif
  for (int lane = low; lane < high; ++lane) v[lane] = from[lane];
  return v;
}

// total + gradient in the lanes whose tap is `tap`; of a part of the lanes nothing else is read.
template <class T, class Tap>
CENOTE_INLINE Vec<T> add_taken(Vec<T> total, const T* gradient, const Tap* taps, Tap tap) {
#if CENOTE_VECTOR_BYTES == 64
  if constexpr (std::is_same_v<T, float> && sizeof(Tap) == 1) {
    const __mmask16 taken = _mm_cmpeq_epi8_mask(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(taps)), _mm_set1_epi8(char(tap)));
    return Vec<T>(_mm512_mask_add_ps(total, taken, total, _mm512_loadu_ps(gradient)));
  }
#endif
  const auto taken = load_taps<T>(taps) == broadcast<TapVec<T>>(tap);
  return total + (taken ? load<Vec<T>>(gradient) : Vec<T>{});
}
template <class T, class Tap>
CENOTE_INLINE Vec<T> add_taken(Vec<T> total, const T* gradient, const Tap* taps, Tap tap,
                               Part part) {
#if CENOTE_VECTOR_BYTES == 64
  if constexpr (std::is_same_v<T, float> && sizeof(Tap) == 1) {
    const __mmask16 inside = __mmask16(part);
    const __mmask16 taken = _mm_mask_cmpeq_epi8_mask(inside, _mm_maskz_loadu_epi8(inside, taps),
                                                     _mm_set1_epi8(char(tap)));
    return Vec<T>(_mm512_mask_add_ps(total, taken, total, _mm512_maskz_loadu_ps(taken, gradient)));
  }
#endif
  // Lane after lane: taps may be narrower than the lanes, and parts have holes.
  for (int lane = 0; lane < kLanes<T>; ++lane)
    if (part >> lane & 1 && taps[lane] == tap) total[lane] += gradient[lane];
  return total;
}

// The first `count` lanes to memory.
template <class T, class Tap>
inline void store_taps(Tap* to, int count, TapVec<T> v) {
  if (count == kLanes<T>) return NarrowFor<T, Tap>::store_all(to, v);
#if CENOTE_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4 && sizeof(Tap) == 1)
    return _mm_mask_storeu_epi8(to, __mmask16(part_of(0, count)), _mm512_cvtepi32_epi8(__m512i(v)));
#endif
  for (int lane = 0; lane < count; ++lane) to[lane] = Tap(v[lane]);
}

}  // namespace cenote::CENOTE_TARGET
