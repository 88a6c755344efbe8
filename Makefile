# Every target works from a fresh clone: it makes .venv once and installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= shards/
RECIPE ?=
OUTPUT ?= runs/pretrain
CKPT ?= runs/pretrain/export
ARGS ?=
NPROC ?= 1
JOBS ?= 2
LOCK ?=
COMMA := ,
EXTRAS := train seg s3 gs az hf dask plot track coco corrupt explore browser docs dev

TORCHRUN := $(BIN)/torchrun --nproc-per-node=$(NPROC) -m fdsl_train.cli
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
TRAIN = $(if $(filter-out 1,$(NPROC)),$(TORCHRUN),$(BIN)/fdsl-train)

REPRODUCE = $(if $(filter-out 1,$(NPROC)),$(BIN)/torchrun --nproc-per-node=$(NPROC),$(BIN)/python)

.DEFAULT_GOAL := help
.PHONY: help setup lock shards pretrain finetune eval plot trial transfer reproduce test test-fast test-nojit test-lowest coverage mutants fuzz check bench bench-loader bench-storage azurite golden clean gallery notebooks docs package hypotheses gpu-check

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/base.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/all.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(if $(LOCK),--constraint $(LOCK)) --editable ".[$(subst $() ,$(COMMA),$(EXTRAS))]"
	@touch $@ $(VENV)/base.done

setup: $(VENV)/all.done  ## make .venv with everything, for tests, too [LOCK=requirements-dev.lock]

lock: | $(BIN)/python  ## write the versions of all that into requirements-dev.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --universal --python-version 3.11.5 \
		--no-header --no-annotate --no-emit-index-url --quiet --output-file requirements-dev.lock

shards: $(VENV)/base.done  ## render fractal-1 into DATA (shards/)
	$(BIN)/fdsl-gen fractal-1 --out $(DATA) $(ARGS)
	@echo "with make: make pretrain DATA=$(DATA) on a GPU, make trial DATA=photos/ on a CPU"

pretrain: $(VENV)/all.done  ## pre-train on DATA (or DATA=recipe:NAME) [RECIPE=cpu-smoke] [OUTPUT=runs/pretrain] [NPROC=8]
	$(TRAIN) pretrain --data '$(DATA)' --output $(OUTPUT) --resume auto $(if $(RECIPE),--recipe $(RECIPE)) $(ARGS)

finetune: OUTPUT = runs/finetune
finetune: $(VENV)/all.done  ## fine-tune CKPT on DATA, an image folder or shards
	$(TRAIN) finetune --checkpoint $(CKPT) --data $(DATA) --output $(OUTPUT) --resume auto $(if $(RECIPE),--recipe $(RECIPE)) $(ARGS)

eval: $(VENV)/all.done  ## measure CKPT on DATA [ARGS="--report classes.csv --confusion confusion.png"]
	$(BIN)/fdsl-train eval $(CKPT) --data $(DATA) $(ARGS)

plot: $(VENV)/all.done  ## draw loss, learning rate and accuracy of OUTPUT
	$(BIN)/fdsl-train plot $(OUTPUT) $(ARGS)

trial: $(VENV)/all.done  ## does formula pre-training help on the pictures in DATA? 20 minutes on a CPU
	$(BIN)/fdsl-train trial --data $(DATA) $(ARGS)

transfer: $(VENV)/all.done  ## show that formulas pre-train: half an hour on two cores
	$(BIN)/python -m experiments.transfer $(ARGS)

reproduce: $(VENV)/all.done  ## render, pre-train, fine-tune a row of a paper [ROW=1p-frac-cifar100] [NPROC=8]
	$(REPRODUCE) -m experiments.reproduce $(ROW) $(ARGS)

hypotheses: $(VENV)/all.done  ## try the papers' claims on small real images [ARGS="--only delta"]
	$(BIN)/python -m pip install --quiet --no-deps animal-mnist
	$(BIN)/python -m experiments.hypotheses $(ARGS)

test: $(VENV)/all.done  ## run the tests [JOBS=2 processes]
	$(PYTEST) $(ARGS)

