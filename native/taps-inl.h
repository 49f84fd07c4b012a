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

// The gradient of rows of inputs, from the rows of outputs that read them.
//
// Inputs a stride apart, a phase, are read through the same taps by neighbouring outputs: so many
// lanes of one are added at once. Where a row of outputs is as long as one of inputs, many rows are
// one, but for what would reach from one into the next.
template <class T, class Tap>
class RowGradient {
 public:
  // With nothing to do for `n` of 0.
  RowGradient(const Axis& axis, Index n, Index outputs, Arena& arena)
      : stride_(axis.stride), outputs_(outputs), n_(n) {
    if (n == 0) return;
    runs_ = arena.take<Run>(stride_);
    parts_ = arena.take<Part>(axis.kernel);
    const Index period = n / gcd(n, kLanes<T>), across = all_readers(axis, 0).count;
    joins_ = kMasks && stride_ == 1 && outputs == n && period * across <= kMostParts;
    if (joins_) joined_ = arena.take<Part>(period * (across + 1));
    if (!runs_) return;
    for (Index phase = 0; phase < stride_; ++phase) runs_[phase] = all_readers(axis, phase);
    if (joins_) join_rows<T>(joined_, period, n, across, runs_[0].source, runs_[0].step);
    joined_stop_ = joined_ + (joins_ ? period * (across + 1) : 0);
  }

  bool joins() const { return joins_; }

  // The gradient of inputs [begin, end) of a row, or, where rows are joined, of as many as that.
  void line(const Reader<T, Tap>* readers, Index rows, Index begin, Index end, T* out,
            bool streams) const {
    if (stride_ == 2) return pairs(readers, rows, begin, end, out, streams);
    if (joins_ && begin == 0) return joined(readers, rows, end, out, streams);
    for (Index first = begin; first < min(begin + stride_, end); ++first) {
      const Sum<0, 0> sum(readers, rows, run(first));
      const Index stride = stride_;
      sweep<T>((end - first - 1) / stride + 1, [=, this](Index x, auto lanes) {
        const Vec<T> total = in_row(sum, x);
        if (stride == 1)
          store_past<T>(out + x, lanes, total, streams);
        else
          store_strided<T>(out + (first - begin) + x * stride, stride, lanes, total);
      });
    }
  }

 private:
  static constexpr Index kMostParts = 2048;

  Run run(Index input) const {
    Run run = runs_[input % stride_];
    run.source += input / stride_;
    return run;
  }

  // The sum over the readers of a vector of a phase: `down` rows, and in each `across` taps, where
  // the compiler knows how many, else 0.
  template <int down, int across>
  struct Sum {
    const Reader<T, Tap>* readers;
    Index rows;
    Run run;
    const T* gradient[down ? down : 1] = {};
    const Tap* taken[down ? down : 1] = {};
    Tap tap[down * across ? down * across : 1] = {};

    CENOTE_INLINE Sum(const Reader<T, Tap>* readers, Index rows, const Run& run)
        : readers(readers), rows(rows), run(run) {
      for (int r = 0; r < down; ++r) {
        gradient[r] = readers[r].gradient + run.source;
        taken[r] = readers[r].taps + run.source;
        for (int j = 0; j < across; ++j)
          tap[r * across + j] = Tap(readers[r].tap + run.tap + j * run.tap_step);
      }
    }
    // `x` outputs further on; parts(j) is which of a tap's lanes exist, or null for all.
    CENOTE_INLINE Vec<T> at(Index x, const Part* parts) const {
      Vec<T> total = {};
      for (Index r = 0; r < (down ? down : rows); ++r) {
        const T* g = (down ? gradient[r] : readers[r].gradient + run.source) + x;
        const Tap* t = (down ? taken[r] : readers[r].taps + run.source) + x;
        for (Index j = 0; j < (across ? across : run.count); ++j) {
          const Tap number =
              down ? tap[r * across + j] : Tap(readers[r].tap + run.tap + j * run.tap_step);
          const Index moved = j * run.step;
          total = parts ? add_taken<T>(total, g + moved, t + moved, number, parts[j])
                        : add_taken<T>(total, g + moved, t + moved, number);
        }
      }
      return total;
    }
  };

  // A vector of outputs of a row, some of which may not exist.
  template <class S>
  CENOTE_INLINE Vec<T> in_row(const S& sum, Index x) const {
    const Run& run = sum.run;
    const Index first = run.source + x, last = first + (run.count - 1) * run.step;
    if (first >= 0 && last + kLanes<T> <= outputs_) return sum.at(x, nullptr);
    for (Index j = 0; j < run.count; ++j) {
      parts_[j] = part_in_row<T>(first + j * run.step, outputs_);
    }
    return sum.at(x, parts_);
  }

  // Which sums are compiled for their numbers of rows and taps.
  static constexpr bool kFast = sizeof(T) == 4 && sizeof(Tap) == 1;

