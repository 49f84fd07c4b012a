// Passes over rows of channels: several rows at once, so that what belongs to a channel is read
// once for them.
#pragma once

#include "clip-inl.h"
#include "norm.h"

namespace cenote::CENOTE_TARGET {

// So many floats of neighbouring rows are in work at once: what belongs to a channel is read once
// for them, but more would come from memory line by line out of order, at half of the pace.
constexpr Index kAtOnce = 128;
// Floats are summed up over so many rows, those sums as doubles; twice, while they are in a cache.
constexpr Index kLeastRows = 8, kMostRows = 256, kBlockBytes = 256 << 10;

inline Index rows_of_block(Index channels) {
  const Index rows = kBlockBytes / (channels * Index(sizeof(float)));
  return rows < kLeastRows ? kLeastRows : rows < kMostRows ? rows : kMostRows;
}

template <int many>
struct Rows {
  static constexpr int count = many;
};

template <int many, class Body>
inline void by_many(Index begin, Index end, Body body) {
  Index row = begin;
  for (; row + many <= end; row += many) body(row, Rows<many>{});
  for (; row < end; ++row) body(row, Rows<1>{});
}

// Calls body(row, Rows<n>) for n rows at a time.
template <class Body>
inline void by_rows(Index channels, Index begin, Index end, Body body) {
  if (8 * channels <= kAtOnce) return by_many<8>(begin, end, body);
  if (4 * channels <= kAtOnce) return by_many<4>(begin, end, body);
  if (2 * channels <= kAtOnce) return by_many<2>(begin, end, body);
  by_many<1>(begin, end, body);
}

// Calls body(begin, end) for blocks of rows.
template <class Body>
inline void by_blocks(Index channels, Index begin, Index end, Body body) {
  const Index block = rows_of_block(channels);
  for (Index row = begin; row < end; row += block) body(row, row + block < end ? row + block : end);
}

// Whether something is cut off, and what tells.
enum Cut { kNone, kByX, kByY };

// The elements of `from` where the condition, a vector of 0 and -1, is not met; else 0.
template <class C>
inline F unless(C condition, F from) {
  using Bits = TapVec<float>;
  return F(Bits(from) & ~Bits(condition));
}

// The gradient of what goes into the activation.
inline F passed(F given, F value, F low, F high) {
  return unless((value <= low) | (value >= high), given);
}

inline void moments(const Norm& n, Index begin, Index end, double* mean, double* squares,
                    char* scratch) {
  const Index channels = n.channels;
  float* middle = reinterpret_cast<float*>(scratch);  // nearly the mean of a block
  float* sum = middle + channels;                     // of what is left of it
  float* square = sum + channels;
  double before = 0;
  for (Index c = 0; c < channels; ++c) mean[c] = squares[c] = 0;
  by_blocks(channels, begin, end, [&](Index first, Index last) {
    const double here = double(last - first), share = here / (before + here);
    for (Index c = 0; c < channels; ++c) middle[c] = sum[c] = square[c] = 0;
    by_rows(channels, first, last, [&](Index row, auto rows) {
      const float* from = n.x + row * channels;
      sweep<float>(channels, [&](Index c, auto lanes) {
        F part = load_first<float>(from + c, lanes);
#pragma GCC unroll 8
        for (int r = 1; r < rows.count; ++r)
          part += load_first<float>(from + r * channels + c, lanes);
        store_first<float>(middle + c, lanes, load_first<float>(middle + c, lanes) + part);
      });
    });
    for (Index c = 0; c < channels; ++c) middle[c] /= float(here);
    by_rows(channels, first, last, [&](Index row, auto rows) {
      const float* from = n.x + row * channels;
      sweep<float>(channels, [&](Index c, auto lanes) {
        const F about = load_first<float>(middle + c, lanes);
        F part = {}, times = {};
#pragma GCC unroll 8
        for (int r = 0; r < rows.count; ++r) {
          const F off = load_first<float>(from + r * channels + c, lanes) - about;
          part += off, times += off * off;
        }
        store_first<float>(sum + c, lanes, load_first<float>(sum + c, lanes) + part);
        store_first<float>(square + c, lanes, load_first<float>(square + c, lanes) + times);
      });
    });
    for (Index c = 0; c < channels; ++c) {
      const double left = double(sum[c]) / here, off = double(middle[c]) + left - mean[c];
      mean[c] += off * share;
      squares[c] += double(square[c]) - left * double(sum[c]) + off * off * before * share;
    }
    before += here;
  });
}

template <bool adds>
void apply_rows(const Norm& n, const float* gain, float* y, Index begin, Index end) {
  const Index channels = n.channels;
  const F low = broadcast<F>(n.low), high = broadcast<F>(n.high);
  by_rows(channels, begin, end, [&](Index row, auto rows) {
    const Index at = row * channels;
    sweep<float>(channels, [&](Index c, auto lanes) {
      const F mean = load_first<float>(n.mean + c, lanes), by = load_first<float>(gain + c, lanes),
              beta = load_first<float>(n.beta + c, lanes);
#pragma GCC unroll 8
      for (int r = 0; r < rows.count; ++r) {
        const Index x = at + r * channels + c;
        F value = (load_first<float>(n.x + x, lanes) - mean) * by + beta;
        if constexpr (adds) value += load_first<float>(n.other + x, lanes);
        store_past<float>(y + x, lanes, between(value, low, high), n.streams);
      }
    });
  });
}

inline void apply(const Norm& n, const float* gain, float* y, Index begin, Index end) {
  n.other ? apply_rows<true>(n, gain, y, begin, end) : apply_rows<false>(n, gain, y, begin, end);
}

inline void apply_parts(const NormParts& n, const float* gain, Index begin, Index end) {
  const F low = broadcast<F>(n.low), high = broadcast<F>(n.high);
  for (Index row = begin; row < end; ++row) {
    Index at = 0;
    for (std::size_t part = 0; part < n.x.size(); ++part) {
      const Index size = n.sizes[part];
      const float* x = n.x[part] + row * size;
      float* y = n.y + row * n.channels + at;
      sweep<float>(size, [&](Index c, auto lanes) {
        const F mean = load_first<float>(n.mean + at + c, lanes),
                by = load_first<float>(gain + at + c, lanes),
                beta = load_first<float>(n.beta + at + c, lanes);
        const F value = (load_first<float>(x + c, lanes) - mean) * by + beta;
        store_first<float>(y + c, lanes, between(value, low, high));
      });
      at += size;
    }
  }
}

// What of the gradient reaches the sum before the activation.
template <Cut cut, class Lanes>
inline F reaching(const NormBack& b, Index x, Lanes lanes, F off, F gain, F beta) {
  const F given = load_first<float>(b.given + x, lanes);
  const F low = broadcast<F>(b.what.low), high = broadcast<F>(b.what.high);
  if constexpr (cut == kByX) return passed(given, off * gain + beta, low, high);
  if constexpr (cut == kByY) return passed(given, load_first<float>(b.y + x, lanes), low, high);
  return given;
}

template <Cut cut>
void sum_rows(const NormBack& b, const float* gain, Index begin, Index end, double* plain,
              double* by_x, char* scratch) {
  const Norm& n = b.what;
  const Index channels = n.channels;
  float* sum = reinterpret_cast<float*>(scratch);
  float* product = sum + channels;
  for (Index c = 0; c < channels; ++c) plain[c] = by_x[c] = 0;
  by_blocks(channels, begin, end, [&](Index first, Index last) {
    for (Index c = 0; c < channels; ++c) sum[c] = product[c] = 0;
    by_rows(channels, first, last, [&](Index row, auto rows) {
      const Index at = row * channels;
      sweep<float>(channels, [&](Index c, auto lanes) {
        const F mean = load_first<float>(n.mean + c, lanes),
                by = load_first<float>(gain + c, lanes),
                beta = load_first<float>(n.beta + c, lanes);
        F part = {}, times = {};
#pragma GCC unroll 8
        for (int r = 0; r < rows.count; ++r) {
          const Index x = at + r * channels + c;
          const F off = load_first<float>(n.x + x, lanes) - mean;
          const F g = reaching<cut>(b, x, lanes, off, by, beta);
          if constexpr (cut == kByY)
            if (b.to_other) store_past<float>(b.to_other + x, lanes, g, n.streams);
          part += g;
          times += g * off;
        }
        store_first<float>(sum + c, lanes, load_first<float>(sum + c, lanes) + part);
        store_first<float>(product + c, lanes, load_first<float>(product + c, lanes) + times);
      });
    });
    for (Index c = 0; c < channels; ++c) plain[c] += double(sum[c]), by_x[c] += double(product[c]);
  });
}

template <Cut cut>
void back_rows(const NormBack& b, const float* gain, const float* shift, const float* slope,
               Index begin, Index end) {
  const Norm& n = b.what;
  const Index channels = n.channels;
  by_rows(channels, begin, end, [&](Index row, auto rows) {
    const Index at = row * channels;
    sweep<float>(channels, [&](Index c, auto lanes) {
      const F mean = load_first<float>(n.mean + c, lanes), by = load_first<float>(gain + c, lanes),
              beta = load_first<float>(n.beta + c, lanes),
              less = load_first<float>(shift + c, lanes),
              steep = load_first<float>(slope + c, lanes);
#pragma GCC unroll 8
      for (int r = 0; r < rows.count; ++r) {
        const Index x = at + r * channels + c;
        const F off = load_first<float>(n.x + x, lanes) - mean;
        const F g = reaching<cut>(b, x, lanes, off, by, beta);
        store_past<float>(b.to_x + x, lanes, g * by - less - off * steep, n.streams);
      }
    });
  });
}

// What tells what was cut off: where nothing was added, x does, which is read in any case.
inline Cut cut_of(const NormBack& b) {
  if (b.what.low != b.what.low && b.what.high != b.what.high) return kNone;
  return b.y ? kByY : kByX;
}

inline void sums(const NormBack& b, const float* gain, Index begin, Index end, double* plain,
                 double* by_x, char* scratch) {
  const Cut cut = cut_of(b);
  const auto with = cut == kNone ? sum_rows<kNone> : cut == kByX ? sum_rows<kByX> : sum_rows<kByY>;
  with(b, gain, begin, end, plain, by_x, scratch);
}

inline void back(const NormBack& b, const float* gain, const float* shift, const float* slope,
                 Index begin, Index end) {
  const Cut cut = cut_of(b);
  if (cut == kByY && b.to_other) {  // cut off already
    NormBack done = b;
    done.given = b.to_other;
    return back_rows<kNone>(done, gain, shift, slope, begin, end);
  }
  const auto with = cut == kNone  ? back_rows<kNone>
                    : cut == kByX ? back_rows<kByX>
                                  : back_rows<kByY>;
  with(b, gain, shift, slope, begin, end);
}

}  // namespace cenote::CENOTE_TARGET
