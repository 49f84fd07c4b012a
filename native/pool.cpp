#include "pool.h"

#include <algorithm>
#include <atomic>
#include <limits>
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

constexpr Index kElementBytes[] = {4, 8, 2, 2, 1, 1, 2, 4, 8, 1};
// The greatest size of an element of the narrow integers.
constexpr Index kGreatest[] = {0, 0, 0, 0, 128, 255, 32768, 0, 0, 1};
// Up to here floats hold every integer, every half and which of two quotients is nearer.
constexpr Index kExactInFloat = Index(1) << 22;
constexpr Index kGreatestI16 = 0x7fff;

Index product(const Index* sizes, int from, int to) {
  Index all = 1;
  for (int l = from; l < to; ++l) all *= sizes[l];
  return all;
}

bool uniform(const std::vector<Index>& values) {
  return std::all_of(values.begin(), values.end(), [&](Index v) { return v == values[0]; });
}

bool integral(Type type) { return type >= kI8; }

// The lanes in which elements are compared. With tap numbers beside them, integers take lanes that
// are as wide as those.
Lane select_lane(Type type, bool keep) {
  switch (type) {
    case kF64:
      return kLaneF64;
    case kI8:
      return keep ? kLaneI32 : kLaneI8;
    case kU8:
    case kBool:
      return keep ? kLaneI32 : kLaneU8;
    case kI16:
      return keep ? kLaneI32 : kLaneI16;
    case kI32:
      return kLaneI32;
    case kI64:
      return kLaneI64;
    default:
      return kLaneF32;
  }
}

// The bits to turn over so that the greatest lane is the element to select: all of them, if that is
// the least.
Index turned_bits(Select what) { return what == kMin ? -1 : 0; }

// The element that any other beats, turned so.
Index least_lane(Type type, Select what) {
  const Index mask = turned_bits(what);
  switch (type) {
    case kI8:
      return (what == kMax ? -128 : 127) ^ mask;
    case kU8:
    case kBool:
      return (what == kMax ? 0 : type == kU8 ? 255 : 1) ^ mask;
    case kI16:
      return (what == kMax ? -32768 : 32767) ^ mask;
    case kI32:
      return std::numeric_limits<std::int32_t>::min();
    case kI64:
      return std::numeric_limits<Index>::min();
    default:
      return 0;
  }
}

// The axis whose windows are those of the spans, if they stand side by side and are as long as one
// another, as adaptive ones do where the number of outputs divides the length.
std::optional<Axis> regular(const Spans& spans, Index n) {
  const Index outputs = Index(spans.starts.size());
  if (outputs == 0 || n % outputs != 0) return std::nullopt;
  const Index length = n / outputs;
  for (Index o = 0; o < outputs; ++o)
    if (spans.starts[std::size_t(o)] != o * length ||
        spans.stops[std::size_t(o)] != (o + 1) * length)
      return std::nullopt;
  return Axis{length, length, 0, 0, 1, false};
}

}  // namespace

Pool::Pool(std::vector<Axis> window, std::vector<Spans> spans, std::vector<Index> n, Index inner,
           Type type, TapType tap_type, std::optional<Linear> linear)
    : type_(type), tap_type_(tap_type), linear_(std::move(linear)), spans_(std::move(spans)) {
  if (window.empty() || window.size() > kMaxRank || window.size() != n.size() ||
      window.size() != spans_.size() || inner < 1)
    throw std::invalid_argument("pool: one to three axes, a size for each, at least one channel");
  static std::atomic<std::uint64_t> made = 0;
  recipe_ = ++made;
  Geometry& g = geometry_;
  g.rank = int(window.size());
  g.inner = inner;
  for (int l = 0; l < g.rank; ++l) {
    const Spans& irregular = spans_[std::size_t(l)];
    g.axis[l] = window[std::size_t(l)];
    g.n[l] = n[std::size_t(l)];
    if (const std::optional<Axis> axis = regular(irregular, g.n[l])) {
      g.axis[l] = *axis;
    } else if (!irregular.starts.empty()) {
      g.starts[l] = irregular.starts.data(), g.stops[l] = irregular.stops.data();
      g.out[l] = Index(irregular.starts.size());
    }
    if (!g.starts[l]) g.out[l] = host::out(g.axis[l], g.n[l]);
    if (g.n[l] < 1 || g.out[l] < 1) throw std::invalid_argument("pool: the window does not fit");
  }
  out_.assign(g.out, g.out + g.rank);
  if (!linear_ || linear_->weights.empty()) merge_whole_axes();
  Index taps = 1;
  for (int l = 0; l < g.rank; ++l)
    if (__builtin_mul_overflow(taps, g.axis[l].kernel, &taps))
      taps = std::numeric_limits<Index>::max();
  const Index most_of_type[] = {0xff, 0xffff, 0xffffffff};
  if (!linear_) {  // the greatest number of each type stands for "no tap"
    if (taps > most_of_type[tap_type]) throw std::invalid_argument("pool: tap numbers do not fit");
    if (taps <= kMostTapsInTable) tap_position_ = tap_positions();
    return;
  }
  const bool small = kGreatest[type] > 0 && taps <= kExactInFloat / kGreatest[type] &&
                     std::abs(linear_->override.value_or(0)) <= kExactInFloat;
  const bool bytes = (type == kI8 || type == kU8) && taps <= kGreatestI16 / kGreatest[type] &&
                     std::abs(linear_->override.value_or(0)) <= kGreatestI16;
  lane_ = type == kF64 || linear_->map != kPlain ? kLaneF64
          : linear_->wide && integral(type)      ? kLaneI64
          : bytes                                ? kLaneI16
          : !integral(type) || small             ? kLaneF32
                                                 : kLaneI64;
  set_divisors();
  set_weights();
}

