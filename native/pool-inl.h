// Pooling as passes over axes, innermost first, through rings of slices that stay in cache.
//
// The same walk serves both directions of a linear reduction: Forward gathers the inputs of every
// output, Backward the outputs that read every input. A slice at level l is what lies inside axis
// l.
#pragma once

#include "deal-inl.h"
#include "flat-inl.h"
#include "fold-inl.h"
#include "readers-inl.h"
#include "short-inl.h"
#include "wide-inl.h"

namespace cenote::CENOTE_TARGET {

struct Forward {
  static constexpr bool forward = true;
  static const Index* targets(const Geometry& g) { return g.out; }
  static const Index* sources(const Geometry& g) { return g.n; }
  static Run run(const Geometry& g, int level, Index o) { return inputs(g, level, o); }
  static Run runs(const Geometry& g, int level, Index begin, Index end) {
    return inputs_of_all(g, level, begin, end);
  }
};
struct Backward {
  static constexpr bool forward = false;
  static const Index* targets(const Geometry& g) { return g.n; }
  static const Index* sources(const Geometry& g) { return g.out; }
  static Run run(const Geometry& g, int level, Index i) { return readers(g, level, i); }
  static Run runs(const Geometry& g, int level, Index begin, Index end) {
    return readers_of_all(g, level, begin, end);
  }
};

// Elements of a slice inside `level`, with `sizes` along the axes.
inline Index slice_of(const Geometry& g, const Index* sizes, int level) {
  Index count = g.inner;
  for (int l = level + 1; l < g.rank; ++l) count *= sizes[l];
  return count;
}

// The run of every target along an axis, worked out once: they take several divisions each.
template <class Way>
inline const Run* runs_along(const Geometry& g, int level, Arena& arena) {
  const Index targets = Way::targets(g)[level];
  Run* runs = arena.take<Run>(targets);
  for (Index t = 0; runs && t < targets; ++t) runs[t] = Way::run(g, level, t);
  return runs;
}

// How many targets from `t` on, each `step` after the one before, do the same with sources that are
// each `on` further on.
inline Index alike(const Run* runs, Index t, Index end, Index step, Index on) {
  Index times = 1;
  for (; t + times * step < end; ++times) {
    const Run &first = runs[t], &run = runs[t + times * step];
    if (run.source != first.source + times * on || run.count != first.count || run.tap != first.tap)
      break;
  }
  return times;
}

// What happens to the targets of axis 0 before they are stored: nothing.
struct KeepAll {
  Keep operator()(Index, Index) const { return {}; }
  static bool alike(Index, Index) { return true; }
};

// With one axis a unit is an element: what is worked on at once, so that scratch memory stays
// small.
constexpr Index kStretch = 4096;
// With more, lanes of the rows that are worked on at once: few, so that reading and writing take
// turns; and how many bands are kept before what is still needed moves to the front.
template <class T>
constexpr Index kBand = 2048 / sizeof(T);
constexpr Index kBandsKept = 4;
template <class T>
constexpr Index kLongestInBand = 2 * kBand<T>;

// The elements that sums may load as lanes, without a pass of their own.
template <class M>
struct LoadedOf {
  using type = typename M::Element;
};
template <>
struct LoadedOf<Sum<float>> {
  using type = BF16;
};
template <>
struct LoadedOf<Sum<std::int16_t>> {
  using type = std::uint8_t;
};
template <class M>
using Loaded = typename LoadedOf<M>::type;

template <class M, class Tap, class Way>
class Reduction {
 public:
  using T = typename M::Element;

