# What a newcomer runs: `make demo`, `make test`. Both install what they need into the checkout, and nowhere else.

PYTHON ?= python3
BIN := .venv/bin
# Node 20 works; the CDK's library says on every start that its time is over.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
# Byte-code is kept in __pycache__, which git ignores: each test worker, each process of a function and each jitrctl
# would compile our sources anew.
unexport PYTHONDONTWRITEBYTECODE
# Which set-up was done; the one for everything is one for the demo, too.
SETUP := .venv/.set-up
DEMO_SETUP := .venv/.set-up-for-demo
ASKED_FOR := pyproject.toml constraints.txt package.json package-lock.json infra/jitr_cdk/wheels.py tools/set_up.py

.PHONY: demo test test-quick test-deep hour mutants check synth synth-fleet sbom fuzz bench setup wheels docs lock clean

# The first time installs what it needs, in two minutes; then a minute and a half. Both say what they do.
demo: $(DEMO_SETUP)
	$(BIN)/jitrctl demo

# Ten minutes on two idle processors; tests/support/spread.py has the budget of each folder. Three workers, since on the
# local AWS a test waits most of the time.
test: check
	$(BIN)/pytest --numprocesses 3

# For every commit, in two minutes: no local AWS, and of what takes long a sample.
test-quick: check
	$(BIN)/pytest --numprocesses 2 --quick

# What takes too long for every run: tests/README.md has the list, and the reasons.
test-deep: setup
	$(BIN)/pytest --numprocesses 2 -m deep

# An operator's first hour on the local AWS: each break is cured with what jitrctl prints, and the device comes in; the
# table at the end. Ten minutes; part of test-deep. One step: make hour STEPS='"paused" "CA rotated"'; the table of the
# last run once more, at the terminal's width or for a pipe: make hour STEPS=--table
hour: setup
	$(BIN)/python -m tests.support.e2e.hour $(STEPS)

# Each mutation of the claim, the recording and the replacement, with the tests that must fail; and what the explorer
# finds where a mend is taken out (tests/support/survival/mutants.py). Part of test-deep; here with what it prints.
mutants: setup
	$(BIN)/python -m tests.support.survival.mutants

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# Of another fleet file: make synth FLEET=path/to/fleet.toml
synth: setup
	node_modules/.bin/cdk synth --quiet -c nag=true $(if $(FLEET),-c 'fleet=$(FLEET)')
	$(BIN)/cfn-lint 'cdk.out/*.template.json'

# Figures for large fleets (50 accounts with 2 Regions and 4 CAs each; 100 CAs in one account; 400 accounts with a hub):
# time, memory, and the sizes of templates and rules beside CloudFormation's limits.
synth-fleet: setup
	$(BIN)/python -m bench.synth

# What the functions' layer is made of, as CycloneDX, in build/sbom.cdx.json.
sbom: setup
	$(BIN)/python -m jitr_cdk.sbom

# The state machine, damaged certificates, and odd ones beside openssl for longer, from other seeds each time; schedules
# with two switches.
fuzz: setup
	JITR_FUZZ_MUTANTS=$${JITR_FUZZ_MUTANTS:-500000} $(BIN)/pytest tests/unit/test_fuzz.py
	JITR_FUZZ_DIFFERENTIAL=$${JITR_FUZZ_DIFFERENTIAL:-50000} $(BIN)/pytest tests/differential
	JITR_FUZZ_RUNS=$${JITR_FUZZ_RUNS:-20000} $(BIN)/pytest --numprocesses 2 -m 'deep or not deep' tests/survival/test_machine.py
	JITR_EXPLORED_SWITCHES=2 $(BIN)/pytest --numprocesses 2 -m deep tests/survival/test_explored.py

# Every figure of docs/performance.md, in under ten minutes on two idle processors.
bench: setup
	$(BIN)/python -m bench.performance

setup: $(SETUP)

# Again whenever a version that is asked for changes.
$(SETUP): $(ASKED_FOR)
	@$(PYTHON) tools/set_up.py
	@touch $@ $(DEMO_SETUP)

$(DEMO_SETUP): $(ASKED_FOR)
	@$(PYTHON) tools/set_up.py --demo
	@touch $@

wheels: setup
	$(BIN)/python -m jitr_cdk.wheels

# Put a real run of the demo into the README, the failure matrix's table into docs/how-it-works.md, real output into
# docs/runbook.md and docs/migrate.md, the contract tests' differences into docs/divergences.md, and a real run of
# `jitrctl prove` on the local AWS into docs/prove.md.
docs: setup
	$(BIN)/python tools/transcript.py
	$(BIN)/python tools/outcomes.py
	$(BIN)/python tools/cli.py
	$(BIN)/python tools/runbook.py
	$(BIN)/python tools/migrate.py
	$(BIN)/python tools/differences.py
	$(BIN)/python tools/prove.py

# Take the newest versions that pyproject.toml allows; look at the difference before committing it.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check '.[deploy,cli,local,test]'
	build/lock/bin/pip freeze --exclude jitr | sort --ignore-case > constraints.txt

clean:
	-$(BIN)/jitrctl local down
	rm -rf .venv .wheels .local node_modules build cdk.out
