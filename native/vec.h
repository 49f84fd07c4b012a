// Vectors of any width from the compiler's own vector types: a dozen operations, written once.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <type_traits>

#include "window.h"

// What stands in the middle of a loop; the compiler counts instructions and would rather call it.
#ifdef __SANITIZE_ADDRESS__  // with all that is checked beside, it would compile for minutes
#define CENOTE_INLINED
#else
#define CENOTE_INLINED __attribute__((always_inline))
#endif
#define CENOTE_INLINE inline CENOTE_INLINED

// CENOTE_VECTOR_BYTES comes with the target; 0 means one lane, that is plain scalar code.
namespace cenote::CENOTE_TARGET {

template <class T>
constexpr bool kFloats = T(0.5) != T(0);

template <class T>
constexpr int kLanes = CENOTE_VECTOR_BYTES < sizeof(T) ? 1 : CENOTE_VECTOR_BYTES / int(sizeof(T));

template <class E, int lanes>
struct VecOf {
  typedef E type __attribute__((vector_size(sizeof(E) * lanes)));
};

template <std::size_t bytes>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using type = std::uint8_t;
};
template <>
struct UnsignedOf<2> {
  using type = std::uint16_t;
};
template <>
struct UnsignedOf<4> {
  using type = std::uint32_t;
};
template <>
struct UnsignedOf<8> {
  using type = std::uint64_t;
};

template <class T>
using Vec = typename VecOf<T, kLanes<T>>::type;
// Tap numbers ride beside values, in lanes of the same width.
template <class T>
using TapVec = Vec<typename UnsignedOf<sizeof(T)>::type>;

// The tap number of an empty window, and what it is in a lane.
template <class Tap>
constexpr Tap kNoTap = Tap(~Tap(0));

template <class V, class E>
inline V broadcast(E value) {
  return value - V{};  // not a sum: that would lose the sign of -0
}

template <class T>
inline TapVec<T> count_up() {
  TapVec<T> v = {};
  for (int lane = 0; lane < kLanes<T>; ++lane) v[lane] = typename UnsignedOf<sizeof(T)>::type(lane);
  return v;
}

