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
};

// y = the convolution of x, and the bias, one number an output channel; it may be null.
void convolve(const How&, Type, const Convolution&, const void* x, const void* weight,
              const void* bias, void* y);

// The gradients of weight and bias, from that of the output. The bias's may be null.
void convolution_gradient(const How&, Type, const Convolution&, const void* x, const void* given,
                          void* weight, void* bias);

}  // namespace cenote
