// One target's pointwise and separable convolutions. Sums of products may be contracted here.
#include "separable-inl.h"

namespace cenote::CENOTE_TARGET {

extern const Separable separable;
constinit const Separable separable = {pointwise_units, separable_units, interleave_pixels};

}  // namespace cenote::CENOTE_TARGET
