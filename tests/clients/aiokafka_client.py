"""aiokafka against a broker. Usage: aiokafka_client.py HOST:PORT [BEHAVIOUR...]. See report.py."""

import asyncio
import time
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.helpers import create_ssl_context
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import OffsetAndMetadata

from secure import Secured, listen
from topics import Topics, as_arguments, as_texts
from report import BROKER, DEADLINE, Unsupported, equal, need, noise, numbers, restart_broker, run, topic_name

# Restarts of the broker are reported for every connection.
listen("aiokafka")


@asynccontextmanager
async def admin():
    client = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await client.start()
    yield client
    await client.close()


def codes(response, field="topic_errors"):
    return [entry[1] for entry in getattr(response, field)]


async def create(what, partitions=1, configs=None, name=None):
    topic = name or topic_name(what)
    async with admin() as client:
        new = NewTopic(topic, partitions, 1, topic_configs=configs or {})
        equal(codes(await client.create_topics([new])), [0], f"create {topic}")
    return topic


@asynccontextmanager
async def producer(**settings):
    sender = AIOKafkaProducer(**{"bootstrap_servers": BROKER} | settings)
    await sender.start()
    try:
        yield sender
    finally:
        # A producer that was fenced cannot be stopped in an orderly way.
        await asyncio.wait({asyncio.ensure_future(sender.stop())}, timeout=2)


async def send(sender, topic, records):
    sent = [await sender.send(topic, **record) for record in records]
    await asyncio.wait_for(asyncio.gather(*sent), DEADLINE)


async def send_once(topic, records, **settings):
    async with producer(**settings) as sender:
        await send(sender, topic, records)


