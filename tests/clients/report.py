"""What the Python scripts share: one line per behaviour, restarts of the broker, and a few values.

Lines on standard output: `PASS name`, `FAIL name: cause`, `NONE name: why the client has no such thing`, and `RESTART`,
after which the caller kills the broker, starts it again on the same port and answers `ready` on standard input.
"""

import asyncio
import inspect
import os
import random
import sys
import time
import traceback
import uuid

BROKER = sys.argv[1]
ONLY = set(sys.argv[2:])
DEADLINE = 30.0


class Unsupported(Exception):
    """The client has no such feature."""


def need(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what):
    need(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def until(condition, what, seconds=DEADLINE):
    """Waits for a condition; the condition itself waits a little (a poll), so that this does not spin."""
    end = time.monotonic() + seconds
    while not condition():
        need(time.monotonic() < end, f"not within {seconds:.0f} s: {what}")


def topic_name(what):
    return f"{what}-{uuid.uuid4().hex[:8]}"


def noise(size):
    """Bytes that no codec makes smaller."""
    return random.Random(size).randbytes(size)


def restart_broker():
    print("RESTART", flush=True)
    need(sys.stdin.readline().strip() == "ready", "the broker was not started again")


def _line(outcome, name, cause=None):
    text = f"{outcome} {name}" + (f": {cause}" if cause is not None else "")
    print(" ".join(text.split()), flush=True)


def _cause(error):
    at = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in at if frame.filename.endswith(os.path.basename(sys.argv[0]))] or at
    return f"{type(error).__name__} {error} (line {own[-1].lineno})"


BEHAVIOURS = [
    "idempotent-produce",
    "acks",
    "headers-and-nulls",
    "record-1mb",
    "record-too-large",
    "group-rebalance",
    "group-cooperative",
    "group-static",
    "group-pattern",
    "consumer-protocol",
    "commit-and-resume",
    "offset-reset",
    "offset-by-timestamp",
    "txn-commit-abort",
    "txn-send-offsets",
    "txn-fencing",
    "admin-topics",
    "admin-configs",
    "admin-partitions",
    "admin-delete-records",
    "admin-groups",
    "admin-group-offsets",
    "admin-list-offsets",
    "admin-cluster",
    "admin-transactions",
    "restart-produce",
    "restart-consume",
    "restart-transaction",
]


def run(functions, compression):
    """Tries every behaviour in order: `functions` by name, with underscores; `compression` gives one for a codec.

    A coroutine gets an event loop of its own.
    """
    codecs = [(f"compression-{codec}", compression(codec)) for codec in ["none", "gzip", "snappy", "lz4", "zstd"]]
    behaviours = codecs + [(name, functions[name.replace("-", "_")]) for name in BEHAVIOURS]
    for name, behaviour in behaviours:
        if ONLY and name not in ONLY:
            continue
        started = time.monotonic()
        try:
            outcome = behaviour()
            if inspect.iscoroutine(outcome):
                asyncio.run(asyncio.wait_for(outcome, 60))
            _line("PASS", name)
        except Unsupported as reason:
            _line("NONE", name, str(reason))
        except BaseException as error:  # noqa: BLE001: confluent's KafkaError is no Exception
            _line("FAIL", name, _cause(error))
        print(f"{name}: {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # Threads of a client that failed must not keep the process.
    os._exit(0)
