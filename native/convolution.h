// Convolutions, their adjoints, and the gradients of their weights: for few channels, or groups of
// few, where what has to be read and written counts more than arithmetic.
#pragma once

#include "pool.h"
#include "types.h"

namespace cenote {

// One axis: output o reads input i through tap k where i*spread = o*stride - before + k*dilation.
// Inputs that lie apart are those of an adjoint.
struct Slide {
  Index n, out, kernel, stride, before, dilation, spread;
};

// Of contiguous tensors (batch, groups*in, down.n, across.n), made to (batch, groups*out, down.out,
// across.out). The weight is (groups*out, in, down.kernel, across.kernel); of an adjoint
// (groups*in, out, ...), its taps from the last to the first.
struct Convolution {
  Slide down, across;
  Index batch, groups, in, out;    // channels of a group
  bool shuffled_in, shuffled_out;  // whether groups take turns along the channels
  bool adjoint;
  Index weights() const { return groups * in * out * down.kernel * across.kernel; }
};

struct ConvolutionTask {
  Convolution what;
  const void* x;
  const void* weight;  // packed; for its gradient the output's
  const void* bias;    // or null
  void* to;            // the output; for the weight's gradient a part of the sum for each unit
};

// A convolution and the greatest of every `high` x `wide` of its outputs, or less than nothing made
// nothing. The windows do not overlap, and take whole ones alone.
struct StageTask {
  Convolution what;
  Index high, wide;
  bool positive;       // ReLU
  const void* x;       // the input
  const void* weight;  // packed
  const void* bias;    // or null
  const void* given;   // the gradient of the output
  std::uint8_t* taps;  // of every output; 255: no winner. May be null
  void* to;            // the output, or the gradient of the input, or null
  void* sums;          // of the weight's gradient a part for each unit, or null
};

// What a target offers, for floats and doubles.
struct Convolving {
  // The weight in the order in which kernels read it.
  void (*pack)(const Convolution&, const void* weight, void* packed);
  // Units, and what they are computed by; kernels as in types.h.
  Index (*units)(const Convolution&);
  Index (*convolve)(const ConvolutionTask&, Index begin, Index end, char* scratch);
  // A unit is some of the batch: it makes groups*out*in*kernel sums, and groups*out of the bias.
  Index (*gradient_units)(const Convolution&);
  Index (*gradient)(const ConvolutionTask&, Index begin, Index end, char* scratch);
  // The same with an image in every lane, of which there are so many; their gradient's units are
  // parts of the batch.
  Index (*lanes)();
  void (*pack_stage)(const Convolution&, const void* weight, void* packed);
  Index (*stage_units)(const Convolution&);
  Index (*stage)(const StageTask&, Index begin, Index end, char* scratch);
  Index (*stage_parts)(const Convolution&);
  Index (*stage_gradient)(const StageTask&, Index begin, Index end, char* scratch);
};

// y = the convolution of x, and the bias, one number an output channel; it may be null.
void convolve(const How&, Type, const Convolution&, const void* x, const void* weight,
              const void* bias, void* y);

// The gradients of weight and bias, from that of the output. The bias's may be null.
void convolution_gradient(const How&, Type, const Convolution&, const void* x, const void* given,
                          void* weight, void* bias);

// The convolution, or its pooled maxima, with an image in every lane. `task` is as the caller has
// it: the weight is packed here. `taps` has room for the batch rounded up to lanes.
void stage(const How&, Type, const StageTask& task);

// The gradients of input, weight and bias, each where it is not null.
void stage_gradient(const How&, Type, const StageTask& task, void* weight, void* bias);

// How many images there are to a vector.
Index images_at_once(const How&, Type);

}  // namespace cenote
