# Needs Python 3.11 or newer and make; everything else is installed into .venv and the user's cache folder.
# Another Python: make PYTHON=/path/to/python3.12 …

VENV := .venv
BIN := $(VENV)/bin
# The first Python on the PATH that is new enough.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
  $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
ARGS ?=
VERSIONS ?= 14 15 16 17

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-versions chaos bench mutants lint format clean

help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.project ## make .venv with everything in it; the outbox command is .venv/bin/outbox

$(VENV)/.dependencies: requirements.lock
	@test -n "$(PYTHON)" || { echo "error: expected Python 3.11 or newer on the PATH, found none" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: $(PYTHON) cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "installing the dependencies of requirements.lock into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.project: $(VENV)/.dependencies pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the whole pipeline and tell what happens (ARGS=--once: end when it is over)
	@$(BIN)/python -m examples.demo $(ARGS)

test: setup ## run every test, then lint (ARGS: options of pytest)
	$(BIN)/python -m pytest $(ARGS)
	@$(MAKE) --no-print-directory lint

test-versions: setup ## run what touches SQL on PostgreSQL 14 to 17 (VERSIONS="14 15")
	@set -e; for version in $(VERSIONS); do echo "PostgreSQL $$version"; \
	  $(BIN)/python -m pytest --postgres-version $$version -m versions $(ARGS); done

chaos: setup ## break everything at random while hosts write, then read back and count (SECONDS=240 SEED=7)
	@$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: setup ## break a rule of the protocol at a time, and see which test notices (NAME="barrier-off …")
	@$(BIN)/python -m tests.mutations $(NAME) $(ARGS)

bench: setup ## measure speed against limits and peers, and write docs/performance.md (ARGS="relay latency")
	@$(BIN)/python -m bench $(ARGS)

lint: setup ## check form, types and the arrows between packages
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/squawk --reporter gcc migrations/sql/*.sql

format: setup ## rewrite the code in the project's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## delete .venv and caches of tools; downloads in the user's cache folder stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
