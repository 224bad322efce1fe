"""Produces, consumes and transacts with confluent-kafka. Usage: confluent.py HOST:PORT. Exits 1 at the first surprise."""

import sys
import uuid

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BROKER = sys.argv[1]


def check(condition: bool, message: str) -> None:
    if not condition:
        print(f"FAILED {message}")
        sys.exit(1)


def create(topic: str, partitions: int) -> None:
    # The futures fail if the client is collected before they end.
    admin = AdminClient({"bootstrap.servers": BROKER})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def consume(topic: str, count: int, isolation: str = "read_committed", group: str | None = None) -> list:
    consumer = Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": group or str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": False,
        }
    )
    consumer.subscribe([topic])
    messages = []
    idle = 0
    while len(messages) < count and idle < 40:
        message = consumer.poll(0.5)
        if message is None:
            idle += 1
            continue
        check(message.error() is None, f"consume {topic}: {message.error()}")
        messages.append(message)
        idle = 0
    extra = consumer.poll(0.5)
    check(extra is None or extra.error() is not None, f"{topic} has more than {count} messages")
    consumer.commit()
    consumer.close()
    check(len(messages) == count, f"{topic}: {len(messages)} of {count} messages")
    return messages


def codecs() -> None:
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = f"py-{codec}"
        create(topic, 3)
        producer = Producer(
            {"bootstrap.servers": BROKER, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5}
        )
        failures = []
        for i in range(500):
            producer.produce(
                topic,
                key=f"k{i}",
                value=f"value {i} " * 20,
                headers=[("n", str(i).encode())],
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        check(producer.flush(30) == 0 and not failures, f"{codec}: {failures[:1]}")
        messages = consume(topic, 500)
        values = {m.key().decode(): m.value().decode() for m in messages}
        check(all(values[f"k{i}"] == f"value {i} " * 20 for i in range(500)), f"{codec}: values differ")
        check(all(dict(m.headers())["n"] == m.key()[1:] for m in messages), f"{codec}: headers differ")
        print(f"ok {codec}")


def groups() -> None:
    create("py-group", 4)
    producer = Producer({"bootstrap.servers": BROKER})
    for i in range(100):
        producer.produce("py-group", key=str(i), value=str(i))
    producer.flush(30)
    first = consume("py-group", 100, group="py-readers")
    check(len(first) == 100, "first reader")
    for i in range(10):
        producer.produce("py-group", key=str(i), value="again")
    producer.flush(30)
    second = consume("py-group", 10, group="py-readers")
    check(all(m.value() == b"again" for m in second), "the group did not go on where it was")
    print("ok groups")


def transactions() -> None:
    create("py-txn", 2)
    producer = Producer({"bootstrap.servers": BROKER, "transactional.id": "py-1"})
    producer.init_transactions(30)
    for round_number in range(6):
        producer.begin_transaction()
        for i in range(20):
            producer.produce("py-txn", key=str(i), value=f"{round_number}")
        if round_number % 2 == 0:
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    committed = consume("py-txn", 60)
    check({m.value() for m in committed} == {b"0", b"2", b"4"}, "aborted records were read")
    fenced = Producer({"bootstrap.servers": BROKER, "transactional.id": "py-1"})
    fenced.init_transactions(30)
    try:
        producer.begin_transaction()
        producer.produce("py-txn", value="zombie")
        producer.commit_transaction(30)
        check(False, "the former producer was not fenced")
    except Exception as error:
        code = getattr(error.args[0], "code", lambda: None)()
        check(code in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED), str(error))
    print("ok transactions")


def offsets() -> None:
    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "py-offsets"})
    low, high = consumer.get_watermark_offsets(TopicPartition("py-none", 0), timeout=10)
    check(low == 0 and high > 0, "watermarks")
    consumer.close()
    print("ok offsets")


if __name__ == "__main__":
    codecs()
    groups()
    transactions()
    offsets()
    print("all ok")
