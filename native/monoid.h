// What a window does with its elements: an associative operation and its identity.
#pragma once

#include "narrow.h"

namespace cenote::CENOTE_TARGET {

// -inf and the like come from the compiler, so that no header with inline functions is compiled for
// two processors.
// Keeps the greatest; of equals the first, of NaNs the last.
template <class T>
struct Max {
  using Element = T;
  static constexpr bool selects = true, weighted = false;

  // Where `next`, which comes later in row-major order, takes the place of `kept`.
  template <class V>
  static auto takes(V next, V kept) {
#ifdef CENOTE_BREAK  // the last of equals: a mistake that the tests must see
    return (next >= kept) | (next != next);
#else
    return (next > kept) | (next != next);
#endif
  }
  static Vec<T> combine(Vec<T> kept, Vec<T> next) { return takes(next, kept) ? next : kept; }
  // What an empty window holds: of integers the least that their elements can be.
  static constexpr T identity(Index least) {
    if constexpr (kFloats<T>) return -T(__builtin_inf());
    return T(least);
  }
};

// Keeps the least in the same way.
template <class T>
struct Min {
  using Element = T;
  static constexpr bool selects = true, weighted = false;
  template <class V>
  static auto takes(V next, V kept) {
    return (next < kept) | (next != next);
  }
  static Vec<T> combine(Vec<T> kept, Vec<T> next) { return takes(next, kept) ? next : kept; }
  static constexpr T identity(Index) { return T(__builtin_inf()); }
};

template <class T>
struct Sum {
  using Element = T;
  static constexpr bool selects = false, weighted = false;
  static constexpr T identity(Index) { return T(0); }
  static Vec<T> combine(Vec<T> kept, Vec<T> next) { return kept + next; }
};

// A sum in which every tap has a weight; the weights of a window are a product over its axes.
template <class T>
struct WeightedSum : Sum<T> {
  static constexpr bool weighted = true;
};

}  // namespace cenote::CENOTE_TARGET