  void joined(const Reader<T, Tap>* readers, Index rows, Index length, T* out, bool streams) const {
    const Run here = run(0);
    if constexpr (kFast) {
      if (rows == 3 && here.count == 3)
        return joined<Sum<3, 3>>(readers, rows, here, length, out, streams);
      if (rows == 2 && here.count == 3)
        return joined<Sum<2, 3>>(readers, rows, here, length, out, streams);
    }
    joined<Sum<0, 0>>(readers, rows, here, length, out, streams);
  }
  template <class S>
  void joined(const Reader<T, Tap>* readers, Index rows, const Run& run, Index length, T* out,
              bool streams) const {
    const S sum(readers, rows, run);
    const Part *parts = joined_, *const begin = joined_, *const stop = joined_stop_;
    const Index count = sum.run.count;
    Part* here = parts_;
    sweep<T>(length, [=](Index x, auto lanes) mutable {
      if constexpr (std::is_same_v<decltype(lanes), AllLanes<T>>) {
        const Vec<T> total = is_whole<T>(parts[count]) ? sum.at(x, nullptr) : sum.at(x, parts);
        store_past<T>(out + x, lanes, total, streams);
      } else {
        for (Index j = 0; j < count; ++j) here[j] = parts[j] & part_of(0, lanes);
        store_first<T>(out + x, lanes, sum.at(x, here));
      }
      parts += count + 1;
      if (parts == stop) parts = begin;
    });
  }

  // Stride 2: both phases at once, interleaved.
  void pairs(const Reader<T, Tap>* readers, Index rows, Index begin, Index end, T* out,
             bool streams) const {
    const Run even = run(begin), odd = run(begin + 1);
    const Index length = end - begin;
    if constexpr (kFast) {
      if (rows == 1 && even.count == 1 && odd.count == 1)
        return pairs<Sum<1, 1>, Sum<1, 1>>(readers, 1, even, odd, length, out, streams);
      if (rows == 1 && even.count == 1 && odd.count == 2)
        return pairs<Sum<1, 1>, Sum<1, 2>>(readers, 1, even, odd, length, out, streams);
      if (rows == 2 && even.count == 1 && odd.count == 2)
        return pairs<Sum<2, 1>, Sum<2, 2>>(readers, 2, even, odd, length, out, streams);
      if (rows == 1 && even.count == 2 && odd.count == 1)
        return pairs<Sum<1, 2>, Sum<1, 1>>(readers, 1, even, odd, length, out, streams);
      if (rows == 2 && even.count == 2 && odd.count == 1)
        return pairs<Sum<2, 2>, Sum<2, 1>>(readers, 2, even, odd, length, out, streams);
    }
    pairs<Sum<0, 0>, Sum<0, 0>>(readers, rows, even, odd, length, out, streams);
  }
  template <class Even, class Odd>
  void pairs(const Reader<T, Tap>* readers, Index rows, const Run& even_run, const Run& odd_run,
             Index length, T* out, bool streams) const {
    const Even even_sum(readers, rows, even_run);
    const Odd odd_sum(readers, rows, odd_run);
    for (Index x = 0; x < length; x += 2 * kLanes<T>) {
      const Vec<T> even = in_row(even_sum, x / 2), odd = in_row(odd_sum, x / 2);
      const Index left = length - x;
      const Vec<T> low = interleave_low(even, odd, AllOf<T>{});
      const Vec<T> high = interleave_high(even, odd, AllOf<T>{});
      if (left >= 2 * kLanes<T>) {
        store_past<T>(out + x, AllLanes<T>{}, low, streams);
        store_past<T>(out + x + kLanes<T>, AllLanes<T>{}, high, streams);
        continue;
      }
      store_lanes(out + x, int(min(left, kLanes<T>)), low);
      if (left > kLanes<T>) store_lanes(out + x + kLanes<T>, int(left - kLanes<T>), high);
    }
  }

  Index stride_, outputs_, n_;
  Run* runs_ = nullptr;
  Part* parts_ = nullptr;  // of one vector
  bool joins_ = false;
  Part *joined_ = nullptr, *joined_stop_ = nullptr;  // of the vectors of joined rows
};

template <class T, class Tap>
class Gather {
 public:
  Gather(const Geometry& g, bool streams, Arena& arena)
      : g_(g),
        last_(g.rank - 1),
        row_(g.axis[last_], g.inner == 1 ? g.n[last_] : 0, g.out[last_], arena),
        streams_(streams) {
    Index inside = 1, rows = 1, pixels = 1;
    for (int l = last_; l >= 0; --l) {
      pitch_[l] = slice_of(g, g.out, l);
      taps_inside_[l] = inside;
      inside *= g.axis[l].kernel;
      if (l < last_ || g.inner > 1) runs_[l] = runs_along<Backward>(g, l, arena);
      const Index span = min((extent(g.axis[l]) - 1) / g.axis[l].stride + 1, g.out[l]);
      pixels *= span;
      if (l < last_) rows *= span;
    }
    reader_ = arena.take<Reader<T, Tap>>(rows);
    if (g.rank == 3) slice_ = arena.take<Reader<T, Tap>>(rows);
    if (g.inner > 1) pixel_ = arena.take<Reader<T, Tap>>(pixels);
  }