async def until(condition, what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while not await condition():
        need(time.monotonic() < end, f"not within {seconds:.0f} s: {what}")


def consumer(*topics, group=None, **settings):
    defaults = {
        "bootstrap_servers": BROKER,
        "group_id": group,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "heartbeat_interval_ms": 300,
        "metadata_max_age_ms": 1000,
        "isolation_level": "read_committed",
    }
    return AIOKafkaConsumer(*topics, **defaults | settings)


@asynccontextmanager
async def reading(*topics, **settings):
    reader = consumer(*topics, **settings)
    await reader.start()
    yield reader
    await reader.stop()


async def take(reader, count, seconds=DEADLINE):
    records = []

    async def enough():
        for part in (await reader.getmany(timeout_ms=200, max_records=count - len(records))).values():
            records.extend(part)
        return len(records) >= count

    await until(enough, f"{count} records", seconds)
    return records


async def read_all(topic, count, **settings):
    async with reading(topic, **settings) as reader:
        records = await take(reader, count)
        equal(await reader.getmany(timeout_ms=500), {}, "records too many")
    return records


def compression(codec):
    async def behaviour():
        topic = await create(f"compression-{codec}", 2)
        records = [{"key": f"k{i}".encode(), "value": f"value {i} ".encode() * 20} for i in range(300)]
        await send_once(topic, records, compression_type=None if codec == "none" else codec)
        found = sorted((r.key, r.value) for r in await read_all(topic, 300))
        equal(found, sorted((r["key"], r["value"]) for r in records), "records")

    return behaviour


async def idempotent_produce():
    topic = await create("idempotent")
    await send_once(topic, numbers(range(1000)), enable_idempotence=True, max_batch_size=200)
    equal([int(r.value) for r in await read_all(topic, 1000)], list(range(1000)), "order")


async def acks():
    topic = await create("acks")
    for level in [0, 1, "all"]:
        await send_once(topic, [{"value": str(level).encode()}], acks=level)
    equal([r.value for r in await read_all(topic, 3)], [b"0", b"1", b"all"], "records")


async def headers_and_nulls():
    topic = await create("headers", 1, {"retention.ms": "-1"})
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    records = [
        {"value": b"v", "headers": headers, "timestamp_ms": 1_700_000_000_000},
        {"key": b"k", "value": None},
        {"key": b"", "value": b""},
    ]
    await send_once(topic, records)
    found = await read_all(topic, 3)
    equal([(r.key, r.value) for r in found], [(None, b"v"), (b"k", None), (b"", b"")], "records")
    equal([tuple(h) for h in found[0].headers], headers, "headers")
    equal(found[0].timestamp, 1_700_000_000_000, "timestamp")


async def record_1mb():
    topic = await create("large")
    value = noise(999_000)
    await send_once(topic, [{"value": value}], max_batch_size=1_048_576)
    need((await read_all(topic, 1))[0].value == value, "other bytes")


async def record_too_large():
    topic = await create("limited", configs={"max.message.bytes": "20000"})
    async with producer(max_batch_size=100_000) as sender:
        try:
            await send(sender, topic, [{"value": noise(50_000)}])
            need(False, "the record was taken")
        except errors.MessageSizeTooLargeError:
            pass
        await send(sender, topic, [{"value": b"small"}])
    equal((await read_all(topic, 1))[0].value, b"small", "record")


class Member(ConsumerRebalanceListener):
    """A group member, with the partitions it ever lost."""

    def __init__(self, group, topics=(), pattern=None, **settings):
        self.lost, self.seen = [], []
        self.reader = consumer(group=group, **settings)
        self.reader.subscribe(topics, pattern=pattern, listener=self)

    async def start(self):
        await self.reader.start()
        return self

    async def on_partitions_assigned(self, assigned):
        pass

    async def on_partitions_revoked(self, revoked):
        self.lost.extend(revoked)
        if self.seen and revoked:
            await self.reader.commit()

    async def poll(self, milliseconds=50):
        for part in (await self.reader.getmany(timeout_ms=milliseconds)).values():
            self.seen.extend(r.value for r in part)
        return {(p.topic, p.partition) for p in self.reader.assignment()}

    async def holds(self, partitions, what):
        async def holding():
            return await self.poll() == partitions

        await until(holding, what)


async def all_seen(count, *members):
    async def enough():
        for member in members:
            await member.poll()
        return sum(len(member.seen) for member in members) >= count

    await until(enough, f"{count} records")


async def group_rebalance():
    topic, group = await create("group", 4), topic_name("group")
    everything = {(topic, p) for p in range(4)}
    settings = {"partition_assignment_strategy": [RangePartitionAssignor]}
    first = await Member(group, [topic], **settings).start()
    await first.holds(everything, "the first member holds everything")
    async with producer() as sender:
        await send(sender, topic, numbers(range(40), 4))
        await all_seen(40, first)
        second = await Member(group, [topic], **settings).start()

        async def shared():
            one, two = await first.poll(), await second.poll()
            return len(one) == len(two) == 2 and not one & two

        await until(shared, "both hold two partitions")
        await send(sender, topic, numbers(range(40, 80), 4))
        await all_seen(80, first, second)
        await second.reader.commit()
        await second.reader.stop()
        await first.holds(everything, "the first member holds everything again")
        await send(sender, topic, numbers(range(80, 120), 4))
        await all_seen(120 - len(second.seen), first)
    await first.reader.stop()
    equal(sorted(int(v) for v in first.seen + second.seen), list(range(120)), "every record once")


async def group_cooperative():
    raise Unsupported("no cooperative rebalancing")


async def group_static():
    topic, group = await create("static", 2), topic_name("static")
    one = await Member(group, [topic], group_instance_id="one").start()
    two = await Member(group, [topic], group_instance_id="two").start()

    async def shared():
        return [len(await m.poll()) for m in (one, two)] == [1, 1]

    await until(shared, "one partition each")
    held, lost = await two.poll(), len(one.lost)
    await two.reader.stop()
    two = await Member(group, [topic], group_instance_id="two").start()
    await until(shared, "the member is back")
    equal((await two.poll(), len(one.lost)), (held, lost), "assignment after the return")
    await one.reader.stop()
    await two.reader.stop()


async def group_pattern():
    prefix = topic_name("pattern")
    await create("", name=f"{prefix}-a")
    member = await Member(topic_name("group"), pattern=f"^{prefix}-.*").start()
    await member.holds({(f"{prefix}-a", 0)}, "the topic that is there")
    await create("", name=f"{prefix}-b")
    await member.holds({(f"{prefix}-a", 0), (f"{prefix}-b", 0)}, "the topic that came later")
    await member.reader.stop()


async def consumer_protocol():
    raise Unsupported("no group.protocol=consumer")


async def commit_and_resume():
    topic, group = await create("resume"), topic_name("group")
    at = TopicPartition(topic, 0)
    await send_once(topic, numbers(range(10)))
    async with reading(topic, group=group) as reader:
        await take(reader, 10)
        await reader.commit({at: OffsetAndMetadata(4, "note")})
        equal(await reader.committed(at), 4, "committed")
    async with admin() as client:
        listed = await client.list_consumer_group_offsets(group)
        equal((listed[at].offset, listed[at].metadata), (4, "note"), "listed")
    async with reading(topic, group=group) as reader:
        equal([int(r.value) for r in await take(reader, 6)], [4, 5, 6, 7, 8, 9], "records")
        equal(await reader.getmany(timeout_ms=500), {}, "records too many")


async def offset_reset():
    topic = await create("reset")
    at = TopicPartition(topic, 0)
    async with producer() as sender:
        await send(sender, topic, [{"value": b"old"}])
        async with reading(topic, group=topic_name("group")) as early:
            equal((await take(early, 1))[0].value, b"old", "earliest")
        async with reading(topic, group=topic_name("group"), auto_offset_reset="latest") as late:
            equal(await late.position(at), 1, "position")
            await send(sender, topic, [{"value": b"new"}])
            equal((await take(late, 1))[0].value, b"new", "latest")
            await late.seek_to_beginning(at)
            equal([r.value for r in await take(late, 2)], [b"old", b"new"], "after seek")
            late.seek(at, 1000)
            await late.getmany(timeout_ms=1000)
            await send(sender, topic, [{"value": b"newest"}])
            equal((await take(late, 1))[0].value, b"newest", "after an offset out of range")


async def offset_by_timestamp():
    topic = await create("timestamps", 1, {"retention.ms": "-1"})
    at = TopicPartition(topic, 0)
    await send_once(topic, [{"value": b"v", "timestamp_ms": 1_000_000 + i * 100} for i in range(10)])
    async with reading(topic) as reader:
        asked = [0, 1_000_000, 1_000_301, 1_000_900, 2_000_000]
        found = [(await reader.offsets_for_times({at: t}))[at] for t in asked]
        equal([f and f.offset for f in found], [0, 0, 4, 9, None], "offsets")
        marks = ((await reader.beginning_offsets([at]))[at], (await reader.end_offsets([at]))[at])
        equal(marks, (0, 10), "watermarks")


async def txn_commit_abort():
    topic = await create("txn", 2)
    async with producer(transactional_id=topic) as sender:
        for round_number in range(6):
            await sender.begin_transaction()
            value = str(round_number).encode()
            await send(sender, topic, [{"key": str(i).encode(), "value": value} for i in range(20)])
            if round_number % 2 == 0:
                await sender.commit_transaction()
            else:
                await sender.abort_transaction()
        equal({r.value for r in await read_all(topic, 60)}, {b"0", b"2", b"4"}, "committed")
        await read_all(topic, 120, isolation_level="read_uncommitted")
        await sender.begin_transaction()
        await send(sender, topic, [{"value": b"open"}])
        await read_all(topic, 60)
        await sender.abort_transaction()


async def txn_send_offsets():
    source, target, group = await create("txn-source"), await create("txn-target"), topic_name("group")
    at = TopicPartition(source, 0)
    await send_once(source, numbers(range(20)))
    async with producer(transactional_id=target) as sender, reading(source, group=group) as reader:
        for commit in [False, True]:
            records = await take(reader, 10)
            await sender.begin_transaction()
            await send(sender, target, [{"value": record.value} for record in records])
            await sender.send_offsets_to_transaction({at: records[-1].offset + 1}, group)
            if commit:
                await sender.commit_transaction()
            else:
                await sender.abort_transaction()
            equal(await reader.committed(at), 10 if commit else None, "committed")
            if not commit:
                reader.seek(at, 0)
    equal([int(r.value) for r in await read_all(target, 10)], list(range(10)), "records")


async def txn_fencing():
    topic = await create("fencing")
    async with producer(transactional_id=topic) as old:
        await old.begin_transaction()
        await send(old, topic, [{"value": b"zombie"}])
        async with producer(transactional_id=topic) as new:
            try:
                await send(old, topic, [{"value": b"zombie"}])
                await old.commit_transaction()
                need(False, "the former producer was not fenced")
            except errors.ProducerFenced:
                pass
            await new.begin_transaction()
            await send(new, topic, [{"value": b"new"}])
            await new.commit_transaction()
    equal([r.value for r in await read_all(topic, 1)], [b"new"], "records")


async def admin_topics():
    topic = await create("admin", 3)
    async with admin() as client:
        described = (await client.describe_topics([topic]))[0]
        equal(len(described["partitions"]), 3, "partitions")
        again = await client.create_topics([NewTopic(topic, 1, 1)])
        equal(codes(again), [errors.TopicAlreadyExistsError.errno], "created twice")
        checked = topic_name("checked")
        equal(codes(await client.create_topics([NewTopic(checked, 1, 1)], validate_only=True)), [0], "checked")
        need(checked not in await client.list_topics(), "a topic was made though only checked")
        equal(codes(await client.delete_topics([topic]), "topic_error_codes"), [0], "deleted")
        need(topic not in await client.list_topics(), "the topic is still there")
        again = codes(await client.delete_topics([topic]), "topic_error_codes")
        equal(again, [errors.UnknownTopicOrPartitionError.errno], "deleted twice")


async def configs_of(client, topic):
    (response,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in response.resources[0][4]}


async def admin_configs():
    topic = await create("configs", configs={"cleanup.policy": "compact"})
    async with admin() as client:
        before = await configs_of(client, topic)
        equal(before["cleanup.policy"], "compact", "cleanup.policy")
        # AlterConfigs replaces everything.
        change = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "5000"})
        (response,) = await client.alter_configs([change])
        equal([r[0] for r in response.resources], [0], "altered")
        after = await configs_of(client, topic)
        equal((after["retention.ms"], after["cleanup.policy"]), ("5000", "delete"), "after a change")
        wrong = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "x"})
        (response,) = await client.alter_configs([wrong])
        equal([r[0] for r in response.resources], [errors.InvalidConfigurationError.errno], "a wrong value")


