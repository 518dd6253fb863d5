# `make` lists what there is. The first two set up everything they need.
STACK ?= dev
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
# A file's tests stay together: they may share addresses.
FAST_TESTS := $(RUN) pytest -m "not sandbox" --numprocesses auto --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help up plan init doctor preview refresh destroy down wipe status kubeconfig env test test-unit check docs format lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=$(STACK) (dev is the embedded sandbox; others are real labs)"

up: $(VENV)/ready ## set up, then provision the whole lab
	@$(RUN) lab up --stack $(STACK)

plan: $(VENV)/ready ## show whether the lab fits its hosts, nodes and disks
	@$(RUN) lab plan --stack $(STACK)

init: $(VENV)/ready ## make a real lab's stack and set its secrets, encrypted
	@$(RUN) lab init --stack $(STACK)

doctor: $(VENV)/ready ## check all that an `up` needs, and say how to mend what is wrong
	@$(RUN) lab doctor --stack $(STACK)

preview: $(VENV)/ready ## show what `up` would change
	@$(RUN) lab preview --stack $(STACK)

refresh: $(VENV)/ready ## compare the state with what is really there
	@$(RUN) lab refresh --stack $(STACK)

destroy: $(VENV)/ready ## destroy all that the stack provisioned
	@$(RUN) lab destroy --stack $(STACK)

down: $(VENV)/ready ## stop the sandbox; its state stays
	@$(RUN) sandbox down

wipe: $(VENV)/ready ## stop the sandbox and forget all of it
	@$(RUN) sandbox down --wipe

status: $(VENV)/ready ## show what the sandbox runs
	@$(RUN) sandbox status

kubeconfig: $(VENV)/ready ## write the cluster's kubeconfig: export KUBECONFIG=$(make -s kubeconfig)
	@$(RUN) lab kubeconfig --stack $(STACK)

env: $(VENV)/ready ## print exports for plain pulumi: eval "$(make -s env)"
	@$(RUN) lab env --stack $(STACK)

test: $(VENV)/ready ## set up, then run all tests
	@$(FAST_TESTS)
	@$(RUN) toolchain
	@$(RUN) pytest -m sandbox

test-unit: $(VENV)/ready ## run the tests that need no toolchain
	@$(FAST_TESTS)

check: $(VENV)/ready ## lint, formatting, types
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

docs: $(VENV)/ready ## write the pages that are made from the code
	@$(RUN) config.reference > docs/configuration.md
	@$(RUN) sandbox.pfsense.reference > docs/pfsense.md

format: $(VENV)/ready ## put the formatting right
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

lock: $(VENV)/ready ## resolve requirements.in into requirements.txt
	@$(RUN) uv pip compile --quiet --upgrade --generate-hashes --python-version=3.11 \
		requirements.in --output-file=requirements.txt

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; \
		echo "  next: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "==> Python packages, into $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV) || { echo "  next: install Python's venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@touch $@
