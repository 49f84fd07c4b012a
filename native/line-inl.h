// Windows that slide along rows of contiguous elements: every tap is read where it lies.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

// What of a vector from a position on lies in a row of length n.
template <class T>
inline Part part_in_row(Index position, Index n) {
  return part_of(int(max(0, -position)), int(min(kLanes<T>, n - position)));
}

// The same for rows of length n that are joined: for each of the vectors of a period, and each of
// its taps, the first of them `start` from it and the others `apart`; behind them the lanes for
// which all taps lie in the row of their output.
template <class T>
inline void join_rows(Part* parts, Index period, Index n, Index taps, Index start, Index apart) {
  for (Index v = 0; v < period; ++v, parts += taps + 1) {
    parts[taps] = part_of(0, kLanes<T>);
    for (Index k = 0; k < taps; ++k) {
      parts[k] = 0;
      for (Index lane = 0; lane < kLanes<T>; ++lane) {
        const Index at = (v * kLanes<T> + lane) % n + start + k * apart;
        if (at >= 0 && at < n) parts[k] |= Part(1) << lane;
      }
      parts[taps] &= parts[k];
    }
  }
}

// How a window slides along a row. Taps outside [low, high) lie outside the row for every output.
template <class T>
struct Sliding {
  Index stride, apart, before, n, low, high;
  const T* weight;  // of every tap, or null
  Part* room;       // for the parts of vectors at the ends of the row

  // Outputs [begin, begin + count), a vector at a time. The last vector ends with them: some are
  // computed twice.
  Index begin, count, vectors;
  // Of vectors [first, last) all taps lie in the row. Of the others, in order, there is a part for
  // each tap, and where the stride is 2 for its two halves; null where they would be too many.
  Index first, last;
  const Part* parts;

  static constexpr Index kMostParts = 1024;

  Index start() const { return begin * stride - before + low * apart; }
  Index output(Index vector) const { return min(vector * kLanes<T>, max(0, count - kLanes<T>)); }
  Index edges() const { return vectors - (last - first); }
  Index edge(Index e) const { return e < first ? e : last + e - first; }

  void plan(Index from, Index how_many) {
    if (from == begin && how_many == count) return;
    begin = from, count = how_many, vectors = (count + kLanes<T> - 1) / kLanes<T>;
    const Index top = count - kLanes<T>;  // the first output of the last vector
    const Index inside = ceil_div(-start(), stride);
    const Index stop =
        floor_div(n - kLanes<T> * stride - (high - 1 - low) * apart - start(), stride);
    first = top < inside ? vectors : ceil_div(max(0, inside), kLanes<T>);
    last = stop >= top ? vectors : stop < 0 ? 0 : stop / kLanes<T> + 1;
    last = max(first, last);
    if (top < 0) first = last = 0;
    parts = room;
    const Index taps = high - low;
    if (edges() * taps * stride > kMostParts) parts = nullptr;
    for (Index e = 0; parts && e < edges(); ++e)
      for (Index k = 0; k < taps; ++k)
        for (Index half = 0; half < stride; ++half) {
          const Index at = start() + output(edge(e)) * stride + k * apart + half * kLanes<T>;
          room[(e * taps + k) * stride + half] = part_in_row<T>(at, n);
        }
  }
};

// The elements of a row of length n from a position on; `fill` outside.
template <class T>
inline Vec<T> fetch(const T* row, Index n, Index position, T fill) {
  if (position >= 0 && position + kLanes<T> <= n) return load<Vec<T>>(row + position);
  const Vec<T> rest = broadcast<Vec<T>>(fill);
  const Index low = max(0, -position), high = min(kLanes<T>, n - position);
  return low < high ? load_lanes<Vec<T>>(row + position, int(low), int(high), rest) : rest;
}

// Where a vector's taps lie: all in the row, or as far as its parts say.
struct Inside {};
struct AtEdge {
  const Part* parts;
};

// The taps of a vector of outputs in one row, combined in their order. `some` is their number where
// the compiler knows it, else 0; where it does, two taps of stride 2 come from one pair of loads.
template <class M, Mode mode, int stride, int some, class Tap>
struct RowOfTaps {
  using T = typename M::Element;
  const Sliding<T>& w;
  Index across, start;
  T fill;
  const Tap* first_tap;

