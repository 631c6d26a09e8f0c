# Two commands matter to a stranger: `make run` and `make test`. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.synced
CAMPAIGN ?= 1
SEEDS ?= 1000
FIRST ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench load prove simulate test-servers test-windows installer browser docs down clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## create .venv with everything the platform and its tests need

$(STAMP): pyproject.toml uv.lock core/pyproject.toml server/pyproject.toml client/pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh "$(PYTHON)"
	@touch $(STAMP)

run: setup ## start the platform with demo data and print its address
	@$(BIN)/aitrading up --demo

test: setup ## run every test, with campaign sizes that fit ten minutes on two cores
	@scripts/test.sh

check: setup ## format, lint, types, import contracts, security rules, secrets, SBOM
	@scripts/check.sh

format: setup ## let the formatter and the safe fixes rewrite the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## run every benchmark; COMPARE=1 holds the ratios against the committed baseline
	@$(BIN)/python -m aitrading.server.benchmarks $(if $(COMPARE),--compare)

load: setup ## twice the peak of a real day for ten minutes, with everything counted
	@$(BIN)/aitrading bench load --long

prove: setup ## run the long campaigns, resumable; CAMPAIGN=0.1 a tenth of them, ONLY=name one
	@scripts/bootstrap.sh "$(PYTHON)" --group fuzz
	@$(BIN)/python scripts/prove.py --scale $(CAMPAIGN) $(addprefix --only ,$(ONLY))

simulate: setup ## run SEEDS=n simulations of the link from seed FIRST=k
	@AITRADING_PROVE_POINTS=$(SEEDS) AITRADING_PROVE_SEED=$(FIRST) $(BIN)/pytest -q -p no:randomly \
	  core/tests/protocol/test_link_delivery.py::test_a_range_of_seeds_each_with_its_own_mixture_of_faults

test-servers: setup ## run the stores' contracts on real servers: builds or finds them once, says why one is missing
	@scripts/test_servers.sh

test-windows: setup ## run the client's tests for Windows under Wine, on Windows Python, DPAPI and the real MetaTrader5 package
	@scripts/test_windows.sh

installer: setup ## make the client's installer for Windows, signed with KEY=release.pem, into TO=dist
	@scripts/make_installer.sh "$(KEY)" "$(or $(TO),dist)"

docs: setup ## write the generated reference documents
	@$(BIN)/python scripts/generate_docs.py

down: ## stop the platform that `make run` started
	@$(BIN)/aitrading down

clean: ## remove the virtual environment and caches; data under var/ stays
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache artifacts dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
