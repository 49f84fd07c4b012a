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
  // Windows that no kernel and stride describe (`Spans` in spans.py): where each starts and stops.
  // Null for an axis as above; else that axis holds the longest window's kernel and stride 1.
  const Index* starts[kMaxRank];
  const Index* stops[kMaxRank];
};

// Elements in memory, and the lanes in which they are computed.
enum Type { kF32, kF64, kBF16, kF16, kI8, kU8, kI16, kI32, kI64, kBool, kTypes };
enum Lane { kLaneF32, kLaneF64, kLaneI8, kLaneU8, kLaneI16, kLaneI32, kLaneI64, kLaneTypes };

// What else happens to an element on its way into lanes, or out of them.
enum Map {
  kPlain,     // in: the value; out: the value, integers truncated
  kTurned,    // integers: all bits of `mask` turned over: with all of them their order is reversed
  kHalfEven,  // out: rounded to the nearest integer, halves to the even one
  kAbs,       // in: |x|
  kSquare,    // in: x*x
  kPower,     // in: |x|^p
  kRaised,    // in: max(x, floor)^p
  kScaled,    // in: x*p
  kRoot,      // out: x^(1/p)
  kKey,       // half types as integers of their order; notes in `odd` what those do not tell apart
  kMaps
};
struct Conversion {
  Index mask;
  double p, floor;
  bool* odd;
};
using Row = void (*)(const void* from, void* to, Index count, const Conversion&);

// Taps are numbered row-major over the kernel; the greatest value of the type marks an empty
// window.
struct Task {
  Geometry geometry;
  std::uint64_t recipe;       // what it was made from, one number each; 0 if that may change
  const void* input;          // forward: the tensor; backward: the gradient of the output
  void* output;               // forward: the pooled tensor; backward: the gradient of the input
  const void* pooled;         // logsumexp: its output; input is what was pooled
  const void* given;          // logsumexp: what is shared out
  const void* taps_in;        // backward, pick and indices: one tap number an output
  void* taps_out;             // forward: the same, or null
  const Index* tap_position;  // from a window's origin to each of its taps, or null; no channels
  // The divisor of output (o0, rest) is outer_divisor[o0] * slice_divisor[rest], each 1 where null;
  // `rest` runs over axes 1.. and inner. With rank 1 everything is in slice_divisor.
  const void* slice_divisor;  // in lanes
  const Index* outer_divisor;
  bool divides_sources;          // whether it is what goes in that is divided, as on the way back
  bool half_even;                // how lanes of integers divide
  const void* weight[kMaxRank];  // in lanes: what each tap of an axis is multiplied by
  Index identity;                // what an empty window holds, in lanes of integers
  // From elements to lanes and back; null where elements are lanes.
  Row read, write, read_plain;
  Conversion conversion;
  Index input_bytes, output_bytes;  // of an element
  bool streams;                     // whether what moves is more than the caches hold
};

// Computes the units [begin, end) of a task; a unit is one index, on the side that is written, of
// the leading axis of one plane. Returns the bytes of scratch memory that it takes, the same on
// every target and for every range; with null for the memory it does nothing else.
using Kernel = Index (*)(const Task&, Index begin, Index end, char* scratch);

enum Select { kMax, kMin, kSelects };
enum TapType { kTap8, kTap16, kTap32, kTapTypes };

// All that one target offers, filled from kernels.inc. Integers have no minimum of their own: it is
// the maximum of their turned bits.
struct Kernels {
  const char* name;
  Row (*read)(Type, Lane, Map);  // null where there is nothing to do
  Row (*write)(Lane, Type, Map);
  Kernel select[kSelects][kLaneTypes];  // values only
  Kernel select_keep[kSelects][kLaneTypes][kTapTypes];
  Kernel gather[kLaneTypes][kTapTypes];   // backward of select, each input written once
  Kernel scatter[kLaneTypes][kTapTypes];  // the same from the outputs' side; a unit is a plane
  Kernel pick[4][kTapTypes];  // the elements that the taps point at, by log2 of their bytes
  Kernel indices[kTapTypes];  // where they lie in their plane
  Kernel mean[kLaneTypes];
  Kernel mean_backward[kLaneTypes];
  Kernel weighted[kLaneTypes];
  Kernel weighted_backward[kLaneTypes];
  const struct Convolving* convolving;                           // of floats and of doubles
  const struct Winograd* winograd;                               // of floats
  const struct Norms* norms;                                     // of floats
  const struct Separable* separable;                             // of floats
  Kernel log_sum_exp, log_sum_exp_backward, log_sum_exp_shares;  // a unit is a plane
  // Nothing but the bytes: reads all input and writes all output.
  void (*move)(const char* in, Index in_bytes, char* out, Index out_bytes, bool streams);
};

}  // namespace cenote