  // The inputs [begin, end) of axis 0, from a plane of gradients and taps.
  void units(const T* gradient, const Tap* taps, Index begin, Index end, T* out) {
    const Reader<T, Tap> plane = {gradient, taps, 0};
    if (g_.rank == 1) {
      reader_[0] = plane;
      return row(1, begin, end, out);
    }
    if (g_.rank == 2) return rows(&plane, 1, begin, end, out);
    for (Index i = begin; i < end; ++i, out += slice_of(g_, g_.n, 0)) {
      slice_[0] = plane;
      rows(slice_, expand(0, i, slice_, 1), 0, g_.n[1], out);
    }
  }

 private:
  using Readers = Reader<T, Tap>*;

  Index expand(int level, Index i, Readers list, Index count) const {
    return CENOTE_TARGET::expand(list, count, runs_[level][i], pitch_[level], taps_inside_[level]);
  }

  // The rows [begin, end) of inputs, in slices that `count` slices of outputs read.
  void rows(const Reader<T, Tap>* slices, Index count, Index begin, Index end, T* out) {
    const Index length = g_.n[last_] * g_.inner;
    for (Index t = begin, times; t < end; t += times, out += times * length) {
      times = row_.joins() ? alike(runs_[last_ - 1], t, end, 1, 1) : 1;
      for (Index e = 0; e < count; ++e) reader_[e] = slices[e];
      row(expand(last_ - 1, t, reader_, count), 0, times * g_.n[last_], out);
    }
  }

  void row(Index count, Index begin, Index end, T* out) {
    if (g_.inner == 1)
      row_.line(reader_, count, begin, end, out, streams_);
    else
      pixels(count, begin, end, out);
  }

  // Channels inside: every reader is a pixel. What is a stride further on is read alike, by pixels
  // that are one further on.
  void pixels(Index count, Index begin, Index end, T* out) {
    const Index stride = g_.axis[last_].stride;
    for (Index phase = begin; phase < min(begin + stride, end); ++phase)
      for (Index i = phase, times; i < end; i += times * stride) {
        times = alike(runs_[last_], i, end, stride, 1);
        for (Index e = 0; e < count; ++e) pixel_[e] = reader_[e];
        strip(expand(last_, i, pixel_, count), Again{times, g_.inner, stride * g_.inner},
              out + (i - begin) * g_.inner);
      }
  }

  void strip(Index count, const Again& again, T* out) const {
    if (count == 1) return strip_of<1>(count, again, out);
    if (count == 2) return strip_of<2>(count, again, out);
    if (count == 4) return strip_of<4>(count, again, out);
    if (count == 9) return strip_of<9>(count, again, out);
    strip_of<0>(count, again, out);
  }
  // `some` is the number of readers where the compiler knows it, else 0.
  template <int some>
  void strip_of(Index many, const Again& again, T* out) const {
    const Index count = some ? some : many;
    const T* gradients[some ? some : 1] = {};
    const Tap* taps[some ? some : 1] = {};
    Tap tap[some ? some : 1] = {};
    for (int j = 0; j < some; ++j) gradients[j] = pixel_[j].gradient;
    for (int j = 0; j < some; ++j) taps[j] = pixel_[j].taps;
    for (int j = 0; j < some; ++j) tap[j] = Tap(pixel_[j].tap);
    const Reader<T, Tap>* reader = pixel_;
    const bool streams = streams_;
    const auto at = [=](Index moved, Index x_out, Index x, auto lanes) CENOTE_INLINED {
      Vec<T> total = {};
      for (Index j = 0; j < count; ++j) {
        const T* gradient = (some ? gradients[j] : reader[j].gradient) + moved + x;
        const Tap* taken = (some ? taps[j] : reader[j].taps) + moved + x;
        const Tap number = some ? tap[j] : Tap(reader[j].tap);
        if constexpr (std::is_same_v<decltype(lanes), AllLanes<T>>)
          total = add_taken<T>(total, gradient, taken, number);
        else
          total = add_taken<T>(total, gradient, taken, number, part_of(0, lanes));
      }
      store_past<T>(out + x_out + x, lanes, total, streams);
    };
    sweep_again<T>(again, g_.inner, at);
  }

  const Geometry& g_;
  const int last_;
  RowGradient<T, Tap> row_;
  const bool streams_;
  const Run* runs_[kMaxRank] = {};
  Index pitch_[kMaxRank], taps_inside_[kMaxRank];
  Readers reader_, slice_ = nullptr, pixel_ = nullptr;
};

// Positions, channels not counted, from a window's origin to one of its taps; worked out where
// there is no table.
inline Index position_of(const Task& task, Index tap) {
  if (task.tap_position) return task.tap_position[tap];
  const Geometry& g = task.geometry;
  Index position = 0, pitch = 1;
  for (int l = g.rank - 1; l >= 0; --l) {
    position += tap % g.axis[l].kernel * g.axis[l].dilation * pitch;
    tap /= g.axis[l].kernel;
    pitch *= g.n[l];
  }
  return position;
}
inline Index offset_of(const Task& task, Index tap) {
  return position_of(task, tap) * task.geometry.inner;
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
