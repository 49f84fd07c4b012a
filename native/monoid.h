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

  // Where `next`, which comes later in row-major order, takes the place of `kept`. Without a NaN
  // in `next` that is one comparison, and combining one instruction.
  template <bool plain = false, class V>
  static auto takes(V next, V kept) {
#ifdef CENOTE_BREAK  // the last of equals: a mistake that the tests must see
    const auto more = next >= kept;
#else
    const auto more = next > kept;
#endif
    if constexpr (plain)
      return more;
    else
      return more | (next != next);
  }
  template <bool plain>
  static Vec<T> combine(Vec<T> kept, Vec<T> next) {
    return takes<plain>(next, kept) ? next : kept;
  }
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
  template <bool plain = false, class V>
  static auto takes(V next, V kept) {
    const auto less = next < kept;
    if constexpr (plain)
      return less;
    else
      return less | (next != next);
  }
  template <bool plain>
  static Vec<T> combine(Vec<T> kept, Vec<T> next) {
    return takes<plain>(next, kept) ? next : kept;
  }
  static constexpr T identity(Index) { return T(__builtin_inf()); }
};

template <class T>
struct Sum {
  using Element = T;
  static constexpr bool selects = false, weighted = false;
  static constexpr T identity(Index) { return T(0); }
  template <bool>
  static Vec<T> combine(Vec<T> kept, Vec<T> next) {
    return kept + next;
  }
};

// A sum in which every tap has a weight; the weights of a window are a product over its axes.
template <class T>
struct WeightedSum : Sum<T> {
  static constexpr bool weighted = true;
};

}  // namespace cenote::CENOTE_TARGET
