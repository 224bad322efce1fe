"""Authenticates, is refused and is throttled with confluent-kafka. Exits 1 at the first surprise.

Usage: security.py FOLDER SASL_SSL SSL SASL_PLAINTEXT [throttled] (the addresses as HOST:PORT)
FOLDER holds ca.pem, and client.pem and client.key of CN=app,O=Weir. User admin is a super user with password
admin-secret.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

FOLDER, SASL_SSL, SSL, SASL_PLAINTEXT = sys.argv[1:5]


def check(condition: bool, message: str) -> None:
    if not condition:
        print(f"FAILED {message}")
        sys.exit(1)


def sasl(user: str, password: str, mechanism: str = "SCRAM-SHA-512", tls: bool = True) -> dict:
    config = {
        "bootstrap.servers": SASL_SSL if tls else SASL_PLAINTEXT,
        "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
    }
    return config | ({"ssl.ca.location": f"{FOLDER}/ca.pem"} if tls else {})


def certified(own: bool = True) -> dict:
    config = {
        "bootstrap.servers": SSL,
        "security.protocol": "SSL",
        "ssl.ca.location": f"{FOLDER}/ca.pem",
    }
    if own:
        config |= {
            "ssl.certificate.location": f"{FOLDER}/client.pem",
            "ssl.key.location": f"{FOLDER}/client.key",
        }
    return config


ADMIN = AdminClient(sasl("admin", "admin-secret"))


def produce(config: dict, topic: str, value: bytes, timeout: float = 20) -> KafkaError | None:
    """The error of the delivery, if there is one."""
    outcome = []
    producer = Producer(config | {"message.timeout.ms": int(timeout * 1000)})
    producer.produce(topic, value, callback=lambda error, _: outcome.append(error))
    left = producer.flush(timeout + 5)
    check(left == 0, f"producing to {topic}: {left} messages left")
    return outcome[0]


def first_error(config: dict) -> KafkaError:
    """What the client is told when it cannot connect."""
    errors = []
    consumer = Consumer(config | {"group.id": "g", "error_cb": errors.append})
    deadline = time.monotonic() + 20
    while not errors and time.monotonic() < deadline:
        consumer.poll(0.1)
    consumer.close()
    check(bool(errors), "no error was told")
    return errors[0]


def allow(principal: str, kind: ResourceType, name: str, operation: AclOperation, prefixed: bool = False) -> None:
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    acl = AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)
    ADMIN.create_acls([acl])[acl].result(20)


def users() -> None:
    for mechanism in [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512]:
        upsertion = UserScramCredentialUpsertion("alice", ScramCredentialInfo(mechanism, 8192), b"alice, secret")
        ADMIN.alter_user_scram_credentials([upsertion])["alice"].result(20)
    described = ADMIN.describe_user_scram_credentials(["alice"])["alice"].result(20)
    infos = {(info.mechanism, info.iterations) for info in described.scram_credential_infos}
    check(len(infos) == 2 and all(iterations == 8192 for _, iterations in infos), f"credentials {infos}")
    deletion = UserScramCredentialDeletion("nobody", ScramMechanism.SCRAM_SHA_256)
    try:
        ADMIN.alter_user_scram_credentials([deletion])["nobody"].result(20)
        check(False, "a user that does not exist was deleted")
    except KafkaException as error:
        check(error.args[0].code() == KafkaError.RESOURCE_NOT_FOUND, f"deletion: {error}")
    print("users ok")


def mechanisms() -> None:
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]:
        for tls in [True, False]:
            metadata = AdminClient(sasl("alice", "alice, secret", mechanism, tls)).list_topics(timeout=20)
            check(len(metadata.brokers) == 1, f"{mechanism}: {metadata.brokers}")
            port = str(next(iter(metadata.brokers.values())).port)
            check((SASL_SSL if tls else SASL_PLAINTEXT).endswith(f":{port}"), f"told to connect to {port}")
            code = first_error(sasl("alice", "wrong", mechanism, tls)).code()
            check(code == KafkaError._AUTHENTICATION, f"{mechanism} with a wrong password: {code}")
    code = first_error(sasl("nobody", "x")).code()
    check(code == KafkaError._AUTHENTICATION, f"unknown user: {code}")
    print("mechanisms ok")


def certificates() -> None:
    for own in [False, True]:
        error = produce(certified(own), "orders", b"x", timeout=10)
        code = error.code() if error else None
        check(code == KafkaError.TOPIC_AUTHORIZATION_FAILED, f"certificate {own}, no rule: {error}")
    allow("User:CN=app,O=Weir", ResourceType.TOPIC, "orders", AclOperation.WRITE)
    error = produce(certified(), "orders", b"certified")
    check(error is None, f"with a certificate: {error}")
    error = produce(certified(own=False), "orders", b"x", timeout=10)
    check(error is not None, "without a certificate a client is nobody")
    print("certificates ok")


def rules() -> None:
    alice = sasl("alice", "alice, secret")
    error = produce(alice, "orders", b"x", timeout=10)
    check(error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, f"no rule: {error}")
    # The futures fail if the client is collected before they end.
    own_admin = AdminClient(alice)
    try:
        own_admin.create_topics([NewTopic("mine", 1, 1)])["mine"].result(20)
        check(False, "a topic was made without permission")
    except KafkaException as error:
        check(error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, f"creating: {error}")
    check("orders" not in AdminClient(alice).list_topics(timeout=20).topics, "a hidden topic is listed")
    allow("User:alice", ResourceType.TOPIC, "ord", AclOperation.READ, prefixed=True)
    check("orders" in AdminClient(alice).list_topics(timeout=20).topics, "reading lets see")
    consumer = Consumer(alice | {"group.id": "readers", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    message = poll(consumer)
    code = message.error().code() if message.error() else None
    check(code == KafkaError.GROUP_AUTHORIZATION_FAILED, f"without the group: {code}")
    consumer.close()
    allow("User:alice", ResourceType.GROUP, "readers", AclOperation.READ)
    consumer = Consumer(alice | {"group.id": "readers", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    message = poll(consumer)
    check(message.error() is None and message.value() == b"certified", f"{message.error()} {message.value()}")
    consumer.close()
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, "User:alice", None, AclOperation.ANY, AclPermissionType.ANY
    )
    check(len(ADMIN.describe_acls(everything).result(20)) == 2, "rules of alice")
    deleted = ADMIN.delete_acls([everything])[everything].result(20)
    check(len(deleted) == 2 and not ADMIN.describe_acls(everything).result(20), "rules are deleted")
    own = AclBinding(
        ResourceType.TOPIC, "orders", ResourcePatternType.LITERAL, "User:alice", "*", AclOperation.ALL, AclPermissionType.ALLOW
    )
    try:
        own_admin.create_acls([own])[own].result(20)
        check(False, "a client has permitted itself everything")
    except KafkaException as error:
        check(error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED, f"rules: {error}")
    # librdkafka does not tell that this was refused; it must not show anything.
    check(not own_admin.describe_acls(AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )).result(20), "rules are shown without permission")
    print("rules ok")


def poll(consumer: Consumer):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            return message
    check(False, "nothing arrived")


def throttled() -> None:
    """Alice may write to orders, 20,000 bytes a second."""
    events = []
    config = sasl("alice", "alice, secret") | {"throttle_cb": events.append, "linger.ms": 0, "acks": "all"}
    errors = []
    producer = Producer(config)
    started = time.monotonic()
    for _ in range(12):
        producer.produce("orders", b"x" * 5_000, callback=lambda error, _: errors.append(error))
        producer.flush(30)
    producer.poll(0.5)
    elapsed = time.monotonic() - started
    check(errors == [None] * 12, f"deliveries {errors}")
    check(bool(events) and max(event.throttle_time for event in events) > 0, "no throttling was told")
    # 60,000 bytes, of which 20,000 are there at once.
    check(1.5 < elapsed < 15, f"60,000 bytes took {elapsed:.1f} s at 20,000 a second")
    print(f"throttled ok: {len(events)} times, {elapsed:.1f} s")


if __name__ == "__main__":
    if sys.argv[5:] == ["throttled"]:
        throttled()
        sys.exit(0)
    ADMIN.create_topics([NewTopic("orders", 1, 1)])["orders"].result(30)
    users()
    mechanisms()
    certificates()
    rules()
    print("all ok")
