# The targets a person or CI calls. `make` alone lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
NODE := node_modules/.bin/node

.PHONY: help setup demo test test-fast lint format typecheck bench man clean build conformance conformance-full faults huge pack power-test rpm-test layers-test machines-test quadlet-conformance containers-test images-test arm64-test fuzz faults-host

help: ## list the targets
	@echo 'usage: make TARGET'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s%s\n", $$1, $$2}'

setup: ## install what the other targets need: Debian packages (as root) and locked npm packages
	@sh tools/setup.sh

build: setup ## bundle the programs into build/bin, where bin/ostree and bin/atomic find them
	@$(NODE) --disable-warning=ExperimentalWarning tools/build.ts

faults-host: build ## kill deploying, switching, rolling back and cleaning up, and fail each of their system calls (an hour)
	@FAULTS=host $(NODE) --disable-warning=ExperimentalWarning --test tests/faults/sysroot.test.ts

pack: setup ## make the npm package of packages/ostree in build/pack
	@$(NODE) --disable-warning=ExperimentalWarning tools/pack.ts build/pack

demo: setup ## compose a host, boot it, upgrade it, roll it back, showing each step
	@$(NODE) --disable-warning=ExperimentalWarning demo/run.ts

test: setup ## run all tests (those that need root, QEMU or stock tools say so when they skip)
	@$(NODE) --disable-warning=ExperimentalWarning tests/run.ts

test-fast: setup ## run the tests beside the code and against stock tools, without machines
	@$(NODE) --disable-warning=ExperimentalWarning tests/run.ts --fast

conformance: build ## run upstream's own tests against bin/ostree, as many as fit in two minutes
	@$(NODE) --disable-warning=ExperimentalWarning tests/conformance/run.ts --budget=2

conformance-full: build ## run all of upstream's own tests against bin/ostree (half an hour)
	@$(NODE) --disable-warning=ExperimentalWarning tests/conformance/run.ts

faults: build ## break commit, pull and prune with every error at every system call; work on one repository for minutes
	@FAULTS=all TOGETHER_SECONDS=300 $(NODE) --disable-warning=ExperimentalWarning --test tests/faults/*.test.ts

power-test: build ## cut the power of a machine N times (100) while it upgrades, switches and rolls back; no time limit
	@ATOMIC_POWER_CUTS=$(or $(N),100) ATOMIC_POWER_MINUTES=100000 REPLAY=all $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/power/*.test.ts

rpm-test: build ## make a small distribution of RPMs, compose a host of it, boot it, upgrade it, layer packages on it (20 minutes)
	@RPM_MACHINE=1 $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/compose/rpm-layering.test.ts tests/vm/rpm.test.ts

machines-test: build ## boot machines for what make test leaves out: GRUB from a BIOS, a boot that hangs, try, apply-live, reset (15 minutes)
	@MACHINES=all $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/vm/adjust.test.ts tests/vm/bootloaders.test.ts tests/vm/health.test.ts

layers-test: build ## layer packages on a machine: install, upgrade beneath, override, modules, a conflict, reset, power cuts (an hour)
	@LAYERS_MACHINE=1 LAYERS_CUTS=$(or $(LAYERS_CUTS),10) $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/compose/layering.test.ts tests/vm/layers.test.ts tests/power/layering-disk.test.ts tests/power/layering.test.ts

quadlet-conformance: ## podman's published Quadlet fixtures, and whole outputs beside podman's own generator (a minute)
	@$(NODE) --disable-warning=ExperimentalWarning tests/conformance/quadlet/run.ts
	@$(NODE) --disable-warning=ExperimentalWarning tests/conformance/quadlet/run.ts --compare --suite=experimental

containers-test: build ## the life of system containers and of an app on machines with systemd: install, update, a bad update, power cut (20 minutes)
	@CONTAINERS_MACHINE=1 $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/vm/containers.test.ts tests/vm/apps.test.ts

images-test: build ## start images: network boot, an installation medium, cloud-init, the examples, a watch with machines (half an hour)
	@IMAGES_MACHINE=1 $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/vm/images.test.ts tests/vm/examples.test.ts tests/vm/watch.test.ts

arm64-test: build ## compose a tree for arm64 and boot it, both by emulation (half an hour the first time; docs/images.md has the packages)
	@ARM64_MACHINE=1 $(NODE) --disable-warning=ExperimentalWarning --test tests/vm/arm64.test.ts

fuzz: build ## damaged input, random trees and histories that no run before has seen, for FUZZ_SECONDS (600) and more
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) FUZZ_SEED=$(or $(FUZZ_SEED),$$(date +%s)) $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/fuzz/*.test.ts tests/interop/etc-merge-property.test.ts tests/interop/changeset-overlay.test.ts

huge: build ## a file of 5 GiB, a folder of 100,000 files, images of a million entries: in bounded memory (half an hour)
	@HUGE=/var/tmp MILLION=1 $(NODE) --disable-warning=ExperimentalWarning --test --test-concurrency=1 tests/interop/huge.test.ts tests/containers/images-million.test.ts

lint: setup ## check style and common mistakes
	@node_modules/.bin/biome check .

format: setup ## rewrite the code in the project's style
	@node_modules/.bin/biome check --write .

typecheck: setup ## check the types
	@node_modules/.bin/tsc --noEmit

bench: build ## measure against stock tools on a real tree; writes bench/RESULTS.md (ONLY=WORDS: some rows, printed; KEEP=1: written too; RUNS=N)
	@$(NODE) --disable-warning=ExperimentalWarning bench/run.ts $(if $(ONLY),--only="$(ONLY)") $(if $(KEEP),--keep) $(if $(RUNS),--runs=$(RUNS))

man: setup ## write the manual pages from the commands' definitions to build/man
	@$(NODE) --disable-warning=ExperimentalWarning tools/man.ts build/man

clean: ## remove what the other targets made, except installed packages
	rm -rf build node_modules/.cache
