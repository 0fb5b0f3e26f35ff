# Needs make and Python 3.11 to 3.13 with its venv module; everything else is installed into .venv.
#
#   make demo       train, plot, export and reload the digits model
#   make test       lint, types, import rules and the tests
#   make test-full  the same with the slow tests
#   make test-gpu   the tests that need a CUDA GPU
#   make lint       the checks without the tests

SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin

# The first supported interpreter on the machine; override with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  2>/dev/null && { echo $$p; break; }; done)

.PHONY: demo test test-full test-gpu lint clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '/^#   /s/^#   /  /p' Makefile

demo: $(VENV)/.demo
	$(BIN)/python examples/digits.py

test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-full: lint
	$(BIN)/python -m pytest -n auto --dist worksteal

test-gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m cuda -rs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

clean:
	rm -rf $(VENV) build dist out examples/out

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: jaxc needs Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The installs are editable: a change of the code needs no new install, one of pyproject.toml does.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev]'
	@touch $@ $(VENV)/.demo
