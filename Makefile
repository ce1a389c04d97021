# Every target works from a fresh clone: it sets up what it needs first, which costs nothing the second time.

BIN := .venv/bin
REGAL := .tools/bin/regal
PYTHON_CODE := hub spoke_runner scripted_model lab apps demo tests scripts

.DEFAULT_GOAL := help
.PHONY: help setup lock doctor proto proto-check fmt lint typecheck test policy-test policy-lint \
	test-integration test-attack bench check demo lab lab-agentdojo run clean regal

help: # a line with two hashes after the target is its description, a line that starts with two is a group
	@awk -F ':.*## ' '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-18s%s\n", $$1, $$2}' Makefile

## Try it
demo: setup ## watch apps ask each other for things: one call allowed, one denied, one asked about
	@$(BIN)/python -m demo
lab: setup ## published attacks without the hub and with it, with a model that obeys whatever it reads
	@$(BIN)/python -m lab
lab-agentdojo: ## AgentDojo's tasks and attacks through a hub; `ARGS="--suite NAME --manifests DIR"` for one of yours
	@scripts/setup agentdojo
	@$(BIN)/python -m tests.lab.agentdojo $(ARGS)
run: setup ## start the hub and OPA, until Ctrl-C
	@$(BIN)/spokegate up

## Set up
setup: ## make .venv from the lock file, get opa, check for bubblewrap
	@scripts/setup
doctor: setup ## say what this machine can do: sandbox layers, opa, Python
	@$(BIN)/spokegate doctor
clean: ## remove everything that was made here: .venv, .tools, caches
	@scripts/clean

## Check
check: lint typecheck proto-check policy-test policy-lint ## all of the gates that run no app
lint: setup ## Python: ruff; protos: buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint proto
	$(BIN)/buf format --diff --exit-code proto
typecheck: setup ## mypy in strict mode
	$(BIN)/mypy $(PYTHON_CODE)
proto-check: setup ## prove that the stubs and the input schema are what the sources give
	$(BIN)/python scripts/generate.py --check
policy-test: setup ## policies: format, types, tests, and every line covered
	$(BIN)/python scripts/policies.py
policy-lint: regal ## policies: regal
	$(REGAL) lint policies opa/system

## Test
test: setup ## all tests: unit, integration, end to end, attacks
	$(BIN)/python -m pytest -m "not slow" --ignore tests/bench
test-integration: setup ## the tests with real OPA, real gRPC and real sandboxes
	$(BIN)/python -m pytest -m "not slow" tests/integration tests/e2e
test-attack: setup ## the tests that try to break out, forge, overhear or exhaust
	$(BIN)/python -m pytest -m "not slow" -s tests/attack
bench: setup ## what the hub costs, as a table and in build/bench.json
	@$(BIN)/python -m tests.bench

## Change
fmt: setup ## format Python, protos and policies
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .
	$(BIN)/buf format --write proto
	$(BIN)/python scripts/policies.py --format
proto: setup ## write the stubs and the input schema anew
	$(BIN)/python scripts/generate.py
lock: setup ## write the lock files anew from pyproject.toml
	@scripts/lock

regal: setup
	@$(BIN)/python scripts/build_tool.py regal
