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
step "SQL cases of the project"
for rows in 1 random:1 100000; do "$weir" test tests/cases --batch-rows "$rows" 2>&1 | tee -a "$log.cases"; done
conformance=../shared/conformance/qtt
# Cases that passed once must go on passing; raise the number with every gain.
conformance_passed_min=1131
if [ -d "$conformance" ]; then
  for rows in 1 random:1 100000; do
    step "conformance cases, input in batches of $rows"
    "$weir" test "$conformance" --batch-rows "$rows" --min-passed "$conformance_passed_min" --brief | tail -n 1
  done
else
  echo "conformance: 0 of 1638 run, no $conformance here"
fi
rest=../shared/conformance/rqtt
rest_passed_min=244
if [ -d "$rest" ]; then
  step "conformance cases of the REST API"
  "$weir" test "$rest" --min-passed "$rest_passed_min" --brief | tail -n 1
else
  echo "conformance: 0 of 295 REST cases run, no $rest here"
fi
passed=$(awk '/^test result:/ {s += $4} END {print s + 0}' "$log")
cases=$(awk '/passed, / {s += $1} END {print s + 0}' "$log.cases")
rm -f "$log.cases"
printf '\n%s passed, 0 failed\n' "$((passed + cases))"
