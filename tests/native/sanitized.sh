#!/usr/bin/env bash
# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: first without Python, then
# through the tests of the operators.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
# Vectors with masks, vectors without, and none: other instruction sets are the same source again.
if [ "$(uname -m)" = x86_64 ]; then export CENOTE_TARGETS="${CENOTE_TARGETS-avx512;avx2;scalar}"; fi

# An editable install takes precedence over anything on the path; without `site` it is not there,
# and the environment's packages come in by their folder.
CENOTE_SANITIZE=1 "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps --upgrade \
  --target build/sanitized-site .
build/sanitized/check 40
packages=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
compiler=${CXX:-c++}
LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)" \
  PYTHONPATH="build/sanitized-site:$packages" \
  "$PYTHON" -S -m pytest -q -p no:cacheprovider tests/native/sanitized_tests.py
