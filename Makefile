# The workshop. It needs Python 3.11 to 3.14, make and a package index; `make help` lists the targets.
PYTHON  ?=
ARGS    ?=
WORKERS ?= 2
PIP_ARGS ?=

VENV  := .venv
PY    := $(VENV)/bin/python
PIP   := $(PY) -m pip --disable-pip-version-check -qq
STAMP := $(VENV)/.setup-stamp
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
# One thread for each test process: the tests run side by side, and small networks gain nothing from more.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lint types imports fast bench figures mutants golden pins

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON (interpreter for a new .venv), ARGS (for run, test, fast), WORKERS (test processes),"
	@echo "           PIP_ARGS (for pip, e.g. another index)"

setup: $(STAMP)  ## make .venv with the pinned versions, or bring it up to date

run: $(STAMP)  ## the main job: search on the digits through a local Ray
	$(PY) -m nas.run +experiment=digits $(ARGS)

test: $(STAMP)  ## all tests
	$(PYTEST) $(ARGS)

check: lint types imports fast  ## formatting, lint, types, import contracts, fast tests

lint: $(STAMP)  ## formatting and lint, read-only
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

format: $(STAMP)  ## format, and mend what lint can mend
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(STAMP)  ## static types
	$(PY) -m pyright

imports: $(STAMP)  ## import contracts between the packages
	@rm -rf $(VENV)/rooms && mkdir $(VENV)/rooms && cp -rL nas $(VENV)/rooms  # it follows no links
	cd $(VENV)/rooms && PYTHONPATH=. ../bin/lint-imports --config ../../pyproject.toml --no-cache

fast: $(STAMP)  ## tests that take seconds
	$(PYTEST) -m "not slow" $(ARGS)

bench: $(STAMP)  ## figures of speed; nothing is asserted
	@for file in tests/benchmarks/*_benchmark.py; do echo "== $$file"; PYTHONPATH=. $(PY) "$$file" || exit 1; done

golden: $(STAMP)  ## store the asks, logs, reports and identities that tests compare with anew
	STORE_GOLDEN=1 OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 0 -m "not slow" tests/golden
	@PYTHONPATH=. $(PY) tests/golden/test_identities.py

figures: $(STAMP)  ## the structure of the code in numbers
	@PYTHONPATH=. $(PY) tests/benchmarks/structure.py

mutants: $(STAMP)  ## what the tests do not see: ARGS="nas/study hashing --count 200 --seed 0"
	$(PY) tests/benchmarks/mutants.py $(ARGS)

pins: $(STAMP)  ## write the versions installed in .venv to constraints.txt
	@head -n 2 constraints.txt > $(VENV)/pins.txt
	@$(PIP) freeze --all --exclude-editable | grep -v -i -E '^(nvidia|cuda|triton)' | sed 's/+cpu$$//' \
		| LC_ALL=C sort -f >> $(VENV)/pins.txt
	@mv $(VENV)/pins.txt constraints.txt

# pip and setuptools come first, pinned as well: older ones know no dependency groups.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -c '$(SUITABLE)' 2>/dev/null; then \
		chosen=; \
		for candidate in $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14); do \
			if "$$candidate" -c '$(SUITABLE)' 2>/dev/null; then chosen="$$candidate"; break; fi; \
		done; \
		if [ -z "$$chosen" ]; then \
			echo "setup: expected Python 3.11 to 3.14 with the modules venv and ensurepip;" \
				"found none as $(or $(PYTHON),python3 or python3.11 to python3.14);" \
				"install one (on Debian python3-venv too), or name it: make setup PYTHON=..." >&2; \
			exit 2; \
		fi; \
		echo "Setting up $(VENV) with $$("$$chosen" --version); this takes a few minutes once."; \
		"$$chosen" -m venv --clear $(VENV); \
	fi
	@$(PIP) install $(PIP_ARGS) -c constraints.txt --upgrade pip setuptools
	@$(PIP) install $(PIP_ARGS) -c constraints.txt --no-build-isolation --group dev --editable .
	@touch $@
