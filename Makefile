.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
FILES ?= 20000
RECIPE ?= digits
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
SHARED := -n $(WORKERS) --dist loadscope # who runs with whom: tests/conftest.py

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

$(READY): pyproject.toml setup.py requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c requirements.lock -e '.[dev,postgres]'
	@touch $@

setup: $(READY) ## create the environment in .venv

run: $(READY) ## curate a lopsided pool of handwritten digits, and say what it teaches beside a random draw
	$(BIN)/evenkeel run $(RECIPE) $(ARGS)
	$(BIN)/evenkeel evaluate $(RECIPE) --out .evenkeel/$(notdir $(basename $(RECIPE)))-evaluation.svg

mix: $(READY) ## learn a mixture of packages from a linear probe: three rounds of trials, in this process
	$(BIN)/python -m evenkeel.flows.server.trainer docstrings-mixture $(ARGS)

check: lint ## what to run while you work: lint, types, imports and the quick tests (under 2 minutes on 2 cores)
	$(PYTEST) $(SHARED) -m "not slow and not gpu and not server and not long" $(ARGS)

test: $(READY) ## the tests (under 10 minutes on 2 cores)
	$(PYTEST) $(SHARED) $(ARGS)

test-all: $(READY) ## the slow tests too, and properties on more examples
	EVENKEEL_THOROUGH_TESTS=1 $(PYTEST) -m "not gpu" $(ARGS)

test-suites: $(READY) ## DIR=FOLDER: the test suites of other projects, of which FOLDER holds checkouts (CONTRIBUTING.md)
	EVENKEEL_SUITES=$(abspath $(DIR)) $(PYTEST) -m slow tests/suites $(ARGS)

fuzz: $(READY) ## damaged files of every format through ingest, as many as FILES says
	$(BIN)/python -m tests.fuzz --files $(FILES) $(ARGS)

test-gpu: $(READY) ## the device loop on NumPy's arrays, and what needs a CUDA device and the gpu extra where there is one
	$(PYTEST) -m "gpu or not gpu" tests/gpu tests/infra/test_gpu.py $(ARGS)

bench-gpu: $(READY) ## k-means on a CUDA device beside the CPU and other libraries, in under 8 minutes, written to docs/
	$(BIN)/python -m tests.bench.bench_gpu $(ARGS)

bench-setup: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c requirements.lock -e '.[dev,bench]'

bench: bench-cluster bench-balance bench-dedup bench-text bench-publish ## all benchmarks against peers, written to docs/

bench-cluster: bench-setup ## clustering against FAISS, scikit-learn and scikit-learn-intelex
	$(BIN)/python -m tests.bench.bench_cluster $(ARGS)

bench-balance: bench-setup ## strategies on labelled pools
	$(BIN)/python -m tests.bench.bench_balance $(ARGS)

bench-dedup: bench-setup ## deduplication against datatrove
	$(BIN)/python -m tests.bench.bench_dedup $(ARGS)

bench-text: bench-setup ## statistics and quality rules of texts against datatrove's filters
	$(BIN)/python -m tests.bench.bench_text_signals $(ARGS)

bench-publish: $(READY) ## staging, publishing and listing versions, and how fast each reader reads them back
	$(BIN)/python -m tests.bench.bench_publish $(ARGS)

bench-readers: $(READY) ## training loaders on a version, in an environment of their own: they want other versions than we do
	$(BIN)/uv venv --quiet --allow-existing .venv/readers/torch
	$(BIN)/uv pip install --quiet --python .venv/readers/torch/bin/python torch torchdata mosaicml-streaming 'datasets>=4,<5' s3fs \
	  pydantic pyiceberg sqlalchemy zstandard
	$(BIN)/uv pip install --quiet --python .venv/readers/torch/bin/python --no-deps -e .
	.venv/readers/torch/bin/python -m tests.bench.bench_readers $(ARGS)
	EVENKEEL_READERS=.venv/readers $(PYTEST) -m slow tests/reading/test_torch.py tests/versions/test_export_annotated.py -k "ranks or mds"

bench-gates: $(READY) ## gates over many clusters and the card, after `make run`
	$(BIN)/python -m tests.bench.bench_gates $(ARGS)

# One package of links for tools that read code without importing it.
TYPES := .venv/types/evenkeel
$(TYPES): $(READY)
	mkdir -p $@ && ln -sfn $(foreach place,flows tasks expectations infra evenkeel/__init__.py evenkeel/py.typed,$(CURDIR)/$(place)) $@/
	@touch $@

lint: $(READY) $(TYPES) ## ruff, mypy, and which way imports run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd $(dir $(TYPES)) && ../bin/lint-imports --no-logo --cache-dir ../imports $(CURDIR)/pyproject.toml

lock: ## resolve requirements.lock anew (CPU and GPU together)
	$(BIN)/uv pip compile pyproject.toml --extra gpu --extra aws --extra postgres --extra k8s --extra slurm --extra bench --extra export --extra language --extra secrets --extra telemetry \
	  --extra dev --universal --quiet --no-annotate --no-header -o requirements.lock

docs: $(READY) ## build the documentation site in .site/; `mkdocs serve` shows it while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo ".site/index.html"

dist: $(READY) ## sdist and wheel, and the images where a container builder answers, named by the version of the tag
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	infra/images/build $(firstword $(wildcard dist/*.whl) dist)

serve: $(READY) ## start a Prefect server and a worker here, deploy everything, print the addresses
	$(BIN)/evenkeel serve $(ARGS)

serve-down: ## end exactly what `make serve` started
	$(BIN)/evenkeel serve --down

clean: ## remove the environment and the local workspace
	rm -rf .venv .evenkeel .site *.egg-info

.PHONY: help setup run check test test-all test-suites fuzz test-gpu bench-gpu bench-setup bench bench-cluster bench-balance bench-dedup bench-text bench-publish bench-readers bench-gates lint lock docs dist serve serve-down clean
