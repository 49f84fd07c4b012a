#include "places.h"

#include <cstring>
#include <stdexcept>

#include "parallel.h"

namespace cenote {
namespace {

// Kernels of one instruction set only: they wait for memory, not for arithmetic. A unit is a plane.
Index plane_in(const Task& t) { return t.geometry.n[0] * t.geometry.inner; }
Index plane_out(const Task& t) { return t.geometry.out[0] * t.geometry.inner; }

// Calls body(position beside the indices, position that the index points at).
template <class Body>
void each_place(const Task& t, Index plane, Body body) {
  const Index inner = t.geometry.inner;
  const Index* index = static_cast<const Index*>(t.taps_in) + plane * plane_out(t);
  for (Index x = 0; x < plane_out(t); x += inner)
    for (Index c = 0; c < inner; ++c) body(x + c, index[x + c], index[x + c] * inner + c);
}

template <class E>
Index take(const Task& t, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  for (Index plane = begin; plane < end; ++plane) {
    const E* in = static_cast<const E*>(t.input) + plane * plane_in(t);
    E* out = static_cast<E*>(t.output) + plane * plane_out(t);
    each_place(t, plane, [=](Index x, Index index, Index i) { out[x] = index < 0 ? E(0) : in[i]; });
  }
  return 0;
}

template <class E, bool adds>
Index put(const Task& t, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  for (Index plane = begin; plane < end; ++plane) {
    const E* in = static_cast<const E*>(t.input) + plane * plane_out(t);
    E* out = static_cast<E*>(t.output) + plane * plane_in(t);
    std::memset(out, 0, std::size_t(plane_in(t)) * sizeof(E));
    each_place(t, plane, [=](Index x, Index index, Index i) {
      if (index >= 0) out[i] = adds ? E(out[i] + in[x]) : in[x];
    });
  }
  return 0;
}

void run_places(Kernel kernel, const Places& p, int bytes, const void* in, const Index* indices,
                void* out, int threads) {
  Task t = {};
  t.geometry.n[0] = p.inputs, t.geometry.out[0] = p.outputs, t.geometry.inner = p.inner;
  t.input = in, t.taps_in = indices, t.output = out;
  run(kernel, t, p.outer, p.outer * p.inner * (p.inputs + p.outputs) * bytes, threads);
}

Kernel of_size(int bytes, Kernel one, Kernel two, Kernel four, Kernel eight) {
  switch (bytes) {
    case 1:
      return one;
    case 2:
      return two;
    case 4:
      return four;
    case 8:
      return eight;
    default:
      throw std::invalid_argument("places: elements of 1, 2, 4 or 8 bytes");
  }
}

template <class T>
Index fractional(const Task& t, Index begin, Index end, char* scratch) {
  if (!scratch) return 0;
  const Geometry& g = t.geometry;
  const int rank = g.rank;
  Index plane_n = 1, plane_o = 1;
  for (int l = 0; l < rank; ++l) plane_n *= g.n[l], plane_o *= g.out[l];
  const auto next = [rank](Index* at, auto limit) {
    for (int l = rank - 1; l >= 0 && ++at[l] == limit(l); --l) at[l] = 0;
  };
  Index taps = 1;
  for (int l = 0; l < rank; ++l) taps *= g.axis[l].kernel;
  for (Index plane = begin; plane < end; ++plane) {
    const T* in = static_cast<const T*>(t.input) + plane * plane_n;
    Index* out = static_cast<Index*>(t.output) + plane * plane_o;
    Index o[kMaxRank] = {};
    for (Index x = 0; x < plane_o; ++x, next(o, [&](int l) { return g.out[l]; })) {
      Index k[kMaxRank] = {}, best = -1;
      for (Index tap = 0; tap < taps; ++tap, next(k, [&](int l) { return g.axis[l].kernel; })) {
        Index i = 0;
        for (int l = 0; l < rank; ++l) i = i * g.n[l] + g.starts[l][plane * g.out[l] + o[l]] + k[l];
        if (best < 0 || in[i] > in[best] || in[i] != in[i]) best = i;
      }
      out[x] = best;
    }
  }
  return 0;
}

}  // namespace

Index first_stray(const Places& p, const Index* indices) {
  const Index count = p.count();
  for (Index x = 0; x < count; ++x)
    if (indices[x] < -1 || indices[x] >= p.inputs) return x;
  return -1;
}

void take_places(const Places& p, int bytes, const void* in, const Index* indices, void* out,
                 int threads) {
  const Kernel kernel = of_size(bytes, take<std::uint8_t>, take<std::uint16_t>, take<std::uint32_t>,
                                take<std::uint64_t>);
  run_places(kernel, p, bytes, in, indices, out, threads);
}

void put_places(const Places& p, int bytes, const void* in, const Index* indices, void* out,
                int threads) {
  const Kernel kernel = of_size(bytes, put<std::uint8_t, false>, put<std::uint16_t, false>,
                                put<std::uint32_t, false>, put<std::uint64_t, false>);
  run_places(kernel, p, bytes, in, indices, out, threads);
}

void add_places(const Places& p, Type type, const void* in, const Index* indices, void* out,
                int threads) {
  if (type != kF32 && type != kF64) throw std::invalid_argument("places: float or double");
  const Kernel kernel = type == kF32 ? put<float, true> : put<double, true>;
  run_places(kernel, p, type == kF32 ? 4 : 8, in, indices, out, threads);
}

void fractional_places(const Fractional& f, Type type, Index outer, const void* in, Index* indices,
                       int threads) {
  if (f.n.empty() || f.n.size() > kMaxRank || f.out.size() != f.n.size() ||
      f.kernel.size() != f.n.size() || f.starts.size() != f.n.size())
    throw std::invalid_argument("places: one to three axes, and all of them alike");
  if (type != kF32 && type != kF64) throw std::invalid_argument("places: float or double");
  Task t = {};
  Geometry& g = t.geometry;
  g.rank = int(f.n.size());
  Index elements = outer;
  for (std::size_t l = 0; l < f.n.size(); ++l) {
    g.n[l] = f.n[l], g.out[l] = f.out[l], g.starts[l] = f.starts[l];
    g.axis[l].kernel = f.kernel[l];
    elements *= f.n[l];
  }
  t.input = in, t.output = indices;
  run(type == kF32 ? fractional<float> : fractional<double>, t, outer, elements * 4, threads);
}

}  // namespace cenote
