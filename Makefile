# `make help` lists what can be done. The environment is .venv in this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# Test processes side by side; each keeps torch to one thread.
JOBS ?= 2
# Of the study.
SCALE ?= quick

.DEFAULT_GOAL := help
.PHONY: help install train test test-all fuzz lint format bench study docs pictures audit sbom wheel hashes clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP) ## set up .venv with everything that is needed

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sedtf needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

# An extra that is compiled on installation: without a C compiler its tests are skipped.
$(VENV)/.psds: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[psds]' 2>/dev/null \
		|| echo "sedtf[psds] cannot be installed here (no C compiler?): its tests will be skipped"
	touch $@

train: $(STAMP) ## train the default experiment; settings: make train ARGS="model=crnn sampler.gamma=0.08"
	$(BIN)/sedtf train $(ARGS)

test: $(VENV)/.psds ## run the tests (a few minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

test-all: $(VENV)/.psds ## run the slow tests too: on a SLURM of one node if there is one, CUDA kernels in Triton's interpreter
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray,slurm,triton]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "slow or not slow" $(ARGS)

fuzz: $(STAMP) ## change the files of a finished run at random and read them: make fuzz ARGS="outputs/train/DATE/TIME --seconds 600"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

lint: $(STAMP) ## check style, types and words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.words

format: $(STAMP) ## put the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure speed and memory against references
	$(BIN)/python -m benchmarks $(ARGS)

study: $(STAMP) ## when does feedback help? SCALE=quick (15 minutes on two cores), evening (two hours) or full (a night); ARGS="--birdsong ROOT"
	$(BIN)/python -m benchmarks.study --scale $(SCALE) $(ARGS)

docs: $(STAMP) ## build the documentation's site into site/, strictly
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

pictures: $(STAMP) ## draw the pictures of the documentation; ARGS="--train" trains what they need
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.pictures $(ARGS)
# Tools of their own environment: what they need is no business of the project's.
$(VENV)/.audit: $(STAMP)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3' 'cyclonedx-bom>=7,<8'
	touch $@

audit: $(VENV)/.audit ## compare all dependencies with the list of known faults, and look at their licences
	$(BIN)/python .ci/licences.py
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

sbom: $(VENV)/.audit ## write dist/sbom.json: all that is installed, in CycloneDX
	mkdir -p dist
	$(VENV)/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json $(BIN)/python

wheel: $(STAMP) ## build dist/*.whl: the same bytes from the same commit
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --wheel --outdir dist

hashes: $(STAMP) ## write .ci/hashes.txt: what this platform installs, by its hashes, for pip install --require-hashes
	$(BIN)/python .ci/hashes.py > .ci/hashes.txt

clean: ## remove the environment, caches and build products; outputs/ stays
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
