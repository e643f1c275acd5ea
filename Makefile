# Two commands do everything on a fresh machine with Python 3.11+:
#   make demo    make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEER := $(VENV)/.sam2
UV := PATH="$(BIN):$$PATH" uv

.PHONY: demo test check format models index bench constraints resolve clean

demo: $(STAMP) models index  ## replay a real clip, ask questions, write runs/demo
	$(BIN)/foveal demo-clip runs/demo.mp4
	$(BIN)/foveal replay runs/demo.mp4 --rate 0 --ask-file runs/demo.questions.jsonl \
		--remember runs/demo/memory.sqlite --out runs/demo

# A file of tests in one process; a process more than two cores, as tests of networks wait.
TEST_PROCESSES ?= 3
test: $(STAMP) $(PEER) models  ## all tests; those that need a GPU or optional data skip with the reason
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile

check: $(STAMP)  ## ruff (with bandit's rules), mypy, import-linter, deptry (undeclared and unused packages), vulture (dead code)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

models: $(STAMP)  ## the embedded assets, pinned by sha256 (FOVEAL_CACHE moves the folder)
	$(BIN)/foveal models pull

index: models  ## the knowledge base index (built once, about two minutes)
	$(BIN)/foveal index build --if-missing

bench: $(STAMP) models index
	for name in keyframes vos replay retrieval decode answers; do $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

constraints: $(BIN)/python  ## constraints.txt: the newest version of everything that pyproject.toml allows
	$(UV) pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--extra dev --extra clip --extra quantised pyproject.toml --output-file constraints.txt

# PyTorch has wheels from macOS 14 on, on Apple silicon alone.
resolve: $(BIN)/python  ## are there wheels of all of constraints.txt for every platform and Python that docs/install.md names?
	for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin x86_64-pc-windows-msvc; do \
		for version in 3.11 3.12 3.13; do \
			MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) pip compile --quiet --only-binary :all: --extra dev \
				--constraint constraints.txt --python-platform $$platform --python-version $$version \
				pyproject.toml >/dev/null || exit 1; \
			echo "$$platform, Python $$version: every package has a wheel"; \
		done; \
	done

# A Python without ensurepip (Debian's, without python3-venv) makes no venv of its own: uv does.
$(BIN)/python:
	@if command -v uv >/dev/null; then uv venv --quiet --python "$(PYTHON)" $(VENV); \
	elif $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; then :; \
	else rm -rf $(VENV); echo "expected uv, or a $(PYTHON) that makes a venv; install uv, or on Debian: apt install python3-venv" >&2; exit 1; fi

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

# The original SAM 2, built from source: masks are compared with its own. Tests skip where it is not to be had.
$(PEER): $(STAMP)
	{ $(UV) pip install --quiet --python $(BIN)/python setuptools wheel 'hydra-core<1.4' && \
		SAM2_BUILD_CUDA=0 $(UV) pip install --quiet --python $(BIN)/python --no-build-isolation \
			'sam2>=1.1'; } || echo "no sam2: its tests will skip" >&2
	touch $@

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache
