// Pooling of tensors of one shape with one window: everything that does not depend on the data is
// worked out once, and applied to addresses many times.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "types.h"

namespace cenote {

// How a call is to be carried out.
struct How {
  const Kernels& kernels;
  int threads;
};

class Pool {
 public:
  // divisor: none for a selecting reduction. Throws std::invalid_argument where no output remains.
  struct Mean {
    bool count_include_pad;
    std::optional<Index> override;
  };
  Pool(std::vector<Axis> window, std::vector<Index> n, Index inner, Type type,
       std::optional<Mean> mean);

  std::vector<Index> out() const;
  TapType tap_type() const { return tap_type_; }

  // Addresses are of dense tensors (outer, *n, inner) and (outer, *out, inner).
  void select(const How&, Select, Index outer, const void* in, void* out, void* taps) const;
  void select_backward(const How&, Index outer, const void* grad, const void* taps, void* to) const;
  void pick(const How&, Index outer, const void* in, const void* taps, void* out) const;
  void indices(const How&, Index outer, const void* taps, void* out) const;
  void mean(const How&, Index outer, const void* in, void* out) const;
  void mean_backward(const How&, Index outer, const void* grad, void* to) const;

  // What every call starts from.
  Task task() const;

 private:
  std::vector<Index> tap_offsets() const;
  void set_divisors(const Mean&);
  bool gathers() const;
  Index bytes(Index outer) const;

  Geometry geometry_ = {};
  Type type_;
  TapType tap_type_;
  std::vector<Index> tap_offset_, outer_divisor_;
  std::vector<float> slice_divisor_f32_;
  std::vector<double> slice_divisor_f64_;
};

}  // namespace cenote
