// The kernels of every target that this processor runs, on random shapes and all types of elements,
// against loops that are written from the definition alone. Needs no Python: this is how other
// processors are tested.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "../../native/dispatch.h"
#include "../../native/parallel.h"
#include "../../native/pool.h"

namespace {

using namespace cenote;

std::mt19937 draw(1);
Index pick(Index low, Index high) { return std::uniform_int_distribution<Index>(low, high)(draw); }

struct Shape {
  std::vector<Axis> window;
  std::vector<Spans> spans;  // where windows stand anywhere; empty for a regular axis
  std::vector<Index> n, out;
  Index outer, inner;
  Index volume(const std::vector<Index>& sizes) const {
    Index all = outer * inner;
    for (const Index size : sizes) all *= size;
    return all;
  }
  Index origin(std::size_t l, Index o) const {
    return spans[l].starts.empty() ? o * window[l].stride - window[l].before
                                   : spans[l].starts[std::size_t(o)];
  }
  bool reads(std::size_t l, Index o, Index k) const {
    const Index i = origin(l, o) + k * window[l].dilation;
    return i >= 0 && i < (spans[l].stops.empty() ? n[l] : spans[l].stops[std::size_t(o)]);
  }
};

Shape random_shape() {
  Shape s;
  s.outer = pick(1, 3);
  const Index channels[] = {1, 1, 2, 3, 8, 17, 33};
  s.inner = channels[pick(0, 6)];
  const Index rank = pick(1, 3);
  for (Index l = 0; l < rank; ++l) {
    const Index widest = pick(0, 3) == 0 ? 12 : 4;  // now and then wider than its row
    Axis a = {pick(1, widest), pick(1, 4), 0, 0, pick(1, 3), pick(0, 1) == 1};
    const Index extent = (a.kernel - 1) * a.dilation + 1;
    a.before = pick(0, extent - 1), a.after = pick(0, extent - 1);
    const Index n = pick(1, rank == 1 ? 150 : rank == 2 ? 40 : 11);
    Spans spans;
    const Index kind = pick(0, 5);
    if (kind == 0) {  // outputs that share the input
      const Index outputs = pick(1, n + 2);
      a = {1, 1, 0, 0, 1, false};
      for (Index o = 0; o < outputs; ++o) {
        spans.starts.push_back(o * n / outputs);
        spans.stops.push_back(((o + 1) * n + outputs - 1) / outputs);
        a.kernel = std::max(a.kernel, spans.stops.back() - spans.starts.back());
      }
    } else if (kind == 1) {  // one window over everything
      a = {n, n, 0, 0, 1, false};
    }
    s.window.push_back(a), s.n.push_back(n), s.spans.push_back(spans);
  }
  return s;
}

// Visits every (output, tap, input) of the definition: i = o*stride - before + k*dilation.
template <class Visit>
void definition(const Shape& s, Visit visit) {
  const std::size_t rank = s.n.size();
  std::vector<Index> o(rank), k(rank);
  const auto next = [&](std::vector<Index>& at, auto limit) {
    for (std::size_t l = rank; l-- > 0;) {
      if (++at[l] < limit(l)) return true;
      at[l] = 0;
    }
    return false;
  };
  for (Index plane = 0; plane < s.outer; ++plane) {
    Index position = 0;
    do {
      Index tap = 0;
      do {
        Index from = 0;
        bool inside = true;
        for (std::size_t l = 0; l < rank; ++l) {
          inside = inside && s.reads(l, o[l], k[l]);
          from = from * s.n[l] + s.origin(l, o[l]) + k[l] * s.window[l].dilation;
        }
        if (inside) visit(plane, position, tap, from);
        ++tap;
      } while (next(k, [&](std::size_t l) { return s.window[l].kernel; }));
      ++position;
    } while (next(o, [&](std::size_t l) { return s.out[l]; }));
  }
}

// Elements of every type, and the numbers that they stand for.
template <Type type>
struct Element;
template <class T>
struct Plain {
  using Stored = T;
  static T encode(double x) { return T(x); }
  static double decode(T x) { return double(x); }
};
template <>
struct Element<kF32> : Plain<float> {};
template <>
struct Element<kF64> : Plain<double> {};
template <>
struct Element<kI8> : Plain<std::int8_t> {};
template <>
struct Element<kU8> : Plain<std::uint8_t> {};
template <>
struct Element<kBool> : Plain<std::uint8_t> {};
template <>
struct Element<kI16> : Plain<std::int16_t> {};
template <>
struct Element<kI32> : Plain<std::int32_t> {};
template <>
struct Element<kI64> : Plain<Index> {};
// Halves by their definition: a sign, an exponent and a fraction.
template <int exponent_bits, int fraction_bits>
struct Half {
  using Stored = std::uint16_t;
  static constexpr int kBias = (1 << (exponent_bits - 1)) - 1;
  static double decode(Stored bits) {
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const double sign = bits >> 15 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
      return fraction ? std::numeric_limits<double>::quiet_NaN()
                      : sign * std::numeric_limits<double>::infinity();
    const double size = exponent ? fraction + (1 << fraction_bits) : fraction;
    return sign * std::ldexp(size, std::max(exponent, 1) - kBias - fraction_bits);
  }
  static Stored encode(double x) {  // the nearest, by trying all; of two as near the even one
    if (x != x) return Stored(((1 << (exponent_bits + 1)) - 1) << (fraction_bits - 1));
    Stored best = 0;
    for (int bits = 0; bits < 1 << 16; ++bits) {
      const double y = decode(Stored(bits));
      if (y == x && std::signbit(y) == std::signbit(x)) return Stored(bits);
      const double far = std::abs(y - x), least = std::abs(decode(best) - x);
      if (far < least || (far == least && bits % 2 == 0)) best = Stored(bits);
    }
    return best;
  }
};
template <>
struct Element<kBF16> : Half<8, 7> {};
template <>
struct Element<kF16> : Half<5, 10> {};

constexpr bool floats(Type type) { return type <= kF16; }

// Small numbers, which sums keep exactly; with `odd` what is no number as well.
template <Type type>
std::vector<double> numbers(Index count, bool odd) {
  std::vector<double> v(static_cast<std::size_t>(count));
  for (double& x : v) {
    const Index kind = floats(type) && odd ? pick(0, 40) : 9;
    x = kind == 0       ? std::numeric_limits<double>::quiet_NaN()
        : kind == 1     ? -std::numeric_limits<double>::infinity()
        : kind == 2     ? -0.0
        : floats(type)  ? double(pick(-6, 6)) / 2
        : type == kBool ? double(pick(0, 1))
        : type == kU8   ? double(pick(0, 200))
                        : double(pick(-100, 100));
  }
  return v;
}
template <Type type>
auto encoded(const std::vector<double>& v) {
  static std::vector<std::pair<double, typename Element<type>::Stored>> known;
  std::vector<typename Element<type>::Stored> to;
  for (const double x : v) {  // halves take long to find
    const auto alike = [&](const auto& pair) { return std::memcmp(&pair.first, &x, 8) == 0; };
    const auto found = std::find_if(known.begin(), known.end(), alike);
    if (found == known.end()) {
      known.emplace_back(x, Element<type>::encode(x));
      to.push_back(known.back().second);
    } else {
      to.push_back(found->second);
    }
  }
  return to;
}
template <Type type, class Stored>
std::vector<double> decoded(const std::vector<Stored>& v) {
  std::vector<double> to;
  for (const Stored x : v) to.push_back(Element<type>::decode(x));
  return to;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(a[i] != a[i] && b[i] != b[i])) return false;
  return true;
}

