# Every habit has a name.  `make` alone says which.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DURATION ?= 10
PYTEST_ARGS ?=
CHECKED := setup.py $(wildcard docs/conf.py) $(wildcard txbridge tests examples benchmarks twisted)
TYPED := $(wildcard txbridge examples benchmarks)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test conformance lint docs bench dev clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed-run ## a hub, a sensor and a relay on this machine; DURATION=10 seconds
	$(BIN)/txbridge demo --duration $(DURATION)

test: $(VENV)/.installed-test ## the tests, on all cores; PYTEST_ARGS="-n 0 -k outbox" passes arguments on
	$(BIN)/python -m pytest tests --ignore=tests/conformance -n auto --dist worksteal $(PYTEST_ARGS)

# Compiled tests are kept even where the environment says otherwise: it takes each worker seconds to make them.
test conformance: export PYTHONDONTWRITEBYTECODE :=

conformance: $(VENV)/.installed-test ## the tests against real peers and recorded exchanges
	$(BIN)/python -m pytest tests/conformance $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint ## format, rules, types, and who imports whom
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs ## the documentation as HTML; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-bench ## paired runs against peers; prints ratios
	$(BIN)/python -m benchmarks

dev: $(VENV)/.installed-dev ## everything a developer needs, in .venv

clean: ## remove what the other targets made, .venv included
	rm -rf $(VENV) .venv-peers build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis *.egg-info _trial_temp* twisted/plugins/dropin.cache
	find setup.py txbridge tests twisted examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# One stamp per set of requirements, so that `make test` installs only what tests need and the second
# run installs nothing.
$(VENV)/.installed-run: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[host]'
	@touch $@

$(VENV)/.installed-%: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

# Debian ships python3 without ensurepip: `python3 -m venv` then fails.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "txbridge needs Python 3.11 or newer, and there is no python3 here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "txbridge needs Python 3.11 or newer; $(PYTHON) is older.  Say PYTHON=... for another." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory .install-venv
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

.PHONY: .install-venv
.install-venv:
	@set -e; \
	as_root=; \
	if [ "$$(id -u)" != 0 ]; then as_root=sudo; fi; \
	if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null; }; then \
	    echo "$(PYTHON) cannot make virtual environments: install its venv and ensurepip modules" >&2; \
	    echo "(on Debian and Ubuntu: apt-get install python3-venv), then run make again." >&2; \
	    exit 1; \
	fi; \
	echo "Installing python3-venv, which $(PYTHON) lacks."; \
	$$as_root apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends python3-venv
