# SPDX-License-Identifier: GPL-2.0
# zcio's targets. 'make' alone lists them. With KDIR= the module is built like any
# other; without, in the rig: a Debian root with a stock kernel (tests/rig).

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

KERNEL ?=
KDIR ?=
PREFIX ?= /usr/local
DESTDIR ?=
CMD ?= uname -a
export KERNEL

rig := tests/rig
enter := $(rig)/enter

.PHONY: help
help: ## this list
	@echo "zcio: zero-copy calls for sockets and files, as a module for a stock kernel"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26
	@echo
	@echo "  variables: KERNEL=7.2 | 7.3 | 7.3.4+deb13-amd64 | debug   the kernel of the rig"
	@echo "             NIC=e1000e | virtio-net-pci | vmxnet3 | veth | lo   MTU=9000   CPUS=2   MEM=4G"
	@echo "             TIMEOUT=600   KCMDLINE='slub_debug=FZPU'   MODULE=none   MODULE_PARAMS="
	@echo "             TESTS='device recv*'   ONLY=host | guest   KDIR=/path   PREFIX=/usr/local"
	@echo "             BENCH_ONLY='tcp_* rr'   BENCH_ROUNDS=5   BENCH_MIB=64"

.PHONY: setup
setup: ## make the rig ready (done by all that need it; UPDATE=1: look for a newer kernel)
	@echo "kernel $$($(rig)/setup) is ready"

.PHONY: kernel-debug
kernel-debug: ## build the kernel of KERNEL=debug: KASAN, lockdep, kmemleak, faults on purpose
	@echo "kernel $$(KERNEL=debug $(rig)/setup) is ready"

.PHONY: modules
ifneq ($(KDIR),)
modules: ## build zcio.ko (with KDIR=… against that kernel, else in the rig)
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules
else
modules:
	@$(rig)/build-module
endif

.PHONY: modules_install
modules_install:
	$(MAKE) -C $(or $(KDIR),/lib/modules/$(shell uname -r)/build) M=$(CURDIR) modules_install

.PHONY: userspace
userspace: ## build the C library, the Rust crate and the command
	@$(rig)/setup >/dev/null
	@$(enter) $(MAKE) -C userspace

.PHONY: install
install: ## install the header and, where built, the library and the command (PREFIX=, DESTDIR=)
	install -D -m 644 uapi/zcio.h $(DESTDIR)$(PREFIX)/include/linux/zcio.h
	@if [ -f userspace/Makefile ] && [ -d build/userspace ]; then \
		$(MAKE) -C userspace install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR); fi

# As it was written, so that its dollars reach the guest's shell.
override export CMD := $(value CMD)

.PHONY: guest
guest: modules ## boot the kernel with the module and run CMD="…" there
	@$(rig)/guest "$$CMD"

.PHONY: shell
shell: modules ## the same with a prompt
	@$(rig)/guest --shell

.PHONY: tests-build
tests-build: modules
	@$(rig)/build-tests

.PHONY: test
test: ## all tests: on this machine and in guests
	@tests/run

.PHONY: lint
lint: ## what can be said of the sources without running them: format, clippy, checkpatch, …
	@kernel=$$($(rig)/setup); $(enter) $(MAKE) -C userspace lib >/dev/null; \
		$(enter) --kernel $$kernel python3 -B $(rig)/lint.py

.PHONY: miri
miri: ## the tests of the decisions and of the crate in Miri, where the machine has it
	@tests/host/miri

.PHONY: sanitize
sanitize: ## the tests of the libraries with AddressSanitizer and in valgrind
	@$(rig)/setup >/dev/null; $(enter) $(MAKE) -C userspace lib >/dev/null; $(enter) tests/host/sanitize

.PHONY: fuzz-host
fuzz-host: ## search for inputs that break the decisions (SECONDS=60 each, TARGET=receive, INPUT=file)
	@$(rig)/setup >/dev/null; $(enter) tests/host/fuzz $(if $(INPUT),--input $(INPUT),--seconds $(or $(SECONDS),60)) $(TARGET)

.PHONY: test-all
test-all: ## the same for every kernel: 7.3, 7.2, debug (hours under emulation)
	@tests/run-all

.PHONY: mutants
mutants: ## take the checks out of the module, one by one: the tests must notice each time
	@tests/mutants/run

.PHONY: fuzz
fuzz: ## fuzz the device in guests for SECONDS=300 (SEED=…), or run one program again (REPLAY=path)
	@ZCIO_SECONDS="$(SECONDS)" SEED="$(SEED)" REPLAY="$(REPLAY)" tests/fuzz/run

.PHONY: soak-splice
soak-splice: ## 1,000 splices at once that end at any moment, for SECONDS=600 (SPLICES=…), on the debug kernel
	@ZCIO_SECONDS="$(SECONDS)" ZCIO_SPLICES="$(SPLICES)" tests/rig/soak-splice

.PHONY: demo
demo: ## set up, build, boot, and show what the module does
	@tests/rig/demo

.PHONY: matrix
matrix: ## what share of the traffic is mapped: every network, protocol and kind of sender
	@tests/rig/matrix

.PHONY: bench
bench: ## what ours and its peers cost, job by job (about an hour under emulation)
	@tests/rig/bench

.PHONY: bench-quick
bench-quick: ## the same for two networks and few sizes, within six minutes
	@BENCH_LEVEL=quick tests/rig/bench

.PHONY: bench-report
bench-report: ## make Documentation/benchmarks.md and its plots from what make bench measured
	@$(rig)/setup >/dev/null; $(enter) python3 -B tests/bench/report.py

.PHONY: bench-instructions
bench-instructions: ## where the instructions of one way go: JOB=tcp_receive WAY=zc_readv SIZE=65536 NIC=e1000e
	@tests/rig/bench-instructions $(or $(JOB),tcp_receive) $(or $(WAY),zc_readv) $(if $(SIZE),--size $(SIZE)) $(OPTIONS)

.PHONY: clean
clean: ## remove build/ (with KDIR=… what a build against that kernel left)
	rm -rf build
	@[ -z "$(KDIR)" ] || $(MAKE) -C $(KDIR) M=$(CURDIR) clean

.PHONY: clean-cache
clean-cache: ## remove the rig's cache (about 6 GB; the next run makes it anew)
	@$(rig)/clean-cache