async def admin_partitions():
    topic = await create("partitions")
    async with admin() as client:
        response = await client.create_partitions({topic: NewPartitions(3)})
        equal(codes(response), [0], "create partitions")
        equal(len((await client.describe_topics([topic]))[0]["partitions"]), 3, "partitions")
        try:
            await client.create_partitions({topic: NewPartitions(2)})
            need(False, "partitions were taken away")
        except errors.InvalidPartitionsError:
            pass
    await send_once(topic, numbers(range(3), 3))


async def admin_delete_records():
    topic = await create("trimmed")
    at = TopicPartition(topic, 0)
    await send_once(topic, numbers(range(10)))
    async with admin() as client:
        equal(await client.delete_records({at: RecordsToDelete(4)}), {at: 4}, "low watermark")
    equal((await read_all(topic, 6))[0].value, b"4", "first record")


async def admin_groups():
    topic, group = await create("groups"), topic_name("described")
    member = await Member(group, [topic]).start()
    await member.holds({(topic, 0)}, "assignment")
    async with admin() as client:
        listed = [g for g in await client.list_consumer_groups() if g[0] == group]
        equal(listed[0][:2], (group, "consumer"), "listed")
        (described,) = await client.describe_consumer_groups([group])
        code, _, state, _, _, members, *_ = described.groups[0]
        equal((code, state, len(members)), (0, "Stable", 1), "described")
        await member.reader.stop()
        (described,) = await client.describe_consumer_groups([group])
        equal(described.groups[0][2], "Empty", "state after the member left")


