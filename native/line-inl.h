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
  const Index start = w.start();
  const T fill = how.fill;
  const bool streams = how.streams;
  const Tap* first_tap = how.first_tap;
  Watch<M, mode> seen;
  const auto at = [=, &seen](Index x, Index moved, Index x_out, auto lanes,
                             auto where) CENOTE_INLINED {
    constexpr bool inside = std::is_same_v<decltype(where), Inside>;
    Watch<M, mode> watch;
    Vec<T> best = {};
    TapVec<T> best_tap = {};
    for (Index j = 0; j < down; ++j) {
      const T* row = rows[j].values + moved;
      const auto half_of = [=](Index k, Index half) {
        const Index position = start + x * stride + k * w.apart + half * kLanes<T>;
        if constexpr (inside)
          return load<Vec<T>>(row + position);
        else if (where.parts)
          return load_part(row + position, where.parts[k * stride + half], broadcast<Vec<T>>(fill));
        else
          return fetch(row, w.n, position, fill);
      };
      const auto values_of = [=](Index k) {
        Vec<T> values = half_of(k, 0);
        if constexpr (stride == 2) values = even_lanes(values, half_of(k, 1), AllOf<T>{});
        if constexpr (M::weighted) values *= w.weight[w.low + k];
        return values;
      };
      Vec<T> kept = values_of(0);
      if (j == 0)
        watch.sum = kept;
      else
        watch(kept);
      if constexpr (kKeepsTaps<Tap>) {
        TapVec<T> tap = broadcast<TapVec<T>>(Tap(w.low));
        for (Index k = 1; k < across; ++k) {
          const Vec<T> next = values_of(k);
          const auto taken = M::template takes<mode != kAware>(next, kept);
          watch(next);
          kept = taken ? next : kept;
          tap = taken ? broadcast<TapVec<T>>(Tap(w.low + k)) : tap;
        }
        if (!inside && first_tap) {
          const TapVec<T> first = load_taps<T>(first_tap + x, 0, lanes);
          tap = tap < first ? first : tap;
        }
        if (deep != 1) tap += broadcast<TapVec<T>>(Tap(rows[j].tap));
        if (j == 0) {
          best = kept, best_tap = tap;
          continue;
        }
        const auto taken = M::template takes<mode != kAware>(kept, best);
        best = taken ? kept : best;
        best_tap = taken ? tap : best_tap;
      } else {
        for (Index k = 1; k < across; ++k) {
          const Vec<T> next = values_of(k);
          watch(next);
          kept = M::template combine<mode != kAware>(kept, next);
        }
        best = j == 0 ? kept : M::template combine<mode != kAware>(best, kept);
      }
    }
    if constexpr (kKeepsTaps<Tap>) store_taps<T>(taps + x_out + x, lanes, best_tap);
    store_past<T>(out + x_out + x, lanes, finish(best, x, lanes), streams);
    seen(watch);
  };
  const Again more = again;
  for (Index r = 0; r < more.times; ++r) {
    const Index moved = r * more.from, x_out = r * more.to;
    for (Index v = w.first; v < w.last; ++v) at(w.output(v), moved, x_out, AllLanes<T>{}, Inside{});
    if (w.count < kLanes<T>) {
      at(0, moved, x_out, int(w.count), AtEdge{w.parts});
      continue;
    }
    for (Index e = 0; e < w.edges(); ++e) {
      const AtEdge where{w.parts ? w.parts + e * across * stride : nullptr};
      at(w.output(w.edge(e)), moved, x_out, AllLanes<T>{}, where);
    }
  }
  return seen.found();
}

template <class M, Mode mode, class Tap, class Finish>
inline bool lines_of(const Sliding<typename M::Element>& window,
                     const Operand<typename M::Element, Tap>* rows, Index many, const Again& again,
                     const Combination<M, Tap>& how, typename M::Element* out, Tap* taps,
                     Finish finish) {
  if constexpr (kTuned<M, Tap>) {
    const Index some = window.high - window.low;
    if (window.stride == 1 && some == 3 && many == 1)
      return lines_of<M, mode, 1, 3, 1>(window, rows, 1, again, how, out, taps, finish);
    if (window.stride == 2 && some == 2 && many == 2)
      return lines_of<M, mode, 2, 2, 2>(window, rows, 2, again, how, out, taps, finish);
    if (window.stride == 2 && some == 3 && many == 3)
      return lines_of<M, mode, 2, 3, 3>(window, rows, 3, again, how, out, taps, finish);
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
