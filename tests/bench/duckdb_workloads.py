"""Runs w1, w2 and w3 in DuckDB, file to file, on the rows that `weir bench --export DIR` wrote.

Prints one JSON line per workload: rows, seconds, CPU seconds, rows per second and per CPU-second.
DuckDB reads and writes plain files without durability or exactly-once: it is the practical upper bound, not a peer.
"""

import json
import os
import resource
import sys
import time

import duckdb

COLUMNS = (
    "{id: 'BIGINT', k: 'VARCHAR', ts: 'BIGINT', amount: 'DOUBLE', quantity: 'INTEGER', "
    "city: 'VARCHAR', note: 'VARCHAR'}"
)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(folder: str) -> None:
    rows_file = os.path.join(folder, "rows.ndjson")
    table_file = os.path.join(folder, "table.ndjson")
    output = os.path.join(folder, "out.ndjson")
    rows = f"read_json('{rows_file}', format='newline_delimited', columns={COLUMNS})"
    table = (
        f"read_json('{table_file}', format='newline_delimited', "
        "columns={k: 'VARCHAR', name: 'VARCHAR', region: 'VARCHAR'})"
    )
    workloads = {
        "w1": f"SELECT id, k, amount, city FROM {rows} WHERE quantity >= 5",
        "w2": f"SELECT k, ts // 60000 * 60000 AS window_start, count(*) AS n, sum(amount) AS total "
        f"FROM {rows} GROUP BY ALL",
        "w3": f"SELECT r.k, r.id, r.amount, t.name, t.region FROM {rows} r JOIN {table} t ON r.k = t.k",
    }
    count = duckdb.sql(f"SELECT count(*) FROM {rows}").fetchall()[0][0]
    duckdb.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    for name, query in workloads.items():
        started, cpu = time.monotonic(), cpu_seconds()
        duckdb.execute(f"COPY ({query}) TO '{output}' (FORMAT json)")
        seconds, cpu = time.monotonic() - started, cpu_seconds() - cpu
        print(
            json.dumps(
                {
                    "engine": f"duckdb {duckdb.__version__}",
                    "workload": name,
                    "rows": count,
                    "seconds": round(seconds, 3),
                    "cpu_seconds": round(cpu, 3),
                    "rows_per_second": round(count / seconds),
                    "rows_per_cpu_second": round(count / cpu),
                }
            ),
            flush=True,
        )
        os.remove(output)


if __name__ == "__main__":
    main(sys.argv[1])
