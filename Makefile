# Two commands do everything on a fresh machine with Python 3.11+:
#   make demo    make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format models index bench clean

demo: $(STAMP) models index  ## replay a real clip, ask questions, write runs/demo
	$(BIN)/foveal demo-clip runs/demo.mp4
	$(BIN)/foveal replay runs/demo.mp4 --rate 0 --ask-file runs/demo.questions.jsonl --out runs/demo

test: $(STAMP) models  ## all tests; those that need a GPU or optional data skip with the reason
	$(BIN)/python -m pytest -q

check: $(STAMP)  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

models: $(STAMP)  ## the embedded assets, pinned by sha256 (FOVEAL_CACHE moves the folder)
	$(BIN)/foveal models pull

index: models  ## the knowledge base index (built once, about two minutes)
	$(BIN)/foveal index build --if-missing

bench: $(STAMP) models index
	for name in keyframes vos replay retrieval decode answers; do $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache
