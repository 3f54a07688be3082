# Needs Python 3.11, 3.12 or 3.13 and make, nothing else. All that is installed goes into VENV;
# PYTHON=/path/to/python chooses the interpreter it is made from.
SHELL := /bin/sh
VENV ?= .venv
PYTHON ?=
PY := $(VENV)/bin/python
# The list is complete, so nothing is left to resolve: pip may not look for newer versions than it pins.
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement
# What the tests and checks may touch: never the developer's own .env, database or bar files.
SANDBOX := env DOTENV=/dev/null VAR_DIR="$(abspath $(VENV))/var"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up test test-browser test-gateway test-exhaustive test-postgres test-faults check bench requirements clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## Import real daily prices, backtest a portfolio on them, write the report
	$(PY) manage.py migrate --verbosity 0
	$(PY) manage.py import_demo
	$(PY) manage.py backtest --config examples/demo.yaml

up: $(VENV)/.runtime ## Start it all: queue, pages, workers, beat; Ctrl-C stops it
	@$(PY) manage.py up

MEASURED := domain/*,gateway/*,*/services.py,marketdata/store.py,marketdata/importing.py,strategies/backtests.py,$\
  strategies/ledgers.py,tradingsite/runs.py,tradingsite/attempts.py,tradingsite/documents.py
QUICK := -m "not exhaustive and not faults and not browser"
test: check ## Lint, types, import contracts, migrations, then the tests with coverage; the browser's where Chromium is
	$(PY) -m pytest $(QUICK) --numprocesses auto --dist loadfile --cov --cov-report=
	$(PY) -m coverage report --skip-covered --skip-empty
	@echo "domain, gateway, services and the use cases, in percent (at least 85):"
	@$(PY) -m coverage report --format=total --fail-under=85 --include='$(MEASURED)'
	@if [ -x "$(CHROMIUM)" ]; then $(MAKE) --no-print-directory test-browser; \
	else echo "The browser tests were left out: there is no $(CHROMIUM) (Debian, Ubuntu: apt install chromium)."; fi
	@$(PY) -c "$$ASK_SERVERS" "$(POSTGRES_URL)" "$(REDIS_URL)"

CHROMIUM ?= /usr/bin/chromium
test-browser: $(VENV)/.test ## The pages in a real Chromium
	CHROMIUM="$(CHROMIUM)" $(PY) -m pytest -m browser --numprocesses 2 --dist loadfile tests/browser

test-exhaustive: $(VENV)/.test ## All of what `make test` takes samples of
	$(PY) -m pytest -m exhaustive --numprocesses auto --dist loadfile

# The connection and the simulator, which must run on both client libraries and on every Python we name.
GATEWAY_TESTS := tests/gateway $(wildcard tests/walks/test_simulator*.py) tests/marketdata/test_loading.py
LIBRARIES ?= ib_insync ib_async
test-gateway: $(VENV)/.test $(VENV)/ib_async/.installed ## The gateway's tests on ib_insync and again on ib_async
	for library in $(LIBRARIES); do \
	  path=; test $$library = ib_insync || path="$(VENV)/ib_async"; \
	  PYTHONPATH="$$path" IB_LIBRARY=$$library $(PY) -m pytest $(QUICK) --numprocesses 2 --dist loadfile \
	    $(GATEWAY_TESTS) || exit 1; \
	done

POSTGRES_URL ?= postgres://postgres@127.0.0.1:5432/postgres
REDIS_URL ?= redis://127.0.0.1:6379/13
test-postgres: $(VENV)/.test ## The tests that use a database again, on the server at POSTGRES_URL
	DATABASE_URL="$(POSTGRES_URL)" $(PY) -m pytest $(QUICK) --numprocesses 2 --dist loadfile \
	  tests/marketdata tests/strategies tests/execution tests/reports tests/tradingsite

test-faults: $(VENV)/.test ## Kill the running stack piece by piece (FAULT_KILLS=40), on SQLite and on both servers
	POSTGRES_URL="$(POSTGRES_URL)" REDIS_URL="$(REDIS_URL)" $(PY) -m pytest -m faults -s tests/faults tests/walks

# Says what was left out for want of a server.
define ASK_SERVERS
import sys, psycopg, redis
left_out = []
try: psycopg.connect(sys.argv[1], connect_timeout=2).close()
except psycopg.OperationalError: left_out.append("PostgreSQL")
try: redis.Redis.from_url(sys.argv[2]).ping()
except redis.RedisError: left_out.append("Redis")
if left_out: print("Left out, since no server answers:", " and ".join(left_out), "(POSTGRES_URL, REDIS_URL name one).")
else: print("PostgreSQL and Redis answer; the rest on them: make test-postgres test-faults")
endef
export ASK_SERVERS

check: $(VENV)/.test ## The quick half of `make test`: everything but the tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive .
	$(SANDBOX) $(PY) manage.py check --fail-level WARNING
	$(SANDBOX) $(PY) manage.py makemigrations --check --dry-run

bench: $(VENV)/.runtime ## Measure against backtrader, vectorbt and backtesting.py; rewrites docs/performance.md
	$(PY) -m benchmarks

requirements: $(VENV)/.python ## Resolve the newest versions that pyproject.toml allows into requirements/
	$(PY) -m venv $(VENV)/resolver
	$(VENV)/resolver/bin/python -m pip install --disable-pip-version-check --quiet uv
	$(RESOLVE) --extra demo --extra local --extra postgres --output-file requirements/runtime.txt
	$(RESOLVE) --extra demo --extra local --extra postgres --group test --group browser --group oracle --group lint \
	  --constraints requirements/runtime.txt --output-file requirements/test.txt
	$(VENV)/resolver/bin/uv pip compile --group ib-async --no-deps $(HOW) --output-file requirements/ib-async.txt
HOW = --quiet --no-config --universal --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links
RESOLVE = $(VENV)/resolver/bin/uv pip compile pyproject.toml $(HOW)

clean: ## Remove the environment and the caches; var/ (your data) stays
	@if [ -e "$(VENV)" ] && [ ! -e "$(VENV)/pyvenv.cfg" ]; then echo "$(VENV) is not a virtual environment" >&2; exit 1; fi
	rm -rf "$(VENV)" benchmarks/.envs benchmarks/.data build *.egg-info .coverage .coverage.* \
	  .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Found by running it: a name on PATH may be a shim of a version that is not there, or a Python without venv.
$(VENV)/.python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv "$(VENV)" && touch "$@"; exit; \
	  fi; \
	done; \
	echo "No usable Python found (looked for: $(or $(PYTHON),python3 python3.13 python3.12 python3.11))." >&2; \
	echo "Install Python 3.11, 3.12 or 3.13 with its venv module (Debian, Ubuntu: apt install python3-venv)," >&2; \
	echo "or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1

$(VENV)/.runtime: requirements/runtime.txt $(VENV)/.python
	@echo "Installing what $< pins (about half a minute the first time)"
	@$(PIP_INSTALL) $<
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.python
	@echo "Installing what $< pins (about a minute the first time)"
	@$(PIP_INSTALL) $<
	@touch $@

$(VENV)/ib_async/.installed: requirements/ib-async.txt $(VENV)/.test
	@rm -rf $(@D)
	@$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --target $(@D) --requirement $<
	@touch $@
