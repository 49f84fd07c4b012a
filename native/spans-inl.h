// Short windows that stand anywhere along a row, as adaptive ones do: what tap k of a vector of
// outputs reads are lanes of two vectors of the row.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

template <class T, class Tap>
class ShortSpans {
 public:
  // Worth it only where lanes of two vectors are picked at once.
  static bool takes(const Geometry& g) {
    const int last = g.rank - 1;
    if (!kPicksLanes<T> || !g.starts[last] || g.axis[last].kernel > kMostTaps) return false;
    for (Index o = 0; o < g.out[last]; ++o) {
      const Index first = o / kLanes<T> * kLanes<T>;
      if (g.stops[last][o] - g.starts[last][first] > 2 * kLanes<T>) return false;
      if (g.starts[last][o] < g.starts[last][first]) return false;
      if (g.stops[last][o] <= g.starts[last][o]) return false;
    }
    return true;
  }

  void plan(const Geometry& g, Arena& arena) {
    const int last = g.rank - 1;
    n_ = g.n[last], outputs_ = g.out[last], taps_ = g.axis[last].kernel;
    const Index vectors = (outputs_ + kLanes<T> - 1) / kLanes<T>;
    first_ = arena.take<Index>(vectors);
    lane_ = arena.take<Lane>(vectors * taps_ * kLanes<T>);
    part_ = arena.take<Part>(vectors * taps_);
    if (!first_) return;
    for (Index v = 0; v < vectors; ++v) {
      first_[v] = g.starts[last][v * kLanes<T>];
      for (Index k = 0; k < taps_; ++k) {
        part_[v * taps_ + k] = 0;
        for (Index l = 0; l < kLanes<T>; ++l) {
          const Index o = v * kLanes<T> + l;
          const bool there = o < outputs_ && g.starts[last][o] + k < g.stops[last][o];
          lane_[(v * taps_ + k) * kLanes<T> + l] =
              there ? Lane(g.starts[last][o] + k - first_[v]) : Lane(0);
          part_[v * taps_ + k] |= Part(there) << l;
        }
      }
    }
  }

  // Outputs [begin, end) of a row; `begin` is a multiple of the lanes. NaNs are looked after.
  template <class M, class Finish>
  void row(const T* row, Index begin, Index end, T fill, T* out, Tap* taps, Finish finish) const {
    const Vec<T> none = broadcast<Vec<T>>(fill);
    sweep<T>(end - begin, [&](Index x, auto lanes) {
      const Index v = (begin + x) / kLanes<T>, from = first_[v], left = n_ - from;
      const Vec<T> low = load_lanes<Vec<T>>(row + from, 0, int(min(kLanes<T>, left)), none);
      const Index more = min(kLanes<T>, left - kLanes<T>);
      const Vec<T> high =
          more > 0 ? load_lanes<Vec<T>>(row + from + kLanes<T>, 0, int(more), none) : none;
      Watch<M, kAware> watch;
      const Best<T> best = best_of<M, kAware, Tap>(taps_, 0, watch, [&](Index k) CENOTE_INLINED {
        return pick_lanes(low, high, load<TapVec<T>>(lane_ + (v * taps_ + k) * kLanes<T>),
                          part_[v * taps_ + k], none);
      });
      if constexpr (kKeepsTaps<Tap>) store_taps<T>(taps + x, lanes, best.tap);
      store_first<T>(out + x, lanes, finish(best.value, x, lanes));
    });
  }

 private:
  using Lane = typename UnsignedOf<sizeof(T)>::type;
  static constexpr Index kMostTaps = 8;

  Index n_ = 0, outputs_ = 0, taps_ = 0;
  Index* first_ = nullptr;  // where a vector of outputs starts to read
  Lane* lane_ = nullptr;    // for each of its taps, the lanes that are read
  Part* part_ = nullptr;    // and for which outputs there is one
};

}  // namespace cenote::CENOTE_TARGET
