# Everything happens in .venv, from requirements.lock; nothing outside this folder is changed. PIP_* variables are respected.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
# More for the command under it: make test ARGS="-k journal", make lock ARGS=--upgrade
ARGS ?=

# The stamps are written last, so an interrupted set-up is begun again. They hold the folder: a venv cannot be moved.
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
ifneq ($(shell $(BIN)/python -c pass 2>/dev/null && cat $(LOCKED) 2>/dev/null),$(CURDIR))
STALE := stale
endif

.PHONY: help setup demo example test long cover lint check lock bench clean stale

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv with everything that is locked, and the project itself

demo: $(READY) ## a deployment from beginning to end on this machine
	@$(BIN)/deploykit demo $(ARGS)

example: $(READY) ## the archive in reports/example anew: the evening of scenario `errors`
	@$(BIN)/deploykit demo --scenario errors
	@rm -rf reports/example && mkdir reports/example
	@cp -r "$$(ls -d reports/shop/* | tail -n 1)" "$$(ls -d .deploykit/demo/*/allowed_signers | tail -n 1)" reports/example/

# Tests mostly wait, so four at once. Those with a sandbox or a browser come after and alone, for they look at the clock.
# Exit code 5 is "no test": ARGS may leave one of the two without any.
test: lint ## lint, then every test
	@$(RUN) pytest -q -n 4 -m "not browser and not sandbox" $(ARGS) || [ $$? -eq 5 ]
	@$(RUN) pytest -m "(browser or sandbox) and not long" $(ARGS) || [ $$? -eq 5 ]

long: $(READY) ## the demo's other scenarios, one after the other
	@$(RUN) pytest -m long $(ARGS)

cover: $(READY) ## what the tests without browser and sandbox reach; it slows them down by half
	@$(RUN) pytest --cov --cov-report=term:skip-covered -q -n 4 -m "not browser and not sandbox" $(ARGS)

lint: $(READY) ## ruff, mypy and the import contracts
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@MYPYPATH=. $(RUN) mypy deploykit tests
	@$(BIN)/lint-imports --no-logo

check: lint ## the short loop: lint, then the tests that need neither browser nor sandbox
	@$(RUN) pytest -q -x -m "not browser and not sandbox" $(ARGS)

lock: $(LOCKED) ## requirements.lock anew from pyproject.toml
	@$(RUN) uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	    --extra dev --output-file requirements.lock $(ARGS) pyproject.toml

bench: $(READY) ## the figures in tests/benchmarks, measured here
	@test -d tests/benchmarks || { echo "make bench: there is nothing in tests/benchmarks yet" >&2; exit 1; }
	@$(RUN) pytest tests/benchmarks -o python_files='bench_*.py' -p no:cacheprovider --timeout=0 -s $(ARGS)

clean: ## remove .venv, caches and builds; archived runs stay
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

# A Python that the user names is used or refused; without one, an old python3 gives way to a newer one beside it.
ifeq ($(origin PYTHON),file)
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11
else
CANDIDATES := $(PYTHON)
endif

$(LOCKED): requirements.lock $(STALE)
	@rm -f $(LOCKED) $(READY)
	@found=; for candidate in $(CANDIDATES); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        found=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 or newer (looked for: $(CANDIDATES))" >&2; \
	    echo "  -> install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	    echo "make: $$found cannot make a virtual environment: venv or ensurepip is missing" >&2; \
	    echo "  -> on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "make: setting up $(VENV) with $$("$$found" --version), once; this takes a minute or two"; \
	"$$found" -m venv --clear $(VENV)
	@$(RUN) pip install --quiet --require-hashes -r requirements.lock
	@printf '%s\n' "$(CURDIR)" > $(LOCKED)

# hatchling is in the lock, so the project needs no isolated build and nothing from outside.
$(READY): $(LOCKED) pyproject.toml
	@rm -f $(READY)
	@$(RUN) pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $(READY)

stale:
