// One target's convolutions by Winograd's transforms. Sums of products may be contracted here.
#include "winograd-inl.h"

namespace cenote::CENOTE_TARGET {
namespace {

// Calls body.operator()<edge, kernel>() for the kind of tile.
template <class Body>
auto with_kind(Index edge, Index kernel, Body body) {
  if (edge == 4) return body.template operator()<4, 3>();
  if (kernel == 5) return body.template operator()<6, 5>();
  return body.template operator()<6, 3>();
}

Index convolve(const WinogradTask& task, Index begin, Index end, char* scratch) {
  return with_kind(task.what.edge, task.what.kernel, [&]<int edge, int kernel>() {
    return convolve_tiles<edge, kernel>(task, begin, end, scratch);
  });
}

Index room(const WinogradSums& s, bool given) {
  return Positions::room(s.what.edge, s.tiles, given ? s.what.out : s.what.in);
}

void filters(const WinogradFilters& f, Index begin, Index end) {
  with_kind(f.edge, f.kernel,
            [&]<int edge, int kernel>() { transform_filters<edge, kernel>(f, begin, end); });
}

Index spread(const WinogradSums& s, Index begin, Index end, char* scratch) {
  return with_kind(s.what.edge, s.what.kernel, [&]<int edge, int kernel>() {
    return spread_tiles<edge, kernel>(s, begin, end, scratch);
  });
}

void gather(const WinogradFilters& f, Index begin, Index end) {
  with_kind(f.edge, f.kernel,
            [&]<int edge, int kernel>() { gather_filters<edge, kernel>(f, begin, end); });
}

}  // namespace

extern const Winograd winograd;
constinit const Winograd winograd = {convolve, room, filters, spread, multiply_tiles, gather};

}  // namespace cenote::CENOTE_TARGET
