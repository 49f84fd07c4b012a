# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The package is installed in place by a list of its modules: a new one asks for a new list.
BUILT := $(VENV)/.built-$(shell find src -name '*.py' | sort | cksum | cut -d ' ' -f 1)
SOURCES := CMakeLists.txt pyproject.toml constraints.txt $(wildcard native/*)
# Tests run one process a core; operators inside them stay on the threads that they are given.
JOBS ?= 2

.PHONY: demo test nightly bench pages lint sanitize broken neon clean

demo: $(BUILT)
	$(BIN)/cenote demo --out demo

test: $(BUILT)
	$(BIN)/python -m pytest -n $(JOBS)

# Random examples by the hundred thousand, random networks by the thousand, runs killed at fifty
# moments, every network accelerated in every way, and what takes gigabytes or minutes; torchvision's
# largest networks take 19 GB: these one at a time.
TORCHVISION := tests/test_acceleration_torchvision.py

nightly: $(BUILT)
	CENOTE_EXAMPLES=100000 CENOTE_SLOW=1 CENOTE_NETWORKS=2000 $(BIN)/python -m pytest -n $(JOBS) \
	  tests/test_hypothesis.py tests/test_pool.py tests/test_modes.py tests/test_inspect_fields.py \
	  tests/test_training_kill.py \
	  $(filter-out $(TORCHVISION),$(wildcard tests/test_acceleration_*.py))
	CENOTE_SLOW=1 $(BIN)/python -m pytest $(TORCHVISION)

# Pooling, convolution and whole networks against every peer, with the allocator as it comes and with
# its thresholds raised. What is measured here replaces the records that the pages are made of: `make pages` does
# that.
RESULTS := benchmarks/results

bench: $(VENV)/.bench
	$(BIN)/cenote bench pooling --allocator default --out $(RESULTS)/pooling-default.json
	$(BIN)/cenote bench pooling --allocator raised --out $(RESULTS)/pooling-raised.json
	$(BIN)/cenote bench conv --allocator default --out $(RESULTS)/convolution-default.json
	$(BIN)/cenote bench conv --allocator raised --out $(RESULTS)/convolution-raised.json
	$(BIN)/cenote bench networks --again --allocator default --out $(RESULTS)/networks-default.json
	$(BIN)/cenote bench networks --again --allocator raised --out $(RESULTS)/networks-raised.json
	$(BIN)/cenote bench charts $(RESULTS)/pooling-default.json --out $(RESULTS)
	$(BIN)/cenote bench charts $(RESULTS)/pooling-raised.json --out $(RESULTS)

$(VENV)/.bench: $(BUILT)
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[bench]'
	@touch $@

pages: $(BUILT)
	$(BIN)/cenote bench pages $(RESULTS)/pooling-default.json $(RESULTS)/pooling-raised.json \
	  $(wildcard $(RESULTS)/convolution-*.json) $(wildcard $(RESULTS)/networks-*.json) \
	  --page README.md --page docs/performance.md --page docs/convolution.md \
	  --page docs/acceleration.md
	$(BIN)/python -m cenote.inspection.kinds docs/images/kinds
	$(BIN)/python -m cenote.inspection.shifting.edge docs/images/shift

lint: $(BUILT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror native/*.h native/*.cpp

# The environment: what development uses, pinned, and the package itself in place.
$(BUILT): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit("cenote needs Python 3.10 or newer, this is " + sys.version) if sys.version_info < (3, 10) else None'
	@command -v $${CXX:-c++} >/dev/null || { echo "cenote needs a C++ compiler: install g++ 12 or newer, or clang 16 or newer (Debian, Ubuntu: apt install g++)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch scikit-build-core nanobind cmake ninja
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $(BUILT)

# The native tests once more, with AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: $(BUILT)
	PYTHON=$(BIN)/python tests/native/sanitized.sh

# A kernel broken on purpose: the tests have to see it.
broken: $(BUILT)
	PYTHON=$(BIN)/python tests/native/broken.sh

# The same kernels for 64-bit Arm, under an emulator where there is a cross-compiler and one.
neon: $(BUILT)
	PYTHON=$(BIN)/python tests/native/neon.sh

clean:
	rm -rf build demo $(VENV)
