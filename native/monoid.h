// What a window does with its elements: an associative operation and its identity.
#pragma once

#include "narrow.h"

namespace cenote::CENOTE_TARGET {

// Keeps the greatest; of equals the first, of NaNs the last. -inf comes from the compiler's
// builtin, so that no header with inline functions is compiled for two processors.
template <class T>
struct Max {
  using Element = T;
  static constexpr bool selects = true;
  static constexpr T identity() { return -T(__builtin_inf()); }

  // Where `next`, which comes later in row-major order, takes the place of `kept`.
  static auto takes(Vec<T> next, Vec<T> kept) {
#ifdef CENOTE_BREAK  // the last of equals: a mistake that the tests must see
    return (next >= kept) | (next != next);
#else
    return (next > kept) | (next != next);
#endif
  }
  static Vec<T> combine(Vec<T> kept, Vec<T> next) { return takes(next, kept) ? next : kept; }
};

template <class T>
struct Sum {
  using Element = T;
  static constexpr bool selects = false;
  static constexpr T identity() { return T(0); }
  static Vec<T> combine(Vec<T> kept, Vec<T> next) { return kept + next; }
};

}  // namespace cenote::CENOTE_TARGET
