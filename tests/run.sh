#!/usr/bin/env bash
# Every check, in the order in which a mistake is cheapest to find. Usage: tests/run.sh WEIR CLIENTS
set -euo pipefail
cd "$(dirname "$0")/.."
weir=$1 clients=$2
export WEIR_BINARY="$weir" WEIR_CLIENTS="$clients" WEIR_PYTHON="$clients/venv/bin/python"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

step "format"; cargo fmt --all --check
# Bins are compiled in test mode only, so that the binary below is the optimised one.
step "lint and build the tests"; tests/cargo.sh build --lib --tests --benches
step "build"; cargo build --release --locked -p weir-repl
step "unit, integration, crash and client tests"
# Tests of one binary run in parallel, binaries one after another: two cores are enough for that.
tests/cargo.sh test --lib --tests 2>&1 | tee "$log"
step "conformance"
tests/conformance.sh "$weir" | tee -a "$log.cases"
passed=$(awk '/^test result:/ {s += $4} END {print s + 0}' "$log")
# The project's own cases, which run once for each way of cutting the input and count once; the totals of the
# conformance cases are printed as lines of their own.
cases=$(awk '/^own cases: / {s = $3} END {print s + 0}' "$log.cases")
rm -f "$log.cases"
printf '\n%s passed, 0 failed\n' "$((passed + cases))"
