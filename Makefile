# `make demo` and `make test` do all their own set-up, in a virtual environment of their own.
#   make demo    track a made-up clip, print the error against its truth, save what it found
#   make test    lint, types and the whole test suite, on a virtual screen where there is none
#   make docs    build the documentation into `site`; a warning is an error
#   make dist    build sdist and wheel, check them, and try the wheel in a fresh environment
#   make screenshots  take the pictures of the window in README and docs
#   make interop round trips with the installed movement, in an environment of their own
#   make clean   remove the environment and what was built
# PYTHON chooses the interpreter (3.11 or newer), VENV the folder of the environment, WORKERS how
# many processes the tests are shared among, THREADS how many threads each network gets, TESTS which
# tests are run.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
THREADS ?= 1
TESTS ?= tests
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test types suite docs dist screenshots interop setup clean system-python system-screen system-ffmpeg

demo: setup
	$(BIN)/napari-deepmtj demo --out demo-output --overwrite

# The types are checked beside the tests; if either fails, the other ends and all has failed.
test: system-screen system-ffmpeg setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) -j2 types suite

types: setup
	$(BIN)/mypy

# One thread a network: two of them on two busy cores wait for each other most of the time.
suite: system-screen system-ffmpeg setup
	OMP_NUM_THREADS=$(THREADS) scripts/with-screen $(BIN)/python -m pytest \
		-n $(WORKERS) --no-loadscope-reorder $(TESTS)

# The API pages are read from the source, so the docs need nothing but their own packages.
docs: | system-python
	test -x $(VENV)-docs/bin/mkdocs || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install -q --upgrade 'pip>=25.1'
	$(VENV)-docs/bin/python -m pip install -q -c constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/python -m mkdocs build --strict

# Nothing of this clone is imported: the demonstration runs from the installed wheel.
dist: | system-python
	rm -rf dist $(VENV)-dist
	$(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install -q --upgrade 'pip>=25.1'
	$(VENV)-dist/bin/python -m pip install -q -c constraints.txt --group dist
	$(VENV)-dist/bin/python -m build --installer pip
	$(VENV)-dist/bin/python -m twine check --strict dist/*
	test -n "$$(find dist -name '*.whl' -size -8000000c)"
	$(VENV)-dist/bin/python -m pip install -q -c constraints.txt torch
	$(VENV)-dist/bin/python -m pip install -q -c constraints.txt "$$(echo dist/*.whl)[plots]"
	cd dist && ../$(VENV)-dist/bin/napari-deepmtj demo --out demo
	cd dist && ../$(VENV)-dist/bin/npe2 validate napari-deepmtj
	rm -rf dist/demo

screenshots: system-screen setup
	scripts/with-screen $(BIN)/python benchmarks/screenshot.py

# movement brings plugins that change what napari offers for a video, so it has its own environment.
interop:
	$(MAKE) setup VENV=$(VENV)-interop
	$(VENV)-interop/bin/python -m pip install -c constraints.txt --group interop
	$(VENV)-interop/bin/python -m pytest tests/labels/formats tests/results/formats

setup: $(STAMP)

# torch goes first and pinned: a range lets pip choose a build with gigabytes of CUDA libraries.
$(STAMP): pyproject.toml constraints.txt | system-python
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt --group test -e '.[all]'
	touch $@

system-python:
	@scripts/debian-packages python $(PYTHON)

system-screen:
	@scripts/debian-packages screen

system-ffmpeg:
	@scripts/debian-packages ffmpeg

clean:
	rm -rf $(VENV) $(VENV)-interop $(VENV)-docs $(VENV)-dist site demo-output dist build .mypy_cache .pytest_cache .ruff_cache
