// The binding: Python passes addresses, sizes and plain numbers; tensors stay on its side.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <stdexcept>
#include <tuple>

#include "convolution.h"
#include "dispatch.h"
#include "norm.h"
#include "parallel.h"
#include "places.h"
#include "pool.h"
#include "separable.h"
#include "window.h"
#include "winograd.h"

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

// A list an axis: where its windows start, then where they stop; empty for a regular axis.
std::vector<Spans> spans(const std::vector<std::vector<Index>>& ends) {
  std::vector<Spans> all;
  for (const std::vector<Index>& both : ends) {
    const auto middle = both.begin() + std::ptrdiff_t(both.size() / 2);
    all.push_back({{both.begin(), middle}, {middle, both.end()}});
  }
  return all;
}

// The position of a name in a list, which is the number of what it names.
template <class E, std::size_t count>
E named(const char* const (&names)[count], const std::string& name) {
  for (std::size_t i = 0; i < count; ++i)
    if (name == names[i]) return E(i);
  throw std::invalid_argument("the kernels know nothing named " + name);
}

Type type_of(const std::string& name) {
  constexpr const char* kNames[] = {"f32", "f64", "bf16", "f16", "i8",
                                    "u8",  "i16", "i32",  "i64", "bool"};
  return named<Type>(kNames, name);
}

Select select_of(const std::string& name) {
  constexpr const char* kNames[] = {"max", "min"};
  return named<Select>(kNames, name);
}

Map map_of(const std::string& name) {
  constexpr const char* kNames[] = {"plain", "", "", "abs", "square", "power", "raised"};
  return named<Map>(kNames, name);
}

template <class P>
P* at(std::uintptr_t address) {
  return reinterpret_cast<P*>(address);
}

using Address = std::uintptr_t;

// Tells contents apart: all of them up to 8 KiB, else 32 words spread over them and both ends.
std::uint64_t glimpse(const unsigned char* from, std::size_t bytes) {
  std::uint64_t mixed = bytes;
  const auto take = [&](std::size_t at, std::size_t size) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + at, size);
    mixed = (mixed ^ word) * 0x9E3779B97F4A7C15u;
    mixed ^= mixed >> 29;
  };
  if (bytes < 8) {
    take(0, bytes);
    return mixed;
  }
  const std::size_t words = bytes / 8, step = bytes <= 8192 ? 1 : words / 32;
  for (std::size_t word = 0; word < words; word += step) take(word * 8, 8);
  take(bytes - 8, 8);
  return mixed;
}

// The instruction set and the number of threads of calls; 0 asks OpenMP at each.
struct Call {
  const Kernels* kernels;
  int threads;
};

How how(const Call& call) {
  return {*call.kernels, call.threads > 0 ? call.threads : default_threads()};
}

void bind_call(nb::module_& m) {
  nb::class_<Call>(m, "Call").def("__init__", [](Call* self, const std::string& isa, int threads) {
    new (self) Call{&target(isa), threads};
  });
}

