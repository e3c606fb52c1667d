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

site:            ## build the documentation site into build/site; a broken link or any other warning fails
	$(PYTHON) -m sphinx -E -W --keep-going -q -b html -c docs . build/site

linkcheck:       ## ask for every link of the documentation that leads elsewhere (needs the network)
	$(PYTHON) -m sphinx -q -b linkcheck -c docs . build/linkcheck

docs:            ## run every code block of the README and the docs, and every example
	$(PYTHON) tests/run_documents.py

.PHONY: help setup test lint site linkcheck docs
