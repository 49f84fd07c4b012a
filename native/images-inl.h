// Convolution of small planes with an image in every lane: a vector holds one element of as many
// images as it has lanes, so that no plane is too narrow for it. Windows of a maximum that do not
// overlap are reduced before anything is stored, and their winners are all that counts on the way
// back.
#pragma once

#include "convolve-inl.h"

namespace cenote::CENOTE_TARGET {

// So many output channels are worked on at once, each at so many positions, or with so many taps:
// as many sums as there are registers to hold them.
#if CENOTE_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kMostMaps = 6;
#else
constexpr int kMostMaps = 3;
#endif
constexpr int kTogether = 4;

constexpr Index maps_of_block(Index out) { return even_share(out, kMostMaps); }

// Rows of a square of elements become its columns.
template <class T>
CENOTE_INLINE void turn(Vec<T> (&v)[kLanes<T>]) {
  constexpr int L = kLanes<T>;
#pragma GCC unroll 8
  for (int step = 1; step < L; step *= 2) {
    Vec<T> next[L];
#pragma GCC unroll 16
    for (int i = 0; i < L / 2; ++i) {
      next[2 * i] = interleave_low(v[i], v[i + L / 2], AllOf<T>{});
      next[2 * i + 1] = interleave_high(v[i], v[i + L / 2], AllOf<T>{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) v[i] = next[i];
  }
}

// `count` neighbours of some images, `apart` elements from one to the next, to as many vectors;
// lanes without an image are zero.
template <class T>
void bring(const T* from, Index apart, Index images, Index count, T* to) {
  constexpr int L = kLanes<T>;
  sweep<T>(count, [&](Index x, auto lanes) {
    Vec<T> v[L] = {};
    if (images == L) {
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) v[i] = load_first<T>(from + i * apart + x, lanes);
    } else {
      for (Index i = 0; i < images; ++i) v[i] = load_first<T>(from + i * apart + x, lanes);
    }
    turn<T>(v);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if (i < lanes) store(to + (x + i) * L, v[i]);
  });
}

// `count` vectors back to their images.
template <class T>
void give(const T* vectors, T* to, Index apart, Index images, Index count) {
  constexpr int L = kLanes<T>;
  sweep<T>(count, [&](Index x, auto lanes) {
    Vec<T> v[L] = {};
    if (lanes == L) {
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) v[i] = load<Vec<T>>(vectors + (x + i) * L);
    } else {
      for (int i = 0; i < lanes; ++i) v[i] = load<Vec<T>>(vectors + (x + i) * L);
    }
    turn<T>(v);
    if (images == L) {
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store_first<T>(to + i * apart + x, lanes, v[i]);
    } else {
      for (Index i = 0; i < images; ++i) store_first<T>(to + i * apart + x, lanes, v[i]);
    }
  });
}

// A plane of the input with its padding, an image in every lane, and where taps lie in it.
template <class T>
struct Padded {
  Index high, wide;   // of a plane
  Index row, column;  // elements from one output position to the next
  explicit Padded(const Convolution& c)
      : high((c.down.out - 1) * c.down.stride + (c.down.kernel - 1) * c.down.dilation + 1),
        wide((c.across.out - 1) * c.across.stride + (c.across.kernel - 1) * c.across.dilation + 1),
        row(c.down.stride * wide * kLanes<T>),
        column(c.across.stride * kLanes<T>) {}
  Index plane() const { return high * wide * kLanes<T>; }

  // From an output's position in the first plane to each of its taps.
  void offsets(const Convolution& c, Index* to) const {
    for (Index i = 0; i < c.in; ++i)
      for (Index y = 0; y < c.down.kernel; ++y)
        for (Index x = 0; x < c.across.kernel; ++x)
          *to++ = i * plane() + (y * c.down.dilation * wide + x * c.across.dilation) * kLanes<T>;
  }

  // Whether all of the input is there.
  bool covers(const Convolution& c) const {
    return c.down.before >= 0 && c.across.before >= 0 && c.down.n + c.down.before <= high &&
           c.across.n + c.across.before <= wide;
  }

  // A group's channels of some images; the padding is zero and stays so.
  void fill(const Convolution& c, const T* image, Index group, Index images, T* to) const {
    const Index plane_in = c.down.n * c.across.n, apart = c.groups * c.in * plane_in;
    for (Index i = 0; i < c.in; ++i) {
      const T* from = image + channel_of(group, i, c.groups, c.in, c.shuffled_in) * plane_in;
      rows(c, [&](Index row, Index place, Index first, Index last) {
        bring<T>(from + row * c.across.n + first, apart, images, last - first,
                 to + i * plane() + place + first * kLanes<T>);
      });
    }
  }