template <class V, class E>
inline V load(const E* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class V, class E>
inline void store(E* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

// Some of the lanes of a vector: bit l stands for lane l.
using Part = std::uint64_t;
constexpr Part part_of(int low, int high) {
  if (low >= high) return 0;
  return (high >= 64 ? ~Part(0) : (Part(1) << high) - 1) & ~((Part(1) << low) - 1);
}
template <class T>
constexpr bool is_whole(Part part) {
  return part == part_of(0, kLanes<T>);
}

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
constexpr bool kMasks = true;
// Masked moves: nothing but those lanes is touched, so nothing else can fault.
#define CENOTE_MASKED(BYTES, REG, MASK, LOAD, STORE)              \
  template <class V, class E>                                     \
    requires(sizeof(V) == sizeof(REG) && sizeof(E) == BYTES)      \
  inline V load_lanes(const E* from, int low, int high, V rest) { \
    return V(LOAD(REG(rest), MASK(part_of(low, high)), from));    \
  }                                                               \
  template <class V, class E>                                     \
    requires(sizeof(V) == sizeof(REG) && sizeof(E) == BYTES)      \
  inline V load_part(const E* from, Part part, V rest) {          \
    return V(LOAD(REG(rest), MASK(part), from));                  \
  }                                                               \
  template <class V, class E>                                     \
    requires(sizeof(V) == sizeof(REG) && sizeof(E) == BYTES)      \
  inline void store_lanes(E* to, int count, V v) {                \
    STORE(to, MASK(part_of(0, count)), REG(v));                   \
  }
CENOTE_MASKED(1, __m512i, __mmask64, _mm512_mask_loadu_epi8, _mm512_mask_storeu_epi8)
CENOTE_MASKED(2, __m512i, __mmask32, _mm512_mask_loadu_epi16, _mm512_mask_storeu_epi16)
CENOTE_MASKED(4, __m512i, __mmask16, _mm512_mask_loadu_epi32, _mm512_mask_storeu_epi32)
CENOTE_MASKED(8, __m512i, __mmask8, _mm512_mask_loadu_epi64, _mm512_mask_storeu_epi64)
#undef CENOTE_MASKED
#else
constexpr bool kMasks = false;
#endif

// The lanes [low, high) from `from[lane]`; the others keep `rest`.
template <class V, class E>
inline V load_lanes(const E* from, int low, int high, V rest) {
  for (int lane = low; lane < high; ++lane) rest[lane] = from[lane];
  return rest;
}

// Those of a part.
template <class V, class E>
inline V load_part(const E* from, Part part, V rest) {
  for (std::size_t lane = 0; lane < sizeof(V) / sizeof(E); ++lane)
    if (part >> lane & 1) rest[lane] = from[lane];
  return rest;
}

// The first `count` lanes to memory.
template <class V, class E>
inline void store_lanes(E* to, int count, V v) {
  for (int lane = 0; lane < count; ++lane) to[lane] = v[lane];
}

// The same, read from memory once: compilers would rather read it for each of its uses.
template <class V>
CENOTE_INLINE V in_register(V v) {
#if defined(__x86_64__) && CENOTE_VECTOR_BYTES > 0
  if constexpr (sizeof(V) == CENOTE_VECTOR_BYTES) __asm__("" : "+v"(v));
#endif
  return v;
}

// Whether any bit is set.
template <class V>
inline bool any_lane(V v) {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
  if constexpr (sizeof(V) == 64) return _mm512_test_epi64_mask(__m512i(v), __m512i(v)) != 0;
#elif defined(__AVX2__)
  if constexpr (sizeof(V) == 32) return !_mm256_testz_si256(__m256i(v), __m256i(v));
#endif
  bool any = false;
  for (std::size_t lane = 0; lane < sizeof(V) / sizeof(v[0]); ++lane) any |= v[lane] != 0;
  return any;
}

template <int...>
struct Sequence {};
template <int n, int... lane>
struct Counted : Counted<n - 1, n - 1, lane...> {};
template <int... lane>
struct Counted<0, lane...> {
  using type = Sequence<lane...>;
};
template <class T>
using AllOf = typename Counted<kLanes<T>>::type;

template <class V, int... lane>
inline V even_lanes(V low, V high, Sequence<lane...>) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (sizeof...(lane) == 64) {  // bytes have no permutation of two registers here
    const __m256i first = _mm512_cvtepi16_epi8(__m512i(low));
    return V(
        _mm512_inserti64x4(_mm512_castsi256_si512(first), _mm512_cvtepi16_epi8(__m512i(high)), 1));
  }
#endif
  return __builtin_shufflevector(low, high, 2 * lane...);
}
template <class V, int... lane>
inline V odd_lanes(V low, V high, Sequence<lane...>) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (sizeof...(lane) == 64)
    return even_lanes(V(_mm512_srli_epi16(__m512i(low), 8)), V(_mm512_srli_epi16(__m512i(high), 8)),
                      Sequence<lane...>{});
#endif
  return __builtin_shufflevector(low, high, 2 * lane + 1 ...);
}
// The first and the second half of even[0], odd[0], even[1], odd[1], ...
template <class V, int... lane>
inline V interleave_low(V even, V odd, Sequence<lane...>) {
  constexpr int n = sizeof...(lane);
  return __builtin_shufflevector(even, odd, (lane / 2 + lane % 2 * n)...);
}
template <class V, int... lane>
inline V interleave_high(V even, V odd, Sequence<lane...>) {
  constexpr int n = sizeof...(lane);
  return __builtin_shufflevector(even, odd, ((n + lane) / 2 + (n + lane) % 2 * n)...);
}

// Lanes of two vectors, by number; of those outside the part, `rest`.
template <class T>
constexpr bool kPicksLanes = kMasks && sizeof(T) == 4;
template <class V, class U>
inline V pick_lanes(V low, V high, U lane, Part part, V rest) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (sizeof(V) == 64 && sizeof(lane[0]) == 4) {
    const __m512i picked = _mm512_permutex2var_epi32(__m512i(low), __m512i(lane), __m512i(high));
    return V(_mm512_mask_blend_epi32(__mmask16(part), __m512i(rest), picked));
  }
