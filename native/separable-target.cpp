// One target's pointwise and separable convolutions. Sums of products may be contracted here.
#include "separable-inl.h"

namespace cenote::CENOTE_TARGET {
namespace {

Index pointwise(const PointwiseTask& t, Index begin, Index end, char* scratch) {
  if (scratch || begin < end) pointwise_units(t, begin, end);
  return 0;
}

}  // namespace

extern const Separable separable;
constinit const Separable separable = {pointwise, separable_units, interleave_pixels};

}  // namespace cenote::CENOTE_TARGET
