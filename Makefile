# make help says what there is. All paths are relative, so the folder's name may hold spaces.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
            command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: help demo test test-long lint docs check clean debian

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## /make \1\t/' | expand -t 18

demo: $(VENV)/.demo ## install the package in .venv, search over the digits, print where the report is
	@slots=$$(( $$(nproc) > 1 ? 2 : 1 ))
	$(BIN)/nano-hpo run examples/digits.py:objective --n-trials 40 --n-parallels "$$slots"
	echo "The command nano-hpo is in $(BIN); type  . $(BIN)/activate  to use it by its name."

test: check $(VENV)/kernel ## format, lint, types and tests, as continuous integration does
	@$(BIN)/python -m pytest -m "not long" $(PYTEST_ARGS)

test-long: check $(VENV)/kernel ## the same with the widest matrices and the long chaos
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: check ## format, lint and types only

docs: $(VENV)/.test ## pages that the code writes (docs/settings.md, docs/api.md); all docstrings in build/docs/
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -W ignore docs/generate.py --html build/docs 
	echo "build/docs/index.html"

check: $(VENV)/.test
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean: ## remove .venv, caches and what was built; run directories stay
	@rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

debian: # the Debian packages that the tests need
	@.ci/setup-debian "$(PYTHON)"

# Stamps: what is up to date is not installed again; pyproject.toml decides.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing nano-hpo in $(VENV) (a minute) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[examples]"
	touch $@

$(VENV)/.test: pyproject.toml .ci/constraints.txt | debian $(BIN)/python
	@echo "Installing nano-hpo and what its tests need in $(VENV) (some minutes) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e ".[test]"
	touch $@ $(VENV)/.demo

$(VENV)/kernel: | debian $(BIN)/python
	@.ci/setup-kernel $@

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "nano-hpo needs Python 3.11 or newer; none was found on PATH." >&2; exit 1; fi
	if ! $(PYTHON) -m venv $(VENV); then
	    rm -rf $(VENV)
	    echo "No environment could be made; on Debian: apt-get install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2
	    exit 1
	fi
