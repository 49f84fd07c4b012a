// log(sum(exp(s x)))/s over windows, and what its gradients are made of.
//
// Every window needs its own greatest element, so nothing is shared between windows: one tap after
// the other is laid out as a row beside the outputs, and rows are combined element by element.
// All in double; `z` is s*x, and `w` is s*y.
#pragma once

#include "convert-inl.h"
#include "taps-inl.h"

namespace cenote::CENOTE_TARGET {

class Smooth {
 public:
  Smooth(const Task& task, Arena& arena)
      : g_(task.geometry),
        row_(g_.out[g_.rank - 1] * g_.inner),
        plane_in_(g_.n[0] * slice_of(g_, g_.n, 0)),
        plane_out_(g_.out[0] * slice_of(g_, g_.out, 0)) {
    z = arena.take<double>(plane_in_);
    w = arena.take<double>(plane_out_);
    given = arena.take<double>(max(plane_in_, plane_out_));
    total = arena.take<double>(plane_in_);
    tap = arena.take<double>(row_);
    most = arena.take<double>(row_);
    sum = arena.take<double>(row_);
  }

  Index row() const { return row_; }
  Index plane_in() const { return plane_in_; }
  Index plane_out() const { return plane_out_; }

  // Calls body(x) for every row of outputs; x is where it starts in the plane.
  template <class Body>
  void each_row(Body body) {
    for (Index x = 0; x < plane_out_; x += row_) {
      Index left = x / row_;
      for (int l = g_.rank - 2; l >= 0; --l) o_[l] = left % g_.out[l], left /= g_.out[l];
      body(x);
    }
  }

  // Calls body(tap of the innermost axis, where its row of inputs starts) for the current row of
  // outputs and all taps that lie inside along the outer axes.
  template <class Body>
  void each_tap(Body body) const {
    const int last = g_.rank - 1;
    Run runs[kMaxRank];
    Index rows = 1;
    for (int l = 0; l < last; ++l) runs[l] = inputs(g_, l, o_[l]), rows *= runs[l].count;
    for (Index r = 0; r < rows; ++r) {
      Index left = r, start = 0;
      for (int l = last - 1; l >= 0; --l) {
        start += (runs[l].source + left % runs[l].count * runs[l].step) * slice_of(g_, g_.n, l);
        left /= runs[l].count;
      }
      for (Index k = 0; k < g_.axis[last].kernel; ++k) body(k, start);
    }
  }

  // Calls body(position in the row of outputs, position in the row of inputs) where tap k is
  // inside.
  template <class Body>
  void each_place(Index k, Body body) const {
    const int last = g_.rank - 1;
    const Index apart = g_.axis[last].dilation;
    for (Index o = 0; o < g_.out[last]; ++o) {
      const Index i = origin(g_, last, o) + k * apart;
      if (i < 0 || i >= (g_.stops[last] ? g_.stops[last][o] : g_.n[last])) continue;
      for (Index c = 0; c < g_.inner; ++c) body(o * g_.inner + c, i * g_.inner + c);
    }
  }

  // A tap beside its outputs; `outside` where it has no element.
  void lay_out(const double* plane, Index k, Index start, double outside, double* to) const {
    for (Index x = 0; x < row_; ++x) to[x] = outside;
    each_place(k, [=](Index x, Index i) { to[x] = plane[start + i]; });
  }

  double *z, *w, *given, *total, *tap, *most, *sum;

