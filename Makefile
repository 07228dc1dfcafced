# Everything runs from a clone with python3.11+, make and git; the rest is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help demo up test quick cover check types lint format bench matrix wasm-apps docs clean setup setup-dev soak
.DEFAULT_GOAL := help

help:  ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ARTS needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Adding what the tests need ..."
	@$(PIP) install -e ".[apps]" --group dev
	@touch $@

setup: $(VENV)/.installed  ## install ARTS into .venv

setup-dev: $(VENV)/.installed-dev  ## ... and what its tests need
	@sh tests/setup.sh

demo: setup  ## the main job, end to end: four modules move between runtimes while they run
	@$(BIN)/arts demo

up: setup  ## start a realm and leave it running; Ctrl-C stops it
	@$(BIN)/arts up

test: setup-dev  ## all tests
	@$(BIN)/python -m pytest -n auto $(ARGS)

quick: setup-dev  ## the tests that take seconds
	@$(BIN)/python -m pytest -n auto -m "not slow" $(ARGS)

cover: setup-dev  ## every branch of the pure parts is tested
	@$(BIN)/python -m pytest -q -n auto -m "not slow" --cov=arts --cov=runtime --cov-fail-under=100 \
	  --ignore tests/migratable/test_fuzz.py --ignore tests/migratable/test_dense.py \
	  tests/realm tests/scenes tests/scheduling tests/protocol tests/migratable tests/runtime tests/store tests/pair

PROOF := $(BIN)/python -m tests.migratable.proof
MODULES ?= 12000
soak: setup-dev  ## hours: generated modules (MODULES for each engine), pauses, moves, deaths, the suite in SPEC
	@$(PROOF).soak --engine wasmtime --count $(MODULES)
	@$(PROOF).soak --engine v8 --count $(MODULES)
	@$(PROOF).dense --pauses 100 --hops 50
	@ARTS_TEST_PROFILE=soak $(BIN)/python -m pytest -v tests/integration/test_moves_under_load.py \
	  tests/faults/test_crash_matrix.py
	@if [ -n "$(SPEC)" ]; then $(PROOF).spec $(SPEC); \
	  else echo "not run: the WebAssembly suite (make soak SPEC=FOLDER)"; fi

check: setup-dev lint types  ## lint, types

lint: setup-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-dev
	@$(BIN)/mypy

format: setup-dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup-dev  ## the figures of docs/explanation/performance.md
	@for b in control-plane protocol migration checkpoint engine programs reference; do $(BIN)/arts bench $$b --json || exit 1; done

matrix: setup-dev  ## kill everybody in each phase of a move, and write down how it ended
	@rm -f .crash-matrix; ARTS_CRASH_MATRIX=.crash-matrix $(BIN)/python -m pytest \
	  tests/faults/test_crash_matrix.py -k test_a_cell $(ARGS)
	@$(BIN)/python -m tests.faults.crash_matrix .crash-matrix; rm -f .crash-matrix

wasm-apps: setup-dev  ## rebuild the example programs
	@$(BIN)/python wasm-apps/build.py

docs: setup-dev  ## regenerate what the reference takes from the code
	@$(BIN)/python docs/generate.py

clean:  ## remove what the above made
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* .import_linter_cache