void bind_pool(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Pool>(m, "Pool")
      .def("__init__",
           [](Pool* self, const std::vector<Index>& window,
              const std::vector<std::vector<Index>>& ends, const std::vector<Index>& n, Index inner,
              const std::string& type, int tap_bytes) {
             const TapType tap = tap_bytes == 1 ? kTap8 : tap_bytes == 2 ? kTap16 : kTap32;
             new (self) Pool(axes(window), spans(ends), n, inner, type_of(type), tap, std::nullopt);
           })
      .def_static("linear",
                  [](const std::vector<Index>& window, const std::vector<std::vector<Index>>& ends,
                     const std::vector<Index>& n, Index inner, const std::string& type,
                     bool count_include_pad, std::optional<Index> divisor_override,
                     const std::string& rounding, const std::string& map, double p, double floor,
                     const std::vector<std::vector<double>>& weights) {
                    Pool::Linear linear = {};
                    linear.count_include_pad = count_include_pad;
                    linear.override = divisor_override;
                    linear.half_even = rounding == "half_even";
                    linear.wide = rounding == "int64";
                    linear.map = map_of(map), linear.p = p, linear.floor = floor;
                    linear.weights = weights;
                    return Pool(axes(window), spans(ends), n, inner, type_of(type), kTap8, linear);
                  })
      .def_prop_ro("out", &Pool::out)
      .def(
          "select",
          [](const Pool& pool, const Call& call, const std::string& reduce, Index outer, Address in,
             Address out, Address taps) {
            pool.select(how(call), select_of(reduce), outer, at<const void>(in), at<void>(out),
                        at<void>(taps));
          },
          free_gil)
      .def(
          "select_backward",
          [](const Pool& pool, const Call& call, Index outer, Address grad, Address taps,
             Address to) {
            pool.select_backward(how(call), outer, at<const void>(grad), at<const void>(taps),
                                 at<void>(to));
          },
          free_gil)
      .def(
          "pick",
          [](const Pool& pool, const Call& call, Index outer, Address in, Address taps,
             Address out) {
            pool.pick(how(call), outer, at<const void>(in), at<const void>(taps), at<void>(out));
          },
          free_gil)
      .def(
          "indices",
          [](const Pool& pool, const Call& call, Index outer, Address taps, Address out) {
            pool.indices(how(call), outer, at<const void>(taps), at<void>(out));
          },
          free_gil)
      .def(
          "sum",
          [](const Pool& pool, const Call& call, Index outer, Address in, Address out) {
            pool.linear(how(call), outer, at<const void>(in), at<void>(out));
          },
          free_gil)
      .def(
          "sum_backward",
          [](const Pool& pool, const Call& call, Index outer, Address grad, Address to) {
            pool.linear_backward(how(call), outer, at<const void>(grad), at<void>(to));
          },
          free_gil);
  const auto smooth = [&](const char* name, auto member) {
    m.def(
        name,
        [member](const Pool& pool, const Call& call, Index outer, double sharpness, Address x,
                 Address y, Address given, Address to) {
          const Pool::Smooth s = {sharpness, at<const void>(x), at<const void>(y),
                                  at<const void>(given), at<void>(to)};
          (pool.*member)(how(call), outer, s);
        },
        free_gil);
  };
  smooth("log_sum_exp", &Pool::log_sum_exp);
  smooth("log_sum_exp_backward", &Pool::log_sum_exp_backward);
  smooth("log_sum_exp_shares", &Pool::log_sum_exp_shares);
}

void bind_places(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  using Sizes = std::tuple<Index, Index, Index, Index>;
  const auto places = [](const Sizes& sizes) {
    const auto [outer, inputs, outputs, inner] = sizes;
    return Places{outer, inputs, outputs, inner};
  };
  m.def(
      "first_stray",
      [=](const Sizes& sizes, Address indices) {
        return first_stray(places(sizes), at<const Index>(indices));
      },
      free_gil);
  const auto mover = [&](const char* name, auto move) {
    m.def(
        name,
        [=](const Call& call, const Sizes& sizes, int bytes, Address in, Address indices,
            Address out) {
          move(places(sizes), bytes, at<const void>(in), at<const Index>(indices), at<void>(out),
               how(call).threads);
        },
        free_gil);
  };
  mover("take_places", &take_places);
  mover("put_places", &put_places);
  m.def(
      "add_places",
      [=](const Call& call, const Sizes& sizes, const std::string& type, Address in,
          Address indices, Address out) {
        add_places(places(sizes), type_of(type), at<const void>(in), at<const Index>(indices),
                   at<void>(out), how(call).threads);
      },
      free_gil);
  m.def(
      "fractional_places",
      [](const Call& call, const std::vector<Index>& n, const std::vector<Index>& out,
         const std::vector<Index>& kernel, const std::vector<Address>& starts,
         const std::string& type, Index outer, Address in, Address indices) {
        Fractional f = {n, out, kernel, {}};
        for (const Address start : starts) f.starts.push_back(at<const Index>(start));
        fractional_places(f, type_of(type), outer, at<const void>(in), at<Index>(indices),
                          how(call).threads);
      },
      free_gil);
}

