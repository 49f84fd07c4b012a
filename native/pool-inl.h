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

// With one axis a unit is an element: what is worked on at once, so that scratch memory stays
// small.
constexpr Index kStretch = 4096;

template <class M, class Tap, class Way>
class Reduction {
 public:
  using T = typename M::Element;

  Reduction(const Task& task, Arena& arena)
      : task_(task),
        g_(task.geometry),
        phases_(g_.axis[g_.rank - 1], slides_backward(g_) ? g_.n[g_.rank - 1] : 0, arena),
        fill_(M::identity(task.identity)) {
    Index taps = 1;
    for (int level = g_.rank - 1; level >= 0; --level) {
      Level& at = level_[level];
      at.target_slice = slice_of(g_, Way::targets(g_), level);
      at.source_slice = slice_of(g_, Way::sources(g_), level);
      at.taps_inside = taps;
      taps *= g_.axis[level].kernel;
      at.weight = static_cast<const T*>(task.weight[level]);
      if (level < g_.rank - 1 || g_.inner > 1 || folds(g_))
        at.runs = runs_along<Way>(g_, level, arena);
      const Index most = most_sources(level);
      at.operand = arena.take<Operand<T, Tap>>(most);
      if (level == g_.rank - 1) continue;
      at.slots = min(max(extent(g_.axis[level]), most), Way::sources(g_)[level]);
      at.held = arena.take<Index>(at.slots);
      at.values = arena.take<T>(at.slots * at.target_slice);
      if constexpr (kKeepsTaps<Tap>) at.taps = arena.take<Tap>(at.slots * at.target_slice);
    }
    if (const Index direct = direct_operands()) direct_ = arena.take<Operand<T, Tap>>(direct);
    if (prepares()) prepared_ = arena.take<T>(most_prepared());
    if constexpr (kKeepsTaps<Tap>) find_first_taps(arena);
    const int last = g_.rank - 1;
    const Axis& axis = g_.axis[last];
    const Index last_start = (g_.out[last] - 1) * axis.stride - axis.before;
    low_ = min(axis.kernel - 1, max(0, ceil_div(-last_start, axis.dilation)));
    high_ = max(low_ + 1, min(axis.kernel, ceil_div(g_.n[last] + axis.before, axis.dilation)));
  }

  // The plane to reduce; the slices of the one before are forgotten.
  void start_plane(const char* plane) {
    plane_ = plane;
    forget(0);
  }

  // Target `t` of axis 0.
  template <class Finish>
  void unit(Index t, T* out, Tap* taps, Finish finish) {
    if (direct_)
      direct(t, out, taps, finish);
    else
      step(0, nullptr, t, out, taps, finish);
  }

  // With one axis: a stretch of targets at once.
  template <class Finish>
  void stretch(Index begin, Index end, T* out, Tap* taps, Finish finish) {
    const Run from = Way::runs(g_, 0, begin, end);
    const T* source = prepare(from.source, from.count) - from.source * g_.inner;
    innermost(source, begin, end, out, taps, finish);
  }

