# Everything runs in .venv, made from setup.cfg; nothing else is needed but
# Python >= 3.11 (PYTHON=python3.12 to choose one), pip, make and git.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3.14 python3,$(if $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(p))))
VENV := .venv
CLIENTS := .clients
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: install dev demo check test soak coverage mutants fuzz clients test-clients bench pages docs clean

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# The main job on emulated orgs: plan, deploy, prove, and plan again.
demo: install
	@$(BIN)/metadeploy emulator reset dev uat prod
	@$(BIN)/metadeploy deploy dev uat prod --production --auto-approve
	@echo && echo "And now a second plan:" && echo
	@$(BIN)/metadeploy plan dev uat prod --detailed-exitcode

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: dev
	$(BIN)/pytest --numprocesses 2 --dist worksteal

# What the whole suite takes samples of, whole: every call with every fault.
soak: dev
	METADEPLOY_SOAK=1 $(BIN)/pytest --numprocesses 2 --timeout 3000 tests/test_faults.py tests/test_broken_calls.py tests/test_side_by_side.py tests/test_any_history.py tests/test_fleet.py

# Fails below 100 % of the branches of the core.
coverage: dev
	$(BIN)/pytest --numprocesses 2 --cov --cov-report term

# Changes what decides and what masks, a place at a time, and lists what no test noticed
# (docs/reliability.md says why each of those is harmless).
mutants: dev
	@$(PIP) install 'mutmut>=3.8'
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

# Damaged and invented input, for long; FUZZ="--seconds 600 zip" for one target.
# With atheris (pip install atheris) where it is there, else with hypothesis.
fuzz: dev
	$(BIN)/python tests/fuzz/run.py $(FUZZ)

# Real Salesforce clients, in a folder of their own; needs npm as well.
clients: $(CLIENTS)/.installed

$(CLIENTS)/.installed: tests/clients/package.json tests/clients/requirements.txt | $(BIN)/python
	@rm -rf $(CLIENTS)
	@mkdir $(CLIENTS)
	@cp tests/clients/package.json $(CLIENTS)/
	@npm install --prefix $(CLIENTS) --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@$(BIN)/python -m venv $(CLIENTS)/python
	@$(CLIENTS)/python/bin/python -m pip --disable-pip-version-check --quiet install --requirement tests/clients/requirements.txt
	@touch $@

test-clients: install clients
	$(BIN)/python tests/clients/run.py

# Side by side with its peers; BENCH="--only startup --json" for less, or for machines.
bench: dev
	@$(BIN)/python benchmarks/run.py $(BENCH)

# Everything in docs/ that is written by the code: reference pages, and what commands print.
pages: dev
	$(BIN)/python -m metadeploy.rules > docs/rules.md
	$(BIN)/python -m metadeploy.oauth_errors > docs/oauth-errors.md
	$(BIN)/python -m metadeploy.orgschema > docs/org.schema.json
	$(BIN)/python -m metadeploy.emulator > docs/emulator.md
	$(BIN)/python tests/reliability_page.py > docs/reliability.md
	$(BIN)/python tests/reference_pages.py
	$(BIN)/python tests/json_page.py
	$(BIN)/python tests/pages.py

# build/docs: docs/ as HTML, for `python -m http.server --directory build/docs`.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env -b html docs build/docs

$(VENV)/.docs: setup.cfg pyproject.toml | $(BIN)/python
	@$(PIP) install --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(CLIENTS) build dist *.egg-info