void bind_roof(nb::module_& m) {
  m.def(
      "roof",
      [](const Call& call, Address in, Index in_bytes, Address out, Index out_bytes, bool streams) {
        constexpr Address kLine = 64;
        if (in % kLine || out % kLine)
          throw std::invalid_argument("roof: both addresses must be multiples of 64");
        const How with = how(call);
        roof(with.kernels, at<const char>(in), in_bytes, at<char>(out), out_bytes, streams,
             with.threads);
      },
      nb::call_guard<nb::gil_scoped_release>());
}

// Two axes of seven numbers each, in the order of their fields, and the rest of the convolution's.
Convolution convolution(const std::vector<Index>& flat) {
  if (flat.size() != 21) throw std::invalid_argument("a convolution is twenty-one integers");
  const auto slide = [&](std::size_t i) {
    return Slide{flat[i],     flat[i + 1], flat[i + 2], flat[i + 3],
                 flat[i + 4], flat[i + 5], flat[i + 6]};
  };
  return {slide(0), slide(7),      flat[14],      flat[15],     flat[16],
          flat[17], flat[18] != 0, flat[19] != 0, flat[20] != 0};
}

void bind_convolution(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  m.def(
      "convolve",
      [](const Call& call, const std::string& type, const std::vector<Index>& flat, Address x,
         Address weight, Address bias, Address y) {
        convolve(how(call), type_of(type), convolution(flat), at<const void>(x),
                 at<const void>(weight), at<const void>(bias), at<void>(y));
      },
      free_gil);
  // The pooling's window and whether less than nothing becomes nothing, behind the convolution.
  const auto staged = [](std::vector<Index> flat) {
    if (flat.size() != 24) throw std::invalid_argument("a stage is twenty-four integers");
    const Index high = flat[21], wide = flat[22];
    const bool positive = flat[23] != 0;
    flat.resize(21);
    StageTask task = {};
    task.what = convolution(flat);
    task.high = high, task.wide = wide, task.positive = positive;
    return task;
  };
  m.def(
      "stage",
      [=](const Call& call, const std::string& type, const std::vector<Index>& flat, Address x,
          Address weight, Address bias, Address y, Address taps) {
        StageTask task = staged(flat);
        task.x = at<const void>(x), task.weight = at<const void>(weight);
        task.bias = at<const void>(bias), task.to = at<void>(y);
        task.taps = at<std::uint8_t>(taps);
        stage(how(call), type_of(type), task);
      },
      free_gil);
  m.def(
      "stage_gradient",
      [=](const Call& call, const std::string& type, const std::vector<Index>& flat, Address x,
          Address weight, Address given, Address taps, Address input_gradient,
          Address weight_gradient, Address bias_gradient) {
        StageTask task = staged(flat);
        task.x = at<const void>(x), task.weight = at<const void>(weight);
        task.given = at<const void>(given), task.taps = at<std::uint8_t>(taps);
        task.to = at<void>(input_gradient);
        stage_gradient(how(call), type_of(type), task, at<void>(weight_gradient),
                       at<void>(bias_gradient));
      },
      free_gil);
  m.def("glimpse", [](Address from, std::size_t bytes) {
    return glimpse(at<const unsigned char>(from), bytes);
  });
  m.def("images_at_once", [](const Call& call, const std::string& type) {
    return images_at_once(how(call), type_of(type));
  });
  m.def(
      "convolution_gradient",
      [](const Call& call, const std::string& type, const std::vector<Index>& flat, Address x,
         Address given, Address weight, Address bias) {
        convolution_gradient(how(call), type_of(type), convolution(flat), at<const void>(x),
                             at<const void>(given), at<void>(weight), at<void>(bias));
      },
      free_gil);
}

