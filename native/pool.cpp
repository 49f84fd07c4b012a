#include "pool.h"

#include <algorithm>
#include <stdexcept>

#include "parallel.h"
#include "window.h"

namespace cenote {
namespace {

// With more taps than this at an input, scatter rather than ask all its readers; not tuned yet.
constexpr Index kMostReadersToGather = 32;
// Fewer lanes in use than this, and vectors do not pay.
constexpr Index kLeastChannelsToGather = 4;

// Up to here a table of the taps' offsets stays in the first cache.
constexpr Index kMostTapsInTable = 1024;

constexpr Index kElementBytes[] = {4, 8};

Index product(const Index* sizes, int from, int to) {
  Index all = 1;
  for (int l = from; l < to; ++l) all *= sizes[l];
  return all;
}

TapType smallest(Index taps) {
  // The greatest number of each type stands for "no tap".
  if (taps <= 0xff) return kTap8;
  if (taps <= 0xffff) return kTap16;
  if (taps <= 0xffffffff) return kTap32;
  throw std::invalid_argument("a window of more than 4294967295 taps");
}

bool uniform(const std::vector<Index>& values) {
  return std::all_of(values.begin(), values.end(), [&](Index v) { return v == values[0]; });
}

}  // namespace

Pool::Pool(std::vector<Axis> window, std::vector<Index> n, Index inner, Type type,
           std::optional<Mean> mean)
    : type_(type), tap_type_(kTap8) {
  if (window.empty() || window.size() > kMaxRank || window.size() != n.size() || inner < 1)
    throw std::invalid_argument("pool: one to three axes, a size for each, at least one channel");
  Geometry& g = geometry_;
  g.rank = int(window.size());
  g.inner = inner;
  for (int l = 0; l < g.rank; ++l) {
    g.axis[l] = window[std::size_t(l)];
    g.n[l] = n[std::size_t(l)];
    g.out[l] = host::out(g.axis[l], g.n[l]);
    if (g.n[l] < 1 || g.out[l] < 1) throw std::invalid_argument("pool: the window does not fit");
  }
  if (mean) {
    set_divisors(*mean);
    return;
  }
  Index taps = 1;
  for (const Axis& axis : window)
    if (__builtin_mul_overflow(taps, axis.kernel, &taps)) taps = INT64_MAX;
  tap_type_ = smallest(taps);
  if (taps <= kMostTapsInTable) tap_offset_ = tap_offsets();
}

void Pool::set_divisors(const Mean& mean) {
  const Geometry& g = geometry_;
  if (mean.override) {
    outer_divisor_.assign(std::size_t(g.out[0]), *mean.override);
    return;
  }
  const auto along = [&](int l) {
    std::vector<Index> counts;
    for (Index o = 0; o < g.out[l]; ++o)  // an empty window's sum is 0, whatever it is divided by
      counts.push_back(
          std::max<Index>(1, host::divisor(g.axis[l], g.n[l], o, mean.count_include_pad)));
    return counts;
  };
  std::vector<Index> slice = {1};
  for (int l = g.rank == 1 ? 0 : 1; l < g.rank; ++l) {
    std::vector<Index> next;
    const std::vector<Index> counts = along(l);
    for (const Index before : slice)
      for (const Index count : counts) next.push_back(before * count);
    slice.swap(next);
  }
  outer_divisor_ = g.rank == 1 ? std::vector<Index>(std::size_t(g.out[0]), 1) : along(0);
  if (uniform(slice)) {
    for (Index& divisor : outer_divisor_) divisor *= slice[0];
    return;
  }
  const auto spread = [&](auto& to) {
    for (const Index divisor : slice)
      for (Index c = 0; c < g.inner; ++c)
        to.push_back(static_cast<std::decay_t<decltype(to[0])>>(divisor));
  };
  if (type_ == kF32)
    spread(slice_divisor_f32_);
  else
    spread(slice_divisor_f64_);
}

std::vector<Index> Pool::out() const { return {geometry_.out, geometry_.out + geometry_.rank}; }

Task Pool::task() const {
  Task task = {};
  task.geometry = geometry_;
  if (!tap_offset_.empty()) task.tap_offset = tap_offset_.data();
  if (!outer_divisor_.empty()) task.outer_divisor = outer_divisor_.data();
  if (!slice_divisor_f32_.empty()) task.slice_divisor = slice_divisor_f32_.data();
  if (!slice_divisor_f64_.empty()) task.slice_divisor = slice_divisor_f64_.data();
  return task;
}

std::vector<Index> Pool::tap_offsets() const {
  const Geometry& g = geometry_;
  std::vector<Index> offsets = {0};
  for (int l = 0; l < g.rank; ++l) {
    const Index pitch = product(g.n, l + 1, g.rank) * g.inner * g.axis[l].dilation;
    std::vector<Index> next;
    for (const Index offset : offsets)
      for (Index k = 0; k < g.axis[l].kernel; ++k) next.push_back(offset + k * pitch);
    offsets.swap(next);
  }
  return offsets;
}

Index Pool::bytes(Index outer) const {
  const Geometry& g = geometry_;
  return outer * g.inner * kElementBytes[type_] *
         (product(g.n, 0, g.rank) + product(g.out, 0, g.rank));
}

bool Pool::gathers() const {
  const Geometry& g = geometry_;
  Index readers = 1;
  for (int l = 0; l < g.rank; ++l) {
    const Axis& axis = g.axis[l];
    const Index used = axis.stride / host::gcd(axis.stride, axis.dilation);
    readers *= std::min((axis.kernel + used - 1) / used, g.out[l]);
    if (readers > kMostReadersToGather) return false;
  }
  return g.inner == 1 ? g.axis[g.rank - 1].stride <= 2 : g.inner >= kLeastChannelsToGather;
}

void Pool::select(const How& how, Select what, Index outer, const void* in, void* out,
                  void* taps) const {
  Task t = task();
  t.input = in, t.output = out, t.taps_out = taps;
  const Kernel kernel =
      taps ? how.kernels.select_keep[what][type_][tap_type_] : how.kernels.select[what][type_];
  run(kernel, t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::select_backward(const How& how, Index outer, const void* grad, const void* taps,
                           void* to) const {
  Task t = task();
  t.input = grad, t.output = to, t.taps_in = taps;
  if (gathers()) {
    run(how.kernels.gather[type_][tap_type_], t, outer * geometry_.n[0], bytes(outer), how.threads);
    return;
  }
  run(how.kernels.scatter[type_][tap_type_], t, outer, bytes(outer), how.threads);
}

void Pool::pick(const How& how, Index outer, const void* in, const void* taps, void* out) const {
  Task t = task();
  t.input = in, t.output = out, t.taps_in = taps;
  run(how.kernels.pick[type_][tap_type_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::indices(const How& how, Index outer, const void* taps, void* out) const {
  Task t = task();
  t.output = out, t.taps_in = taps;
  run(how.kernels.indices[tap_type_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::mean(const How& how, Index outer, const void* in, void* out) const {
  Task t = task();
  t.input = in, t.output = out;
  run(how.kernels.mean[type_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::mean_backward(const How& how, Index outer, const void* grad, void* to) const {
  Task t = task();
  t.input = grad, t.output = to;
  run(how.kernels.mean_backward[type_], t, outer * geometry_.n[0], bytes(outer), how.threads);
}

}  // namespace cenote
