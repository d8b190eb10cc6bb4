# Everything that people type. Each target first sees to it that .venv holds what requirements.lock says.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

PYTHON ?= python3
PROFILE ?= tiny
BIN := .venv/bin
STAMP := .venv/installed
LOG := .venv/install.log
# With CPU_INDEX torch comes from PyTorch's own index of CPU wheels, without the CUDA libraries (3.3 of 5.5 GB on disk).
CPU_INDEX ?=
CUDA_ONLY := ^(nvidia-|cuda-|triton==)

# Compiled here, on all cores, or Python does so at the first import: or at every one, where PYTHONDONTWRITEBYTECODE is
# set, and torch with diffusers then takes twice its time in each notebook. Left out: thousands of files that no one asks
# for. What cannot be compiled (templates, tests of other Pythons) is no fault.
RARELY := /(tests?|diffusers/pipelines|_inductor|torchgen|transformers/cli|transformers/models/(?!auto|bert|blip|clip)[a-z0-9_]+)/

.PHONY: help install tutorial test lab notebooks lint recipes tables bench bench-all lock clean

help:
	@echo "make tutorial    set up, then run notebook 00: your first translation (8 minutes at most, with installation)"
	@echo "make lab         set up, then open JupyterLab on the notebooks"
	@echo "make notebooks   run all notebooks headless, as a learner runs them, into out/notebooks"
	@echo "make test        lint, unit tests, and all notebooks in 'check' (15 minutes at most, with installation)"
	@echo "make lint        ruff and the import direction only"
	@echo "make recipes     train every shipped weight again from nothing (about three hours on two cores; resumable)"
	@echo "make tables      make every result again that is not of the weights in models/tiny (hours; resumable)"
	@echo "make bench       measure speed, as ratios (10 minutes, the machine left alone); bench-all: everything (hours)"
	@echo "make lock        write requirements.lock from the ranges in pyproject.toml (UPGRADE=1: newest versions)"
	@echo "make clean       remove caches and outputs; keeps .venv, weights and rendered scenes"
	@echo
	@echo "PYTHON=python3.12 make …   another interpreter (3.11 or newer)"
	@echo "PROFILE=full make notebooks   another profile"
	@echo "CPU_INDEX=<address> make …  no GPU here: PyTorch's CPU wheels, without some 3 GB of CUDA libraries; the address"
	@echo "                            is the --index-url that pytorch.org's 'Get started' page shows for pip and CPU"
	@echo
	@echo "Once .venv is there: $(BIN)/v2ir --help, and $(BIN)/v2ir doctor for what this machine can do."

# --- the environment ---------------------------------------------------------------------------------------------
# The stamp is written last, so an environment without it is half-made: made again. One whose interpreter no longer
# starts (a clone that was moved, a Python that was removed) is made again too.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell $(BIN)/python -c 'import pip; print("ok")' 2>/dev/null),ok)
$(shell rm -f $(STAMP))
endif
endif

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@if [ -e $(STAMP) ]; then echo "[install] requirements changed: bringing .venv up to date"; \
	else echo "[install] making .venv: about 2 to 4 minutes, 5.5 GB on disk"; $(PYTHON) -m venv --clear .venv; fi
	@packages=$$(grep -c '==' requirements.lock); \
	lock=requirements.lock; \
	if [ -n "$(CPU_INDEX)" ]; then \
	  grep -vE '$(CUDA_ONLY)' requirements.lock > .venv/cpu.lock; lock=.venv/cpu.lock; \
	  echo "[install] CPU wheels: torch and torchvision from $(CPU_INDEX)"; \
	  $(BIN)/pip install --quiet --index-url $(CPU_INDEX) --no-deps \
	    $$(grep -E '^(torch|torchvision)==' requirements.lock) || exit 1; \
	fi; \
	$(BIN)/pip install --disable-pip-version-check --progress-bar off --no-compile -r $$lock 2>&1 | tee $(LOG) | \
	  awk -v of=$$packages '/^(Collecting|Requirement already)/ && ++n % 40 == 0 {print "[install] " n " of " of " packages found"; fflush()} \
	    /^Installing collected/ {print "[install] all found; unpacking"; fflush()}' \
	|| { grep -E '^ERROR' $(LOG) || tail -n 5 $(LOG); \
	     echo "error: the installation failed; the whole story is in $(LOG)" >&2; exit 1; }
	@echo "[install] compiling what is imported, once: half a minute"
	@$(BIN)/python -m compileall -q -j 0 -x '$(RARELY)' .venv/lib v2ir_lib >> $(LOG) 2>&1 || true
	@$(BIN)/pip install --quiet --no-deps -e . > $(LOG) 2>&1 || { tail -n 5 $(LOG); exit 1; }
	@touch $(STAMP)
	@echo "[install] done"