 private:
  const Geometry& g_;
  Index row_, plane_in_, plane_out_;
  Index o_[kMaxRank] = {};
};

constexpr double kLog2OfE = 1.4426950408889634074;

// Reads a plane of one of the task's tensors into doubles.
inline void read_plane(const Task& task, Row read, const void* from, Index plane, Index count,
                       double* to) {
  read(static_cast<const char*>(from) + plane * count * task.input_bytes, to, count,
       task.conversion);
}

// `units` are planes in all three. y of x:
inline Index log_sum_exp(const Task& task, Index begin, Index end, char* scratch) {
  Arena arena(scratch);
  Smooth s(task, arena);
  if (!scratch) return arena.used();
  const Index row = s.row();
  const double infinity = __builtin_inf(), sharpness = task.conversion.p;
  for (Index plane = begin; plane < end; ++plane) {
    read_plane(task, task.read, task.input, plane, s.plane_in(), s.z);
    s.each_row([&](Index at) {
      double *tap = s.tap, *most = s.most, *sum = s.sum, *y = s.w + at;
      for (Index x = 0; x < row; ++x) most[x] = -infinity, sum[x] = 0;
      s.each_tap([&](Index k, Index start) {
        s.lay_out(s.z, k, start, -infinity, tap);
        for (Index x = 0; x < row; ++x)
          most[x] = tap[x] > most[x] || tap[x] != tap[x] ? tap[x] : most[x];
      });
      s.each_tap([&](Index k, Index start) {
        s.lay_out(s.z, k, start, -infinity, tap);
        for (Index x = 0; x < row; ++x) sum[x] += exp2_of((tap[x] - most[x]) * kLog2OfE);
      });
      for (Index x = 0; x < row; ++x) {
        const bool finite = most[x] - most[x] == 0;
        y[x] = (finite ? most[x] + ln_of(sum[x]) : most[x]) / sharpness;
      }
    });
    task.write(s.w, static_cast<char*>(task.output) + plane * s.plane_out() * task.output_bytes,
               s.plane_out(), task.conversion);
  }
  return arena.used();
}

// exp(z - w) is the share that an element has in its window's sum; none where all were -infinity.
inline double share_of(double z, double w) {
  return w == -__builtin_inf() ? 0 : exp2_of((z - w) * kLog2OfE);
}

// The gradient of x from that of y (`given`), x and y: every window gives by shares.
inline Index log_sum_exp_backward(const Task& task, Index begin, Index end, char* scratch) {
  Arena arena(scratch);
  Smooth s(task, arena);
  if (!scratch) return arena.used();
  const Index row = s.row();
  for (Index plane = begin; plane < end; ++plane) {
    read_plane(task, task.read, task.input, plane, s.plane_in(), s.z);
    read_plane(task, task.read, task.pooled, plane, s.plane_out(), s.w);
    read_plane(task, task.read_plain, task.given, plane, s.plane_out(), s.given);
    __builtin_memset(s.total, 0, std::size_t(s.plane_in()) * sizeof(double));
    s.each_row([&](Index at) {
      const double *w = s.w + at, *given = s.given + at;
      double *tap = s.tap, *total = s.total;
      s.each_tap([&](Index k, Index start) {
        s.lay_out(s.z, k, start, 0, tap);
        for (Index x = 0; x < row; ++x) tap[x] = given[x] * share_of(tap[x], w[x]);
        s.each_place(k, [=](Index x, Index i) { total[start + i] += tap[x]; });
      });
    });
    task.write(s.total, static_cast<char*>(task.output) + plane * s.plane_in() * task.output_bytes,
               s.plane_in(), task.conversion);
  }
  return arena.used();
}

// The adjoint of that: every window takes `given`, which lies as x does, by shares.
inline Index log_sum_exp_shares(const Task& task, Index begin, Index end, char* scratch) {
  Arena arena(scratch);
  Smooth s(task, arena);
  if (!scratch) return arena.used();
  const Index row = s.row();
  for (Index plane = begin; plane < end; ++plane) {
    read_plane(task, task.read, task.input, plane, s.plane_in(), s.z);
    read_plane(task, task.read, task.pooled, plane, s.plane_out(), s.w);
    read_plane(task, task.read_plain, task.given, plane, s.plane_in(), s.given);
    s.each_row([&](Index at) {
      double *w = s.w + at, *tap = s.tap, *share = s.most, *sum = s.sum;
      for (Index x = 0; x < row; ++x) sum[x] = 0;
      s.each_tap([&](Index k, Index start) {
        s.lay_out(s.z, k, start, -__builtin_inf(), share);
        s.lay_out(s.given, k, start, 0, tap);
        for (Index x = 0; x < row; ++x) sum[x] += tap[x] * share_of(share[x], w[x]);
      });
      for (Index x = 0; x < row; ++x) w[x] = sum[x];
    });
    task.write(s.w, static_cast<char*>(task.output) + plane * s.plane_out() * task.output_bytes,
               s.plane_out(), task.conversion);
  }
  return arena.used();
}

}  // namespace cenote::CENOTE_TARGET
