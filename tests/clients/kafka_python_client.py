"""kafka-python against a broker. Usage: kafka_python_client.py HOST:PORT [BEHAVIOUR...]. See report.py."""

import threading
import time

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    OffsetSpec,
    OffsetTimestamp,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata

from secure import Secured, listen
from topics import Topics, as_arguments, as_texts
from report import BROKER, DEADLINE, Unsupported, equal, need, noise, numbers, restart_broker, run, topic_name, until

listen("kafka")
ADMIN = KafkaAdminClient(bootstrap_servers=BROKER)
COMMON = {"bootstrap_servers": BROKER, "reconnect_backoff_max_ms": 500}


def create(what, partitions=1, configs=None):
    topic = topic_name(what)
    new = {topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}}

    def created():
        try:
            ADMIN.create_topics(new)
            return True
        except (errors.NodeNotReadyError, errors.KafkaConnectionError):
            # The broker was started again a moment ago.
            time.sleep(0.1)
            return False

    until(created, f"topic {topic}")
    return topic


def producer(**settings):
    return KafkaProducer(**COMMON | settings)


def send(sender, topic, records):
    for sent in [sender.send(topic, **record) for record in records]:
        sent.get(timeout=DEADLINE)


def consumer(group=None, **settings):
    defaults = {
        "group_id": group,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "heartbeat_interval_ms": 300,
        "metadata_max_age_ms": 1000,
        "isolation_level": "read_committed",
        "consumer_timeout_ms": 1000,
    }
    return KafkaConsumer(**COMMON | defaults | settings)


def take(reader, count, seconds=DEADLINE):
    records = []

    def enough():
        for part in reader.poll(timeout_ms=1000, max_records=count - len(records)).values():
            records.extend(part)
        return len(records) >= count

    until(enough, f"{count} records", seconds)
    return records


def nothing_more(reader):
    equal(reader.poll(timeout_ms=500), {}, "records too many")


def read_all(topic, count, **settings):
    reader = consumer(**settings)
    reader.assign([TopicPartition(topic, p) for p in sorted(reader.partitions_for_topic(topic))])
    records = take(reader, count)
    nothing_more(reader)
    reader.close()
    return records


def compression(codec):
    def behaviour():
        topic = create(f"compression-{codec}", 2)
        sender = producer(compression_type=None if codec == "none" else codec, linger_ms=5)
        records = [{"key": f"k{i}".encode(), "value": f"value {i} ".encode() * 20} for i in range(300)]
        send(sender, topic, records)
        found = sorted((r.key, r.value) for r in read_all(topic, 300))
        equal(found, sorted((r["key"], r["value"]) for r in records), "records")

    return behaviour


def idempotent_produce():
    topic = create("idempotent")
    send(producer(enable_idempotence=True, batch_size=200), topic, numbers(range(1000)))
    equal([int(r.value) for r in read_all(topic, 1000)], list(range(1000)), "order")


def acks():
    topic = create("acks")
    for level in [0, 1, "all"]:
        sender = producer(acks=level, enable_idempotence=False)
        send(sender, topic, [{"value": str(level).encode()}])
        sender.close()
    equal([r.value for r in read_all(topic, 3)], [b"0", b"1", b"all"], "records")


def headers_and_nulls():
    topic = create("headers", 1, {"retention.ms": "-1"})
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    records = [
        {"value": b"v", "headers": headers, "timestamp_ms": 1_700_000_000_000},
        {"key": b"k", "value": None},
        {"key": b"", "value": b""},
    ]
    send(producer(), topic, records)
    found = read_all(topic, 3)
    equal([(r.key, r.value) for r in found], [(None, b"v"), (b"k", None), (b"", b"")], "records")
    equal([tuple(h) for h in found[0].headers], headers, "headers")
    equal(found[0].timestamp, 1_700_000_000_000, "timestamp")


def record_1mb():
    topic = create("large")
    value = noise(999_000)
    send(producer(), topic, [{"value": value}])
    need(read_all(topic, 1)[0].value == value, "other bytes")


def record_too_large():
    topic = create("limited", configs={"max.message.bytes": "20000"})
    sender = producer()
    try:
        send(sender, topic, [{"value": noise(50_000)}])
        need(False, "the record was taken")
    except errors.MessageSizeTooLargeError:
        pass
    # The error is fatal to the client's producer.
    send(producer(), topic, [{"value": b"small"}])
    equal(read_all(topic, 1)[0].value, b"small", "record")


