// The kernel that forward and linear backward passes are made of: a strip combines rows of equal
// length. It knows no rank, no padding and no layout.
#pragma once

#include <type_traits>

#include "convert-inl.h"
#include "monoid.h"

namespace cenote::CENOTE_TARGET {

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

// Tap is the type in which tap numbers are kept, or void where they are not.
template <class Tap>
constexpr bool kKeepsTaps = !std::is_void_v<Tap>;

// A row to combine: its values, the taps that led to them so far (or null), the tap leading here,
// and what it is multiplied by. The values are lanes, or elements that become lanes as they are
// loaded.
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
  T times;  // what to multiply by for the same bits, where there is such a number; else 0

  Divide(const T* each, T all, bool half_even)
      : each(each), all(all), half_even(half_even), times(reciprocal(all)) {}
  Divide from(Index x) const { return {each ? each + x : nullptr, all, half_even}; }
  // Of a power of two, which only moves the exponent.
  static T reciprocal(T x) {
    if constexpr (kFloats<T>) {
      const Index whole = x < T(1 << 20) ? Index(x) : 0;
      if (whole > 0 && T(whole) == x && (whole & (whole - 1)) == 0) return 1 / x;
    }
    return 0;
  }
  // Quotients of numbers of 16 bits are exact enough in floats: none that is no integer, or half of
  // one, comes so near to one that it is taken for it.
  template <class Lanes, class By>
  void shares(T* s, Lanes lanes, By by) const {
    constexpr float kToInteger = 12582912.0f;  // 1.5*2^23: the sum has no bits below 1
    if (half_even)
      for (int lane = 0; lane < lanes; ++lane)
        s[lane] = T(std::int32_t(float(s[lane]) / by(lane) + kToInteger - kToInteger));
    else
      for (int lane = 0; lane < lanes; ++lane) s[lane] = T(std::int32_t(float(s[lane]) / by(lane)));
  }
  template <class Lanes>
  Vec<T> operator()(Vec<T> v, Index x, Lanes lanes) const {
    const Vec<T> by = broadcast<Vec<T>>(all);
    if constexpr (kFloats<T>) {
      v += T(0);  // a sum of negative zeros alone is +0, as if it had started from 0
      if (each) return v / (by * load_first<T>(each + x, lanes));
      return times != 0 ? v * times : v / by;
    } else if constexpr (sizeof(T) == 2) {
      alignas(sizeof v) T s[kLanes<T>];
      store(s, v);
      if (each)
        shares(s, lanes,
               [all = float(all), by = each + x](int lane) { return all * float(by[lane]); });
      else
        shares(s, lanes, [by = float(all)](int) { return by; });
      return load<Vec<T>>(s);
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
  bool streams;  // whether what comes out goes past the caches; it starts where vectors start
};

// How often the same is done again: so many elements further on in the rows, and in the output.
struct Again {
  Index times, from, to;
};

// Calls at(moved, x_out, x, lanes) for all of [0, length), as often as is said; what is read lies
// `moved` further on then, and what is written `x_out`. Not by way of a function that takes a
// smaller one by value: what that one holds would be written anew each time, and read before it is
// there.
template <class T, class At>
CENOTE_INLINE void sweep_again(const Again& again, Index length, const At& at) {
  Index times = again.times;
  const Index from = again.from, to = again.to;
  if (from == to) {  // one after the other: one that is longer
    length += (times - 1) * to;
    times = 1;
  }
  for (Index r = 0, moved = 0, x_out = 0; r < times; ++r) {
    Index x = 0;
    for (; x + kLanes<T> <= length; x += kLanes<T>) at(moved, x_out, x, AllLanes<T>{});
    if (x < length) at(moved, x_out, x, int(length - x));
    moved += from, x_out += to;
  }
}

// Which kernels get every way there is to be quick, and not the general one alone: elements of up
// to four bytes that a network may hold, and tap numbers of one byte. The others would take as long
// to compile as these.
template <class M, class Tap>
constexpr bool kCommon =
    sizeof(typename M::Element) <= 4 && !std::is_same_v<typename M::Element, std::int32_t> &&
    (!kKeepsTaps<Tap> || std::is_same_v<Tap, std::uint8_t>);

// Which of them are compiled for their numbers of taps too: those that the networks of the
// benchmarks spend their time in. It would take minutes for all.
template <class M, class Tap>
constexpr bool kTuned = kCommon<M, Tap> && !M::weighted && kLanes<typename M::Element> > 1;

// How elements are combined: with NaNs among them, without, or as if without, while it is watched
// whether there is one.
enum Mode { kAware, kPlain, kWatching };

// The sum of what was combined tells of every NaN. (Of opposite infinities too: no harm is done.)
template <class M, Mode mode>
struct Watch {
  using T = typename M::Element;
  Vec<T> sum = {};
  void operator()(Vec<T> next) {
    if constexpr (mode == kWatching) sum += next;
  }
  void operator()(const Watch& other) { (*this)(other.sum); }
  bool found() const { return mode == kWatching && any_lane(sum != sum); }
};

// What the taps of a vector of outputs came to, and which they were.
template <class T>
struct Best {
  Vec<T> value = {};
  TapVec<T> tap = {};
};

// Takes what comes later in row-major order in the places where it counts.
template <class M, Mode mode, class Tap>
CENOTE_INLINE void take(Best<typename M::Element>& best, const Best<typename M::Element>& next) {
  if constexpr (kKeepsTaps<Tap>) {
    const auto taken = M::template takes<mode != kAware>(next.value, best.value);
    best.value = taken ? next.value : best.value;
    best.tap = taken ? next.tap : best.tap;
  } else {
    best.value = M::template combine<mode != kAware>(best.value, next.value);
  }
}

// The taps value_of(0), value_of(1), ... of a row, which are numbered from `low` on.
template <class M, Mode mode, class Tap, class ValueOf>
CENOTE_INLINE Best<typename M::Element> best_of(Index taps, Index low, Watch<M, mode>& watch,
                                                const ValueOf& value_of) {
  using T = typename M::Element;
  const auto next_of = [&](Index k) CENOTE_INLINED {
    Best<T> next = {value_of(k), {}};
    if constexpr (mode == kWatching) next.value = in_register(next.value);
    if constexpr (kKeepsTaps<Tap>) next.tap = broadcast<TapVec<T>>(Tap(low + k));
    return next;
  };
  Best<T> best = next_of(0);
  Watch<M, mode> row{best.value};
  for (Index k = 1; k < taps; ++k) {
    const Best<T> next = next_of(k);
    row(next.value);
    take<M, mode, Tap>(best, next);
  }
  watch(row);  // its own sum: rows need not wait for each other
  return best;
}

template <class V>
CENOTE_INLINE V no_less(V tap, V least) {
  return tap < least ? least : tap;
}

// Operands, by value where the compiler knows how many they are: what is written could be the
// list's own memory, for all it knows, and it would read the list again for every vector. Field by
// field: entries that were written so cannot be read at once.
template <class T, class Tap, int some>
struct Operands {
  const T* values[some];
  const Tap* taps[some];
  Index tap[some];
  T weight[some];
  explicit Operands(const Operand<T, Tap>* from) {
    for (int j = 0; j < some; ++j) values[j] = from[j].values;
    for (int j = 0; j < some; ++j) taps[j] = from[j].taps;
    for (int j = 0; j < some; ++j) tap[j] = from[j].tap;
    for (int j = 0; j < some; ++j) weight[j] = from[j].weight;
  }
  Operand<T, Tap> operator[](Index j) const { return {values[j], taps[j], tap[j], weight[j]}; }
};
template <class T, class Tap>
struct Operands<T, Tap, 0> {
  const Operand<T, Tap>* operand;
  explicit Operands(const Operand<T, Tap>* from) : operand(from) {}
  const Operand<T, Tap>& operator[](Index j) const { return operand[j]; }
};

// out[x] = the combination of operand[0][x], operand[1][x], ..., and the taps that it came from.
// `some` is the number of operands where the compiler knows it, else 0. Returns whether a NaN was
// seen.
template <class M, Mode mode, int some, class E, class Tap, class Finish>
inline bool strip_of(const Operand<E, Tap>* operands, Index many, const Again& again,
                     const Combination<M, Tap>& how, Index length, typename M::Element* out,
                     Tap* taps, Finish finish) {
  using T = typename M::Element;
  const Operands<E, Tap, some> operand(operands);
  const Index count = some ? some : many;
  const Combination<M, Tap> with = how;
  Watch<M, mode> seen;
  const auto at = [=, &seen](Index moved, Index x_out, Index x, auto lanes) CENOTE_INLINED {
    const auto values_of = [=](const Operand<E, Tap>& from) {
      const Vec<T> values = load_as<T>(from.values + moved + x, lanes);
      if constexpr (M::weighted)
        return values * from.weight;
      else
        return values;
    };
    Vec<T> kept = values_of(operand[0]);
    Watch<M, mode> watch{kept};
    if constexpr (kKeepsTaps<Tap>) {
      const auto tap_of = [=](const Operand<E, Tap>& from) {
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
        tap = no_less(tap, first);
      }
      store_taps<T>(taps + x_out + x, lanes, tap);
    } else {
      for (Index j = 1; j < count; ++j) {
        const Vec<T> next = values_of(operand[j]);
        watch(next);
        kept = M::template combine<mode != kAware>(kept, next);
      }
    }
    store_past<T>(out + x_out + x, lanes, finish(kept, x_out + x, lanes), with.streams);
    seen(watch);
  };
  sweep_again<T>(again, length, at);
  return seen.found();
}

template <class M, Mode mode, class E, class Tap, class Finish>
inline bool strip_of(const Operand<E, Tap>* operand, Index count, const Again& again,
                     const Combination<M, Tap>& how, Index length, typename M::Element* out,
                     Tap* taps, Finish finish) {
  if constexpr (kTuned<M, Tap>) {
    if (count == 2) return strip_of<M, mode, 2>(operand, 2, again, how, length, out, taps, finish);
    if (count == 3) return strip_of<M, mode, 3>(operand, 3, again, how, length, out, taps, finish);
    if (count == 4) return strip_of<M, mode, 4>(operand, 4, again, how, length, out, taps, finish);
    if (count == 9) return strip_of<M, mode, 9>(operand, 9, again, how, length, out, taps, finish);
  }
  return strip_of<M, mode, 0>(operand, count, again, how, length, out, taps, finish);
}

// The operands may be anything, but with how.plain hold no NaN. Returns whether they may hold one.
template <class M, class Tap, class Finish, class E>
inline bool strip_at_once(const Operand<E, Tap>* operand, Index count, const Again& again,
                          const Combination<M, Tap>& how, Index length, typename M::Element* out,
                          Tap* taps, Finish finish) {
  using T = typename M::Element;
  if (count == 0) {
    sweep_again<T>(again, length, [=](Index, Index x_out, Index x, auto lanes) {
      x += x_out;
      store_first<T>(out + x, lanes, finish(broadcast<Vec<T>>(how.fill), x, lanes));
      if constexpr (kKeepsTaps<Tap>)
        store_taps<T>(taps + x, lanes, broadcast<TapVec<T>>(kNoTap<Tap>));
    });
    return false;
  }
  if constexpr (M::selects && kFloats<T> && !kCommon<M, Tap>) {
    return strip_of<M, kAware>(operand, count, again, how, length, out, taps, finish);
  } else if constexpr (M::selects && kFloats<T>) {
    if (how.plain)
      return strip_of<M, kPlain>(operand, count, again, how, length, out, taps, finish);
    if (!strip_of<M, kWatching>(operand, count, again, how, length, out, taps, finish))
      return false;
    strip_of<M, kAware, 0>(operand, count, again, how, length, out, taps, finish);
    return true;
  } else {
    return strip_of<M, kPlain>(operand, count, again, how, length, out, taps, finish);
  }
}

// The greatest number of operands that code of its own is compiled for.
constexpr int kMostKnown = 9;

// So many rows are read side by side; more, and each would push another out of the first cache.
constexpr Index kMostSideBySide = 16, kSideBySide = 4;

// The same; of very many operands a few at a time, with what came before as the first of them. What
// is combined twice because there is a NaN among it changes nothing.
template <class M, class Tap, class Finish, class E>
inline bool strip(const Operand<E, Tap>* operand, Index count, const Again& again,
                  const Combination<M, Tap>& how, Index length, typename M::Element* out, Tap* taps,
                  Finish finish) {
  using T = typename M::Element;
  if constexpr (kTuned<M, Tap> && !kKeepsTaps<Tap> && std::is_same_v<E, T>)
    if (count > kMostSideBySide && again.times == 1) {
      Combination<M, Tap> some = how;
      some.streams = false;
      Operand<T, Tap> few[kMostKnown] = {};  // of which no more than kSideBySide + 1 are in use
      Index from = 0, first = 0;
      bool nan = false;
      for (; from + kSideBySide < count; from += kSideBySide) {
        for (Index j = 0; j < kSideBySide; ++j) few[first + j] = operand[from + j];
        nan |= strip_at_once<M>(few, first + kSideBySide, again, some, length, out, taps, Keep{});
        few[0] = {out, nullptr, 0, T(1)}, first = 1;
      }
      for (Index j = from; j < count; ++j) few[first + j - from] = operand[j];
      return strip_at_once<M>(few, first + count - from, again, how, length, out, taps, finish) ||
             nan;
    }
  return strip_at_once<M>(operand, count, again, how, length, out, taps, finish);
}

}  // namespace cenote::CENOTE_TARGET
