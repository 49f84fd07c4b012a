// One target: every kernel of the table, compiled for one instruction set in a namespace of its
// own.
#include "taps-inl.h"

namespace cenote::CENOTE_TARGET {
namespace {

template <class T>
Divide<T> divide_for(const Task& task, Index o0, Index x) {
  const auto* each = static_cast<const T*>(task.slice_divisor);
  return {each ? each + x : nullptr, T(task.outer_divisor ? task.outer_divisor[o0] : 1)};
}

// The walk that all reductions share. With one axis, units that lie side by side are done together.
template <class M, class Tap, class Way, class FinishFor>
Index reduce(const Task& task, Index begin, Index end, char* scratch, FinishFor finish_for) {
  using T = typename M::Element;
  const Geometry& g = task.geometry;
  Arena arena(scratch);
  Reduction<M, Tap, Way> reduction(g, arena);
  if (!scratch) return arena.used();
  if constexpr (!Way::forward)
    reduction.divide_by(static_cast<const T*>(task.slice_divisor), task.outer_divisor, T(1));
  const Index units = Way::targets(g)[0], slice = slice_of(g, Way::targets(g), 0);
  const Index source_plane = Way::sources(g)[0] * slice_of(g, Way::sources(g), 0);
  for_each_plane(begin, end, units, [&](Index plane, Index first, Index stop) {
    const T* source = static_cast<const T*>(task.input) + plane * source_plane;
    T* out = static_cast<T*>(task.output) + (plane * units + first) * slice;
    Tap* taps = nullptr;
    if constexpr (kKeepsTaps<Tap>)
      taps = static_cast<Tap*>(task.taps_out) + (plane * units + first) * slice;
    if (g.rank == 1)
      return reduction.stretch(source, first, stop, out, taps, finish_for(first, first * slice));
    reduction.start_plane();
    for (Index t = first; t < stop; ++t, out += slice) {
      reduction.unit(source, t, out, taps, finish_for(t, 0));
      if constexpr (kKeepsTaps<Tap>) taps += slice;
    }
  });
  return arena.used();
}

template <class M>
Index select_values(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<M, void, Forward>(task, begin, end, scratch, [](Index, Index) { return Keep{}; });
}

template <class M, class Tap>
Index select_taps(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<M, Tap, Forward>(task, begin, end, scratch, [](Index, Index) { return Keep{}; });
}

template <class T>
Index mean(const Task& task, Index begin, Index end, char* scratch) {
  const auto finish_for = [&](Index o0, Index x) { return divide_for<T>(task, o0, x); };
  return reduce<Sum<T>, void, Forward>(task, begin, end, scratch, finish_for);
}

template <class T>
Index mean_backward(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<Sum<T>, void, Backward>(task, begin, end, scratch,
                                        [](Index, Index) { return Keep{}; });
}

template <class T, class Tap>
Index gather(const Task& task, Index begin, Index end, char* scratch) {
  const Geometry& g = task.geometry;
  Arena arena(scratch);
  Gather<T, Tap> gather(g, arena);
  if (!scratch) return arena.used();
  const Index slice = slice_of(g, g.n, 0), out_plane = g.out[0] * slice_of(g, g.out, 0);
  for_each_plane(begin, end, g.n[0], [&](Index plane, Index first, Index stop) {
    const T* gradient = static_cast<const T*>(task.input) + plane * out_plane;
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + plane * out_plane;
    T* out = static_cast<T*>(task.output) + plane * g.n[0] * slice;
    if (g.rank == 1) return gather.unit(gradient, taps, first, stop, out + first * slice);
    for (Index i = first; i < stop; ++i) gather.unit(gradient, taps, i, i + 1, out + i * slice);
  });
  return arena.used();
}

// A unit is a whole plane here: two outputs may have taken the same input.
template <class T, class Tap>
Index scatter(const Task& task, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  const Geometry& g = task.geometry;
  const Index plane_in = g.n[0] * slice_of(g, g.n, 0), plane_out = g.out[0] * slice_of(g, g.out, 0);
  for (Index plane = begin; plane < end; ++plane) {
    const T* gradient = static_cast<const T*>(task.input) + plane * plane_out;
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + plane * plane_out;
    T* to = static_cast<T*>(task.output) + plane * plane_in;
    __builtin_memset(to, 0, std::size_t(plane_in) * sizeof(T));
    for_each_output(g, 0, g.out[0], [&](Index x, Index origin) {
      for (Index c = 0; c < g.inner; ++c)
        if (taps[x + c] != kNoTap<Tap>)
          to[origin + offset_of(task, taps[x + c]) + c] += gradient[x + c];
    });
  }
  return 0;
}

// The elements that the taps point at, 0 where there is no tap: the adjoint of gather and scatter.
template <class T, class Tap>
Index pick(const Task& task, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  const Geometry& g = task.geometry;
  const Index plane_in = g.n[0] * slice_of(g, g.n, 0), plane_out = g.out[0] * slice_of(g, g.out, 0);
  for_each_plane(begin, end, g.out[0], [&](Index plane, Index first, Index stop) {
    const T* from = static_cast<const T*>(task.input) + plane * plane_in;
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + plane * plane_out;
    T* out = static_cast<T*>(task.output) + plane * plane_out;
    for_each_output(g, first, stop, [&](Index x, Index origin) {
      for (Index c = 0; c < g.inner; ++c) {
        const bool any = taps[x + c] != kNoTap<Tap>;
        out[x + c] = any ? from[origin + offset_of(task, taps[x + c]) + c] : T(0);
      }
    });
  });
  return 0;
}

// Flat positions in the plane, channels not counted; -1 where there is no tap.
template <class Tap>
Index indices(const Task& task, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  const Geometry& g = task.geometry;
  const Index plane_out = g.out[0] * slice_of(g, g.out, 0);
  for_each_plane(begin, end, g.out[0], [&](Index plane, Index first, Index stop) {
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + plane * plane_out;
    Index* out = static_cast<Index*>(task.output) + plane * plane_out;
    for_each_output(g, first, stop, [&](Index x, Index origin) {
      for (Index c = 0; c < g.inner; ++c) {
        const bool any = taps[x + c] != kNoTap<Tap>;
        out[x + c] = any ? (origin + offset_of(task, taps[x + c])) / g.inner : -1;
      }
    });
  });
  return 0;
}

}  // namespace

#define CENOTE_TEXT_(x) #x
#define CENOTE_TEXT(x) CENOTE_TEXT_(x)
#define CENOTE_UNPACK(...) __VA_ARGS__

extern const Kernels kernels;
constinit const Kernels kernels = [] {
  Kernels table = {};
  table.name = CENOTE_TEXT(CENOTE_TARGET);
#define CENOTE_KERNEL(member, kernel) table.member = CENOTE_UNPACK kernel;
#include "kernels.inc"
#undef CENOTE_KERNEL
  return table;
}();

}  // namespace cenote::CENOTE_TARGET