  template <class Lanes, class Where>
  CENOTE_INLINE Best<T> at(const T* row, Index x, Lanes lanes, Where where,
                           Watch<M, mode>& watch) const {
    constexpr bool inside = std::is_same_v<Where, Inside>;
    const auto half_of = [&](Index k, Index half) CENOTE_INLINED {
      const Index position = start + x * stride + k * w.apart + half * kLanes<T>;
      if constexpr (inside)
        return load<Vec<T>>(row + position);
      else if (where.parts)
        return load_part(row + position, where.parts[k * stride + half], broadcast<Vec<T>>(fill));
      else
        return fetch(row, w.n, position, fill);
    };
    Best<T> best = best_of<M, mode, Tap>(across, w.low, watch, [&](Index k) CENOTE_INLINED {
      const Index pair = some && stride == 2 ? k / 2 * 2 : k;
      Vec<T> values = half_of(pair, 0);
      if constexpr (stride == 2)
        values = k > pair ? odd_lanes(values, half_of(pair, 1), AllOf<T>{})
                          : even_lanes(values, half_of(pair, 1), AllOf<T>{});
      if constexpr (M::weighted) values *= w.weight[w.low + k];
      return values;
    });
    if constexpr (kKeepsTaps<Tap> && !inside)
      if (first_tap) best.tap = no_less(best.tap, load_taps<T>(first_tap + x, 0, lanes));
    return best;
  }
};

// Calls at(x, lanes, where) for all the vectors of outputs that a plan holds.
template <class T, class At>
CENOTE_INLINE void sweep_line(const Sliding<T>& w, Index across, const At& at) {
  for (Index v = w.first; v < w.last; ++v) at(w.output(v), AllLanes<T>{}, Inside{});
  if (w.count < kLanes<T>) return at(0, int(w.count), AtEdge{w.parts});
  for (Index e = 0; e < w.edges(); ++e) {
    const AtEdge where{w.parts ? w.parts + e * across * w.stride : nullptr};
    at(w.output(w.edge(e)), AllLanes<T>{}, where);
  }
}

constexpr Index kAhead = 4096;  // bytes

// Combines, for the outputs that a plan holds, the taps of `many` rows, and of those further on.
// `some` and `deep` are the numbers of taps and of rows where the compiler knows them, else 0.
// Returns whether a NaN was seen.
template <class M, Mode mode, int stride, int some, int deep, class Tap, class Finish>
inline bool lines_of(const Sliding<typename M::Element>& window,
                     const Operand<typename M::Element, Tap>* operands, Index many,
                     const Again& again, const Combination<M, Tap>& how, typename M::Element* out,
                     Tap* taps, Finish finish) {
  using T = typename M::Element;
  const Sliding<T> w = window;
  const Operands<T, Tap, deep> rows(operands);
  const Index across = some ? some : w.high - w.low, down = deep ? deep : many;
  const RowOfTaps<M, mode, stride, some, Tap> row{w, across, w.start(), how.fill, how.first_tap};
  const bool streams = how.streams;
  const Again more = again;
  Watch<M, mode> seen;
  // Where two rows are read side by side, fetching ahead was faster; where one is, it was not.
  [[maybe_unused]] const T* ahead = rows[0].values + kAhead / sizeof(T);
  for (Index r = 0; r < more.times; ++r) {
    const Index moved = r * more.from, x_out = r * more.to;
    sweep_line(w, across, [&](Index x, auto lanes, auto where) CENOTE_INLINED {
      if constexpr (deep == 2)
        for (int line = 0; line < stride * stride; ++line, ahead += kLanes<T>)
          __builtin_prefetch(ahead);
      Watch<M, mode> watch;
      Best<T> best = row.at(rows[0].values + moved, x, lanes, where, watch);
      if constexpr (kKeepsTaps<Tap>)
        if (deep != 1) best.tap += broadcast<TapVec<T>>(Tap(rows[0].tap));
      for (Index j = 1; j < down; ++j) {
        Best<T> next = row.at(rows[j].values + moved, x, lanes, where, watch);
        if constexpr (kKeepsTaps<Tap>) next.tap += broadcast<TapVec<T>>(Tap(rows[j].tap));
        take<M, mode, Tap>(best, next);
      }
      if constexpr (kKeepsTaps<Tap>) store_taps<T>(taps + x_out + x, lanes, best.tap);
      store_past<T>(out + x_out + x, lanes, finish(best.value, x, lanes), streams);
      seen(watch);
    });
  }
  return seen.found();
}

