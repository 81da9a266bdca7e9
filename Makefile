# Everything works on a machine with Python >= 3.11, pip and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help demo experiment report test test-slow check lint format types bench docs browser clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[lab]" --group dev
	@touch $@

demo: $(STAMP) ## Train small scale-invariant transformers under three decays, write a report
	@# At this size compiling takes longer than it saves.
	$(BIN)/spectraledge run rank_collapse --scale demo --workers 2 --no-compile

experiment: $(STAMP) ## The full rank-collapse experiment (30 runs, one to two hours on two cores)
	$(BIN)/spectraledge run rank_collapse --scale full --workers 2

report: $(STAMP) ## Write the report of the full experiment from its stored runs
	$(BIN)/spectraledge report rank_collapse --scale full

test: $(STAMP) ## Run doctests and tests (minutes; `make browser` first to include the browser tests)
	@# Two workers: many tests wait, for processes, browsers and clusters of their own.
	$(BIN)/pytest --quiet --doctest-modules src
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-slow: $(STAMP) ## Run the slow scientific tests
	$(BIN)/pytest -m slow

check: lint types test docs ## What CI runs

lint: $(STAMP) ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(STAMP) ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(STAMP) ## Check types
	$(BIN)/mypy

bench: $(STAMP) ## Run the benchmarks, append to results/benchmarks.jsonl
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## Write the generated pages of docs/ and check the links
	$(BIN)/python docs/build.py

browser: ## Install a Chromium for the browser tests (Debian and Ubuntu, as root)
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
