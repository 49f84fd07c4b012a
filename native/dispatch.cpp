#include "dispatch.h"

#include <stdexcept>

// targets.inc names every target of this build, fastest first; CMake writes it.
#define CENOTE_ON_TARGET(name)  \
  namespace cenote::name {      \
  extern const Kernels kernels; \
  }
#include "targets.inc"
#undef CENOTE_ON_TARGET

namespace cenote {
namespace {

bool runs([[maybe_unused]] const std::string& name) {
#if defined(__x86_64__)
  if (name == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
  if (name == "avx2")
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
  if (name == "sse4") return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
#endif
  return true;  // scalar anywhere; NEON on every 64-bit Arm
}

const Kernels* const kAll[] = {
#define CENOTE_ON_TARGET(name) &name::kernels,
#include "targets.inc"
#undef CENOTE_ON_TARGET
};

std::vector<const Kernels*> find_usable() {
  std::vector<const Kernels*> found;
  for (const Kernels* kernels : kAll)
    if (runs(kernels->name)) found.push_back(kernels);
  return found;
}

const std::vector<const Kernels*>& usable() {
  static const std::vector<const Kernels*> found = find_usable();
  return found;
}

}  // namespace

std::vector<std::string> all_targets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : kAll) names.emplace_back(kernels->name);
  return names;
}

std::vector<std::string> usable_targets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : usable()) names.emplace_back(kernels->name);
  return names;
}

const Kernels& target(const std::string& name) {
  if (name.empty()) return *usable().front();
  for (const Kernels* kernels : usable())
    if (name == kernels->name) return *kernels;
  throw std::invalid_argument("no usable target named " + name);
}

}  // namespace cenote
