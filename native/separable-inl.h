// Pointwise convolutions as products of matrices that are finished in registers, and convolutions
// of single channels, a few rows of a map at a time.
#pragma once

#include "clip-inl.h"
#include "product-inl.h"
#include "rows-inl.h"
#include "separable.h"

namespace cenote::CENOTE_TARGET {

// What becomes of sums of products: the first of them belongs to output channel `channel`.
struct Finish {
  const float* bias;
  Pixels other, to;
  Index channels;  // that are written, from there on
  F low, high;
};

template <int rows, int panels>
void multiply_and_finish(Left left, Right right, Index depth, const Finish& f) {
  constexpr int L = kLanes<float>, vectors = panels * int(kPanel) / L;
  F sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = load<F>(f.bias + v * L);
  for (Index k = 0; k < depth; ++k) {
    F by[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      by[v] = load<F>(right.at + k * right.pitch + v * L / kPanel * right.panel + v * L % kPanel);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const F all = broadcast<F>(left.at[r * left.pitch + k]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] += all * by[v];
    }
  }
  const auto finish = [&](int r, int v, auto lanes) {
    F y = sum[r][v];
    if (f.other.at) y += load_first<float>(f.other.at + r * f.other.pitch + v * L, lanes);
    store_first<float>(f.to.at + r * f.to.pitch + v * L, lanes, between(y, f.low, f.high));
  };
  if (f.channels >= vectors * L) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) finish(r, v, AllLanes<float>{});
    return;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) finish(r, v, int(max(0, min(L, f.channels - v * L))));
}

using MultiplyAndFinish = void (*)(Left, Right, Index depth, const Finish&);
template <int panels, int... rows>
MultiplyAndFinish multiply_and_finish_of(Index many, Sequence<rows...>) {
  static constexpr MultiplyAndFinish all[] = {multiply_and_finish<rows + 1, panels>...};
  return all[many - 1];
}

// (pixels, in) -> (pixels, channels); `channels` may go on to the end of the last panel.
inline void multiply_pixels(const Pointwise& p, Left x, Index pixels, Pixels other, Pixels to,
                            Index channels) {
  using Rows = typename Counted<kRowsOfProduct>::type;
  const Index panels = (p.out + kPanel - 1) / kPanel;
  const Index parts = (pixels + kRowsOfProduct - 1) / kRowsOfProduct;  // of nearly equal size
  for (Index panel = 0; panel < panels; panel += kPanelsOfProduct) {
    const Right columns = {p.weight + panel * p.in * kPanel, p.in * kPanel, kPanel};
    const Index channel = panel * kPanel;
    const bool whole = panel + kPanelsOfProduct <= panels;
    for (Index part = 0; part < parts; ++part) {
      const Index first = pixels * part / parts, many = pixels * (part + 1) / parts - first;
      Finish f = {p.bias + channel,    other, to, channels - channel, broadcast<F>(p.low),
                  broadcast<F>(p.high)};
      f.to.at += first * to.pitch + channel;
      if (other.at) f.other.at += first * other.pitch + channel;
      const MultiplyAndFinish with = whole ? multiply_and_finish_of<kPanelsOfProduct>(many, Rows{})
                                           : multiply_and_finish_of<1>(many, Rows{});
      with({x.at + first * x.pitch, x.pitch}, columns, p.in, f);
    }
  }
}

inline Pixels moved(Pixels p, Index pixels) {
  return {p.at ? p.at + pixels * p.pitch : nullptr, p.pitch};
}

inline void pointwise_units(const PointwiseTask& t, Index begin, Index end) {
  for (Index unit = begin; unit < end; ++unit) {
    const Index first = unit * t.block, many = min(t.block, t.pixels - first);
    const Pixels x = moved(t.x, first);
    multiply_pixels(t.what, {x.at, x.pitch}, many, moved(t.other, first), moved(t.y, first),
                    t.what.out);
  }
}

// The rows that a window lies on, from the first to the last that there is, and their pixels.
struct WindowRows {
  const float* rows;  // the first row of the map that is held
  Index row, pitch;   // floats from a row to the next, and from a pixel to the next
  Index top;          // of the window, in rows that are held
  Index from, to;     // its rows that there are
};

