# The verbs of the house. Everything happens in .venv; nothing outside the checkout is touched.

PYTHON ?= python3
PORT ?= 4000
CONFIG ?= router.yaml
PYTEST_ARGS ?=
COMPILED_TESTS ?= tests/core tests/dialects tests/edge tests/telemetry tests/upstream tests/e2e
FUZZ_SECONDS ?= 600
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help run test chaos lint fmt lock docs tools image-check compiled test-compiled bench bench-peers fuzz clean ALWAYS

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r verb what; do \
		printf '  make %-11s %s\n' "$$verb" "$$what"; done

run: $(VENV)/run.stamp ## the router on 127.0.0.1:4000, from router.yaml (PORT=4001, CONFIG=other.yaml)
	@exec $(BIN)/python -m router serve --config $(CONFIG) --port $(PORT)

test: $(VENV)/dev.stamp .tools/stamp ## every test (PYTEST_ARGS="-k breaker -x" for some)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

chaos: $(VENV)/dev.stamp ## replicas and Redis killed, stopped and hung, and the figures of docs/redis.md: 18 minutes
	@$(BIN)/python -m pytest -m "chaos or not chaos" -o faulthandler_timeout=600 tests/chaos $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp ## style, format, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: $(VENV)/dev.stamp ## mend style and format where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/dev.stamp ## make requirements/*.txt anew from pyproject.toml (UPGRADE=1: with the newest versions)
	$(COMPILE) -o requirements/build.txt requirements/build.in
	$(COMPILE) -o requirements/run.txt pyproject.toml requirements/also.in
	$(COMPILE) -o requirements/dev.txt --extra dev -c requirements/run.txt -c requirements/build.txt \
		pyproject.toml requirements/also.in requirements/build.in
	$(COMPILE) -o requirements/compile.txt -c requirements/run.txt -c requirements/dev.txt requirements/compile.in
	$(COMPILE) -o requirements/extras.txt --extra aws --extra azure --extra otel --extra tokens -c requirements/run.txt \
		-c requirements/dev.txt pyproject.toml requirements/also.in
	$(COMPILE) -o requirements/plots.txt --extra plots -c requirements/run.txt -c requirements/dev.txt \
		pyproject.toml requirements/also.in
	$(COMPILE) -o requirements/tools.txt requirements/tools.in
	@! grep -n '://' requirements/*.txt

docs: $(VENV)/run.stamp ## make docs/metrics.md, the dashboard and the table of docs/deploy.md anew from the code
	$(BIN)/python -m router.telemetry.page >docs/metrics.md.new
	$(BIN)/python -m deploy.grafana.dashboard >deploy/grafana/llm-router.json.new
	@mv docs/metrics.md.new docs/metrics.md
	@mv deploy/grafana/llm-router.json.new deploy/grafana/llm-router.json
	$(BIN)/python -m tests.deploy.values_table

tools: .tools/stamp ## helm, kubectl and the linters that tests/deploy runs, into .tools

image-check: $(VENV)/dev.stamp ## follow the Dockerfile without Docker and run what comes of it, read-only (needs root)
	@$(BIN)/python -m tests.deploy.rehearsal

compiled: .compiled/stamp ## the request path as machine code, into .compiled: a minute or two; see docs/compiled.md

.compiled/stamp: $(VENV)/dev.stamp $(VENV)/sources setup.py $(shell find router -type f ! -name '*.pyc')
	@rm -rf .compiled build # a module that is compiled no more, or into another library, is not to be found again
	@LLM_ROUTER_COMPILE=1 $(PIP) install --quiet --no-deps --no-build-isolation --upgrade --target .compiled .
	@touch $@

$(VENV)/sources: ALWAYS | $(BIN)/python # changes only where a file has come or gone
	@find router -type f ! -name '*.pyc' | sort >$@.new
	@if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi

test-compiled: compiled ## the tests of most of what is compiled, with what `make compiled` has made
	@PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/.compiled $(BIN)/python -c \
		"import router.flow.runner as it; assert it.__file__.startswith('$(CURDIR)/.compiled/') and it.__file__.endswith('.so'), it"
	@PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/.compiled $(BIN)/python -m pytest -o "pythonpath=.compiled ." \
		-m "not interpreted and not long and not chaos" $(COMPILED_TESTS) $(PYTEST_ARGS)

bench: $(VENV)/run.stamp ## the router beside its peers, one core each, 9 minutes (BENCH_ARGS="--quick"); see docs/benchmarks.md
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-peers: $(BIN)/python ## install the peers that `make bench` compares with, each into bench/.peers/
	@for lock in bench/peers/*.txt; do \
		name=$$(basename $$lock .txt); home=bench/.peers/$$name; echo "$$name"; \
		{ $(BIN)/python -m venv $$home && $$home/bin/python -m pip --disable-pip-version-check install --quiet \
			--only-binary :all: --no-deps --require-hashes -r $$lock; } || echo "$$name: not installed" >&2; \
	done
	@echo portkey; mkdir -p bench/.peers/portkey; cp bench/peers/portkey/*.json bench/.peers/portkey/
	@cd bench/.peers/portkey && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || echo "portkey: not installed" >&2

fuzz: $(VENV)/fuzz.stamp ## look for replies that break the upstream client (FUZZ_SECONDS=600); what it finds is in .fuzz/
	@mkdir -p .fuzz/found
	@$(VENV)/fuzz/bin/python -m tests.fuzz.run -max_total_time=$(FUZZ_SECONDS) -max_len=2000 -print_final_stats=1 \
		-dict=tests/fuzz/http.dict -artifact_prefix=.fuzz/ .fuzz/found tests/fuzz/corpus

clean: ## remove .venv and everything generated
	rm -rf $(VENV) .compiled .tools build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .fuzz
	find router tests bench -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than the lock it was installed from. The package itself is linked, not copied, and so never stale.
$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/run.txt -r requirements/build.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/run.stamp

.tools/stamp: deploy/tools.sh requirements/tools.txt | $(BIN)/python
	PYTHON=$(abspath $(BIN)/python) deploy/tools.sh
	@touch $@

$(VENV)/fuzz.stamp: requirements/run.txt requirements/fuzz.txt | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/fuzz
	$(VENV)/fuzz/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		-r requirements/run.txt -r requirements/fuzz.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'llm-router needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.x' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
