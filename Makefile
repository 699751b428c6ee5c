# `make demo` and `make test` need Python 3.11+ with pip and nothing else: they make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo demo-fast test gpu-test gpu-benchmark lint format benchmarks clean

demo: $(STAMP)
	$(BIN)/graphrise demo --out graphrise-demo

demo-fast: $(STAMP)
	$(BIN)/graphrise demo --fast --out graphrise-demo

test: lint
	$(BIN)/python -m pytest

# Of another PyTorch than the tests' own, whose warnings are no errors.
gpu-test: $(STAMP)
	$(BIN)/python -m pytest -m gpu -W default -rfs

gpu-benchmark: $(STAMP)
	$(BIN)/python -m benchmarks ops --device cuda --json ops-cuda.jsonl --csv ops-cuda.csv

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is newer than pyproject.toml only if the install went through to its end. torch and
# torchvision go first: together they resolve to a pair that fits.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "torch>=2.11" "torchvision>=0.26"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) graphrise-demo dist
