# One word per chore. Every chore sets up what it needs: Python >= 3.11 and make are enough.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.synced
DOCS   := $(VENV)/.synced-docs

# `make test ARGS="-k journal"` passes words on to the tool behind a chore.
ARGS ?=

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# The tests start the program some thousand times, a third faster where it is compiled already.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format docs docs-site dist notes bench crash clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## the environment in .venv, exactly as locked

demo: $(STAMP) ## a whole backfill against a local Polymarket, checked against the truth
	$(BIN)/polybackfill demo $(ARGS)

test: $(STAMP) ## all tests but the long ones; twenty minutes on two cores
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## style, strict types, import rule, service files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict --config-file config/yamllint.yml config .github .pre-commit-config.yaml
	@$(BIN)/python tests/docs/service.py config/polybackfill.service config/polybackfill.timer

format: $(STAMP) ## put the source in the agreed form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## write the generated references anew
	$(BIN)/python tests/docs/reference.py --write

docs-site: $(DOCS) ## the documents as a site in build/site, its links checked
	$(BIN)/python tests/docs/site.py

dist: $(STAMP) ## what is published, in dist
	rm -rf dist
	$(BIN)/uv build --quiet

notes: $(STAMP) ## what the changelog says of a release: make notes ARGS=0.2.0
	@$(BIN)/python tests/docs/release_notes.py $(ARGS)

bench: $(STAMP) ## speed, memory and start-up, measured here
	$(BIN)/python tests/bench/bench.py $(ARGS)

crash: $(STAMP) ## the long tests: kills, power cuts, and the rest of the faults
	$(BIN)/pytest -m long $(ARGS)

clean: ## everything a chore made, your data excepted
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# `uv` comes from pip into the environment itself, so nothing needs to be there before.
$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/uv || $(PYTHON) -m venv --clear $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	$(BIN)/uv sync --quiet --locked --inexact
	@touch $@

$(DOCS): $(STAMP)
	$(BIN)/uv sync --quiet --locked --inexact --group docs
	@touch $@
