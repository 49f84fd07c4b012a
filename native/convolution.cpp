#include "convolution.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "parallel.h"

namespace cenote {
namespace {

// A thread has to do so much for its start to be worth it: some ten microseconds.
constexpr Index kMacsPerThread = 500'000;

Index macs(const Convolution& c) {
  return c.batch * c.down.out * c.across.out / (c.down.spread * c.across.spread) * c.weights();
}

const Convolving& convolving(const How& how, Type type) {
  if (type != kF32 && type != kF64) throw std::invalid_argument("convolve: float or double");
  return how.kernels.convolving[type == kF64];
}

void check(const Convolution& c) {
  for (const Slide& s : {c.down, c.across})
    if (s.n < 1 || s.out < 1 || s.kernel < 1 || s.stride < 1 || s.dilation < 1 || s.spread < 1 ||
        (s.spread > 1 && s.stride > 1))
      throw std::invalid_argument("convolve: no such axis");
  if (c.groups < 1 || c.in < 1 || c.out < 1) throw std::invalid_argument("convolve: no channels");
}

using Compute = Index (*)(const ConvolutionTask&, Index begin, Index end, char* scratch);

void run_convolution(Compute compute, const ConvolutionTask& task, Index units, int threads) {
  struct Both {
    Compute compute;
    const ConvolutionTask& task;
  } both = {compute, task};
  const Index wanted = std::min<Index>(threads, macs(task.what) / kMacsPerThread + 1);
  share_out(
      [](const void* context, Index begin, Index end, char* scratch) {
        const Both& b = *static_cast<const Both*>(context);
        b.compute(b.task, begin, end, scratch);
      },
      &both, units, wanted, compute(task, 0, 0, nullptr));
}

template <class T>
void add_up(const Convolving& kernels, ConvolutionTask task, void* weight, void* bias,
            int threads) {
  const Convolution& c = task.what;
  const Index units = kernels.gradient_units(c), biases = c.groups * c.out;
  const Index size = c.weights() + biases;
  const std::unique_ptr<T[]> parts(new T[std::size_t(units * size)]);
  task.to = parts.get();
  run_convolution(kernels.gradient, task, units, threads);
  const auto total = [&](Index begin, Index count, void* to) {
    T* sums = static_cast<T*>(to);
    std::copy_n(parts.get() + begin, count, sums);
    for (Index unit = 1; unit < units; ++unit)
      for (Index x = 0; x < count; ++x) sums[x] += parts[std::size_t(unit * size + begin + x)];
  };
  total(0, c.weights(), weight);
  if (bias) total(c.weights(), biases, bias);
}

}  // namespace

void convolve(const How& how, Type type, const Convolution& c, const void* x, const void* weight,
              const void* bias, void* y) {
  check(c);
  const Convolving& kernels = convolving(how, type);
  const std::size_t bytes = type == kF64 ? 8 : 4;
  const std::unique_ptr<char[]> packed(new char[std::size_t(c.weights()) * bytes]);
  kernels.pack(c, weight, packed.get());
  before_writing(y, c.batch * c.groups * c.out * c.down.out * c.across.out * Index(bytes));
  const ConvolutionTask task = {c, x, packed.get(), bias, y};
  run_convolution(kernels.convolve, task, kernels.units(c), how.threads);
}

void convolution_gradient(const How& how, Type type, const Convolution& c, const void* x,
                          const void* given, void* weight, void* bias) {
  check(c);
  const Convolving& kernels = convolving(how, type);
  const ConvolutionTask task = {c, x, given, nullptr, nullptr};
  if (type == kF64)
    add_up<double>(kernels, task, weight, bias, how.threads);
  else
    add_up<float>(kernels, task, weight, bias, how.threads);
}

}  // namespace cenote