// `many` neighbouring outputs of one row; columns [from, to) of their windows are there.
template <int many>
CENOTE_INLINE void slide(const SeparableTask& t, const WindowRows& w, Index left, Index from,
                         Index to, float* y, Index y_pitch, Index channels) {
  const Index wide = (t.middle + kPanel - 1) / kPanel * kPanel, step = t.stride[1] * w.pitch;
  const F low = broadcast<F>(t.low), high = broadcast<F>(t.high);
  sweep<float>(channels, [&](Index c, auto lanes) {
    F sum[many];
#pragma GCC unroll 8
    for (int m = 0; m < many; ++m) sum[m] = load<F>(t.bias + c);
    for (Index i = w.from; i < w.to; ++i) {
      const float* row = w.rows + (w.top + i) * w.row + left * w.pitch + c;
      const float* taps = t.taps + i * t.kernel[1] * wide + c;
      for (Index j = from; j < to; ++j) {
        const F tap = load<F>(taps + j * wide);
#pragma GCC unroll 8
        for (int m = 0; m < many; ++m)
          sum[m] += load_first<float>(row + j * w.pitch + m * step, lanes) * tap;
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < many; ++m)
      store_first<float>(y + m * y_pitch + c, lanes, between(sum[m], low, high));
  });
}

// A row of outputs.
inline void slide_along(const SeparableTask& t, const WindowRows& w, Pixels y, Index channels) {
  constexpr int kMany = 4;
  const Index n = t.n[1], kernel = t.kernel[1], outs = t.outs[1];
  Index x = 0;
  const auto one = [&] {
    const Index left = x * t.stride[1] - t.before[1];
    slide<1>(t, w, left, max(0, -left), min(kernel, n - left), y.at + x * y.pitch, y.pitch,
             channels);
    ++x;
  };
  while (x < outs) {
    const Index left = x * t.stride[1] - t.before[1];
    const Index last = left + (kMany - 1) * t.stride[1] + kernel;
    if (left >= 0 && x + kMany <= outs && last <= n) {
      slide<kMany>(t, w, left, 0, kernel, y.at + x * y.pitch, y.pitch, channels);
      x += kMany;
    } else {
      one();
    }
  }
}

// Rows of a map that the first pointwise convolution made, the lowest of them `first`.
struct HeldRows {
  float* at;
  Index row, first, end;

  // Forgets all before a row.
  void drop(Index to) {
    if (end <= to) {
      first = end = to;
    } else if (to > first) {
      __builtin_memmove(at, at + (to - first) * row, std::size_t((end - to) * row) * sizeof(float));
      first = to;
    }
  }
};

inline Index rows_read(const SeparableTask& t) { return (t.rows - 1) * t.stride[0] + t.kernel[0]; }

inline Index separable_units(const SeparableTask& t, Index begin, Index end, char* scratch) {
  const Index wide = (t.middle + kPanel - 1) / kPanel * kPanel;
  Arena arena(scratch);
  float* held = t.first.weight ? arena.take<float>(rows_read(t) * t.n[1] * wide) : nullptr;
  float* slid = t.last.weight ? arena.take<float>(t.rows * t.outs[1] * wide) : nullptr;
  if (!scratch) return arena.used();
  const Index channels = held && slid ? wide : t.middle;
  for (Index unit = begin; unit < end; ++unit) {
    const Index image = unit / t.bands, band = unit % t.bands;
    const Pixels x = moved(t.x, image * t.n[0] * t.n[1]);
    HeldRows rows = {held, t.n[1] * wide, 0, 0};
    const Index stop = t.outs[0] * (band + 1) / t.bands;
    for (Index out = t.outs[0] * band / t.bands; out < stop; out += t.rows) {
      const Index many = min(t.rows, stop - out), top = out * t.stride[0] - t.before[0];
      const Index from = max(0, top);
      const Index to = max(from, min(t.n[0], top + (many - 1) * t.stride[0] + t.kernel[0]));
      if (held) {
        rows.drop(from);
        if (rows.end < to) {
          const Pixels next = moved(x, rows.end * t.n[1]);
          multiply_pixels(t.first, {next.at, next.pitch}, (to - rows.end) * t.n[1], {},
                          {held + (rows.end - rows.first) * rows.row, wide}, wide);
          rows.end = to;
        }
      }
      const Index first = (image * t.outs[0] + out) * t.outs[1];
      const Pixels made = slid ? Pixels{slid, wide} : moved(t.y, first);
      for (Index i = 0; i < many; ++i) {
        const Index start = top + i * t.stride[0];
        WindowRows w = {};
        w.rows = held ? held : x.at;
        w.pitch = held ? wide : x.pitch, w.row = t.n[1] * w.pitch;
        w.top = start - (held ? rows.first : 0);
        w.from = max(0, -start), w.to = min(t.kernel[0], t.n[0] - start);
        slide_along(t, w, moved(made, i * t.outs[1]), channels);
      }
      if (slid)
        multiply_pixels(t.last, {slid, wide}, many * t.outs[1], moved(t.other, first),
                        moved(t.y, first), t.last.out);
    }
  }
  return arena.used();
}

inline void store_some(float* to, Index lanes, F v) {
  if (lanes == kLanes<float>)
    store(to, v);
  else if (lanes > 0)
    store_lanes(to, int(lanes), v);
}

inline void interleave_pixels(const InterleaveTask& t, Index begin, Index end) {
  constexpr int L = kLanes<float>;
  for (Index pixel = begin; pixel < end; ++pixel) {
    const float* first = t.first.at + pixel * t.first.pitch;
    const float* second = t.second.at + pixel * t.second.pitch;
    float* y = t.y.at + pixel * t.y.pitch;
    sweep<float>(t.channels, [&](Index c, auto lanes) {
      const F a = load_first<float>(first + c, lanes), b = load_first<float>(second + c, lanes);
      const F low = interleave_low(a, b, AllOf<float>{}),
              high = interleave_high(a, b, AllOf<float>{});
      const int low_lanes = min(L, 2 * lanes), high_lanes = 2 * lanes - low_lanes;
      store_some(y + 2 * c, low_lanes, low);
      store_some(y + 2 * c + L, high_lanes, high);
    });
  }
}

}  // namespace cenote::CENOTE_TARGET
