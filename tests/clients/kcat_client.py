"""kcat against a broker. Usage: kcat_client.py HOST:PORT [BEHAVIOUR...]. See report.py.

Topics are made with confluent-kafka: kcat cannot.
"""

import json
import subprocess
import tempfile
import threading
import time
from dataclasses import replace

from confluent_kafka.admin import AdminClient, NewTopic

from secure import Secured, sasl
from topics import PARTITIONS, Topics
from report import BROKER, DEADLINE, Unsupported, equal, need, noise, restart_broker, run, topic_name, until

KCAT = ["kcat", "-X", "reconnect.backoff.max.ms=500", "-X", "topic.metadata.refresh.interval.ms=1000"]
ADMIN = AdminClient({"bootstrap.servers": BROKER})


def create(what, partitions=1, config=None):
    topic = topic_name(what)
    ADMIN.create_topics([NewTopic(topic, partitions, 1, config=config or {})])[topic].result(DEADLINE)
    return topic


def kcat(*arguments, text="", fails=False, login=("-b", BROKER)):
    done = subprocess.run(
        [*KCAT, *login, *arguments], input=text, capture_output=True, text=not isinstance(text, bytes), timeout=DEADLINE
    )
    need((done.returncode != 0) == fails, f"kcat {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stderr if fails else done.stdout


def produce(topic, values, *arguments):
    kcat("-P", "-t", topic, *arguments, text="".join(f"{value}\n" for value in values))


def read_all(topic, count, *arguments):
    """Whole records, as kcat writes them in JSON."""
    output = kcat("-C", "-t", topic, "-e", "-q", "-J", "-X", "isolation.level=read_committed", *arguments)
    records = [json.loads(line) for line in output.splitlines()]
    equal(len(records), count, "number of records")
    return records


def values(records):
    return [record["payload"] for record in records]


def texts(numbers):
    return [str(number) for number in numbers]


def compression(codec):
    def behaviour():
        topic = create(f"compression-{codec}", 2)
        sent = [f"k{i}:{f'value {i} ' * 20}" for i in range(300)]
        produce(topic, sent, "-K", ":", "-z", codec)
        equal(sorted(f"{r['key']}:{r['payload']}" for r in read_all(topic, 300)), sorted(sent), "records")

    return behaviour


def idempotent_produce():
    topic = create("idempotent")
    produce(topic, range(2000), "-X", "enable.idempotence=true", "-X", "batch.num.messages=20")
    equal(values(read_all(topic, 2000)), texts(range(2000)), "order")


def acks():
    topic = create("acks")
    for level in ["0", "1", "all"]:
        produce(topic, [level], "-X", f"acks={level}")
    equal(values(read_all(topic, 3)), ["0", "1", "all"], "records")


def headers_and_nulls():
    topic = create("headers")
    produce(topic, ["v"], "-H", "a=1", "-H", "a=2", "-H", "empty=")
    produce(topic, ["k:"], "-K", ":", "-Z")
    produce(topic, ["k:"], "-K", ":")
    found = read_all(topic, 3)
    equal([(r["key"], r["payload"]) for r in found], [(None, "v"), ("k", None), ("k", "")], "records")
    equal(found[0]["headers"], ["a", "1", "a", "2", "empty", ""], "headers")


def record_1mb():
    topic = create("large")
    value = noise(999_000)
    with tempfile.NamedTemporaryFile() as file:
        file.write(value)
        file.flush()
        kcat("-P", "-t", topic, file.name)
    found = kcat("-C", "-t", topic, "-e", "-q", "-f", "%s", text=b"")
    need(found == value, "other bytes")


def record_too_large():
    topic = create("limited", config={"max.message.bytes": "20000"})
    with tempfile.NamedTemporaryFile() as file:
        file.write(noise(50_000))
        file.flush()
        error = kcat("-P", "-t", topic, file.name, fails=True)
    need("Message size too large" in error, error)
    produce(topic, ["small"])
    equal(values(read_all(topic, 1)), ["small"], "record")


class Member:
    """`kcat -G`: the partitions of its last assignment, and what it read."""

    def __init__(self, group, *topics, settings=()):
        options = [o for s in ("auto.offset.reset=earliest", "heartbeat.interval.ms=300", *settings) for o in ("-X", s)]
        self.process = subprocess.Popen(
            [*KCAT, "-b", BROKER, "-G", group, "-u", "-E", "-f", "%s\n", *options, *topics],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen, self.held, self.said = [], set(), []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.seen.append(int(line))

    def _listen(self):
        # "% Group g rebalanced (memberid m): assigned: t [0], t [1]"
        for line in self.process.stderr:
            self.said.append(line)
            if "assigned: " in line:
                listed = line.split("assigned: ")[1].strip()
                self.held = set(listed.split(", ")) if listed else set()
            elif "revoked: " in line:
                self.held = set()

    def stop(self):
        self.process.terminate()
        equal(self.process.wait(DEADLINE), 0, "end of the member")


def soon(condition, what):
    def waited():
        time.sleep(0.05)
        return condition()

    until(waited, what)


def group_rebalance():
    topic, group = create("group", 4), topic_name("group")
    everything = {f"{topic} [{p}]" for p in range(4)}
    first = Member(group, topic, settings=["partition.assignment.strategy=range"])
    soon(lambda: first.held == everything, "the first member holds everything")
    produce(topic, range(40))
    soon(lambda: len(first.seen) == 40, "the first member reads everything")
    second = Member(group, topic, settings=["partition.assignment.strategy=range"])
    soon(lambda: len(first.held) == len(second.held) == 2 and not first.held & second.held, "both hold two partitions")
    produce(topic, range(40, 80))
    soon(lambda: len(first.seen) + len(second.seen) >= 80, "both read their parts")
    second.stop()
    soon(lambda: first.held == everything, "the first member holds everything again")
    produce(topic, range(80, 120))
    soon(lambda: len(first.seen) + len(second.seen) >= 120, "the rest is read")
    first.stop()
    equal(sorted(first.seen + second.seen), list(range(120)), "every record once")


def group_cooperative():
    raise Unsupported("kcat of Debian does not assign incrementally")


def group_static():
    raise Unsupported("a kcat that ends leaves its group, static or not")


def group_pattern():
    prefix = topic_name("pattern")
    ADMIN.create_topics([NewTopic(f"{prefix}-a", 1, 1)])[f"{prefix}-a"].result(DEADLINE)
    member = Member(topic_name("group"), f"^{prefix}-.*")
    soon(lambda: member.held == {f"{prefix}-a [0]"}, "the topic that is there")
    ADMIN.create_topics([NewTopic(f"{prefix}-b", 1, 1)])[f"{prefix}-b"].result(DEADLINE)
    soon(lambda: member.held == {f"{prefix}-a [0]", f"{prefix}-b [0]"}, "the topic that came later")
    member.stop()


def consumer_protocol():
    raise Unsupported("its librdkafka is older than KIP-848")


def commit_and_resume():
    topic, group = create("resume"), topic_name("group")
    produce(topic, range(10))
    first = kcat("-G", group, "-q", "-c", "4", "-X", "auto.offset.reset=earliest", topic)
    second = kcat("-G", group, "-q", "-c", "6", "-X", "auto.offset.reset=earliest", topic)
    equal((first.split(), second.split()), (texts(range(4)), texts(range(4, 10))), "records")


def offset_reset():
    topic = create("reset")
    produce(topic, range(10))
    equal(kcat("-C", "-t", topic, "-e", "-q", "-o", "beginning").split(), texts(range(10)), "beginning")
    equal(kcat("-C", "-t", topic, "-e", "-q", "-o", "-3").split(), ["7", "8", "9"], "three before the end")
    equal(kcat("-C", "-t", topic, "-e", "-q", "-o", "8").split(), ["8", "9"], "from an offset")
    late = Member(topic_name("group"), topic, settings=["auto.offset.reset=latest"])
    soon(lambda: late.held, "assignment")
    time.sleep(1)
    produce(topic, [10])
    soon(lambda: late.seen, "latest")
    late.stop()
    equal(late.seen, [10], "latest")


def offset_by_timestamp():
    topic = create("timestamps")
    produce(topic, [0])
    time.sleep(0.05)
    at = int(time.time() * 1000)
    produce(topic, [1])
    equal(kcat("-Q", "-t", f"{topic}:0:{at}").strip(), f"{topic} [0] offset 1", "offset")
    equal(kcat("-C", "-t", topic, "-e", "-q", "-o", f"s@{at}").split(), ["1"], "records")


def txn_commit_abort():
    # One transaction per process, which reads its input to the end: nothing to abort.
    topic = create("txn")
    for start in [0, 20]:
        produce(topic, range(start, start + 20), "-X", f"transactional.id={topic}")
    equal(values(read_all(topic, 40)), texts(range(40)), "committed")


def txn_send_offsets():
    raise Unsupported("kcat produces or consumes")


def txn_fencing():
    raise Unsupported("a kcat that produces cannot be held up")


def unsupported():
    raise Unsupported("kcat administers nothing")


admin_configs = admin_partitions = admin_delete_records = admin_groups = admin_group_offsets = unsupported
admin_transactions = admin_acls = admin_scram_users = admin_quotas = admin_elections = unsupported
admin_reassignments = admin_log_dirs = admin_config_resources = unsupported


def listing(*arguments):
    return json.loads(kcat("-L", "-J", *arguments))


def admin_topics():
    topic = create("listed", 3)
    (described,) = [t for t in listing()["topics"] if t["topic"] == topic]
    equal([p["partition"] for p in described["partitions"]], [0, 1, 2], "partitions")
    need(all(p["leader"] >= 0 and len(p["isrs"]) == 1 for p in described["partitions"]), "leaders")


def admin_list_offsets():
    topic = create("offsets")
    produce(topic, range(5))
    equal(kcat("-Q", "-t", f"{topic}:0:-1").strip(), f"{topic} [0] offset 5", "latest")
    equal(kcat("-Q", "-t", f"{topic}:0:-2").strip(), f"{topic} [0] offset 0", "earliest")


def admin_cluster():
    cluster = listing()
    need(len(cluster["brokers"]) == 1 and cluster["controllerid"] >= 0, f"{cluster}")


restart_produce = restart_transaction = txn_fencing


def restart_consume():
    topic, group = create("restart-consume", 2), topic_name("group")
    member = Member(group, topic)
    produce(topic, range(100))
    soon(lambda: len(member.seen) == 100, "the first records")
    restart_broker()
    produce(topic, range(100, 200))
    soon(lambda: len(member.seen) >= 200, "the records after the restart")
    member.stop()
    equal(sorted(member.seen), list(range(200)), "every record once")
    after = Member(group, topic)
    soon(lambda: len(after.held) == 2, "assignment")
    time.sleep(0.5)
    after.stop()
    equal(after.seen, [], "records after the committed offsets")


def options_of(login):
    settings = {
        "security.protocol": login.protocol,
        "sasl.mechanism": login.mechanism,
        "sasl.username": login.user,
        "sasl.password": login.password,
        "ssl.ca.location": login.authority,
        "ssl.certificate.location": login.certificate,
        "ssl.key.location": login.key,
    }
    given = [f"{name}={value}" for name, value in settings.items() if value is not None]
    return ["-b", login.address, *[option for setting in given for option in ("-X", setting)]]


def send_as(login, topic, *arguments):
    kcat("-P", "-t", topic, *arguments, text="secured\n", login=options_of(login))


def consume_as(login, topic, group):
    return kcat("-G", group, "-q", "-c", "1", "-X", "auto.offset.reset=earliest", topic, login=options_of(login))


def exchange_as(login, topic, group):
    send_as(login, topic)
    equal(consume_as(login, topic, group), "secured\n", "record")


def transact_as(login, name, topic):
    send_as(login, topic, "-X", f"transactional.id={name}")


def quota_throttling():
    topic = create("open-throttled")
    bob = replace(sasl("PLAIN"), user="bob", password="bob-secret")
    started = time.monotonic()
    lines = ("x" * 50_000 + "\n") * 3
    # A request for each line: the broker reads nothing more until the rate is kept.
    kcat("-P", "-t", topic, "-X", "batch.num.messages=1", "-X", "max.in.flight=1", text=lines, login=options_of(bob))
    need(time.monotonic() - started > 1, "the client was not held up")
    read_all(topic, 3)


def write(topic, records):
    """A kcat for each partition."""
    by_partition = {}
    for partition, key, value in records:
        by_partition.setdefault(partition, []).append(f"{key}:{value or ''}\n")
    for partition, lines in by_partition.items():
        kcat("-P", "-t", topic, "-p", str(partition), "-K", ":", "-Z", text="".join(lines))


def read(topic, count=None):
    output = kcat("-C", "-t", topic, "-e", "-q", "-J")
    records = [json.loads(line) for line in output.splitlines()]
    need(count is None or len(records) == count, f"{len(records)} records")
    return [(r["key"], r["payload"], r["ts"]) for r in records]


def many_partitions():
    topic = create("wide", PARTITIONS)
    count = 2 * PARTITIONS
    produce(topic, [f"k{i}:{i}" for i in range(count)], "-K", ":")
    records = read_all(topic, count)
    equal(sorted(int(value) for value in values(records)), list(range(count)), "records")
    need(len({record["partition"] for record in records}) > PARTITIONS // 2, "only few partitions were written to")


def unknown_topic():
    topic = topic_name("unknown")
    error = kcat("-P", "-t", topic, "-X", "topic.metadata.propagation.max.ms=1000", text="x\n", fails=True)
    need("Unknown topic" in error, error)
    need(topic not in ADMIN.list_topics(timeout=DEADLINE).topics, "the topic was made")


def topic_made_anew():
    raise Unsupported("a kcat ends when it sees that its topic is gone")


def offset_truncated():
    raise Unsupported("its librdkafka, 2.0, is older than the check")


def group_slow_member():
    raise Unsupported("a kcat reads all the time")


group_static_fencing = group_static
consumer_protocol_assignors = consumer_protocol

if __name__ == "__main__":
    topics = Topics(create, write, read, lambda topic, _: read(topic))
    old = "its librdkafka, 2.0, does not renew its proof (KIP-368)"
    secured = Secured(create, exchange_as, send_as, consume_as, transact_as, None, renews=old)
    run(secured.functions() | topics.functions() | globals(), compression)
