// One target's batch norms. Nothing is contracted: what is computed again is the same to the bit.
#include "norm-inl.h"
#include "stream-inl.h"

namespace cenote::CENOTE_TARGET {
namespace {

Index scratch(Index channels) { return 3 * channels * Index(sizeof(float)); }

void apply_all(const Norm& n, const float* gain, float* y, Index begin, Index end) {
  apply(n, gain, y, begin, end);
  end_of_stream();
}

void sums_of(const NormBack& b, const float* gain, Index begin, Index end, double* plain,
             double* by_x, char* memory) {
  sums(b, gain, begin, end, plain, by_x, memory);
  end_of_stream();
}

void back_all(const NormBack& b, const float* gain, const float* shift, const float* slope,
              Index begin, Index end) {
  back(b, gain, shift, slope, begin, end);
  end_of_stream();
}

}  // namespace

extern const Norms norms;
constinit const Norms norms = {scratch, moments, apply_all, apply_parts, sums_of, back_all};

}  // namespace cenote::CENOTE_TARGET
