// Folds: all elements of a row to one, and all pixels of a plane to one pixel.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

// One output from `count` neighbours: the lanes take turns along the row, and are put together in
// the order of their elements, so that the first of equals wins and the last NaN.
template <class M>
struct Folded {
  typename M::Element value;
  Index at;
};
template <class M>
inline Folded<M> fold(const typename M::Element* row, Index count) {
  using T = typename M::Element;
  using U = typename UnsignedOf<sizeof(T)>::type;
  // Lanes of 8 or 16 bits count no further; there what is equal is the same, so the place is no
  // use.
  constexpr bool places = M::selects && sizeof(T) >= 4;
  Vec<T> kept = {};
  TapVec<T> here = count_up<T>(), best = here;
  const int used = int(min(count, kLanes<T>));
  sweep<T>(count, [&](Index x, auto lanes) {
    if (x == 0) {
      kept = load_first<T>(row, lanes);
    } else if constexpr (M::selects) {
      const Vec<T> next = load_lanes<Vec<T>>(row + x, 0, lanes, kept);
      auto taken = M::takes(next, kept);
      if (lanes < kLanes<T>) taken &= count_up<T>() < broadcast<TapVec<T>>(U(lanes));
      kept = taken ? next : kept;
      if constexpr (places) best = taken ? here : best;
    } else {
      kept += load_first<T>(row + x, lanes);
    }
    if constexpr (places) here += broadcast<TapVec<T>>(U(kLanes<T>));
  });
  Folded<M> all = {kept[0], Index(best[0])};
  for (int lane = 1; lane < min(used, kLanes<T>); ++lane) {
    const Folded<M> next = {kept[lane], Index(best[lane])};
    if constexpr (M::selects) {
      const bool later = M::takes(next.value, all.value), earlier = M::takes(all.value, next.value);
      const bool alike = later == earlier;  // equals: the first; two NaNs: the last
      if (alike ? (next.at > all.at) == later : later) all = next;
    } else {
      all.value += next.value;
    }
  }
  return all;
}

// All lanes of a vector together: its upper half with the lower one, as often as it has halves.
template <class M, class V, int... lane>
inline typename M::Element halves(V v, Sequence<lane...>) {
  constexpr int n = sizeof...(lane);
  if constexpr (n >= 2)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 1)...));
  if constexpr (n >= 4)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 2)...));
  if constexpr (n >= 8)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 4)...));
  if constexpr (n >= 16)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 8)...));
  if constexpr (n >= 32)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 16)...));
  if constexpr (n >= 64)
    v = M::template combine<true>(v, __builtin_shufflevector(v, v, (lane ^ 32)...));
  return v[0];
}

// The same where only the value counts: lanes are put together by halves.
template <class M>
inline typename M::Element fold_value(const typename M::Element* row, Index count) {
  using T = typename M::Element;
  constexpr Index L = kLanes<T>;
  if (count < L) {  // one after the other is as quick
    T all = row[0];
    for (Index x = 1; x < count; ++x) {
      if constexpr (M::selects)
        all = M::takes(row[x], all) ? row[x] : all;
      else
        all += row[x];
    }
    return all;
  }
  if constexpr (L >= 4 && kCommon<M, void>) {
    Vec<T> kept = load<Vec<T>>(row);
    Watch<M, M::selects && kFloats<T> ? kWatching : kPlain> seen{kept};
    const auto take = [&](Vec<T> next) {
      seen(next);
      kept = M::template combine<true>(kept, next);
    };
    Index x = L;
    for (; x + L <= count; x += L) take(load<Vec<T>>(row + x));
    // Of a selection some may count twice, which changes nothing; not so of a sum.
    if (x < count)
      take(M::selects ? load<Vec<T>>(row + count - L)
                      : load_lanes<Vec<T>>(row + x, 0, int(count - x), Vec<T>{}));
    const T all = halves<M>(kept, AllOf<T>{});
    // A zero may have another sign than the first one of the row.
    if (!M::selects || !kFloats<T> || (!seen.found() && all != T(0))) return all;
  }
  return fold<M>(row, count).value;
}

// Where in a row a value is for the first time. It has to be there.
template <class T>
inline Index find(const T* row, Index count, T value) {
  Index x = 0;
  while (x + kLanes<T> <= count && !any_lane(load<Vec<T>>(row + x) == broadcast<Vec<T>>(value)))
    x += kLanes<T>;
  while (row[x] != value) ++x;
  return x;
}

// A run of neighbours from `row` on, and if taps are kept which of them it was.
template <class M, class Tap>
inline typename M::Element fold_run(const typename M::Element* row, const Run& run,
                                    typename M::Element fill, Tap* tap) {
  if constexpr (kKeepsTaps<Tap>) {
    if (run.count == 0) {
      *tap = kNoTap<Tap>;
      return fill;
    }
    if constexpr (kCommon<M, Tap> && kFloats<typename M::Element>) {
      const auto value = fold_value<M>(row, run.count);
      if (value == value) {  // the first of its equals
        *tap = Tap(run.tap + find(row, run.count, value));
        return value;
      }
    }
    const Folded<M> all = fold<M>(row, run.count);
    *tap = Tap(run.tap + all.at);
    return all.value;
  } else {
    return run.count ? fold_value<M>(row, run.count) : fill;
  }
}

