# `make run` and `make test` prepare all that they need. VENV and PYTHON choose another interpreter:
#   make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
CYTHON_SOURCES := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

# Images of containers set it. Then all that is started here would compile the same modules each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help build run test test-all test-sample test-tls ktls cert check format lint types bench instructions fuzz sanitize sanitize-threads sanitize-green conformance docs dist clean apps chaos lossless

help:  ## show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# One pip is enough for all of it: each that comes with Python 3.11 or newer can install in place.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
OFFLINE := { echo "pip failed: is there a network? (a proxy: set HTTPS_PROXY; your own index: PIP_INDEX_URL)" >&2; exit 1; }

# Two stages, so that `make run` waits for what the package needs and not for the frameworks that its tests use.
# The package is installed in place without its core, which is compiled once, below.
$(STAMPS)/installed: pyproject.toml tools/prepare tools/requirements
	@tools/prepare $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	tools/requirements $(BIN)/python | $(PIP) -r /dev/stdin || $(OFFLINE)
	TRICORN_COMPILE=0 flock .stamps.lock $(PIP) --no-build-isolation --no-deps -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/built: $(STAMPS)/installed setup.py $(CYTHON_SOURCES)
	@echo "compiling what has changed of the core; all of it takes one to two minutes on two processors"
	flock .stamps.lock $(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(STAMPS)/tooled: $(STAMPS)/installed
	TRICORN_COMPILE=0 flock .stamps.lock $(PIP) --no-build-isolation -e '.[dev]' || $(OFFLINE)
	@touch $@

build: $(STAMPS)/built $(STAMPS)/tooled  ## the virtual environment with all packages, and the compiled core

run: $(STAMPS)/built  ## serve the example application on 127.0.0.1:8000
	$(BIN)/tricorn --chdir examples hello:app

cert:  ## a certificate for localhost, and an authority of your own that signs it, in .cert (docs/tls.md)
	@tools/certificate .cert

# Which combinations of the axes a run takes: tests/harness/axes.py. One process more than there are processors, since
# tests also wait; JOBS=0 runs them in one, as a debugger wants it.
JOBS ?= $(shell expr $$(nproc) + 1)
SEED ?= $(or $(shell git rev-parse --short HEAD 2>/dev/null),$(shell date +%F))
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test: build  ## the suite: each pair of values of two axes, less of what takes long
	$(PYTEST) -m 'not slow' --combinations=pairwise $(ARGS)

test-all: build  ## the whole suite: the full product of the axes
	$(PYTEST) $(ARGS)

test-sample: build  ## a tenth of what `make test` leaves out: SEED=any text, by default the commit
	$(PYTEST) --combinations=sample --seed='$(SEED)' $(ARGS)

# What starts servers, and does not say over which wire: the others are left out by tests/conftest.py.
SERVED = $(addprefix tests/,gateway integration log metrics transport workers)
test-tls: build  ## the tests of plain connections over TLS (ARGS="--combinations=sample --seed=x": a tenth of all of them)
	TRICORN_TEST_WIRE=tls $(PYTEST) -m 'not slow' --combinations=pairwise --ignore=tests/integration/test_tls.py $(SERVED) $(ARGS)

format:
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: build  ## formatting and lint
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: build  ## mypy --strict
	$(BIN)/mypy

check: lint types test  ## format, lint, types, tests

bench: build  ## Tricorn and its peers: docs/benchmarks.md (nearly two hours)
	$(BIN)/python -m bench $(ARGS)

instructions: build  ## instructions per request, beside the stored figures (two minutes; ARGS=--guarded: half a minute)
	$(BIN)/python -m bench.instructions $(ARGS)

docs: build  ## write the reference of the settings, and what Gunicorn's mean here; build the pages as a site, build/site
	$(BIN)/python -m tricorn.config.reference docs/settings.md
	$(BIN)/python -m tricorn.config.moving docs/gunicorn.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

dist: build  ## a source distribution and a wheel for any Linux of these years, in dist/; the wheel is tried out
	rm -rf dist build/wheel && flock .stamps.lock $(BIN)/python -m build -q --no-isolation
	mkdir -p build/wheel && mv dist/*.whl build/wheel
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/wheel/*.whl
	$(BIN)/python tools/try_wheel.py dist/*.whl

clean:  ## remove what was built (not the virtual environments)
	rm -rf build dist src/*.egg-info
	find src -name '*.so' -o -name '*.c' -path '*/tricorn/*' | xargs -r rm -f

conformance: build  ## h2spec, where it is; the Autobahn test-suite on our WebSocket (ten minutes; ARGS=--quick: ten seconds)
	PYTHONPATH=tests $(BIN)/python -m http2.h2spec
	PYTHONPATH=tests $(BIN)/python -m autobahn.run $(ARGS)

FUZZ_SECONDS ?= 60
fuzz: build  ## throw bent messages at the parsers: make fuzz FUZZ_SECONDS=600
	PYTHONPATH=tests $(BIN)/python -m fuzz.driver --seconds $(FUZZ_SECONDS)

# SEEDS: how many, other ones each day; or SEED="a b": these.
SEEDS ?= 20
chaos: build  ## the suite while system calls misbehave: make chaos SEEDS=200 (nightly; three minutes each), or SEED="a b"
	PYTHONPATH=tests $(BIN)/python -m chaos.run --seeds $(SEEDS) \
		--seed '$(if $(filter command line environment,$(origin SEED)),$(SEED))' $(ARGS)

lossless: build  ## count requests while the server is reloaded, resized, killed (fifteen minutes; ARGS="--event HUP")
	PYTHONPATH=tests:tests/apps $(BIN)/python -m lossless.run $(ARGS)

# Its own copy of the package: the usual modules stay as they are. Reports go to files, since a test that
# captures the output would swallow them. CPython itself never frees everything, so leaks are not looked for here
# (tests/http/test_cost.py does, but for its look at resident memory: the sanitizer holds back what is freed).
# Green threads have a copy without the checks of the stack, since their stacks are copied away and back.
SANITIZED = build/sanitize/$(CHECKS)
SANITIZER = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=32:log_path=$(CURDIR)/$(SANITIZED)/report \
	UBSAN_OPTIONS=print_stacktrace=1:log_path=$(CURDIR)/$(SANITIZED)/report \
	PYTHONMALLOC=malloc TRICORN_TEST_PATIENCE=5 PYTHONPATH=$(CURDIR)/$(SANITIZED)/lib:$(CURDIR)/tests $(BIN)/python -X dev

SANITIZED_SERVERS := $(wildcard tests/faults tests/http2 tests/integration/test_asgi_*.py tests/integration/test_websocket_*.py \
	$(patsubst %,tests/integration/test_%.py,admission autoscaling drain even_load inheritance preload refork time_limits tls warmup) \
	tests/transport/test_*.py)
# They look at resident memory or at processor time: the sanitizer holds back what is freed, and is slow.
MEASURING := work_is_linear or have_the_memory or stalled_handshakes_take or is_let_go or left_to_the_client or makes_send_wait or stops_the_client or cost_little or are_bounded
GREEN := gevent or eventlet

sanitize: sanitize-threads sanitize-green  ## tests and fuzzing of the compiled modules under AddressSanitizer and UBSan

sanitize-threads: CHECKS = 1
sanitize-threads: SELECTED = not ($(MEASURING) or $(GREEN))
sanitize-threads: THEN = $(SANITIZER) -m fuzz.driver --seconds 20
sanitize-green: CHECKS = heap
sanitize-green: SELECTED = ($(GREEN)) and not ($(MEASURING))
sanitize-green: THEN = true

sanitize-threads sanitize-green: build
	TRICORN_SANITIZE=$(CHECKS) flock .stamps.lock $(BIN)/python setup.py -q build --build-base $(SANITIZED) \
		--build-lib $(SANITIZED)/lib --build-temp $(SANITIZED)/tmp build_ext
	rm -f $(SANITIZED)/report.*
	$(SANITIZER) -c 'import tricorn.http.h1 as m; assert "$(SANITIZED)" in m.__file__, m.__file__'
	status=0; \
	$(SANITIZER) -m pytest -q -p no:cacheprovider -o faulthandler_timeout=900 tests/http tests/gateway tests/log tests/fuzz $(SANITIZED_SERVERS) \
		--deselect tests/http/test_cost.py::test_a_million_heads -k '$(SELECTED)' $(ARGS) || status=1; \
	$(THEN) || status=1; \
	if ls $(SANITIZED)/report.* >/dev/null 2>&1; then cat $(SANITIZED)/report.*; status=1; fi; \
	exit $$status

ktls: build  ## the tests of TLS on a kernel that has TLS (ten minutes; ARGS="tests/transport/test_kernel_tls.py": these)
	PYTHONPATH=tests $(BIN)/python -m kernel.run $(ARGS)

apps: build  ## published applications in a browser, beside their usual servers (ten minutes; ARGS="--only gradio")
	PYTHONPATH=tests $(BIN)/python -m applications.run $(ARGS)
