# SPDX-License-Identifier: MIT OR Apache-2.0
# The laboratory's commands: `make run` and `make test` are the two that a newcomer needs.

TARGET := armv7a-none-eabi
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
ELF := build/debris.elf
IMAGE := build/debris.bin
TREE := build/vexpress-v2p-ca9.dtb
CARGO := cargo
HOST := --target host-tuple
BENCHES := $(CARGO) run --locked --quiet $(HOST) -p boot-tests --bin bench --

# What scripts/qemu reads from the environment. Taken by value: a `$$` in a command line stays as it was typed.
MEM ?= 1024M
SMP ?= 1
BENCH ?= debris
SECONDS ?= 60
override MEM := $(value MEM)
override SMP := $(value SMP)
override DTB := $(value DTB)
override NODES := $(value NODES)
override INITRD := $(value INITRD)
override DISK := $(value DISK)
override DISK_READONLY := $(value DISK_READONLY)
override APPEND := $(value APPEND)
override RAM_BASE := $(value RAM_BASE)
override ADDR := $(value ADDR)
export MEM SMP DTB NODES INITRD DISK DISK_READONLY APPEND RAM_BASE ADDR
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

.PHONY: help setup elf image core host playground run monitor test test-engines test-web test-fresh test-random schedules test-junit bench bench-check bench-hard bench-hard-check bench-peers release profile debug size symbolize miri fuzz soak fmt lint advisories doc book demo mutants clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'
	@echo
	@echo 'Variables of run, monitor and debug:'
	@echo '  MEM=512M  SMP=1  DTB=my.dtb  NODES=my.dtsi (reserved-memory nodes as published, or an overlay)'
	@echo '  RAM_BASE=0x10000000 (where RAM begins on the board that NODES or DTB is of)'
	@echo '  DISK=disk.img (scripts/disk-image makes one)  DISK_READONLY=1'
	@echo '  INITRD=my.trace  APPEND='"'"'cma=64M run="cma; poweroff"'"'"

setup:
	@scripts/setup

elf: setup
	@$(CARGO) build --locked --release --target $(TARGET) -p boot
	@scripts/install $(TARGET_DIR)/$(TARGET)/release/debris $(ELF)

image: elf ## build/debris.bin, build/debris.elf and build/vexpress-v2p-ca9.dtb
	@scripts/raw-image $(ELF) $(IMAGE)
	@NODES= scripts/tree $(TREE)
	@scripts/host-tool runner

host: ## build/debris, the host tool; and, where node and npm are, the page of its --html
	@$(CARGO) build --locked --release $(HOST) -p host
	@scripts/install $(TARGET_DIR)/$$(rustc -vV | sed -n 's/^host: //p')/release/debris build/debris
	@scripts/web page

playground: ## build/playground.html, the laboratory in a browser (needs node and npm)
	@scripts/web playground

core: setup ## build/core.bin, the minimal kernel: areas, page allocator, one experiment
	@$(CARGO) build --locked --release --target $(TARGET) -p boot-core
	@scripts/install $(TARGET_DIR)/$(TARGET)/release/core build/core.elf
	@scripts/raw-image build/core.elf build/core.bin
	@NODES= scripts/tree $(TREE)

run: image ## boot, run the article's experiment, print the bitmap, power off
	@RUN='debris; bitmap; poweroff' scripts/qemu $(IMAGE)

monitor: image ## boot to the prompt
	@RUN="version; echo '\`help\` lists the commands, Tab completes them; \`poweroff\`, Ctrl-D or Ctrl-A x leaves.'" scripts/qemu $(IMAGE)

test: ## every test, on the host and in QEMU; ends with the counts
	@scripts/test

test-engines: ## sweeps in parts on a real HyperQueue, from PyPI
	@scripts/test engines

test-web: ## the pages in a real Chromium
	@scripts/test web

test-fresh: ## property tests with fresh seeds: CASES=10000 of each, for SECONDS=3600, until one fails
	@CASES='$(value CASES)' FRESH_SECONDS='$(if $(filter file,$(origin SECONDS)),,$(SECONDS))' scripts/test fresh

test-random: ## COMMANDS=100000 random commands at the prompt, from SEED=1 on, each checked through pseudo files
	@RANDOM_COMMANDS='$(or $(COMMANDS),100000)' RANDOM_SEED='$(or $(SEED),1)' \
		$(CARGO) test --locked $(HOST) -p monitor --lib random_commands -- --nocapture

