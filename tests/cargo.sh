#!/usr/bin/env bash
# cargo as the tests use it: tests/cargo.sh test --test node_suite oracle
#
# The project's crates are compiled by Clippy's driver, which is rustc with lints, unoptimised and with assertions
# (quick.toml); so one build lints and tests, and the dependencies are those of the release build. The selection is
# always the whole workspace: a part of it would ask some dependencies for fewer features and compile DataFusion again.
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
shift
driver=$(rustc --print sysroot)/bin/clippy-driver
[ -x "$driver" ] || { echo "Clippy is needed: rustup component add clippy" >&2; exit 1; }
export RUSTC_WORKSPACE_WRAPPER=$driver
export CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"
exec cargo "$command" --config tests/quick.toml --release --locked --workspace "$@"
