#!/usr/bin/env bash
# Weir and DuckDB on the same rows, and the ratio of rows per CPU-second. Usage: tests/bench/run.sh WEIR [ROWS]
set -euo pipefail
cd "$(dirname "$0")/../.."
weir=$1 rows=${2:-5000000}
venv="$HOME/.cache/weir/venv"
test -x "$venv/bin/python" || python3 -m venv "$venv"
"$venv/bin/python" -c 'import duckdb' 2>/dev/null || "$venv/bin/pip" install -q duckdb
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$weir" bench --export "$work" --rows "$rows"
"$venv/bin/python" tests/bench/duckdb_workloads.py "$work" | tee "$work/duckdb.jsonl"
"$weir" bench w1 w2 w3 --rows "$rows" | tee "$work/weir.jsonl"
"$venv/bin/python" - "$work/duckdb.jsonl" "$work/weir.jsonl" <<'PY'
import json, sys
duckdb, weir = ({r["workload"]: r for r in map(json.loads, open(p))} for p in sys.argv[1:3])
for name in sorted(duckdb):
    ratio = weir[name]["rows_per_cpu_second"] / duckdb[name]["rows_per_cpu_second"]
    print(f"{name}: {ratio:.2f} of DuckDB's rows per CPU-second")
PY
