#!/usr/bin/env bash
# The wheel as a user gets it (but for plain kernels alone, which build faster): built in isolation,
# where there is no torch, installed in an empty environment
# with what it asks for, run there. Without a compiler the build says what to install.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

CENOTE_TARGETS=scalar "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$out" .
"$PYTHON" -m venv "$out/empty"
"$out/empty/bin/pip" install --quiet --constraint constraints.txt "$out"/*.whl
(cd "$out" && empty/bin/python -c '
import cenote, torch
x = torch.randn(2, 3, 9, 9)
assert torch.equal(cenote.max_pool2d(x, 3, 2, 1), torch.nn.functional.max_pool2d(x, 3, 2, 1))
print("wheel:", cenote.doctor()["isas"])' && empty/bin/cenote --version)

if CXX=/nonexistent/c++ "$PYTHON" -m pip wheel --no-build-isolation --no-deps \
  --config-settings build-dir="$out/build" --wheel-dir "$out/none" . >"$out/log" 2>&1; then
  echo "a build without a compiler succeeded" >&2
  exit 1
fi
grep -o "cenote needs a C++ compiler.*" "$out/log" | head -n 1
