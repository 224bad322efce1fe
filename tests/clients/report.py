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
DEADLINE = 120.0


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


def numbers(values, partitions=1):
    """Records as arguments of the clients in Python."""
    return [{"value": str(i).encode(), "partition": i % partitions} for i in values]


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


def _listed():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "behaviours.txt")) as lines:
        return lines.read().split()


def run(functions, compression):
    """Tries every behaviour of the list, in its order: `functions` by name, with underscores; `compression` gives one for a codec.

    A coroutine gets an event loop of its own.
    """
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        functions[f"compression_{codec}"] = compression(codec)
    for name in _listed():
        if ONLY and name not in ONLY:
            continue
        started = time.monotonic()
        try:
            outcome = functions[name.replace("-", "_")]()
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