 private:
  struct Level {
    Index target_slice, source_slice, taps_inside, slots;
    const Run* runs;
    const T* weight;
    Operand<T, Tap>* operand;
    Index* held;  // which source slice every slot of the ring holds, or -1
    T* values;
    Tap* taps;
  };

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
    return !Way::forward && g.inner == 1 && !folds(g);
  }

  // Whether sources go through scratch memory: elements that are no lanes, gradients to be divided.
  bool prepares() const {
    return task_.read || (!Way::forward && (task_.slice_divisor || task_.outer_divisor));
  }
  Index most_prepared() const {
    const Index slice = level_[0].source_slice, all = Way::sources(g_)[0];
    if (g_.rank > 1) return slice;
    const Axis& axis = g_.axis[0];
    const Index length = g_.starts[0]   ? all
                         : Way::forward ? (kStretch - 1) * axis.stride + extent(axis)
                                        : (kStretch + extent(axis)) / axis.stride + 2;
    // Vectors at its end may look behind it, at elements that their lanes have no use for.
    return min(all, length) * slice + 2 * kLanes<T> * axis.stride;
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
    if (!Way::forward || g_.inner == 1 || g_.rank == 1 || M::weighted || prepares()) return 0;
    Index together = 1, in_passes = 0;
    for (int l = g_.rank - 1; l >= 0; --l) {
      const Index kernel = g_.axis[l].kernel;
      together *= kernel;
      in_passes = kernel + (l < g_.rank - 1 ? min(g_.axis[l].stride, kernel) * (in_passes + 1) : 0);
    }
    return together <= in_passes ? together : 0;
  }

  void find_first_taps(Arena& arena) {
    for (int l = 0; l < g_.rank; ++l)  // a dense window always has an element
      for (Index o = 0; g_.axis[l].dilation > 1 && o < g_.out[l]; ++o)
        may_be_empty_ = may_be_empty_ || inputs(g_, l, o).count == 0;
    const int last = g_.rank - 1;
    const Axis& axis = g_.axis[last];
    if (g_.inner != 1 || (axis.before == 0 && !may_be_empty_)) return;
    first_tap_ = arena.take<Tap>(g_.out[last]);
    if (!first_tap_) return;
    for (Index o = 0; o < g_.out[last]; ++o) {
      const bool at_start = o * axis.stride < axis.before;
      const Run run = at_start || may_be_empty_ ? inputs(g_, last, o) : Run{0, 1, 0, 1, 1};
      first_tap_[o] = run.count ? Tap(run.tap) : kNoTap<Tap>;
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
      source = prepared_;
    }
    if constexpr (!Way::forward) {
      const Index* outer = task_.outer_divisor;
      const T* each = static_cast<const T*>(task_.slice_divisor);
      if (each && g_.rank == 1) each += first * slice;
      if (each || outer) {
        const Divide<T> divide{each, outer ? T(outer[g_.rank == 1 ? 0 : first]) : T(1),
                               task_.half_even};
        sweep<T>(length, [=, to = prepared_](Index x, auto lanes) {
          store_first<T>(to + x, lanes, divide(load_first<T>(source + x, lanes), x, lanes));
        });
      }
    }
    return prepared_;
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
      all(level + 1, level == 0 ? prepare(s, 1) : source + s * at.source_slice, values, taps);
    }
    return {values, taps, 0, T(1)};
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
      const Index tap = run.tap + j * run.tap_step;
      at.operand[j] = reduced(level, source, run.source + j * run.step);
      at.operand[j].tap = tap * at.taps_inside;
      if constexpr (M::weighted) at.operand[j].weight = at.weight[tap];
    }
    strip<M>(at.operand, run.count, may_be_empty_, at.target_slice, fill_, out, taps, finish);
  }

  template <class Finish>
  void innermost(const T* source, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    const int last = g_.rank - 1;
    Level& at = level_[last];
    if (g_.inner == 1) {
      const Axis& axis = g_.axis[last];
      if (folds(g_)) return fold_all(source, begin, end, out, taps, finish);
      if constexpr (Way::forward) {
        const Sliding<T, Tap> row = {axis, g_.n[last], low_, high_, first_tap_, fill_, at.weight};
        if (axis.stride == 1) return line<M, 1>(row, source, begin, end, out, taps, finish);
        if (axis.stride == 2) return line<M, 2>(row, source, begin, end, out, taps, finish);
        return line<M, 0>(row, source, begin, end, out, taps, finish);
      } else {
        return sum_readers(source, begin, end, out);
      }
    }
    for (Index t = begin; t < end; ++t) {
      at.operand[0] = {source, nullptr, 0, T(1)};
      const Index count = expand(at.operand, 1, at.runs[t], g_.inner, 1);
      if constexpr (M::weighted)
        for (Index j = 0; j < count; ++j) at.operand[j].weight = at.weight[at.operand[j].tap];
      const Index x = (t - begin) * g_.inner;
      strip<M>(at.operand, count, false, g_.inner, fill_, out + x, advance(taps, x),
               finish.from(x));
    }
  }

  template <class Finish>
  void fold_all(const T* source, Index begin, Index end, T* out, Tap* taps, Finish finish) {
    const Run* runs = level_[g_.rank - 1].runs;
    for (Index t = begin; t < end; ++t) {
      const Run& run = runs[t];
      Folded<M> all = {fill_, 0};
      if (run.count) all = fold<M>(source + run.source, run.count);
      const Vec<T> value = finish(broadcast<Vec<T>>(all.value), t - begin, 1);
      out[t - begin] = value[0];
      if constexpr (kKeepsTaps<Tap>)
        taps[t - begin] = run.count ? Tap(run.tap + all.at) : kNoTap<Tap>;
    }
  }

  // All taps at once: one list of pointers for every output, however many axes there are.
  template <class Finish>
  void direct(Index t, T* out, Tap* taps, Finish finish) {
    Index target[kMaxRank] = {t};
    for (Index x = 0; x < level_[0].target_slice; x += g_.inner) {
      direct_[0] = {reinterpret_cast<const T*>(plane_), nullptr, 0, T(1)};
      Index count = 1;
      for (int l = 0; l < g_.rank; ++l)
        count = expand(direct_, count, level_[l].runs[target[l]], level_[l].source_slice,
                       level_[l].taps_inside);
      strip<M>(direct_, count, false, g_.inner, fill_, out + x, advance(taps, x), finish.from(x));
      for (int l = g_.rank - 1; l > 0 && ++target[l] == Way::targets(g_)[l]; --l) target[l] = 0;
    }
  }

  // Adds up, for every input, the outputs that read it.
  void sum_readers(const T* row, Index begin, Index end, T* out) const {
    const Index outputs = g_.out[g_.rank - 1];
    const T* weight = level_[g_.rank - 1].weight;
    phases_.line(begin, end, out, [=](const Run& run) {
      const auto given = [=](Index j) {
        const Vec<T> v = fetch<T, 1>(row, outputs, run.source + j * run.step, 1, T(0));
        if constexpr (M::weighted) return v * weight[run.tap + j * run.tap_step];
        return v;
      };
      if (run.count == 0) return Vec<T>{};
      Vec<T> total = given(0);  // not 0 and that: a lone -0 stays -0
      for (Index j = 1; j < run.count; ++j) total += given(j);
      return total;
    });
  }

  static Tap* advance(Tap* taps, Index by) {
    if constexpr (kKeepsTaps<Tap>) return taps + by;
    return nullptr;
  }

  const Task& task_;
  const Geometry& g_;
  Phases phases_;  // of the innermost axis, on the way back
  T fill_;
  const char* plane_ = nullptr;
  Level level_[kMaxRank] = {};
  Operand<T, Tap>* direct_ = nullptr;
  Index low_, high_;  // the innermost axis' taps that lie inside the row for some output
  Tap* first_tap_ = nullptr;
  bool may_be_empty_ = false;
  T* prepared_ = nullptr;
};

}  // namespace cenote::CENOTE_TARGET
