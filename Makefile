# make install: the environment. make quickstart: the main job. make test: the tests. Each is enough alone.
PYTHON ?= python3
BIN := .venv/bin
SPACE ?= search_spaces/quickstart.yaml

.PHONY: install quickstart test test-slow lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"raysweep needs Python 3.11 or newer, this is {sys.version}"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint]"
	touch $@

quickstart: install
	$(BIN)/raysweep run $(SPACE)

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv runs
