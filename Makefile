# Every target installs what it needs into .venv first; a fresh machine needs Python 3.11 and make alone. `make demo` installs
# what the demonstration takes, every other target all of it, in the versions of requirements.lock.
# Run by root, missing Debian packages (libegl1, libgl1, ... for the simulator; for `make test` also chromium) are installed
# by apt-get; run by anybody else they are named, and make goes on without them.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/.demo
INSTALLED := .venv/.installed
INSTALL := $(BIN)/python -m pip install --quiet --constraint requirements.lock

.PHONY: demo docs lerobot lerobot-0.4 test test-slow combinations attack fresh-installs check bench gpu train-tiny train-metaworld train-libero-object train-robosuite train-maniskill train-worlds lock clean

demo: $(DEMO)
	$(BIN)/action-images demo --out demo

# Rooms of tensors: their tests check shapes and types in every call, which takes twice the time.
SHAPED := $(addprefix tests/,canvas codec diffusion geometry model samples test_pipeline.py)
test: $(INSTALLED)
	scripts/system-packages chromium || echo 'going on without: the tests that open a page in a browser will say so'
	CHECK_SHAPES=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(SHAPED)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(addprefix --ignore=,$(SHAPED))

# The docs as a site with search, which opens from the disk: out/site/index.html. A warning is an error.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs out/site

# What `make test` leaves out for its time.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m slow

# Every way to train (copies, pieces, ZeRO; precisions; all weights or adapters; with validation or without), by two processes.
combinations: $(INSTALLED)
	$(BIN)/python -m pytest tests/training/test_combinations.py tests/training/test_processes.py -m "" -v

# Hostile and damaged files, bad clients, kill -9: what docs/security.md promises. About 40 minutes; not in CI.
attack: $(INSTALLED)
	$(BIN)/python bench/attack --minutes 5 --server-minutes 10 --kills 40 --json bench/results/attack.json

# The package as a stranger gets it, wheel and newest releases without the lock file, on each Python that is here.
fresh-installs:
	@failed=; for version in 3.10 3.11 3.12 3.13 3.14; do \
	  scripts/fresh-install $$version || [ $$? = 3 ] || failed="$$failed $$version"; done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(INSTALLED)
	for room in calibration codec data model training world; do $(BIN)/python bench/$$room.py --json bench/results/$$room.json || exit 1; done

# What a card does, in at most 9 minutes; docs/gpu.md says what is measured. It runs on a processor too.
gpu: $(INSTALLED)
	$(BIN)/python bench/gpu.py

# An environment of its own for each foreign simulator, in .venv-NAME, and the tests that need it: docs/benchmarks.md.
env-%:
	PYTHON=$(PYTHON) scripts/environment $*
test-env-panda_gym: env-panda_gym
	.venv-panda_gym/bin/python -m pytest -p no:cacheprovider tests/test_adding.py
test-env-%: env-%
	.venv-$*/bin/python -m pytest -p no:cacheprovider tests/benchmarks/test_$*.py

# LeRobot and the two plug-ins of packages/ in .venv-lerobot (Python 3.12, 7 GB), and their tests: docs/lerobot.md.
lerobot:
	scripts/lerobot-environment
	.venv-lerobot/bin/python -m pytest -p no:cacheprovider packages/tests

# The same tests of data sets with LeRobot 0.4.4 in .venv-lerobot-0.4 (Python 3.11, 8.6 GB).
lerobot-0.4:
	scripts/lerobot-environment 0.4
	.venv-lerobot-0.4/bin/python -m pytest -p no:cacheprovider packages/tests/data

# All from nothing: recordings, their frames decoded once, and a run of so many MINUTES; the finished models are in
# TINY/tiny/model. Killed at any moment, the same command goes on, in as many sittings as it takes. With more MINUTES a
# finished run goes on from before its learning rate fell. A further run on new scenes, from models that are there:
# make train-tiny TINY=out/second SEED=20000 FROM=out/first/tiny/model
TINY ?= out
SEED ?= 0
FROM ?=
OPTIONS ?=
MINUTES ?= 80
DEMONSTRATIONS ?= 100
AROUND ?= 30
SLIDES ?= 400
STACKS ?= 260
SECOND_TRIES ?= 25
PLAY ?= 10
VALIDATION ?= 8
RECORD := $(BIN)/action-images record --size 128 --views 4 --every 4 --hold 32 --look wide --wording grammar --x264 superfast
seed = --seed $$(($(SEED) + $(1)))
define record-tiny
$(RECORD) --task paper --episodes $(DEMONSTRATIONS) $(call seed,0) --actor disturbed --out $(TINY)/demonstrations
$(RECORD) --task paper --episodes $(AROUND) $(call seed,10000) --rig around --actor disturbed --out $(TINY)/around
$(RECORD) --task slide_block_to_target --episodes $(SLIDES) $(call seed,1000) --actor disturbed --out $(TINY)/choices
$(RECORD) --task stack_blocks --episodes $(STACKS) $(call seed,1000) --actor disturbed --out $(TINY)/choices
$(RECORD) --task paper --episodes $(SECOND_TRIES) $(call seed,4000) --actor clumsy --out $(TINY)/clumsy
$(RECORD) --task paper --episodes $(PLAY) $(call seed,0) --actor play --out $(TINY)/play
$(RECORD) --task paper --episodes $(VALIDATION) --seed 900000 --out $(TINY)/validation
endef
train-tiny: $(INSTALLED)
	$(record-tiny)
	cd $(TINY) && "$(CURDIR)/$(BIN)/action-images" train tiny --out tiny --minutes $(MINUTES) --dtype auto \
	  $(if $(FROM),--pretrained "$(abspath $(FROM))") $(OPTIONS)