async def admin_group_offsets():
    topic, group = await create("group-offsets"), topic_name("group")
    at = TopicPartition(topic, 0)
    await send_once(topic, numbers(range(10)))
    async with reading(topic, group=group) as reader:
        await take(reader, 10)
        await reader.commit({at: 7})
    async with admin() as client:
        listed = await client.list_consumer_group_offsets(group)
        equal({p: o.offset for p, o in listed.items()}, {at: 7}, "all offsets")
        listed = await client.list_consumer_group_offsets(group, partitions=[at, TopicPartition(topic, 1)])
        equal([o.offset for o in listed.values()], [7, -1], "asked offsets")


async def admin_list_offsets():
    raise Unsupported("no ListOffsets in the admin client; see offset-by-timestamp")


async def admin_cluster():
    async with admin() as client:
        cluster = await client.describe_cluster()
        need(cluster["cluster_id"] and len(cluster["brokers"]) == 1 and cluster["controller_id"] >= 0, f"{cluster}")


async def admin_transactions():
    raise Unsupported("no DescribeTransactions, DescribeProducers or ListTransactions")


async def broker_again():
    # The event loop goes on meanwhile.
    await asyncio.to_thread(restart_broker)


async def restart_produce():
    topic = await create("restart-produce", 2)
    async with producer(enable_idempotence=True) as sender:
        sent = [await sender.send(topic, **record) for record in numbers(range(500), 2)]
        await broker_again()
        sent += [await sender.send(topic, **record) for record in numbers(range(500, 1000), 2)]
        await asyncio.wait_for(asyncio.gather(*sent), DEADLINE)
    found = {0: [], 1: []}
    for record in await read_all(topic, 1000):
        found[record.partition].append(int(record.value))
    equal(found, {p: list(range(p, 1000, 2)) for p in (0, 1)}, "every record once and in order")