// Within `bound` of sizes of at most 4 times 64 terms.
bool close(const std::vector<double>& a, const std::vector<double>& b, double bound) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= bound)) return false;
  return true;
}

int failures = 0;
void expect(bool held, const char* what, const How& how, const Shape& s) {
  if (held) return;
  ++failures;
  std::printf("FAILED %s on %s: outer %lld inner %lld", what, how.kernels.name,
              static_cast<long long>(s.outer), static_cast<long long>(s.inner));
  for (std::size_t l = 0; l < s.n.size(); ++l) {
    const Axis& a = s.window[l];
    std::printf("  n %lld: kernel %lld stride %lld padding %lld+%lld dilation %lld ceil %d",
                static_cast<long long>(s.n[l]), static_cast<long long>(a.kernel),
                static_cast<long long>(a.stride), static_cast<long long>(a.before),
                static_cast<long long>(a.after), static_cast<long long>(a.dilation), a.ceil);
  }
  std::printf("\n");
}

// The least or greatest number of a type: what the other of them is over nothing.
template <Type type>
double edge(Select what) {
  const double sign = what == kMax ? -1 : 1;
  switch (type) {
    case kI8:
      return what == kMax ? -128 : 127;
    case kU8:
      return what == kMax ? 0 : 255;
    case kBool:
      return what == kMax ? 0 : 1;
    case kI16:
      return what == kMax ? -32768 : 32767;
    case kI32:
      return what == kMax ? -2147483648.0 : 2147483647.0;
    case kI64:
      return sign * 9223372036854775808.0;
    default:
      return sign * std::numeric_limits<double>::infinity();
  }
}

