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
    const int last = g.rank - 1;
    Index inside = 1, rows = 1, pixels = 1;
    for (int l = last; l >= 0; --l) {
      pitch_[l] = slice_of(g, g.out, l);
      taps_inside_[l] = inside;
      inside *= g.axis[l].kernel;
      if (l < last || g.inner > 1) runs_[l] = runs_along<Backward>(g, l, arena);
      span_[l] = min((extent(g.axis[l]) - 1) / g.axis[l].stride + 1, g.out[l]);
      pixels *= span_[l];
      if (l < last) rows *= span_[l];
    }
    reader_ = arena.take<Reader<T, Tap>>(rows);
    if (g.inner > 1) {
      pixel_ = arena.take<Reader<T, Tap>>(pixels);
      return;
    }
    for (Readers& phase : phase_) phase = arena.take<Reader<T, Tap>>(rows * g.axis[last].kernel);
    room_ = room_around<T>(g.axis[last], last == 0 ? min(g.n[0], kStretch) : g.n[last]);
    slots_ = rows;
    held_ = arena.take<Index>(slots_);
    gradient_ = arena.take<T>(slots_ * room_);
    taps_ = arena.take<Tap>(slots_ * room_);
  }

  // A plane of gradients and taps follows; what was held of the one before is forgotten.
  void start_plane() {
    for (Index slot = 0; slot < slots_; ++slot) held_[slot] = -1;
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
        line(gradient, count, first, stop, out);
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

  template <class Lanes>
  static Vec<T> sum_of(const Reader<T, Tap>* reader, Index count, Index x, Lanes lanes) {
    Vec<T> total = {};
    for (Index j = 0; j < count; ++j) {
      const TapVec<T> taken = load_taps<T>(reader[j].taps + x, 0, lanes);
      const Vec<T> gradient = load_first<T>(reader[j].gradient + x, lanes);
      total += taken == broadcast<TapVec<T>>(Tap(reader[j].tap)) ? gradient : Vec<T>{};
    }
    return total;
  }

  // Channels inside: every reader is a pixel.
  void strip(Index count, T* out) const {
    const Reader<T, Tap>* reader = pixel_;
    sweep<T>(g_.inner, [=](Index x, auto lanes) {
      store_first<T>(out + x, lanes, sum_of(reader, count, x, lanes));
    });
  }

  // A row of outputs with room around it, where no output has taken anything.
  void hold(const T* plane, const Stretch& part, Reader<T, Tap>& row) {
    const int last = g_.rank - 1;
    const Index outputs = g_.out[last], number = (row.gradient - plane) / outputs;
    Index slot = 0;
    if (last == 1) slot = number % span_[0];
    if (last == 2) slot = number / g_.out[1] % span_[0] * span_[1] + number % g_.out[1] % span_[1];
    T* gradient = gradient_ + slot * room_;
    Tap* taps = taps_ + slot * room_;
    if (last == 0 || held_[slot] != number) {
      held_[slot] = number;
      copy_around(row.gradient, outputs, part, T(0), gradient);
      copy_around(row.taps, outputs, part, kNoTap<Tap>, taps);
    }
    row.gradient = gradient - part.first, row.taps = taps - part.first;
  }

  // Every reader is a row.
  void line(const T* plane, Index count, Index begin, Index end, T* out) {
    const Stretch part = around(g_.axis[g_.rank - 1], begin, end);
    for (Index row = 0; row < count; ++row) hold(plane, part, reader_[row]);
    Index counts[2] = {};
    const auto prepare = [&](int phase, const Run& run) {
      Reader<T, Tap>* to = phase_[phase];
      for (Index row = 0; row < count; ++row)
        for (Index j = 0; j < run.count; ++j)
          *to++ = reader_[row].moved(run.source + j * run.step, run.tap + j * run.tap_step);
      counts[phase] = count * run.count;
    };
    phases_.line(begin, end, out, prepare, [&](int phase, Index x) {
      return sum_of(phase_[phase], counts[phase], x, AllLanes<T>{});
    });
  }

  const Geometry& g_;
  Phases phases_;
  const Run* runs_[kMaxRank] = {};
  Index pitch_[kMaxRank], taps_inside_[kMaxRank];
  Index span_[kMaxRank];  // of the outputs along an axis that may read one input
  Readers reader_, pixel_ = nullptr, phase_[2] = {};
  // Rows with room around them, and which each slot holds.
  Index room_ = 0, slots_ = 0;
  Index* held_ = nullptr;
  T* gradient_ = nullptr;
  Tap* taps_ = nullptr;
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
