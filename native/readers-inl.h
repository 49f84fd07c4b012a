// The way back along a row of contiguous elements: every input and the outputs that read it.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

// Inputs a stride apart are read through the same taps by neighbouring outputs. Such a phase is
// computed a vector at a time; its runs are worked out once for all rows.
class Phases {
 public:
  Phases(const Axis& axis, Index n, Arena& arena) : stride_(axis.stride) {
    const Index count = min(axis.stride, n);
    runs_ = arena.take<Run>(count);
    for (Index first = 0; runs_ && first < count; ++first) runs_[first] = all_readers(axis, first);
  }

  // Writes the inputs [begin, end) of a row, the first of them to out[0]. prepare(phase, run) makes
  // one of two phases ready, of which total(phase, x) is a vector, x outputs further on.
  template <class T, class Prepare, class Total>
  void line(Index begin, Index end, T* out, Prepare prepare, Total total) const {
    if (stride_ == 2 && end - begin > 1) {
      prepare(0, run_at(begin));
      prepare(1, run_at(begin + 1));
      return pairs(end - begin, out, total);
    }
    for (Index first = begin; first < min(begin + stride_, end); ++first) {
      T* to = out + (first - begin);
      prepare(0, run_at(first));
      sweep<T>((end - first - 1) / stride_ + 1, [&](Index q, auto lanes) {
        store_strided<T>(to + q * stride_, stride_, lanes, total(0, q));
      });
    }
  }

 private:
  Run run_at(Index input) const {
    Run run = runs_[input % stride_];
    run.source += input / stride_;
    return run;
  }

  // Stride 2: both phases at once, interleaved.
  template <class T, class Total>
  static void pairs(Index length, T* out, Total total) {
    for (Index x = 0; x < length; x += 2 * kLanes<T>) {
      const Vec<T> even = total(0, x / 2), odd = total(1, x / 2);
      const Index left = length - x;
      const Vec<T> low = interleave_low(even, odd, AllOf<T>{});
      const Vec<T> high = interleave_high(even, odd, AllOf<T>{});
      if (left >= 2 * kLanes<T>) {
        store(out + x, low);
        store(out + x + kLanes<T>, high);
        continue;
      }
      store_lanes(out + x, int(min(left, kLanes<T>)), low);
      if (left > kLanes<T>) store_lanes(out + x + kLanes<T>, int(left - kLanes<T>), high);
    }
  }

  Index stride_;
  Run* runs_;
};

}  // namespace cenote::CENOTE_TARGET