# --- what people run ---------------------------------------------------------------------------------------------
tutorial: $(STAMP)
	@echo "[tutorial] notebook 00, headless: the first picture takes a minute or two"
	@$(BIN)/v2ir notebooks 00 --profile $(PROFILE) --budget learn --out out/tutorial
	@echo "[tutorial] to change things yourself: make lab"

lab: $(STAMP)
	@$(BIN)/jupyter lab notebooks

notebooks: $(STAMP)
	@$(BIN)/v2ir notebooks --profile $(PROFILE) --budget learn --out out/notebooks

# --- what developers run -----------------------------------------------------------------------------------------
lint: $(STAMP)
	@echo "[lint] ruff, import direction"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "error: not formatted; run: $(BIN)/ruff format ." >&2; exit 1; }
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache > .venv/imports.log 2>&1 || { cat .venv/imports.log; exit 1; }

test: lint
	@echo "[test] unit tests, two at a time: 2 to 5 minutes"
	@$(BIN)/python -m pytest -n 2 --dist worksteal
	@echo "[test] notebooks in 'check', two at a time: about 6 minutes"
	@$(BIN)/v2ir notebooks --profile tiny --budget check --solutions --jobs 2 --out out/check

recipes: $(STAMP)
	@echo "[recipes] every shipped weight, again from nothing: about three hours on two cores. Stop at will: it continues"
	@$(BIN)/python -m v2ir_lib.recipes

# What is of the shipped weights already is left as it is.
tables: $(STAMP)
	@$(BIN)/python -m v2ir_lib.evaluation.tables

bench: $(STAMP)
	@echo "[bench] sampling and training, as ratios: about 10 minutes on two idle cores; leave the machine alone"
	@$(BIN)/python benchmarks/guided_sampling.py

# Everything else that is measured by itself: world needs minutes, data_scale some 10 GB of disk, full_size 16 GB of memory.
bench-all: bench
	@for name in cache_speedup world memory full_size data_scale stream_decode full_work; do \
	  echo "[bench] $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

# Resolves the ranges of pyproject.toml without installing; what is locked already stays, unless UPGRADE=1.
lock:
	@echo "[lock] resolving: a few minutes"
	@$(BIN)/pip install --dry-run --ignore-installed --quiet --report .venv/resolved.json \
	  $(if $(UPGRADE),,-c requirements.lock) -e '.[notebooks,dev]'
	@$(BIN)/python -c "$$WRITE_LOCK" .venv/resolved.json requirements.lock
	@echo "[lock] requirements.lock written; make install brings .venv up to date"

define WRITE_LOCK
import json, re, sys
resolved = json.load(open(sys.argv[1]))["install"]
pins = {i["metadata"]["name"]: i["metadata"]["version"].split("+")[0] for i in resolved}
linux = lambda name: '; platform_system == "Linux"' if re.match(r"(nvidia|cuda)-|triton$$", name) else ""
with open(sys.argv[2], "w") as lock:
    print("# What is tested, exactly. Written by 'make lock'; the ranges are in pyproject.toml.", file=lock)
    for name in sorted(set(pins) - {"v2ir-lib", "setuptools"}, key=str.lower):
        print(f"{name}=={pins[name]}{linux(name)}", file=lock)
endef
export WRITE_LOCK

clean:
	@rm -rf out .pytest_cache .ruff_cache .import_linter_cache v2ir_lib.egg-info
	@find v2ir_lib tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "[clean] kept: .venv (rm -rf .venv), rendered scenes and training states (\$$V2IR_CACHE or .cache/v2ir)"
