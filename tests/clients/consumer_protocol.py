"""Consumer groups of the newer protocol (KIP-848) with confluent-kafka. Usage: consumer_protocol.py HOST:PORT.

Exits 1 at the first surprise."""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

BROKER = sys.argv[1]
ADMIN = AdminClient({"bootstrap.servers": BROKER})


def check(condition: bool, message: str) -> None:
    if not condition:
        print(f"FAILED {message}")
        sys.exit(1)


def create(topic: str, partitions: int) -> None:
    ADMIN.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def produce(topic: str, values: range, partitions: int) -> None:
    producer = Producer({"bootstrap.servers": BROKER, "linger.ms": 5})
    for value in values:
        producer.produce(topic, value=str(value), partition=value % partitions)
    check(producer.flush(30) == 0, f"{topic}: not all produced")


class Reader(threading.Thread):
    """A member of a group that reads until it is stopped."""

    def __init__(self, group: str, topics: list, seen: list, **settings):
        super().__init__(daemon=True)
        self.seen = seen
        self.owned: set = set()
        self.errors: list = []
        self.stopping = False
        self.consumer = Consumer(
            {
                "bootstrap.servers": BROKER,
                "group.id": group,
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": True,
                "auto.commit.interval.ms": 200,
                **settings,
            }
        )
        self.consumer.subscribe(topics, on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)
        self.start()

    def assigned(self, consumer, partitions):
        self.owned |= {(p.topic, p.partition) for p in partitions}
        consumer.incremental_assign(partitions)

    def revoked(self, consumer, partitions):
        self.owned -= {(p.topic, p.partition) for p in partitions}
        consumer.incremental_unassign(partitions)

    def run(self):
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                if message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    self.errors.append(message.error())
                continue
            self.seen.append(int(message.value()))
        self.consumer.close()

    def stop(self):
        self.stopping = True
        self.join(30)
        check(not self.is_alive(), "a reader does not end")
        check(not self.errors, f"errors of a reader: {self.errors[:3]}")


def until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"in {seconds} s not so: {what}")
        time.sleep(0.05)


def members_share_and_hand_over() -> None:
    create("cp-a", 6)
    seen: list = []
    produce("cp-a", range(0, 300), 6)
    readers = [Reader("cp-g", ["cp-a"], seen)]
    until(lambda: len(set(seen)) == 300, "the first reader has everything")
    readers += [Reader("cp-g", ["cp-a"], seen) for _ in range(2)]
    until(lambda: sorted(len(r.owned) for r in readers) == [2, 2, 2], "three readers with two partitions each")
    produce("cp-a", range(300, 600), 6)
    until(lambda: len(set(seen)) == 600, "the three have everything")
    description = ADMIN.describe_consumer_groups(["cp-g"])["cp-g"].result(30)
    check(len(description.members) == 3, f"described members: {description.members}")
    check(str(description.state) in ("ConsumerGroupState.STABLE", "4"), f"state {description.state}")
    listed = ADMIN.list_consumer_groups().result(30)
    check("cp-g" in {g.group_id for g in listed.valid}, "listed groups")
    readers.pop().stop()
    until(lambda: sorted(len(r.owned) for r in readers) == [3, 3], "two readers with three partitions each")
    ADMIN.create_partitions([NewPartitions("cp-a", 8)])["cp-a"].result(30)
    until(lambda: sorted(len(r.owned) for r in readers) == [4, 4], "new partitions are divided")
    produce("cp-a", range(600, 1000), 8)
    until(lambda: len(set(seen)) == 1000, "the two have everything")
    check(len(seen) == 1000, f"{len(seen) - 1000} messages were read twice")
    for reader in readers:
        reader.stop()
    committed = Consumer({"bootstrap.servers": BROKER, "group.id": "cp-g"})
    offsets = committed.committed([TopicPartition("cp-a", p) for p in range(8)], timeout=30)
    check(sum(max(o.offset, 0) for o in offsets) == 1000, f"committed {offsets}")
    committed.close()
    print("ok sharing")


def patterns_and_assignors() -> None:
    create("cp-r-1", 2)
    create("cp-other", 2)
    seen: list = []
    reader = Reader("cp-regex", ["^cp-r-.*"], seen, **{"group.remote.assignor": "range"})
    until(lambda: reader.owned == {("cp-r-1", 0), ("cp-r-1", 1)}, "the pattern's topic is assigned")
    create("cp-r-2", 1)
    until(lambda: ("cp-r-2", 0) in reader.owned, "a later topic is found by the pattern")
    reader.stop()
    wrong = Consumer(
        {"bootstrap.servers": BROKER, "group.id": "cp-w", "group.protocol": "consumer", "group.remote.assignor": "no"}
    )
    wrong.subscribe(["cp-r-1"])
    error = None
    deadline = time.monotonic() + 20
    while error is None and time.monotonic() < deadline:
        message = wrong.poll(0.2)
        error = message.error() if message is not None else None
    # The library takes it for fatal and keeps the broker's code in the text.
    check(error is not None and error.code() == KafkaError._FATAL and "assignor" in error.str(), f"an unknown assignor: {error}")
    wrong.close()
    print("ok patterns and assignors")


def static_members_keep_their_place() -> None:
    create("cp-s", 4)
    seen: list = []
    first = Reader("cp-static", ["cp-s"], seen, **{"group.instance.id": "one"})
    second = Reader("cp-static", ["cp-s"], seen, **{"group.instance.id": "two"})
    until(lambda: (len(first.owned), len(second.owned)) == (2, 2), "two members with two partitions each")
    kept = set(second.owned)
    place = set(first.owned)
    first.stop()
    first = Reader("cp-static", ["cp-s"], seen, **{"group.instance.id": "one"})
    until(lambda: first.owned == place, "the static member has its place again")
    check(second.owned == kept, "the other member was disturbed")
    first.stop()
    second.stop()
    print("ok static members")


if __name__ == "__main__":
    members_share_and_hand_over()
    patterns_and_assignors()
    static_members_keep_their_place()
    print("all ok")