// All pixels of a plane with channels inside to one pixel: columns of elements that lie a row
// apart, a few vectors of them at a time, which stay in registers. A row is a pixel; or, where that
// is less than a vector, so many of them that it is whole vectors long, and its columns are put
// together by channel at the end.
template <class M>
class FoldPixels {
 public:
  using T = typename M::Element;

  // Wider pixels would be walked through too often.
  static bool takes(Index channels) {
    return kCommon<M, void> && channels <= 2 * kMost * kLanes<T>;
  }

  FoldPixels(Index channels, T fill, Arena& arena)
      : channels_(channels),
        width_(channels < kLanes<T> ? channels * (kLanes<T> / gcd(channels, kLanes<T>)) : channels),
        fill_(fill) {
    while (channels < kLanes<T> && 2 * width_ <= kMost * kLanes<T>) width_ *= 2;
    columns_ = arena.take<T>(width_);
  }

  Index width() const { return width_; }

  void start() { empty_ = true, nan_ = false; }

  // So many elements more: whole rows, but for those at the end of the plane.
  void add(const T* from, Index count) {
    const Index rows = count / width_, vectors = (width_ + kLanes<T> - 1) / kLanes<T>;
    for (Index v = 0; rows > 0 && v < vectors; v += kMost) {
      const Index x = v * kLanes<T>, last = width_ - kLanes<T> - x;
      nan_ |= some(min(kMost, vectors - v), from + x, rows, last, columns_ + x);
    }
    const Index left = count - rows * width_;
    if (empty_ && rows == 0)
      for (Index x = 0; x < width_; ++x) columns_[x] = fill_;
    for (Index x = 0; x < left; ++x) columns_[x] = both(columns_[x], from[count - left + x]);
    empty_ = false;
  }

  // The pixel; false where a NaN, or a zero's sign, asks for them in their order.
  bool result(T* out) const {
    constexpr bool floats = M::selects && kFloats<T>;
    for (Index c = 0; c < channels_; ++c) {
      out[c] = columns_[c];
      for (Index x = c + channels_; x < width_; x += channels_) out[c] = both(out[c], columns_[x]);
      if (floats && channels_ < kLanes<T> && (out[c] == T(0) || out[c] != out[c])) return false;
    }
    return !nan_;
  }

 private:
  static constexpr Index kMost = 8;

  static T both(T kept, T next) {
    if constexpr (M::selects)
      return M::takes(next, kept) ? next : kept;
    else
      return T(kept + next);
  }

  bool some(Index vectors, const T* from, Index rows, Index last, T* columns) const {
    switch (vectors) {
      case 1:
        return fold_columns<1>(from, rows, last, columns);
      case 2:
        return fold_columns<2>(from, rows, last, columns);
      case 3:
        return fold_columns<3>(from, rows, last, columns);
      case 4:
        return fold_columns<4>(from, rows, last, columns);
      case 5:
        return fold_columns<5>(from, rows, last, columns);
      case 6:
        return fold_columns<6>(from, rows, last, columns);
      case 7:
        return fold_columns<7>(from, rows, last, columns);
      default:
        return fold_columns<8>(from, rows, last, columns);
    }
  }

  // The last vector starts no later than `last`: it may overlap the one before.
  template <int vectors>
  bool fold_columns(const T* from, Index rows, Index last, T* columns) const {
    if constexpr (kCommon<M, void>) {
      const auto at = [=](int v) {
        return v < vectors - 1 ? v * kLanes<T> : min(v * kLanes<T>, last);
      };
      constexpr Mode mode = M::selects && kFloats<T> ? kWatching : kPlain;
      Vec<T> kept[vectors];
      for (int v = 0; v < vectors; ++v) kept[v] = load<Vec<T>>((empty_ ? from : columns) + at(v));
      Watch<M, mode> seen;
      for (int v = 0; v < vectors; ++v) seen(kept[v]);
      for (Index row = empty_; row < rows; ++row) {
        const T* here = from + row * width_;
        Watch<M, mode> watch;
        for (int v = 0; v < vectors; ++v) {
          const Vec<T> next = in_register(load<Vec<T>>(here + at(v)));
          watch(next);
          kept[v] = M::template combine<true>(kept[v], next);
        }
        seen(watch);  // its own sum: rows need not wait for each other
      }
      for (int v = 0; v < vectors; ++v) store(columns + at(v), kept[v]);
      return seen.found();
    }
    return true;
  }

  const Index channels_;
  Index width_;
  const T fill_;
  T* columns_;
  bool empty_ = true, nan_ = false;
};

}  // namespace cenote::CENOTE_TARGET
