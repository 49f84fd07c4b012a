// Batch norm by the statistics of the batch, what is added to its result, and an activation that
// cuts off: forward and back in two passes through memory each. For floats, with channels inside.
#pragma once

#include <vector>

#include "pool.h"
#include "types.h"

namespace cenote {

// y = cut((x - mean) * gain + beta + other), where gain = gamma * scale, scale = 1/sqrt(var + eps).
struct Norm {
  Index rows, channels;  // of x, y and all that is like them
  const float* x;
  const float* other;         // or null
  const float *gamma, *beta;  // one a channel, like the next two
  float *mean, *scale;
  float low, high;  // nothing is below or above in y; NaN: no such bound
  bool streams;     // whether results are more than the caches hold
};

// The way back: `y` decides what was cut off where something was added; else x does, again.
struct NormBack {
  Norm what;
  const float* y;      // or null
  const float* given;  // the gradient of y
  float* to_other;     // the gradient of what was added, or null
  float* to_x;
  float *to_gamma, *to_beta;
};

// y = cut((x - mean) * gain + beta) by statistics that are known, of x that lies in parts, each
// with so many of the channels, one part behind the other.
struct NormParts {
  Index rows, channels;
  const std::vector<const float*>& x;
  const std::vector<Index>& sizes;
  const float *mean, *var, *gamma, *beta;
  float low, high;
  float* y;
};

// What a target offers: each for the rows [begin, end).
struct Norms {
  // Bytes of scratch memory that moments and sums take.
  Index (*scratch)(Index channels);
  // The mean of each channel, and the sum of the squares of what is left of it.
  void (*moments)(const Norm&, Index begin, Index end, double* mean, double* squares,
                  char* scratch);
  void (*apply)(const Norm&, const float* gain, float* y, Index begin, Index end);
  void (*apply_parts)(const NormParts&, const float* gain, Index begin, Index end);
  // Sums over g, the gradient of what goes into the activation, and over g * (x - mean).
  void (*sums)(const NormBack&, const float* gain, Index begin, Index end, double* plain,
               double* by_x, char* scratch);
  // to_x = g * gain - shift - (x - mean) * slope.
  void (*back)(const NormBack&, const float* gain, const float* shift, const float* slope,
               Index begin, Index end);
};

// Fills mean, scale and y; the running statistics, or null, take in so much of the batch's.
void norm(const How&, Norm, double eps, double momentum, float* running_mean, float* running_var,
          float* y);

// Fills y, without a gradient.
void norm_parts(const How&, const NormParts&, double eps);

// y again, from the same statistics.
void norm_again(const How&, Norm, float* y);

// All gradients.
void norm_back(const How&, NormBack);

}  // namespace cenote
