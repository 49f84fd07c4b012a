// The way back of stages with an image in every lane: with winners alone where few outputs share
// one, with every output of the convolution elsewhere.
#pragma once

#include "images-inl.h"

namespace cenote::CENOTE_TARGET {

// Sums of products of what is given at positions with what some taps read there.
template <class T, int maps, int taps>
void multiply(const T* const* at, Index rows, Index columns, Index row, Index column,
              const T* given, Index apart, T* sums, Index sums_apart) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[maps][taps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) sum[o][k] = load<Vec<T>>(sums + o * sums_apart + k * L);
  const T* from[taps];
#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k) from[k] = at[k];
  for (Index y = 0; y < rows; ++y) {
    for (Index x = 0; x < columns; ++x, given += L) {
      Vec<T> in[taps];
#pragma GCC unroll 8
      for (int k = 0; k < taps; ++k) in[k] = load<Vec<T>>(from[k] + x * column);
#pragma GCC unroll 8
      for (int o = 0; o < maps; ++o) {
        const Vec<T> by = load<Vec<T>>(given + o * apart);
#pragma GCC unroll 8
        for (int k = 0; k < taps; ++k) sum[o][k] += by * in[k];
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) from[k] += row;
  }
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) store(sums + o * sums_apart + k * L, sum[o][k]);
}
template <class T>
using Multiply = void (*)(const T* const*, Index, Index, Index, Index, const T*, Index, T*, Index);
template <class T, int maps>
Multiply<T> multiply_of(Index taps) {
  if (taps == 4) return multiply<T, maps, 4>;
  if (taps == 3) return multiply<T, maps, 3>;
  if (taps == 2) return multiply<T, maps, 2>;
  return multiply<T, maps, 1>;
}

// What is given at a position goes to all that it was made from.
template <class T, int maps>
void spread(const T* given, Index apart, const T* weight, const Index* offset, Index taps, T* to) {
  Vec<T> by[maps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o) by[o] = load<Vec<T>>(given + o * apart);
  Index k = 0;
  for (; k + kTogether <= taps; k += kTogether, weight += kTogether * maps) {
    Vec<T> sum[kTogether];
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) sum[j] = load<Vec<T>>(to + offset[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
      for (int j = 0; j < kTogether; ++j) sum[j] += by[o] * broadcast<Vec<T>>(weight[j * maps + o]);
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) store(to + offset[k + j], sum[j]);
  }
  for (; k < taps; ++k, weight += maps) {
    Vec<T> sum = load<Vec<T>>(to + offset[k]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o) sum += by[o] * broadcast<Vec<T>>(weight[o]);
    store(to + offset[k], sum);
  }
}
template <class T>
using Spread = void (*)(const T*, Index, const T*, const Index*, Index, T*);
template <class T, int maps>
Spread<T> spread_of() {
  return spread<T, maps>;
}

// The same for one output channel where every window of 2x2 outputs has one winner: what the
// kernel's taps read there is put together from what they read at all four.
template <class T, int kernel, int rows>
void multiply_winners(const T* x, Index row, Index high, Index wide, const T* given,
                      const std::uint8_t* winner, T* sums) {
  constexpr Index L = kLanes<T>;
  Vec<T> sum[rows][kernel];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int k = 0; k < kernel; ++k) sum[r][k] = load<Vec<T>>(sums + (r * kernel + k) * L);
  for (Index v = 0; v < high; ++v, x += 2 * (row - wide * L))
    for (Index u = 0; u < wide; ++u, x += 2 * L, given += L, winner += L) {
      // What the next window reads again is loaded again: sums need the registers.
      __asm__("" : "+r"(x));
      const TapVec<T> tap = Narrow<T, std::uint8_t>::load_all(winner);
      const auto right = (tap & 1) != 0, below = (tap & 2) != 0;
      const Vec<T> g = load<Vec<T>>(given);
      Vec<T> above[kernel];
#pragma GCC unroll 8
      for (int r = 0; r <= rows; ++r) {
        Vec<T> here[kernel], next = in_register(load<Vec<T>>(x + r * row));
#pragma GCC unroll 8
        for (int k = 0; k < kernel; ++k) {
          const Vec<T> left = next;
          next = in_register(load<Vec<T>>(x + r * row + (k + 1) * L));
          here[k] = right ? next : left;
        }
#pragma GCC unroll 8
        for (int k = 0; k < kernel; ++k) {
          if (r > 0) sum[r - 1][k] += g * (below ? here[k] : above[k]);
          above[k] = here[k];
        }
      }
    }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int k = 0; k < kernel; ++k) store(sums + (r * kernel + k) * L, sum[r][k]);
}
template <class T>
using Winners = void (*)(const T*, Index, Index, Index, const T*, const std::uint8_t*, T*);
// For some rows of a kernel, as many as there are registers for.
template <class T, int kernel>
Winners<T> winners_of(Index rows) {
  constexpr int most = kernel == 3 ? 3 : kernel == 5 ? 3 : 2;
  if constexpr (most == 3)
    if (rows >= 3) return multiply_winners<T, kernel, 3>;
  if (rows >= 2) return multiply_winners<T, kernel, 2>;
  return multiply_winners<T, kernel, 1>;
}
constexpr Index kWinnerRows[] = {0, 0, 0, 3, 0, 3, 0, 2};
template <class T>
Winners<T> winners_of(Index kernel, Index rows) {
  if (kernel == 3) return winners_of<T, 3>(rows);
  if (kernel == 5) return winners_of<T, 5>(rows);
  return winners_of<T, 7>(rows);
}

