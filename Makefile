# `make help` lists what there is. Every target sets up what it needs.
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# tests/conftest.py says how many processes `auto` is: up to four, by cores and memory; ARGS="-n 2" for another number.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup test test-slow test-long test-learning test-faults test-ci lint build-datasets demo reproduce-toy doctor app lock clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the pinned dependencies

$(STAMP): requirements.lock pyproject.toml
	@test -x $(PYTHON) || python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@test -x $(VENV)/bin/uv || $(PYTHON) -m pip install --quiet uv
	$(VENV)/bin/uv pip sync --quiet --compile-bytecode --python $(PYTHON) requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	@touch $(STAMP)

test: setup lint ## lint, type check and the tests of minutes (CPU, no network)
	$(PYTEST) -m "not slow and not long and not learning and not faults" --durations=15 $(ARGS)

test-slow: setup ## real commands from end to end, kills, browsers, every pipeline of diffusers
	$(PYTEST) -m "slow and not long and not learning and not faults" --durations=15 $(ARGS)

test-long: setup ## the tests that take minutes each
	$(PYTEST) -m long $(ARGS)

test-learning: setup ## trainings in the toy world that must teach, and broken ones that must not (minutes)
	$(PYTEST) -m learning $(ARGS)

test-faults: setup ## kills, full disks, damaged files, a sweep on a real Slurm where it is installed (minutes)
	$(PYTEST) -m faults -v $(ARGS)

test-ci: setup ## what CI runs after `make test`: the slow ones and some of those that take minutes, in one run
	$(PYTEST) -q -m "ci or (slow and not long and not learning and not faults)" --durations=60 $(ARGS)

lint: setup ## ruff and mypy
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

build-datasets: setup ## all data sets of recipe=paper or recipe=toy; ARGS="task=object source.root=..." for one
	$(PYTHON) scripts/build_datasets.py $(if $(recipe),recipe=$(recipe)) $(ARGS)

demo: setup ## the toy world: sources, data sets, joint training, report; minutes on two CPU cores
	$(PYTHON) scripts/make_toy_sources.py
	$(PYTHON) scripts/build_datasets.py recipe=toy
	$(PYTHON) scripts/cache_latents.py data.root=data/toy/shards base=toy image_tokens=true launch.cpu_processes=2 data.workers=0 batch_size=32
	$(PYTHON) train.py experiment=joint recipe=toy logger=none data.latents=cache data.image_tokens=cache launch.cpu_processes=2 train.steps=1800
	$(PYTHON) scripts/show_toy_run.py runs/joint-toy
	$(PYTHON) scripts/evaluate.py run=runs/joint-toy limit=16 steps=10 batch_size=32 weights=start oracles=24 scale_by_task.structure=1 cpu_processes=2
	$(PYTHON) scripts/evaluate.py run=runs/joint-toy limit=16 steps=10 batch_size=32 scale_by_task.structure=1 cpu_processes=2

reproduce-toy: setup ## the paper's claims in the toy world, written to docs/results.md; hours on two cores, resumable
	$(PYTHON) scripts/reproduce_toy.py $(ARGS)

doctor: setup ## what this machine has for a run, and what is missing; ARGS="experiment=joint recipe=toy"
	$(PYTHON) scripts/doctor.py $(ARGS)

app: setup ## a page to play with the adapter that comes along; ARGS="checkpoint=runs/joint-toy" for another
	$(PYTHON) scripts/app.py $(ARGS)

lock: ## pin the dependencies anew (needs a set-up .venv)
	$(VENV)/bin/uv pip compile --quiet --universal --extra dev --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header --annotation-style=line --output-file requirements.lock pyproject.toml

clean: ## remove caches and build products; keeps .venv, data and runs
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
