// One target's convolutions. Sums of products may be contracted here: results are the same within
// rounding, not to the bit.
#include "convolve-inl.h"

namespace cenote::CENOTE_TARGET {

extern const Convolving convolving[2];
constinit const Convolving convolving[2] = {
    {pack<float>, units<float>, convolve<float>, gradient_units, gradient<float>},
    {pack<double>, units<double>, convolve<double>, gradient_units, gradient<double>},
};

}  // namespace cenote::CENOTE_TARGET
