// Windows of many taps, in few steps an element however many they are.
//
// Along a row windows double: two of one width, side by side, are one of twice the width. Down the
// rows they are cut where blocks of their own height meet (van Herk 1992; Gil and Werman 1993): a
// window is the end of one block and the beginning of the next.
#pragma once

#include "line-inl.h"

namespace cenote::CENOTE_TARGET {

// From so many taps on it pays; of sums two halves may not share any, which takes more steps.
template <class M>
constexpr Index kWide = M::selects ? 6 : 8;

template <class M>
class WideLine {
 public:
  using T = typename M::Element;

  // For at most `most` outputs of the window that slides.
  void plan(const Sliding<T>& window, Index most, Arena& arena) {
    w_ = window;
    const Index room = most + (w_.high - 1) * w_.apart + 3 * kLanes<T>;
    row_ = arena.take<T>(room);
    if (!M::selects) sum_ = arena.take<T>(room);
  }

  // Outputs [begin, begin + count) of a row. Returns whether there may be a NaN in it: then they
  // are not to be used.
  template <class Finish>
  bool line(const T* row, Index begin, Index count, T fill, T* out, Finish finish) const {
    const Index taps = w_.high - w_.low, apart = w_.apart;
    Index length = count + (taps - 1) * apart;
    const bool nan = copy(row, begin + w_.low * apart - w_.before, length, fill);
    if (M::selects && nan) return true;
    T* t = row_;
    T* sum = sum_;
    Index width = 1, summed = 0;
    const auto double_it = [&] {
      const Index moved = width * apart;
      length -= moved;
      for (Index x = 0; x < length; x += kLanes<T>)
        store(t + x, M::template combine<true>(load<Vec<T>>(t + x), load<Vec<T>>(t + x + moved)));
      width *= 2;
    };
    if constexpr (M::selects) {  // of what two windows share, nothing counts twice
      while (2 * width <= taps) double_it();
      const Index moved = (taps - width) * apart;
      sweep<T>(count, [=](Index x, auto lanes) {
        const Vec<T> all = M::template combine<true>(load_first<T>(t + x, lanes),
                                                     load_first<T>(t + x + moved, lanes));
        store_first<T>(out + x, lanes, finish(all, x, lanes));
      });
    } else {  // a window of every power of two that there is in the number of taps
      for (;; double_it()) {
        if (!(taps & width)) continue;
        const Index moved = summed * apart;
        const bool first = summed == 0, last = summed + width == taps;
        summed += width;
        if (last) {
          sweep<T>(count, [=](Index x, auto lanes) {
            Vec<T> all = load_first<T>(t + x + moved, lanes);
            if (!first) all = load_first<T>(sum + x, lanes) + all;
            store_first<T>(out + x, lanes, finish(all, x, lanes));
          });
          return false;
        }
        for (Index x = 0; x < count; x += kLanes<T>) {
          const Vec<T> more = load<Vec<T>>(t + x + moved);
          store(sum + x, first ? more : load<Vec<T>>(sum + x) + more);
        }
      }
    }
    return false;
  }

 private:
  // `length` elements from `position` on, with `fill` where the row has none. Returns whether there
  // may be a NaN among them.
  bool copy(const T* row, Index position, Index length, T fill) const {
    const Index low = min(length, max(0, -position)), high = max(low, min(length, w_.n - position));
    const Vec<T> none = broadcast<Vec<T>>(fill);
    for (Index x = 0; x < low; x += kLanes<T>) store(row_ + x, none);
    Watch<M, kFloats<T> && M::selects ? kWatching : kPlain> seen;
    const T* from = row + position;
    sweep<T>(high - low, [&, to = row_ + low](Index x, auto lanes) {
      const Vec<T> values = load_first<T>(from + low + x, lanes);
      seen(values);
      store_first<T>(to + x, lanes, values);
    });
    for (Index x = high; x < length + kLanes<T>; x += kLanes<T>) store(row_ + x, none);
    return seen.found();
  }

  Sliding<T> w_;
  T *row_ = nullptr, *sum_ = nullptr;
};

// Combines rows of `length` elements, of which `rows` holds those from `first` to `stop`: targets
// [begin, end) of an axis without dilation. `ends` has room for a vector for every tap.
template <class M, class FinishFor>
inline void combine_tall(const Axis& axis, const typename M::Element* rows, Index first, Index stop,
                         Index begin, Index end, Index length, typename M::Element fill,
                         typename M::Element* ends, typename M::Element* out, FinishFor finish_for,
                         bool streams) {
  using T = typename M::Element;
  const Index kernel = axis.kernel, stride = axis.stride;
  sweep<T>(length, [=](Index x, auto lanes) {
    // Row u, counted from the start of the first window; where there is none it changes nothing.
    const auto at = [=](Index u) {
      const Index row = u - axis.before;
      if (row < first || row >= stop) return broadcast<Vec<T>>(fill);
      return load_first<T>(rows + (row - first) * length + x, lanes);
    };
    const auto put = [=](Index t, Vec<T> v) {
      T* to = out + (t - begin) * length + x;
      store_past<T>(to, lanes, finish_for(t, 0)(v, x, lanes), streams);
    };
    Index t = begin;
    while (t < end) {
      const Index block = t * stride / kernel * kernel, next = block + kernel;
      Vec<T> kept = at(next - 1);
      store(ends + (kernel - 1) * kLanes<T>, kept);
      for (Index u = next - 2; u >= t * stride; --u) {
        kept = M::template combine<true>(at(u), kept);
        store(ends + (u - block) * kLanes<T>, kept);
      }
      if (t * stride == block) put(t++, kept);
      Vec<T> start = at(next);
      for (Index u = next; t < end && t * stride < next; ++t) {
        for (; u < t * stride + kernel - 1;) start = M::template combine<true>(start, at(++u));
        put(t, M::template combine<true>(load<Vec<T>>(ends + (t * stride - block) * kLanes<T>),
                                         start));
      }
    }
  });
}

}  // namespace cenote::CENOTE_TARGET
