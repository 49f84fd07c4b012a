// Pointwise convolutions as products of matrices that are finished in registers, and convolutions
// of single channels, a few rows of a map at a time.
#pragma once

#include "clip-inl.h"
#include "product-inl.h"
#include "rows-inl.h"
#include "separable.h"

namespace cenote::CENOTE_TARGET {

// What is multiplied: rows of so many segments, each of which is a row of a window.
struct Source {
  const float* at;
  Index pitch;           // from one to the next
  Index segments, jump;  // from a segment to the next
};

// What becomes of sums of products.
struct Finish {
  const float* bias;
  Pixels other, to;
  Index channels;  // that are written, up to the last
  F low, high;
};

template <int rows, int panels>
void multiply_and_finish(Source left, Right right, Index depth, const Finish& f) {
  constexpr int L = kLanes<float>, vectors = panels * int(kPanel) / L;
  F sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = load<F>(f.bias + v * L);
  for (Index segment = 0; segment < left.segments; ++segment) {
    add_products(sum, right, depth, [&](int r, Index k) { return left.at[r * left.pitch + k]; });
    left.at += left.jump, right.at += depth * right.pitch;
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

using MultiplyAndFinish = void (*)(Source, Right, Index depth, const Finish&);
template <int panels, int... rows>
MultiplyAndFinish multiply_and_finish_of(Index many, Sequence<rows...>) {
  static constexpr MultiplyAndFinish all[] = {multiply_and_finish<rows + 1, panels>...};
  return all[many - 1];
}

// (pixels, in) -> (pixels, channels); `channels` may go on to the end of the last panel.
inline void multiply_pixels(const Pointwise& p, Source x, Index pixels, Pixels other, Pixels to,
                            Index channels) {
  using Rows = typename Counted<kRowsOfProduct>::type;
  const Index panels = panels_of(p.out);
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
      with({x.at + first * x.pitch, x.pitch, x.segments, x.jump}, columns, p.in / x.segments, f);
    }
  }
}

inline Pixels moved(Pixels p, Index pixels) {
  return {p.at ? p.at + pixels * p.pitch : nullptr, p.pitch};
}

inline Source pixel_by_pixel(Pixels p) { return {p.at, p.pitch, 1, 0}; }

inline void pointwise_units(const PointwiseTask& t, Index begin, Index end) {
  for (Index unit = begin; unit < end; ++unit) {
    const Index first = unit * t.block, many = min(t.block, t.pixels - first);
    multiply_pixels(t.what, pixel_by_pixel(moved(t.x, first)), many, moved(t.other, first),
                    moved(t.y, first), t.what.out);
  }
}

// The rows that a window lies on, from the first to the last that there is, and their pixels.
struct WindowRows {
  const float* rows;  // the first row of the map that is held
  Index row, pitch;   // floats from a row to the next, and from a pixel to the next
  Index top;          // of the window, in rows that are held
  Index from, to;     // its rows that there are
};

// The greater; a NaN wins.
inline F greater(F most, F x) { return (x > most) | (x != x) ? x : most; }

// `many` neighbouring outputs of one row; columns [from, to) of their windows are there.
template <int many, bool maximum>
CENOTE_INLINE void slide(const SeparableTask& t, const WindowRows& w, Index left, Index from,
                         Index to, float* y, Index y_pitch, Index channels) {
  const Index wide = padded(t.middle), step = t.slides.stride[1] * w.pitch;
  const F low = broadcast<F>(t.low), high = broadcast<F>(t.high);
  sweep<float>(channels, [&](Index c, auto lanes) {
    F found[many];
#pragma GCC unroll 8
    for (int m = 0; m < many; ++m)
      found[m] = maximum ? broadcast<F>(-__builtin_inff()) : load<F>(t.bias + c);
    for (Index i = w.from; i < w.to; ++i) {
      const float* row = w.rows + (w.top + i) * w.row + left * w.pitch + c;
      const float* taps = maximum ? nullptr : t.taps + i * t.slides.kernel[1] * wide + c;
      for (Index j = from; j < to; ++j) {
        const F tap = maximum ? F{} : load<F>(taps + j * wide);
#pragma GCC unroll 8
        for (int m = 0; m < many; ++m) {
          const F x = load_first<float>(row + j * w.pitch + m * step, lanes);
          found[m] = maximum ? greater(found[m], x) : found[m] + x * tap;
        }
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < many; ++m)
      store_first<float>(y + m * y_pitch + c, lanes,
                         maximum ? found[m] : between(found[m], low, high));
  });
}

// A row of outputs.
template <bool maximum>
void slide_along(const SeparableTask& t, const WindowRows& w, Pixels y, Index channels) {
  constexpr int kMany = 4;
  const Index n = t.between[1], kernel = t.slides.kernel[1], outs = t.outs[1];
  const Index stride = t.slides.stride[1];
  for (Index x = 0; x < outs;) {
    const Index left = x * stride - t.slides.before[1];
    float* to = y.at + x * y.pitch;
    if (left >= 0 && x + kMany <= outs && left + (kMany - 1) * stride + kernel <= n) {
      slide<kMany, maximum>(t, w, left, 0, kernel, to, y.pitch, channels);
      x += kMany;
    } else {
      slide<1, maximum>(t, w, left, max(0, -left), min(kernel, n - left), to, y.pitch, channels);
      ++x;
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

// Rows that the windows of so many rows of outputs lie on.
inline Index rows_read(const Windows& w, Index rows) {
  return (rows - 1) * w.stride[0] + w.kernel[0];
}

// Whether a window is one pixel, and every pixel is one.
inline bool of_pixels(const Windows& w) {
  return w.kernel[0] * w.kernel[1] * w.stride[0] * w.stride[1] == 1 &&
         w.before[0] + w.before[1] == 0;
}

// Floats of a row of x with what its windows reach beyond it.
inline Index framed_row(const SeparableTask& t) {
  return ((t.between[1] - 1) * t.windows.stride[1] + t.windows.kernel[1]) * t.channels;
}

// Rows [top, top + many) of an image to memory, with zeros for pixels that there are not.
inline void frame(const SeparableTask& t, Pixels image, Index top, Index many, float* to) {
  const Index row = framed_row(t), left = t.windows.before[1] * t.channels;
  const Index pixels = min(t.n[1], row / t.channels - t.windows.before[1]);
  const auto clear = [](float* at, Index floats) {
    if (floats > 0) __builtin_memset(at, 0, std::size_t(floats) * sizeof(float));
  };
  const auto copy = [](float* at, const float* from, Index floats) {
    __builtin_memcpy(at, from, std::size_t(floats) * sizeof(float));
  };
  for (Index i = top; i < top + many; ++i, to += row) {
    if (i < 0 || i >= t.n[0] || pixels <= 0) {
      clear(to, row);
      continue;
    }
    const Pixels from = moved(image, i * t.n[1]);
    clear(to, left);
    if (from.pitch == t.channels)
      copy(to + left, from.at, pixels * t.channels);
    else
      for (Index x = 0; x < pixels; ++x)
        copy(to + left + x * t.channels, from.at + x * from.pitch, t.channels);
    clear(to + left + pixels * t.channels, row - left - pixels * t.channels);
  }
}

// Rows [begin, end) of what the first convolution makes of an image.
inline void convolve_rows(const SeparableTask& t, Pixels image, Index begin, Index end,
                          float* framed, Pixels to) {
  const Index across = t.between[1], wide = padded(t.middle);
  if (!framed)
    return multiply_pixels(t.first, pixel_by_pixel(moved(image, begin * across)),
                           (end - begin) * across, {}, to, wide);
  const Index row = framed_row(t), stride = t.windows.stride[0];
  frame(t, image, begin * stride - t.windows.before[0], rows_read(t.windows, end - begin), framed);
  for (Index i = 0; i < end - begin; ++i)
    multiply_pixels(
        t.first,
        {framed + i * stride * row, t.windows.stride[1] * t.channels, t.windows.kernel[0], row},
        across, {}, moved(to, i * across), wide);
}

inline Index separable_units(const SeparableTask& t, Index begin, Index end, char* scratch) {
  const Index wide = padded(t.middle), across = t.between[1];
  const Index read = min(rows_read(t.slides, t.rows), t.between[0]);
  Arena arena(scratch);
  const bool convolves = t.first.weight, multiplies = t.last.weight;
  float* held = convolves ? arena.take<float>(read * across * wide) : nullptr;
  float* framed = convolves && !of_pixels(t.windows)
                      ? arena.take<float>(rows_read(t.windows, read) * framed_row(t))
                      : nullptr;
  float* slid = multiplies ? arena.take<float>(t.rows * t.outs[1] * wide) : nullptr;
  if (!scratch) return arena.used();
  const auto slide_one = t.taps ? slide_along<false> : slide_along<true>;
  for (Index unit = begin; unit < end; ++unit) {
    const Index image = unit / t.bands, band = unit % t.bands;
    const Pixels x = moved(t.x, image * t.n[0] * t.n[1]);
    HeldRows rows = {held, across * wide, 0, 0};
    const Index stop = t.outs[0] * (band + 1) / t.bands;
    for (Index out = t.outs[0] * band / t.bands; out < stop; out += t.rows) {
      const Index many = min(t.rows, stop - out);
      const Index top = out * t.slides.stride[0] - t.slides.before[0];
      const Index from = max(0, top);
      const Index to = max(from, min(t.between[0], top + rows_read(t.slides, many)));
      if (convolves) {
        rows.drop(from);
        if (rows.end < to) {
          const Pixels there = {held + (rows.end - rows.first) * rows.row, wide};
          convolve_rows(t, x, rows.end, to, framed, there);
          rows.end = to;
        }
      }
      const Index first = (image * t.outs[0] + out) * t.outs[1];
      const Pixels made = multiplies ? Pixels{slid, wide} : moved(t.y, first);
      for (Index i = 0; i < many; ++i) {
        const Index start = top + i * t.slides.stride[0];
        WindowRows w = {};
        w.rows = convolves ? held : x.at;
        w.pitch = convolves ? wide : x.pitch, w.row = across * w.pitch;
        w.top = start - (convolves ? rows.first : 0);
        w.from = max(0, -start), w.to = min(t.slides.kernel[0], t.between[0] - start);
        slide_one(t, w, moved(made, i * t.outs[1]), convolves && multiplies ? wide : t.middle);
      }
      if (multiplies)
        multiply_pixels(t.last, pixel_by_pixel(made), many * t.outs[1], moved(t.other, first),
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