template <Type type>
void check_select(const How& how, Select what, const Shape& s) {
  using Stored = typename Element<type>::Stored;
  const Pool pool(s.window, s.spans, s.n, s.inner, type, floats(type) ? kTap8 : kTap32,
                  std::nullopt);
  const std::vector<double> x = numbers<type>(s.volume(s.n), true);
  const std::size_t outputs = std::size_t(s.volume(s.out)), inputs = x.size();
  const std::size_t plane_in = inputs / std::size_t(s.outer),
                    plane_out = outputs / std::size_t(s.outer);
  std::vector<double> best(outputs, edge<type>(what));
  std::vector<Index> where(outputs, -1), index(outputs), from_of(outputs, -1);
  definition(s, [&](Index plane, Index o, Index, Index i) {
    for (Index c = 0; c < s.inner; ++c) {
      const std::size_t at = std::size_t(plane) * plane_out + std::size_t(o * s.inner + c);
      const std::size_t from = std::size_t(plane) * plane_in + std::size_t(i * s.inner + c);
      const bool beats = what == kMax ? x[from] > best[at] : x[from] < best[at];
      if (where[at] < 0 || beats || x[from] != x[from])
        best[at] = x[from], where[at] = i, from_of[at] = Index(from);
    }
  });
  const std::vector<Stored> in = encoded<type>(x);
  std::vector<Stored> out(outputs), plain(outputs), picked(outputs);
  std::vector<std::uint32_t> taps(outputs);  // of one byte or four each
  pool.select(how, what, s.outer, in.data(), out.data(), taps.data());
  pool.select(how, what, s.outer, in.data(), plain.data(), nullptr);
  pool.indices(how, s.outer, taps.data(), index.data());
  const char* name = what == kMax ? "max" : "min";
  expect(same(decoded<type>(out), best) && same(decoded<type>(plain), best), name, how, s);
  expect(index == where, "indices", how, s);
  std::vector<double> expected(outputs, 0);
  for (std::size_t o = 0; o < outputs; ++o)
    if (from_of[o] >= 0) expected[o] = x[std::size_t(from_of[o])];
  pool.pick(how, s.outer, in.data(), taps.data(), picked.data());
  expect(same(decoded<type>(picked), expected), "pick", how, s);
  if constexpr (floats(type)) {
    const std::vector<double> grad = numbers<type>(Index(outputs), false);
    std::vector<double> spread(inputs, 0);
    for (std::size_t o = 0; o < outputs; ++o)
      if (from_of[o] >= 0) spread[std::size_t(from_of[o])] += grad[o];
    const std::vector<Stored> given = encoded<type>(grad);
    std::vector<Stored> back(inputs);
    pool.select_backward(how, s.outer, given.data(), taps.data(), back.data());
    expect(same(decoded<type>(back), spread), "backward", how, s);
    if constexpr (type == kF32 || type == kF64) {
      // Both ways of the backward pass, whichever the shape would have chosen.
      bool regular = true;
      for (const Spans& spans : s.spans) regular = regular && spans.starts.empty();
      Task task = pool.task();
      task.input = given.data(), task.taps_in = taps.data();
      const Lane lane = type == kF32 ? kLaneF32 : kLaneF64;
      for (const bool gather : {true, false}) {
        if (gather && !regular) continue;
        std::vector<Stored> to(inputs, Stored(-1));
        task.output = to.data();
        const Kernel kernel = (gather ? how.kernels.gather : how.kernels.scatter)[lane][kTap8];
        run(kernel, task, gather ? s.outer * task.geometry.n[0] : s.outer, 1, 1);
        expect(same(decoded<type>(to), spread), gather ? "gather" : "scatter", how, s);
      }
    }
  }
}

