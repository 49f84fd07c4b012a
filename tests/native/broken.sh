#!/usr/bin/env bash
# A plain build whose max takes the last of equal elements instead of the first. Tests that stay green with
# it could not fail at all, so this script fails when they pass.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}

CENOTE_TARGETS=scalar CENOTE_BREAK=1 "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps --upgrade \
  --target build/broken-site .
packages=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# pytest exits with 1 when tests fail, and with other numbers when it could not run them.
status=0
PYTHONPATH="build/broken-site:$packages" "$PYTHON" -S -m pytest -q --maxfail 20 -p no:cacheprovider \
  tests/test_cases.py -k "contract and max" >build/broken.log 2>&1 || status=$?
tail -n 1 build/broken.log
if [ "$status" -ne 1 ]; then
  echo "the tests did not turn red on a broken kernel (pytest exited with $status)" >&2
  exit 1
fi