#endif
  constexpr int lanes = sizeof(V) / sizeof(low[0]);
  for (int l = 0; l < lanes; ++l)
    if (part >> l & 1)
      rest[l] = Index(lane[l]) < lanes ? low[int(lane[l])] : high[int(lane[l]) - lanes];
  return rest;
}

// For each lane one of four neighbours, by number: those from 4 * place on of sixteen. To spread
// neighbours over a vector costs more than to pick from one that holds several of them.
#if defined(__AVX2__)
template <class T>
constexpr bool kOneOfFour = sizeof(T) == 4 && kLanes<T> >= 8;
#else
template <class T>
constexpr bool kOneOfFour = false;
#endif
template <class E, class U>
CENOTE_INLINE Vec<E> one_of_four(const E* sixteen, int place, U which) {
#if defined(__AVX512F__)
  if constexpr (sizeof(U) == 64 && sizeof(E) == 4)
    return Vec<E>(_mm512_permutexvar_ps(__m512i(which + broadcast<U>(4u * unsigned(place))),
                                        _mm512_loadu_ps(sixteen)));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(U) == 32 && sizeof(E) == 4)
    return Vec<E>(_mm256_permutevar8x32_ps(_mm256_loadu_ps(sixteen + place / 2 * 8),
                                           __m256i(which + broadcast<U>(place % 2 * 4u))));
#endif
  Vec<E> v = {};
  for (std::size_t lane = 0; lane < sizeof(v) / sizeof(E); ++lane)
    v[lane] = sixteen[4 * place + int(which[lane] & 3)];
  return v;
}

// A number of lanes that the compiler knows: all of them.
template <class T>
struct AllLanes {
  constexpr operator int() const { return kLanes<T>; }
};

// Calls body(x, lanes) for all of [0, length): vector after vector, and once for what is left over.
template <class T, class Body>
inline void sweep(Index length, Body body) {
  Index x = 0;
  for (; x + kLanes<T> <= length; x += kLanes<T>) body(x, AllLanes<T>{});
  if (x < length) body(x, int(length - x));
}

template <class T, class E>
inline Vec<T> load_first(const E* from, AllLanes<T>) {
  return load<Vec<T>>(from);
}
template <class T, class E>
inline Vec<T> load_first(const E* from, int count) {
  return load_lanes<Vec<T>>(from, 0, count, Vec<T>{});
}
template <class T, class E>
inline void store_first(E* to, AllLanes<T>, Vec<T> v) {
  store(to, v);
}
template <class T, class E>
inline void store_first(E* to, int count, Vec<T> v) {
  store_lanes(to, count, v);
}

// The same past the caches, if asked for: to an address that is a multiple of a vector's size.
template <class V, class E>
inline void stream(E* to, V v) {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64)
    return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), __m512i(v));
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32)
    return _mm256_stream_si256(reinterpret_cast<__m256i*>(to), __m256i(v));
#endif
  if constexpr (sizeof(V) == 16)
    return _mm_stream_si128(reinterpret_cast<__m128i*>(to), __m128i(v));
#endif
  store(to, v);
}
template <class T, class E, class Lanes>
inline void store_past(E* to, Lanes lanes, Vec<T> v, bool streams) {
  if constexpr (std::is_same_v<Lanes, AllLanes<T>>)
    if (streams) return stream(to, v);
  store_first<T>(to, lanes, v);
}

// The lanes to memory, `stride` elements apart.
template <class T, class Lanes>
inline void store_strided(T* to, Index stride, Lanes lanes, Vec<T> v) {
  if (stride == 1) return store_first<T>(to, lanes, v);
  for (int lane = 0; lane < lanes; ++lane) to[lane * stride] = v[lane];
}

}  // namespace cenote::CENOTE_TARGET