  // Targets of axis 0 may be stored past the caches.
  Reduction(const Task& task, bool streams, Arena& arena)
      : task_(task),
        g_(task.geometry),
        phases_(g_.axis[g_.rank - 1], slides_backward(g_) ? g_.n[g_.rank - 1] : 0, arena),
        deal_(dealt_axis(g_), g_.n[g_.rank - 1], g_.inner, deals(g_) ? most_dealt(g_) : 0,
              last_tap(g_), M::identity(task.identity), arena),
        folds_(folds(g_)),
        deals_(deals(g_)),
        slides_(slides(g_)),
        blocks_(blocks(g_)),
        bands_(bands(g_)),
        wide_(slides(g_) && wide(g_.axis[g_.rank - 1]) && g_.axis[g_.rank - 1].stride == 1),
        tall_(tall(g_)),
        picks_(picks(g_)),
        streams_(streams) {
    how_.fill = M::identity(task.identity);
    Index taps = 1;
    for (int level = g_.rank - 1; level >= 0; --level) {
      Level& at = level_[level];
      at.target_slice = slice_of(g_, Way::targets(g_), level);
      at.source_slice = slice_of(g_, Way::sources(g_), level);
      at.taps_inside = taps;
      taps *= g_.axis[level].kernel;
      at.weight = static_cast<const T*>(task.weight[level]);
      if (level < g_.rank - 1 || (g_.inner > 1 && !rows(g_)) || folds(g_))
        at.runs = runs_along<Way>(g_, level, arena);
      // A dealt row has an operand for every tap, also for those that a window of a short row
      // lacks.
      const bool dealt = level == g_.rank - 1 && deals(g_);
      const Index most = dealt ? last_tap(g_) : most_sources(level);
      at.operand = arena.take<Operand<T, Tap>>(most);
      if (level == g_.rank - 1) continue;
      if (level == g_.rank - 2 && bands_) {
        if (tall_) ends_ = arena.take<T>(g_.axis[level].kernel * kLanes<T>);
        room_ = most_in_band() + (kBandsKept - 1) * band_of(g_) * g_.axis[level].stride;
        const Index rows = room_;
        at.values = arena.take<T>(rows * at.target_slice);
        if constexpr (kKeepsTaps<Tap>) at.taps = arena.take<Tap>(rows * at.target_slice);
        continue;
      }
      const Index apart = min(max(extent(g_.axis[level]), most), Way::sources(g_)[level]);
      for (at.slots = 1; at.slots < apart;) at.slots *= 2;
      at.held = arena.take<Index>(at.slots);
      at.nan = arena.take<bool>(at.slots);
      at.values = arena.take<T>(at.slots * at.target_slice);
      if constexpr (kKeepsTaps<Tap>) at.taps = arena.take<Tap>(at.slots * at.target_slice);
    }
    if (const Index direct = direct_operands()) {
      direct_rows_ = direct / g_.axis[g_.rank - 1].kernel;
      looks_first_ = M::selects && kFloats<T> && g_.rank == 2 && direct >= 4 * steps(g_);
      direct_ = arena.take<Operand<T, Tap>>(direct_rows_ + direct);
      from_elements_ =
          arena.take<Operand<Loaded<M>, Tap>>(loads_elements() ? direct_rows_ + direct : 0);
    }
    if (prepares()) prepared_ = arena.take<T>(most_prepared());
    if constexpr (kKeepsTaps<Tap>) find_first_taps(arena);
    if (picks_) short_.plan(g_, arena);
    if (deals(g_)) set_hands();
    if (slides(g_)) {
      const Axis& axis = g_.axis[g_.rank - 1];
      const Index group = g_.inner;
      sliding_.stride = axis.stride;
      sliding_.apart = axis.dilation * group;
      sliding_.before = axis.before * group;
      sliding_.n = g_.n[g_.rank - 1] * group;
      sliding_.low = first_tap(g_), sliding_.high = last_tap(g_);
      sliding_.weight = level_[g_.rank - 1].weight;
      sliding_.room = arena.take<Part>(Sliding<T>::kMostParts);
      if (wide_) wide_line_.plan(sliding_, most_dealt(g_) * group, arena);
      flat_ = !wide_ && bands_ && Flat<T, Tap>::takes(sliding_, g_.out[g_.rank - 1] * group);
      if (flat_) flattened_.plan(sliding_, first_tap_, arena);
    }
  }

  // The plane to reduce; the slices of the one before are forgotten.
  void start_plane(const char* plane) {
    plane_ = plane;
    odd_ = false, looked_at_ = 0;
    forget(0);
  }

  // How many targets of axis 0 are best worked on at once.
  static Index at_once(const Geometry& g) {
    const Index slice = slice_of(g, Way::targets(g), 0), units = Way::targets(g)[0];
    if (g.rank == 1) return min(units, kStretch);
    if (g.rank == 2 && bands(g)) return band_of(g);
    const Index least = g.rank == 2 && blocks(g) && g.axis[0].stride == 1 ? rows_at_once(g) : 1;
    return min(units, max(least, kBand<T> / slice));
  }

  // Targets [begin, end) of axis 0, no more than that.
  template <class FinishFor>
  void units(Index begin, Index end, T* out, Tap* taps, FinishFor finish_for) {
    if (g_.rank == 1) {
      const Run from = Way::runs(g_, 0, begin, end);
      const T* source = prepare(from.source, from.count) - from.source * g_.inner;
      innermost(source, begin, end, out, taps, finish_for(0, begin * g_.inner));
      return;
    }
    if constexpr (kAtOnce) {
      if (g_.rank == 2 && bands_) return void(band(0, nullptr, begin, end, out, taps, finish_for));
      if (g_.rank == 2 && blocks_)
        return void(block(0, nullptr, begin, end, out, taps, finish_for));
    }
    const Index slice = level_[0].target_slice;
    for (Index t = begin; t < end; ++t, out += slice, taps = advance(taps, slice)) {
      if constexpr (kAtOnce)
        if (direct_) {
          if (loads_elements())
            direct(from_elements_, t, out, taps, finish_for(t, 0));
          else
            direct(direct_, t, out, taps, finish_for(t, 0));
          continue;
        }
      step(0, nullptr, t, out, taps, finish_for(t, 0));
    }
  }

