#include "separable.h"

#include <algorithm>
#include <stdexcept>

#include "parallel.h"

namespace cenote {
namespace {

// What a thread has in work besides weights: half of a second cache.
constexpr Index kInWork = 512 << 10;                       // bytes
constexpr Index kLeastPixels = 24, kMostPixels = 24 * 16;  // of a block

Index parts_of(Index n, Index part) { return (n + part - 1) / part; }

void check(const Pointwise& p, Index in, Index out) {
  if (p.weight && (p.in != in || p.out != out))
    throw std::invalid_argument("a pointwise convolution of other channels");
}

// Rows of y whose inputs, and what becomes of them, are in work at once.
Index rows_at_once(const SeparableTask& t) {
  const Index wide = padded(t.middle) * Index(sizeof(float));
  const Index made = t.last.weight ? t.outs[1] * wide : 0;
  const bool whole = t.windows.kernel[0] * t.windows.kernel[1] > 1;
  const Index read = whole ? t.windows.stride[0] * t.n[1] * t.channels * Index(sizeof(float)) : 0;
  const Index held = t.first.weight ? t.between[1] * wide + read : 0;
  const Index before = held * std::max<Index>(0, t.slides.kernel[0] - t.slides.stride[0]);
  const Index a_row = std::max<Index>(1, made + held * t.slides.stride[0]);
  return std::clamp<Index>((kInWork - before) / a_row, 1, t.outs[0]);
}

// So that threads have nearly the same to do; a band begins with rows that another has made, too.
Index bands_for(Index images, Index rows, Index threads) {
  for (Index bands = 1; bands < rows && bands < threads; ++bands)
    if (images * bands % threads == 0 || images * bands > 4 * threads) return bands;
  return std::min(rows, threads);
}

}  // namespace

void pointwise(const How& how, PointwiseTask t) {
  check(t.what, t.what.in, t.what.out);
  if (t.pixels < 1 || t.what.in < 1 || t.what.out < 1)
    throw std::invalid_argument("pointwise: nothing to compute");
  const Index macs = t.pixels * t.what.in * t.what.out;
  const Index threads = threads_for_macs(macs, how.threads);
  const Index a_pixel = (t.what.in + t.what.out) * Index(sizeof(float));
  const Index most = std::clamp(kInWork / a_pixel, kLeastPixels, kMostPixels);
  Index blocks = parts_of(t.pixels, most);
  blocks = std::min(t.pixels, parts_of(blocks, threads) * threads);
  t.block = parts_of(t.pixels, blocks);
  if (t.y.pitch == t.what.out) before_writing(t.y.at, t.pixels * t.y.pitch * Index(sizeof(float)));
  share(parts_of(t.pixels, t.block), threads, 0,
        [&](Index begin, Index end, char*) { how.kernels.separable->pointwise(t, begin, end); });
}

void separable(const How& how, SeparableTask t) {
  check(t.first, t.windows.kernel[0] * t.windows.kernel[1] * t.channels, t.middle);
  check(t.last, t.middle, t.last.out);
  if (t.batch < 1 || t.middle < 1 || t.outs[0] < 1 || t.outs[1] < 1 || t.between[0] < 1 ||
      t.between[1] < 1)
    throw std::invalid_argument("separable: nothing to compute");
  const Index out = t.last.weight ? t.last.out : t.middle, images = t.batch * t.outs[0] * t.outs[1];
  const Index a_pixel = t.slides.kernel[0] * t.slides.kernel[1] + t.last.out + t.first.in;
  const Index threads = threads_for_macs(images * t.middle * a_pixel, how.threads);
  t.rows = rows_at_once(t);
  t.bands = bands_for(t.batch, t.outs[0], threads);
  if (t.y.pitch == out) before_writing(t.y.at, images * out * Index(sizeof(float)));
  const auto kernel = how.kernels.separable->separable;
  share(t.batch * t.bands, threads, kernel(t, 0, 0, nullptr),
        [&](Index begin, Index end, char* scratch) { kernel(t, begin, end, scratch); });
}

void interleave(const How& how, const InterleaveTask& t) {
  if (t.pixels < 1 || t.channels < 1) throw std::invalid_argument("interleave: nothing to move");
  const Index bytes = t.pixels * t.channels * 2 * Index(sizeof(float));
  const Index threads = threads_for_bytes(bytes, how.threads);
  before_writing(t.y.at, bytes);
  share(t.pixels, threads, 0,
        [&](Index begin, Index end, char*) { how.kernels.separable->interleave(t, begin, end); });
}

}  // namespace cenote
