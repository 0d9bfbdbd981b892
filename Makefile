# The project's commands. `make train` and `make test` need Python 3.11 to 3.13, make and a
# package index; everything else they install themselves into .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: train test quick backends keras-tests batteries check lint types layers clean

train: $(VENV)/ready
	$(BIN)/epochwise train

test: $(VENV)/ready
	$(BIN)/python -m pytest -q -n 2

quick: $(VENV)/ready
	$(BIN)/python -m pytest -m 'not slow' --ignore=tests/data/sources/test_source_fuzz.py

# What needs TensorFlow or PyTorch, in an environment of its own that has both.
BACKENDS_VENV ?= .venv-backends
BACKENDS_TESTS := tests/framework/test_backend_choice.py tests/engines/test_backends.py \
  tests/data/test_batches_backends.py tests/data/test_sampler_torch.py tests/api/test_forms_of_data.py \
  tests/callbacks/test_epoch_counter.py tests/examples

backends: $(BACKENDS_VENV)/backends
	$(BACKENDS_VENV)/bin/python -m pytest -q -n 2 $(BACKENDS_TESTS)

$(BACKENDS_VENV)/backends: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory VENV=$(BACKENDS_VENV) $(BACKENDS_VENV)/ready
	$(BACKENDS_VENV)/bin/python -m pip install --quiet --constraint constraints.txt tensorflow-cpu torch
	@touch $@

# Keras's own tests with Keras's fit and with ours, from its source distribution on the package
# index, or from KERAS_SOURCE=FOLDER.
KERAS_TESTS_VENV ?= .venv-keras-tests

keras-tests: $(KERAS_TESTS_VENV)/keras-tests
	@for backend in jax tensorflow torch; do \
	  $(KERAS_TESTS_VENV)/bin/python tests/peers/keras_tests.py --backend $$backend \
	    $(if $(KERAS_SOURCE),--source $(KERAS_SOURCE)) || exit 1; done

$(KERAS_TESTS_VENV)/keras-tests: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory BACKENDS_VENV=$(KERAS_TESTS_VENV) $(KERAS_TESTS_VENV)/backends
	$(KERAS_TESTS_VENV)/bin/python -m pip install --quiet --constraint constraints.txt \
	  absl-py grain orbax-checkpoint pandas requests
	@touch $@

batteries: $(VENV)/ready
	@for battery in power_loss kill_saver failing_disk damage repeats stops kills non_finite \
	  exits kinds; do \
	  $(BIN)/python tests/batteries/$$battery.py || exit 1; done

check: lint types layers

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

layers: $(VENV)/ready
	$(BIN)/lint-imports

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "epochwise needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" || \
	  { echo "No package index could be reached: check the network or pip's settings"; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable ".[table,images]"
	@touch $@

clean:
	rm -rf $(VENV) $(BACKENDS_VENV) $(KERAS_TESTS_VENV)
