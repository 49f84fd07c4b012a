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

// Sums of products of what is given at positions with what some taps read there.
template <class T, int maps, int taps>
void multiply(const T* const* at, Index rows, Index columns, Index row, Index column,
              const T* given, Index apart, T* sums, Index sums_apart) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[maps][taps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) sum[o][k] = load<Vec<T>>(sums + o * sums_apart + k * L);
  const T* from[taps];
#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k) from[k] = at[k];
  for (Index y = 0; y < rows; ++y) {
    for (Index x = 0; x < columns; ++x, given += L) {
      Vec<T> in[taps];
#pragma GCC unroll 8
      for (int k = 0; k < taps; ++k) in[k] = load<Vec<T>>(from[k] + x * column);
#pragma GCC unroll 8
      for (int o = 0; o < maps; ++o) {
        const Vec<T> by = load<Vec<T>>(given + o * apart);
#pragma GCC unroll 8
        for (int k = 0; k < taps; ++k) sum[o][k] += by * in[k];
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) from[k] += row;
  }
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) store(sums + o * sums_apart + k * L, sum[o][k]);
}
template <class T>
using Multiply = void (*)(const T* const*, Index, Index, Index, Index, const T*, Index, T*, Index);
template <class T, int maps>
Multiply<T> multiply_of(Index taps) {
  if (taps == 4) return multiply<T, maps, 4>;
  if (taps == 3) return multiply<T, maps, 3>;
  if (taps == 2) return multiply<T, maps, 2>;
  return multiply<T, maps, 1>;
}

// What is given at a position goes to all that it was made from.
template <class T, int maps>
void spread(const T* given, Index apart, const T* weight, const Index* offset, Index taps, T* to) {
  Vec<T> by[maps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o) by[o] = load<Vec<T>>(given + o * apart);
  Index k = 0;
  for (; k + kTogether <= taps; k += kTogether, weight += kTogether * maps) {
    Vec<T> sum[kTogether];
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) sum[j] = load<Vec<T>>(to + offset[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
      for (int j = 0; j < kTogether; ++j) sum[j] += by[o] * broadcast<Vec<T>>(weight[j * maps + o]);
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) store(to + offset[k + j], sum[j]);
  }
  for (; k < taps; ++k, weight += maps) {
    Vec<T> sum = load<Vec<T>>(to + offset[k]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o) sum += by[o] * broadcast<Vec<T>>(weight[o]);
    store(to + offset[k], sum);
  }
}
template <class T>
using Spread = void (*)(const T*, Index, const T*, const Index*, Index, T*);
template <class T, int maps>
Spread<T> spread_of() {
  return spread<T, maps>;
}

// The same for one output channel where every window of 2x2 outputs has one winner: what the
// kernel's taps read there is put together from what they read at all four.
template <class T, int kernel, int rows>
void multiply_winners(const T* x, Index row, Index high, Index wide, const T* given,
                      const std::uint8_t* winner, T* sums) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[rows][kernel];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int k = 0; k < kernel; ++k) sum[r][k] = load<Vec<T>>(sums + (r * kernel + k) * L);
  for (Index v = 0; v < high; ++v, x += 2 * (row - wide * L))
    for (Index u = 0; u < wide; ++u, x += 2 * L, given += L, winner += L) {
      // What the next window reads again is loaded again: sums need the registers.
      __asm__("" : "+r"(x));
      const TapVec<T> tap = Narrow<T, std::uint8_t>::load_all(winner);
      const auto right = (tap & 1) != 0, below = (tap & 2) != 0;
      const Vec<T> g = load<Vec<T>>(given);
      Vec<T> above[kernel];
#pragma GCC unroll 8
      for (int r = 0; r <= rows; ++r) {
        Vec<T> here[kernel], next = in_register(load<Vec<T>>(x + r * row));
#pragma GCC unroll 8
        for (int k = 0; k < kernel; ++k) {
          const Vec<T> left = next;
          next = in_register(load<Vec<T>>(x + r * row + (k + 1) * L));
          here[k] = right ? next : left;
        }
#pragma GCC unroll 8
        for (int k = 0; k < kernel; ++k) {
          if (r > 0) sum[r - 1][k] += g * (below ? here[k] : above[k]);
          above[k] = here[k];
        }
      }
    }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int k = 0; k < kernel; ++k) store(sums + (r * kernel + k) * L, sum[r][k]);
}
template <class T>
using Winners = void (*)(const T*, Index, Index, Index, const T*, const std::uint8_t*, T*);
// For some rows of a kernel, as many as there are registers for.
template <class T, int kernel>
Winners<T> winners_of(Index rows) {
  constexpr int most = kernel == 3 ? 3 : kernel == 5 ? 3 : 2;
  if constexpr (most == 3)
    if (rows >= 3) return multiply_winners<T, kernel, 3>;
  if (rows >= 2) return multiply_winners<T, kernel, 2>;
  return multiply_winners<T, kernel, 1>;
}
constexpr Index kWinnerRows[] = {0, 0, 0, 3, 0, 3, 0, 2};
template <class T>
Winners<T> winners_of(Index kernel, Index rows) {
  if (kernel == 3) return winners_of<T, 3>(rows);
  if (kernel == 5) return winners_of<T, 5>(rows);
  return winners_of<T, 7>(rows);
}

