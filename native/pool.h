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

// Where windows start and stop along an axis that no kernel and stride describe; empty for others.
struct Spans {
  std::vector<Index> starts, stops;
};

class Pool {
 public:
  // What a sum is taken of, and what is made of it: (sum of map(x) * weight / divisor)^(1/p).
  struct Linear {
    bool count_include_pad = true;
    std::optional<Index> override;
    bool half_even = false;
    bool wide = false;  // whether integers come out as 64 bits, whatever they went in as
    Map map = kPlain;
    double p = 1, floor = 0;
    std::vector<std::vector<double>> weights;  // one list an axis, or none
  };
  // linear: none for a selecting reduction. Throws std::invalid_argument where no output remains.
  Pool(std::vector<Axis> window, std::vector<Spans> spans, std::vector<Index> n, Index inner,
       Type type, TapType tap_type, std::optional<Linear> linear);
  Pool(const Pool&) = delete;  // its geometry points into it
  Pool(Pool&&) = default;

  const std::vector<Index>& out() const { return out_; }

  // Addresses are of dense tensors (outer, *n, inner) and (outer, *out, inner).
  void select(const How&, Select, Index outer, const void* in, void* out, void* taps) const;
  void select_backward(const How&, Index outer, const void* grad, const void* taps, void* to) const;
  void pick(const How&, Index outer, const void* in, const void* taps, void* out) const;
  void indices(const How&, Index outer, const void* taps, void* out) const;
  void linear(const How&, Index outer, const void* in, void* out) const;
  void linear_backward(const How&, Index outer, const void* grad, void* to) const;

  // log(sum(exp(sharpness * x)))/sharpness; what its gradient gives x of y's gradient; the adjoint
  // of that, which takes from a tensor like x.
  struct Smooth {
    double sharpness;
    const void *x, *y, *given;
    void* to;
  };
  void log_sum_exp(const How&, Index outer, const Smooth&) const;
  void log_sum_exp_backward(const How&, Index outer, const Smooth&) const;
  void log_sum_exp_shares(const How&, Index outer, const Smooth&) const;

  // What every call starts from.
  Task task() const;

 private:
  void merge_whole_axes();
  std::vector<Index> tap_positions() const;
  void set_divisors();
  void set_weights();
  bool gathers() const;
  bool select_keys(const How&, Select, Index outer, const void* in, void* out) const;
  bool turn_around(Geometry&) const;
  Index inputs(Index outer) const;  // elements
  Index outputs(Index outer) const;
  Index bytes(Index outer) const;
  void write_to(Task&, void* output, Index bytes_moved, Index elements) const;
  void smooth(const How&, Kernel, Index outer, const Smooth&) const;
  void convert(Task&, const Kernels&, Lane, Map in, Map out) const;

  Geometry geometry_ = {};
  std::uint64_t recipe_;  // no other has had this number
  Type type_;
  TapType tap_type_;
  std::optional<Linear> linear_;
  Lane lane_ = kLaneF32;  // of a linear reduction
  std::vector<Index> out_;
  std::vector<Spans> spans_;
  std::vector<Index> tap_position_, outer_divisor_, slice_divisor_;
  // In lanes: of the three vectors of each kind one is used.
  template <class T>
  struct InLanes {
    std::vector<T> slice_divisor;
    std::array<std::vector<T>, kMaxRank> weight;
  };
  InLanes<float> f32_;
  InLanes<double> f64_;
  InLanes<std::int16_t> i16_;
  InLanes<Index> i64_;
};

}  // namespace cenote
