// Windows in short rows, wherever they stand: what tap k of a vector of outputs reads are lanes of
// two vectors of the row. For adaptive windows, which move by no stride, and for strides that would
// have to be dealt out.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

template <class T, class Tap>
class ShortRow {
 public:
  // Worth it only where lanes of two vectors are picked at once, and for few vectors.
  static bool takes(const Geometry& g) {
    const int last = g.rank - 1;
    if (!kPicksLanes<T> || g.axis[last].kernel > kMostTaps) return false;
    if (g.inner > 1 && (g.starts[last] || g.inner >= kLanes<T>)) return false;
    if (g.n[last] * g.inner > kLongest) return false;
    for (Index o = 0; g.starts[last] && o < g.out[last]; ++o) {
      if (g.stops[last][o] <= g.starts[last][o]) return false;
      if (o > 0 && g.starts[last][o] < g.starts[last][o - 1]) return false;
    }
    return at_once(g) >= kLeastAtOnce;
  }

  void plan(const Geometry& g, Arena& arena) {
    const int last = g.rank - 1;
    n_ = g.n[last] * g.inner, outputs_ = g.out[last] * g.inner, taps_ = g.axis[last].kernel,
    at_once_ = at_once(g);
    const Index vectors = (outputs_ + at_once_ - 1) / at_once_;
    first_ = arena.take<Index>(vectors);
    lane_ = arena.take<Lane>(vectors * taps_ * kLanes<T>);
    part_ = arena.take<Part>(vectors * taps_);
    if (!part_) return;
    for (Index v = 0; v < vectors; ++v) {
      first_[v] = max(0, position(g, v * at_once_, 0));
      for (Index k = 0; k < taps_; ++k) {
        Part& part = part_[v * taps_ + k] = 0;
        for (Index l = 0; l < kLanes<T>; ++l) {
          const Index o = v * at_once_ + l;
          const Index at = l < at_once_ && o < outputs_ ? position(g, o, k) : -1;
          const bool there = at >= 0 && at < n_ && (!g.stops[last] || at < g.stops[last][o]);
          lane_[(v * taps_ + k) * kLanes<T> + l] = there ? Lane(at - first_[v]) : Lane(0);
          part |= Part(there) << l;
        }
      }
    }
  }

  // All outputs of rows that follow each other, in both places. NaNs are looked after.
  template <class M>
  void rows(const T* row, Index many, const Combination<M, Tap>& how, T* out, Tap* taps) const {
    for (Index y = 0; y < many; ++y) {
      this->row<M>(row + y * n_, how, out + y * outputs_, taps, Keep{});
      if constexpr (kKeepsTaps<Tap>) taps += outputs_;
    }
  }
  template <class M, class Finish>
  void row(const T* row, const Combination<M, Tap>& how, T* out, Tap* taps, Finish finish) const {
    const Vec<T> none = broadcast<Vec<T>>(how.fill);
    const Lane* lane = lane_;
    const Part* part = part_;
    for (Index x = 0, v = 0; x < outputs_; x += at_once_, ++v) {
      const Index from = first_[v], left = n_ - from;
      const Vec<T> low = load_lanes<Vec<T>>(row + from, 0, int(min(kLanes<T>, left)), none);
      const Index more = max(0, min(kLanes<T>, left - kLanes<T>));
      const Vec<T> high = load_lanes<Vec<T>>(row + from + kLanes<T>, 0, int(more), none);
      Watch<M, kAware> watch;
      Best<T> best = best_of<M, kAware, Tap>(taps_, 0, watch, [&](Index k) CENOTE_INLINED {
        return pick_lanes(low, high, load<TapVec<T>>(lane + k * kLanes<T>), part[k], none);
      });
      lane += taps_ * kLanes<T>, part += taps_;
      const int count = int(min(at_once_, outputs_ - x));
      if constexpr (kKeepsTaps<Tap>) {
        if (how.first_tap) best.tap = no_less(best.tap, load_taps<T>(how.first_tap + x, 0, count));
        store_taps<T>(taps + x, count, best.tap);
      }
      store_first<T>(out + x, count, finish(best.value, x, count));
    }
  }

 private:
  using Lane = typename UnsignedOf<sizeof(T)>::type;
  static constexpr Index kMostTaps = 8, kLongest = 512, kLeastAtOnce = 4;

  // Where element o of a row of outputs finds its tap k.
  static Index position(const Geometry& g, Index o, Index k) {
    const int last = g.rank - 1;
    const Axis& axis = g.axis[last];
    if (g.starts[last]) return g.starts[last][o] + k;
    const Index channel = o % g.inner;
    return (o / g.inner * axis.stride - axis.before + k * axis.dilation) * g.inner + channel;
  }
  // So many outputs, from any one on, read no more than two vectors; of whole pixels.
  static Index at_once(const Geometry& g) {
    const int last = g.rank - 1;
    const Index most = 2 * kLanes<T>;
    if (!g.starts[last]) {
      const Index pixels = most / g.inner - extent(g.axis[last]);
      if (pixels < 0) return 0;
      return min(kLanes<T> / g.inner, pixels / g.axis[last].stride + 1) * g.inner;
    }
    for (Index outputs = min(kLanes<T>, g.out[last]);; --outputs) {
      bool fits = true;
      for (Index o = 0; o < g.out[last]; o += max(1, outputs))
        fits = fits && g.stops[last][min(o + outputs, g.out[last]) - 1] - g.starts[last][o] <= most;
      if (fits || outputs == 0) return outputs;
    }
  }

  Index n_ = 0, outputs_ = 0, taps_ = 0, at_once_ = 1;
  Index* first_ = nullptr;  // where a vector of outputs starts to read
  Lane* lane_ = nullptr;    // for each of its taps, the lanes that are read
  Part* part_ = nullptr;    // and for which outputs there is one
};

}  // namespace cenote::CENOTE_TARGET