// What is given to winners goes to all that they were made from: for each element that the windows
// of up to four outputs read, the weights by which they do lie together.
template <class T, int maps>
void spread_winners(const T* given, Index apart, const std::uint8_t* winner, const T* weight,
                    const Index* cell, Index cells, T* to) {
  Vec<T> by[maps];
  TapVec<T> tap[maps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o) {
    by[o] = load<Vec<T>>(given + o * apart);
    tap[o] = Narrow<T, std::uint8_t>::load_all(winner + o * apart);
  }
  Index k = 0;
  for (; k + kTogether <= cells; k += kTogether, weight += kTogether * maps * 4) {
    Vec<T> sum[kTogether];
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) sum[j] = load<Vec<T>>(to + cell[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
      for (int j = 0; j < kTogether; ++j)
        sum[j] += by[o] * one_of_four(weight + o * kTogether * 4, j, tap[o]);
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) store(to + cell[k + j], sum[j]);
  }
  for (int j = 0; k + j < cells; ++j) {
    Vec<T> sum = load<Vec<T>>(to + cell[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
      sum += by[o] * one_of_four(weight + o * kTogether * 4, j, tap[o]);
    store(to + cell[k + j], sum);
  }
}
template <class T>
using SpreadWinners = void (*)(const T*, Index, const std::uint8_t*, const T*, const Index*, Index,
                               T*);
template <class T, int maps>
SpreadWinners<T> spread_winners_of() {
  return spread_winners<T, maps>;
}

// An element that the windows of some outputs read, and by which tap each of four does; -1: by
// none.
struct Cell {
  Index place, tap[4];
};
inline Index cells_of(const Index* offset, Index taps, const Index* inside, Index window,
                      Cell* to) {
  Index count = 0;
  for (Index t = 0; t < window; ++t)
    for (Index k = 0; k < taps; ++k) {
      const Index place = inside[t] + offset[k];
      Index at = 0;
      while (at < count && to[at].place != place) ++at;
      if (at == count) to[count++] = {place, {-1, -1, -1, -1}};
      to[at].tap[t] = k;
    }
  return count;
}

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

// As many parts whatever the number of threads is, so that sums come out the same.
template <class T>
Index stage_parts(const Convolution& c) {
  constexpr Index kMostParts = 16, kMostBytes = Index(16) << 20;
  const Index each = (c.weights() + c.groups * c.out) * Index(sizeof(double));
  return max(1, min(min(kMostParts, stage_units<T>(c)), kMostBytes / max(1, each)));
}

// Units are parts of the batch.
template <class T>
Index stage_gradient(const StageTask& task, Index begin, Index end, char* scratch) {
  constexpr Index L = kLanes<T>, kBytes = 24 * 1024;
  using U = typename UnsignedOf<sizeof(T)>::type;
  const Convolution& c = task.what;
  const Index high = c.down.out / task.high, wide = c.across.out / task.wide, out = high * wide;
  const Index window = task.high * task.wide, columns = wide * task.wide;
  const Index kernel = c.down.kernel * c.across.kernel, taps = c.in * kernel;
  const Index block = maps_of_block(c.out), weights = c.weights(), biases = c.groups * c.out;
  const bool steps =
      c.down.stride > 1 || c.across.stride > 1 || c.across.dilation > 1 || c.down.dilation > 1;
  // Where few outputs share a winner, the others are not computed with.
  const bool winners_multiply =
      task.taps && task.high == 2 && task.wide == 2 && !steps &&
      (c.across.kernel == 3 || c.across.kernel == 5 || c.across.kernel == 7);
  const bool winners_spread = kOneOfFour<T> && task.taps && window <= 4 && window > 1;
  const bool all = (task.sums && !winners_multiply) || (task.to && !winners_spread);
  const Index band =
      max(1, min(high, kBytes / (block * task.high * columns * L * Index(sizeof(T)))));
  const Index room = band * task.high * columns * L;  // for a channel's gradients
  const Padded<T> in(c);
  Arena arena(scratch);
  T* x = arena.take<T>(task.sums ? c.in * in.plane() : 0);
  T* back = arena.take<T>(task.to ? c.in * in.plane() : 0);
  T* given = arena.take<T>(c.out * out * L);
  T* widened = arena.take<T>(all && task.taps ? block * room : 0);
  T* sums = arena.take<T>((weights + biases) * L);
  Index* offset = arena.take<Index>(taps);
  Index* inside = arena.take<Index>(window);
  Cell* cell = arena.take<Cell>(winners_spread ? kernel * window : 0);
  Index* place = arena.take<Index>(winners_spread ? kernel * window : 0);
  T* by_cell =
      arena.take<T>(winners_spread ? biases * c.in * round_up(kernel * window, kTogether) * 4 : 0);
  if (!scratch) return arena.used();
  in.offsets(c, offset);
  for (Index t = 0; t < window; ++t) inside[t] = t / task.wide * in.row + t % task.wide * in.column;
  Index cells = 0, some_cells = 0;  // the latter in whole chunks
  if (task.to && winners_spread) {
    cells = cells_of(offset, kernel, inside, window, cell);
    some_cells = round_up(cells, kTogether);
    for (Index k = 0; k < cells; ++k) place[k] = cell[k].place;
    const T* from = static_cast<const T*>(task.weight);
    T* to = by_cell;
    for (Index o = 0; o < biases; o += min(block, c.out - o % c.out)) {
      const Index maps = min(block, c.out - o % c.out);
      for (Index i = 0; i < c.in; ++i, to += some_cells * maps * 4)
        for (Index k = 0; k < some_cells; ++k)
          for (Index m = 0; m < maps; ++m) {
            T* four = to + ((k / kTogether * maps + m) * kTogether + k % kTogether) * 4;
            for (Index t = 0; t < 4; ++t) {
              const Index tap = k < cells ? cell[k].tap[t] : -1;
              four[t] = tap < 0 ? T(0) : from[(o * c.in + i * maps) * kernel + tap * maps + m];
            }
          }
    }
  }
  if (task.sums)
    for (Index i = 0; i < c.in * in.plane(); ++i) x[i] = T(0);
  const Index plane_in = c.down.n * c.across.n;
  const Index apart_in = c.groups * c.in * plane_in, apart_out = c.groups * c.out * out;
  const Index parts = stage_parts<T>(c), units = stage_units<T>(c);
  const Index some_taps = even_share(taps, kTogether);
  for (Index part = begin; part < end; ++part) {
    for (Index i = 0; i < (weights + biases) * L; ++i) sums[i] = T(0);
    for (Index unit = units * part / parts; unit < units * (part + 1) / parts; ++unit) {
      const Index images = min(L, c.batch - unit * L);
      const T* from = static_cast<const T*>(task.x) + unit * L * apart_in;
      const T* grad = static_cast<const T*>(task.given) + unit * L * apart_out;
      for (Index group = 0; group < c.groups; ++group) {
        if (task.sums) in.fill(c, from, group, images, x);
        if (task.to)
          for (Index i = 0; i < c.in * in.plane(); ++i) back[i] = T(0);
        const std::uint8_t* winner =
            task.taps ? task.taps + (unit * biases + group * c.out) * out * L : nullptr;
        for (Index o = 0; o < c.out; ++o) {
          const Index plane = channel_of(group, o, c.groups, c.out, c.shuffled_out);
          T* to = given + o * out * L;
          Vec<T> total = load<Vec<T>>(sums + (weights + group * c.out + o) * L);
          bring<T>(grad + plane * out, apart_out, images, out, to);
          for (Index p = 0; p < out; ++p) {
            Vec<T> g = load<Vec<T>>(to + p * L);
            if (winner) {
              const TapVec<T> tap = Narrow<T, std::uint8_t>::load_all(winner + (o * out + p) * L);
              g = tap == broadcast<TapVec<T>>(U(kNoTap<std::uint8_t>)) ? Vec<T>{} : g;
              store(to + p * L, g);
            }
            total += g;
          }
          store(sums + (weights + group * c.out + o) * L, total);
        }
        if (task.sums && winners_multiply)
          for (Index i = 0; i < c.in; ++i)
            for (Index o = 0; o < c.out; ++o)
              for (Index k = 0, rows; k < c.down.kernel; k += rows) {
                rows = min(kWinnerRows[c.across.kernel], c.down.kernel - k);
                winners_of<T>(c.across.kernel, rows)(
                    x + i * in.plane() + k * in.row, in.row, high, wide, given + o * out * L,
                    winner + o * out * L,
                    sums + ((group * c.out + o) * taps + i * kernel + k * c.across.kernel) * L);
              }
        if (task.to && winners_spread)
          for (Index o = 0; o < c.out; o += block) {
            const Index maps = min(block, c.out - o);
            const SpreadWinners<T> spreads = CENOTE_BY_MAPS(maps, spread_winners_of, );
            const T* weight = by_cell + (group * c.out + o) * c.in * some_cells * 4;
            for (Index i = 0; i < c.in; ++i)
              for (Index p = 0; p < out; ++p)
                spreads(given + (o * out + p) * L, out * L, winner + (o * out + p) * L,
                        weight + i * some_cells * maps * 4, place, cells,
                        back + i * in.plane() + p / wide * task.high * in.row +
                            p % wide * task.wide * in.column);
          }
        for (Index row = 0; all && row < high; row += band) {
          const Index rows = min(band, high - row), corner = row * task.high * in.row;
          for (Index o = 0; o < c.out; o += block) {
            const Index maps = min(block, c.out - o), channel = group * c.out + o;
            // Every winner to its place, among zeros.
            for (Index m = 0; winner && m < maps; ++m) {
              const Index first = (o + m) * out + row * wide;
              for (Index p = 0; p < rows * wide; ++p) {
                T* to = widened + m * room +
                        (p / wide * task.high * columns + p % wide * task.wide) * L;
                const Vec<T> g = load<Vec<T>>(given + (first + p) * L);
                const TapVec<T> tap = Narrow<T, std::uint8_t>::load_all(winner + (first + p) * L);
                for (Index t = 0; t < window; ++t)
                  store(to + (t / task.wide * columns + t % task.wide) * L,
                        tap == broadcast<TapVec<T>>(U(t)) ? g : Vec<T>{});
              }
            }
            const T* of = winner ? widened : given + (o * out + row * wide) * L;
            const Index apart = winner ? room : out * L;
            if (task.sums && !winners_multiply)
              for (Index k = 0; k < taps; k += some_taps) {
                const Index some = min(some_taps, taps - k);
                const T* at[kTogether];
                for (Index j = 0; j < some; ++j) at[j] = x + corner + offset[k + j];
                CENOTE_BY_MAPS(maps, multiply_of, some)
                (at, rows * task.high, columns, in.row, in.column, of, apart,
                 sums + (channel * taps + k) * L, taps * L);
              }
            if (task.to && !winners_spread) {
              const Spread<T> spreads = CENOTE_BY_MAPS(maps, spread_of, );
              const T* weight = static_cast<const T*>(task.weight) + channel * taps;
              for (Index v = 0; v < rows * task.high; ++v)
                for (Index u = 0; u < columns; ++u)
                  spreads(of + (v * columns + u) * L, apart, weight, offset, taps,
                          back + corner + v * in.row + u * in.column);
            }
          }
        }
        if (task.to)
          for (Index i = 0; i < c.in; ++i) {
            const Index plane = channel_of(group, i, c.groups, c.in, c.shuffled_in);
            T* to = static_cast<T*>(task.to) + unit * L * apart_in + plane * plane_in;
            if (!in.covers(c))  // what no window reads has no gradient
              for (Index image = 0; image < images; ++image)
                for (Index p = 0; p < plane_in; ++p) to[image * apart_in + p] = T(0);
            in.rows(c, [&](Index y, Index at, Index first, Index last) {
              give<T>(back + i * in.plane() + at + first * L, to + y * c.across.n + first, apart_in,
                      images, last - first);
            });
          }
      }
    }
    if (!task.sums) continue;
    T* total = static_cast<T*>(task.sums) + part * (weights + biases);
    sweep<T>(weights + biases, [&](Index i, auto lanes) {
      Vec<T> v[L] = {}, all = {};
      for (int j = 0; j < lanes; ++j) v[j] = load<Vec<T>>(sums + (i + j) * L);
      turn<T>(v);
#pragma GCC unroll 16
      for (int j = 0; j < L; ++j) all += v[j];
      store_first<T>(total + i, lanes, all);
    });
  }
  return arena.used();
}

}  // namespace cenote::CENOTE_TARGET
