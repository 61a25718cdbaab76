# The two commands that matter are `make demo` and `make test`; both set everything up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NODE := $(VENV)/node

.PHONY: demo up test lint bench bench-clients bench-nodes bench-tools bench-admin bench-scale bench-check fuzz screenshots setup clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/'

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nsq-suite needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# A client and a type checker of Node.js are for tests alone, which skip without it: neither npm nor a network is needed.
# A fault of the moment is tried again; without a network that takes some four seconds.
NPM_PATIENCE := --fetch-retries=2 --fetch-retry-mintimeout=500 --fetch-retry-maxtimeout=2000 --fetch-timeout=20000
$(NODE)/.installed: $(wildcard tests/system/node/*.json) | $(STAMP)
	mkdir -p $(NODE)
	cp tests/system/node/package.json tests/system/node/package-lock.json $(NODE)
	if command -v npm >/dev/null && cd $(NODE) && npm ci --silent --no-audit --no-fund $(NPM_PATIENCE); then touch .installed; \
	else echo "nsqjs and pyright could not be installed with npm: their tests will be skipped"; fi

setup: $(STAMP) $(NODE)/.installed ## make the virtual environment (.venv), again only when pyproject.toml changed

COUNTS = $(if $(NSQD),--nsqd $(NSQD)) $(if $(NSQLOOKUPD),--nsqlookupd $(NSQLOOKUPD))

demo: $(STAMP) ## run the main job: real input through 3 nsqd, 2 nsqlookupd and 4 consumers
	$(BIN)/python -m deploy.local demo $(COUNTS) $(if $(DATA),--data "$(DATA)")

up: $(STAMP) ## start the topology, print its addresses, keep it until Ctrl-C (NSQD=... for other numbers than 3)
	$(BIN)/python -m deploy.local up $(COUNTS)

test: setup ## all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

lint: $(STAMP) ## types, style, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## speed of the daemon on this machine, as a table
	$(BIN)/python -m bench

bench-clients: $(STAMP) ## speed of nsqclient beside the other Python clients, as tables
	$(BIN)/python -m bench.clients

bench-nodes: $(STAMP) ## speed of several nsqd on this machine, a core each, as a table (NSQD=... to change 2)
	$(BIN)/python -m bench.nodes --nsqd $(or $(NSQD),2)

bench-tools: $(STAMP) ## speed of the command-line tools beside nsqd's, as a table
	$(BIN)/python -m bench.tools

bench-admin: $(STAMP) ## nsqadmin before 200 simulated nodes: its CPU, its memory, the time of each page
	$(BIN)/python -m bench.admin

bench-scale: $(STAMP) ## cost and memory of nsqd as one thing grows: docs/img/scale-*.png (ONLY=... for one range)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m bench.scale $(if $(ONLY),--only $(ONLY))

bench-check: $(STAMP) ## fail where a row of `make bench` costs a fifth more CPU than recorded, on a quiet machine
	$(BIN)/python -m bench.check

fuzz: $(STAMP) ## ten minutes of random clients and hostile bytes (SECONDS=... to change)
	NSQ_FUZZ_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest -q -n 2 tests/properties --timeout=0

screenshots: $(STAMP) ## take the pictures of nsqadmin's pages anew (docs/img), with the machine's own Chromium
	$(BIN)/python -m tests.support.screenshots docs/img

clean: ## remove what the other targets made
	rm -rf $(VENV) run dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