  // Calls body(row, padded row, first, last): the columns of the input that any tap reads.
  template <class Body>
  void rows(const Convolution& c, Body body) const {
    const Index first = max(0, -c.across.before), last = min(c.across.n, wide - c.across.before);
    for (Index y = max(0, -c.down.before); y < min(c.down.n, high - c.down.before); ++y)
      body(y, ((y + c.down.before) * wide + c.across.before) * kLanes<T>, first, last);
  }
};

// The greatest of sums at some positions, and which of them it is; so far, or altogether.
template <class T, int maps, int positions>
void greatest(const T* const* at, const Index* offset, Index taps, const T* weight, const T* bias,
              Index first, T* const* best, T* const* place) {
  Vec<T> sum[maps][positions];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
    for (int p = 0; p < positions; ++p) sum[o][p] = broadcast<Vec<T>>(bias[o]);
  for (Index k = 0; k < taps; ++k, weight += maps) {
    Vec<T> in[positions];
#pragma GCC unroll 8
    for (int p = 0; p < positions; ++p) in[p] = load<Vec<T>>(at[p] + offset[k]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o) {
      const Vec<T> by = in_register(broadcast<Vec<T>>(weight[o]));
#pragma GCC unroll 8
      for (int p = 0; p < positions; ++p) sum[o][p] += by * in[p];
    }
  }
  if (!place) {  // single ones
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
      for (int p = 0; p < positions; ++p) store(best[o] + p * kLanes<T>, sum[o][p]);
    return;
  }
  using U = typename UnsignedOf<sizeof(T)>::type;
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o) {
    Vec<T> most = sum[o][0];
    TapVec<T> where = {};
    if (first > 0) {
      most = load<Vec<T>>(best[o]);
      where = load<TapVec<T>>(place[o]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < positions; ++p) {
      if (p == 0 && first == 0) continue;
      const auto taken = (sum[o][p] > most) | (sum[o][p] != sum[o][p]);
      most = taken ? sum[o][p] : most;
      where = taken ? broadcast<TapVec<T>>(U(first + p)) : where;
    }
    store(best[o], most);
    store(place[o], where);
  }
}
template <class T>
using Greatest = void (*)(const T* const*, const Index*, Index, const T*, const T*, Index,
                          T* const*, T* const*);
template <class T, int maps>
Greatest<T> greatest_of(Index positions) {
  if (positions == 4) return greatest<T, maps, 4>;
  if (positions == 2) return greatest<T, maps, 2>;
  return greatest<T, maps, 1>;
}

// What a way that knows its number of channels is taken from, for any number.
#if CENOTE_VECTOR_BYTES == 64 || defined(__aarch64__)
#define CENOTE_BY_MAPS(maps, f, ...)  \
  (maps == 6   ? f<T, 6>(__VA_ARGS__) \
   : maps == 5 ? f<T, 5>(__VA_ARGS__) \
   : maps == 4 ? f<T, 4>(__VA_ARGS__) \
   : maps == 3 ? f<T, 3>(__VA_ARGS__) \
   : maps == 2 ? f<T, 2>(__VA_ARGS__) \
               : f<T, 1>(__VA_ARGS__))
#else
#define CENOTE_BY_MAPS(maps, f, ...) \
  (maps == 3 ? f<T, 3>(__VA_ARGS__) : maps == 2 ? f<T, 2>(__VA_ARGS__) : f<T, 1>(__VA_ARGS__))
#endif

template <class T>
Index stage_units(const Convolution& c) {
  return (c.batch + kLanes<T> - 1) / kLanes<T>;
}

// The weight in blocks of output channels, which take turns.
template <class T>
void pack_stage(const Convolution& c, const void* weight, void* packed) {
  const T* from = static_cast<const T*>(weight);
  T* to = static_cast<T*>(packed);
  const Index taps = c.in * c.down.kernel * c.across.kernel, block = maps_of_block(c.out);
  for (Index group = 0; group < c.groups; ++group, from += c.out * taps)
    for (Index first = 0; first < c.out; first += block)
      for (Index k = 0; k < taps; ++k)
        for (Index o = first; o < min(c.out, first + block); ++o) *to++ = from[o * taps + k];
}

// How many tap numbers there are to an output.
template <class T>
Index stage_lanes() {
  return kLanes<T>;
}

// Units are as many images as there are lanes.
template <class T>
Index stage(const StageTask& task, Index begin, Index end, char* scratch) {
  constexpr Index L = kLanes<T>;
  using U = typename UnsignedOf<sizeof(T)>::type;
  const Convolution& c = task.what;
  const Index high = c.down.out / task.high, wide = c.across.out / task.wide, out = high * wide;
  const Index window = task.high * task.wide;
  const Index taps = c.in * c.down.kernel * c.across.kernel, block = maps_of_block(c.out);
  const Padded<T> in(c);
  Arena arena(scratch);
  T* x = arena.take<T>(c.in * in.plane());
  T* y = arena.take<T>(block * (out + kTogether) * L);
  T* where = arena.take<T>(block * L);
  Index* offset = arena.take<Index>(taps);
  Index* inside = arena.take<Index>(window);
  if (!scratch) return arena.used();
  in.offsets(c, offset);
  for (Index t = 0; t < window; ++t) inside[t] = t / task.wide * in.row + t % task.wide * in.column;
  for (Index i = 0; i < c.in * in.plane(); ++i) x[i] = T(0);
  const Index plane_in = c.down.n * c.across.n;
  const Index apart_in = c.groups * c.in * plane_in, apart_out = c.groups * c.out * out;
  for (Index unit = begin; unit < end; ++unit) {
    const Index images = min(L, c.batch - unit * L);
    const T* from = static_cast<const T*>(task.x) + unit * L * apart_in;
    T* to = static_cast<T*>(task.to) + unit * L * apart_out;
    for (Index group = 0; group < c.groups; ++group) {
      in.fill(c, from, group, images, x);
      for (Index o = 0; o < c.out; o += block) {
        const Index maps = min(block, c.out - o), channel = group * c.out + o;
        const T* weight = static_cast<const T*>(task.weight) + channel * taps;
        T bias[kMostMaps];
        for (Index m = 0; m < maps; ++m)
          bias[m] = task.bias ? static_cast<const T*>(task.bias)[channel + m] : T(0);
        T *best[kMostMaps], *place[kMostMaps];
        for (Index m = 0; m < maps; ++m) place[m] = where + m * L;
        for (Index p = 0, row = 0; row < high; ++row)
          for (Index column = 0; column < wide;) {
            const T* corner = x + row * task.high * in.row + column * task.wide * in.column;
            const T* at[kTogether];
            for (Index m = 0; m < maps; ++m) best[m] = y + (m * out + p) * L;
            if (window == 1) {
              Index some = min(kTogether, wide - column);
              if (some < kTogether && wide >= kTogether) {  // some of them once more
                const Index again = kTogether - some;
                column -= again, p -= again, corner -= again * in.column;
                for (Index m = 0; m < maps; ++m) best[m] -= again * L;
                some = kTogether;
              } else if (some < kTogether) {
                some = some >= 2 ? 2 : 1;
              }
              for (Index j = 0; j < some; ++j) at[j] = corner + j * in.column;
              CENOTE_BY_MAPS(maps, greatest_of, some)
              (at, offset, taps, weight, bias, 0, best, nullptr);
              column += some, p += some;
              continue;
            }
            for (Index t = 0, some; t < window; t += some) {
              some = window - t >= 4 ? 4 : window - t >= 2 ? 2 : 1;
              for (Index j = 0; j < some; ++j) at[j] = corner + inside[t + j];
              CENOTE_BY_MAPS(maps, greatest_of, some)
              (at, offset, taps, weight, bias, t, best, place);
            }
            for (Index m = 0; m < maps; ++m) {
              Vec<T> value = load<Vec<T>>(best[m]);
              TapVec<T> tap = load<TapVec<T>>(place[m]);
              if (task.positive) {
                const auto dead = value <= Vec<T>{};
                value = dead ? Vec<T>{} : value;
                tap = dead ? broadcast<TapVec<T>>(U(kNoTap<std::uint8_t>)) : tap;
              }
              store(best[m], value);
              if (task.taps)
                Narrow<T, std::uint8_t>::store_all(
                    task.taps + ((unit * c.groups * c.out + channel + m) * out + p) * L, tap);
            }
            ++column, ++p;
          }
        for (Index m = 0; m < maps; ++m) {
          const Index plane = channel_of(group, o + m, c.groups, c.out, c.shuffled_out);
          give<T>(y + m * out * L, to + plane * out, apart_out, images, out);
        }
      }
    }
  }
  return arena.used();
}

}  // namespace cenote::CENOTE_TARGET
