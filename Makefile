# Words that run everything: install, demo, check, test, bench. Needs Python >= 3.11, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# EXTRAS=test,peers also installs NEURON, which the fibre engine is then compared with live.
EXTRAS ?= test
KERNELS := src/epidura/numerics
AUDIT := .venv/audit/bin/pip-audit

.PHONY: install demo test test-slow check bench audit clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Epidura needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(STAMP)

demo: install
	$(BIN)/epidura demo

# A compiled kernel is kept with the file that calls it: a change in what it was made of must not go unseen.
test: install check
	find $(KERNELS) -name '*.nb[ic]' ! -newer $(KERNELS)/simd.py -delete
	find $(KERNELS) -name 'cable_kernel*.nb[ic]' ! -newer $(KERNELS)/kinetics.py -delete
	$(BIN)/python -m pytest

# What takes minutes: other meshes and solvers beside ours, faults that a comparison has to see, machine code.
test-slow: install
	$(BIN)/python -m pytest -m slow

check: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks

# Known weaknesses of what constraints.txt pins; asks the service of advisories, so it needs the network. CI does the same where it can
# (.ci/audit); tests/test_dependencies.py does the rest.
audit: $(AUDIT)
	$(AUDIT) --requirement constraints.txt --no-deps --disable-pip

$(AUDIT):
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
