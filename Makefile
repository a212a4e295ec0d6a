# make lab | demo | check | test | torture | bench | bench-scale | verify-models: each sets up .venv first, where it is missing or pyproject.toml has changed.
PYTHON ?= python3
# On small shared machines threads that spin while they wait cost more than they save: seconds per picture.
export OMP_WAIT_POLICY ?= PASSIVE
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# A file's name as it was given, with any quotes, spaces and "$" (or make's own "$$"): never make's or the shell's.
PHOTO ?=
override PHOTO := $(subst $$$$,$$,$(value PHOTO))
export PHOTO
# A browser is opened where there is a screen; as root, Jupyter has to be allowed.
HEADLESS := $(if $(and $(filter Linux,$(shell uname)),$(if $(DISPLAY)$(WAYLAND_DISPLAY),,yes)),--no-browser)
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab demo lint unit check test torture bench bench-scale verify-models notebooks clean

lab: .venv/installed
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_explore.ipynb \
		$(HEADLESS) $(AS_ROOT)

demo: .venv/installed
	$(BIN)/python -m maskseg_nb --out build/demo --formats side_by_side,coco,csv --verbose -- $${PHOTO:+"$$PHOTO"}

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What needs no browser, no notebook, no full-size network and no patience: two workers, a thread each.
check: lint unit

unit: export OMP_NUM_THREADS ?= 1
unit: .venv/installed
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' \
		--ignore=tests/browser --ignore=tests/trust tests

test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# Ten times the examples, and a scorecard of what was thrown and what came of it.
torture: .venv/installed
	TORTURE=10 $(BIN)/pytest tests/trust

bench: .venv/installed-bench
	PYTHONPATH=tests $(BIN)/python -m bench

# A quarter of an hour: what a run of a million pictures costs beside the network.
bench-scale: .venv/installed-bench
	PYTHONPATH=tests $(BIN)/python -m bench.scale

# Needs a network: the published COCO weights, against torchvision's own loading of them.
verify-models: .venv/installed
	$(BIN)/python tests/verify_models.py

# Run every notebook with the shipped model and store its outputs, as the tests compare them.
notebooks: .venv/installed
	$(BIN)/python tests/execute_notebooks.py

clean:
	rm -rf .venv build *.egg-info

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'Installing into .venv. The first time takes minutes and several GB, most of it torch.'
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@
