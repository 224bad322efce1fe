#!/usr/bin/env bash
# Kills, damage, churn, fuzz and the oracle, again and again with random seeds. Usage: tests/soak.sh WEIR MINUTES
# The output of a run that fails is kept, with its seed; a seed that fails becomes a fixed case of its suite.
set -uo pipefail
cd "$(dirname "$0")/.."
export WEIR_BINARY=$1 WEIR_SEED=random
minutes=$2
case $minutes in '' | *[!0-9]*) echo "MINUTES is a whole number, not \"$minutes\"" >&2; exit 2 ;; esac
end=$((SECONDS + minutes * 60))
kept=$(mktemp -d)
# Target and filter of each suite that draws its faults from a seed.
suites=(
  "node_suite oracle::"
  "node_suite crash::"
  "node_suite damaged_state::damaged_state_is_rebuilt"
  "node_suite failpoints::"
  "node_suite transactional_copy::"
  "broker_suite churn::"
  "broker_suite damaged_files::"
  "broker_suite fetch_sessions::"
  "broker_suite scale::garbage::"
)
tests/cargo.sh build --lib --tests || exit 1
passed=0 failed=0 round=0
while [ $SECONDS -lt $end ]; do
  round=$((round + 1))
  for suite in "${suites[@]}"; do
    [ $SECONDS -lt $end ] || break
    read -r target filter <<<"$suite"
    log=$kept/$round-${filter//:/}.log
    # A run may outlast the time that was asked for, but not by more than half an hour.
    if timeout 1800 tests/cargo.sh test -q --test "$target" "$filter" -- --nocapture >"$log" 2>&1; then
      passed=$((passed + 1))
      rm -f "$log"
    else
      failed=$((failed + 1))
      echo "failed: $suite, $(grep -om1 'seed=[0-9]*' "$log" || echo 'no seed'), output in $log"
    fi
  done
  echo "round $round, ${SECONDS}s: $passed passed, $failed failed"
done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
