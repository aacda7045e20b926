# Everything a person types. Each target sets up what it needs; a second call does not install again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# A demo and the tests start hundreds of processes: each would compile all of Clarity anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo test check up down serve bench docs

DATA ?=
CLARITY := .venv/bin/clarity

help:  ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

setup:  ## .venv with the pinned packages (3 to 10 minutes the first time)
	@.ci/setup

demo: setup  ## the whole pipeline, from photographs to an answer (DATA=folder for your own photographs)
	@$(CLARITY) demo $(if $(DATA),--data "$(DATA)")

test: setup  ## all tests, on real PostgreSQL, S3, Prefect and MLflow
	@.venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

check: setup  ## format, lint, types, import layers
	@.venv/bin/ruff format --check --quiet . || { echo "check: not formatted (.venv/bin/ruff format .)"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

up: setup  ## PostgreSQL, S3, Prefect, MLflow and a worker on this machine, in the foreground
	@$(CLARITY) up

down:  ## stop them
	@$(CLARITY) down

serve: setup  ## the online endpoint with the promoted model
	@$(CLARITY) serve

bench: setup  ## measure this machine
	@$(CLARITY) bench

docs: setup  ## run every command and example of the documentation
	@.venv/bin/python -m pytest tests/test_docs.py
