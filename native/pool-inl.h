// Pooling as passes over axes, innermost first, through rings of slices that stay in cache.
//
// The same walk serves both directions of a linear reduction: Forward gathers the inputs of every
// output, Backward the outputs that read every input. A slice at level l is what lies inside axis
// l.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

struct Forward {
  static constexpr bool forward = true;
  static const Index* targets(const Geometry& g) { return g.out; }
  static const Index* sources(const Geometry& g) { return g.n; }
  static Run run(const Geometry& g, int level, Index o) {
    return inputs(g.axis[level], g.n[level], o);
  }
};
struct Backward {
  static constexpr bool forward = false;
  static const Index* targets(const Geometry& g) { return g.n; }
  static const Index* sources(const Geometry& g) { return g.out; }
  static Run run(const Geometry& g, int level, Index i) {
    return readers(g.axis[level], g.out[level], i);
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

template <class M, class Tap, class Way>
class Reduction {
 public:
  using T = typename M::Element;

  Reduction(const Geometry& g, Arena& arena)
      : g_(g), phases_(g.axis[g.rank - 1], Way::forward ? 0 : g.n[g.rank - 1], arena) {
    Index taps = 1;
    for (int level = g.rank - 1; level >= 0; --level) {
      Level& at = level_[level];
      at.target_slice = slice_of(g, Way::targets(g), level);
      at.source_slice = slice_of(g, Way::sources(g), level);
      at.taps_inside = taps;
      taps *= g.axis[level].kernel;
      at.operand = arena.take<Operand<T, Tap>>(min(g.axis[level].kernel, Way::sources(g)[level]));
      if (level < g.rank - 1 || g.inner > 1) at.runs = runs_along<Way>(g, level, arena);
      if (level == g.rank - 1) continue;
      at.slots = min(extent(g.axis[level]), Way::sources(g)[level]);
      at.held = arena.take<Index>(at.slots);
      at.values = arena.take<T>(at.slots * at.target_slice);
      if constexpr (kKeepsTaps<Tap>) at.taps = arena.take<Tap>(at.slots * at.target_slice);
    }
    if (const Index direct = direct_operands(g)) direct_ = arena.take<Operand<T, Tap>>(direct);
    if constexpr (!Way::forward)
      prepared_ = arena.take<T>(level_[0].source_slice * (g.rank == 1 ? g.out[0] : 1));
    if constexpr (kKeepsTaps<Tap>) find_first_taps(arena);
    const int last = g.rank - 1;
    const Axis& axis = g.axis[last];
    const Index last_start = (g.out[last] - 1) * axis.stride - axis.before;
    low_ = min(axis.kernel - 1, max(0, ceil_div(-last_start, axis.dilation)));
    high_ = max(low_ + 1, min(axis.kernel, ceil_div(g.n[last] + axis.before, axis.dilation)));
  }

  // Backward: what the gradient is divided by before it is spread.
  void divide_by(const T* each, const Index* outer, T all) {
    each_ = each, outer_ = outer, all_ = all;
  }

  // Forget the slices of the plane before.
  void start_plane() { forget(0); }

  // Target `t` of axis 0, from a plane of sources.
  template <class Finish>
  void unit(const T* plane, Index t, T* out, Tap* taps, Finish finish) {
    if (direct_)
      direct(plane, t, out, taps, finish);
    else
      step(0, plane, t, out, taps, finish);
  }

  // With one axis a unit is an element: do a stretch of them at once.
  template <class Finish>
  void stretch(const T* plane, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    if constexpr (!Way::forward) plane = prepare(plane, 0, level_[0].source_slice * g_.out[0]);
    innermost(plane, begin, end, out, taps, finish);
  }

  // Whether, with channels inside, all taps of a window are combined in registers at once, and how
  // many they are at most: where that takes fewer loads than passing the slices through memory.
  static Index direct_operands(const Geometry& g) {
    if (!Way::forward || g.inner == 1 || g.rank == 1) return 0;
    Index together = 1, in_passes = 0;
    for (int l = g.rank - 1; l >= 0; --l) {
      const Index kernel = g.axis[l].kernel;
      together *= kernel;
      in_passes = kernel + (l < g.rank - 1 ? min(g.axis[l].stride, kernel) * (in_passes + 1) : 0);
    }
    return together <= in_passes ? together : 0;
  }

 private:
  struct Level {
    Index target_slice, source_slice, taps_inside, slots;
    const Run* runs;
    Operand<T, Tap>* operand;
    Index* held;  // which source slice every slot of the ring holds, or -1
    T* values;
    Tap* taps;
  };

  void find_first_taps(Arena& arena) {
    for (int l = 0; l < g_.rank; ++l)  // a dense window always has an element
      for (Index o = 0; g_.axis[l].dilation > 1 && o < g_.out[l]; ++o)
        may_be_empty_ = may_be_empty_ || inputs(g_.axis[l], g_.n[l], o).count == 0;
    const int last = g_.rank - 1;
    const Axis& axis = g_.axis[last];
    if (g_.inner != 1 || (axis.before == 0 && !may_be_empty_)) return;
    first_tap_ = arena.take<Tap>(g_.out[last]);
    if (!first_tap_) return;
    for (Index o = 0; o < g_.out[last]; ++o) {
      const bool at_start = o * axis.stride < axis.before;
      const Run run = at_start || may_be_empty_ ? inputs(axis, g_.n[last], o) : Run{0, 1, 0, 1, 1};
      first_tap_[o] = run.count ? Tap(run.tap) : kNoTap<Tap>;
    }
  }

  // A source slice divided, in scratch memory.
  const T* prepare(const T* source, Index s, Index length) {
    const Divide<T> divide{each_, all_ * (outer_ ? T(outer_[s]) : T(1))};
    T* to = prepared_;
    sweep<T>(length, [=](Index x, auto lanes) {
      store_first<T>(to + x, lanes, divide(load_first<T>(source + x, lanes), x, lanes));
    });
    return to;
  }

  void forget(int level) {
    if (level == g_.rank - 1) return;
    for (Index slot = 0; slot < level_[level].slots; ++slot) level_[level].held[slot] = -1;
  }

  // The source slice `s` at `level`, reduced along all axes inside it; from the ring if it is
  // there.
  Operand<T, Tap> reduced(int level, const T* source, Index s) {
    Level& at = level_[level];
    const Index slot = s % at.slots;
    T* values = at.values + slot * at.target_slice;
    Tap* taps = nullptr;
    if constexpr (kKeepsTaps<Tap>) taps = at.taps + slot * at.target_slice;
    if (at.held[slot] != s) {
      at.held[slot] = s;
      const T* slice = source + s * at.source_slice;
      if constexpr (!Way::forward)
        if (level == 0) slice = prepare(slice, s, at.source_slice);
      all(level + 1, slice, values, taps);
    }
    return {values, taps, 0};
  }

  void all(int level, const T* source, T* out, Tap* taps) {
    const Index targets = Way::targets(g_)[level], slice = level_[level].target_slice;
    if (level == g_.rank - 1) return innermost(source, 0, targets, out, taps, Keep{});
    forget(level);
    for (Index t = 0; t < targets; ++t)
      step(level, source, t, out + t * slice, advance(taps, t * slice), Keep{});
  }

  template <class Finish>
  void step(int level, const T* source, Index t, T* out, Tap* taps, Finish finish) {
    Level& at = level_[level];
    const Run run = at.runs[t];
    for (Index j = 0; j < run.count; ++j) {
      at.operand[j] = reduced(level, source, run.source + j * run.step);
      at.operand[j].tap = (run.tap + j * run.tap_step) * at.taps_inside;
    }
    strip<M>(at.operand, run.count, may_be_empty_, at.target_slice, out, taps, finish);
  }

  template <class Finish>
  void innermost(const T* source, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    const int last = g_.rank - 1;
    const Axis& axis = g_.axis[last];
    if (g_.inner == 1) {
      const Index n = g_.n[last];
      if constexpr (!Way::forward)
        return sum_readers(source, g_.out[last], begin, end, out);
      else if (axis.stride == 1)
        return line<M, 1>(source, n, axis, low_, high_, begin, end, first_tap_, out, taps, finish);
      else if (axis.stride == 2)
        return line<M, 2>(source, n, axis, low_, high_, begin, end, first_tap_, out, taps, finish);
      else
        return line<M, 0>(source, n, axis, low_, high_, begin, end, first_tap_, out, taps, finish);
    }
    Level& at = level_[last];
    for (Index t = begin; t < end; ++t) {
      at.operand[0] = {source, nullptr, 0};
      const Index count = expand(at.operand, 1, at.runs[t], g_.inner, 1);
      const Index x = (t - begin) * g_.inner;
      strip<M>(at.operand, count, false, g_.inner, out + x, advance(taps, x), finish.from(x));
    }
  }

  // All taps at once: one list of pointers for every output, however many axes there are.
  template <class Finish>
  void direct(const T* plane, Index t, T* out, Tap* taps, Finish finish) {
    Index target[kMaxRank] = {t};
    for (Index x = 0; x < level_[0].target_slice; x += g_.inner) {
      direct_[0] = {plane, nullptr, 0};
      Index count = 1;
      for (int l = 0; l < g_.rank; ++l)
        count = expand(direct_, count, level_[l].runs[target[l]], level_[l].source_slice,
                       level_[l].taps_inside);
      strip<M>(direct_, count, false, g_.inner, out + x, advance(taps, x), finish.from(x));
      for (int l = g_.rank - 1; l > 0 && ++target[l] == Way::targets(g_)[l]; --l) target[l] = 0;
    }
  }

  // Adds up, for every input, the outputs that read it.
  void sum_readers(const T* row, Index outputs, Index begin, Index end, T* out) const {
    phases_.line(begin, end, out, [=](const Run& run) {
      Vec<T> total = {};
      for (Index j = 0; j < run.count; ++j)
        total += fetch<T, 1>(row, outputs, run.source + j * run.step, 1, T(0));
      return total;
    });
  }

  static Tap* advance(Tap* taps, Index by) {
    if constexpr (kKeepsTaps<Tap>) return taps + by;
    return nullptr;
  }

  const Geometry& g_;
  Phases phases_;  // of the innermost axis, on the way back
  Level level_[kMaxRank] = {};
  Operand<T, Tap>* direct_ = nullptr;
  Index low_, high_;  // the innermost axis' taps that lie inside the row for some output
  Tap* first_tap_ = nullptr;
  bool may_be_empty_ = false;
  T* prepared_ = nullptr;
  const T* each_ = nullptr;
  const Index* outer_ = nullptr;
  T all_ = 1;
};

}  // namespace cenote::CENOTE_TARGET
