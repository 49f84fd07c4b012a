// Convolutions at stride 1 with fewer multiplications than taps: tiles of the input and the kernel
// are transformed, multiplied position by position, and transformed back (S. Winograd, Arithmetic
// complexity of computations, 1980; A. Lavin, S. Gray, Fast algorithms for convolutional neural
// networks, 2016). For floats, with channels inside.
#pragma once

#include "panels.h"
#include "pool.h"
#include "types.h"

namespace cenote {

// (batch, n, in) -> (batch, outs, out) in square tiles: each reads edge*edge elements and makes
// step*step outputs, step = edge - kernel + 1.
struct Tiling {
  Index edge, kernel, step;
  Index batch, in, out;
  Index n[2], before[2], outs[2], tiles[2];  // tiles: how many along each axis
};

struct WinogradTask {
  Tiling what;
  const float* x;
  const float* filters;
  const float* bias;   // or null
  const float* other;  // what else is added, like y; or null
  float* y;
  Index pitch;           // floats from a pixel of y to the next
  bool positive;         // ReLU
  Index blocks, panels;  // unit u makes panels of number u / blocks in the tiles of u % blocks
};

// A weight of any strides, and its transform, (edge*edge, panels of out, in, kPanel).
struct WinogradFilters {
  Index edge, kernel, out, in;
  Index stride[4];  // of out, in, and both axes; turned kernels have negative ones
  float* weight;
  float* packed;
};

// The gradient of the weight, from so many tiles: both sides transformed, and products added up.
struct WinogradSums {
  Tiling what;
  const float* x;
  const float* given;  // the gradient of the output
  Index first, tiles;
  bool add;  // to sums that there are already
  float *from_x, *from_given;
  float* sums;  // (edge*edge, in, out rounded up to panels)
};

// What a target offers. All but filters and gradients take their units as kernels in types.h do.
struct Winograd {
  Index (*convolve)(const WinogradTask&, Index begin, Index end, char* scratch);
  Index (*room)(const WinogradSums&, bool given);                   // floats of a transformed side
  void (*filters)(const WinogradFilters&, Index begin, Index end);  // a unit is a panel
  Index (*spread)(const WinogradSums&, Index begin, Index end, char* scratch);  // a tile
  void (*multiply)(const WinogradSums&, Index begin, Index end);                // a position
  void (*gather)(const WinogradFilters&, Index begin, Index end);               // a panel
};

// Transforms a weight.
void winograd_filters(const How&, const WinogradFilters&);

// y = the convolution of x by transformed filters, the bias and `other`; blocks and panels are
// chosen here.
void winograd(const How&, WinogradTask);

// The gradient of a weight of any strides, from at least one tile.
void winograd_gradient(const How&, const Tiling&, const float* x, const float* given,
                       const Index (&stride)[4], float* weight);

}  // namespace cenote
