# Two commands: `make demo` and `make test`. Both set the machine up first; a second run skips what is there.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# In CI the target directory outlives the checkout, so that RocksDB and DataFusion compile once per machine.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/weir/target
endif
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)
WEIR := $(TARGET)/release/weir
# Third-party Kafka clients: a Python environment, Node modules and Java archives.
CLIENTS := $(HOME)/.cache/weir/clients
CARGO := cargo
# How long `make soak` runs.
MINUTES ?= 60
# Where `make install` puts the binary, its manual and its completions: for everybody as root, for oneself otherwise.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# The C++ compiler and libclang are for RocksDB, kcat and Python for the tests with real clients, script and kill for
# those in a terminal.
APT_PACKAGES := build-essential clang libclang-dev pkg-config curl kcat python3 python3-venv bsdutils procps strace

.PHONY: help setup setup-clients build install demo test check lint unit conformance crash clients soak fmt bench bench-broker fuzz clean

help:
	@echo "make demo    set up, build, and run January 2013's flights through Weir"
	@echo "make test    set up, build, and run every check"
	@echo "make build   build $(WEIR)"
	@echo "make check   format, lints, architecture and unit tests: what to run while working"
	@echo "make lint|unit|conformance|crash|clients   one part of make test"
	@echo "make soak MINUTES=60   run kills, damage, churn, fuzz and the oracle with random seeds"
	@echo "make install put a stripped binary, its manual and completions below $(PREFIX)"
	@echo "make bench   measure the workloads beside DuckDB"
	@echo "make bench-broker   measure the broker, with its own and with Kafka's Java client"

setup:
	@missing=$$(for p in $(APT_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing: $$missing"; $(SUDO) apt-get update -q; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $$missing; fi
	@command -v cargo >/dev/null || { echo "Rust is needed: see https://rustup.rs" >&2; exit 1; }

setup-clients: setup
	@./tests/clients/setup.sh $(CLIENTS)

build: setup
	$(CARGO) build --release --locked -p weir-repl

# The binary is stripped on the way, so that nothing is compiled again for it.
install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -s -m 755 $(WEIR) $(DESTDIR)$(PREFIX)/bin/weir
	$(WEIR) man $(DESTDIR)$(PREFIX)/share/man/man1
	$(WEIR) completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/weir
	@case ":$$PATH:" in *:$(PREFIX)/bin:*) ;; *) echo "add $(PREFIX)/bin to PATH" ;; esac

demo: build
	$(WEIR) demo --examples examples/flights
	@echo
	@echo "The binary is $(WEIR); make install puts it on PATH."

# Random seeds until the time is up; a seed that fails becomes a fixed case.
soak: build
	./tests/soak.sh "$(WEIR)" "$(MINUTES)"

test: setup-clients
	./tests/run.sh "$(WEIR)" "$(CLIENTS)"

# Format, lints, layers and unit tests, for use before every commit.
check: lint unit
	tests/cargo.sh test --test node_suite tidy::

# Clippy is the compiler of the tests, so this builds them as well.
lint: setup
	$(CARGO) fmt --all --check
	tests/cargo.sh build --lib --tests --benches

unit: setup
	tests/cargo.sh test --lib

# SQL cases: the project's own, and ksqlDB's if they are beside the checkout.
conformance: build
	./tests/conformance.sh "$(WEIR)"

# Kills, failures at named points, damaged files, full disks.
crash: build
	WEIR_BINARY=$(WEIR) tests/cargo.sh test --test node_suite -- crash:: failpoints:: damaged_state:: disk:: transactional_copy:: oracle::

# Third-party Kafka clients against a node that is killed now and then.
clients: build setup-clients
	WEIR_BINARY=$(WEIR) WEIR_CLIENTS=$(CLIENTS) WEIR_PYTHON=$(CLIENTS)/venv/bin/python \
	  tests/cargo.sh test --test node_suite clients:: -- --nocapture

# Ten million mutated frames for every decoder, with a bound on memory: about half an hour.
fuzz: setup
	WEIR_FUZZ_FRAMES=10000000 $(CARGO) test --release --locked -p weir-broker --lib fuzz_tests -- --nocapture

fmt:
	$(CARGO) fmt --all

bench: build
	./tests/bench/run.sh "$(WEIR)"

# Throughput and latency of the broker, synced and relaxed, with Weir's own and with Kafka's Java client.
bench-broker: build setup-clients
	./tests/bench/broker.sh "$(WEIR)" "$(CLIENTS)"

clean:
	$(CARGO) clean
