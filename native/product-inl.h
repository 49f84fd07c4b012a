// Products of small matrices, as many sums at once as there are registers to hold them.
#pragma once

#include "panels.h"
#include "vec.h"

namespace cenote::CENOTE_TARGET {

// Rows and panels of the result that are worked on at once.
#if CENOTE_VECTOR_BYTES == 64
constexpr int kRowsOfProduct = 12, kPanelsOfProduct = 2;
#elif CENOTE_VECTOR_BYTES == 32 || defined(__aarch64__)
constexpr int kRowsOfProduct = 6, kPanelsOfProduct = 1;
#else
constexpr int kRowsOfProduct = 2, kPanelsOfProduct = 1;
#endif

// One of two matrices to be multiplied: the left one by rows, or turned, a row for each product;
// the right one in panels.
struct Left {
  const float* at;
  Index pitch;
};
struct Right {
  const float* at;
  Index panel, pitch;  // from a panel to the next, and from a row to the next
};

// sum[r] += left(r, k) * row k of the right one, for all of `depth`.
template <int rows, int vectors, class Element>
CENOTE_INLINE void add_products(Vec<float> (&sum)[rows][vectors], Right right, Index depth,
                                Element left) {
  constexpr int L = kLanes<float>;
  using V = Vec<float>;
  for (Index k = 0; k < depth; ++k) {
    V by[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      by[v] = load<V>(right.at + k * right.pitch + v * L / kPanel * right.panel + v * L % kPanel);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const V all = broadcast<V>(left(r, k));
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] += all * by[v];
    }
  }
}

template <int rows, int panels, bool turned>
void multiply(Left left, Right right, Index depth, float* to, Index pitch, bool add) {
  constexpr int L = kLanes<float>, vectors = panels * int(kPanel) / L;
  using V = Vec<float>;
  V sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = add ? load<V>(to + r * pitch + v * L) : V{};
  add_products(sum, right, depth, [&](int r, Index k) {
    return turned ? left.at[k * left.pitch + r] : left.at[r * left.pitch + k];
  });
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) store(to + r * pitch + v * L, sum[r][v]);
}

using Multiply = void (*)(Left, Right, Index depth, float* to, Index pitch, bool add);
template <int panels, bool turned, int... rows>
Multiply multiply_of(Index many, Sequence<rows...>) {
  static constexpr Multiply all[] = {multiply<rows + 1, panels, turned>...};
  return all[many - 1];
}

// (rows, depth) x (depth, panels) -> (rows, panels), or added to it.
template <bool turned>
void product(Left left, Right right, Index rows, Index panels, Index depth, float* to, Index pitch,
             bool add) {
  using Rows = typename Counted<kRowsOfProduct>::type;
  const Index parts = (rows + kRowsOfProduct - 1) / kRowsOfProduct;  // of nearly equal size
  for (Index p = 0; p < panels; p += kPanelsOfProduct) {
    const Right columns = {right.at + p * right.panel, right.panel, right.pitch};
    const bool whole = p + kPanelsOfProduct <= panels;
    for (Index part = 0; part < parts; ++part) {
      const Index first = rows * part / parts, many = rows * (part + 1) / parts - first;
      const Left some = {left.at + first * (turned ? 1 : left.pitch), left.pitch};
      const Multiply with = whole ? multiply_of<kPanelsOfProduct, turned>(many, Rows{})
                                  : multiply_of<1, turned>(many, Rows{});
      with(some, columns, depth, to + first * pitch + p * kPanel, pitch, add);
    }
  }
}

}  // namespace cenote::CENOTE_TARGET