template <Type type>
void check_linear(const How& how, const Shape& s) {
  using Stored = typename Element<type>::Stored;
  Pool::Linear linear;
  linear.count_include_pad = pick(0, 1) == 1;
  if (pick(0, 3) == 0) linear.override = 5;
  bool regular = true;
  for (const Spans& spans : s.spans) regular = regular && spans.starts.empty();
  if (regular && floats(type) && pick(0, 2) == 0) {
    linear.override = 1;
    for (const Axis& a : s.window) {
      linear.weights.emplace_back();
      for (Index k = 0; k < a.kernel; ++k) linear.weights.back().push_back(double(pick(0, 2)));
    }
  }
  const Pool pool(s.window, s.spans, s.n, s.inner, type, kTap8, linear);
  const std::vector<double> x = numbers<type>(s.volume(s.n), false);
  const std::vector<double> grad = numbers<type>(s.volume(s.out), false);
  std::vector<double> sum(grad.size()), by(grad.size()), spread(x.size());
  const std::size_t plane_in = x.size() / std::size_t(s.outer),
                    plane_out = grad.size() / std::size_t(s.outer);
  const auto divisor_of = [&](Index o) {
    if (linear.override) return *linear.override;
    Index all = 1;
    for (std::size_t l = s.n.size(); l-- > 0; o /= s.out[l]) {
      const Axis& a = s.window[l];
      Index count = 0;
      for (Index k = 0; k < a.kernel; ++k) {
        const bool padded = s.spans[l].starts.empty() && linear.count_include_pad;
        const Index i = s.origin(l, o % s.out[l]) + k * a.dilation;
        count += padded ? i < s.n[l] + a.after : s.reads(l, o % s.out[l], k);
      }
      all *= count < 1 ? 1 : count;
    }
    return all;
  };
  definition(s, [&](Index plane, Index o, Index tap, Index i) {
    double weight = 1;
    for (std::size_t l = s.n.size(); l-- > 0 && !linear.weights.empty();) {
      weight *= linear.weights[l][std::size_t(tap % s.window[l].kernel)];
      tap /= s.window[l].kernel;
    }
    for (Index c = 0; c < s.inner; ++c) {
      const std::size_t at = std::size_t(plane) * plane_out + std::size_t(o * s.inner + c);
      const std::size_t from = std::size_t(plane) * plane_in + std::size_t(i * s.inner + c);
      sum[at] += weight * x[from], by[at] = double(divisor_of(o));
      spread[from] += weight * grad[at] / double(divisor_of(o));
    }
  });
  for (std::size_t o = 0; o < sum.size(); ++o)
    if (by[o] != 0) sum[o] = floats(type) ? sum[o] / by[o] : std::trunc(sum[o] / by[o]);
  const std::vector<Stored> in = encoded<type>(x), given = encoded<type>(grad);
  std::vector<Stored> out(grad.size()), back(x.size());
  pool.linear(how, s.outer, in.data(), out.data());
  if constexpr (floats(type)) {
    // A unit in the last place of 4096, the most that weighted taps can come to here.
    const double bound = 4096 * (type == kF64   ? 0x1p-52
                                 : type == kF32 ? 0x1p-23
                                 : type == kF16 ? 0x1p-10
                                                : 0x1p-7);
    pool.linear_backward(how, s.outer, given.data(), back.data());
    expect(close(decoded<type>(out), sum, bound), "sum", how, s);
    expect(close(decoded<type>(back), spread, bound), "backward of sum", how, s);
  } else {
    for (double& y : sum) y = Element<type>::decode(Stored(Index(y)));  // what is too large wraps
    expect(same(decoded<type>(out), sum), "sum", how, s);
  }
}

template <Type type>
void check(const How& how, const Shape& s) {
  for (const Select what : {kMax, kMin}) check_select<type>(how, what, s);
  if constexpr (type != kBool) check_linear<type>(how, s);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 400;
  int shapes = 0;
  while (shapes < rounds) {
    Shape s = random_shape();
    Index taps = 1;
    for (const Axis& a : s.window) taps *= a.kernel;
    if (taps > 255) continue;  // tap numbers are bytes here
    try {
      s.out = Pool(s.window, s.spans, s.n, s.inner, kF32, kTap8, std::nullopt).out();
    } catch (const std::invalid_argument&) {
      continue;  // the window does not fit
    }
    for (const std::string& name : usable_targets()) {
      const How how = {target(name), int(pick(1, 3))};
      check<kF32>(how, s), check<kF64>(how, s), check<kBF16>(how, s), check<kF16>(how, s);
      check<kI8>(how, s), check<kU8>(how, s), check<kI16>(how, s), check<kI32>(how, s);
      check<kI64>(how, s), check<kBool>(how, s);
    }
    ++shapes;
  }
  std::printf("targets:");
  for (const std::string& name : usable_targets()) std::printf(" %s", name.c_str());
  std::printf("; %d shapes, %d failures\n", shapes, failures);
  return failures != 0;
}
