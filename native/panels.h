// How the right sides of products of matrices lie in memory, on every target.
#pragma once

#include "window.h"

namespace cenote {

// So many output channels lie together, with zeros for channels that there are not.
constexpr Index kPanel = 16;

constexpr Index panels_of(Index channels) { return (channels + kPanel - 1) / kPanel; }

// Channels with those that fill the last panel.
constexpr Index padded(Index channels) { return panels_of(channels) * kPanel; }

}  // namespace cenote
