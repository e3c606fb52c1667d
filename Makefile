PYTHON ?= python3

help:            ## list what can be run
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:           ## install the package with everything a developer needs, in the current environment
	$(PYTHON) -m pip install -c constraints.txt -e ".[dev]"

test:            ## run the tests
	$(PYTHON) -m pytest

lint:            ## style, types and the direction of imports
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	lint-imports

docs:            ## run every code block of the README and the docs, and every example
	$(PYTHON) tests/run_documents.py

.PHONY: help setup test lint docs
