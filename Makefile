# `make bench` makes a first record, `make test` runs the tests. Both install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
FUZZ_SECONDS ?= 600
SEED ?= 1
AUDIT_OPTIONS ?=
# No restart of a worker that ends: with loadgroup, pytest-xdist then waits for ever.
PYTEST_OPTIONS := -n $(WORKERS) --dist loadgroup --max-worker-restart 0 --durations=20
PYTEST := $(BIN)/python -m pytest $(PYTEST_OPTIONS)
include .ci/torch-pairs
IMAGE_VENV := .venv-torch-$(IMAGE_TORCH)
IMAGE_TORCH_TESTS = tests/pix2pix tests/fake_gpu/test_gpu_clock.py tests/runs/test_training.py $(shell grep -lrE '^(import|from) torch' tests/measure)

.PHONY: help install shell bench picture benchmarks test image-torch-test fuzz mutation fault-matrix system-test check audit format schema clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s%s\n", $$1, $$2}'

install: $(INSTALLED)  ## Install gbench and its test dependencies into .venv

$(INSTALLED): pyproject.toml build-constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,postgres,tensorboard,upstream,sbom,kubernetes]'
	@# visdom (live view) builds from source; everything else works without it
	@PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[visdom]' \
	  || echo "make: visdom could not be installed; everything but --visdom works"
	@touch $@

shell: install  ## Start a shell with gbench in PATH
	@PATH="$(abspath $(BIN)):$$PATH" exec "$${SHELL:-bash}"

# A CPU, no Docker, the embedded database, a small synthetic facades set.
bench: install  ## Run a small training on the CPU without Docker: a CNDB record and an HTML report
	$(BIN)/gbench data synth --out data/synthetic --train 48 --val 4 --test 8 --size 256
	$(BIN)/gbench launch pix2pix_resnet_9blocks 4 1 FP32 gpu-demo --device cpu --runner local \
	  --datasets-dir data --dataset synthetic --steps 120 --warmup 20 \
	  --set data.load_size=72 --set data.crop_size=64 --set network.ngf=16 --set network.ndf=16 --set data.workers=0

picture: bench  ## Draw docs/images/run-page.png, the page of a run of `make bench` (needs chromium)
	PYTHONPATH=tests/helpers $(BIN)/python docs/images/draw_run_page.py

benchmarks: install  ## Measure gbench against references: one table, in about five minutes
	$(BIN)/python benchmarks/table.py

test: install  ## Run the tests that need no Docker and no servers, in two processes (WORKERS=0: in one)
	$(PYTEST) -m "not system"

# The other packages are those of .venv.
$(IMAGE_VENV)/.installed: .ci/torch-pairs $(INSTALLED)
	$(PYTHON) -m venv $(IMAGE_VENV)
	$(IMAGE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  torch==$(IMAGE_TORCH) torchvision==$(IMAGE_TORCHVISION)
	@for there in $(abspath $(VENV))/lib/python3.*/site-packages; do \
	  for here in $(IMAGE_VENV)/lib/python3.*/site-packages; do \
	    echo "import site; site.addsitedir('$$there')" >$$here/packages.pth; done; done
	@touch $@

image-torch-test: $(IMAGE_VENV)/.installed  ## Run the tests that train or use PyTorch on the image's, the oldest supported
	$(IMAGE_VENV)/bin/python -m pytest $(PYTEST_OPTIONS) -m "not system" $(IMAGE_TORCH_TESTS)

fuzz: install  ## Search for files that break a reader, FUZZ_SECONDS (600) for each of 27
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python tests/helpers/fuzz_search.py $(FUZZ_SECONDS)

fault-matrix: install  ## Run every fault at every step of a run in the simulated world; write docs/fault-matrix.md
	$(BIN)/python tests/sim/matrix.py

mutation: install  ## Make small faults in a copy of the last commit, a sample by SEED (1), and count those that the tests find
	$(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1 coverage
	$(BIN)/python tests/helpers/mutation.py $(SEED)

system-test: install  ## Run the system tests: Docker, PostgreSQL, visdom, a browser (as root; .ci/run installs what they need)
	$(PYTEST) -m system

check: install  ## Run the linter, the format check, mypy and bandit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit --quiet --severity-level medium --confidence-level medium --configfile pyproject.toml --recursive src scripts docs

audit: install  ## Look up known vulnerabilities of the packages that the image installs (needs the network)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement scripts/image-requirements.txt $(AUDIT_OPTIONS) \
	  || { echo "make audit: a package has a known vulnerability, or the service did not answer for it: see above"; exit 4; }

format: install  ## Fix what the linter and the formatter can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schema: install  ## Rewrite cndb/record.schema.json after a change to the record
	$(BIN)/python -m gbench.cndb.json_schema

clean:  ## Remove .venv* and caches; keep results, logs, data and records
	rm -rf $(VENV) .venv-torch-* .venv-audit .mypy_cache .ruff_cache .pytest_cache
