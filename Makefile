# Everything a developer or an operator does here, one word each. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
STATE_DIR ?= ./state
BIND ?= 127.0.0.1:8776
RUN_TESTS := .venv/bin/python -m tools.run_tests

.PHONY: help run test check unit tour bench docs format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: ## install what is missing and run the service in the foreground (STATE_DIR=./state BIND=127.0.0.1:8776 CONFIG=)
	@tools/bootstrap run
	@exec .venv/bin/breezeblock serve --state-dir $(STATE_DIR) --bind $(BIND) $(if $(CONFIG),--config $(CONFIG))

test: ## install what the tests need and run all of them
	@tools/bootstrap test
	@$(RUN_TESTS) all

check: ## formatting, lint, strict types, import contracts, tidy and shape tests (under a minute)
	@tools/bootstrap dev
	@$(RUN_TESTS) check

unit: ## the unit tests; one that takes over a second fails
	@tools/bootstrap dev
	@$(RUN_TESTS) unit

tour: ## the whole story on a throw-away service, told and checked
	@tools/bootstrap run
	@exec .venv/bin/breezeblock tour

bench: ## measure, and print a table beside the reference figures
	@tools/bootstrap test
	@exec .venv/bin/python -m bench

docs: ## write the reference pages that are made from the code
	@tools/bootstrap dev
	@.venv/bin/python -m tools.generate_docs

format: ## format the code and apply the linter's safe fixes
	@tools/bootstrap dev
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format .

clean: ## remove what the tools made, but never the state directory
	@rm -rf build dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