 private:
  struct Level {
    Index target_slice, source_slice, taps_inside, slots;
    Index hands;  // how many operands stay as they are, because rows are dealt out to them
    const Run* runs;
    const T* weight;
    Operand<T, Tap>* operand;
    Index* held;  // which source slice every slot of the ring holds, or -1
    bool* nan;    // whether there may be a NaN in it
    T* values;
    Tap* taps;
  };

  // Whether slices need not be passed through a ring one after the other.
  static constexpr bool kAtOnce = Way::forward && kCommon<M, Tap>;

  // Whether the innermost axis is done an output at a time, its inputs side by side: where a window
  // covers the row, or stands anywhere.
  static bool folds(const Geometry& g) {
    const int last = g.rank - 1;
    if (g.inner > 1 || M::weighted) return false;
    if (g.starts[last]) return true;
    const Axis& axis = g.axis[last];
    return Way::forward && g.out[last] == 1 && axis.dilation == 1 && axis.kernel > 2;
  }
  static bool slides_backward(const Geometry& g) {
    return !Way::forward && g.inner == 1 && !folds(g) && !spreads(g);
  }
  // Whether windows stand side by side, so that at most one reads an input.
  static bool spreads(const Geometry& g) {
    const Axis& axis = g.axis[g.rank - 1];
    return axis.stride > 2 && axis.stride >= axis.kernel && axis.dilation == 1;
  }
  // Whether windows move along rows, by one of the two ways below; with many channels inside, every
  // tap is a row already.
  static bool rows(const Geometry& g) {
    return Way::forward && (g.inner == 1 || g.inner < kLanes<T>) && !g.starts[g.rank - 1] &&
           !folds(g);
  }
  // Whether what a tap reads is picked from vectors of a short row, all of which is worked on at
  // once.
  static bool picks(const Geometry& g) {
    if (!Way::forward || !kCommon<M, Tap> || M::weighted || g.rank == 1) return false;
    return (g.starts[g.rank - 1] || deals(g)) && ShortRow<T, Tap>::takes(g);
  }
  // Whether rows are dealt out to their taps.
  static bool deals(const Geometry& g) { return rows(g) && !slides(g); }
  // Whether taps are read where they lie. Few channels side by side are a row that is longer.
  static bool slides(const Geometry& g) {
    const Index stride = g.axis[g.rank - 1].stride;
    return rows(g) && (stride == 1 || (stride == 2 && g.inner == 1));
  }
  // Whether all taps of a window are combined in registers, whole rows of windows at a time.
  static bool blocks(const Geometry& g) {
    if (!kTuned<M, Tap> || !Way::forward || g.rank == 1 || !slides(g)) return false;
    const Axis &across = g.axis[g.rank - 1], &down = g.axis[g.rank - 2];
    if (across.dilation > 1 || down.dilation > 1) return false;
    if (across.stride == 2 && across.kernel * down.kernel <= kMostInRegisters) return true;
    return down.stride == across.stride && across.kernel == down.kernel &&
           (across.kernel == 3 || across.kernel == 5) &&
           2 * slice_of(g, g.out, g.rank - 2) >= 3 * kLanes<T>;  // few lanes of others are in vain
  }
  static constexpr Index kMostInRegisters = 9;
  // So many rows a vector of outputs walks down; more would not stay in the first cache.
  static Index rows_at_once(const Geometry& g) { return 4 * g.axis[g.rank - 2].kernel; }
  // Whether rows are reduced a band at a time before they are combined: short ones, of which the
  // combinations of many are one.
  static bool bands(const Geometry& g) {
    return kAtOnce && g.rank > 1 && !blocks(g) && !directly(g) &&
           slice_of(g, g.out, g.rank - 2) <= kLongestInBand<T>;
  }
  // Whether a window has so many taps along an axis that they are not combined one after the other.
  static bool wide(const Axis& axis) {
    return kAtOnce && !kKeepsTaps<Tap> && !M::weighted && axis.dilation == 1 &&
           axis.kernel >= kWide<M>;
  }
  static bool tall(const Geometry& g) {
    return bands(g) && wide(g.axis[g.rank - 2]) && !g.starts[g.rank - 2];
  }
  static Index band_of(const Geometry& g) {
    if (tall(g))  // what is made of a block serves all windows that it is the end of
      return min(g.out[g.rank - 2],
                 max(2 * g.axis[g.rank - 2].kernel, 8 * kBand<T> / slice_of(g, g.out, g.rank - 2)));
    return min(g.out[g.rank - 2], max(1, kBand<T> / slice_of(g, g.out, g.rank - 2)));
  }
  Index most_in_band() const {
    const int level = g_.rank - 2;
    if (g_.starts[level]) return g_.n[level];
    const Axis& axis = g_.axis[level];
    return min(g_.n[level], (band_of(g_) - 1) * axis.stride + extent(axis));
  }
  static Axis dealt_axis(const Geometry& g) {
    return deals(g) ? g.axis[g.rank - 1] : Axis{1, 1, 0, 0, 1, false};
  }
  static Index most_dealt(const Geometry& g) {
    const Index outputs = g.out[g.rank - 1];
    return g.rank == 1 ? min(outputs, kStretch) : outputs;
  }
  // Taps outside [first_tap, last_tap) lie outside the row for every output.
  static Index first_tap(const Geometry& g) {
    const Axis& axis = g.axis[g.rank - 1];
    const Index start = (g.out[g.rank - 1] - 1) * axis.stride - axis.before;
    return min(axis.kernel - 1, max(0, ceil_div(-start, axis.dilation)));
  }
  static Index last_tap(const Geometry& g) {
    if (!rows(g)) return 1;
    const Axis& axis = g.axis[g.rank - 1];
    const Index stop = ceil_div(g.n[g.rank - 1] + axis.before, axis.dilation);
    return max(first_tap(g) + 1, min(axis.kernel, stop));
  }
  void set_hands() {
    Level& at = level_[g_.rank - 1];
    if (!at.operand) return;
    const Index low = first_tap(g_);
    at.hands = last_tap(g_) - low;
    for (Index j = 0; j < at.hands; ++j)
      at.operand[j] = {deal_.tap(low + j), nullptr, low + j, at.weight ? at.weight[low + j] : T(1)};
  }

