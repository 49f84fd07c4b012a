// Convolution of few channels: rows copied into their padding, so that what a tap reads for a
// vector of outputs are neighbours; then sums of several output channels and vectors in registers.
#pragma once

#include "convolution.h"
#include "fold-inl.h"

namespace cenote::CENOTE_TARGET {

constexpr Index round_up(Index x, Index to) { return (x + to - 1) / to * to; }

// How many output channels are worked on at once, and how many vectors of each: as many sums as
// there are registers to hold them.
#if CENOTE_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kMostOutputs = 8;
#else
constexpr int kMostOutputs = 4;
#endif
constexpr int most_vectors(int outputs) { return outputs <= 2 ? 4 : 3; }

// The channels of a group in blocks of nearly equal size.
constexpr Index outputs_of_block(Index out) {
  const Index blocks = (out + kMostOutputs - 1) / kMostOutputs;
  return (out + blocks - 1) / blocks;
}

// A channel of a group, among all.
constexpr Index channel_of(Index group, Index channel, Index groups, Index channels,
                           bool shuffled) {
  return shuffled ? channel * groups + group : group * channels + channel;
}

// The rows that some outputs read, with zeros around them. Where windows move by more than one
// element, so many rows are made of each, so that neighbouring outputs read neighbours.
template <class T>
class Rows {
 public:
  Rows(const Convolution& c, Index outputs, Arena& arena)
      : c_(c), vectors_((c.across.out + kLanes<T> - 1) / kLanes<T>) {
    const Slide& a = c.across;
    const Index reach = (a.kernel - 1) * a.dilation;
    length_ = vectors_ * kLanes<T> + round_up(reach / a.stride + 1, kLanes<T>);
    pitch_ = a.stride * length_;
    most_ = most_rows(c, outputs);
    rows_ = arena.take<T>(c.in * most_ * pitch_);
    zeros_ = arena.take<T>(pitch_);
    for (Index x = 0; zeros_ && x < pitch_; ++x) zeros_[x] = T(0);
    offset_ = arena.take<Index>(a.kernel);
    for (Index k = 0; offset_ && k < a.kernel; ++k)
      offset_[k] = k * a.dilation % a.stride * length_ + k * a.dilation / a.stride;
  }

  // Bytes for what `outputs` rows of outputs read.
  static Index bytes(const Convolution& c, Index outputs) {
    return c.in * most_rows(c, outputs) * (c.across.n * c.across.spread + c.across.kernel) *
           Index(sizeof(T));
  }

  // Brings in what outputs [begin, end) read of one group of an image.
  void fill(const T* image, Index group, Index begin, Index end) {
    const Slide& d = c_.down;
    const Index first = begin * d.stride - d.before;
    const Index last = (end - 1) * d.stride - d.before + (d.kernel - 1) * d.dilation;
    front_ = max(0, ceil_div(first, d.spread));
    stop_ = min(d.n, floor_div(last, d.spread) + 1);
    for (Index channel = 0; channel < c_.in; ++channel) {
      const Index plane = channel_of(group, channel, c_.groups, c_.in, c_.shuffled_in);
      const T* from = image + plane * d.n * c_.across.n;
      for (Index i = front_; i < stop_; ++i)
        copy(from + i * c_.across.n, rows_ + (channel * most_ + i - front_) * pitch_);
    }
  }

  // The input row that output row o reads through tap k; null where that is padding.
  const T* row(Index channel, Index o, Index k) const {
    const Slide& d = c_.down;
    const Index position = o * d.stride - d.before + k * d.dilation;
    if (position < 0 || position % d.spread != 0 || position / d.spread >= d.n) return nullptr;
    return rows_ + (channel * most_ + position / d.spread - front_) * pitch_;
  }

  // Row i of the first channel: zeros where that is padding, or no output's that there is.
  const T* at(Index i) const {
    return i < front_ || i >= stop_ ? zeros_ : rows_ + (i - front_) * pitch_;
  }

  const T* zeros() const { return zeros_; }

  // Where in a row tap k of its first output lies.
  const Index* offsets() const { return offset_; }
  Index vectors() const { return vectors_; }

 private:
  static Index most_rows(const Convolution& c, Index outputs) {
    const Slide& d = c.down;
    return min(d.n, ((outputs - 1) * d.stride + (d.kernel - 1) * d.dilation) / d.spread + 2);
  }

