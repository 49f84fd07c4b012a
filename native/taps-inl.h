// What starts from tap numbers: the backward pass of a selecting reduction, in two ways that give
// the same bits, and its adjoint.
//
// gather: every input asks its readers, in ascending order, whether they took it; written once.
// scatter: every output, in ascending order, adds its gradient to the input that it took.
#pragma once

#include "pool-inl.h"

namespace cenote::CENOTE_TARGET {

// Calls body(plane, begin, end) for the parts of the units [begin, end) that share a plane, and are
// no more than `most`.
template <class Body>
inline void for_each_plane(Index begin, Index end, Index units_of_plane, Index most, Body body) {
  while (begin < end) {
    const Index plane = begin / units_of_plane;
    const Index stop = min(min(end, begin + most), (plane + 1) * units_of_plane);
    body(plane, begin - plane * units_of_plane, stop - plane * units_of_plane);
    begin = stop;
  }
}

// A row or a pixel of outputs that may have taken an input, through tap number `tap` if they did.
template <class T, class Tap>
struct Reader {
  const T* gradient;
  const Tap* taps;
  Index tap;
  Reader moved(Index by, Index taps_on) const { return {gradient + by, taps + by, tap + taps_on}; }
};

template <class T, class Tap>
class Gather {
 public:
  Gather(const Geometry& g, Arena& arena)
      : g_(g), phases_(g.axis[g.rank - 1], g.inner == 1 ? g.n[g.rank - 1] : 0, arena) {
    Index inside = 1, rows = 1, pixels = 1;
    for (int l = g.rank - 1; l >= 0; --l) {
      pitch_[l] = slice_of(g, g.out, l);
      taps_inside_[l] = inside;
      inside *= g.axis[l].kernel;
      if (l < g.rank - 1 || g.inner > 1) runs_[l] = runs_along<Backward>(g, l, arena);
      const Index most = min((extent(g.axis[l]) - 1) / g.axis[l].stride + 1, g.out[l]);
      pixels *= most;
      if (l < g.rank - 1) rows *= most;
    }
    reader_ = arena.take<Reader<T, Tap>>(rows);
    if (g.inner > 1) pixel_ = arena.take<Reader<T, Tap>>(pixels);
  }

  // Input `i` of axis 0, or with one axis the inputs [i, end), from a plane of gradients and taps.
  void unit(const T* gradient, const Tap* taps, Index i, Index end, T* out) {
    const int last = g_.rank - 1;
    Index target[kMaxRank] = {i};
    const Index rows = last == 0 ? 1 : slice_of(g_, g_.n, 0) / (g_.n[last] * g_.inner);
    const Index first = last == 0 ? i : 0, stop = last == 0 ? end : g_.n[last];
    for (Index row = 0; row < rows; ++row) {
      reader_[0] = {gradient, taps, 0};
      Index count = 1;
      for (int l = 0; l < last; ++l) count = expand(l, target[l], reader_, count);
      if (g_.inner == 1) {
        line(count, first, stop, out);
      } else {
        for (Index at = first; at < stop; ++at) {
          for (Index e = 0; e < count; ++e) pixel_[e] = reader_[e];
          strip(expand(last, at, pixel_, count), out + (at - first) * g_.inner);
        }
      }
      out += g_.n[last] * g_.inner;
      for (int l = last - 1; l > 0 && ++target[l] == g_.n[l]; --l) target[l] = 0;
    }
  }

 private:
  using Readers = Reader<T, Tap>*;

  Index expand(int level, Index i, Readers list, Index count) const {
    return CENOTE_TARGET::expand(list, count, runs_[level][i], pitch_[level], taps_inside_[level]);
  }

  static Vec<T> taken(Vec<T> gradient, TapVec<T> taps, Index tap) {
    return taps == broadcast<TapVec<T>>(Tap(tap)) ? gradient : Vec<T>{};
  }

  // Channels inside: every reader is a pixel.
  void strip(Index count, T* out) const {
    const Reader<T, Tap>* reader = pixel_;
    sweep<T>(g_.inner, [=](Index x, auto lanes) {
      Vec<T> total = {};
      for (Index j = 0; j < count; ++j)
        total += taken(load_first<T>(reader[j].gradient + x, lanes),
                       load_taps<T>(reader[j].taps + x, 0, lanes), reader[j].tap);
      store_first<T>(out + x, lanes, total);
    });
  }

  // Every reader is a row.
  void line(Index count, Index begin, Index end, T* out) const {
    const Index outputs = g_.out[g_.rank - 1];
    const Reader<T, Tap>* reader = reader_;
    phases_.line(begin, end, out, [=](const Run& run) {
      Vec<T> total = {};
      for (Index row = 0; row < count; ++row)
        for (Index j = 0; j < run.count; ++j) {
          const Index o = run.source + j * run.step;
          const int low = int(min(max(0, -o), kLanes<T>));
          const int high = int(max(low, min(kLanes<T>, outputs - o)));
          if (low == high) continue;
          total += taken(fetch<T, 1>(reader[row].gradient, outputs, o, 1, T(0)),
                         load_taps<T>(reader[row].taps + o, low, high),
                         reader[row].tap + run.tap + j * run.tap_step);
        }
      return total;
    });
  }

  const Geometry& g_;
  Phases phases_;
  const Run* runs_[kMaxRank] = {};
  Index pitch_[kMaxRank], taps_inside_[kMaxRank];
  Readers reader_, pixel_ = nullptr;
};

// Elements from a window's origin to one of its taps; worked out where there is no table.
inline Index offset_of(const Task& task, Index tap) {
  if (task.tap_offset) return task.tap_offset[tap];
  const Geometry& g = task.geometry;
  Index offset = 0, pitch = g.inner;
  for (int l = g.rank - 1; l >= 0; --l) {
    offset += tap % g.axis[l].kernel * g.axis[l].dilation * pitch;
    tap /= g.axis[l].kernel;
    pitch *= g.n[l];
  }
  return offset;
}

// Calls body(position, origin) for all outputs [begin, end) of axis 0 in ascending order: the
// output's position in its plane and its window's origin in the input's, both for channel 0.
template <class Body>
inline void for_each_output(const Geometry& g, Index begin, Index end, Body body) {
  Index o[kMaxRank] = {begin}, pitch[kMaxRank];
  const Index inside = slice_of(g, g.out, 0) / g.inner;
  for (int l = 0; l < g.rank; ++l) pitch[l] = slice_of(g, g.n, l);
  for (Index x = begin * inside; x < end * inside; ++x) {
    Index first = 0;
    for (int l = 0; l < g.rank; ++l) first += origin(g, l, o[l]) * pitch[l];
    body(x * g.inner, first);
    for (int l = g.rank - 1; l >= 0 && ++o[l] == g.out[l] && l > 0; --l) o[l] = 0;
  }
}

}  // namespace cenote::CENOTE_TARGET
