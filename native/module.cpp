// The binding: Python passes addresses, sizes and plain numbers; tensors stay on its side.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "dispatch.h"
#include "parallel.h"
#include "pool.h"
#include "window.h"

namespace nb = nanobind;
using namespace cenote;

namespace {

// Axes travel as six integers each, in the order of the fields of `Axis` in window.py.
std::vector<Axis> axes(const std::vector<Index>& flat) {
  if (flat.size() % 6 != 0) throw std::invalid_argument("a window is six integers an axis");
  std::vector<Axis> window;
  for (std::size_t i = 0; i < flat.size(); i += 6)
    window.push_back(
        {flat[i], flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4], flat[i + 5] != 0});
  return window;
}

Type type_of(const std::string& name) {
  if (name == "f32") return kF32;
  if (name == "f64") return kF64;
  throw std::invalid_argument("no kernels for elements of type " + name);
}

Select select_of(const std::string& name) {
  if (name == "max") return kMax;
  throw std::invalid_argument("no selecting reduction named " + name);
}

How how(const std::string& isa, int threads) {
  return {target(isa), threads > 0 ? threads : default_threads()};
}

template <class P>
P* at(std::uintptr_t address) {
  return reinterpret_cast<P*>(address);
}

using Address = std::uintptr_t;

void bind_pool(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Pool>(m, "Pool")
      .def("__init__",
           [](Pool* self, const std::vector<Index>& window, const std::vector<Index>& n,
              Index inner, const std::string& type, bool is_mean, bool count_include_pad,
              std::optional<Index> divisor_override) {
             std::optional<Pool::Mean> mean;
             if (is_mean) mean = Pool::Mean{count_include_pad, divisor_override};
             new (self) Pool(axes(window), n, inner, type_of(type), mean);
           })
      .def_prop_ro("out", &Pool::out)
      .def_prop_ro("tap_bytes", [](const Pool& pool) { return 1 << pool.tap_type(); })
      .def(
          "select",
          [](const Pool& pool, const std::string& isa, int threads, const std::string& reduce,
             Index outer, Address in, Address out, Address taps) {
            pool.select(how(isa, threads), select_of(reduce), outer, at<const void>(in),
                        at<void>(out), at<void>(taps));
          },
          free_gil)
      .def(
          "select_backward",
          [](const Pool& pool, const std::string& isa, int threads, Index outer, Address grad,
             Address taps, Address to) {
            pool.select_backward(how(isa, threads), outer, at<const void>(grad),
                                 at<const void>(taps), at<void>(to));
          },
          free_gil)
      .def(
          "pick",
          [](const Pool& pool, const std::string& isa, int threads, Index outer, Address in,
             Address taps, Address out) {
            pool.pick(how(isa, threads), outer, at<const void>(in), at<const void>(taps),
                      at<void>(out));
          },
          free_gil)
      .def(
          "indices",
          [](const Pool& pool, const std::string& isa, int threads, Index outer, Address taps,
             Address out) {
            pool.indices(how(isa, threads), outer, at<const void>(taps), at<void>(out));
          },
          free_gil)
      .def(
          "mean",
          [](const Pool& pool, const std::string& isa, int threads, Index outer, Address in,
             Address out) {
            pool.mean(how(isa, threads), outer, at<const void>(in), at<void>(out));
          },
          free_gil)
      .def(
          "mean_backward",
          [](const Pool& pool, const std::string& isa, int threads, Index outer, Address grad,
             Address to) {
            pool.mean_backward(how(isa, threads), outer, at<const void>(grad), at<void>(to));
          },
          free_gil);
}

// The relation as the kernels see it, for the test that holds it to window.py.
std::vector<Index> listed(const host::Run& run) {
  return {run.source, run.step, run.tap, run.tap_step, run.count};
}

void bind_window(nb::module_& m) {
  m.def("window_out",
        [](const std::vector<Index>& axis, Index n) { return host::out(axes(axis).at(0), n); });
  m.def("window_inputs", [](const std::vector<Index>& axis, Index n, Index o) {
    return listed(host::inputs(axes(axis).at(0), n, o));
  });
  m.def("window_readers", [](const std::vector<Index>& axis, Index n, Index i) {
    const Axis a = axes(axis).at(0);
    return listed(host::readers(a, host::out(a, n), i));
  });
  m.def("window_divisor", [](const std::vector<Index>& axis, Index n, Index o, bool padded) {
    return host::divisor(axes(axis).at(0), n, o, padded);
  });
}

}  // namespace

NB_MODULE(_native, m) {
  m.def("all_targets", &all_targets);
  m.def("targets", &usable_targets);
  m.def("default_threads", &default_threads);
  m.attr("openmp") =
#ifdef _OPENMP
      true;
#else
      false;
#endif
  m.attr("sanitized") =
#ifdef __SANITIZE_ADDRESS__
      true;
#else
      false;
#endif
  bind_window(m);
  bind_pool(m);
}
