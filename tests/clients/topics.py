"""What the Python scripts try with topics of all kinds, in terms of what every client can do."""

from report import equal, need, topic_name, until

# Long enough ago that no test began then. Units: ms.
LONG_AGO = 1_600_000_000_000
PARTITIONS = 1_000


def as_arguments(topic, records):
    """What kafka-python and aiokafka take for a record; those of topics with times of their own are old."""
    old = {"timestamp_ms": LONG_AGO - 1} if topic.startswith("appended") else {}
    encoded = lambda text: None if text is None else text.encode()  # noqa: E731
    return [{"partition": p, "key": encoded(k), "value": encoded(v)} | old for p, k, v in records]


def as_texts(records):
    """Key, value and timestamp of what these two give."""
    decoded = lambda data: None if data is None else data.decode()  # noqa: E731
    return [(decoded(r.key), decoded(r.value), r.timestamp) for r in records]


class Topics:
    """create(what, partitions, configs): makes a topic;
    write(topic, records): sends records, each a partition, a key and a value (texts or None);
    read(topic, count): gives that many records from the beginning, each a key, a value and a timestamp;
    read_until(topic, value): gives all records from the beginning to the one of that value.
    """

    def __init__(self, create, write, read, read_until):
        self.create, self.write, self.read, self.read_until = create, write, read, read_until

    def functions(self):
        return {
            "log_append_time": self.log_append_time,
            "recompression": self.recompression,
            "compaction": self.compaction,
            "many_partitions": self.many_partitions,
        }

    def log_append_time(self):
        topic = self.create("appended", 1, {"message.timestamp.type": "LogAppendTime"})
        self.write(topic, [(0, "k", "v")])
        ((key, value, timestamp),) = self.read(topic, 1)
        equal((key, value), ("k", "v"), "record")
        need(timestamp > LONG_AGO, f"timestamp {timestamp}")

    def recompression(self):
        for codec in ["gzip", "snappy", "lz4", "zstd", "uncompressed"]:
            topic = self.create("recompressed", 1, {"compression.type": codec})
            records = [(0, f"k{i}", f"value {i} " * 20) for i in range(300)]
            self.write(topic, records)
            found = [(0, key, value) for key, value, _ in self.read(topic, 300)]
            need(found == records, f"{codec}: other records")

    def compaction(self):
        configs = {
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": "0",
        }
        topic = self.create("compacted", 1, configs)
        for round_number in range(5):
            self.write(topic, [(0, f"k{key}", f"{round_number}") for key in range(20)])
        self.write(topic, [(0, "k0", None)])
        expected = [(f"k{key}", "4") for key in range(1, 20)]

        def compacted():
            # The segment that is written to is left alone, so something has to begin another one.
            last = topic_name("last")
            self.write(topic, [(0, "last", last)])
            found = [(key, value) for key, value, _ in self.read_until(topic, last) if key != "last"]
            return found == expected

        until(compacted, "one record of each key but the deleted one")

    def many_partitions(self):
        topic = self.create("wide", PARTITIONS, {})
        self.write(topic, [(at, None, f"{at}") for at in range(PARTITIONS)])
        found = sorted(int(value) for _, value, _ in self.read(topic, PARTITIONS))
        need(found == list(range(PARTITIONS)), f"{len(found)} other records")
