# Two commands: `make bench` for a first record, `make test` for the tests. Both set up all they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install bench benchmarks test system-test check format schema clean

help:  ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s%s\n", $$1, $$2}'

install: $(INSTALLED)  ## Make .venv with gbench and what its tests need

$(INSTALLED): pyproject.toml build-constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,postgres,tensorboard]'
	@# visdom (live view) builds from source; when that fails everything else still works
	@PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[visdom]' \
	  || echo "make: visdom could not be installed: no live view, all else works"
	@touch $@

# The main job on the embedded default: a processor, no Docker, a small synthetic facades set.
bench: install  ## Run the main job here: CPU, no Docker, synthetic facades -> a CNDB record and an HTML report
	$(BIN)/gbench data synth --out data/synthetic --train 48 --val 4 --test 8 --size 256
	$(BIN)/gbench launch pix2pix_resnet_9blocks 4 1 FP32 gpu-demo --device cpu --runner local \
	  --datasets-dir data --dataset synthetic --steps 120 --warmup 20 \
	  --set data.load_size=72 --set data.crop_size=64 --set network.ngf=16 --set network.ndf=16 --set data.workers=0

benchmarks: install  ## Measure gbench itself against references, side by side: one table, in about five minutes
	$(BIN)/python benchmarks/table.py

test: install  ## Run the tests (no Docker, no servers)
	$(BIN)/python -m pytest -m "not system"

system-test: install  ## Run the system tests: the real docker engine, PostgreSQL, visdom, a browser (as root; see .ci/run for what they need)
	$(BIN)/python -m pytest -m system

check: install  ## Lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: install  ## Mend what lint and format can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schema: install  ## Write cndb/record.schema.json anew, after a change to the record
	$(BIN)/python -m gbench.cndb.json_schema

clean:  ## Remove .venv and caches; results, logs, data and records stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
