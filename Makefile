# nnbench: set-up, demo and checks. Each target does its own set-up.
#
#   make setup PYTHON=python3.12        another interpreter for .venv
#   make setup PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
#                                       on Linux: PyTorch without its gigabytes of CUDA libraries
#   make test PYTEST_ARGS="-k record"   a part of the tests

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# A file is one worker's, which keeps what its tests share; tests/conftest.py says in what order.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
SCRIPTS := scripts/gpu_check scripts/slurm_check scripts/parity_matrix scripts/plant_table scripts/bench/run \
	scripts/bench/scale
STAMP := $(VENV)/.nnbench-setup
DOCS_STAMP := $(VENV)/.nnbench-docs

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full parity bench docs lint wheel clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv and install nnbench, every backend and the tools for development

# Renewed when the project's metadata or the versions change; written last, so that an interrupted
# set-up is taken up again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or newer; name one with make setup PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
		{ echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(PIP_ARGS) -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: setup ## train numpy, torch and keras on the same digits, in the same order, and compare them
	$(BIN)/nnbench -m backend=numpy,torch,keras seed=0,1 epochs=20
	@echo "Browse the runs: $(BIN)/nnbench ui"

# Tests start hundreds of processes; what they import is compiled once, whatever the environment says.
test test-full: export PYTHONDONTWRITEBYTECODE :=

test: setup ## run the tests, without the long proofs
	$(BIN)/python -m pytest -m "not slow" $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-full: setup ## run every test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

parity: setup ## compare 300 random nets across the backends, and renew docs/results/parity.md
	for seed in 1 2 3 4 5 6; do \
		NNBENCH_RANDOM_NETS_SEED=$$seed $(BIN)/python -m pytest tests/backends/test_random_nets.py \
			-k 50 -s -q $(PYTEST_ARGS) || exit 1; done
	$(BIN)/python scripts/parity_matrix

bench: setup ## time every backend side by side, ten minutes of it; again, it goes on
	$(BIN)/python scripts/bench/run --out results/bench $(BENCH_ARGS)

docs: $(DOCS_STAMP) ## build the documents as a site: build/site/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/site
	@echo "Read build/site/index.html; it needs no network."

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(PIP_ARGS) -c constraints.txt -e '.[docs]'
	@touch $@

# Without its cache: that misses imports of modules which appear later.
lint: setup ## check style, format, types and import rules
	$(BIN)/ruff check . $(SCRIPTS)
	$(BIN)/ruff format --check . $(SCRIPTS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

wheel: setup ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove what builds and checks leave behind; .venv and results stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
