// Rows dealt out so that every tap of a sliding window is a row of its own: at unit stride, with
// room on both sides, so that nothing has to ask where the row ends.
#pragma once

#include "rows-inl.h"

namespace cenote::CENOTE_TARGET {

// What neighbouring outputs read through one tap lies a stride apart and is put side by side; taps
// that lie a multiple of the stride apart share such a hand. Elements come in groups: `group` of
// them are one position along the axis.
template <class T>
class Deal {
 public:
  // For at most `most` outputs at once; taps from `high` on are outside the row for all.
  Deal(const Axis& axis, Index n, Index group, Index most, Index high, T fill, Arena& arena)
      : stride_(axis.stride),
        apart_(axis.dilation),
        before_(axis.before),
        n_(n),
        group_(group),
        high_(high),
        fill_(fill),
        hands_(min(high, axis.stride / gcd(axis.stride, axis.dilation))),
        room_((most + (high - 1) * apart_ / stride_) * group + kLanes<T>) {
    room_ = (room_ + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    memory_ = arena.take<T>(hands_ * room_);
    hand_ = arena.take<Hand>(hands_);
  }

  // Where the outputs' elements of tap k are.
  const T* tap(Index k) const {
    return memory_ + k % hands_ * room_ + k * apart_ / stride_ * group_;
  }

  // Deals the row for `count` outputs from `begin` on.
  void deal(const T* row, Index begin, Index count) {
    if (begin != begin_ || count != count_) plan(begin, count);
    const T* from = row + start_ * group_;
    if (group_ == 1 && stride_ == 4 && hands_ == 4 && apart_ == 1) return deal_by_four(from);
    for (Index hand = 0; hand < hands_; ++hand) {
      const Hand& h = hand_[hand];
      const Index at = h.first + h.q0 * stride_;
      gather(from + at * group_, h.to + h.q0 * group_, h.q1 - h.q0, (n_ - start_ - at) * group_);
    }
  }

 private:
  // Positions [q0, q1) of a hand are in the row, the first of all at `first` from the start.
  struct Hand {
    T* to;
    Index first, q0, q1;
  };

  // What is the same for all rows; with it the padding, which no row overwrites.
  void plan(Index begin, Index count) {
    begin_ = begin, count_ = count;
    start_ = begin * stride_ - before_;
    const Index span = count + (high_ - 1) * apart_ / stride_;
    for (Index hand = 0; hand < hands_; ++hand) {
      const Index first = hand * apart_ % stride_, at = start_ + first;
      const Index q0 = min(span, max(0, ceil_div(-at, stride_)));
      const Index q1 = min(span, max(q0, ceil_div(n_ - at, stride_)));
      hand_[hand] = {memory_ + hand * room_, first, q0, q1};
      pad(hand_[hand].to, 0, q0);
      pad(hand_[hand].to, q1, span);
    }
  }

  void pad(T* to, Index begin, Index end) const {
    for (Index x = begin * group_; x < end * group_; ++x) to[x] = fill_;
  }

  // All hands at once: evens of evens, evens of odds, and so on.
  void deal_by_four(const T* from) const {
    Index q = 0, stop = count_ + kLanes<T>;
    for (Index hand = 0; hand < 4; ++hand)
      q = max(q, hand_[hand].q0), stop = min(stop, hand_[hand].q1);
    const Index first = q;
    for (; q + kLanes<T> <= stop; q += kLanes<T>) {
      Vec<T> v[4];
      for (Index part = 0; part < 4; ++part)
        v[part] = load<Vec<T>>(from + 4 * q + part * kLanes<T>);
      const Vec<T> even[2] = {even_lanes(v[0], v[1], AllOf<T>{}),
                              even_lanes(v[2], v[3], AllOf<T>{})};
      const Vec<T> odd[2] = {odd_lanes(v[0], v[1], AllOf<T>{}), odd_lanes(v[2], v[3], AllOf<T>{})};
      store(hand_[0].to + q, even_lanes(even[0], even[1], AllOf<T>{}));
      store(hand_[1].to + q, even_lanes(odd[0], odd[1], AllOf<T>{}));
      store(hand_[2].to + q, odd_lanes(even[0], even[1], AllOf<T>{}));
      store(hand_[3].to + q, odd_lanes(odd[0], odd[1], AllOf<T>{}));
    }
    for (Index hand = 0; hand < 4; ++hand) {
      const Hand& h = hand_[hand];
      const T* here = from + h.first;
      for (Index x = h.q0; x < min(first, h.q1); ++x) h.to[x] = here[4 * x];
      for (Index x = max(q, h.q0); x < h.q1; ++x) h.to[x] = here[4 * x];
    }
  }

  // `last` elements of the row lie behind `from`.
  void gather(const T* from, T* to, Index count, Index last) const {
    if (group_ == 1) {
      for (Index q = 0; q < count; ++q) to[q] = from[q * stride_];
      return;
    }
    // A vector for each group: the next one covers what is too much. Towards the ends there is not
    // so much to read, or padding behind it that has to stay.
    Index q = 0;
    if (group_ <= kLanes<T>)
      for (; q * stride_ * group_ + kLanes<T> <= last && (count - q) * group_ >= kLanes<T>; ++q)
        store(to + q * group_, load<Vec<T>>(from + q * stride_ * group_));
    for (; q < count; ++q)
      for (Index c = 0; c < group_; ++c) to[q * group_ + c] = from[q * stride_ * group_ + c];
  }

  Index stride_, apart_, before_, n_, group_, high_;
  T fill_;
  Index hands_, room_;
  T* memory_;
  Hand* hand_;
  Index begin_ = -1, count_ = -1, start_ = 0;  // of the plan
};

}  // namespace cenote::CENOTE_TARGET