schedules: ## every order of few callers of cma_alloc, and a million random ones of more (seven minutes)
	@CARGO_PROFILE_DEV_OPT_LEVEL=3 $(CARGO) test --locked $(HOST) -p lab --lib -- --ignored --nocapture callers::properties

test-junit: image ## every test that cargo runs, with the results as JUnit in build/junit.xml (needs cargo-nextest)
	@scripts/test junit '$(subst ','\'',$(value FILTER))'

bench: image ## the benchmark table, in instructions, beside Linux's; records in build/bench.jsonl
	@$(BENCHES) table

bench-check: image ## fail where a figure is 5 % above bench/baseline.csv; UPDATE_BASELINE=1 accepts what is measured
	@$(BENCHES) check

bench-hard: image ## loads that are hard for a search, each figure beside its limit
	@$(BENCHES) hard

bench-hard-check: image ## fail where a figure of these is 5 % above bench/baseline.csv; UPDATE_BASELINE=1 accepts
	@$(BENCHES) check-hard

bench-peers: ## the search and the whole call beside the registry's allocators of ranges (instructions need valgrind)
	@$(CARGO) run --locked --release --quiet $(HOST) --manifest-path bench/peers/Cargo.toml

release: image host ## build/debris-VERSION.tar.gz, for those who do not build: image, host tool, pages, licences, checksums
	@scripts/web playground || echo 'without the playground'
	@scripts/release

profile: image ## which functions the instructions of BENCH=debris go to
	@$(BENCHES) profile '$(subst ','\'',$(value BENCH))'

debug: image ## boot and wait for gdb on port 1234
	@echo 'In another terminal: gdb-multiarch $(ELF) -ex "target remote :1234"'
	@scripts/qemu $(IMAGE) -gdb tcp::1234 -S

size: elf ## text, data and bss of the image
	@"$$(echo "$$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-size)" $(ELF)

symbolize: elf ## functions and lines of backtrace addresses, from ADDR="0x… 0x…" or from standard input
	@$(CARGO) run --locked $(HOST) -p boot-tests --bin symbolize -- $(ELF) $$ADDR

miri: ## Miri over the portable crates
	@scripts/setup miri
	@scripts/test miri

fuzz: ## fuzzers of all that comes from outside, or of TARGET=monitor, each for SECONDS=60
	@scripts/setup fuzz
	@FUZZ_SECONDS='$(SECONDS)' TARGET='$(if $(filter file,$(origin TARGET)),,$(TARGET))' scripts/fuzz

mutants: ## what no test of CRATE=placement notices, of MUTANTS=200 changes of its code (needs cargo-mutants)
	@scripts/mutants '$(value CRATE)' '$(or $(value MUTANTS),200)' '$(or $(value SEED),0)'

fmt: setup ## format the sources
	@rustfmt --edition 2024 $$(git ls-files -co --exclude-standard '*.rs')

lint: setup ## rustfmt, clippy and rustdoc, warnings denied, and the documents' links
	@scripts/test lint

advisories: ## known holes in what is depended on, from the RustSec database (needs github.com)
	@scripts/setup deny
	@scripts/deny advisories

soak: host ## STEPS=1000000000 of all loads, CHECKED=10000000 more with check=on; goes on where it was
	@STEPS='$(STEPS)' CHECKED='$(CHECKED)' SECONDS_AT_MOST='$(if $(filter file,$(origin SECONDS)),,$(SECONDS))' scripts/soak

doc: setup ## the documentation, in target/doc
	@$(CARGO) doc --locked --no-deps --target $(TARGET) --workspace --exclude boot-tests --exclude runner --exclude property --exclude board-mock

book: ## the book, in build/book
	@scripts/setup book
	@mdbook build docs

demo: image ## docs/demo.svg, made from a real run
	@scripts/demo docs/demo.svg

# What else people type. Most are folders, of which make would say that there is nothing to be done.
.PHONY: all build kernel tests boot docs dts runner scripts target tree web
all build kernel: image
	@echo 'make: $@ is `make image`: $(IMAGE) is there; `make run` boots it'
tests: test
boot:
	@echo 'make: say `make run` (boots, runs the experiment, powers off) or `make monitor` (boots to the prompt)' >&2; exit 2
docs:
	@echo 'make: say `make book` (the book) or `make doc` (the documentation of the crates)' >&2; exit 2
dts runner scripts target tree web:
	@echo 'make: $@ is a folder, and no target; `make help` lists the targets' >&2; exit 2

clean: ## remove everything that was built
	@$(CARGO) clean
	@rm -rf build fuzz/target web/target web/node_modules
