// The two kernels that forward and linear backward passes are made of. They know no rank, no
// padding and no layout: a strip combines rows of equal length, a line slides along contiguous
// elements.
#pragma once

#include <type_traits>

#include "monoid.h"

namespace cenote::CENOTE_TARGET {

// Tap is the type in which tap numbers are kept, or void where they are not.
template <class Tap>
constexpr bool kKeepsTaps = !std::is_void_v<Tap>;

// A row to combine: its values, the taps that led to them so far (or null), the tap leading here,
// and what it is multiplied by.
template <class T, class Tap>
struct Operand {
  const T* values;
  const Tap* taps;
  Index tap;
  T weight;
  Operand moved(Index by, Index taps_on) const {
    return {values + by, taps, tap + taps_on, weight};
  }
};

// Puts every pair of `run` in the place of each of the `count` entries of a list, in order; the far
// side lies `pitch` elements apart, and a tap there stands for `taps` tap numbers. Returns the
// count.
template <class Entry>
inline Index expand(Entry* list, Index count, const Run& run, Index pitch, Index taps) {
  for (Index e = count - 1; e >= 0; --e) {
    const Entry entry = list[e];
    for (Index j = run.count - 1; j >= 0; --j)
      list[e * run.count + j] =
          entry.moved((run.source + j * run.step) * pitch, (run.tap + j * run.tap_step) * taps);
  }
  return count * run.count;
}

// What happens to a combined vector at position `x` of its row before it is stored.
struct Keep {
  Keep from(Index) const { return {}; }
  template <class V, class Lanes>
  V operator()(V v, Index, Lanes) const {
    return v;
  }
};
// The quotient of integers, toward zero or to the nearest, halves to the even one. The least number
// over -1 wraps around, where the processor would stop.
template <class T>
inline T quotient(T a, T by, bool half_even) {
  using U = typename UnsignedOf<sizeof(T)>::type;
  if (by == T(-1)) return T(U(0) - U(a));
  const T toward_zero = T(a / by);
  if (!half_even) return toward_zero;
  const T left = T(a % by);
  const U rest = left < 0 ? U(0) - U(left) : U(left), whole = by < 0 ? U(0) - U(by) : U(by);
  const bool away = rest > whole - rest || (rest == whole - rest && toward_zero % 2 != 0);
  return away ? T(toward_zero + ((a < 0) == (by < 0) ? 1 : -1)) : toward_zero;
}
template <class T>
struct Divide {
  const T* each;  // one divisor an element, or null
  T all;
  bool half_even;
  Divide from(Index x) const { return {each ? each + x : nullptr, all, half_even}; }
  template <class Lanes>
  Vec<T> operator()(Vec<T> v, Index x, Lanes lanes) const {
    const Vec<T> by = broadcast<Vec<T>>(all);
    if constexpr (kFloats<T>) {
      v += T(0);  // a sum of negative zeros alone is +0, as if it had started from 0
      return each ? v / (by * load_first<T>(each + x, lanes)) : v / by;
    } else {
      for (int lane = 0; lane < lanes; ++lane)
        v[lane] = quotient<T>(v[lane], each ? T(all * each[x + lane]) : all, half_even);
      return v;
    }
  }
};

// out[x] = the combination of operand[0][x], operand[1][x], ..., and the taps that it came from;
// `fill` where there is none. With `may_be_empty`, an element without a tap in the first operand
// has none in any.
template <class M, class Tap, class Finish>
inline void strip(const Operand<typename M::Element, Tap>* operand, Index count, bool may_be_empty,
                  Index length, typename M::Element fill, typename M::Element* out, Tap* taps,
                  Finish finish) {
  using T = typename M::Element;
  sweep<T>(length, [=](Index x, auto lanes) {
    if (count == 0) {
      store_first<T>(out + x, lanes, finish(broadcast<Vec<T>>(fill), x, lanes));
      if constexpr (kKeepsTaps<Tap>)
        store_taps<T>(taps + x, lanes, broadcast<TapVec<T>>(kNoTap<Tap>));
      return;
    }
    const auto values_of = [=](const Operand<T, Tap>& from) {
      const Vec<T> values = load_first<T>(from.values + x, lanes);
      return M::weighted ? values * from.weight : values;
    };
    Vec<T> kept = values_of(operand[0]);
    if constexpr (kKeepsTaps<Tap>) {
      const auto tap_of = [=](const Operand<T, Tap>& from) {
        const TapVec<T> here = broadcast<TapVec<T>>(Tap(from.tap));
        return from.taps ? here + load_taps<T>(from.taps + x, 0, lanes) : here;
      };
      TapVec<T> tap = tap_of(operand[0]);
      for (Index j = 1; j < count; ++j) {
        const Vec<T> next = values_of(operand[j]);
        const auto taken = M::takes(next, kept);
        kept = taken ? next : kept;
        tap = taken ? tap_of(operand[j]) : tap;
      }
      if (may_be_empty && operand[0].taps) {
        const TapVec<T> none = broadcast<TapVec<T>>(kNoTap<Tap>);
        tap = load_taps<T>(operand[0].taps + x, 0, lanes) == none ? none : tap;
      }
      store_taps<T>(taps + x, lanes, tap);
    } else {
      for (Index j = 1; j < count; ++j) kept = M::combine(kept, values_of(operand[j]));
    }
    store_first<T>(out + x, lanes, finish(kept, x, lanes));
  });
}

// The elements position + lane*stride of a row of length n; `fill` outside. Stride 0 in the
// template means any, given as `step`.
template <class T, int stride>
inline Vec<T> fetch(const T* row, Index n, Index position, Index step, T fill) {
  constexpr int lanes = kLanes<T>;
  if constexpr (stride == 1) {
    if (position >= 0 && position + lanes <= n) return load<Vec<T>>(row + position);
    const Vec<T> rest = broadcast<Vec<T>>(fill);
    const Index low = max(0, -position), high = min(lanes, n - position);
    return low < high ? load_lanes<Vec<T>>(row + position, int(low), int(high), rest) : rest;
  } else if constexpr (stride == 2) {
    return even_lanes(fetch<T, 1>(row, n, position, 1, fill),
                      fetch<T, 1>(row, n, position + lanes, 1, fill), AllOf<T>{});
  } else {
    Vec<T> v = broadcast<Vec<T>>(fill);
    for (int lane = 0; lane < lanes; ++lane) {
      const Index i = position + lane * step;
      if (i >= 0 && i < n) v[lane] = row[i];
    }
    return v;
  }
}

// What slides along a row of contiguous elements. Taps outside [low, high) lie outside the row for
// every output; `first_tap` holds for every output its first tap inside, or is null where that is
// 0.
template <class T, class Tap>
struct Sliding {
  const Axis& axis;
  Index n, low, high;
  const Tap* first_tap;
  T fill;           // stands outside the row
  const T* weight;  // of every tap
};

// Outputs [begin, end) along a row; the first of them goes to out[0].
template <class M, int stride, class Tap, class Finish>
inline void line(const Sliding<typename M::Element, Tap>& window, const typename M::Element* row,
                 Index begin, Index end, typename M::Element* out, Tap* taps, Finish finish) {
  using T = typename M::Element;
  const Index step = window.axis.stride, apart = window.axis.dilation, n = window.n;
  const Index before = window.axis.before, low = window.low, high = window.high;
  const T fill = window.fill;
  const T* weight = window.weight;
  const Tap* first_tap = window.first_tap;
  sweep<T>(end - begin, [=](Index x, auto lanes) {
    const Index start = (begin + x) * step - before;
    const auto at_tap = [=](Index k) {
      const Vec<T> values = fetch<T, stride>(row, n, start + k * apart, step, fill);
      if constexpr (M::weighted) return values * weight[k];
      return values;
    };
    Vec<T> kept = at_tap(low);
    if constexpr (kKeepsTaps<Tap>) {
      TapVec<T> tap = broadcast<TapVec<T>>(Tap(low));
      for (Index k = low + 1; k < high; ++k) {
        const Vec<T> next = at_tap(k);
        const auto taken = M::takes(next, kept);
        kept = taken ? next : kept;
        tap = taken ? broadcast<TapVec<T>>(Tap(k)) : tap;
      }
      if (first_tap) {  // padding wins only where all is identity: then the first tap inside has it
        const TapVec<T> first = load_taps<T>(first_tap + begin + x, 0, lanes);
        tap = tap < first ? first : tap;
      }
      store_taps<T>(taps + x, lanes, tap);
    } else {
      for (Index k = low + 1; k < high; ++k) kept = M::combine(kept, at_tap(k));
    }
    store_first<T>(out + x, lanes, finish(kept, x, lanes));
  });
}

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

// Hands out pieces of the scratch memory; without memory it only counts how much would be needed.
class Arena {
 public:
  explicit Arena(char* memory) : memory_(memory) {}
  template <class E>
  E* take(Index count) {
    char* piece = memory_ ? memory_ + used_ : nullptr;
    used_ += (count * Index(sizeof(E)) + 63) / 64 * 64;
    return reinterpret_cast<E*>(piece);
  }
  Index used() const { return used_; }