class Member(ConsumerRebalanceListener):
    """A group member that polls in a thread of its own: what it holds, what it ever lost, and what it read.

    A poll whose time ends while the member joins can leave the client without an assignment, so polls are long.
    """

    def __init__(self, group, topics=(), pattern=None, **settings):
        self.held, self.lost, self.seen = set(), [], []
        self.error = None
        self.reader = consumer(group, **settings)
        self.reader.subscribe(topics, pattern=pattern, listener=self)
        self.stopping = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def on_partitions_assigned(self, assigned):
        pass

    def on_partitions_revoked(self, revoked):
        self.lost.extend(revoked)

    def _read(self):
        try:
            unsaved = False
            while not self.stopping:
                parts = self._poll()
                for part in parts.values():
                    self.seen.extend(int(r.value) for r in part)
                self.held = {(p.topic, p.partition) for p in self.reader.assignment()}
                unsaved |= bool(parts)
                if unsaved:
                    # A listener may not do that.
                    unsaved = not self._commit()
            self.reader.close()
        except Exception as error:  # noqa: BLE001: told by whoever waits
            self.error = error

    def _poll(self):
        try:
            return self.reader.poll(timeout_ms=1000)
        except (errors.NodeNotReadyError, errors.KafkaConnectionError):
            # The broker is being started again.
            return {}

    def _commit(self):
        try:
            self.reader.commit()
            return True
        except (errors.NodeNotReadyError, errors.KafkaConnectionError):
            return False

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.check()

    def check(self):
        if self.error:
            raise self.error


def soon(condition, what, *members):
    def waited():
        time.sleep(0.05)
        for member in members:
            member.check()
        return condition()

    until(waited, what)


def holds(member, partitions, what="assignment"):
    soon(lambda: member.held == partitions, what, member)


def sees(count, *members):
    soon(lambda: sum(len(m.seen) for m in members) >= count, f"{count} records", *members)


def rebalance(assignor):
    topic, group = create("group", 4), topic_name("group")
    sender = producer()
    everything = {(topic, p) for p in range(4)}
    settings = {"partition_assignment_strategy": [assignor]}
    first = Member(group, [topic], **settings)
    holds(first, everything, "the first member holds everything")
    send(sender, topic, numbers(range(40), 4))
    sees(40, first)
    second = Member(group, [topic], **settings)
    shared = lambda: len(first.held) == len(second.held) == 2 and not first.held & second.held  # noqa: E731
    soon(shared, "both hold two partitions", first, second)
    if assignor is CooperativeStickyAssignor:
        equal(len(first.lost), 2, "partitions the first member ever lost")
    send(sender, topic, numbers(range(40, 80), 4))
    sees(80, first, second)
    second.stop()
    holds(first, everything, "the first member holds everything again")
    send(sender, topic, numbers(range(80, 120), 4))
    sees(120, first, second)
    first.stop()
    equal(sorted(first.seen + second.seen), list(range(120)), "every record once")


def group_rebalance():
    rebalance(RangePartitionAssignor)


def group_cooperative():
    rebalance(CooperativeStickyAssignor)


def group_static():
    topic, group = create("static", 2), topic_name("static")
    one = Member(group, [topic], group_instance_id="one")
    two = Member(group, [topic], group_instance_id="two")
    soon(lambda: len(one.held) == len(two.held) == 1, "one partition each", one, two)
    held, lost = two.held, len(one.lost)
    two.stop()
    two = Member(group, [topic], group_instance_id="two")
    holds(two, held, "the member is back")
    equal(len(one.lost), lost, "partitions the other member lost")
    one.stop()
    two.stop()


def group_pattern():
    prefix = topic_name("pattern")
    ADMIN.create_topics({f"{prefix}-a": {"num_partitions": 1, "replication_factor": 1}})
    member = Member(topic_name("group"), pattern=f"^{prefix}-.*")
    holds(member, {(f"{prefix}-a", 0)}, "the topic that is there")
    ADMIN.create_topics({f"{prefix}-b": {"num_partitions": 1, "replication_factor": 1}})
    holds(member, {(f"{prefix}-a", 0), (f"{prefix}-b", 0)}, "the topic that came later")
    member.stop()


