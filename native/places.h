// What works by places: elements at flat int64 indices into planes.
#pragma once

#include <vector>

#include "types.h"

namespace cenote {

// Tensors are dense: (outer, inputs, inner) on the side that the indices point into, and
// (outer, outputs, inner) on the other, which the indices lie beside. -1 points nowhere.
struct Places {
  Index outer, inputs, outputs, inner;
  Index count() const { return outer * outputs * inner; }
};

// The position of the first index that is neither -1 nor in [0, inputs), or -1.
Index first_stray(const Places&, const Index* indices);

// out[x] = in[indices[x]], 0 where the index is -1. `bytes` an element: 1, 2, 4 or 8.
void take_places(const Places&, int bytes, const void* in, const Index* indices, void* out,
                 int threads);
// The other way: zeros, but out[indices[x]] = in[x]; of several the last.
void put_places(const Places&, int bytes, const void* in, const Index* indices, void* out,
                int threads);
// The same, adding up; of float or double.
void add_places(const Places&, Type, const void* in, const Index* indices, void* out, int threads);

// Where the greatest element of each window lies when every plane has windows of its own:
// starts[axis] holds (outer, outputs along the axis); windows are `kernel` long. The first of
// equals, the last NaN. Tensors are contiguous, of float or double.
struct Fractional {
  std::vector<Index> n, out, kernel;
  std::vector<const Index*> starts;
};
void fractional_places(const Fractional&, Type, Index outer, const void* in, Index* indices,
                       int threads);

}  // namespace cenote