async def restart_consume():
    topic, group = await create("restart-consume", 2), topic_name("group")
    member = await Member(group, [topic]).start()
    async with producer() as sender:
        await send(sender, topic, numbers(range(100), 2))
        await all_seen(100, member)
        await member.reader.commit()
        await broker_again()
        await send(sender, topic, numbers(range(100, 200), 2))
        await all_seen(200, member)
        await member.reader.commit()
        await member.reader.stop()
    equal(sorted(int(v) for v in member.seen), list(range(200)), "every record once")
    after = await Member(group, [topic]).start()
    await after.holds({(topic, 0), (topic, 1)}, "assignment")
    await after.poll(500)
    equal(after.seen, [], "records after the committed offsets")
    await after.reader.stop()


async def restart_transaction():
    source, target, group = await create("restart-source"), await create("restart-target"), topic_name("group")
    at = TopicPartition(source, 0)
    await send_once(source, numbers(range(60)))

    async def attempt(sender, records, restart):
        await sender.begin_transaction()
        for place, record in enumerate(records):
            if restart == "between records" and place == 5:
                await broker_again()
            await send(sender, target, [{"value": record.value}])
        if restart == "before offsets":
            await broker_again()
        await sender.send_offsets_to_transaction({at: records[-1].offset + 1}, group)
        if restart == "before commit":
            await broker_again()
        await sender.commit_transaction()

    async with producer(transactional_id=target) as sender, reading(source, group=group) as reader:
        for restart in ["between records", "before offsets", "before commit"]:
            records = await take(reader, 20)
            started = time.monotonic()
            while True:
                try:
                    await attempt(sender, records, restart)
                    break
                except errors.KafkaError as error:
                    late = time.monotonic() - started > DEADLINE
                    need(not late, f"{restart}: no attempt succeeds, last {error!r}")
                    await sender.abort_transaction()
                    restart = None
        equal(await reader.committed(at), 60, "committed")
    equal([int(r.value) for r in await read_all(target, 60)], list(range(60)), "records")