  void copy(const T* from, T* to) const {
    const Slide& a = c_.across;
    if (a.stride == 1 && a.spread == 1) {
      const Index begin = min(length_, max(0, a.before)), skip = max(0, -a.before);
      const Index count = max(0, min(a.n - skip, length_ - begin));
      for (Index x = 0; x < begin; ++x) to[x] = T(0);
      __builtin_memcpy(to + begin, from + skip, std::size_t(count) * sizeof(T));
      for (Index x = begin + count; x < length_; ++x) to[x] = T(0);
      return;
    }
    __builtin_memset(to, 0, std::size_t(pitch_) * sizeof(T));
    if (a.spread == 1 && a.stride == 2 && a.before >= 0) {
      pairs(from, to);
      return;
    }
    if (a.spread == 1) {
      for (Index phase = 0; phase < a.stride; ++phase, to += length_) {
        const Index start = phase - a.before;  // the input of the phase's first element
        const Index begin = max(0, ceil_div(-start, a.stride));
        const Index end = min(length_, ceil_div(a.n - start, a.stride));
        for (Index x = begin; x < end; ++x) to[x] = from[start + x * a.stride];
      }
      return;
    }
    for (Index i = 0; i < a.n; ++i) {
      const Index x = i * a.spread + a.before;
      if (x >= 0 && x < length_) to[x] = from[i];
    }
  }

  // A row at stride 2: elements take turns.
  void pairs(const T* from, T* to) const {
    const Slide& a = c_.across;
    const bool odd = a.before % 2 != 0;  // where the first element belongs
    T* first = to + (odd ? length_ + a.before / 2 : a.before / 2);
    T* second = odd ? to + a.before / 2 + 1 : to + length_ + a.before / 2;
    const Index room = length_ - a.before / 2 - 1, count = max(0, min(a.n / 2, room));
    Index x = 0;
    for (; x + kLanes<T> <= count; x += kLanes<T>) {
      const Vec<T> low = load<Vec<T>>(from + 2 * x);
      const Vec<T> high = load<Vec<T>>(from + 2 * x + kLanes<T>);
      store(first + x, even_lanes(low, high, AllOf<T>{}));
      store(second + x, odd_lanes(low, high, AllOf<T>{}));
    }
    for (; x < count; ++x) first[x] = from[2 * x], second[x] = from[2 * x + 1];
    if (count < room && 2 * count < a.n) first[count] = from[2 * count];
  }

  const Convolution& c_;
  Index vectors_, length_, pitch_, most_, front_ = 0, stop_ = 0;
  T *rows_, *zeros_;
  Index* offset_;
};

// A row of one channel that is read, and which of the weight's rows belongs to it.
template <class T>
struct Pair {
  const T* row;
  Index weight;
};

// Some output channels of a row, from a vector on.
template <class T, int outputs, int vectors>
void tile(const Pair<T>* pair, Index pairs, const Index* offset, Index taps, const T* weight,
          const T* bias, T* const* out, Index x, int last) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[outputs][vectors];
#pragma GCC unroll 8
  for (int o = 0; o < outputs; ++o)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[o][v] = broadcast<Vec<T>>(bias ? bias[o] : T(0));
  for (Index p = 0; p < pairs; ++p) {
    const T* row = pair[p].row + x;
    const T* by = weight + pair[p].weight * taps * outputs;
    for (Index k = 0; k < taps; ++k, by += outputs) {
      Vec<T> in[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) in[v] = load<Vec<T>>(row + offset[k] + v * L);
#pragma GCC unroll 8
      for (int o = 0; o < outputs; ++o)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[o][v] += broadcast<Vec<T>>(by[o]) * in[v];
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < outputs; ++o) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors - 1; ++v) store(out[o] + x + v * L, sum[o][v]);
    T* end = out[o] + x + (vectors - 1) * L;
    if (last == L)
      store(end, sum[o][vectors - 1]);
    else
      store_lanes(end, last, sum[o][vectors - 1]);
  }
}

template <class T>
using Tile = void (*)(const Pair<T>*, Index, const Index*, Index, const T*, const T*, T* const*,
                      Index, int);