  // Whether sources go through scratch memory: elements that are no lanes, gradients to be divided.
  bool prepares() const {
    return task_.read || (task_.divides_sources && (task_.slice_divisor || task_.outer_divisor));
  }
  Index most_prepared() const {
    const Index slice = level_[0].source_slice, all = Way::sources(g_)[0];
    if (g_.rank == 2 && bands_) return most_in_band() * slice;
    if (g_.rank == 2 && blocks_)
      return (g_.starts[0] ? all
                           : min(all, (at_once(g_) - 1) * g_.axis[0].stride + extent(g_.axis[0]))) *
             slice;
    if (g_.rank > 1) return slice;
    const Axis& axis = g_.axis[0];
    const Index length = g_.starts[0]   ? all
                         : Way::forward ? (kStretch - 1) * axis.stride + extent(axis)
                                        : (kStretch + extent(axis)) / axis.stride + 2;
    // Vectors at its end may look behind it, at elements that their lanes have no use for.
    return min(all, length) * slice + 2 * kLanes<T> * axis.stride;
  }

  // Whether elements that are no lanes can be loaded as lanes.
  bool loads_elements() const {
    if constexpr (Way::forward && kTuned<M, Tap> && !std::is_same_v<Loaded<M>, T>) {
      const Row pass = read_row<Loaded<M>, T, Map::kPlain>;
      return task_.read == pass;
    }
    return false;
  }

  // How many sources a target has at most along an axis.
  Index most_sources(int level) const {
    Index most = min(g_.axis[level].kernel, Way::sources(g_)[level]);
    if (Way::forward || !g_.starts[level]) return most;
    for (Index t = 0; t < Way::targets(g_)[level]; ++t)
      most = max(most, Way::run(g_, level, t).count);
    return most;
  }

  // Whether, with channels inside, all taps of a window are combined in registers at once, and how
  // many they are at most: where that takes fewer loads than passing the slices through memory.
  Index direct_operands() const {
    const Index together = directly(g_);
    if (!prepares()) return together;
    return loads_elements() && together <= kMostLoads * steps(g_) ? together : 0;
  }
  // How many inputs windows move on by.
  static Index steps(const Geometry& g) {
    Index all = 1;
    for (int l = 0; l < g.rank; ++l) all *= g.axis[l].stride;
    return all;
  }
  // Elements that become lanes as they are loaded do so for each window that reads them.
  static constexpr Index kMostLoads = 3;
  static Index directly(const Geometry& g) {
    if (!kAtOnce || g.inner == 1 || g.rank == 1 || M::weighted || rows(g)) return 0;
    Index together = 1, in_passes = 0;
    for (int l = g.rank - 1; l >= 0; --l) {
      const Index kernel = g.axis[l].kernel;
      together *= kernel;
      in_passes = kernel + (l < g.rank - 1 ? min(g.axis[l].stride, kernel) * (in_passes + 1) : 0);
    }
    return together <= max(in_passes, kMostInRegisters) ? together : 0;
  }

