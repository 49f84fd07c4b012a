// Convolutions of one element, alone or around a convolution of single channels, and convolutions
// before a maximum over windows, row by row: what lies between stays in a cache. For floats, with
// channels inside.
#pragma once

#include "panels.h"
#include "pool.h"
#include "types.h"

namespace cenote {

// y = cut(x * weight + bias + other), pixel by pixel. The weight lies in panels of output channels,
// (out/kPanel, in, kPanel), the bias is as long as they are, with zeros for channels there are not.
struct Pointwise {
  Index in, out;
  const float* weight;  // null: there is no such convolution
  const float* bias;
  float low, high;  // nothing is below or above in y; NaN: no such bound
};

// Pixels in memory: where the first one's channels are, and floats from a pixel to the next.
struct Pixels {
  float* at;
  Index pitch;
};

struct PointwiseTask {
  Pointwise what;
  Index pixels;
  Pixels x, other, y;  // other: null where nothing is added
  Index block;         // so many of them are a unit
};

// Where windows lie, along both axes.
struct Windows {
  Index kernel[2], stride[2], before[2];
};

// (batch, n, in) -> (batch, between, middle) -> (batch, outs, middle) -> (batch, outs, out): a
// convolution, one of single channels or a maximum, and a pointwise convolution. The outer two may
// be missing; without the first, `between` is n.
struct SeparableTask {
  Pointwise first, last;  // the first's input: all elements of a window, row by row
  Windows windows;        // of the first
  Windows slides;
  Index batch, channels, middle;  // channels: of x
  Index n[2], between[2], outs[2];
  const float* taps;  // (kernel, middle), with zeros up to a whole panel; null: the maximum
  const float* bias;  // the same
  float low, high;
  Pixels x, other, y;
  Index rows;   // of y that are made at once
  Index bands;  // parts of an image's rows; each is a unit
};

// y's channels are those of both in turns: first[0], second[0], first[1], ...
struct InterleaveTask {
  Index pixels, channels;  // of each of the two
  Pixels first, second, y;
};

// What a target offers.
struct Separable {
  void (*pointwise)(const PointwiseTask&, Index begin, Index end);
  // Takes its units as kernels in types.h do.
  Index (*separable)(const SeparableTask&, Index begin, Index end, char* scratch);
  void (*interleave)(const InterleaveTask&, Index begin, Index end);  // a unit is a pixel
};

// Blocks, rows and bands are chosen here.
void pointwise(const How&, PointwiseTask);
void separable(const How&, SeparableTask);
void interleave(const How&, const InterleaveTask&);

}  // namespace cenote