template <class T, int outputs>
Tile<T> tile_of(Index vectors) {
  if (vectors == 1) return tile<T, outputs, 1>;
  if (vectors == 2) return tile<T, outputs, 2>;
  if constexpr (most_vectors(outputs) == 4)
    if (vectors == 4) return tile<T, outputs, 4>;
  return tile<T, outputs, 3>;
}
template <class T>
Tile<T> tile_of(Index outputs, Index vectors) {
  if constexpr (kMostOutputs == 8) {
    if (outputs == 8) return tile_of<T, 8>(vectors);
    if (outputs == 7) return tile_of<T, 7>(vectors);
    if (outputs == 6) return tile_of<T, 6>(vectors);
    if (outputs == 5) return tile_of<T, 5>(vectors);
  }
  if (outputs == 4) return tile_of<T, 4>(vectors);
  if (outputs == 3) return tile_of<T, 3>(vectors);
  if (outputs == 2) return tile_of<T, 2>(vectors);
  return tile_of<T, 1>(vectors);
}

// Some rows of a channel by itself, under a square kernel that the compiler knows: what rows of
// outputs share is loaded once.
constexpr int kRowsAtOnce = 4;
template <class T, int kernel, int stride, int vectors>
void block(const T* const* row, const Index* offset, const T* weight, T bias, T* const* out,
           Index x, int last) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[kRowsAtOnce][vectors];
