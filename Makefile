.DEFAULT_GOAL := help
.PHONY: help run stop test test-fast test-some journeys lint hooks docs bench screenshots

PYTHON ?= .venv/bin/python

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: ## Start the local stack and wait until it is ready
	./scripts/start-all-services.sh

stop: ## Stop the local stack
	./scripts/stop-all-services.sh

test: ## Run every static check and every test
	./scripts/test.sh

test-fast: ## Run the tests that need neither processes nor a browser
	./scripts/test.sh --fast

test-some: ## Run some tests: make test-some ARGS="tests/sagas -k fence"
	./scripts/test.sh $(ARGS)

journeys: ## Run the conformance tests of all channels and print their table
	./scripts/test.sh tests/channels/test_conformance.py tests/channels/test_journeys.py \
		tests/channels/test_late_and_lost_journeys.py -q -p tests.channels.journey_table

lint: ## Run the formatter, the linter, the type checker and the import rules
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

hooks: ## Check each commit before it is made (pre-commit)
	$(PYTHON) -m pre_commit install

docs: ## Build the documentation into .local/site; broken links and anchors are errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

bench: ## Run all benchmarks, or some: make bench ARGS="--only payments,replay --quick"
	$(PYTHON) -m benchmarks $(ARGS)

screenshots: ## Draw the pictures of the documents again (needs a running local stack)
	$(PYTHON) -m scripts.screenshots
