# `make help` explains the targets. Only Python 3.11 to 3.13, git and make are needed.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run env repro refresh scorecard status history rollback verify sign serve ui docs experiments drills evidence compare bench chaos test lint format types bento lock

VENV ?= .venv
SERVE_PORT ?= 3000
ADMIN_PORT ?= 3001
UI_PORT ?= 5000

# DVC runs the stages' commands with $SHELL and finds `python` on the PATH.
export SHELL := /bin/sh
export PATH := $(abspath $(VENV))/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME

# Nothing phones home.
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := true
# Idle OpenMP threads that spin cost several times the work itself on a busy machine.
export OMP_WAIT_POLICY := passive
export BENTOML_HOME ?= $(CURDIR)/.assay/bentoml
# DVC's index holds pickles: it belongs in a private folder, not in the shared one it would choose.
export DVC_SITE_CACHE_DIR ?= $(CURDIR)/.assay/dvc-site

# A stamp named after the lock's content: the same lock costs nothing, a changed one installs anew.
INSTALLED := $(VENV)/.lock-$(shell git hash-object requirements.lock)

help: ## This list
	@echo 'Assay: property valuations, from versioned sales to a judged, served model.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Settings (make run NAME=value):'
	@echo '  PYTHON      the Python to build the environment with (default: the first of 3.11 to 3.13 found)'
	@echo '  VENV        where the environment lives (default: .venv)'
	@echo '  SERVE_PORT  port of the endpoint (default: 3000)'
	@echo '  ADMIN_PORT  port of its metrics and status (default: 3001)'
	@echo '  UI_PORT     port of the MLflow UI (default: 5000)'

run: repro scorecard serve ## All of it: environment, line, scorecard, served endpoint and MLflow UI

env: $(INSTALLED) ## The environment, from the hash-pinned requirements.lock
	@:

$(INSTALLED):
	@.ci/make-env "$(VENV)" "$(PYTHON)"
	@touch "$@"

repro: env ## The line, from sales to a judged champion; does only what a change makes necessary
	@mkdir -p "$(DVC_SITE_CACHE_DIR)" && chmod 700 "$(DVC_SITE_CACHE_DIR)"
	dvc repro

refresh: env ## New sales into the champion's memory, without training: validated, then versioned beside the model
	@mkdir -p "$(DVC_SITE_CACHE_DIR)" && chmod 700 "$(DVC_SITE_CACHE_DIR)"
	dvc repro validate
	@python -m pipelines.refresh

scorecard: env ## The champion's figures on the hold-out, beside the reference models'
	@python -m pipelines.scorecard

status: env ## Ledger, store, registry and a running server: what serves, and whether all agree
	@python -m pipelines.champions status --server http://127.0.0.1:$(SERVE_PORT)

history: env ## Every decision on the champion: when, who, why, from what to what
	@python -m pipelines.champions history

rollback: env ## Back to the champion before, without MLflow or network (make rollback WHY='...' [TO=v3])
	@python -m pipelines.champions rollback --why "$$WHY" $(if $(TO),--to $(TO))

verify: env ## The ledger's chain, and that store and registry are what it says
	@python -m pipelines.champions verify

sign: env ## After the key was lost: a new one, and every version that the ledger knows signed with it (make sign WHY='...')
	@python -m pipelines.champions sign --why "$$WHY"

serve: env ## The endpoint and the MLflow UI on loopback, with an answered example, until Ctrl-C
	@python -m serving.layouts || true # a server without a champion starts, and says what is missing
	@python -m serving.launch --port $(SERVE_PORT) --admin-port $(ADMIN_PORT) --ui-port $(UI_PORT)

ui: env ## The MLflow UI alone
	@python -m serving.launch --only ui --ui-port $(UI_PORT)

test: env ## The whole test suite (a part of it: make test TESTS=tests/test_house.py)
	@python -m pytest $(TESTS)

lint: env ## Style and formatting, judged and not changed
	@ruff check .
	@ruff format --check .

format: env ## Style and formatting, mended
	@ruff check --fix .
	@ruff format .

types: env ## The type checker
	@mypy

docs: env ## The example in docs/api.md, asked anew of the champion
	@python -m serving.api_doc

experiments: env ## What each part of the model is worth and what else was tried: docs/experiments.md and MLflow
	@python -m pipelines.experiments

drills: env ## Directions, reasons and waterfalls counted, poisoned sales measured: docs/drills.md
	@python -m pipelines.drills

evidence: env ## What there is to show of the champion to an auditor, with a script that works every number out again
	@python -m pipelines.evidence_pack $(if $(FINDINGS),--findings "$(FINDINGS)")

compare: env ## Metrics, parameters, data and plots beside those of a commit (make compare BASE=HEAD~1)
	@mkdir -p "$(DVC_SITE_CACHE_DIR)" && chmod 700 "$(DVC_SITE_CACHE_DIR)"
	@python -m pipelines.comparison $(BASE)

bench: env ## The endpoint beside its peers in one run: ratios to docs/serving-benchmarks.md (make bench QUICK=1: nothing written)
	@python -m tests.bench $(if $(QUICK),--quick)

chaos: env ## Slow callers, swaps, damaged models, long load, dead dependencies, each against a running server
	@set -e; for drill in $(or $(DRILL),slow swaps corruptions alone soak); do python -m tests.bench.drills $$drill; done

bento: env ## The promoted model and its service as one deployable bento
	@bentoml build

LOCK := .assay/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate pyproject.toml

lock: env ## Both locks anew from pyproject.toml (pins that still fit stay; delete a lock to renew them)
	@test -x .assay/uv/bin/uv || { python -m venv .assay/uv && .assay/uv/bin/python -m pip install --quiet uv; }
	$(LOCK) --extra train --extra dev --output-file requirements.lock
	$(LOCK) --constraint requirements.lock --output-file serving/requirements.lock