def consumer_protocol():
    raise Unsupported("no group.protocol=consumer")


def commit_and_resume():
    topic, group = create("resume"), topic_name("group")
    at = TopicPartition(topic, 0)
    send(producer(), topic, numbers(range(10)))
    reader = subscribed(topic, group)
    take(reader, 10)
    reader.commit({at: OffsetAndMetadata(4, "note", -1)})
    committed = reader.committed(at, metadata=True)
    equal((committed.offset, committed.metadata), (4, "note"), "committed")
    reader.close()
    reader = consumer(group)
    reader.subscribe([topic])
    equal([int(r.value) for r in take(reader, 6)], [4, 5, 6, 7, 8, 9], "records")
    nothing_more(reader)
    reader.close()


def offset_reset():
    topic = create("reset")
    at = TopicPartition(topic, 0)
    sender = producer()
    send(sender, topic, [{"value": b"old"}])
    equal(take(subscribed(topic), 1)[0].value, b"old", "earliest")
    late = subscribed(topic, auto_offset_reset="latest")
    until(lambda: late.poll(timeout_ms=1000) is not None and late.assignment(), "assignment")
    equal(late.position(at), 1, "position")
    send(sender, topic, [{"value": b"new"}])
    equal(take(late, 1)[0].value, b"new", "latest")
    late.seek_to_beginning(at)
    equal([r.value for r in take(late, 2)], [b"old", b"new"], "after seek")
    late.seek(at, 1000)
    late.poll(timeout_ms=1000)
    send(sender, topic, [{"value": b"newest"}])
    equal(take(late, 1)[0].value, b"newest", "after an offset out of range")
    late.close()


def subscribed(topic, group=None, **settings):
    reader = consumer(group or topic_name("group"), **settings)
    reader.subscribe([topic])
    return reader


def offset_by_timestamp():
    topic = create("timestamps", 1, {"retention.ms": "-1"})
    at = TopicPartition(topic, 0)
    send(producer(), topic, [{"value": b"v", "timestamp_ms": 1_000_000 + i * 100} for i in range(10)])
    reader = consumer()
    found = [reader.offsets_for_times({at: t})[at] for t in [0, 1_000_000, 1_000_301, 1_000_900, 2_000_000]]
    equal([f and f.offset for f in found], [0, 0, 4, 9, None], "offsets")
    equal((reader.beginning_offsets([at])[at], reader.end_offsets([at])[at]), (0, 10), "watermarks")
    reader.close()


def transactional(name, **settings):
    sender = producer(transactional_id=name, **settings)
    sender.init_transactions()
    return sender


def txn_commit_abort():
    topic = create("txn", 2)
    sender = transactional(topic)
    for round_number in range(6):
        sender.begin_transaction()
        send(sender, topic, [{"key": str(i).encode(), "value": str(round_number).encode()} for i in range(20)])
        if round_number % 2 == 0:
            sender.commit_transaction()
        else:
            sender.abort_transaction()
    equal({r.value for r in read_all(topic, 60)}, {b"0", b"2", b"4"}, "committed")
    read_all(topic, 120, isolation_level="read_uncommitted")
    sender.begin_transaction()
    send(sender, topic, [{"value": b"open"}])
    read_all(topic, 60)
    sender.abort_transaction()
    sender.close()


def txn_send_offsets():
    source, target, group = create("txn-source"), create("txn-target"), topic_name("group")
    at = TopicPartition(source, 0)
    send(producer(), source, numbers(range(20)))
    sender = transactional(target)
    reader = subscribed(source, group)
    for commit in [False, True]:
        records = take(reader, 10)
        sender.begin_transaction()
        send(sender, target, [{"value": record.value} for record in records])
        offsets = {at: OffsetAndMetadata(records[-1].offset + 1, "", -1)}
        sender.send_offsets_to_transaction(offsets, reader.group_metadata())
        if commit:
            sender.commit_transaction()
        else:
            sender.abort_transaction()
        equal(reader.committed(at), 10 if commit else None, "committed")
        if not commit:
            reader.seek(at, 0)
    reader.close()
    sender.close()
    equal([int(r.value) for r in read_all(target, 10)], list(range(10)), "records")


