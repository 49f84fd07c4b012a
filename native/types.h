// What crosses the border between the host code and the targets: plain data, no functions.
// Targets are compiled for different processors, so nothing inline may be shared between them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cenote {

using Index = std::int64_t;

constexpr int kMaxRank = 3;

// A window along one axis, as `Axis` in window.py; "same" is resolved before it gets here.
struct Axis {
  Index kernel, stride, before, after, dilation;
  bool ceil;
};

// A tensor seen as (outer, n[0], ..., n[rank-1], inner), pooled to (outer, out[0], ..., inner).
// Contiguous: outer = N*C, inner = 1. Channels last: outer = N, inner = C.
struct Geometry {
  int rank;
  Axis axis[kMaxRank];
  Index n[kMaxRank];
  Index out[kMaxRank];
  Index inner;
};

// Taps are numbered row-major over the kernel; the greatest value of the type marks an empty
// window.
struct Task {
  Geometry geometry;
  const void* input;        // forward: the tensor; backward: the gradient of the output
  void* output;             // forward: the pooled tensor; backward: the gradient of the input
  const void* taps_in;      // backward, pick and indices: one tap number an output
  void* taps_out;           // forward: the same, or null
  const Index* tap_offset;  // elements from a window's origin to each of its taps, or null
  // The divisor of output (o0, rest) is outer_divisor[o0] * slice_divisor[rest], each 1 where null;
  // `rest` runs over axes 1.. and inner. With rank 1 everything is in slice_divisor.
  const void* slice_divisor;  // in the element type
  const Index* outer_divisor;
};

// Computes the units [begin, end) of a task; a unit is one index, on the side that is written, of
// the leading axis of one plane. Returns the bytes of scratch memory that it takes, the same on
// every target and for every range; with null for the memory it does nothing else.
using Kernel = Index (*)(const Task&, Index begin, Index end, char* scratch);

enum Type { kF32, kF64, kTypes };
enum Select { kMax, kSelects };
enum TapType { kTap8, kTap16, kTap32, kTapTypes };

// All that one target offers, filled from kernels.inc.
struct Kernels {
  const char* name;
  Kernel select[kSelects][kTypes];  // values only
  Kernel select_keep[kSelects][kTypes][kTapTypes];
  Kernel gather[kTypes][kTapTypes];   // backward of select, each input written once
  Kernel scatter[kTypes][kTapTypes];  // the same from the outputs' side; a unit is a whole plane
  Kernel pick[kTypes][kTapTypes];     // the elements that the taps point at
  Kernel indices[kTapTypes];          // where they lie in their plane
  Kernel mean[kTypes];
  Kernel mean_backward[kTypes];
};

}  // namespace cenote