// Axes that one window covers whole are one longer axis, with the same taps in the same order.
void Pool::merge_whole_axes() {
  Geometry& g = geometry_;
  const auto whole = [&](int l) {
    const Axis& a = g.axis[l];
    return g.out[l] == 1 && a.kernel == g.n[l] && a.before == 0 && a.after == 0 && !g.starts[l] &&
           (a.dilation == 1 || a.kernel == 1);
  };
  while (g.rank > 1 && whole(g.rank - 1) && whole(g.rank - 2)) {
    const int last = --g.rank;
    g.n[last - 1] *= g.n[last];
    g.axis[last - 1] = {g.n[last - 1], g.n[last - 1], 0, 0, 1, false};
  }
}

void Pool::set_divisors() {
  const Geometry& g = geometry_;
  if (linear_->override) {
    if (*linear_->override != 1) outer_divisor_.assign(std::size_t(g.out[0]), *linear_->override);
    return;
  }
  const auto along = [&](int l) {
    std::vector<Index> counts;
    for (Index o = 0; o < g.out[l]; ++o) {  // an empty window's sum is 0, whatever divides it
      const Index count = g.starts[l]
                              ? g.stops[l][o] - g.starts[l][o]
                              : host::divisor(g.axis[l], g.n[l], o, linear_->count_include_pad);
      counts.push_back(std::max<Index>(1, count));
    }
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
  if (lane_ == kLaneF32) spread(f32_.slice_divisor);
  if (lane_ == kLaneF64) spread(f64_.slice_divisor);
  if (lane_ == kLaneI16) spread(i16_.slice_divisor);
  if (lane_ == kLaneI64) spread(i64_.slice_divisor);
}

void Pool::set_weights() {
  const auto& weights = linear_->weights;
  if (weights.empty()) return;
  if (int(weights.size()) != geometry_.rank || integral(type_))
    throw std::invalid_argument("pool: weights for every axis, of floating elements");
  for (std::size_t l = 0; l < weights.size(); ++l) {
    if (Index(weights[l].size()) != geometry_.axis[l].kernel || geometry_.starts[l])
      throw std::invalid_argument("pool: one weight for every tap of an axis");
    f32_.weight[l].assign(weights[l].begin(), weights[l].end());
    f64_.weight[l] = weights[l];
  }
}

Task Pool::task() const {
  Task task = {};
  task.geometry = geometry_;
  task.recipe = recipe_;
  task.input_bytes = task.output_bytes = kElementBytes[type_];
  if (!tap_position_.empty()) task.tap_position = tap_position_.data();
  if (!outer_divisor_.empty()) task.outer_divisor = outer_divisor_.data();
  const auto point = [&](const auto& lanes) {
    if (!lanes.slice_divisor.empty()) task.slice_divisor = lanes.slice_divisor.data();
    for (std::size_t l = 0; l < kMaxRank; ++l)
      if (!lanes.weight[l].empty()) task.weight[l] = lanes.weight[l].data();
  };
  if (linear_) {
    task.half_even = linear_->half_even;
    task.conversion.p = linear_->p, task.conversion.floor = linear_->floor;
    if (lane_ == kLaneF32) point(f32_);
    if (lane_ == kLaneF64) point(f64_);
    if (lane_ == kLaneI16) point(i16_);
    if (lane_ == kLaneI64) point(i64_);
  }
  return task;
}

std::vector<Index> Pool::tap_positions() const {
  const Geometry& g = geometry_;
  std::vector<Index> positions = {0};
  for (int l = 0; l < g.rank; ++l) {
    const Index pitch = product(g.n, l + 1, g.rank) * g.axis[l].dilation;
    std::vector<Index> next;
    for (const Index position : positions)
      for (Index k = 0; k < g.axis[l].kernel; ++k) next.push_back(position + k * pitch);
    positions.swap(next);
  }
  return positions;
}

Index Pool::inputs(Index outer) const {
  return outer * geometry_.inner * product(geometry_.n, 0, geometry_.rank);
}
Index Pool::outputs(Index outer) const {
  return outer * geometry_.inner * product(geometry_.out, 0, geometry_.rank);
}
Index Pool::bytes(Index outer) const {
  return kElementBytes[type_] * (inputs(outer) + outputs(outer));
}

bool Pool::gathers() const {
  const Geometry& g = geometry_;
  Index readers = 1;
  for (int l = 0; l < g.rank; ++l) {
    const Axis& axis = g.axis[l];
    if (g.starts[l]) return false;
    const Index used = axis.stride / host::gcd(axis.stride, axis.dilation);
    readers *= std::min((axis.kernel + used - 1) / used, g.out[l]);
    if (readers > kMostReadersToGather) return false;
  }
  if (integral(type_)) return false;
  return g.inner == 1 ? g.axis[g.rank - 1].stride <= 2 : g.inner >= kLeastChannelsToGather;
}

// Which rows are converted on their way in and out. Turning no bits over is no work where elements
// are lanes.
void Pool::convert(Task& t, const Kernels& kernels, Lane lane, Map in, Map out) const {
  constexpr Type kElementOf[] = {kF32, kF64, kI8, kU8, kI16, kI32, kI64};
  const Type element = type_ == kBool ? kU8 : type_;
  const bool nothing = kElementOf[lane] == element && in == kTurned && t.conversion.mask == 0;
  if (nothing) return;
  t.read = kernels.read(type_, lane, in);
  t.write = kernels.write(lane, type_, out);
}

// Where windows take every step, what reads an input is a window over the outputs: as wide, and as
// far before it as the other ended behind. Whether that is so, and what it is then.
bool Pool::turn_around(Geometry& g) const {
  for (int l = 0; l < g.rank; ++l)
    if (g.axis[l].stride != 1 || g.starts[l]) return false;
  for (int l = 0; l < g.rank; ++l) {
    g.axis[l].before = host::extent(g.axis[l]) - 1 - g.axis[l].before;
    std::swap(g.n[l], g.out[l]);
  }
  return true;
}

// Output that is fresh is made ready for its first touch; where it is much, it goes past the
// caches.
void Pool::write_to(Task& t, void* output, Index bytes_moved, Index elements) const {
  t.output = output;
  t.streams = beyond_caches(bytes_moved);
  before_writing(output, elements * t.output_bytes);
}

// Half types that only have to be compared are compared as integers, twice as many at once; unless
// there turn out to be some among them whose order that is not.
bool Pool::select_keys(const How& how, Select what, Index outer, const void* in, void* out) const {
  if (type_ != kBF16 && type_ != kF16) return false;
  bool odd = false;
  Task t = task();
  t.input = in;
  write_to(t, out, bytes(outer), outputs(outer));
  t.conversion.mask = what == kMin ? -1 : 0;
  t.conversion.odd = &odd;
  t.read = how.kernels.read(type_, kLaneI16, kKey);
  t.write = how.kernels.write(kLaneI16, type_, kKey);
  // What an empty window holds: the key of the infinity that every other element beats.
  t.identity = -1 - (type_ == kBF16 ? 0x7f80 : 0x7c00);
  run(how.kernels.select[kMax][kLaneI16], t, outer * geometry_.out[0], bytes(outer), how.threads);
  return !odd;
}

void Pool::select(const How& how, Select what, Index outer, const void* in, void* out,
                  void* taps) const {
  if (!taps && select_keys(how, what, outer, in, out)) return;
  Task t = task();
  t.input = in, t.taps_out = taps;
  write_to(t, out, bytes(outer), outputs(outer));
  const Lane lane = select_lane(type_, taps != nullptr);
  if (integral(type_)) {
    t.conversion.mask = turned_bits(what);
    t.identity = least_lane(type_, what);
    what = kMax;
    convert(t, how.kernels, lane, kTurned, kTurned);
  } else {
    convert(t, how.kernels, lane, kPlain, kPlain);
  }
  const Kernel kernel =
      taps ? how.kernels.select_keep[what][lane][tap_type_] : how.kernels.select[what][lane];
  if (!kernel) throw std::invalid_argument("pool: integers take tap numbers of four bytes");
  if (taps) before_writing(taps, outputs(outer) << tap_type_);
  run(kernel, t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::select_backward(const How& how, Index outer, const void* grad, const void* taps,
                           void* to) const {
  Task t = task();
  t.input = grad, t.taps_in = taps;
  write_to(t, to, bytes(outer), inputs(outer));
  const Lane lane = type_ == kF64 ? kLaneF64 : integral(type_) ? kLaneI64 : kLaneF32;
  convert(t, how.kernels, lane, kPlain, kPlain);
  const bool gather = gathers();
  const Kernel kernel = (gather ? how.kernels.gather : how.kernels.scatter)[lane][tap_type_];
  if (!kernel) throw std::invalid_argument("pool: integers take tap numbers of four bytes");
  run(kernel, t, gather ? outer * geometry_.n[0] : outer, bytes(outer), how.threads);
}

void Pool::pick(const How& how, Index outer, const void* in, const void* taps, void* out) const {
  Task t = task();
  t.input = in, t.taps_in = taps;
  write_to(t, out, bytes(outer), outputs(outer));
  const Index size = kElementBytes[type_];
  const int log2 = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  run(how.kernels.pick[log2][tap_type_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::indices(const How& how, Index outer, const void* taps, void* out) const {
  Task t = task();
  t.taps_in = taps, t.output_bytes = kElementBytes[kI64];
  write_to(t, out, outputs(outer) * t.output_bytes, outputs(outer));
  run(how.kernels.indices[tap_type_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::linear(const How& how, Index outer, const void* in, void* out) const {
  Task t = task();
  t.input = in;
  const Map map = linear_->map;
  const bool rounded = integral(type_) && linear_->half_even && lane_ == kLaneF32;
  convert(t, how.kernels, lane_, map,
          rounded                                             ? kHalfEven
          : map == kSquare || map == kPower || map == kRaised ? kRoot
                                                              : kPlain);
  if (linear_->wide && integral(type_)) t.write = nullptr, t.output_bytes = kElementBytes[kI64];
  write_to(t, out, bytes(outer), outputs(outer));
  const Kernel* kernels = linear_->weights.empty() ? how.kernels.mean : how.kernels.weighted;
  run(kernels[lane_], t, outer * geometry_.out[0], bytes(outer), how.threads);
}

void Pool::linear_backward(const How& how, Index outer, const void* grad, void* to) const {
  Task t = task();
  t.input = grad, t.divides_sources = true;
  write_to(t, to, bytes(outer), inputs(outer));
  convert(t, how.kernels, lane_, kPlain, kPlain);
  const bool weighted = !linear_->weights.empty();
  const Kernel* kernels = weighted ? how.kernels.weighted_backward : how.kernels.mean_backward;
  if (!weighted && turn_around(t.geometry)) kernels = how.kernels.mean;
  run(kernels[lane_], t, outer * geometry_.n[0], bytes(outer), how.threads);
}

void Pool::smooth(const How& how, Kernel kernel, Index outer, const Smooth& s) const {
  Task t = task();
  t.input = s.x, t.pooled = s.y, t.given = s.given, t.output = s.to;
  t.conversion.p = s.sharpness;
  t.read = how.kernels.read(type_, kLaneF64, kScaled);
  t.read_plain = how.kernels.read(type_, kLaneF64, kPlain);
  t.write = how.kernels.write(kLaneF64, type_, kPlain);
  if (!t.read) throw std::invalid_argument("pool: logsumexp is of floating elements");
  run(kernel, t, outer, bytes(outer), how.threads);
}

void Pool::log_sum_exp(const How& how, Index outer, const Smooth& s) const {
  smooth(how, how.kernels.log_sum_exp, outer, s);
}
void Pool::log_sum_exp_backward(const How& how, Index outer, const Smooth& s) const {
  smooth(how, how.kernels.log_sum_exp_backward, outer, s);
}
void Pool::log_sum_exp_shares(const How& how, Index outer, const Smooth& s) const {
  smooth(how, how.kernels.log_sum_exp_shares, outer, s);
}

}  // namespace cenote