// What is given to winners goes to all that they were made from: for each element that the windows
// of up to four outputs read, the weights by which they do lie together.
template <class T, int maps>
void spread_winners(const T* given, Index apart, const std::uint8_t* winner, const T* weight,
                    const Index* cell, Index cells, T* to) {
  Vec<T> by[maps];
  TapVec<T> tap[maps];
#pragma GCC unroll 8
  for (int o = 0; o < maps; ++o) {
    by[o] = load<Vec<T>>(given + o * apart);
    tap[o] = Narrow<T, std::uint8_t>::load_all(winner + o * apart);
  }
  Index k = 0;
  for (; k + kTogether <= cells; k += kTogether, weight += kTogether * maps * 4) {
    Vec<T> sum[kTogether];
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) sum[j] = load<Vec<T>>(to + cell[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
#pragma GCC unroll 8
      for (int j = 0; j < kTogether; ++j)
        sum[j] += by[o] * one_of_four(weight + o * kTogether * 4, j, tap[o]);
#pragma GCC unroll 8
    for (int j = 0; j < kTogether; ++j) store(to + cell[k + j], sum[j]);
  }
  for (int j = 0; k + j < cells; ++j) {
    Vec<T> sum = load<Vec<T>>(to + cell[k + j]);
#pragma GCC unroll 8
    for (int o = 0; o < maps; ++o)
      sum += by[o] * one_of_four(weight + o * kTogether * 4, j, tap[o]);
    store(to + cell[k + j], sum);
  }
}
template <class T>
using SpreadWinners = void (*)(const T*, Index, const std::uint8_t*, const T*, const Index*, Index,
                               T*);
template <class T, int maps>
SpreadWinners<T> spread_winners_of() {
  return spread_winners<T, maps>;
}

// An element that the windows of some outputs read, and by which tap each of four does; -1: by
// none.
struct Cell {
  Index place, tap[4];
};
inline Index cells_of(const Index* offset, Index taps, const Index* inside, Index window,
                      Cell* to) {
  Index count = 0;
  for (Index t = 0; t < window; ++t)
    for (Index k = 0; k < taps; ++k) {
      const Index place = inside[t] + offset[k];
      Index at = 0;
      while (at < count && to[at].place != place) ++at;
      if (at == count) to[count++] = {place, {-1, -1, -1, -1}};
      to[at].tap[t] = k;
    }
  return count;
}

// As many parts whatever the number of threads is, so that sums come out the same.
template <class T>
Index stage_parts(const Convolution& c) {
  constexpr Index kMostParts = 16, kMostBytes = Index(16) << 20;
  const Index each = (c.weights() + c.groups * c.out) * Index(sizeof(double));
  return max(1, min(min(kMostParts, stage_units<T>(c)), kMostBytes / max(1, each)));
}

// The way back of one part of the batch after the other, in scratch memory of its own.
template <class T>
class WayBack {
 public:
  WayBack(const StageTask& task, char* scratch)
      : task_(task),
        c_(task.what),
        in_(c_),
        high_(c_.down.out / task.high),
        wide_(c_.across.out / task.wide),
        out_(high_ * wide_),
        window_(task.high * task.wide),
        columns_(wide_ * task.wide),
        kernel_(c_.down.kernel * c_.across.kernel),
        block_(maps_of_block(c_.out)),
        winners_multiply_(task.sums && picks_winners(task)),
        winners_spread_(task.to && kOneOfFour<T> && task.taps && window_ > 1 && window_ <= 4) {
    constexpr Index kBytes = 24 * 1024;  // of gradients, to stay in the first cache
    const Index row = task.high * columns_ * L;
    band_ = max(1, min(high_, kBytes / (block_ * row * Index(sizeof(T)))));
    room_ = band_ * row;
    const Index most_cells = winners_spread_ ? round_up(kernel_ * window_, kTogether) : 0;
    Arena arena(scratch);
    x_ = arena.take<T>(task.sums ? c_.in * in_.plane() : 0);
    back_ = arena.take<T>(task.to ? c_.in * in_.plane() : 0);
    given_ = arena.take<T>(c_.out * out_ * L);
    widened_ = arena.take<T>(any_widens() && task.taps ? block_ * room_ : 0);
    sums_ = arena.take<T>(sums() * L);
    offset_ = arena.take<Index>(c_.in * kernel_);
    inside_ = arena.take<Index>(window_);
    cell_ = arena.take<Cell>(most_cells);
    place_ = arena.take<Index>(most_cells);
    of_cells_ = arena.take<T>(c_.groups * c_.out * c_.in * most_cells * 4);
    used_ = arena.used();
    if (!scratch) return;
    in_.offsets(c_, offset_);
    for (Index t = 0; t < window_; ++t)
      inside_[t] = t / task.wide * in_.row + t % task.wide * in_.column;
    if (task.sums) clear(x_, c_.in * in_.plane());
    if (winners_spread_) weights_of_cells();
  }

  Index used() const { return used_; }

  // The gradient of the input of a part's images, and the part's sums.
  void run(Index part, Index parts) {
    clear(sums_, sums() * L);
    const Index units = stage_units<T>(c_);
    for (unit_ = units * part / parts; unit_ < units * (part + 1) / parts; ++unit_) {
      images_ = min(L, c_.batch - unit_ * L);
      for (group_ = 0; group_ < c_.groups; ++group_) {
        bring_all();
        if (winners_multiply_) multiply_all_winners();
        if (winners_spread_) spread_all_winners();
        if (any_widens())
          for (Index row = 0; row < high_; row += band_) all_outputs(row, min(band_, high_ - row));
        if (task_.to) give_back();
      }
    }
    if (task_.sums) add_lanes(static_cast<T*>(task_.sums) + part * sums());
  }

 private:
  static constexpr Index L = kLanes<T>;
  using U = typename UnsignedOf<sizeof(T)>::type;
  using Taps = Narrow<T, std::uint8_t>;

  // Where few outputs share a winner, and kernels are of a size that there is a way for.
  static bool picks_winners(const StageTask& task) {
    const Slide &d = task.what.down, &a = task.what.across;
    return task.taps && task.high == 2 && task.wide == 2 && d.stride == 1 && a.stride == 1 &&
           d.dilation == 1 && a.dilation == 1 && (a.kernel == 3 || a.kernel == 5 || a.kernel == 7);
  }
  // Whether anything is computed with every output of the convolution.
  bool any_widens() const {
    return (task_.sums && !winners_multiply_) || (task_.to && !winners_spread_);
  }
  Index sums() const { return c_.weights() + c_.groups * c_.out; }
  Index channel(Index o) const { return group_ * c_.out + o; }
  T* sums_of(Index channel, Index tap) const {
    return sums_ + (channel * c_.in * kernel_ + tap) * L;
  }
  T* sums_of_bias(Index channel) const { return sums_ + (c_.weights() + channel) * L; }
  const std::uint8_t* winner(Index o, Index p) const {
    return task_.taps + ((unit_ * c_.groups * c_.out + channel(o)) * out_ + p) * L;
  }
  static void clear(T* from, Index count) {
    for (Index i = 0; i < count; ++i) from[i] = T(0);
  }

  // For each cell that a window's outputs read, and each output channel, the weights by which four
  // outputs read it: of kTogether cells they lie together.
  void weights_of_cells() {
    cells_ = cells_of(offset_, kernel_, inside_, window_, cell_);
    padded_cells_ = round_up(cells_, kTogether);
    for (Index k = 0; k < cells_; ++k) place_[k] = cell_[k].place;
    const T* from = static_cast<const T*>(task_.weight);
    T* to = of_cells_;
    for (Index o = 0; o < c_.groups * c_.out; o += maps_from(o))
      for (Index i = 0; i < c_.in; ++i, to += padded_cells_ * maps_from(o) * 4)
        for (Index k = 0; k < padded_cells_; ++k)
          for (Index m = 0, maps = maps_from(o); m < maps; ++m) {
            T* four = to + ((k / kTogether * maps + m) * kTogether + k % kTogether) * 4;
            for (Index t = 0; t < 4; ++t) {
              const Index tap = k < cells_ ? cell_[k].tap[t] : -1;
              four[t] = tap < 0 ? T(0) : from[(o * c_.in + i * maps) * kernel_ + tap * maps + m];
            }
          }
  }
  // How many channels are worked on at once, from a block's first one on.
  Index maps_from(Index o) const { return min(block_, c_.out - o % c_.out); }

  // The group's inputs and the gradients of its outputs, without those that have no winner.
  void bring_all() {
    const Index apart = c_.groups * c_.out * out_;
    const T* image =
        static_cast<const T*>(task_.x) + unit_ * L * c_.groups * c_.in * c_.down.n * c_.across.n;
    if (task_.sums) in_.fill(c_, image, group_, images_, x_);
    if (task_.to) clear(back_, c_.in * in_.plane());
    for (Index o = 0; o < c_.out; ++o) {
      const Index plane = channel_of(group_, o, c_.groups, c_.out, c_.shuffled_out);
      T* to = given_ + o * out_ * L;
      bring<T>(static_cast<const T*>(task_.given) + unit_ * L * apart + plane * out_, apart,
               images_, out_, to);
      Vec<T> total = load<Vec<T>>(sums_of_bias(channel(o)));
      for (Index p = 0; p < out_; ++p) {
        Vec<T> g = load<Vec<T>>(to + p * L);
        if (task_.taps) {
          const TapVec<T> tap = Taps::load_all(winner(o, p));
          g = tap == broadcast<TapVec<T>>(U(kNoTap<std::uint8_t>)) ? Vec<T>{} : g;
          store(to + p * L, g);
        }
        total += g;
      }
      store(sums_of_bias(channel(o)), total);
    }
  }

  void multiply_all_winners() {
    for (Index i = 0; i < c_.in; ++i)
      for (Index o = 0; o < c_.out; ++o)
        for (Index k = 0, rows; k < c_.down.kernel; k += rows) {
          rows = min(kWinnerRows[c_.across.kernel], c_.down.kernel - k);
          winners_of<T>(c_.across.kernel, rows)(
              x_ + i * in_.plane() + k * in_.row, in_.row, high_, wide_, given_ + o * out_ * L,
              winner(o, 0), sums_of(channel(o), i * kernel_ + k * c_.across.kernel));
        }
  }

  void spread_all_winners() {
    for (Index o = 0; o < c_.out; o += block_) {
      const Index maps = maps_from(o);
      const SpreadWinners<T> spreads = CENOTE_BY_MAPS(maps, spread_winners_of, );
      const T* weight = of_cells_ + channel(o) * c_.in * padded_cells_ * 4;
      for (Index i = 0; i < c_.in; ++i)
        for (Index p = 0; p < out_; ++p)
          spreads(given_ + (o * out_ + p) * L, out_ * L, winner(o, p),
                  weight + i * padded_cells_ * maps * 4, place_, cells_,
                  back_ + i * in_.plane() + p / wide_ * task_.high * in_.row +
                      p % wide_ * task_.wide * in_.column);
    }
  }

  // Some rows of windows with all outputs of the convolution, winners or not.
  void all_outputs(Index row, Index rows) {
    const Index corner = row * task_.high * in_.row, taps = c_.in * kernel_;
    const Index some_taps = even_share(taps, kTogether);
    for (Index o = 0; o < c_.out; o += block_) {
      const Index maps = maps_from(o);
      if (task_.taps) widen(o, maps, row, rows);
      const T* of = task_.taps ? widened_ : given_ + (o * out_ + row * wide_) * L;
      const Index apart = task_.taps ? room_ : out_ * L;
      if (task_.sums && !winners_multiply_)
        for (Index k = 0; k < taps; k += some_taps) {
          const Index some = min(some_taps, taps - k);
          const T* at[kTogether];
          for (Index j = 0; j < some; ++j) at[j] = x_ + corner + offset_[k + j];
          CENOTE_BY_MAPS(maps, multiply_of, some)
          (at, rows * task_.high, columns_, in_.row, in_.column, of, apart, sums_of(channel(o), k),
           taps * L);
        }
      if (task_.to && !winners_spread_) {
        const Spread<T> spreads = CENOTE_BY_MAPS(maps, spread_of, );
        const T* weight = static_cast<const T*>(task_.weight) + channel(o) * taps;
        for (Index v = 0; v < rows * task_.high; ++v)
          for (Index u = 0; u < columns_; ++u)
            spreads(of + (v * columns_ + u) * L, apart, weight, offset_, taps,
                    back_ + corner + v * in_.row + u * in_.column);
      }
    }
  }

  // Every winner's gradient to its place, among zeros.
  void widen(Index o, Index maps, Index row, Index rows) {
    for (Index m = 0; m < maps; ++m)
      for (Index p = 0; p < rows * wide_; ++p) {
        T* to =
            widened_ + m * room_ + (p / wide_ * task_.high * columns_ + p % wide_ * task_.wide) * L;
        const Vec<T> g = load<Vec<T>>(given_ + ((o + m) * out_ + row * wide_ + p) * L);
        const TapVec<T> tap = Taps::load_all(winner(o + m, row * wide_ + p));
        for (Index t = 0; t < window_; ++t)
          store(to + (t / task_.wide * columns_ + t % task_.wide) * L,
                tap == broadcast<TapVec<T>>(U(t)) ? g : Vec<T>{});
      }
  }

  void give_back() {
    const Index plane_in = c_.down.n * c_.across.n, apart = c_.groups * c_.in * plane_in;
    for (Index i = 0; i < c_.in; ++i) {
      const Index plane = channel_of(group_, i, c_.groups, c_.in, c_.shuffled_in);
      T* to = static_cast<T*>(task_.to) + unit_ * L * apart + plane * plane_in;
      if (!in_.covers(c_))  // what no window reads has no gradient
        for (Index image = 0; image < images_; ++image) clear(to + image * apart, plane_in);
      in_.rows(c_, [&](Index y, Index at, Index first, Index last) {
        give<T>(back_ + i * in_.plane() + at + first * L, to + y * c_.across.n + first, apart,
                images_, last - first);
      });
    }
  }

  // All lanes of each sum together.
  void add_lanes(T* to) const {
    sweep<T>(sums(), [&](Index i, auto lanes) {
      Vec<T> v[L] = {}, all = {};
      for (int j = 0; j < lanes; ++j) v[j] = load<Vec<T>>(sums_ + (i + j) * L);
      turn<T>(v);
#pragma GCC unroll 16
      for (int j = 0; j < L; ++j) all += v[j];
      store_first<T>(to + i, lanes, all);
    });
  }

  const StageTask& task_;
  const Convolution& c_;
  const Padded<T> in_;
  const Index high_, wide_, out_, window_, columns_, kernel_, block_;
  const bool winners_multiply_, winners_spread_;
  Index band_, room_, cells_ = 0, padded_cells_ = 0, used_;
  Index unit_ = 0, images_ = 0, group_ = 0;  // what is worked on
  T *x_, *back_, *given_, *widened_, *sums_, *of_cells_;
  Index *offset_, *inside_, *place_;
  Cell* cell_;
};

// Units are parts of the batch.
template <class T>
Index stage_gradient(const StageTask& task, Index begin, Index end, char* scratch) {
  WayBack<T> back(task, scratch);
  if (scratch)
    for (Index part = begin; part < end; ++part) back.run(part, stage_parts<T>(task.what));
  return back.used();
}

}  // namespace cenote::CENOTE_TARGET