def settings_of(login):
    settings = {
        "bootstrap_servers": login.address,
        "security_protocol": login.protocol,
        "sasl_mechanism": login.mechanism,
        "sasl_plain_username": login.user,
        "sasl_plain_password": login.password,
    }
    if login.authority:
        settings["ssl_context"] = create_ssl_context(
            cafile=login.authority, certfile=login.certificate, keyfile=login.key
        )
    return {name: value for name, value in settings.items() if value is not None}


async def send_as(login, topic):
    await send_once(topic, [{"value": b"secured"}], **settings_of(login))


async def consume_as(login, topic, group):
    async with reading(topic, group=group, **settings_of(login)) as reader:
        return await take(reader, 1)


async def exchange_as(login, topic, group):
    await send_as(login, topic)
    equal([r.value for r in await consume_as(login, topic, group)], [b"secured"], "records")


async def transact_as(login, name, topic):
    async with producer(transactional_id=name, **settings_of(login)) as sender:
        await sender.begin_transaction()
        await send(sender, topic, [{"value": b"secured"}])
        await sender.commit_transaction()


def waited(function):
    """A coroutine function as one that gives its outcome."""
    return lambda *arguments: LOOP.run_until_complete(asyncio.wait_for(function(*arguments), DEADLINE))


# What is opened for several calls belongs to one loop.
LOOP = asyncio.new_event_loop()


def open_as(login, topic):
    async def opened():
        sender = AIOKafkaProducer(**settings_of(login))
        await sender.start()
        return sender

    sender = waited(opened)()
    return lambda value: waited(send)(sender, topic, [{"value": value.encode()}])


def unsupported():
    raise Unsupported("its admin client has no such call")


admin_quotas = admin_elections = admin_reassignments = admin_log_dirs = admin_config_resources = unsupported

async def write(topic, records):
    sent = as_arguments(topic, records)
    await send_once(topic, sent, linger_ms=20)


async def read(topic, count):
    return as_texts(await read_all(topic, count))


async def read_until(topic, value):
    records = []
    async with reading(topic) as reader:

        async def complete():
            records.extend(await take(reader, 1))
            return records[-1].value == value.encode()

        await until(complete, "the last record")
    return as_texts(records)


async def unknown_topic():
    topic = topic_name("unknown")
    async with producer(request_timeout_ms=2000) as sender:
        try:
            await sender.send_and_wait(topic, b"x")
            need(False, "the record was taken")
        except errors.KafkaError:
            pass
    async with admin() as client:
        need(topic not in await client.list_topics(), "the topic was made")


async def topic_made_anew():
    topic = await create("anew")
    member = await Member(topic_name("group"), [topic]).start()
    async with producer(metadata_max_age_ms=500) as sender:
        await send(sender, topic, numbers(range(10)))
        await all_seen(10, member)
        async with admin() as client:
            await client.delete_topics([topic])
        await create("", name=topic)

        # Where a member begins in the new topic is its own affair; it goes on.
        async def goes_on():
            await send(sender, topic, numbers([10]))
            await member.poll(200)
            return len(member.seen) > 10

        await until(goes_on, "records of the new topic")
    await member.reader.stop()


async def offset_truncated():
    raise Unsupported("positions have no leader epoch")


async def group_static_fencing():
    raise Unsupported("its heartbeats do not name the instance")


async def group_slow_member():
    raise Unsupported("it leaves no group for being slow")


consumer_protocol_assignors = consumer_protocol

if __name__ == "__main__":
    topics = Topics(*[waited(f) for f in (create, write, read, read_until)])
    functions = [waited(f) for f in (create, exchange_as, send_as, consume_as, transact_as)]
    secured = Secured(*functions, open_as, renews="does not renew its proof (KIP-368)")
    run(secured.functions() | topics.functions() | globals(), compression)