test-fast: $(VENV)/all.done  ## run those of the generator that take no seconds each: two minutes
	$(PYTEST) -q -m "not (slow or train)" $(ARGS) \
		$(addprefix --ignore=tests/,fdsl_gen/executors fdsl_gen/storage fdsl_train gpu)  # not even imported

# Where numba overflows in silence, the same Python code warns; both give infinity.
test-nojit: $(VENV)/all.done  ## run the twins of pixels with kernels as plain Python
	NUMBA_DISABLE_JIT=1 $(PYTEST) -q -W ignore::RuntimeWarning -m "not slow" \
		-k "twin or equal" tests/fdsl_gen/core tests/fdsl_gen/kernels tests/fdsl_gen/variants $(ARGS)

LOWEST := $(VENV)/lowest
ALLOWED := import tomllib; \
	wanted = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
	print(*(text.split(',')[0].replace('>=', '==') for text in wanted), sep='\n')

test-lowest:  ## try the generator with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) -c "$(ALLOWED)" > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt \
		--editable . pytest hypothesis mpmath noise pycocotools
	$(LOWEST)/bin/python -m pytest -q -m "not slow" \
		$(addprefix tests/fdsl_gen/,archive core kernels recipe variants) $(ARGS)

coverage: $(VENV)/all.done  ## run the tests and print what they reach, but for compiled kernels
	$(PYTEST) -q --cov=fdsl_gen --cov=fdsl_train --cov-report=term:skip-covered $(ARGS)

azurite:  ## install the emulator of Azure's storage for the tests (needs npm)
	npm install --silent --no-audit --no-fund --prefix $(VENV)/azurite azurite@3

mutants: $(VENV)/all.done  ## make wrong changes to copies, all must be noticed [ARGS="--jobs 2 --only NAME"]
	nice $(BIN)/python -m tests.mutants $(ARGS)

fuzz: $(VENV)/all.done  ## change 2,000 bytes of a dataset and of a run: errors or equal content
	nice $(BIN)/python -m tests.fuzz_bytes 2000

check: $(VENV)/all.done  ## lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q $(ARGS)

bench: $(VENV)/all.done  ## measure rendering, images a second and core
	$(BIN)/python -m bench $(ARGS)

bench-loader: $(VENV)/all.done  ## measure reading against timm's, drawing from recipes, and the trainer
	$(BIN)/python -m bench.loader $(ARGS)
	$(BIN)/python -m bench.recipes
	$(BIN)/python -m bench.trainer

bench-storage: $(VENV)/all.done  ## measure object storage beside plain boto3
	$(BIN)/python -m bench.storage $(ARGS)

gpu-check: $(VENV)/all.done  ## on a machine with a GPU: its tests, then the table of what it computes
	$(BIN)/python -m pytest -q tests/gpu
	$(BIN)/python -m bench.gpu $(ARGS)

golden: $(VENV)/all.done  ## rewrite the pinned digests after pixels changed on purpose
	$(BIN)/python -m tests.golden $(ARGS)

gallery: $(VENV)/all.done  ## draw the picture of all kinds of dataset for README
	$(BIN)/python -m docs.site.pictures docs/gallery.jpg

notebooks: $(VENV)/all.done  ## write the notebooks beside the examples anew
	cd examples && for name in *.ipynb; do \
		../$(BIN)/jupytext --quiet --to ipynb "$${name%.ipynb}.py" --output "$$name"; done

docs: $(VENV)/all.done  ## build the documentation site into build/site, with all its pictures
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir build/site

package:  ## build sdist and wheel into dist/, check them, install the sdist and list datasets
	rm -rf dist build/package
	$(PYTHON) -m venv build/package
	build/package/bin/python -m pip install --quiet build twine
	build/package/bin/python -m build --outdir dist .
	build/package/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/package/fresh
	build/package/fresh/bin/python -m pip install --quiet dist/*.tar.gz
	build/package/fresh/bin/fdsl-gen list

clean:  ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
