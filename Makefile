# make demo and make test are all that a new machine needs; the rest is for everyday work.

PYTHON := $(shell scripts/python)
.DEFAULT_GOAL := help

help:  ## List what can be made
	@sed -n 's/^\([a-z]*\):.*##/  make \1 #/p' $(MAKEFILE_LIST) | column -t -s '#'

demo: .venv/demo  ## Serve a small shop on http://127.0.0.1:8000
	.venv/bin/coatcheck demo $(ARGS)

test: .venv/dev  ## Run every check: format, lint, types, tests, coverage (ARGS="tests/_session -x": these tests alone)
	scripts/test $(ARGS)

thorough: .venv/dev  ## Run all tests, also what repeats a rule over further kinds of server, or takes long
	scripts/test --thorough $(ARGS)

quick: .venv/dev  ## Run in a minute the tests that need no server, browser or other process
	scripts/test --quick $(ARGS)

pythons: .venv/dev  ## Run the tests that need no browser on Python 3.11, 3.12 and 3.13, where they are found (ARGS=--quick)
	scripts/pythons $(ARGS)

lowest:  ## Run the tests of the storages and of the core on the lowest versions of the dependencies
	scripts/lowest $(ARGS)

fuzz: .venv/dev  ## Run the random tests with 2,000 examples each
	COATCHECK_EXAMPLES=2000 scripts/test -m hypothesis
	COATCHECK_EXAMPLES=2000 scripts/test --thorough tests/test_random_schedules.py

kills: .venv/dev  ## Kill processes that write to files, and that sign in on every storage; look what is lost
	.venv/bin/python -m tests.kills $(ARGS)
	.venv/bin/python -m tests.roster_kills $(ARGS)

soak: .venv/dev  ## Let 64 visitors use every storage for 30 minutes, while servers restart (ARGS=--seconds 120)
	.venv/bin/python -m tests.soak $(ARGS)

lint: .venv/dev  ## Check format, lint and types
	scripts/lint

format: .venv/dev  ## Format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

release: .venv/dev  ## Build the wheel and the sdist into dist/, and check them
	scripts/release

docs: .venv/docs  ## Build the documentation into site/
	.venv/bin/mkdocs build --strict

bench: .venv-bench/ready  ## Measure what a session costs a request, beside peers (ARGS=--quick: in 2 minutes)
	.venv-bench/bin/python -m benchmarks $(ARGS)

lock:  ## Write constraints.txt anew
	scripts/lock

clean:  ## Remove what was made here
	rm -rf .venv .venv-3.* .venv-lowest .venv-bench .venv-bench-3.* site dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache

.venv/demo: pyproject.toml constraints.txt
	scripts/install $(PYTHON) demo

.venv/dev: pyproject.toml constraints.txt
	scripts/install $(PYTHON) dev

.venv/docs: pyproject.toml constraints.txt
	scripts/install $(PYTHON) docs

.venv-bench/ready: pyproject.toml benchmarks/requirements.txt benchmarks/constraints.txt
	benchmarks/install $(PYTHON)

.PHONY: help demo test thorough quick pythons lowest fuzz kills soak lint format docs bench lock clean
