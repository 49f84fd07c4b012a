#include "winograd.h"

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>

#include "parallel.h"

namespace cenote {
namespace {

Index tiles_of(const Tiling& t) { return t.batch * t.tiles[0] * t.tiles[1]; }
Index macs(const Tiling& t, Index tiles) { return t.edge * t.edge * tiles * t.in * t.out; }

void check(Index edge, Index kernel, Index in, Index out) {
  const bool known = (edge == 6 && (kernel == 3 || kernel == 5)) || (edge == 4 && kernel == 3);
  if (!known) throw std::invalid_argument("winograd: no such tiles");
  if (in < 1 || out < 1) throw std::invalid_argument("winograd: no channels");
}

// Memory of a thread that is kept: a step of training asks for the same again.
float* kept(Index floats) {
  struct Free {
    void operator()(float* memory) const { ::operator delete(memory, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local Index size = 0;
  if (size < floats) {
    memory.reset(), size = 0;
    const std::size_t bytes = std::size_t(floats) * sizeof(float);
    memory.reset(static_cast<float*>(::operator new(bytes, std::align_val_t{64})));
    before_writing(memory.get(), Index(bytes));
    size = floats;
  }
  return memory.get();
}

// How many tiles a thread has in work: what is made of them stays in a cache, and they are enough
// for each time that the filters are read, which come from memory if they are many.
constexpr Index kInWork = 2 << 20, kManyFilters = 4 << 20;  // bytes
Index filter_bytes(const Tiling& t, Index panels) {
  return t.edge * t.edge * t.in * panels * kPanel * Index(sizeof(float));
}
Index tiles_at_once(const Tiling& t, Index panels) {
  const Index a_tile = t.edge * t.edge * (t.in + t.out) * Index(sizeof(float));
  return std::max<Index>(kInWork / a_tile, filter_bytes(t, panels) > kManyFilters ? 64 : 24);
}

}  // namespace

void winograd_filters(const How& how, const WinogradFilters& f) {
  check(f.edge, f.kernel, f.in, f.out);
  const auto filters = how.kernels.winograd->filters;
  before_writing(f.packed, f.edge * f.edge * f.in * padded(f.out) * 4);
  share(panels_of(f.out), threads_for_macs(f.edge * f.edge * f.in * f.out, how.threads), 0,
        [&](Index begin, Index end, char*) { filters(f, begin, end); });
}

void winograd(const How& how, WinogradTask task) {
  const Tiling& t = task.what;
  check(t.edge, t.kernel, t.in, t.out);
  const Index tiles = tiles_of(t), panels = panels_of(t.out);
  if (tiles == 0) return;
  const Index threads = threads_for_macs(macs(t, tiles), how.threads);
  const Index block = tiles_at_once(t, panels);
  task.blocks = (tiles + block - 1) / block;
  task.panels = panels;
  if (task.blocks < threads && filter_bytes(t, panels) > kManyFilters) {
    const Index parts = std::min(panels, (threads + task.blocks - 1) / task.blocks);
    task.panels = (panels + parts - 1) / parts;  // so that no thread reads all filters
  } else {
    task.blocks = std::min(tiles, (task.blocks + threads - 1) / threads * threads);
  }
  const Index units = (panels + task.panels - 1) / task.panels * task.blocks;
  const auto convolve = how.kernels.winograd->convolve;
  if (task.pitch == t.out)
    before_writing(task.y, t.batch * t.outs[0] * t.outs[1] * t.out * Index(sizeof(float)));
  share(units, threads, convolve(task, 0, 0, nullptr),
        [&](Index begin, Index end, char* scratch) { convolve(task, begin, end, scratch); });
}

// Tiles of both sides transformed at a time: they stay in the last cache, but the sums are read and
// written only so often.
constexpr Index kTransformed = 8 << 20, kLeastTiles = 128;

void winograd_gradient(const How& how, const Tiling& t, const float* x, const float* given,
                       const Index (&stride)[4], float* weight) {
  check(t.edge, t.kernel, t.in, t.out);
  const Winograd& kernels = *how.kernels.winograd;
  const Index tiles = tiles_of(t), out = padded(t.out);
  const Index a_tile = t.edge * t.edge * (t.in + t.out) * Index(sizeof(float));
  const Index block = std::min(tiles, std::max<Index>(kTransformed / a_tile, kLeastTiles));
  WinogradSums s = {};
  s.what = t, s.x = x, s.given = given, s.tiles = block;
  const Index from_x = kernels.room(s, false), from_given = kernels.room(s, true);
  s.sums = kept(t.edge * t.edge * t.in * out + from_x + from_given);
  s.from_x = s.sums + t.edge * t.edge * t.in * out;
  s.from_given = s.from_x + from_x;
  const Index scratch = kernels.spread(s, 0, 0, nullptr);
  for (; s.first < tiles; s.first += block, s.add = true) {
    s.tiles = std::min(block, tiles - s.first);
    const Index threads = threads_for_macs(macs(t, s.tiles), how.threads);
    share(s.tiles, threads, scratch,
          [&](Index begin, Index end, char* memory) { kernels.spread(s, begin, end, memory); });
    share(t.edge * t.edge, threads, 0,
          [&](Index begin, Index end, char*) { kernels.multiply(s, begin, end); });
  }
  WinogradFilters f = {t.edge, t.kernel, t.out, t.in, {}, weight, s.sums};
  std::copy_n(stride, 4, f.stride);
  share(panels_of(t.out), threads_for_macs(t.edge * t.edge * t.in * t.out, how.threads), 0,
        [&](Index begin, Index end, char*) { kernels.gather(f, begin, end); });
}

}  // namespace cenote