  void find_first_taps(Arena& arena) {
    for (int l = 0; l < g_.rank; ++l)  // a dense window always has an element
      for (Index o = 0; g_.axis[l].dilation > 1 && o < g_.out[l]; ++o)
        how_.may_be_empty = how_.may_be_empty || inputs(g_, l, o).count == 0;
    const int last = g_.rank - 1;
    const Axis& axis = g_.axis[last];
    if (!rows(g_) || (axis.before == 0 && !how_.may_be_empty)) return;
    first_tap_ = arena.take<Tap>(g_.out[last] * g_.inner);
    if (!first_tap_) return;
    for (Index o = 0; o < g_.out[last]; ++o) {
      const bool at_start = o * axis.stride < axis.before;
      const Run run = at_start || how_.may_be_empty ? inputs(g_, last, o) : Run{0, 1, 0, 1, 1};
      for (Index c = 0; c < g_.inner; ++c)
        first_tap_[o * g_.inner + c] = run.count ? Tap(run.tap) : kNoTap<Tap>;
    }
  }

  // The source slices [first, first + count) of the plane, as lanes, and on the way back divided.
  const T* prepare(Index first, Index count) {
    const Index slice = level_[0].source_slice, length = count * slice;
    const char* from = plane_ + first * slice * task_.input_bytes;
    const T* source = reinterpret_cast<const T*>(from);
    if (!prepared_) return source;
    if (task_.read) {
      task_.read(from, prepared_, length, task_.conversion);
      // What is worked on now is in the caches: time to fetch what comes next.
      const char* next = from + length * task_.input_bytes;
      for (Index x = 0; x < length * task_.input_bytes; x += 64) __builtin_prefetch(next + x);
      source = prepared_;
    }
    if constexpr (!M::selects)
      if (task_.divides_sources) divide(source, first, count);
    return prepared_;
  }

  // Source slices, divided as their outputs were.
  void divide(const T* source, Index first, Index count) {
    const Index slice = level_[0].source_slice;
    const Index* outer = task_.outer_divisor;
    const T* each = static_cast<const T*>(task_.slice_divisor);
    const auto part = [&](Index x, Index length, const T* by, Index all) {
      const Divide<T> divide{by, T(all), task_.half_even};
      const T* from = source + x;
      sweep<T>(length, [=, to = prepared_ + x](Index at, auto lanes) {
        store_first<T>(to + at, lanes, divide(load_first<T>(from + at, lanes), at, lanes));
      });
    };
    if (g_.rank == 1)
      return part(0, count * slice, each ? each + first * slice : nullptr, outer ? outer[0] : 1);
    for (Index y = 0; y < count; ++y) part(y * slice, slice, each, outer ? outer[first + y] : 1);
  }

  void forget(int level) {
    if (level == g_.rank - 1) return;
    if (level == g_.rank - 2 && bands_) {
      held_ = stop_ = 0;
      nan_ = false;
      return;
    }
    for (Index slot = 0; slot < level_[level].slots; ++slot) level_[level].held[slot] = -1;
  }

  // The source slice `s` at `level`, reduced along all axes inside it; from the ring if it is
  // there. `nan` becomes true where there may be one in it.
  Operand<T, Tap> reduced(int level, const T* source, Index s, bool& nan) {
    Level& at = level_[level];
    const Index slot = s & (at.slots - 1), x = slot * at.target_slice;
    if (at.held[slot] != s) {
      at.held[slot] = s;
      const T* row = level == 0 ? prepare(s, 1) : source + s * at.source_slice;
      at.nan[slot] = all(level + 1, row, at.values + x, advance(at.taps, x));
    }
    nan |= at.nan[slot];
    return {at.values + x, advance(at.taps, x), 0, T(1)};
  }

  // The whole of `level`. Returns whether there may be a NaN in it, as the others do that write.
  bool all(int level, const T* source, T* out, Tap* taps) {
    const Index targets = Way::targets(g_)[level], slice = level_[level].target_slice;
    if (level == g_.rank - 1) return innermost(source, 0, targets, out, taps, Keep{});
    forget(level);
    bool nan = false;
    if constexpr (kAtOnce) {
      if (level == g_.rank - 2 && blocks_)
        return block(level, source, 0, targets, out, taps, KeepAll{});
      if (level == g_.rank - 2 && bands_) {
        for (Index t = 0, last; t < targets; t = last) {
          last = min(targets, t + band_of(g_));
          nan |= band(level, source, t, last, out + t * slice, advance(taps, t * slice), KeepAll{});
        }
        return nan;
      }
    }
    for (Index t = 0; t < targets; ++t)
      nan |= step(level, source, t, out + t * slice, advance(taps, t * slice), Keep{});
    return nan;
  }

  template <class Finish>
  bool step(int level, const T* source, Index t, T* out, Tap* taps, Finish finish) {
    Level& at = level_[level];
    const Run run = at.runs[t];
    bool nan = false;
    for (Index j = 0; j < run.count; ++j) {
      const Index tap = run.tap + j * run.tap_step;
      at.operand[j] = reduced(level, source, run.source + j * run.step, nan);
      at.operand[j].tap = tap * at.taps_inside;
      if constexpr (M::weighted) at.operand[j].weight = at.weight[tap];
    }
    Combination<M, Tap> how = how_;
    how.plain = !nan, how.streams = level == 0 && streams_;
    strip<M>(at.operand, run.count, Again{1, 0, 0}, how, at.target_slice, out, taps, finish);
    return nan;
  }

