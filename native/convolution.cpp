#include "convolution.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "parallel.h"

namespace cenote {
namespace {

Index macs(const Convolution& c) {
  return c.batch * c.down.out * c.across.out / (c.down.spread * c.across.spread) * c.weights();
}

const Convolving& convolving(const How& how, Type type) {
  if (type != kF32 && type != kF64) throw std::invalid_argument("convolve: float or double");
  return how.kernels.convolving[type == kF64];
}

Index size_of(Type type) { return type == kF64 ? 8 : 4; }

void check(const Convolution& c) {
  for (const Slide& s : {c.down, c.across})
    if (s.n < 1 || s.out < 1 || s.kernel < 1 || s.stride < 1 || s.dilation < 1 || s.spread < 1 ||
        (s.spread > 1 && s.stride > 1))
      throw std::invalid_argument("convolve: no such axis");
  if (c.groups < 1 || c.in < 1 || c.out < 1) throw std::invalid_argument("convolve: no channels");
}

// Shares out the units of a kernel that works on tasks of some kind.
template <class Task>
void run(Index (*compute)(const Task&, Index begin, Index end, char* scratch), const Task& task,
         Index units, int threads) {
  const Index wanted = threads_for_macs(macs(task.what), threads);
  share(units, wanted, compute(task, 0, 0, nullptr),
        [&](Index begin, Index end, char* scratch) { compute(task, begin, end, scratch); });
}

// Parts added up in their order.
template <class T>
void add_up(const T* parts, Index units, const Convolution& c, void* weight, void* bias) {
  const Index biases = c.groups * c.out, size = c.weights() + biases;
  const auto total = [&](Index begin, Index count, void* to) {
    T* sums = static_cast<T*>(to);
    std::copy_n(parts + begin, count, sums);
    for (Index unit = 1; unit < units; ++unit)
      for (Index x = 0; x < count; ++x) sums[x] += parts[unit * size + begin + x];
  };
  if (weight) total(0, c.weights(), weight);
  if (bias) total(c.weights(), biases, bias);
}

// Lets a kernel make so many parts of both gradients, and adds them up; nothing where none is
// asked.
template <class T, class Make>
void sum_parts(const Convolution& c, Index units, void* weight, void* bias, Make make) {
  const bool asked = weight || bias;
  const Index size = c.weights() + c.groups * c.out;
  const std::unique_ptr<T[]> parts(asked ? new T[std::size_t(units * size)] : nullptr);
  make(parts.get());
  if (asked) add_up(parts.get(), units, c, weight, bias);
}
template <class Make>
void sum_parts(Type type, const Convolution& c, Index units, void* weight, void* bias, Make make) {
  if (type == kF64)
    sum_parts<double>(c, units, weight, bias, make);
  else
    sum_parts<float>(c, units, weight, bias, make);
}

void check_stage(const StageTask& task) {
  check(task.what);
  if (task.high < 1 || task.wide < 1 || task.high * task.wide > 255 ||
      task.what.down.out < task.high || task.what.across.out < task.wide ||
      task.what.down.spread != 1 || task.what.across.spread != 1)
    throw std::invalid_argument("stage: no such window");
}

std::unique_ptr<char[]> packed_for_stage(const Convolving& kernels, Type type, StageTask& task) {
  std::unique_ptr<char[]> packed(new char[std::size_t(task.what.weights() * size_of(type))]);
  kernels.pack_stage(task.what, task.weight, packed.get());
  task.weight = packed.get();
  return packed;
}

}  // namespace

void convolve(const How& how, Type type, const Convolution& c, const void* x, const void* weight,
              const void* bias, void* y) {
  check(c);
  const Convolving& kernels = convolving(how, type);
  const std::unique_ptr<char[]> packed(new char[std::size_t(c.weights() * size_of(type))]);
  kernels.pack(c, weight, packed.get());
  before_writing(y, c.batch * c.groups * c.out * c.down.out * c.across.out * size_of(type));
  const ConvolutionTask task = {c, x, packed.get(), bias, y};
  run(kernels.convolve, task, kernels.units(c), how.threads);
}

void convolution_gradient(const How& how, Type type, const Convolution& c, const void* x,
                          const void* given, void* weight, void* bias) {
  check(c);
  const Convolving& kernels = convolving(how, type);
  const Index units = kernels.gradient_units(c);
  sum_parts(type, c, units, weight, bias, [&](void* parts) {
    run(kernels.gradient, ConvolutionTask{c, x, given, nullptr, parts}, units, how.threads);
  });
}

void stage(const How& how, Type type, const StageTask& given) {
  check_stage(given);
  const Convolving& kernels = convolving(how, type);
  StageTask task = given;
  const auto packed = packed_for_stage(kernels, type, task);
  const Convolution& c = task.what;
  const Index outputs = (c.down.out / task.high) * (c.across.out / task.wide);
  before_writing(task.to, c.batch * c.groups * c.out * outputs * size_of(type));
  run(kernels.stage, task, kernels.stage_units(task.what), how.threads);
}

void stage_gradient(const How& how, Type type, const StageTask& given, void* weight, void* bias) {
  check_stage(given);
  const Convolving& kernels = convolving(how, type);
  StageTask task = given;
  const auto packed = packed_for_stage(kernels, type, task);
  const Convolution& c = task.what;
  if (task.to)
    before_writing(task.to, c.batch * c.groups * c.in * c.down.n * c.across.n * size_of(type));
  const Index units = kernels.stage_parts(c);
  sum_parts(type, c, units, weight, bias, [&](void* parts) {
    task.sums = parts;
    run(kernels.stage_gradient, task, units, how.threads);
  });
}

Index images_at_once(const How& how, Type type) { return convolving(how, type).lanes(); }

}  // namespace cenote