// The side of a tile, the kernel, batch and channels, then of both axes the input's length, the
// padding and the output's length.
Tiling tiling(const std::vector<Index>& flat) {
  if (flat.size() != 11) throw std::invalid_argument("tiles are eleven integers");
  Tiling t = {};
  t.edge = flat[0], t.kernel = flat[1], t.step = t.edge - t.kernel + 1;
  if (t.step < 1) throw std::invalid_argument("tiles are larger than kernels");
  t.batch = flat[2], t.in = flat[3], t.out = flat[4];
  for (std::size_t axis : {0, 1}) {
    t.n[axis] = flat[5 + axis], t.before[axis] = flat[7 + axis], t.outs[axis] = flat[9 + axis];
    t.tiles[axis] = (t.outs[axis] + t.step - 1) / t.step;
  }
  return t;
}

void bind_winograd(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  using Strides = std::tuple<Index, Index, Index, Index>;
  m.def(
      "winograd_filters",
      [](const Call& call, const Strides& sizes, const Strides& strides, Address weight,
         Address packed) {
        const auto [edge, kernel, out, in] = sizes;
        const auto [outer, inner, down, across] = strides;
        winograd_filters(how(call), {edge,
                                     kernel,
                                     out,
                                     in,
                                     {outer, inner, down, across},
                                     at<float>(weight),
                                     at<float>(packed)});
      },
      free_gil);
  m.def(
      "winograd",
      [](const Call& call, const std::vector<Index>& flat, Address x, Address filters, Address bias,
         Address other, bool positive, Address y, Index pitch) {
        WinogradTask task = {};
        task.what = tiling(flat);
        task.x = at<const float>(x), task.filters = at<const float>(filters);
        task.bias = at<const float>(bias), task.other = at<const float>(other);
        task.positive = positive, task.y = at<float>(y), task.pitch = pitch;
        winograd(how(call), task);
      },
      free_gil);
  m.def(
      "winograd_gradient",
      [](const Call& call, const std::vector<Index>& flat, Address x, Address given,
         const Strides& strides, Address weight) {
        const auto [outer, inner, down, across] = strides;
        winograd_gradient(how(call), tiling(flat), at<const float>(x), at<const float>(given),
                          {outer, inner, down, across}, at<float>(weight));
      },
      free_gil);
}

// A pixel's address and its distance to the next.
using Pitched = std::tuple<Address, Index>;
Pixels pixels(const Pitched& p) { return {at<float>(std::get<0>(p)), std::get<1>(p)}; }

// Channels of input and output, the addresses of weight and bias, low and high.
using Cut = std::tuple<float, float>;
using OfPixels = std::tuple<Index, Index, Address, Address, Cut>;
Pointwise pointwise_of(const OfPixels& p) {
  const auto& [in, out, weight, bias, cut] = p;
  return {
      in, out, at<const float>(weight), at<const float>(bias), std::get<0>(cut), std::get<1>(cut)};
}

// The batch, the channels of x and between; then, a number for each axis, the lengths of x, the
// first windows' kernel, stride and padding, the lengths between, the second windows', the
// output's.
SeparableTask separable_of(const std::vector<Index>& flat) {
  if (flat.size() != 21) throw std::invalid_argument("separable sizes are 21 integers");
  SeparableTask t = {};
  t.batch = flat[0], t.channels = flat[1], t.middle = flat[2];
  auto next = flat.begin() + 3;
  const auto both = [&](Index(&to)[2], Index least) {
    for (Index& length : to) {
      length = *next++;
      if (length < least) throw std::invalid_argument("separable sizes that cannot be");
    }
  };
  const auto of_windows = [&](Windows& w) {
    both(w.kernel, 1), both(w.stride, 1), both(w.before, 0);
  };
  both(t.n, 1), of_windows(t.windows), both(t.between, 1), of_windows(t.slides), both(t.outs, 1);
  return t;
}

