# Everything a fresh machine needs beyond git, make, bash and Python >= 3.11 goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

BENCH_CACHE ?= build/bench-tiles

.PHONY: demo test lint bench bench-tiles docs clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "hdgan needs Python 3.11 or newer; set PYTHON=/path/to/one"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gan,onnx,cluster,test,lint,docs]'
	touch $@

demo: $(STAMP)  ## the main job on what ships: about five minutes on two cores
	$(BIN)/hdgan demo --out demo

# One process a core and one thread a process: several threads of torch's on few cores wait for each other more than they work.
# A file's tests stay together, since they share what its fixtures made.
test: export OMP_NUM_THREADS ?= 1
test: $(STAMP)  ## all tests, with coverage
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --cov=hdgan --cov-report=term:skip-covered --cov-fail-under=85 -q

lint: $(STAMP)  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## what the speed claims in benchmarks/RESULTS.md come from
	$(BIN)/python benchmarks/fir_convolutions.py
	$(BIN)/python benchmarks/labels/predict.py --resolutions 256 512

bench-tiles: $(STAMP)  ## what tiling must hold: speed, memory, size of an install, faults; keeps painted slides in BENCH_CACHE
	$(BIN)/python benchmarks/tiles/all.py --cache $(BENCH_CACHE)

docs: $(STAMP)  ## the documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) demo site
