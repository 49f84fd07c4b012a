// The kernel that forward and linear backward passes are made of: a strip combines rows of equal
// length. It knows no rank, no padding and no layout. And a fold: a row to one element.
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

// What to combine with, beside the operands.
template <class M, class Tap>
struct Combination {
  typename M::Element fill;  // where there is no operand
  bool may_be_empty;         // an element without a tap in the first operand has none in any
  bool plain;                // no operand holds a NaN
  // The least tap number of each element, or null: padding wins only where all is identity, and
  // then the first tap inside has it.
  const Tap* first_tap;
};

// How elements are combined: with NaNs among them, without, or as if without, while it is watched
// whether there is one.
enum Mode { kAware, kPlain, kWatching };

// The sum of what was combined tells of every NaN. (Of opposite infinities too: no harm is done.)
template <class M, Mode mode>
struct Watch {
  using T = typename M::Element;
  Vec<T> sum;
  explicit Watch(Vec<T> first) {
    if constexpr (mode == kWatching) sum = first;
  }
  void operator()(Vec<T> next) {
    if constexpr (mode == kWatching) sum += next;
  }
  TapVec<T> found() const {
    if constexpr (mode == kWatching)
      return TapVec<T>(sum != sum);
    else
      return TapVec<T>{};
  }
};

// out[x] = the combination of operand[0][x], operand[1][x], ..., and the taps that it came from.
// `some` is the number of operands where the compiler knows it, else 0. Returns whether a NaN was
// seen.
template <class M, Mode mode, int some, class Tap, class Finish>
inline bool strip_of(const Operand<typename M::Element, Tap>* operand, Index many,
                     const Combination<M, Tap>& how, Index length, typename M::Element* out,
                     Tap* taps, Finish finish) {
  using T = typename M::Element;
  const Index count = some ? some : many;
  const Combination<M, Tap> with = how;
  return sweep_any<T>(length, [=](Index x, auto lanes) {
    const auto values_of = [=](const Operand<T, Tap>& from) {
      const Vec<T> values = load_first<T>(from.values + x, lanes);
      if constexpr (M::weighted)
        return values * from.weight;
      else
        return values;
    };
    Vec<T> kept = values_of(operand[0]);
    Watch<M, mode> watch(kept);
    if constexpr (kKeepsTaps<Tap>) {
      const auto tap_of = [=](const Operand<T, Tap>& from) {
        const TapVec<T> here = broadcast<TapVec<T>>(Tap(from.tap));
        return from.taps ? here + load_taps<T>(from.taps + x, 0, lanes) : here;
      };
      TapVec<T> tap = tap_of(operand[0]);
      for (Index j = 1; j < count; ++j) {
        const Vec<T> next = values_of(operand[j]);
        const auto taken = M::template takes<mode != kAware>(next, kept);
        watch(next);
        kept = taken ? next : kept;
        tap = taken ? tap_of(operand[j]) : tap;
      }
      if (with.may_be_empty && operand[0].taps) {
        const TapVec<T> none = broadcast<TapVec<T>>(kNoTap<Tap>);
        tap = load_taps<T>(operand[0].taps + x, 0, lanes) == none ? none : tap;
      }
      if (with.first_tap) {
        const TapVec<T> first = load_taps<T>(with.first_tap + x, 0, lanes);
        tap = tap < first ? first : tap;
      }
      store_taps<T>(taps + x, lanes, tap);
    } else {
      for (Index j = 1; j < count; ++j) {
        const Vec<T> next = values_of(operand[j]);
        watch(next);
        kept = M::template combine<mode != kAware>(kept, next);
      }
    }
    store_first<T>(out + x, lanes, finish(kept, x, lanes));
    return watch.found();
  });
}

template <class M, Mode mode, class Tap, class Finish>
inline bool strip_of(const Operand<typename M::Element, Tap>* operand, Index count,
                     const Combination<M, Tap>& how, Index length, typename M::Element* out,
                     Tap* taps, Finish finish) {
  if (count == 2) return strip_of<M, mode, 2>(operand, 2, how, length, out, taps, finish);
  if (count == 3) return strip_of<M, mode, 3>(operand, 3, how, length, out, taps, finish);
  return strip_of<M, mode, 0>(operand, count, how, length, out, taps, finish);
}

// The operands may be anything, but with how.plain hold no NaN. Returns whether they may hold one.
template <class M, class Tap, class Finish>
inline bool strip(const Operand<typename M::Element, Tap>* operand, Index count,
                  const Combination<M, Tap>& how, Index length, typename M::Element* out, Tap* taps,
                  Finish finish) {
  using T = typename M::Element;
  if (count == 0) {
    sweep<T>(length, [=](Index x, auto lanes) {
      store_first<T>(out + x, lanes, finish(broadcast<Vec<T>>(how.fill), x, lanes));
      if constexpr (kKeepsTaps<Tap>)
        store_taps<T>(taps + x, lanes, broadcast<TapVec<T>>(kNoTap<Tap>));
    });
    return false;
  }
  if constexpr (M::selects && kFloats<T>) {
    if (how.plain) return strip_of<M, kPlain>(operand, count, how, length, out, taps, finish);
    if (!strip_of<M, kWatching>(operand, count, how, length, out, taps, finish)) return false;
    strip_of<M, kAware, 0>(operand, count, how, length, out, taps, finish);
    return true;
  } else {
    return strip_of<M, kPlain>(operand, count, how, length, out, taps, finish);
  }
}