void bind_separable(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  m.def(
      "pointwise",
      [](const Call& call, const OfPixels& what, Index many, const Pitched& x, const Pitched& other,
         const Pitched& y) {
        PointwiseTask t = {};
        t.what = pointwise_of(what), t.pixels = many;
        t.x = pixels(x), t.other = pixels(other), t.y = pixels(y);
        pointwise(how(call), t);
      },
      free_gil);
  m.def(
      "separable",
      [](const Call& call, const std::vector<Index>& flat, const OfPixels& first,
         const OfPixels& taps, const OfPixels& last, const Pitched& x, const Pitched& other,
         const Pitched& y) {
        SeparableTask t = separable_of(flat);
        const Pointwise between = pointwise_of(taps);
        t.first = pointwise_of(first), t.last = pointwise_of(last);
        t.taps = between.weight, t.bias = between.bias, t.low = between.low, t.high = between.high;
        t.x = pixels(x), t.other = pixels(other), t.y = pixels(y);
        separable(how(call), t);
      },
      free_gil);
  m.def(
      "interleave",
      [](const Call& call, Index many, Index channels, const Pitched& first, const Pitched& second,
         const Pitched& y) {
        interleave(how(call), {many, channels, pixels(first), pixels(second), pixels(y)});
      },
      free_gil);
}

// The addresses of x, other, gamma, beta, mean and scale; low and high.
Norm norm_of(Index rows, Index channels, const std::vector<Address>& at_all,
             const std::tuple<float, float>& cut) {
  Norm n = {};
  n.rows = rows, n.channels = channels;
  n.x = at<const float>(at_all.at(0)), n.other = at<const float>(at_all.at(1));
  n.gamma = at<const float>(at_all.at(2)), n.beta = at<const float>(at_all.at(3));
  n.mean = at<float>(at_all.at(4)), n.scale = at<float>(at_all.at(5));
  std::tie(n.low, n.high) = cut;
  return n;
}

void bind_norm(nb::module_& m) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();
  m.def(
      "norm",
      [](const Call& call, Index rows, Index channels, const std::vector<Address>& all,
         const Cut& cut, double eps, double momentum, Address running_mean, Address running_var,
         Address y) {
        norm(how(call), norm_of(rows, channels, all, cut), eps, momentum, at<float>(running_mean),
             at<float>(running_var), at<float>(y));
      },
      free_gil);
  m.def(
      "norm_again",
      [](const Call& call, Index rows, Index channels, const std::vector<Address>& all,
         const Cut& cut,
         Address y) { norm_again(how(call), norm_of(rows, channels, all, cut), at<float>(y)); },
      free_gil);
  m.def(
      "norm_parts",
      [](const Call& call, Index rows, const std::vector<Address>& parts,
         const std::vector<Index>& sizes, const std::vector<Address>& of, const Cut& cut,
         double eps, Address y) {
        if (parts.size() != sizes.size()) throw std::invalid_argument("norm: a size a part");
        std::vector<const float*> x;
        for (const Address part : parts) x.push_back(at<const float>(part));
        Index channels = 0;
        for (const Index size : sizes) channels += size;
        norm_parts(how(call),
                   {rows, channels, x, sizes, at<const float>(of.at(0)), at<const float>(of.at(1)),
                    at<const float>(of.at(2)), at<const float>(of.at(3)), std::get<0>(cut),
                    std::get<1>(cut), at<float>(y)},
                   eps);
      },
      free_gil);
  m.def(
      "norm_back",
      [](const Call& call, Index rows, Index channels, const std::vector<Address>& all,
         const Cut& cut, Address y, Address given, const std::vector<Address>& to) {
        NormBack b = {};
        b.what = norm_of(rows, channels, all, cut);
        b.y = at<const float>(y), b.given = at<const float>(given);
        b.to_x = at<float>(to.at(0)), b.to_gamma = at<float>(to.at(1));
        b.to_beta = at<float>(to.at(2)), b.to_other = at<float>(to.at(3));
        norm_back(how(call), b);
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
  bind_call(m);
  bind_pool(m);
  bind_convolution(m);
  bind_separable(m);
  bind_winograd(m);
  bind_norm(m);
  bind_places(m);
  bind_roof(m);
}