  // Targets [begin, end) of the last axis but one: their rows first, then what they make together.
  template <class FinishFor>
  bool band(int level, const T* source, Index begin, Index end, T* out, Tap* taps,
            FinishFor finish_for) {
    Level& at = level_[level];
    const Index slice = at.target_slice;
    reduce_rows(level, source, Way::runs(g_, level, begin, end));
    Combination<M, Tap> how = how_;
    how.plain = !nan_, how.streams = level == 0 && streams_;
    if constexpr (!kKeepsTaps<Tap>)
      if (tall_ && !nan_) {
        combine_tall<M>(g_.axis[level], at.values + front_ * slice, held_, stop_, begin, end, slice,
                        how_.fill, ends_, out, finish_for, how.streams);
        return false;
      }
    for (Index t = begin, last; t < end; t = last) {
      const Run& run = at.runs[t];
      last = like(level, t, end, 1, finish_for);
      for (Index j = 0; j < run.count; ++j) {
        const Index tap = run.tap + j * run.tap_step;
        const Index x = (front_ + run.source + j * run.step - held_) * slice;
        at.operand[j] = {at.values + x, advance(at.taps, x), tap * at.taps_inside,
                         M::weighted ? at.weight[tap] : T(1)};
      }
      strip<M>(at.operand, run.count, Again{1, 0, 0}, how, (last - t) * slice,
               out + (t - begin) * slice, advance(taps, (t - begin) * slice), finish_for(t, 0));
    }
    return nan_;
  }

  // The targets [t, result) do the same, each `on` sources after the one before.
  template <class FinishFor>
  Index like(int level, Index t, Index end, Index on, FinishFor finish_for) const {
    const Index stop = t + alike(level_[level].runs, t, end, 1, on);
    Index last = t + 1;
    while (last < stop && finish_for.alike(t, last)) ++last;
    return last;
  }

  // Brings the source rows of `run` into the band; those that are there stay.
  void reduce_rows(int level, const T* source, const Run& run) {
    Level& at = level_[level];
    const Index slice = at.target_slice, begin = run.source, end = run.source + run.count;
    const Index kept = begin >= held_ ? max(0, stop_ - begin) : 0;
    if (kept == 0) {
      front_ = 0;
      nan_ = false;
    } else {
      front_ += begin - held_;
      if (front_ + (end - begin) > room_) {
        const Index x = front_ * slice;
        __builtin_memmove(at.values, at.values + x, std::size_t(kept * slice) * sizeof(T));
        if constexpr (kKeepsTaps<Tap>)
          __builtin_memmove(at.taps, at.taps + x, std::size_t(kept * slice) * sizeof(Tap));
        front_ = 0;
      }
    }
    held_ = begin, stop_ = max(end, begin + kept);
    const Index first = begin + kept, rows = end - first;
    if (rows <= 0) return;
    const T* row = level == 0 ? prepare(first, rows) : source + first * at.source_slice;
    const Index x = (front_ + kept) * slice;
    T* values = at.values + x;
    Tap* taps = advance(at.taps, x);
    if constexpr (kPicksLanes<T>)
      if (picks_) {
        Combination<M, Tap> how = how_;
        if constexpr (kKeepsTaps<Tap>) how.first_tap = first_tap_;
        short_.template rows<M>(row, rows, how, values, taps);
        nan_ = true;
        return;
      }
    if (flat_) {
      nan_ |= flattened_.template lines<M>(row, rows * slice, how_, values, taps);
      return;
    }
    for (Index y = 0; y < rows; ++y)
      nan_ |=
          all(level + 1, row + y * at.source_slice, values + y * slice, advance(taps, y * slice));
  }

  // Rows of windows, each from the rows that it stands on.
  template <class FinishFor>
  bool block(int level, const T* source, Index begin, Index end, T* out, Tap* taps,
             FinishFor finish_for) {
    Level& at = level_[level];
    const Run all = Way::runs(g_, level, begin, end);
    if (level == 0) source = prepare(all.source, all.count) - all.source * at.source_slice;
    Combination<M, Tap> how = how_;
    how.first_tap = first_tap_, how.streams = level == 0 && streams_;
    sliding_.plan(0, g_.out[g_.rank - 1] * g_.inner);
    const Index stride = g_.axis[level].stride;
    bool nan = false;
    for (Index t = begin, last; t < end; t = last) {
      const Run& run = at.runs[t];
      last = like(level, t, min(end, t + rows_at_once(g_)), stride, finish_for);
      for (Index j = 0; j < run.count; ++j)
        at.operand[j] = {source + (run.source + j) * at.source_slice, nullptr,
                         (run.tap + j) * at.taps_inside, T(1)};
      const Index x = (t - begin) * at.target_slice;
      const Again again = {last - t, stride * at.source_slice, at.target_slice};
      nan |= lines<M>(sliding_, at.operand, run.count, again, how, out + x, advance(taps, x),
                      finish_for(t, 0));
    }
    return nan;
  }

