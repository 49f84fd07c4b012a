// Every kernel of every target that this processor runs, on random shapes, against loops that are
// written from the definition alone. Needs no Python: this is how other processors are tested.
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
  std::vector<Index> n, out;
  Index outer, inner;
  Index volume(const std::vector<Index>& sizes) const {
    Index all = outer * inner;
    for (const Index size : sizes) all *= size;
    return all;
  }
};

Shape random_shape() {
  Shape s;
  s.outer = pick(1, 3);
  const Index channels[] = {1, 1, 2, 3, 8, 17, 33};
  s.inner = channels[pick(0, 6)];
  const Index rank = pick(1, 3);
  for (Index l = 0; l < rank; ++l) {
    Axis a = {pick(1, 4), pick(1, 4), 0, 0, pick(1, 3), pick(0, 1) == 1};
    const Index extent = (a.kernel - 1) * a.dilation + 1;
    a.before = pick(0, extent - 1), a.after = pick(0, extent - 1);
    s.window.push_back(a);
    s.n.push_back(pick(1, rank == 1 ? 150 : rank == 2 ? 40 : 11));
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
          const Axis& a = s.window[l];
          const Index i = o[l] * a.stride - a.before + k[l] * a.dilation;
          inside = inside && i >= 0 && i < s.n[l];
          from = from * s.n[l] + i;
        }
        if (inside) visit(plane, position, tap, from);
        ++tap;
      } while (next(k, [&](std::size_t l) { return s.window[l].kernel; }));
      ++position;
    } while (next(o, [&](std::size_t l) { return s.out[l]; }));
  }
}

template <class T>
std::vector<T> values(Index count) {
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) {
    const Index kind = pick(0, 40);
    x = kind == 0   ? std::numeric_limits<T>::quiet_NaN()
        : kind == 1 ? -std::numeric_limits<T>::infinity()
        : kind == 2 ? -T(0)
                    : T(pick(-6, 6)) / 2;
  }
  return v;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(a[i] != a[i] && b[i] != b[i])) return false;
  return true;
}

template <class T>
bool close(const std::vector<T>& a, const std::vector<T>& b) {
  const T bound = 64 * std::numeric_limits<T>::epsilon();  // a sum of at most 64 terms below 4
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= 4 * bound)) return false;
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

template <class T>
void check_select(const How& how, Type type, const Shape& s, const Pool& pool) {
  const std::vector<T> x = values<T>(s.volume(s.n));
  const std::size_t outputs = std::size_t(s.volume(s.out)), inputs = x.size();
  const std::size_t plane_in = inputs / std::size_t(s.outer),
                    plane_out = outputs / std::size_t(s.outer);
  std::vector<T> best(outputs, -std::numeric_limits<T>::infinity());
  std::vector<Index> where(outputs, -1), index(outputs), from_of(outputs, -1);
  definition(s, [&](Index plane, Index o, Index, Index i) {
    for (Index c = 0; c < s.inner; ++c) {
      const std::size_t at = std::size_t(plane) * plane_out + std::size_t(o * s.inner + c);
      const std::size_t from = std::size_t(plane) * plane_in + std::size_t(i * s.inner + c);
      if (where[at] < 0 || x[from] > best[at] || x[from] != x[from]) {
        best[at] = x[from], where[at] = i, from_of[at] = Index(from);
      }
    }
  });
  std::vector<T> out(outputs), plain(outputs), grad = values<T>(Index(outputs)), back(inputs);
  for (T& g : grad)
    if (!(std::abs(g) < 100)) g = 1;
  std::vector<unsigned char> taps(outputs);
  pool.select(how, kMax, s.outer, x.data(), out.data(), taps.data());
  pool.select(how, kMax, s.outer, x.data(), plain.data(), nullptr);
  pool.indices(how, s.outer, taps.data(), index.data());
  pool.select_backward(how, s.outer, grad.data(), taps.data(), back.data());
  expect(same(out, best) && same(plain, best), "max", how, s);
  expect(index == where, "indices", how, s);
  std::vector<T> spread(inputs, T(0)), picked(outputs), expected(outputs, T(0));
  for (std::size_t o = 0; o < outputs; ++o)
    if (from_of[o] >= 0)
      spread[std::size_t(from_of[o])] += grad[o], expected[o] = x[std::size_t(from_of[o])];
  expect(same(back, spread), "backward of max", how, s);
  pool.pick(how, s.outer, x.data(), taps.data(), picked.data());
  expect(same(picked, expected), "pick", how, s);

  // Both ways of the backward pass, whichever the shape would have chosen.
  Task task = pool.task();
  task.input = grad.data(), task.taps_in = taps.data();
  for (const bool gather : {true, false}) {
    std::vector<T> to(inputs, T(-1));
    task.output = to.data();
    const Kernel kernel = (gather ? how.kernels.gather : how.kernels.scatter)[type][kTap8];
    run(kernel, task, gather ? s.outer * s.n[0] : s.outer, 1, 1);
    expect(same(to, spread), gather ? "gather" : "scatter", how, s);
  }
}

