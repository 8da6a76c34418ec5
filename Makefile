# The two commands: `make demo` runs a mesh of real services, `make test` runs all tests.
# Both need Python 3.11 or newer with pip and venv, and nothing else; they work as root and as an ordinary user.

PYTHON ?= python3
ARGS ?=
DEMO_PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint unit e2e bench fmt lock clean

demo: $(VENV)/runtime
	@$(BIN)/tulle up -f examples/01-shop --publish $(DEMO_PORT):shop/web:8080 $(ARGS)

test: $(VENV)/dev
	@tests/tools.sh
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest

check: $(VENV)/dev lint unit

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/dev
	$(BIN)/pytest tests/unit tests/golden

e2e: $(VENV)/dev
	@tests/tools.sh
	$(BIN)/pytest tests/e2e

bench: $(VENV)/dev
	@tests/tools.sh
	$(BIN)/python -m benchmarks $(ARGS)

fmt: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header

lock: $(VENV)/dev
	$(LOCK) pyproject.toml --output-file requirements/runtime.lock
	$(LOCK) pyproject.toml --extra dev --output-file requirements/dev.lock
	$(LOCK) requirements/build.in --constraint requirements/dev.lock --output-file requirements/build.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp file says which locked set is installed; a changed lock or project file installs again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tulle needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "install venv: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/runtime: $(VENV)/bin/python requirements/runtime.lock pyproject.toml
	@echo "installing Tulle into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock -r requirements/runtime.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/bin/python requirements/dev.lock pyproject.toml
	@echo "installing Tulle and what its tests need into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/runtime