 private:
  char* memory_;
  Index used_ = 0;
};

// Inputs a stride apart are read through the same taps by neighbouring outputs. Such a phase is
// computed a vector at a time; its runs are worked out once for all rows.
class Phases {
 public:
  Phases(const Axis& axis, Index n, Arena& arena) : stride_(axis.stride) {
    count_ = min(axis.stride, n);
    runs_ = arena.take<Run>(count_);
    for (Index first = 0; runs_ && first < count_; ++first) runs_[first] = all_readers(axis, first);
  }

  // Writes the inputs [begin, end) of a row, the first of them to out[0]. total(run, lanes) is the
  // vector of a phase from a run on.
  template <class T, class Total>
  void line(Index begin, Index end, T* out, Total total) const {
    if (stride_ == 2 && begin % 2 == 0) return pairs(begin, end, out, total);
    for (Index first = begin; first < min(begin + stride_, end); ++first) {
      T* to = out + (first - begin);
      sweep<T>((end - first - 1) / stride_ + 1, [&](Index q, auto lanes) {
        store_strided<T>(to + q * stride_, stride_, lanes, total(run_at(first, q)));
      });
    }
  }

 private:
  Run run_at(Index input, Index on) const {
    Run run = runs_[input % stride_];
    run.source += input / stride_ + on;
    return run;
  }

  // Stride 2: both phases at once, interleaved.
  template <class T, class Total>
  void pairs(Index begin, Index end, T* out, Total total) const {
    const Index length = end - begin;
    const Run none = {0, 1, 0, -1, 0};
    for (Index x = 0; x < length; x += 2 * kLanes<T>) {
      const Vec<T> even = total(run_at(begin, x / 2));
      const Vec<T> odd = total(count_ > 1 ? run_at(begin + 1, x / 2) : none);
      const Index left = length - x;
      const Vec<T> low = interleave_low(even, odd, AllOf<T>{});
      const Vec<T> high = interleave_high(even, odd, AllOf<T>{});
      if (left >= 2 * kLanes<T>) {
        store(out + x, low);
        store(out + x + kLanes<T>, high);
        continue;
      }
      store_lanes(out + x, int(min(left, kLanes<T>)), low);
      if (left > kLanes<T>) store_lanes(out + x + kLanes<T>, int(left - kLanes<T>), high);
    }
  }

  Index stride_, count_;
  Run* runs_;
};

}  // namespace cenote::CENOTE_TARGET
