# The two that matter: `make demo` and `make test`. `make help` lists all.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_TASK ?= fetch_pick_and_place
SUITES ?= fetch mixed-quality door
JOBS ?= 2
PEERS ?=
DOOR ?=
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo demo-arm test test-unit test-all lint format bench bench-learning clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with everything that the tests use

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "needs the venv module; on Debian: apt install python3-venv"; exit 2; }
	@echo "installing into $(VENV), about 2 minutes"
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

demo: $(STAMP) ## the whole path on one task (DEMO_TASK=fetch_push for another)
	@$(BIN)/robot-orl demo task=$(DEMO_TASK)

demo-arm: $(STAMP) ## the same on an arm: a virtual one, through its serial protocol
	@$(BIN)/robot-orl demo task=arm_lift robot=koch episodes=200 steps=5000 env_steps=12000

test: $(STAMP) ## all tests but the slow ones
	$(BIN)/pytest -n 2 -m 'not slow'

test-unit: $(STAMP) ## the quick part of the tests: no processes, no browser
	$(BIN)/pytest -n 2 -m 'not slow and not e2e'

test-all: $(STAMP) ## all tests
	$(BIN)/pytest -n 2

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff reformat
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## timing against peers, side by side in one run
	$(BIN)/python benchmarks/realtime.py
	$(BIN)/python benchmarks/dataset.py
	$(BIN)/python benchmarks/recording.py

bench-learning: $(STAMP) ## what is learned from mixed data, over seeds: hours (SUITES, JOBS, PEERS, DOOR)
	@for suite in $(SUITES); do \
	    $(BIN)/robot-orl benchmark suite=$$suite jobs=$(JOBS) $(if $(PEERS),peers=$(PEERS)) \
	        $(if $(DOOR),files.door_human=$(DOOR)) || exit $$?; \
	done

clean: ## remove .venv and caches; data, runs and the demo stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
