#include "norm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "parallel.h"

namespace cenote {
namespace {

constexpr std::uintptr_t kLine = 64;  // bytes

template <class N>
Index bytes_of(const N& n) {
  return n.rows * n.channels * Index(sizeof(float));
}
template <class N>
Index threads_for(const N& n, const How& how) {
  return std::min(threads_for_bytes(bytes_of(n), how.threads), n.rows);
}

template <class N>
void check(const N& n) {
  if (n.rows < 1 || n.channels < 1) throw std::invalid_argument("norm: nothing to compute");
}

// Results go past the caches where they do not fit and all their rows start where lines do.
bool streams(const Norm& n, const void* first, const void* second) {
  const auto starts = [](const void* at) {
    return reinterpret_cast<std::uintptr_t>(at) % kLine == 0;
  };
  return beyond_caches(bytes_of(n)) && n.channels * sizeof(float) % kLine == 0 && starts(first) &&
         starts(second);
}

std::vector<float> gains(const Norm& n) {
  std::vector<float> gain(std::size_t(n.channels));
  for (Index c = 0; c < n.channels; ++c) gain[std::size_t(c)] = n.gamma[c] * n.scale[c];
  return gain;
}

// Calls sum(begin, end, first, second, scratch) for parts of the rows, a part a thread; each gets
// memory for two numbers a channel.
template <class Body>
std::vector<double> in_parts(const Norm& n, const How& how, Index parts, const Body& sum) {
  const Index each = 2 * n.channels;
  std::vector<double> found(std::size_t(parts * each));
  share(parts, parts, how.kernels.norms->scratch(n.channels),
        [&](Index begin, Index end, char* scratch) {
          for (Index part = begin; part < end; ++part) {
            double* to = found.data() + part * each;
            sum(n.rows * part / parts, n.rows * (part + 1) / parts, to, to + n.channels, scratch);
          }
        });
  return found;
}

}  // namespace

void norm(const How& how, Norm n, double eps, double momentum, float* running_mean,
          float* running_var, float* y) {
  check(n);
  const Norms& kernels = *how.kernels.norms;
  const Index parts = threads_for(n, how), channels = n.channels;
  std::vector<double> all = in_parts(
      n, how, parts, [&](Index begin, Index end, double* mean, double* squares, char* scratch) {
        kernels.moments(n, begin, end, mean, squares, scratch);
      });
  double* mean = all.data();
  double* squares = mean + channels;
  for (Index part = 1; part < parts; ++part) {
    const double* more = all.data() + part * 2 * channels;
    const double before = double(n.rows * part / parts);
    const double here = double(n.rows * (part + 1) / parts) - before;
    const double share = here / (before + here);
    for (Index c = 0; c < channels; ++c) {
      const double off = more[c] - mean[c];
      mean[c] += off * share;
      squares[c] += more[channels + c] + off * off * before * share;
    }
  }
  const double rows = double(n.rows);
  for (Index c = 0; c < channels; ++c) {
    if (squares[c] < 0) squares[c] = 0;  // by rounding, where all elements are the same
    n.mean[c] = float(mean[c]);
    n.scale[c] = float(1 / std::sqrt(squares[c] / rows + eps));
    if (running_mean)
      running_mean[c] = float(momentum * mean[c] + (1 - momentum) * double(running_mean[c]));
    if (running_var)
      running_var[c] =
          float(momentum * squares[c] / (rows - 1) + (1 - momentum) * double(running_var[c]));
  }
  norm_again(how, n, y);
}

void norm_again(const How& how, Norm n, float* y) {
  check(n);
  n.streams = streams(n, y, y);
  const std::vector<float> gain = gains(n);
  before_writing(y, bytes_of(n));
  share(n.rows, threads_for(n, how), 0, [&](Index begin, Index end, char*) {
    how.kernels.norms->apply(n, gain.data(), y, begin, end);
  });
}

void norm_parts(const How& how, const NormParts& n, double eps) {
  check(n);
  std::vector<float> gain;
  for (Index c = 0; c < n.channels; ++c)
    gain.push_back(float(double(n.gamma[c]) / std::sqrt(double(n.var[c]) + eps)));
  before_writing(n.y, bytes_of(n));
  share(n.rows, threads_for(n, how), 0, [&](Index begin, Index end, char*) {
    how.kernels.norms->apply_parts(n, gain.data(), begin, end);
  });
}

void norm_back(const How& how, NormBack b) {
  Norm& n = b.what;
  check(n);
  n.streams = streams(n, b.to_x, b.to_other);
  const Norms& kernels = *how.kernels.norms;
  const std::vector<float> gain = gains(n);
  const Index parts = threads_for(n, how), channels = n.channels;
  if (b.to_other) before_writing(b.to_other, bytes_of(n));
  const std::vector<double> all = in_parts(
      n, how, parts, [&](Index begin, Index end, double* plain, double* by_x, char* scratch) {
        kernels.sums(b, gain.data(), begin, end, plain, by_x, scratch);
      });
  std::vector<float> shift(gain.size()), slope(gain.size());
  const double rows = double(n.rows);
  for (Index c = 0; c < channels; ++c) {
    double plain = 0, by_x = 0;
    for (Index part = 0; part < parts; ++part) {
      plain += all[std::size_t(part * 2 * channels + c)];
      by_x += all[std::size_t((part * 2 + 1) * channels + c)];
    }
    const double scale = double(n.scale[c]), by = double(n.gamma[c]) * scale;
    shift[std::size_t(c)] = float(by * plain / rows);
    slope[std::size_t(c)] = float(by * scale * scale * by_x / rows);
    if (b.to_beta) b.to_beta[c] = float(plain);
    if (b.to_gamma) b.to_gamma[c] = float(by_x * scale);
  }
  if (!b.to_x) return;
  before_writing(b.to_x, bytes_of(n));
  share(n.rows, threads_for(n, how), 0, [&](Index begin, Index end, char*) {
    kernels.back(b, gain.data(), shift.data(), slope.data(), begin, end);
  });
}

}  // namespace cenote
