// One target's convolutions. Sums of products may be contracted here: results are the same within
// rounding, not to the bit.
#include "images-back-inl.h"

namespace cenote::CENOTE_TARGET {

extern const Convolving convolving[2];

template <class T>
constexpr Convolving kConvolving = {
    pack<T>,       units<T>,       convolve<T>, gradient_units, gradient<T>,       stage_lanes<T>,
    pack_stage<T>, stage_units<T>, stage<T>,    stage_parts<T>, stage_gradient<T>,
};
constinit const Convolving convolving[2] = {kConvolving<float>, kConvolving<double>};

}  // namespace cenote::CENOTE_TARGET
