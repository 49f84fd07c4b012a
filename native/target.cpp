// One target: every kernel of the table, compiled for one instruction set in a namespace of its
// own.
#include "convolution.h"
#include "smooth-inl.h"
#include "stream-inl.h"
#include "taps-inl.h"

namespace cenote::CENOTE_TARGET {
namespace {

// The divisors of target o0 of axis 0, from element x of its slice on.
template <class T>
struct DivideEach {
  const Task& task;
  Divide<T> operator()(Index o0, Index x) const {
    if (task.divides_sources) return {nullptr, T(1), false};
    const auto* each = static_cast<const T*>(task.slice_divisor);
    return {each ? each + x : nullptr, T(task.outer_divisor ? task.outer_divisor[o0] : 1),
            task.half_even};
  }
  // Whether two targets are divided by the same.
  bool alike(Index a, Index b) const {
    if (task.divides_sources) return true;
    return !task.slice_divisor &&
           (!task.outer_divisor || task.outer_divisor[a] == task.outer_divisor[b]);
  }
};

// Whether every plane is a row with one window, as where all of a plane is pooled; and whether
// there is a way to fold it at once.
template <class M, class Tap>
bool folds_planes(const Task& task) {
  const Geometry& g = task.geometry;
  return !task.divides_sources && g.rank == 1 && g.out[0] == 1 && g.axis[0].dilation == 1 &&
         !M::weighted && (g.inner == 1 || (!kKeepsTaps<Tap> && FoldPixels<M>::takes(g.inner)));
}

// One output from every plane, many planes at once.
template <class M, class Tap, class FinishFor>
Index fold_planes(const Task& task, Index begin, Index end, char* scratch, FinishFor finish_for) {
  using T = typename M::Element;
  constexpr Index kMostPlanes = 64;
  const Geometry& g = task.geometry;
  const Index n = g.n[0], most = max(1, min(kMostPlanes, kStretch / n));
  const Run run = inputs(g, 0, 0);
  Arena arena(scratch);
  Destination<T> to(task, most, false, arena);
  T* read = task.read ? arena.take<T>(most * n) : nullptr;
  if (!scratch) return arena.used();
  const auto finish = finish_for(0, 0);
  for (Index plane = begin, count; plane < end; plane += count) {
    count = min(end - plane, most);
    const char* from = static_cast<const char*>(task.input) + plane * n * task.input_bytes;
    if (read) task.read(from, read, count * n, task.conversion);
    const T* row = (read ? read : reinterpret_cast<const T*>(from)) + run.source;
    T* out = to.lanes(plane);
    for (Index p = 0; p < count; ++p, row += n) {
      Tap* taps = nullptr;
      if constexpr (kKeepsTaps<Tap>) taps = static_cast<Tap*>(task.taps_out) + plane + p;
      out[p] = fold_run<M, Tap>(row, run, M::identity(task.identity), taps);
    }
    sweep<T>(count, [=](Index x, auto lanes) {
      store_first<T>(out + x, lanes, finish(load_first<T>(out + x, lanes), 0, lanes));
    });
    to.done(plane, count);
  }
  return arena.used();
}

// The same, one plane at a time, with channels inside.
template <class M, class FinishFor>
Index fold_pixels(const Task& task, Index begin, Index end, char* scratch, FinishFor finish_for) {
  using T = typename M::Element;
  const Geometry& g = task.geometry;
  const Run run = inputs(g, 0, 0);
  const Index channels = g.inner, first = run.source * channels, all = run.count * channels;
  Arena arena(scratch);
  Combination<M, void> how = {};
  how.fill = M::identity(task.identity);
  FoldPixels<M> fold(channels, how.fill, arena);
  const Index at_once = task.read ? max(1, kStretch / fold.width()) * fold.width() : all;
  Destination<T> to(task, channels, false, arena);
  T* read = task.read ? arena.take<T>(at_once) : nullptr;
  if (!scratch) return arena.used();
  const auto each_part = [&](Index plane, auto body) {
    const char* from = static_cast<const char*>(task.input) +
                       (plane * g.n[0] * channels + first) * task.input_bytes;
    for (Index x = 0; x < all; x += at_once, from += at_once * task.input_bytes) {
      const Index count = min(at_once, all - x);
      if (read) task.read(from, read, count, task.conversion);
      body(read ? read : reinterpret_cast<const T*>(from), count);
    }
  };
  const auto finish = finish_for(0, 0);
  for (Index plane = begin; plane < end; ++plane) {
    T* out = to.lanes(plane * channels);
    fold.start();
    each_part(plane, [&](const T* from, Index count) { fold.add(from, count); });
    if (!fold.result(out)) {
      bool started = false;
      each_part(plane, [&](const T* from, Index count) {
        for (Index x = 0; x < count; x += channels, started = true) {
          const Operand<T, void> pair[] = {{started ? out : from + x, nullptr, 0, T(1)},
                                           {from + x, nullptr, 0, T(1)}};
          strip_at_once<M, void>(pair, started ? 2 : 1, Again{1, 0, 0}, how, channels, out, nullptr,
                                 Keep{});
        }
      });
    }
    sweep<T>(channels, [=](Index x, auto lanes) {
      store_first<T>(out + x, lanes, finish(load_first<T>(out + x, lanes), x, lanes));
    });
    to.done(plane * channels, channels);
  }
  return arena.used();
}

// The walk that all reductions share.
template <class M, class Tap, class Way, class FinishFor>
Index reduce(const Task& task, Index begin, Index end, char* scratch, FinishFor finish_for) {
  using T = typename M::Element;
  const Geometry& g = task.geometry;
  if constexpr (Way::forward && kCommon<M, Tap>)
    if (folds_planes<M, Tap>(task)) {
      if (g.inner == 1) return fold_planes<M, Tap>(task, begin, end, scratch, finish_for);
      if constexpr (!kKeepsTaps<Tap>) return fold_pixels<M>(task, begin, end, scratch, finish_for);
    }
  Arena arena(scratch);
  const Index units = Way::targets(g)[0], slice = slice_of(g, Way::targets(g), 0);
  const Index at_once = Reduction<M, Tap, Way>::at_once(g);
  const bool straight = streams_vectors<T>(task, slice);
  Destination<T> to(task, at_once * slice, straight, arena);
  Reduction<M, Tap, Way> reduction(task, straight, arena);
  if (!scratch) return arena.used();
  const Index source_plane = Way::sources(g)[0] * slice_of(g, Way::sources(g), 0);
  for_each_plane(begin, end, units, units, [&](Index plane, Index first, Index stop) {
    const char* source = static_cast<const char*>(task.input);
    reduction.start_plane(source + plane * source_plane * task.input_bytes);
    for (Index t = first; t < stop; t += at_once) {
      const Index x = (plane * units + t) * slice, last = min(stop, t + at_once);
      Tap* taps = nullptr;
      if constexpr (kKeepsTaps<Tap>) taps = static_cast<Tap*>(task.taps_out) + x;
      reduction.units(t, last, to.lanes(x), taps, finish_for);
      to.done(x, (last - t) * slice);
    }
  });
  return arena.used();
}

template <class M>
Index select_values(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<M, void, Forward>(task, begin, end, scratch, KeepAll{});
}

template <class M, class Tap>
Index select_taps(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<M, Tap, Forward>(task, begin, end, scratch, KeepAll{});
}

template <class M>
Index mean(const Task& task, Index begin, Index end, char* scratch) {
  const DivideEach<typename M::Element> divide{task};
  return reduce<M, void, Forward>(task, begin, end, scratch, divide);
}

template <class M>
Index mean_backward(const Task& task, Index begin, Index end, char* scratch) {
  return reduce<M, void, Backward>(task, begin, end, scratch, KeepAll{});
}

template <class T, class Tap>
Index gather(const Task& task, Index begin, Index end, char* scratch) {
  const Geometry& g = task.geometry;
  const Index slice = slice_of(g, g.n, 0), out_slice = slice_of(g, g.out, 0);
  const Index band = min(g.n[0], g.rank == 1 ? kStretch : max(1, kBand<T> / slice));
  const Index readers = min(g.out[0], (band + extent(g.axis[0])) / g.axis[0].stride + 2);
  Arena arena(scratch);
  const bool straight = streams_vectors<T>(task, slice);
  Destination<T> to(task, band * slice, straight, arena);
  T* read = task.read ? arena.take<T>(readers * out_slice + 2 * kLanes<T>) : nullptr;
  Gather<T, Tap> gather(g, straight, arena);
  if (!scratch) return arena.used();
  for_each_plane(begin, end, g.n[0], band, [&](Index plane, Index first, Index stop) {
    const Index out_plane = plane * g.out[0] * out_slice;
    const T* gradient = static_cast<const T*>(task.input) + out_plane;
    if (read) {
      const Run from = readers_of_all(g, 0, first, stop);
      const Index x = out_plane + from.source * out_slice;
      task.read(static_cast<const char*>(task.input) + x * task.input_bytes, read,
                from.count * out_slice, task.conversion);
      gradient = read - from.source * out_slice;
    }
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + out_plane;
    const Index x = (plane * g.n[0] + first) * slice;
    gather.units(gradient, taps, first, stop, to.lanes(x));
    to.done(x, (stop - first) * slice);
  });
  return arena.used();
}

// A unit is a whole plane here: two outputs may have taken the same input.
template <class T, class Tap>
Index scatter(const Task& task, Index begin, Index end, char* scratch) {
  const Geometry& g = task.geometry;
  const Index plane_in = g.n[0] * slice_of(g, g.n, 0), slice = slice_of(g, g.out, 0);
  Arena arena(scratch);
  Destination<T> destination(task, plane_in, false, arena);
  T* read = task.read ? arena.take<T>(slice) : nullptr;
  if (!scratch) return arena.used();
  for (Index plane = begin; plane < end; ++plane) {
    T* to = destination.lanes(plane * plane_in);
    __builtin_memset(to, 0, std::size_t(plane_in) * sizeof(T));
    for (Index o0 = 0; o0 < g.out[0]; ++o0) {
      const Index start = (plane * g.out[0] + o0) * slice;
      const T* gradient = static_cast<const T*>(task.input) + start;
      if (read) {
        task.read(static_cast<const char*>(task.input) + start * task.input_bytes, read, slice,
                  task.conversion);
        gradient = read;
      }
      const Tap* taps = static_cast<const Tap*>(task.taps_in) + start;
      for_each_output(g, o0, o0 + 1, [&](Index x, Index first) {
        const Index at = x - o0 * slice;
        for (Index c = 0; c < g.inner; ++c)
          if (taps[at + c] != kNoTap<Tap>)
            to[first + offset_of(task, taps[at + c]) + c] += gradient[at + c];
      });
    }
    destination.done(plane * plane_in, plane_in);
  }
  return arena.used();
}

// The elements that the taps point at, 0 where there is no tap: the adjoint of gather and scatter.
// T is any type of their size.
template <class T, class Tap>
Index pick(const Task& task, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  const Geometry& g = task.geometry;
  const Index plane_in = g.n[0] * slice_of(g, g.n, 0), plane_out = g.out[0] * slice_of(g, g.out, 0);
  for_each_plane(begin, end, g.out[0], g.out[0], [&](Index plane, Index first, Index stop) {
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

// Positions of taps of one byte from their window's origin, in arithmetic that vectors do: tap
// numbers are taken apart by multiplication, which is exact for them.
struct TapsApart {
  static constexpr int kShift = 16;
  std::int32_t step = 0, times[2] = {}, more[2] = {};

  explicit TapsApart(const Geometry& g) {
    const int last = g.rank - 1;
    Index taps = 1, pitch = 1;
    step = std::int32_t(g.axis[last].dilation);
    for (int l = last; l > 0; --l) {  // from one axis to the next outer one
      const Index skipped = g.axis[l].kernel * g.axis[l].dilation * pitch;
      taps *= g.axis[l].kernel, pitch *= g.n[l];
      times[last - l] = std::int32_t((1 << kShift) / taps + 1);
      more[last - l] = std::int32_t(g.axis[l - 1].dilation * pitch - skipped);
    }
  }
  static bool serves(const Geometry& g) {
    Index plane = 1;
    for (int l = 0; l < g.rank; ++l) {
      if (g.axis[l].dilation > kMost) return false;
      plane *= g.n[l] + extent(g.axis[l]);
      if (plane > kMost) return false;
    }
    return true;
  }
  std::int32_t operator()(std::int32_t tap) const {
    return tap * step + (tap * times[0] >> kShift) * more[0] + (tap * times[1] >> kShift) * more[1];
  }

 private:
  static constexpr Index kMost = Index(1) << 30;
};

// The positions of some pixels' taps: `origins` says where their windows start, from `start` on.
template <class Tap, class Position>
void place_taps(const Tap* __restrict__ taps, Index channels, const Index* __restrict__ origins,
                Index pixels, Index start, Index* __restrict__ out, Position position) {
  const auto place = [=](Tap tap, Index at) {
    return tap == kNoTap<Tap> ? -1 : at + position(tap);
  };
  if (channels == 1)
    for (Index o = 0; o < pixels; ++o) out[o] = place(taps[o], start + origins[o]);
  else
    for (Index o = 0; o < pixels; ++o, taps += channels, out += channels)
      for (Index c = 0; c < channels; ++c) out[c] = place(taps[c], start + origins[o]);
}

// Flat positions in the plane, channels not counted; -1 where there is no tap.
template <class Tap>
Index indices(const Task& task, Index begin, Index end, char* scratch) {
  const Geometry& g = task.geometry;
  // Where windows start in the inner axes, from `level` on: long rows make good vectors.
  constexpr Index kMostOrigins = 4096;
  int level = g.rank - 1;
  Index many = g.out[level];
  while (level > 0 && many * g.out[level - 1] <= kMostOrigins) many *= g.out[--level];
  Arena arena(scratch);
  Index* origins = arena.take<Index>(many);
  if (!scratch) return arena.used();
  for (Index x = 0; x < many; ++x) {
    Index rest = x, pitch = 1, start = 0;
    for (int l = g.rank - 1; l >= level; --l) {
      start += origin(g, l, rest % g.out[l]) * pitch;
      rest /= g.out[l], pitch *= g.n[l];
    }
    origins[x] = start;
  }
  const bool apart = sizeof(Tap) == 1 && TapsApart::serves(g);
  const TapsApart positions(g);
  const auto place = [&](Index x, Index first, Index count, Index start) {
    const Tap* taps = static_cast<const Tap*>(task.taps_in) + x;
    Index* out = static_cast<Index*>(task.output) + x;
    if (apart)
      place_taps(taps, g.inner, origins + first, count, start, out, positions);
    else
      place_taps(taps, g.inner, origins + first, count, start, out,
                 [&](Index tap) { return position_of(task, tap); });
  };
  const Index unit = slice_of(g, g.out, 0), plane_out = g.out[0] * unit;
  for_each_plane(begin, end, g.out[0], g.out[0], [&](Index plane, Index first, Index stop) {
    Index x = plane * plane_out + first * unit;
    const Index pixels = unit / g.inner;
    if (level == 0) return place(x, first * pixels, (stop - first) * pixels, 0);
    for (Index o0 = first; o0 < stop; ++o0) {
      const Index start = origin(g, 0, o0) * g.n[1];
      if (level == 1) place(x, 0, many, start * (g.rank == 3 ? g.n[2] : 1)), x += many * g.inner;
      for (Index o1 = 0; level == 2 && o1 < g.out[1]; ++o1, x += many * g.inner)
        place(x, 0, many, (start + origin(g, 1, o1)) * g.n[2]);
    }
  });
  return arena.used();
}

}  // namespace

#define CENOTE_TEXT_(x) #x
#define CENOTE_TEXT(x) CENOTE_TEXT_(x)
#define CENOTE_UNPACK(...) __VA_ARGS__

extern const Convolving convolving[2];
extern const Winograd winograd;
extern const Norms norms;
extern const Separable separable;
extern const Kernels kernels;
constinit const Kernels kernels = [] {
  Kernels table = {};
  table.name = CENOTE_TEXT(CENOTE_TARGET);
  table.read = find_read;
  table.write = find_write;
  table.convolving = convolving;
  table.winograd = &winograd;
  table.norms = &norms;
  table.separable = &separable;
#define CENOTE_KERNEL(member, kernel) table.member = CENOTE_UNPACK kernel;
#include "kernels.inc"
#undef CENOTE_KERNEL
  return table;
}();

}  // namespace cenote::CENOTE_TARGET