  template <class Finish>
  bool innermost(const T* source, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    Level& at = level_[g_.rank - 1];
    if constexpr (Way::forward && kPicksLanes<T> && kCommon<M, Tap>)
      if (picks_) {
        Combination<M, Tap> how = how_;
        if constexpr (kKeepsTaps<Tap>) how.first_tap = first_tap_;
        short_.template row<M>(source, how, out, taps, finish);
        return true;
      }
    if (folds_) return fold_all(source, begin, end, out, taps, finish);
    if constexpr (Way::forward) {
      const Index count = (end - begin) * g_.inner;
      Combination<M, Tap> how = how_;
      how.may_be_empty = false;
      if constexpr (kKeepsTaps<Tap>)
        how.first_tap = first_tap_ ? first_tap_ + begin * g_.inner : nullptr;
      if (deals_) {
        deal_.deal(source, begin, end - begin);
        return strip<M>(at.operand, at.hands, Again{1, 0, 0}, how, count, out, taps, finish);
      }
      if (slides_) {
        if constexpr (kAtOnce && !kKeepsTaps<Tap>)
          if (wide_ && !wide_line_.line(source, begin * g_.inner, count, how_.fill, out, finish))
            return false;
        sliding_.plan(begin * g_.inner, count);
        const Operand<T, Tap> row = {source, nullptr, 0, T(1)};
        return lines<M>(sliding_, &row, 1, Again{1, 0, 0}, how, out, taps, finish);
      }
    } else if (g_.inner == 1) {
      sum_readers(source, begin, end, out);
      return true;
    }
    Combination<M, Tap> how = how_;
    how.may_be_empty = false;
    bool nan = false;
    // Outputs that are neighbours read a stride apart; inputs a stride apart read neighbours.
    const Index stride = g_.axis[g_.rank - 1].stride;
    const Index step = Way::forward ? 1 : stride, on = Way::forward ? stride : 1;
    for (Index phase = begin; phase < min(begin + step, end); ++phase)
      for (Index t = phase, times; t < end; t += times * step) {
        times = alike(at.runs, t, end, step, on);
        at.operand[0] = {source, nullptr, 0, T(1)};
        const Index count = expand(at.operand, 1, at.runs[t], g_.inner, 1);
        if constexpr (M::weighted)
          for (Index j = 0; j < count; ++j) at.operand[j].weight = at.weight[at.operand[j].tap];
        const Index x = (t - begin) * g_.inner;
        const Again again = {times, on * g_.inner, step * g_.inner};
        nan |= strip<M>(at.operand, count, again, how, g_.inner, out + x, advance(taps, x),
                        finish.from(x));
      }
    return nan;
  }

  template <class Finish>
  bool fold_all(const T* source, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    const Run* runs = level_[g_.rank - 1].runs;
    for (Index t = begin; t < end; ++t) {
      const Run& run = runs[t];
      const T value =
          fold_run<M, Tap>(source + run.source, run, how_.fill, advance(taps, t - begin));
      out[t - begin] = finish(broadcast<Vec<T>>(value), t - begin, 1)[0];
    }
    return true;
  }

  // Looks for a NaN in those rows of target t that were not looked at before.
  void look_at_rows(Index t) {
    const Run& run = level_[0].runs[t];
    const Index slice = level_[0].source_slice, begin = max(looked_at_, run.source);
    if (run.count == 0 || odd_) return;
    looked_at_ = max(looked_at_, run.source + (run.count - 1) * run.step + 1);
    const T* source = reinterpret_cast<const T*>(plane_);
    Vec<T> sum[4] = {};
    Index x = begin * slice, end = looked_at_ * slice;
    for (; x + 4 * kLanes<T> <= end; x += 4 * kLanes<T>)
      for (int v = 0; v < 4; ++v) sum[v] += load<Vec<T>>(source + x + v * kLanes<T>);
    sweep<T>(max(0, end - x),
             [&](Index at, auto lanes) { sum[0] += load_first<T>(source + x + at, lanes); });
    const Vec<T> all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    odd_ = any_lane(all != all);
  }

