// Which targets this build has, which of them this processor runs, and which one to take.
#pragma once

#include <string>
#include <vector>

#include "types.h"

namespace cenote {

// All targets of this build, fastest first, ending in plain scalar code.
std::vector<std::string> all_targets();

// Those that this processor runs, in the same order.
std::vector<std::string> usable_targets();

// The target of this name, or the fastest usable one where the name is empty.
// Throws std::invalid_argument for one that is not usable.
const Kernels& target(const std::string& name);

}  // namespace cenote
