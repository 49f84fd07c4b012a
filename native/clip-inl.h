// Activations that cut off.
#pragma once

#include "vec.h"

namespace cenote::CENOTE_TARGET {

using F = Vec<float>;

// The nearest in [low, high]; NaN stays, and a bound that is NaN is none.
inline F between(F value, F low, F high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

}  // namespace cenote::CENOTE_TARGET
