# make install: the environment. make quickstart: the main job. make test: the tests. Each is enough alone.
PYTHON ?= python3
BIN := .venv/bin
SPACE ?= search_spaces/quickstart.yaml

.PHONY: install quickstart test test-slow test-lowest lint docs clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"raysweep needs Python 3.11 or newer, this is {sys.version}"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

quickstart: install
	$(BIN)/raysweep run $(SPACE)

# Files by several processes: many tests wait for others to start and to end.
WORKERS ?= 2

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

# A part of each room's tests with the oldest dependencies that pyproject.toml allows (but torch: see constraints-lowest.txt).
# Old packages use what newer ones have deprecated, so warnings are no errors here.
LOWEST := tests/golden tests/core tests/frontier/test_frontier_fit.py tests/models/test_harmonics.py tests/models/test_mup.py \
	tests/models/test_geometric.py tests/storage/test_trial_store.py tests/sweep/tuning tests/sweep/space/test_space.py \
	tests/training/test_loop.py tests/training/test_checkpoint.py tests/training/device tests/data/store/test_store.py \
	tests/data/formats/test_formats.py tests/data/generation/test_xtb.py tests/tracking/test_sync.py \
	tests/report/test_report_page.py tests/sweep/engine tests/sweep/test_run.py

.venv-lowest/installed: pyproject.toml constraints-lowest.txt
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e ".[test]"
	touch $@

test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -o filterwarnings=default -m "not slow" -n $(WORKERS) --dist loadfile $(LOWEST)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv .venv-lowest runs site
