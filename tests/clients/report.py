"""What the Python scripts share: one line per behaviour, restarts of the broker, and a few values.

Lines on standard output: `PASS name`, `FAIL name: cause`, `NONE name: why the client has no such thing`, and `RESTART`,
after which the caller kills the broker, starts it again on the same port and answers `ready` on standard input.
"""

import asyncio
import inspect
import os
import random
import sys
import threading
import time
import traceback
import uuid

BROKER = sys.argv[1]
ONLY = set(sys.argv[2:])
DEADLINE = 120.0
# A client may wait without an end of its own, in its C code for example.
BEHAVIOUR_WITHIN = 2 * DEADLINE


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


class _Attempt(threading.Thread):
    """One try of a behaviour, which the caller can give up."""

    def __init__(self, behaviour):
        super().__init__(daemon=True)
        self._behaviour = behaviour
        self.outcome, self.cause = "PASS", None

    def run(self):
        try:
            outcome = self._behaviour()
            if inspect.iscoroutine(outcome):
                asyncio.run(asyncio.wait_for(outcome, 60))
        except Unsupported as reason:
            self.outcome, self.cause = "NONE", str(reason)
        except BaseException as error:  # noqa: BLE001: confluent's KafkaError is no Exception
            self.outcome, self.cause = "FAIL", _cause(error)

    def result(self):
        """The outcome and its cause; a behaviour that does not end fails with the place where it waits."""
        self.join(BEHAVIOUR_WITHIN)
        if not self.is_alive():
            return self.outcome, self.cause
        stack = traceback.extract_stack(sys._current_frames()[self.ident])
        places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(stack[-4:]))
        return "FAIL", f"not done within {BEHAVIOUR_WITHIN:.0f} s, waits in {places}"


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
        attempt = _Attempt(functions[name.replace("-", "_")])
        attempt.start()
        outcome, cause = attempt.result()
        _line(outcome, name, cause)
        print(f"{name}: {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # Threads of a client that failed, or does not return, must not keep the process.
    os._exit(0)