template <class T>
void check_mean(const How& how, Type type, const Shape& s) {
  const Pool::Mean mean = {pick(0, 1) == 1,
                           pick(0, 3) == 0 ? std::optional<Index>(5) : std::nullopt};
  const Pool pool(s.window, s.n, s.inner, type, mean);
  std::vector<T> x = values<T>(s.volume(s.n)), grad = values<T>(s.volume(s.out));
  for (auto* v : {&x, &grad})
    for (T& value : *v)
      if (!(std::abs(value) < 100)) value = 1;
  std::vector<T> out(grad.size()), back(x.size()), expected(out.size()), spread(back.size());
  const std::size_t plane_in = x.size() / std::size_t(s.outer),
                    plane_out = out.size() / std::size_t(s.outer);
  const auto divisor_of = [&](Index o) {
    if (mean.override) return T(*mean.override);
    Index all = 1;
    for (std::size_t l = s.n.size(); l-- > 0; o /= s.out[l]) {
      const Axis& a = s.window[l];
      Index count = 0;
      for (Index k = 0; k < a.kernel; ++k) {
        const Index i = o % s.out[l] * a.stride - a.before + k * a.dilation;
        count += mean.count_include_pad ? i < s.n[l] + a.after : i >= 0 && i < s.n[l];
      }
      all *= count < 1 ? 1 : count;
    }
    return T(all);
  };
  definition(s, [&](Index plane, Index o, Index, Index i) {
    for (Index c = 0; c < s.inner; ++c) {
      const std::size_t at = std::size_t(plane) * plane_out + std::size_t(o * s.inner + c);
      const std::size_t from = std::size_t(plane) * plane_in + std::size_t(i * s.inner + c);
      expected[at] += x[from] / divisor_of(o);
      spread[from] += grad[at] / divisor_of(o);
    }
  });
  pool.mean(how, s.outer, x.data(), out.data());
  pool.mean_backward(how, s.outer, grad.data(), back.data());
  expect(close(out, expected), "mean", how, s);
  expect(close(back, spread), "backward of mean", how, s);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 400;
  int shapes = 0;
  while (shapes < rounds) {
    Shape s = random_shape();
    try {
      for (const Type type : {kF32, kF64}) {
        const Pool pool(s.window, s.n, s.inner, type, std::nullopt);
        s.out = pool.out();
        for (const std::string& name : usable_targets()) {
          const How how = {target(name), int(pick(1, 3))};
          if (type == kF32) {
            check_select<float>(how, type, s, pool);
            check_mean<float>(how, type, s);
          } else {
            check_select<double>(how, type, s, pool);
            check_mean<double>(how, type, s);
          }
        }
      }
    } catch (const std::invalid_argument&) {
      continue;  // the window does not fit
    }
    ++shapes;
  }
  std::printf("targets:");
  for (const std::string& name : usable_targets()) std::printf(" %s", name.c_str());
  std::printf("; %d shapes, %d failures\n", shapes, failures);
  return failures != 0;
}