// What slides along a row of contiguous elements; the first output is `begin`. Taps outside
// [low, high) lie outside the row for every output.
template <class T>
struct Sliding {
  Index stride, apart, before, n, low, high;
  const T* weight;  // of every tap, or null
  // Outputs [begin + first, begin + last] start a vector all of whose taps lie in the row.
  Index begin, first, last;

  void from(Index output) {
    begin = output;
    const Index start = begin * stride - before;
    first = max(0, ceil_div(-start - low * apart, stride));
    last = floor_div(n - kLanes<T> * stride - (high - 1) * apart - start, stride);
  }
};

// The elements from a position of a row of length n on; `fill` outside.
template <bool inside, class T>
inline Vec<T> fetch(const T* row, Index n, Index position, T fill) {
  if constexpr (inside) return load<Vec<T>>(row + position);
  constexpr int lanes = kLanes<T>;
  const Vec<T> rest = broadcast<Vec<T>>(fill);
  const Index low = max(0, -position), high = min(lanes, n - position);
  return low < high ? load_lanes<Vec<T>>(row + position, int(low), int(high), rest) : rest;
}

// `count` outputs along a row; `some` is the number of taps where the compiler knows it, else 0.
template <class M, Mode mode, int stride, int some, class Tap, class Finish>
inline bool line_of(const Sliding<typename M::Element>& window, const typename M::Element* row,
                    const Combination<M, Tap>& how, Index count, typename M::Element* out,
                    Tap* taps, Finish finish) {
  using T = typename M::Element;
  const Sliding<T> w = window;
  const Index many = some ? some : w.high - w.low;
  const Index start = w.begin * stride - w.before + w.low * w.apart;
  const T fill = how.fill;
  const Tap* first_tap = how.first_tap;
  const auto at = [=](Index x, auto lanes, auto is_inside) {
    constexpr bool inside = decltype(is_inside)::value;
    const Index position = start + x * stride;
    const auto at_tap = [=](Index k) {
      const Index from = position + k * w.apart;
      Vec<T> values = fetch<inside>(row, w.n, from, fill);
      if constexpr (stride == 2)
        values = even_lanes(values, fetch<inside>(row, w.n, from + kLanes<T>, fill), AllOf<T>{});
      if constexpr (M::weighted) values *= w.weight[w.low + k];
      return values;
    };
    Vec<T> kept = at_tap(0);
    Watch<M, mode> watch(kept);
    if constexpr (kKeepsTaps<Tap>) {
      TapVec<T> tap = broadcast<TapVec<T>>(Tap(w.low));
      for (Index k = 1; k < many; ++k) {
        const Vec<T> next = at_tap(k);
        const auto taken = M::template takes<mode != kAware>(next, kept);
        watch(next);
        kept = taken ? next : kept;
        tap = taken ? broadcast<TapVec<T>>(Tap(w.low + k)) : tap;
      }
      if (first_tap) {
        const TapVec<T> first = load_taps<T>(first_tap + x, 0, lanes);
        tap = tap < first ? first : tap;
      }
      store_taps<T>(taps + x, lanes, tap);
    } else {
      for (Index k = 1; k < many; ++k) {
        const Vec<T> next = at_tap(k);
        watch(next);
        kept = M::template combine<mode != kAware>(kept, next);
      }
    }
    store_first<T>(out + x, lanes, finish(kept, x, lanes));
    return watch.found();
  };
  constexpr Index L = kLanes<T>;
  TapVec<T> found = {};
  Index x = 0;
  for (; x < w.first && x + L <= count; x += L) found |= at(x, AllLanes<T>{}, std::false_type{});
  for (; x <= w.last && x + L <= count; x += L) found |= at(x, AllLanes<T>{}, std::true_type{});
  for (; x + L <= count; x += L) found |= at(x, AllLanes<T>{}, std::false_type{});
  if (x < count) {
    if (count - L >= w.first && count - L <= w.last)  // some once more, without a look at the edge
      found |= at(count - L, AllLanes<T>{}, std::true_type{});
    else
      found |= at(x, int(count - x), std::false_type{});
  }
  return any_lane(found);
}

template <class M, Mode mode, class Tap, class Finish>
inline bool line_of(const Sliding<typename M::Element>& window, const typename M::Element* row,
                    const Combination<M, Tap>& how, Index count, typename M::Element* out,
                    Tap* taps, Finish finish) {
  const Index some = window.high - window.low;
  if (window.stride == 1) {
    if (some == 3) return line_of<M, mode, 1, 3>(window, row, how, count, out, taps, finish);
    return line_of<M, mode, 1, 0>(window, row, how, count, out, taps, finish);
  }
  if (some == 2) return line_of<M, mode, 2, 2>(window, row, how, count, out, taps, finish);
  if (some == 3) return line_of<M, mode, 2, 3>(window, row, how, count, out, taps, finish);
  return line_of<M, mode, 2, 0>(window, row, how, count, out, taps, finish);
}

// Returns whether there may be a NaN in what was read.
template <class M, class Tap, class Finish>
inline bool line(const Sliding<typename M::Element>& window, const typename M::Element* row,
                 const Combination<M, Tap>& how, Index count, typename M::Element* out, Tap* taps,
                 Finish finish) {
  if constexpr (M::selects && kFloats<typename M::Element>) {
    if (!line_of<M, kWatching>(window, row, how, count, out, taps, finish)) return false;
    if (window.stride == 1)
      line_of<M, kAware, 1, 0>(window, row, how, count, out, taps, finish);
    else
      line_of<M, kAware, 2, 0>(window, row, how, count, out, taps, finish);
    return true;
  } else {
    return line_of<M, kPlain>(window, row, how, count, out, taps, finish);
  }
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

}  // namespace cenote::CENOTE_TARGET