def txn_fencing():
    topic = create("fencing")
    old = transactional(topic)
    old.begin_transaction()
    send(old, topic, [{"value": b"zombie"}])
    new = transactional(topic)
    try:
        send(old, topic, [{"value": b"zombie"}])
        old.commit_transaction()
        need(False, "the former producer was not fenced")
    except (errors.ProducerFencedError, errors.InvalidProducerEpochError):
        pass
    new.begin_transaction()
    send(new, topic, [{"value": b"new"}])
    new.commit_transaction()
    equal([r.value for r in read_all(topic, 1)], [b"new"], "records")


def refused(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def admin_topics():
    topic = create("admin", 3)
    described = ADMIN.describe_topics([topic])[0]
    equal(len(described["partitions"]), 3, "partitions")
    options = {"num_partitions": 1, "replication_factor": 1}
    refused(errors.TopicAlreadyExistsError, lambda: ADMIN.create_topics({topic: options}))
    checked = topic_name("checked")
    ADMIN.create_topics({checked: options}, validate_only=True)
    need(checked not in ADMIN.list_topics(), "a topic was made though only checked")
    ADMIN.delete_topics([topic])
    until(lambda: topic not in ADMIN.list_topics(), "the topic is gone")
    refused(errors.UnknownTopicOrPartitionError, lambda: ADMIN.delete_topics([topic]))


def configs_of(topic):
    found = ADMIN.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
    return found["topic" if "topic" in found else "TOPIC"][topic]


def admin_configs():
    topic = create("configs", configs={"cleanup.policy": "compact"})
    before = configs_of(topic)
    equal(before["cleanup.policy"]["value"], "compact", "cleanup.policy")
    change = {"retention.ms": "5000", "cleanup.policy": ("APPEND", "delete")}
    ADMIN.alter_configs([ConfigResource("TOPIC", topic, change)])
    after = configs_of(topic)
    found = (after["retention.ms"]["value"], after["cleanup.policy"]["value"])
    equal(found, ("5000", "compact,delete"), "after a change")
    wrong = ConfigResource("TOPIC", topic, {"retention.ms": "x"})
    outcome = ""
    try:
        outcome = str(ADMIN.alter_configs([wrong]))
    except errors.InvalidConfigurationError as error:
        outcome = type(error).__name__
    need("InvalidConfig" in outcome, f"a wrong value was taken: {outcome}")
    ADMIN.reset_configs([ConfigResource("TOPIC", topic, ["retention.ms"])])
    equal(configs_of(topic)["retention.ms"]["value"], before["retention.ms"]["value"], "after the reset")


def admin_partitions():
    topic = create("partitions")
    ADMIN.create_partitions({topic: 3})
    until(lambda: len(ADMIN.describe_topics([topic])[0]["partitions"]) == 3, "three partitions")
    send(producer(), topic, numbers(range(3), 3))
    refused(errors.InvalidPartitionsError, lambda: ADMIN.create_partitions({topic: 2}))


def admin_delete_records():
    topic = create("trimmed")
    at = TopicPartition(topic, 0)
    send(producer(), topic, numbers(range(10)))
    equal(ADMIN.delete_records({at: 4})[at]["low_watermark"], 4, "low watermark")
    equal(read_all(topic, 6)[0].value, b"4", "first record")


def admin_groups():
    topic, group = create("groups"), topic_name("described")
    member = Member(group, [topic])
    holds(member, {(topic, 0)})
    listed = {g["group_id"]: g for g in ADMIN.list_groups()}
    equal(listed[group]["group_state"], "Stable", "listed state")
    described = ADMIN.describe_groups([group])[group]
    equal((described["group_state"], len(described["members"])), ("Stable", 1), "described")
    assigned = described["members"][0]["member_assignment"]["assigned_partitions"]
    equal([(t["topic"], t["partitions"]) for t in assigned], [(topic, [0])], "assignment")
    need("NonEmptyGroup" in str(ADMIN.delete_groups([group])), "a group with members was deleted")
    member.stop()
    equal(ADMIN.describe_groups([group])[group]["group_state"], "Empty", "state after the member left")
    ADMIN.delete_groups([group])
    need(group not in {g["group_id"] for g in ADMIN.list_groups()}, "the group is gone")


def admin_group_offsets():
    topic, group = create("group-offsets"), topic_name("group")
    at = TopicPartition(topic, 0)
    send(producer(), topic, numbers(range(10)))
    ADMIN.alter_group_offsets(group, {at: OffsetAndMetadata(7, "", -1)})
    equal({p: o.offset for p, o in ADMIN.list_group_offsets(group)[group].items()}, {at: 7}, "offsets")
    reader = subscribed(topic, group)
    equal([int(r.value) for r in take(reader, 3)], [7, 8, 9], "records")
    reader.close()
    ADMIN.delete_group_offsets(group, [at])
    equal(ADMIN.list_group_offsets(group)[group], {}, "offsets after they were deleted")


def admin_list_offsets():
    topic = create("listed", 1, {"retention.ms": "-1"})
    at = TopicPartition(topic, 0)
    send(producer(), topic, [{"value": b"v", "timestamp_ms": 1000 + i} for i in range(5)])
    asked = [OffsetSpec.EARLIEST, OffsetSpec.LATEST, OffsetSpec.MAX_TIMESTAMP, OffsetTimestamp(1002)]
    found = [ADMIN.list_partition_offsets({at: spec})[at].offset for spec in asked]
    equal(found, [0, 5, 4, 2], "earliest, latest, max timestamp, by timestamp")


def admin_cluster():
    cluster = ADMIN.describe_cluster()
    need(cluster["cluster_id"] and len(cluster["brokers"]) == 1 and cluster["controller_id"] >= 0, f"{cluster}")


def admin_transactions():
    topic = create("open-txn")
    at = TopicPartition(topic, 0)
    sender = transactional(topic)
    sender.begin_transaction()
    send(sender, topic, [{"value": b"v"}])
    described = ADMIN.describe_transactions([topic])[topic]
    equal(described.state.value, "Ongoing", "state")
    equal([tuple(p) for p in described.topic_partitions], [(topic, 0)], "partitions")
    producers = ADMIN.describe_producers([at])[at]
    equal([p.producer_id for p in producers.active_producers], [described.producer_id], "producers")
    need(topic in str(ADMIN.list_transactions()), "listed")
    sender.abort_transaction()
    sender.close()


def restart_produce():
    topic = create("restart-produce", 2)
    sender = producer(enable_idempotence=True)
    sent = [sender.send(topic, **record) for record in numbers(range(500), 2)]
    restart_broker()
    sent += [sender.send(topic, **record) for record in numbers(range(500, 1000), 2)]
    for one in sent:
        one.get(timeout=DEADLINE)
    found = {0: [], 1: []}
    for record in read_all(topic, 1000):
        found[record.partition].append(int(record.value))
    equal(found, {p: list(range(p, 1000, 2)) for p in (0, 1)}, "every record once and in order")


def restart_consume():
    topic, group = create("restart-consume", 2), topic_name("group")
    sender = producer()
    member = Member(group, [topic])
    send(sender, topic, numbers(range(100), 2))
    sees(100, member)
    # The member commits after it has read.
    soon(lambda: committed_of(group) == 100, "the first commit", member)
    restart_broker()
    send(sender, topic, numbers(range(100, 200), 2))
    sees(200, member)
    soon(lambda: committed_of(group) == 200, "the second commit", member)
    member.stop()
    equal(sorted(member.seen), list(range(200)), "every record once")
    after = Member(group, [topic])
    holds(after, {(topic, 0), (topic, 1)})
    after.stop()
    equal(after.seen, [], "records after the committed offsets")


def committed_of(group):
    return sum(o.offset for o in ADMIN.list_group_offsets(group)[group].values())


def restart_transaction():
    source, target, group = create("restart-source"), create("restart-target"), topic_name("group")
    at = TopicPartition(source, 0)
    send(producer(), source, numbers(range(60)))
    sender = transactional(target)
    reader = subscribed(source, group)

    def attempt(records, restart):
        sender.begin_transaction()
        for place, record in enumerate(records):
            if restart == "between records" and place == 5:
                restart_broker()
            send(sender, target, [{"value": record.value}])
        if restart == "before offsets":
            restart_broker()
        offsets = {at: OffsetAndMetadata(records[-1].offset + 1, "", -1)}
        sender.send_offsets_to_transaction(offsets, reader.group_metadata())
        if restart == "before commit":
            restart_broker()
        sender.commit_transaction()

    for restart in ["between records", "before offsets", "before commit"]:
        records = take(reader, 20)
        started = time.monotonic()
        while True:
            try:
                attempt(records, restart)
                break
            except errors.KafkaError as error:
                need(time.monotonic() - started < DEADLINE, f"{restart}: no attempt succeeds, last {error!r}")
                sender.abort_transaction()
                reader.poll(timeout_ms=100, max_records=1)
                reader.seek(at, records[-1].offset + 1)
                restart = None
    equal(reader.committed(at), 60, "committed")
    reader.close()
    equal([int(r.value) for r in read_all(target, 60)], list(range(60)), "records")


def settings_of(login):
    settings = {
        "bootstrap_servers": login.address,
        "security_protocol": login.protocol,
        "sasl_mechanism": login.mechanism,
        "sasl_plain_username": login.user,
        "sasl_plain_password": login.password,
        "ssl_cafile": login.authority,
        "ssl_certfile": login.certificate,
        "ssl_keyfile": login.key,
        # It is told in the log only why there is no connection, and tried for so long.
        "bootstrap_timeout_ms": 5_000,
    }
    return {name: value for name, value in settings.items() if value is not None}


def send_as(login, topic):
    sender = producer(**settings_of(login))
    send(sender, topic, [{"value": b"secured"}])
    sender.close()


def consume_as(login, topic, group):
    reader = subscribed(topic, group, **settings_of(login))
    try:
        # Of a topic it may not read it writes to its log, and goes on.
        return take(reader, 1, 10)
    finally:
        reader.close()


def exchange_as(login, topic, group):
    send_as(login, topic)
    equal([r.value for r in consume_as(login, topic, group)], [b"secured"], "records")


def transact_as(login, name, topic):
    sender = transactional(name, **settings_of(login))
    sender.begin_transaction()
    send(sender, topic, [{"value": b"secured"}])
    sender.commit_transaction()
    sender.close()


def open_as(login, topic):
    sender = producer(**settings_of(login))
    OPENED.append(sender)
    return lambda value: send(sender, topic, [{"value": value.encode()}])


OPENED = []


def told():
    return OPENED[-1].metrics()["producer-metrics"]["throttle-time-max"] > 0


def _rule(topic, kind, operation, permission):
    return kind(
        principal="User:alice",
        host="*",
        operation=operation,
        permission_type=permission,
        resource_pattern=ResourcePattern(ResourceType.TOPIC, topic, ACLResourcePatternType.LITERAL),
    )


def grant(topic):
    outcome = ADMIN.create_acls([_rule(topic, ACL, ACLOperation.WRITE, ACLPermissionType.ALLOW)])
    equal(len(outcome["succeeded"]), 1, f"created {outcome}")


def listed_rules(topic):
    found, error = ADMIN.describe_acls(_rule(topic, ACLFilter, ACLOperation.ANY, ACLPermissionType.ANY))
    equal(error, errors.NoError, "describing")
    return found


def revoke(topic):
    ((_, gone, error),) = ADMIN.delete_acls([_rule(topic, ACLFilter, ACLOperation.ANY, ACLPermissionType.ANY)])
    equal((len(gone), error), (1, errors.NoError), "deleted")


def _mechanism(name):
    return ScramMechanism[name.replace("-", "_")]


def upsert(user, mechanism, password, iterations):
    change = UserScramCredentialUpsertion(user, _mechanism(mechanism), password, iterations=iterations)
    equal(ADMIN.alter_user_scram_credentials([change]), {user: None}, "altered")


def credentials(user):
    described = ADMIN.describe_user_scram_credentials([user])[user]
    return [(info["mechanism"].name, info["iterations"]) for info in described["credential_infos"]]


def delete_user(user, mechanism):
    outcome = ADMIN.alter_user_scram_credentials([UserScramCredentialDeletion(user, _mechanism(mechanism))])
    if outcome[user] is not None:
        raise KeyError(outcome[user])


def node():
    return ADMIN.describe_cluster()["brokers"][0]["broker_id"]


def admin_elections():
    topic = create("elected", 2)
    for kind in (0, 1):
        answer = ADMIN.elect_leaders(kind, {topic: [1]}, raise_errors=False)
        (partition,) = answer.replica_election_results[0].partition_result
        equal(partition.error_code, errors.ElectionNotNeededError.errno, f"kind {kind}")


def admin_reassignments():
    at = TopicPartition(create("reassigned"), 0)
    equal(ADMIN.alter_partition_reassignments({at: [node()]}), {at: None}, "to this broker")
    equal(ADMIN.list_partition_reassignments(), {}, "reassignments under way")
    outcome = ADMIN.alter_partition_reassignments({at: [node() + 1]})
    equal(outcome, {at: errors.InvalidReplicationAssignmentError}, "to no broker")
    equal(ADMIN.alter_partition_reassignments({at: None}), {at: errors.NoReassignmentInProgressError}, "cancelled")


def admin_log_dirs():
    topic = create("stored")
    send(producer(), topic, [{"value": noise(10_000)}])
    folders = [
        folder["log_dir"]
        for broker in ADMIN.describe_log_dirs({topic: [0]})
        for folder in broker["log_dirs"]
        if any(t["name"] == topic for t in folder["topics"])
    ]
    equal(len(folders), 1, "folders with the partition")
    moved = ADMIN.alter_replica_log_dirs({(topic, 0, node()): folders[0]})
    equal(list(moved.values()), [errors.NoError], "to where it is")
    moved = ADMIN.alter_replica_log_dirs({(topic, 0, node()): "/no/such/folder"})
    equal(list(moved.values()), [errors.LogDirNotFoundError], "to no folder")


def admin_config_resources():
    topic = create("listed")
    listed = ADMIN.list_config_resources(["TOPIC", "BROKER"])
    need(topic in listed["topic"] and listed["broker"] == [str(node())], f"{listed}")


def admin_quotas():
    raise Unsupported("no client quotas")


def write(topic, records):
    sent = as_arguments(topic, records)
    sender = producer(linger_ms=20)
    send(sender, topic, sent)
    sender.close()


def read_until(topic, value):
    reader = consumer()
    reader.assign([TopicPartition(topic, 0)])
    records = []
    until(lambda: records.extend(take(reader, 1)) or records[-1].value == value.encode(), "the last record")
    reader.close()
    return as_texts(records)


def unknown_topic():
    topic = topic_name("unknown")
    sender = producer(max_block_ms=2000)
    refused(errors.KafkaTimeoutError, lambda: sender.send(topic, b"x").get(timeout=DEADLINE))
    need(topic not in ADMIN.list_topics(), "the topic was made")


def topic_made_anew():
    topic = create("anew")
    member = Member(topic_name("group"), [topic])
    sender = producer(metadata_max_age_ms=500)
    send(sender, topic, numbers(range(10)))
    sees(10, member)
    ADMIN.delete_topics([topic])
    ADMIN.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    # Where a member begins in the new topic is its own affair; it goes on.
    soon(lambda: send(sender, topic, numbers([10])) or len(member.seen) > 10, "records of the new topic", member)
    member.stop()


def offset_truncated():
    raise Unsupported("positions have no leader epoch")


def group_static_fencing():
    topic, group = create("fenced"), topic_name("fenced")
    one = subscribed(topic, group, group_instance_id="one")
    until(lambda: one.poll(timeout_ms=1000) is not None and one.assignment(), "assignment")
    two = Member(group, [topic], group_instance_id="one")
    holds(two, {(topic, 0)})
    # A heartbeat that is refused so only goes to the log.
    offset = {TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)}
    refused(errors.FencedInstanceIdError, lambda: one.commit(offset))
    two.stop()
    one.close()


def group_slow_member():
    topic, group = create("slow", 2), topic_name("slow")
    slow = subscribed(topic, group, max_poll_interval_ms=1500)
    until(lambda: slow.poll(timeout_ms=1000) is not None and len(slow.assignment()) == 2, "assignment")
    other = Member(group, [topic])
    holds(other, {(topic, 0), (topic, 1)}, "the other member holds everything")
    refused(errors.CommitFailedError, lambda: slow.commit({TopicPartition(topic, 0): OffsetAndMetadata(5, "", -1)}))
    other.stop()
    slow.close()


consumer_protocol_assignors = consumer_protocol

if __name__ == "__main__":
    topics = Topics(create, write, lambda topic, count: as_texts(read_all(topic, count)), read_until)
    secured = Secured(
        create,
        exchange_as,
        send_as,
        consume_as,
        transact_as,
        open_as,
        acls=(grant, listed_rules, revoke),
        users=(upsert, credentials, delete_user),
        told=told,
    )
    run(secured.functions() | topics.functions() | globals(), compression)
