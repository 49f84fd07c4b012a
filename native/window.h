// The one relation, for the kernels: i = o*stride - before + k*dilation. See window.py.
#pragma once

#include "types.h"

#ifndef CENOTE_TARGET
#define CENOTE_TARGET host
#endif

namespace cenote::CENOTE_TARGET {

// Pairs of one index on the near side with indices on the far side, in the order of the far side:
// far index `source + j*step` through tap `tap + j*tap_step`, for j in [0, count).
struct Run {
  Index source, step, tap, tap_step, count;
};

constexpr Index floor_div(Index a, Index b) { return a / b - (a % b < 0); }  // b > 0
constexpr Index ceil_div(Index a, Index b) { return -floor_div(-a, b); }
constexpr Index min(Index a, Index b) { return a < b ? a : b; }
constexpr Index max(Index a, Index b) { return a > b ? a : b; }
constexpr Index gcd(Index a, Index b) { return b ? gcd(b, a % b) : a; }

constexpr Index extent(const Axis& axis) { return (axis.kernel - 1) * axis.dilation + 1; }

constexpr Index out(const Axis& axis, Index n) {
  const Index last = axis.ceil
                         ? n + axis.before - 1 + min(0, axis.after - extent(axis) + axis.stride)
                         : n + axis.before + axis.after - extent(axis);
  return max(0, floor_div(last, axis.stride) + 1);
}

// The inputs that output `o` reads.
constexpr Run inputs(const Axis& axis, Index n, Index o) {
  const Index start = o * axis.stride - axis.before;
  const Index first = max(0, -floor_div(start, axis.dilation));
  const Index stop = min(axis.kernel, -floor_div(start - n, axis.dilation));
  return {start + first * axis.dilation, axis.dilation, first, 1, max(0, stop - first)};
}

// All outputs that read input `i`, whether they exist or not; ascending, so the taps descend.
constexpr Run all_readers(const Axis& axis, Index i) {
  const Index common = gcd(axis.stride, axis.dilation);
  const Index tap_step = axis.stride / common;
  const Index step = axis.dilation / common;
  const Index position = i + axis.before;
  Index tap = 0;  // the taps that fall on i are one residue class modulo tap_step
  while (tap < tap_step && (position - tap * axis.dilation) % axis.stride != 0) ++tap;
  if (tap == tap_step || tap >= axis.kernel) return {0, step, 0, -tap_step, 0};
  const Index greatest = (position - tap * axis.dilation) / axis.stride;
  const Index steps = (axis.kernel - 1 - tap) / tap_step;
  return {greatest - steps * step, step, tap + steps * tap_step, -tap_step, steps + 1};
}

// Those of them in [0, outputs).
constexpr Run readers(const Axis& axis, Index outputs, Index i) {
  Run run = all_readers(axis, i);
  const Index skip = min(run.count, max(0, ceil_div(-run.source, run.step)));
  const Index stop = max(0, ceil_div(outputs - run.source, run.step));
  run.count = max(0, min(run.count, stop) - skip);
  run.source += skip * run.step;
  run.tap += skip * run.tap_step;
  return run;
}

// The axis `level` of a geometry, whose windows may stand anywhere.
constexpr Index origin(const Geometry& g, int level, Index o) {
  if (g.starts[level]) return g.starts[level][o];
  return o * g.axis[level].stride - g.axis[level].before;
}
constexpr Run inputs(const Geometry& g, int level, Index o) {
  if (!g.starts[level]) return inputs(g.axis[level], g.n[level], o);
  const Index start = g.starts[level][o];
  return {start, 1, 0, 1, g.stops[level][o] - start};
}
// How many of `count` ascending ends lie at `i` or before it.
constexpr Index ends_up_to(const Index* end, Index count, Index i) {
  Index low = 0;
  while (low < count) {
    const Index middle = low + (count - low) / 2;
    if (end[middle] <= i)
      low = middle + 1;
    else
      count = middle;
  }
  return low;
}
// The taps of a run of readers say nothing where windows stand anywhere.
constexpr Run readers(const Geometry& g, int level, Index i) {
  if (!g.starts[level]) return readers(g.axis[level], g.out[level], i);
  const Index first = ends_up_to(g.stops[level], g.out[level], i);
  return {first, 1, 0, 0, ends_up_to(g.starts[level], g.out[level], i) - first};
}

// The outputs [source, source + count) among which are all that read inputs of [begin, end).
constexpr Run readers_of_all(const Geometry& g, int level, Index begin, Index end) {
  if (g.starts[level]) {
    const Run first = readers(g, level, begin), last = readers(g, level, end - 1);
    return {first.source, 1, 0, 0, last.source + last.count - first.source};
  }
  const Axis& axis = g.axis[level];
  const Index first = max(0, ceil_div(begin + axis.before - extent(axis) + 1, axis.stride));
  const Index stop = min(g.out[level], floor_div(end - 1 + axis.before, axis.stride) + 1);
  return {first, 1, 0, 0, max(0, stop - first)};
}
// The inputs [source, source + count) among which are all that outputs of [begin, end) read.
constexpr Run inputs_of_all(const Geometry& g, int level, Index begin, Index end) {
  if (g.starts[level]) {
    const Index start = g.starts[level][begin];
    return {start, 1, 0, 0, g.stops[level][end - 1] - start};
  }
  const Index first = max(0, origin(g, level, begin));
  const Index stop = min(g.n[level], origin(g, level, end - 1) + extent(g.axis[level]));
  return {first, 1, 0, 0, max(0, stop - first)};
}

constexpr Index divisor(const Axis& axis, Index n, Index o, bool count_include_pad) {
  if (!count_include_pad) return inputs(axis, n, o).count;
  const Index end = n + axis.after - (o * axis.stride - axis.before);
  return max(0, min(axis.kernel, ceil_div(end, axis.dilation)));
}

}  // namespace cenote::CENOTE_TARGET