  // All taps at once: one list of pointers for all outputs of a row that read alike, however many
  // axes there are.
  template <class E, class Finish>
  void direct(Operand<E, Tap>* operand, Index t, T* out, Tap* taps, Finish finish) {
    const int last_level = g_.rank - 1;
    if constexpr (std::is_same_v<E, T> && M::selects && kFloats<T>)
      if (looks_first_) look_at_rows(t);
    const Index pixels_in_row = g_.out[last_level], stride = g_.axis[last_level].stride;
    Index target[kMaxRank] = {t};
    Combination<M, Tap> how = how_;
    how.may_be_empty = false, how.streams = streams_;
    how.plain = looks_first_ && !odd_;
    for (Index x = 0; x < level_[0].target_slice;) {
      operand[0] = {reinterpret_cast<const E*>(plane_), nullptr, 0, E{}};
      Index count = 1;
      for (int l = 0; l < last_level; ++l)
        count = expand(operand, count, level_[l].runs[target[l]], level_[l].source_slice,
                       level_[l].taps_inside);
      for (Index o = 0, times; o < pixels_in_row; o += times) {
        times = alike(level_[last_level].runs, o, pixels_in_row, 1, stride);
        Operand<E, Tap>* list = operand + direct_rows_;
        for (Index e = 0; e < count; ++e) list[e] = operand[e];
        const Index taps_in_all = expand(list, count, level_[last_level].runs[o], g_.inner, 1);
        const Again again = {times, stride * g_.inner, g_.inner};
        strip<M>(list, taps_in_all, again, how, g_.inner, out + x, advance(taps, x),
                 finish.from(x));
        x += times * g_.inner;
      }
      for (int l = last_level - 1; l > 0 && ++target[l] == Way::targets(g_)[l]; --l) target[l] = 0;
    }
  }

  // The same where windows stand side by side: at most one reads an input.
  void spread(const T* row, Index begin, Index end, T* out) const {
    const Axis& axis = g_.axis[g_.rank - 1];
    const T* weight = level_[g_.rank - 1].weight;
    const Run outputs = readers_of_all(g_, g_.rank - 1, begin, end);
    Index i = begin;
    for (Index o = outputs.source; o < outputs.source + outputs.count; ++o) {
      const Index start = o * axis.stride - axis.before;
      const Index low = max(start, begin), high = min(start + axis.kernel, end);
      for (; i < low; ++i) out[i - begin] = T(0);
      const T given = row[o];
      T* to = out + (low - begin);
      if constexpr (M::weighted)
        for (Index k = 0; k < high - low; ++k) to[k] = given * weight[low - start + k];
      else
        for (Index k = 0; k < high - low; ++k) to[k] = given;
      i = max(i, high);
    }
    for (; i < end; ++i) out[i - begin] = T(0);
  }

  // Adds up, for every input, the outputs that read it.
  void sum_readers(const T* row, Index begin, Index end, T* out) const {
    if (spreads(g_)) return spread(row, begin, end, out);
    const Index outputs = g_.out[g_.rank - 1];
    const T* weight = level_[g_.rank - 1].weight;
    Run runs[2];
    const auto prepare = [&](int phase, const Run& run) { runs[phase] = run; };
    phases_.line(begin, end, out, prepare, [&](int phase, Index x) {
      const Run run = runs[phase];
      const auto given = [&](Index j) {
        const Index o = run.source + j * run.step + x;
        const bool inside = o >= 0 && o + kLanes<T> <= outputs;
        const Vec<T> v = inside ? load<Vec<T>>(row + o) : fetch(row, outputs, o, T(0));
        if constexpr (M::weighted) return v * weight[run.tap + j * run.tap_step];
        return v;
      };
      if (run.count == 0) return Vec<T>{};
      Vec<T> total = given(0);  // not 0 and that: a lone -0 stays -0
      for (Index j = 1; j < run.count; ++j) total += given(j);
      return total;
    });
  }

  template <class E>
  static E* advance(E* taps, Index by) {
    if constexpr (kKeepsTaps<Tap>) return taps + by;
    return nullptr;
  }

  const Task& task_;
  const Geometry& g_;
  Phases phases_;  // of the innermost axis, on the way back
  // Of the innermost axis, forward: one of the two.
  Deal<T> deal_;
  Sliding<T> sliding_ = {};
  Combination<M, Tap> how_ = {};
  const bool folds_, deals_, slides_, blocks_, bands_, wide_, tall_, picks_, streams_;
  ShortRow<T, Tap> short_;
  WideLine<M> wide_line_;
  T* ends_ = nullptr;  // of the blocks that tall windows are cut into
  bool flat_ = false;
  Flat<T, Tap> flattened_;
  const char* plane_ = nullptr;
  Level level_[kMaxRank] = {};
  // Those of rows, and behind them those of pixels; the second where elements become lanes as they
  // are loaded.
  Operand<T, Tap>* direct_ = nullptr;
  Operand<Loaded<M>, Tap>* from_elements_ = nullptr;
  // Whether rows are looked at for a NaN before they are combined: where each is read often. Those
  // below `looked_at_` were, and there may have been one.
  bool looks_first_ = false, odd_ = false;
  Index looked_at_ = 0;
  Index direct_rows_ = 0;
  Tap* first_tap_ = nullptr;
  T* prepared_ = nullptr;
  // Which rows the band holds, from row `front_` of its room on; and whether there may be a NaN in
  // them.
  Index held_ = 0, stop_ = 0, front_ = 0, room_ = 0;
  bool nan_ = false;
};

}  // namespace cenote::CENOTE_TARGET
