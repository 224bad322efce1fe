#!/usr/bin/env bash
# SQL cases: the project's own, then ksqlDB's where they are to be had. Usage: tests/conformance.sh WEIR
set -euo pipefail
cd "$(dirname "$0")/.."
weir=$1
# Ways to cut the input, which must make no difference.
cuts=("--batch-rows 1" "--batch-rows random:1" "--batch-rows 100000" "--interrupt 1" "--interrupt 1 --keep-state")
for cut in "${cuts[@]}"; do
  # shellcheck disable=SC2086
  "$weir" test tests/cases $cut | sed "s/^[0-9]* passed/own cases: &/"
done
conformance=../shared/conformance/qtt
# Cases that passed once must go on passing; raise the number with every gain.
conformance_passed_min=1131
if [ -d "$conformance" ]; then
  for cut in "${cuts[@]}"; do
    printf 'conformance, %s: ' "$cut"
    # shellcheck disable=SC2086
    "$weir" test "$conformance" $cut --min-passed "$conformance_passed_min" --brief | tail -n 1
  done
else
  echo "conformance: 0 of 1638 run, no $conformance here"
fi
rest=../shared/conformance/rqtt
rest_passed_min=244
if [ -d "$rest" ]; then
  printf 'conformance of the REST API: '
  "$weir" test "$rest" --min-passed "$rest_passed_min" --brief | tail -n 1
else
  echo "conformance: 0 of 295 REST cases run, no $rest here"
fi
