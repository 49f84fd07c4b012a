// Winograd's convolution: tiles transformed into matrices, a product for each position of a tile,
// and sums transformed back, so many tiles at once that all of it stays in a cache.
#pragma once

#include "product-inl.h"
#include "rows-inl.h"
#include "transform-inl.h"
#include "winograd.h"

namespace cenote::CENOTE_TARGET {

// Floats between rows of a matrix, or between matrices: an odd number of cache lines, so that they
// do not all fall into the same few places of a cache.
constexpr Index spaced(Index floats) { return ((floats + 15) / 16 | 1) * 16; }

// Where a tile stands: its image, and its first row and column in steps.
struct Place {
  Index image, down, across;
  Place(const Tiling& t, Index tile)
      : image(tile / (t.tiles[0] * t.tiles[1])),
        down(tile / t.tiles[1] % t.tiles[0]),
        across(tile % t.tiles[1]) {}
};

// The matrices of all positions, (edge*edge, tiles, channels).
struct Positions {
  float* at;
  Index pitch, position;
  Positions(float* memory, Index tiles, Index channels)
      : at(memory), pitch(spaced(channels)), position(spaced(tiles * pitch)) {}
  static Index room(Index edge, Index tiles, Index channels) {
    return edge * edge * spaced(tiles * spaced(channels));
  }
};

// Where the elements of a square lie that begins at (down, across) of an image; `zeros` outside.
template <int side>
void find_square(const float* image, const Index (&n)[2], Index channels, Index down, Index across,
                 const float* zeros, const float* (&to)[side][side]) {
  for (Index i = 0; i < side; ++i)
    for (Index j = 0; j < side; ++j) {
      const Index y = down + i, x = across + j;
      const bool inside = y >= 0 && y < n[0] && x >= 0 && x < n[1];
      to[i][j] = inside ? image + (y * n[1] + x) * channels : zeros;
    }
}

// A square of pixels transformed to a row of every position; channels up to a whole panel are 0.
template <int side, int edge, class Line>
void spread_square(const float* const (&pixel)[side][side], Index channels, const Positions& p,
                   Index row, Line line) {
  using V = Vec<float>;
  float* const to = p.at + row * p.pitch;
  sweep<float>(channels, [&](Index x, auto lanes) {
    V in[side][side], out[edge][edge];
#pragma GCC unroll 8
    for (int i = 0; i < side; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < side; ++j) in[i][j] = load_first<float>(pixel[i][j] + x, lanes);
    transform<side, edge>(in, out, line);
#pragma GCC unroll 8
    for (int i = 0; i < edge; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < edge; ++j) store(to + (i * edge + j) * p.position + x, out[i][j]);
  });
  const Index done = (channels + kLanes<float> - 1) / kLanes<float> * kLanes<float>;
  for (Index x = done; x < padded(channels); ++x)
    for (Index i = 0; i < edge * edge; ++i) to[i * p.position + x] = 0;
}

// A tile of the input.
template <int edge>
void spread_input(const Tiling& t, const float* x, Index tile, const float* zeros,
                  const Positions& p, Index row) {
  const float* pixel[edge][edge];
  const Place place(t, tile);
  find_square(x + place.image * t.n[0] * t.n[1] * t.in, t.n, t.in,
              place.down * t.step - t.before[0], place.across * t.step - t.before[1], zeros, pixel);
  spread_square<edge, edge>(pixel, t.in, p, row, Spread<edge>{});
}

// A tile of the output's gradient.
template <int edge, int kernel>
void spread_given(const Tiling& t, const float* given, Index tile, const float* zeros,
                  const Positions& p, Index row) {
  constexpr int step = edge - kernel + 1;
  const float* pixel[step][step];
  const Place place(t, tile);
  find_square(given + place.image * t.outs[0] * t.outs[1] * t.out, t.outs, t.out, place.down * step,
              place.across * step, zeros, pixel);
  spread_square<step, edge>(pixel, t.out, p, row, Evaluate<edge, step>{});
}

// A row of every position transformed back to a tile of the output, from a channel on.
template <int edge, int kernel>
void collect_output(const WinogradTask& task, Index tile, Index first, Index channels,
                    const Positions& p, Index row) {
  using V = Vec<float>;
  constexpr int step = edge - kernel + 1;
  const Tiling& t = task.what;
  const Place place(t, tile);
  const Index down = place.down * step, across = place.across * step;
  const Index rows = min(step, t.outs[0] - down), columns = min(step, t.outs[1] - across);
  const Index start = (place.image * t.outs[0] + down) * t.outs[1] + across;  // in pixels
  const float* const from = p.at + row * p.pitch;
  sweep<float>(channels, [&](Index x, auto lanes) {
    V in[edge][edge], out[step][step];
#pragma GCC unroll 8
    for (int i = 0; i < edge; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < edge; ++j) in[i][j] = load<V>(from + (i * edge + j) * p.position + x);
    transform<edge, step>(in, out, Collect<edge, step>{});
    const V bias = task.bias ? load_first<float>(task.bias + first + x, lanes) : V{};
#pragma GCC unroll 4
    for (int i = 0; i < step; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < step; ++j) {
        if (i >= rows || j >= columns) continue;
        const Index pixel = start + i * t.outs[1] + j, channel = first + x;
        V y = out[i][j] + bias;
        if (task.other) y += load_first<float>(task.other + pixel * t.out + channel, lanes);
        if (task.positive) y = y < V{} ? V{} : y;  // NaN stays
        store_first<float>(task.y + pixel * task.pitch + channel, lanes, y);
      }
  });
}

template <int edge, int kernel>
Index convolve_tiles(const WinogradTask& task, Index begin, Index end, char* scratch) {
  const Tiling& t = task.what;
  const Index tiles = t.batch * t.tiles[0] * t.tiles[1], all = panels_of(t.out);
  const Index most = (tiles + task.blocks - 1) / task.blocks;
  Arena arena(scratch);
  float* zeros = arena.take<float>(t.in);
  const Positions v(arena.take<float>(Positions::room(edge, most, t.in)), most, t.in);
  const Index wide = task.panels * kPanel;
  const Positions m(arena.take<float>(Positions::room(edge, most, wide)), most, wide);
  if (!scratch) return arena.used();
  __builtin_memset(zeros, 0, std::size_t(t.in) * sizeof(float));
  for (Index unit = begin; unit < end; ++unit) {
    const Index block = unit % task.blocks, panel = unit / task.blocks * task.panels;
    const Index first = tiles * block / task.blocks;
    const Index many = tiles * (block + 1) / task.blocks - first;
    const Index panels = min(task.panels, all - panel);
    for (Index i = 0; i < many; ++i) spread_input<edge>(t, task.x, first + i, zeros, v, i);
    for (Index i = 0; i < edge * edge; ++i) {
      const Right filters = {task.filters + (i * all + panel) * t.in * kPanel, t.in * kPanel,
                             kPanel};
      product<false>({v.at + i * v.position, v.pitch}, filters, many, panels, t.in,
                     m.at + i * m.position, m.pitch, false);
    }
    const Index channel = panel * kPanel, channels = min(panels * kPanel, t.out - channel);
    for (Index i = 0; i < many; ++i)
      collect_output<edge, kernel>(task, first + i, channel, channels, m, i);
  }
  return arena.used();
}

// Panels of transformed filters: G g G^T.
template <int edge, int kernel>
void transform_filters(const WinogradFilters& f, Index begin, Index end) {
  using V = Vec<float>;
  constexpr int L = kLanes<float>;
  const Index position = panels_of(f.out) * f.in * kPanel;
  for (Index panel = begin; panel < end; ++panel)
    for (Index in = 0; in < f.in; ++in)
      for (Index x = 0; x < kPanel; x += L) {
        const Index first = panel * kPanel + x, lanes = max(0, min(L, f.out - first));
        const float* from = f.weight + first * f.stride[0] + in * f.stride[1];
        V g[kernel][kernel] = {}, u[edge][edge];
        for (int i = 0; i < kernel; ++i)
          for (int j = 0; j < kernel; ++j) {
            const float* tap = from + i * f.stride[2] + j * f.stride[3];
            float values[L] = {};
            for (Index lane = 0; lane < lanes; ++lane) values[lane] = tap[lane * f.stride[0]];
            g[i][j] = load<V>(values);
          }
        transform<kernel, edge>(g, u, Evaluate<edge, kernel, true>{});
        float* to = f.packed + (panel * f.in + in) * kPanel + x;
        for (int i = 0; i < edge; ++i)
          for (int j = 0; j < edge; ++j) store(to + (i * edge + j) * position, u[i][j]);
      }
}

// Its adjoint: panels of sums to the gradient of a weight.
template <int edge, int kernel>
void gather_filters(const WinogradFilters& f, Index begin, Index end) {
  using V = Vec<float>;
  constexpr int L = kLanes<float>;
  const Index pitch = padded(f.out), position = f.in * pitch;
  for (Index in = 0; in < f.in; ++in)
    for (Index x = begin * kPanel; x < min(end * kPanel, f.out); x += L) {
      const float* from = f.packed + in * pitch + x;
      V u[edge][edge], g[kernel][kernel];
      for (int i = 0; i < edge; ++i)
        for (int j = 0; j < edge; ++j) u[i][j] = load<V>(from + (i * edge + j) * position);
      transform<edge, kernel>(u, g, Collect<edge, kernel, true>{});
      float* to = f.weight + x * f.stride[0] + in * f.stride[1];
      for (int i = 0; i < kernel; ++i)
        for (int j = 0; j < kernel; ++j)
          store_strided<float>(to + i * f.stride[2] + j * f.stride[3], f.stride[0],
                               int(min(L, f.out - x)), g[i][j]);
    }
}

// Tiles of the input and of the output's gradient, both transformed.
template <int edge, int kernel>
Index spread_tiles(const WinogradSums& s, Index begin, Index end, char* scratch) {
  const Tiling& t = s.what;
  Arena arena(scratch);
  float* zeros = arena.take<float>(max(t.in, t.out));
  if (!scratch) return arena.used();
  __builtin_memset(zeros, 0, std::size_t(max(t.in, t.out)) * sizeof(float));
  const Positions v(s.from_x, s.tiles, t.in), m(s.from_given, s.tiles, t.out);
  for (Index i = begin; i < end; ++i) {
    spread_input<edge>(t, s.x, s.first + i, zeros, v, i);
    spread_given<edge, kernel>(t, s.given, s.first + i, zeros, m, i);
  }
  return arena.used();
}

// The products of both, added up over tiles.
inline void multiply_tiles(const WinogradSums& s, Index begin, Index end) {
  const Tiling& t = s.what;
  const Positions v(s.from_x, s.tiles, t.in), m(s.from_given, s.tiles, t.out);
  const Index panels = panels_of(t.out), pitch = panels * kPanel;
  for (Index i = begin; i < end; ++i)
    product<true>({v.at + i * v.position, v.pitch}, {m.at + i * m.position, kPanel, m.pitch}, t.in,
                  panels, s.tiles, s.sums + i * t.in * pitch, pitch, s.add);
}

}  // namespace cenote::CENOTE_TARGET
