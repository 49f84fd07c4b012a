// Windows that slide along rows at stride 1 and leave them as long as they were: then all rows of a
// plane are one long row, but for the taps that would reach from one row into the next.
#pragma once

#include "line-inl.h"

namespace cenote::CENOTE_TARGET {

template <class T, class Tap>
class Flat {
 public:
  // Worth it only where parts of vectors are loaded at once, and do not repeat too late.
  static bool takes(const Sliding<T>& w, Index outputs) {
    return kMasks && w.stride == 1 && outputs == w.n && period(w) * (w.high - w.low) <= kMostParts;
  }

  // `first_tap` is of one row, or null.
  void plan(const Sliding<T>& window, const Tap* first_tap, Arena& arena) {
    w_ = window;
    across_ = w_.high - w_.low, start_ = w_.low * w_.apart - w_.before, period_ = period(w_);
    parts_ = arena.take<Part>(period_ * (across_ + 1));
    if constexpr (kKeepsTaps<Tap>) {
      Tap* room = arena.take<Tap>(period_ * kLanes<T>);
      if (first_tap) first_tap_ = room;
    }
    if (!parts_) return;
    join_rows<T>(parts_, period_, w_.n, across_, start_, w_.apart);
    if constexpr (kKeepsTaps<Tap>)
      for (Index x = 0; first_tap_ && x < period_ * kLanes<T>; ++x)
        first_tap_[x] = first_tap[x % w_.n];
  }

  // `count` elements of whole rows. Returns whether there may be a NaN in them.
  template <class M>
  bool lines(const T* from, Index count, const Combination<M, Tap>& how, T* out, Tap* taps) const {
    if constexpr (M::selects && kFloats<T>) {
      if (!of<M, kWatching>(from, count, how, out, taps)) return false;
      of<M, kAware, 0>(from, count, how, out, taps);
      return true;
    } else {
      return of<M, kPlain>(from, count, how, out, taps);
    }
  }

 private:
  static constexpr Index kMostParts = 2048;
  static Index period(const Sliding<T>& w) { return w.n / gcd(w.n, kLanes<T>); }

  template <class M, Mode mode>
  bool of(const T* from, Index count, const Combination<M, Tap>& how, T* out, Tap* taps) const {
    if constexpr (kTuned<M, Tap>)
      if (across_ == 3) return of<M, mode, 3>(from, count, how, out, taps);
    return of<M, mode, 0>(from, count, how, out, taps);
  }

  template <class M, Mode mode, int some>
  bool of(const T* from, Index count, const Combination<M, Tap>& how, T* out, Tap* taps) const {
    const Index across = some ? some : across_, apart = w_.apart;
    const T* source = from + start_;
    const Vec<T> fill = broadcast<Vec<T>>(how.fill);
    const Part *part = parts_, *const begin = parts_, *const stop = parts_ + period_ * (across + 1);
    const T* weight = w_.weight + w_.low;
    const Tap* first = nullptr;
    if constexpr (kKeepsTaps<Tap>) first = first_tap_;
    const Tap* least = first;
    const Index low = w_.low;
    Watch<M, mode> seen;
    sweep<T>(count, [=, &seen](Index x, auto lanes) mutable {
      constexpr bool whole = std::is_same_v<decltype(lanes), AllLanes<T>>;
      const auto in_row = [=](Index k) { return load<Vec<T>>(source + x + k * apart); };
      const auto at_edge = [=](Index k) {
        Part here = part[k];
        if constexpr (!whole) here &= part_of(0, lanes);
        return load_part(source + x + k * apart, here, fill);
      };
      const auto combine = [=, &seen](auto load_tap) CENOTE_INLINED {
        Watch<M, mode> watch;
        Best<T> best = best_of<M, mode, Tap>(across, low, watch, [=](Index k) CENOTE_INLINED {
          if constexpr (M::weighted)
            return load_tap(k) * weight[k];
          else
            return load_tap(k);
        });
        if constexpr (kKeepsTaps<Tap>) {
          if (first) best.tap = no_less(best.tap, load_taps<T>(least));
          store_taps<T>(taps + x, lanes, best.tap);
        }
        store_first<T>(out + x, lanes, best.value);
        seen(watch);
      };
      if (whole && is_whole<T>(part[across]))
        combine(in_row);
      else
        combine(at_edge);
      part += across + 1;
      if constexpr (kKeepsTaps<Tap>) least = least ? least + kLanes<T> : nullptr;
      if (part == stop) part = begin, least = first;
    });
    return seen.found();
  }

  Sliding<T> w_;
  Index across_, start_, period_;
  Part* parts_ = nullptr;
  Tap* first_tap_ = nullptr;
};

}  // namespace cenote::CENOTE_TARGET
