# Two commands for newcomers: make demo, make test. Both need only git, make and python3-venv (Debian 12).
PYTHON ?= python3
RUN := .venv/bin
DEV := .venv-dev/bin

.PHONY: demo test test-system lint pictures benchmark setup setup-dev clean

setup: .venv/ready
setup-dev: .venv-dev/ready

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv-dev/ready: pyproject.toml
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python -m pip install --quiet --disable-pip-version-check --editable '.[convert,test,tflite,c2pa,fits,cluster]'
	@touch $@

demo: setup
	@mkdir -p out
	@echo "A gray photo becomes:"
	@$(RUN)/edgecolor colorize tests/data/gray.jpg -o out/color.jpg --overwrite
	@echo "And a gray camera, live (Ctrl+C stops it):"
	@$(RUN)/edgecolor serve demo $(if $(HTTP),--http $(HTTP))

test: setup-dev lint
	$(DEV)/python -m pytest -m "not hardware and not system"

# Two at a time, for two cores. The machines' clocks run by how fast they are emulated: what is beside them gives way.
BOOT := tests/system/test_boot.py
CYCLES := tests/system/test_cycles.py
SOAK := tests/system/test_soak.py
SYSTEM := $(DEV)/python -m pytest -m "system and not hardware"
beside = $(1) > build/beside.log 2>&1 & beside=$$!; $(2); first=$$?; \
	wait $$beside; second=$$?; cat build/beside.log; exit $$((first | second))

test-system: setup-dev
	@mkdir -p build
	@$(call beside,nice $(SYSTEM) $(CYCLES),$(SYSTEM) $(BOOT))
	@$(call beside,$(SYSTEM) $(SOAK),$(SYSTEM) $(addprefix --ignore=,$(BOOT) $(CYCLES) $(SOAK)))

lint: setup-dev
	$(DEV)/ruff check .
	$(DEV)/mypy

pictures: setup-dev
	$(DEV)/python -m convert sheet edgecolor --data tests/data/pictures -o models/before-after.jpg
	$(DEV)/python -m convert sheet edgecolor --data tests/data/failures -o models/failures.jpg
	$(DEV)/python -m convert sheet seed edgecolor-tiny edgecolor --data tests/data/pictures -o models/compared.jpg

benchmark: setup-dev
	$(DEV)/edgecolor benchmark
	$(DEV)/python -m tests.benchmarks.live
	$(DEV)/python -m tests.benchmarks.films
	$(DEV)/python -m tests.benchmarks.budgets

clean:
	rm -rf .venv .venv-dev out build dist