#pragma GCC unroll 8
  for (int j = 0; j < kRowsAtOnce; ++j)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[j][v] = broadcast<Vec<T>>(bias);
  for (int k = 0; k < kernel; ++k) {
    Vec<T> by[kernel];
#pragma GCC unroll 8
    for (int tap = 0; tap < kernel; ++tap)
      by[tap] = in_register(broadcast<Vec<T>>(weight[tap * kernel + k]));
#pragma GCC unroll 16
    for (int r = 0; r < (kRowsAtOnce - 1) * stride + kernel; ++r) {
      Vec<T> in[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) in[v] = load<Vec<T>>(row[r] + x + offset[k] + v * L);
#pragma GCC unroll 4
      for (int j = 0; j < kRowsAtOnce; ++j) {
        const int tap = r - j * stride;
        if (tap < 0 || tap >= kernel) continue;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[j][v] += by[tap] * in[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kRowsAtOnce; ++j) {
    if (!out[j]) continue;
#pragma GCC unroll 8
    for (int v = 0; v < vectors - 1; ++v) store(out[j] + x + v * L, sum[j][v]);
    T* end = out[j] + x + (vectors - 1) * L;
    if (last == L)
      store(end, sum[j][vectors - 1]);
    else
      store_lanes(end, last, sum[j][vectors - 1]);
  }
}
template <class T>
using Block = void (*)(const T* const*, const Index*, const T*, T, T* const*, Index, int);
template <class T, int kernel, int stride>
Block<T> block_of(Index vectors) {
  if (vectors == 1) return block<T, kernel, stride, 1>;
  return block<T, kernel, stride, 2>;
}
// Null where there is none.
template <class T>
Block<T> block_of(const Convolution& c, Index vectors) {
  const Slide &d = c.down, &a = c.across;
  if (c.in > 1 || c.out > 1 || d.spread > 1 || a.spread > 1 || d.dilation > 1) return nullptr;
  if (d.kernel != a.kernel || d.stride != a.stride) return nullptr;
  if (a.stride == 1) {
    if (a.kernel == 3) return block_of<T, 3, 1>(vectors);
    if (a.kernel == 5) return block_of<T, 5, 1>(vectors);
    if (a.kernel == 7) return block_of<T, 7, 1>(vectors);
  }
  if (a.stride == 2 && a.kernel == 3) return block_of<T, 3, 2>(vectors);
  return nullptr;
}

// A band of a channel by itself.
template <class T>
void blocks(const Convolution& c, const Rows<T>& in, Index begin, Index end, const T* weight,
            T bias, T* out) {
  constexpr int kMostRows = (kRowsAtOnce - 1) * 2 + 7;
  const Index width = c.across.out, vectors = in.vectors();
  const int tail = int(width - (vectors - 1) * kLanes<T>);
  for (Index y = begin; y < end; y += kRowsAtOnce) {
    const T* row[kMostRows];
    T* to[kRowsAtOnce];
    const Index reach = (kRowsAtOnce - 1) * c.down.stride + c.down.kernel;
    const Index first = y * c.down.stride - c.down.before;
    for (Index r = 0; r < reach; ++r) row[r] = in.at(first + r);
    for (Index j = 0; j < kRowsAtOnce; ++j)
      to[j] = y + j < end ? out + (y + j - begin) * width : nullptr;
    for (Index v = 0; v < vectors; v += 2) {
      const Index some = min(2, vectors - v);
      const int last = v + some == vectors ? tail : int(kLanes<T>);
      block_of<T>(c, some)(row, in.offsets(), weight, bias, to, v * kLanes<T>, last);
    }
  }
}

// How many rows of outputs are computed from rows that were copied at once: those should stay in
// the second cache.
template <class T>
Index rows_in_band(const Convolution& c) {
  constexpr Index kBytes = 256 * 1024;
  Index rows = c.down.out;
  while (rows > 1 && Rows<T>::bytes(c, rows) > kBytes) rows = (rows + 1) / 2;
  return rows;
}

template <class T>
Index units(const Convolution& c) {
  const Index rows = rows_in_band<T>(c);
  return c.batch * c.groups * ((c.down.out + rows - 1) / rows);
}

template <class T>
void pack(const Convolution& c, const void* weight, void* packed) {
  const T* from = static_cast<const T*>(weight);
  T* to = static_cast<T*>(packed);
  const Index taps = c.down.kernel * c.across.kernel, block = outputs_of_block(c.out);
  for (Index group = 0; group < c.groups; ++group)
    for (Index first = 0; first < c.out; first += block)
      for (Index i = 0; i < c.in; ++i)
        for (Index k = 0; k < taps; ++k)
          for (Index o = first; o < min(c.out, first + block); ++o)
            *to++ = c.adjoint ? from[((group * c.in + i) * c.out + o) * taps + (taps - 1 - k)]
                              : from[((group * c.out + o) * c.in + i) * taps + k];
}

// Units are bands of rows of a group of an image.
template <class T>
Index convolve(const ConvolutionTask& task, Index begin, Index end, char* scratch) {
  const Convolution& c = task.what;
  const Index rows = rows_in_band<T>(c), bands = (c.down.out + rows - 1) / rows;
  const Index taps = c.across.kernel, all_taps = c.down.kernel * taps;
  Arena arena(scratch);
  Rows<T> in(c, rows, arena);
  Pair<T>* pair = arena.take<Pair<T>>(c.in * c.down.kernel);
  if (!scratch) return arena.used();
  const Index plane_in = c.down.n * c.across.n, plane_out = c.down.out * c.across.out;
  const Index block = outputs_of_block(c.out), vectors = in.vectors();
  const int tail = int(c.across.out - (vectors - 1) * kLanes<T>);
  const bool separate = block_of<T>(c, 1) != nullptr;
  for (Index unit = begin; unit < end; ++unit) {
    const Index band = unit % bands, group = unit / bands % c.groups, n = unit / bands / c.groups;
    const Index first_row = band * rows, stop_row = min(c.down.out, first_row + rows);
    in.fill(static_cast<const T*>(task.x) + n * c.groups * c.in * plane_in, group, first_row,
            stop_row);
    T* image = static_cast<T*>(task.to) + n * c.groups * c.out * plane_out;
    for (Index first = 0; first < c.out; first += block) {
      const Index outputs = min(block, c.out - first);
      const T* weight =
          static_cast<const T*>(task.weight) + (group * c.out + first) * c.in * all_taps;
      T bias[kMostOutputs];
      T* out[kMostOutputs];
      for (Index o = 0; o < outputs; ++o) {
        const Index channel = channel_of(group, first + o, c.groups, c.out, c.shuffled_out);
        bias[o] = task.bias ? static_cast<const T*>(task.bias)[group * c.out + first + o] : T(0);
        out[o] = image + channel * plane_out + first_row * c.across.out;
      }
      if (separate) {
        blocks(c, in, first_row, stop_row, weight, bias[0], out[0]);
        continue;
      }
      for (Index y = first_row; y < stop_row; ++y) {
        Index pairs = 0;
        for (Index i = 0; i < c.in; ++i)
          for (Index k = 0; k < c.down.kernel; ++k)
            if (const T* row = in.row(i, y, k)) pair[pairs++] = {row, i * c.down.kernel + k};
        const Index most = most_vectors(int(outputs));
        for (Index v = 0, some; v < vectors; v += some) {
          const Index left = vectors - v;
          some = left <= most ? left : left < 2 * most ? (left + 1) / 2 : most;
          const int last = v + some == vectors ? tail : int(kLanes<T>);
          tile_of<T>(outputs, some)(pair, pairs, in.offsets(), taps, weight, bias, out,
                                    v * kLanes<T>, last);
        }
        for (Index o = 0; o < outputs; ++o) out[o] += c.across.out;
      }
    }
  }
  return arena.used();
}

// A tap of the weight's gradient: where the row of its first output starts, and its sums.
template <class T>
struct Tap {
  const T* const* row;  // one for each row of outputs
  Index offset;
  T* sums;  // a vector for each output channel, `apart` elements from one to the next
};

// Products of some output channels' gradients with what some taps read, added up over rows: vectors
// from `begin` to `end` of each.
template <class T, int outputs, int taps, class Lanes>
void add_products(const Tap<T>* tap, const T* const* given, Index rows, Index width, Index apart,
                  Index begin, Index end, Lanes lanes) {
  [[maybe_unused]] const Part part = part_of(0, int(lanes));
  Vec<T> sum[outputs][taps];
#pragma GCC unroll 8
  for (int o = 0; o < outputs; ++o)
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) sum[o][t] = load<Vec<T>>(tap[t].sums + o * apart);
  for (Index y = 0; y < rows; ++y) {
    const T *seen[taps], *by[outputs];
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) seen[t] = tap[t].row[y] + tap[t].offset;
#pragma GCC unroll 8
    for (int o = 0; o < outputs; ++o) by[o] = given[o] + y * width;
    const auto at = [&](Index x) CENOTE_INLINED {
      const auto vector = [&](const T* from) CENOTE_INLINED {
        if constexpr (std::is_same_v<Lanes, AllLanes<T>>)
          return load<Vec<T>>(from + x);
        else
          return load_part(from + x, part, Vec<T>{});
      };
      Vec<T> g[outputs];
#pragma GCC unroll 8
      for (int o = 0; o < outputs; ++o) g[o] = vector(by[o]);
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
        const Vec<T> in = vector(seen[t]);
#pragma GCC unroll 8
        for (int o = 0; o < outputs; ++o) sum[o][t] += g[o] * in;
      }
    };
    if constexpr (std::is_same_v<Lanes, AllLanes<T>>)
      for (Index x = begin; x < end; x += kLanes<T>) at(x);
    else
      at(begin);  // the sums stay in registers only where there is no loop in a loop
  }
#pragma GCC unroll 8
  for (int o = 0; o < outputs; ++o)
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) store(tap[t].sums + o * apart, sum[o][t]);
}
template <class T, int outputs, int taps>
void products(const Tap<T>* tap, const T* const* given, Index rows, Index width, Index apart) {
  const Index whole = width / kLanes<T> * kLanes<T>;
  if (whole > 0)
    add_products<T, outputs, taps>(tap, given, rows, width, apart, 0, whole, AllLanes<T>{});
  if (whole < width)
    add_products<T, outputs, taps>(tap, given, rows, width, apart, whole, width,
                                   int(width - whole));
}

template <class T>
using Products = void (*)(const Tap<T>*, const T* const*, Index, Index, Index);
constexpr int kMostProducts = kMostOutputs == 8 ? 6 : 3, kMostGiven = kMostOutputs == 8 ? 4 : 3;
template <class T, int outputs>
Products<T> products_of(Index taps) {
  if constexpr (kMostProducts == 6) {
    if (taps == 6) return products<T, outputs, 6>;
    if (taps == 5) return products<T, outputs, 5>;
    if (taps == 4) return products<T, outputs, 4>;
  }
  if (taps == 3) return products<T, outputs, 3>;
  if (taps == 2) return products<T, outputs, 2>;
  return products<T, outputs, 1>;
}
template <class T>
Products<T> products_of(Index outputs, Index taps) {
  if constexpr (kMostGiven == 4)
    if (outputs == 4) return products_of<T, 4>(taps);
  if (outputs == 3) return products_of<T, 3>(taps);
  if (outputs == 2) return products_of<T, 2>(taps);
  return products_of<T, 1>(taps);
}

constexpr Index even_share(Index all, Index most) {
  const Index parts = (all + most - 1) / most;
  return (all + parts - 1) / parts;
}

// As many units whatever the number of threads is, so that sums come out the same.
inline Index gradient_units(const Convolution& c) {
  constexpr Index kMostUnits = 16, kMostBytes = Index(16) << 20;
  const Index each = (c.weights() + c.groups * c.out) * Index(sizeof(double));
  return max(1, min(min(kMostUnits, c.batch), kMostBytes / max(1, each)));
}

template <class T>
Index gradient(const ConvolutionTask& task, Index begin, Index end, char* scratch) {
  const Convolution& c = task.what;
  const Index rows = rows_in_band<T>(c), kernel = c.down.kernel * c.across.kernel;
  const Index weights = c.weights(), biases = c.groups * c.out;
  const Index each = c.in * kernel;  // taps of an output channel
  Arena arena(scratch);
  Rows<T> in(c, rows, arena);
  T* sums = arena.take<T>((weights + biases) * kLanes<T>);
  const T** row = arena.take<const T*>(c.in * c.down.kernel * rows);
  Tap<T>* tap = arena.take<Tap<T>>(each);
  if (!scratch) return arena.used();
  const Index plane_in = c.down.n * c.across.n, plane_out = c.down.out * c.across.out;
  const Index block = even_share(c.out, kMostGiven), some = even_share(each, kMostProducts);
  const Index all = gradient_units(c), apart = each * kLanes<T>;
  for (Index unit = begin; unit < end; ++unit) {
    for (Index x = 0; x < (weights + biases) * kLanes<T>; ++x) sums[x] = T(0);
    const Index first_image = c.batch * unit / all, last_image = c.batch * (unit + 1) / all;
    for (Index n = first_image; n < last_image; ++n) {
      const T* image = static_cast<const T*>(task.x) + n * c.groups * c.in * plane_in;
      const T* given = static_cast<const T*>(task.weight) + n * c.groups * c.out * plane_out;
      for (Index group = 0; group < c.groups; ++group)
        for (Index y0 = 0; y0 < c.down.out; y0 += rows) {
          const Index y1 = min(c.down.out, y0 + rows), many = y1 - y0;
          in.fill(image, group, y0, y1);
          for (Index i = 0, k = 0; i < c.in; ++i)
            for (Index down = 0; down < c.down.kernel; ++down) {
              const T** rows_of_tap = row + (i * c.down.kernel + down) * rows;
              for (Index y = 0; y < many; ++y) {
                const T* there = in.row(i, y0 + y, down);
                rows_of_tap[y] = there ? there : in.zeros();
              }
              for (Index across = 0; across < c.across.kernel; ++across, ++k)
                tap[k] = {rows_of_tap, in.offsets()[across], nullptr};
            }
          for (Index first = 0; first < c.out; first += block) {
            const Index outputs = min(block, c.out - first);
            const T* from[kMostGiven];
            for (Index o = 0; o < outputs; ++o) {
              const Index channel = channel_of(group, first + o, c.groups, c.out, c.shuffled_out);
              from[o] = given + channel * plane_out + y0 * c.across.out;
              T* to = sums + (weights + group * c.out + first + o) * kLanes<T>;
              Vec<T> total = load<Vec<T>>(to);
              sweep<T>(many * c.across.out,
                       [&](Index x, auto lanes) { total += load_first<T>(from[o] + x, lanes); });
              store(to, total);
            }
            T* to = sums + (group * c.out + first) * apart;
            for (Index k = 0; k < each; k += some) {
              const Index taps = min(some, each - k);
              for (Index t = 0; t < taps; ++t) tap[k + t].sums = to + (k + t) * kLanes<T>;
              products_of<T>(outputs, taps)(tap + k, from, many, c.across.out, apart);
            }
          }
        }
    }
    T* total = static_cast<T*>(task.to) + unit * (weights + biases);
    for (Index x = 0; x < weights + biases; ++x)
      total[x] = halves<Sum<T>>(load<Vec<T>>(sums + x * kLanes<T>), AllOf<T>{});
  }
  return arena.used();
}

}  // namespace cenote::CENOTE_TARGET