// The same for windows of `some` by `some` taps: a vector of outputs walks down the rows, of which
// each is combined once; those that the next window shares stay in registers.
template <class M, Mode mode, int stride, int some, class Tap, class Finish>
inline bool walk_of(const Sliding<typename M::Element>& window, const typename M::Element* source,
                    Index pitch, const Again& again, const Combination<M, Tap>& how,
                    typename M::Element* out, Tap* taps, Finish finish) {
  using T = typename M::Element;
  constexpr int shared = some - stride;
  const Sliding<T> w = window;
  const RowOfTaps<M, mode, stride, some, Tap> row{w, some, w.start(), how.fill, how.first_tap};
  const bool streams = how.streams;
  const Again more = again;
  Watch<M, mode> seen;
  // What is walked over next is read in its own order meanwhile.
  const T* ahead = source + (more.times * stride + shared) * pitch;
  sweep_line(w, some, [&](Index x, auto lanes, auto where) CENOTE_INLINED {
    Watch<M, mode> watch;
    const T* from = source;
    Best<T> held[some];
    for (int j = stride; j < some; ++j, from += pitch)
      held[j] = row.at(from, x, lanes, where, watch);
    for (Index r = 0, x_out = x; r < more.times; ++r, x_out += more.to) {
      for (int line = 0; line < stride * stride; ++line, ahead += kLanes<T>)
        __builtin_prefetch(ahead);
      for (int j = 0; j < shared; ++j) held[j] = held[j + stride];
      for (int j = shared; j < some; ++j, from += pitch)
        held[j] = row.at(from, x, lanes, where, watch);
      Best<T> best = held[0];
      for (int j = 1; j < some; ++j) {
        Best<T> next = held[j];
        if constexpr (kKeepsTaps<Tap>) next.tap += broadcast<TapVec<T>>(Tap(j * some));
        take<M, mode, Tap>(best, next);
      }
      if constexpr (kKeepsTaps<Tap>) store_taps<T>(taps + x_out, lanes, best.tap);
      store_past<T>(out + x_out, lanes, finish(best.value, x, lanes), streams);
    }
    seen(watch);
  });
  return seen.found();
}

template <class M, Mode mode, class Tap, class Finish>
inline bool lines_of(const Sliding<typename M::Element>& window,
                     const Operand<typename M::Element, Tap>* rows, Index many, const Again& again,
                     const Combination<M, Tap>& how, typename M::Element* out, Tap* taps,
                     Finish finish) {
  if constexpr (kTuned<M, Tap>) {
    using T = typename M::Element;
    const Index some = window.high - window.low;
    const Index pitch = many > 1 ? rows[1].values - rows[0].values : 0;
    const bool whole = some == many && rows[0].tap == 0 && (many == 1 || rows[1].tap == some);
    if (whole && window.low == 0 && window.stride * pitch == again.from) {
      const T* source = rows[0].values;
      if (window.stride == 1 && some == 3)
        return walk_of<M, mode, 1, 3>(window, source, pitch, again, how, out, taps, finish);
      if (window.stride == 1 && some == 5)
        return walk_of<M, mode, 1, 5>(window, source, pitch, again, how, out, taps, finish);
      if (window.stride == 2 && some == 3)
        return walk_of<M, mode, 2, 3>(window, source, pitch, again, how, out, taps, finish);
      if (window.stride == 2 && some == 5)
        return walk_of<M, mode, 2, 5>(window, source, pitch, again, how, out, taps, finish);
    }
    if (window.stride == 1 && some == 3 && many == 1 && rows[0].tap == 0)
      return lines_of<M, mode, 1, 3, 1>(window, rows, 1, again, how, out, taps, finish);
    if (window.stride == 2 && window.apart == 1 && some == 2 && many == 2)
      return lines_of<M, mode, 2, 2, 2>(window, rows, 2, again, how, out, taps, finish);
  }
  if (window.stride == 1)
    return lines_of<M, mode, 1, 0, 0>(window, rows, many, again, how, out, taps, finish);
  return lines_of<M, mode, 2, 0, 0>(window, rows, many, again, how, out, taps, finish);
}

// Returns whether there may be a NaN in what was read.
template <class M, class Tap, class Finish>
inline bool lines(const Sliding<typename M::Element>& window,
                  const Operand<typename M::Element, Tap>* rows, Index many, const Again& again,
                  const Combination<M, Tap>& how, typename M::Element* out, Tap* taps,
                  Finish finish) {
  if constexpr (M::selects && kFloats<typename M::Element> && !kCommon<M, Tap>) {
    return lines_of<M, kAware>(window, rows, many, again, how, out, taps, finish);
  } else if constexpr (M::selects && kFloats<typename M::Element>) {
    if (!lines_of<M, kWatching>(window, rows, many, again, how, out, taps, finish)) return false;
    if (window.stride == 1)
      lines_of<M, kAware, 1, 0, 0>(window, rows, many, again, how, out, taps, finish);
    else
      lines_of<M, kAware, 2, 0, 0>(window, rows, many, again, how, out, taps, finish);
    return true;
  } else {
    return lines_of<M, kPlain>(window, rows, many, again, how, out, taps, finish);
  }
}

}  // namespace cenote::CENOTE_TARGET
