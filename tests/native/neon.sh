#!/usr/bin/env bash
# The same source for 64-bit Arm: built with a cross-compiler, run under an emulator.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
PATH="$(dirname "$PYTHON"):$PATH"
compiler=aarch64-linux-gnu-g++

if ! command -v "$compiler" >/dev/null; then
  echo "no $compiler here: the NEON kernels were not compiled" >&2
  exit 0
fi
cmake -S . -B build/neon -G Ninja -DCENOTE_CHECK=ON -DCENOTE_WERROR=ON \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build build/neon >build/neon.log || { cat build/neon.log >&2; exit 1; }
if command -v qemu-aarch64 >/dev/null; then
  qemu-aarch64 -L /usr/aarch64-linux-gnu build/neon/check 20
else
  echo "no qemu-aarch64 here: the NEON kernels were compiled, not run" >&2
fi
