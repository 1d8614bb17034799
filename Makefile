# make demo, make demo-quick, make test, make lint, make bench, make clean.
# The first of them makes .venv from requirements.lock; later ones only look
# whether the lock has changed.

SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
# Folders of the two demos.
RUN ?= runs/demo
QUICK ?= runs/demo-quick
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo demo-quick test lint bench clean venv help

help:
	@sed -n '1,3s/^# //p' Makefile

venv:
	@if ! cmp -s requirements.lock $(VENV)/requirements.lock; then \
	  python=; \
	  for name in $(PYTHON) python3.11 python3.10 python3.9 python3 python; do \
	    if $$name -c 'import sys, venv, ensurepip; assert (3, 9) <= sys.version_info[:2] <= (3, 11)' 2>/dev/null; then \
	      python=$$name; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "Error: Python 3.9, 3.10 or 3.11 with its venv module is missing (found: $$(python3 --version 2>&1)); install one, or name it with make PYTHON=/path/to/python3.11." >&2; \
	    exit 1; fi; \
	  echo "Making $(VENV) with $$($$python --version) (once, a few minutes)" && \
	  $$python -m venv --clear $(VENV) && \
	  $(PY) -m pip install -qq --no-deps -r requirements.lock && \
	  cp requirements.lock $(VENV)/requirements.lock; \
	fi

# Four sizes of pre-training data, four tasks, fits, a report.
demo: venv
	@$(PY) -m official_repro.study --spec=mini_story --output=$(RUN) --jobs=2

# Pre-training alone.
demo-quick: venv
	@$(PY) -m official_repro.demo --output=$(QUICK)

test: venv lint
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@TF_ENABLE_ONEDNN_OPTS=0 $(PY) -m pytest -n 2 --dist loadfile -m both_settings

lint: venv
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m pytest -q tests/test_imports.py

bench: venv
	@for file in benchmarks/[a-z]*.py; do $(PY) -m benchmarks.$$(basename $$file .py) || exit 1; done

clean:
	rm -rf build runs .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