# Tasks of another simulator, in an environment of its own: recordings of its experts, and a run of so many minutes from
# nothing; the finished models are in out/tiny-NAME/model. Goes on where it was killed, as train-tiny does. A run on the
# same recordings from models that are there, in a folder of its own: make train-metaworld FROM=weights/tiny-2026-12-01
METAWORLD_MINUTES ?= 100
METAWORLD_EPISODES ?= 60
METAWORLD_DISTURBED ?= 120
LIBERO_MINUTES ?= 100
LIBERO_EPISODES ?= 15
LIBERO_DISTURBED ?= 30
ROBOSUITE_MINUTES ?= 45
ROBOSUITE_EPISODES ?= 80
ROBOSUITE_DISTURBED ?= 120
ROBOSUITE_TASKS ?= Lift PickPlaceCan
ROBOSUITE_LOOK ?= moved_room
MANISKILL_MINUTES ?= 45
MANISKILL_EPISODES ?= 40
MANISKILL_DISTURBED ?= 60
MANISKILL_TASKS ?= $(addsuffix -v1,PickCube PullCube StackCube PlaceSphere PushCube PullCubeTool PokeCube)
WORLD_VALIDATION ?= 10
world = cd $(TINY) && "$(CURDIR)/.venv-$(firstword $(subst /, ,$(1)))/bin/action-images"
world-record = $(world) record --env $(1) --views 4 --x264 superfast
# $(call record-world,WORLD/TASKS [OPTIONS],NAME,EPISODES,DISTURBED)
define record-world
mkdir -p $(TINY)
$(world-record) --episodes $(3) --out $(2)
$(world-record) --episodes $(4) --seed 10000 --actor disturbed --out $(2)-disturbed
$(world-record) --episodes $(WORLD_VALIDATION) --seed 900000 --out $(2)-validation
endef
# $(call train-world,WORLD/TASKS [OPTIONS],NAME,EPISODES,DISTURBED,MINUTES)
define train-world
$(record-world)
$(world) train tiny-$(2) --out tiny-$(2)$(if $(FROM),-from-$(notdir $(FROM))) --minutes $(5) --dtype auto \
  $(if $(FROM),--pretrained "$(abspath $(FROM))") $(OPTIONS)
endef
train-metaworld: env-metaworld
	$(call train-world,metaworld/mt10,metaworld,$(METAWORLD_EPISODES),$(METAWORLD_DISTURBED),$(METAWORLD_MINUTES))
train-libero-object: env-libero
	$(call train-world,libero/object,libero-object,$(LIBERO_EPISODES),$(LIBERO_DISTURBED),$(LIBERO_MINUTES))
train-robosuite: env-robosuite
	$(call train-world,robosuite --task $(ROBOSUITE_TASKS) --look $(ROBOSUITE_LOOK),robosuite,$(ROBOSUITE_EPISODES),$(ROBOSUITE_DISTURBED),$(ROBOSUITE_MINUTES))
train-maniskill: env-maniskill
	$(call train-world,maniskill --task $(MANISKILL_TASKS),maniskill,$(MANISKILL_EPISODES),$(MANISKILL_DISTURBED),$(MANISKILL_MINUTES))

# One model of three worlds: the embedded one, MT10 and robosuite's five tasks, a third of the samples each. A folder of its
# own and fewer episodes of each: make train-worlds TINY=out/worlds DEMONSTRATIONS=20 AROUND=12 METAWORLD_EPISODES=30 ...
WORLDS_MINUTES ?= 100
train-worlds: $(INSTALLED) env-metaworld env-robosuite
	$(record-tiny)
	$(call record-world,metaworld/mt10,metaworld,$(METAWORLD_EPISODES),$(METAWORLD_DISTURBED))
	$(call record-world,robosuite,robosuite,$(ROBOSUITE_EPISODES),$(ROBOSUITE_DISTURBED))
	cd $(TINY) && "$(CURDIR)/$(BIN)/action-images" train tiny-worlds --out tiny-worlds --minutes $(WORLDS_MINUTES) --dtype auto \
	  $(if $(FROM),--pretrained "$(abspath $(FROM))") $(OPTIONS)

$(DEMO): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 11) else "the lock file is for Python 3.11; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	scripts/system-packages || echo 'going on without: what renders will say so'
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[demo]'
	touch $@

# openpi-client wants numpy below 2 and works with 2: its own requirements are left out.
$(INSTALLED): $(DEMO)
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps openpi-client
	touch $@

# Writes the versions that are installed now, names and versions alone.
lock:
	( echo '# Python 3.11, CPU. Rewritten by `make lock`; what is wanted stands in pyproject.toml.'; \
	  $(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu//' ) > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf .venv demo out bench/results dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
