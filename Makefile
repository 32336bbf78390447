# Quartet's commands. `make up` is all that a newcomer needs; `make help` lists the rest.
#
# Everything is installed into .venv from the files in requirements/, hashes checked. Stamp files
# in .venv say what is installed, so that a second `make` does nothing twice.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Most of the time tests wait for processes and clocks, so a few more run at once than there are cores.
JOBS ?= 4

# The machine's own uv where there is one; else the locked one, put into .venv.
UV = $(if $(wildcard $(BIN)/uv),$(BIN)/uv,$(shell command -v uv 2>/dev/null || echo $(BIN)/uv))
# Trust what the machine trusts (companies have their own certificates); uv's own list where it has none.
SYSTEM_CERTS = $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
export UV_SYSTEM_CERTS ?= $(if $(SYSTEM_CERTS),true,false)
INSTALL = $(UV) pip install -q --python $(BIN)/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up install dev test fmt format-check lint types imports bench docs platforms

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name text; do \
		printf 'make %-9s %s\n' "$$name" "$$text"; done

up: $(VENV)/.base ## set up, start the bot and print its address; options: make up ARGS="--port 9000"
	@exec $(BIN)/quartet up $(ARGS)

install: $(VENV)/.base ## only the set-up: .venv/bin/quartet is there afterwards
	@echo "$(BIN)/quartet is ready: $(BIN)/quartet up, $(BIN)/quartet ask --help"

# Tests mostly wait, so types are checked beside them with what is left over of the machine. What went wrong with
# them is printed behind the tests; if nothing did, pytest's closing line is the last one.
test: dev format-check lint imports ## set up with the test tools and run every check that CI runs
	@nice -n 15 $(BIN)/basedpyright >$(VENV)/types.txt 2>&1 & types=$$!; \
	trap 'kill $$types 2>/dev/null; exit 130' INT TERM; \
	$(PYTEST); tests=$$?; \
	wait $$types || { cat $(VENV)/types.txt; exit 1; }; \
	exit $$tests

fmt: dev ## format the code
	@$(BIN)/ruff check -q --select I --fix . && $(BIN)/ruff format .

lint: dev ## ruff's rules
	@$(BIN)/ruff check .

types: dev ## types, strictly
	@$(BIN)/basedpyright

imports: dev ## the layers between the packages
	@$(BIN)/lint-imports

docs: dev ## check the pages: links, commands, settings and dependencies they name
	@$(BIN)/python -m pytest -q tests/unit/test_house.py

platforms: dev ## play every conversation on every platform; write the table of docs/platforms.md
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --write-platforms tests/journey/test_journeys.py tests/contract/test_adapters.py

bench: $(VENV)/.bench ## measure against peers, with what bench/ says
	@$(BIN)/python -m bench $(ARGS)

# ── parts of the above ─────────────────────────────────────────────────────────────────────────

dev: $(VENV)/.dev

format-check: dev
	@$(BIN)/ruff format --check .

PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# A fresh .venv. Python 3.11 or newer, or one clear line.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Quartet needs Python 3.11 or newer (found: $$(python3 --version 2>/dev/null || echo none)): install one, or name it: make install PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	"$$found" -m venv $$(command -v uv >/dev/null 2>&1 && echo --without-pip) $(VENV) >/dev/null || { rm -rf $(VENV); \
		echo "$$found cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv), then repeat" >&2; exit 1; }

$(VENV)/.uv: requirements/uv.lock | $(BIN)/python
	@[ -x "$$(command -v $(UV))" ] || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The locked libraries, then Quartet itself as a path into this folder, built by the locked hatchling.
$(VENV)/.base: requirements/base.lock pyproject.toml $(VENV)/.uv
	@echo "Installing into $(VENV) …"
	@$(INSTALL) --require-hashes -r $<
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.base
	@echo "Installing the test tools …"
	@$(INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.bench: requirements/bench.lock $(VENV)/.dev
	@$(INSTALL) --require-hashes -r $<
	@touch $@
