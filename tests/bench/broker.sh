#!/usr/bin/env bash
# The broker by itself: throughput and latency with Weir's own client and, where it is installed, Kafka's Java client,
# synced before the acknowledgement and from the page cache. Usage: tests/bench/broker.sh WEIR CLIENTS [ROWS]
set -euo pipefail
cd "$(dirname "$0")/../.."
weir=$1 clients=$2 rows=${3:-5000000}
work=$(mktemp -d)
server=
stop() { if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; server=; fi; }
trap 'stop; rm -rf "$work"' EXIT

for durability in fsync relaxed; do
  "$weir" bench produce consume e2e --rows "$rows" --durability "$durability" --data-dir "$work/own-$durability"
  rm -rf "$work/own-$durability"
done
"$weir" bench start

if ! command -v java >/dev/null || [ ! -d "$clients/jars" ]; then
  echo "Kafka's Java client is not installed (make setup-clients)" >&2
  exit 0
fi
for durability in fsync relaxed; do
  "$weir" server --durability "$durability" --data-dir "$work/java-$durability" --http-listen 127.0.0.1:0 \
    --kafka-listen 127.0.0.1:0 >"$work/ready" 2>/dev/null &
  server=$!
  until grep -q ready "$work/ready"; do kill -0 "$server"; sleep 0.1; done
  address=$(sed -n 's/.*Kafka //p' "$work/ready")
  echo "Kafka's Java client, durability $durability:"
  java -cp "$clients/jars/*" tests/bench/JavaPerf.java "$address" "$((rows / 2))" 10 2>/dev/null
  stop
  rm -rf "$work/java-$durability"
done
