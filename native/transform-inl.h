// Winograd's transforms of square tiles, any number of channels at once: polynomials evaluated at
// the points 0, +-at[0], +-at[1] and infinity, and all their adjoints.
#pragma once

#include "vec.h"

namespace cenote::CENOTE_TARGET {

template <int edge>
struct Points;
template <>
struct Points<4> {
  static constexpr int pairs = 1;
  static constexpr double at[] = {1.0};
};
template <>
struct Points<6> {
  static constexpr int pairs = 2;
  static constexpr double at[] = {0.625, 1.5};
};

template <int edge>
constexpr double square(int pair) {
  return Points<edge>::at[pair] * Points<edge>::at[pair];
}

// What filters are divided by: the product of a point's distances from the other points.
template <int edge>
constexpr double distances(int pair) {
  double product = 1;
  for (int other = 0; other < Points<edge>::pairs; ++other)
    if (pair < 0)
      product *= -square<edge>(other);
    else
      product *= other == pair ? 2 * square<edge>(pair) : square<edge>(pair) - square<edge>(other);
  return product;
}

// A row of an input's tile, transformed: B^T d.
template <int edge>
struct Spread {
  template <class V>
  CENOTE_INLINED void operator()(const V* d, V* to) const {
    using T = float;
    constexpr T a = T(Points<edge>::at[0]), aa = T(square<edge>(0));
    if constexpr (edge == 4) {
      to[0] = d[2] - aa * d[0];
      to[1] = d[2] + a * d[1];
      to[2] = d[2] - a * d[1];
      to[3] = d[3] - aa * d[1];
    } else {
      constexpr T b = T(Points<edge>::at[1]), bb = T(square<edge>(1));
      constexpr T both = T(square<edge>(0) + square<edge>(1));
      constexpr T product = T(square<edge>(0) * square<edge>(1));
      const V near = d[4] - bb * d[2], near_odd = d[3] - bb * d[1];
      const V far = d[4] - aa * d[2], far_odd = d[3] - aa * d[1];
      to[0] = d[4] - both * d[2] + product * d[0];
      to[1] = near + a * near_odd;
      to[2] = near - a * near_odd;
      to[3] = far + b * far_odd;
      to[4] = far - b * far_odd;
      to[5] = d[5] - both * d[3] + product * d[1];
    }
  }
};

// The powers of the positive points, and what the value at 0 is multiplied by; divided or not.
template <class T, int edge, int many, bool divided>
struct Powers {
  T zero, of[Points<edge>::pairs][many];
  static constexpr Powers make() {
    Powers powers = {};
    powers.zero = T(divided ? 1 / distances<edge>(-1) : 1);
    for (int pair = 0; pair < Points<edge>::pairs; ++pair) {
      double power = divided ? 1 / distances<edge>(pair) : 1;
      for (int i = 0; i < many; ++i, power *= Points<edge>::at[pair]) powers.of[pair][i] = T(power);
    }
    return powers;
  }
};

// The values at all points of a polynomial with so many coefficients: A y; divided, G g.
template <int edge, int many, bool divided = false>
struct Evaluate {
  template <class V>
  CENOTE_INLINED void operator()(const V* y, V* to) const {
    using P = Powers<float, edge, many, divided>;
    constexpr P powers = P::make();
    to[0] = powers.zero * y[0];
#pragma GCC unroll 4
    for (int pair = 0; pair < Points<edge>::pairs; ++pair) {
      V even = powers.of[pair][0] * y[0], odd = powers.of[pair][1] * y[1];
#pragma GCC unroll 8
      for (int i = 2; i < many; i += 2) even += powers.of[pair][i] * y[i];
#pragma GCC unroll 8
      for (int i = 3; i < many; i += 2) odd += powers.of[pair][i] * y[i];
      to[1 + 2 * pair] = even + odd;
      to[2 + 2 * pair] = even - odd;
    }
    to[edge - 1] = y[many - 1];
  }
};

// Its adjoint: A^T m; divided, G^T m.
template <int edge, int many, bool divided = false>
struct Collect {
  template <class V>
  CENOTE_INLINED void operator()(const V* m, V* to) const {
    using P = Powers<float, edge, many, divided>;
    constexpr P powers = P::make();
#pragma GCC unroll 4
    for (int pair = 0; pair < Points<edge>::pairs; ++pair) {
      const V even = m[1 + 2 * pair] + m[2 + 2 * pair], odd = m[1 + 2 * pair] - m[2 + 2 * pair];
      if (pair == 0) {
        to[0] = powers.zero * m[0] + powers.of[0][0] * even;
        to[1] = powers.of[0][1] * odd;
      } else {
        to[0] += powers.of[pair][0] * even;
        to[1] += powers.of[pair][1] * odd;
      }
#pragma GCC unroll 8
      for (int i = 2; i < many; ++i) {
        const V term = powers.of[pair][i] * (i % 2 ? odd : even);
        to[i] = pair == 0 ? term : to[i] + term;
      }
    }
    to[many - 1] += m[edge - 1];
  }
};

// A square transformed along both axes.
template <int from, int to, class V, class Line>
CENOTE_INLINE void transform(const V (&square)[from][from], V (&out)[to][to], Line line) {
  V half[from][to];  // turned: column by column
#pragma GCC unroll 8
  for (int j = 0; j < from; ++j) {
    V column[from];
#pragma GCC unroll 8
    for (int i = 0; i < from; ++i) column[i] = square[i][j];
    line(column, half[j]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < to; ++i) {
    V row[from];
#pragma GCC unroll 8
    for (int j = 0; j < from; ++j) row[j] = half[j][i];
    line(row, out[i]);
  }
}

}  // namespace cenote::CENOTE_TARGET
