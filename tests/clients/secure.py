"""Who a script can be at a secured broker, and what every Python script tries as such.

The broker's listeners, files and user are in the variables WEIR_SASL_PLAINTEXT, WEIR_SASL_SSL, WEIR_SSL (HOST:PORT),
WEIR_CERTIFICATES (a folder) and WEIR_HTTP. User alice and the owner of the client certificate may do everything with
topics, groups and transactional ids whose names begin with `open-`, and nothing else. User bob may so, too, but sends
20,000 bytes a second at most. The broker's certificate names 127.0.0.1, not localhost.
"""

import logging
import os
import re
import time
import urllib.request
from dataclasses import dataclass, replace

from report import Unsupported, need, topic_name

CERTIFICATES = os.environ.get("WEIR_CERTIFICATES", "")
TOPIC_DENIED = "topic.?authorization|topic .* is not authorized"
# Within which a client has to tell that it is refused.
REFUSED_WITHIN = 20.0


class _Heard(logging.Handler):
    """What a client logs: some tell there only why they cannot connect."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


_HEARD = _Heard()


def listen(logger):
    """Lets what a client logs count as told, and nobody else hear it."""
    logging.getLogger(logger).addHandler(_HEARD)
    logging.getLogger(logger).propagate = False


def certificate(name):
    return os.path.join(CERTIFICATES, name)


@dataclass(frozen=True)
class Login:
    address: str
    protocol: str
    mechanism: str | None = None
    user: str | None = None
    password: str | None = None
    # Files; None where there is nothing to show or to check.
    authority: str | None = None
    certificate: str | None = None
    key: str | None = None


def _address(variable):
    need(variable in os.environ, f"the variable {variable} does not name a listener")
    return os.environ[variable]


def sasl(mechanism):
    return Login(_address("WEIR_SASL_PLAINTEXT"), "SASL_PLAINTEXT", mechanism, "alice", "alice, secret")


def sasl_ssl(mechanism="SCRAM-SHA-512"):
    login = replace(sasl(mechanism), address=_address("WEIR_SASL_SSL"), protocol="SASL_SSL")
    return replace(login, authority=certificate("ca.pem"))


def certified():
    files = {"authority": "ca.pem", "certificate": "client.pem", "key": "client.key"}
    return Login(_address("WEIR_SSL"), "SSL", **{name: certificate(file) for name, file in files.items()})


def metrics(*names):
    """Counters of the broker, summed over their labels."""
    with urllib.request.urlopen(_address("WEIR_HTTP") + "/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return [sum(int(float(line.split()[-1])) for line in lines if line.startswith(name)) for name in names]


def _text(error):
    causes = []
    while error is not None:
        causes.append(f"{type(error).__name__} {error}")
        error = error.__cause__ if isinstance(error, BaseException) else None
    return "; ".join(causes)


def refusal(attempt, pattern, what):
    """An attempt has to be refused soon, with an error that says why."""
    started = time.monotonic()
    _HEARD.lines.clear()
    try:
        attempt()
    except BaseException as error:  # noqa: BLE001: confluent's KafkaError is no Exception
        text = "; ".join([_text(error), *_HEARD.lines])
        need(re.search(pattern, text, re.IGNORECASE), f"{what}: other error {text}")
        took = time.monotonic() - started
        need(took < REFUSED_WITHIN, f"{what}: told after {took:.0f} s")
        return
    raise AssertionError(f"{what}: not refused")


class Secured:
    """The behaviours, made of what a client can do: each is a function of a login.

    create(what): makes a topic, as nobody in particular;
    exchange(login, topic, group): sends records and reads them as a member of the group;
    send(login, topic): sends a record, and raises what the client is told;
    consume(login, topic, group): reads a record as a member of the group;
    transact(login, id, topic): sends a record in a transaction;
    open(login, topic): gives a function that sends a value over a connection that stays;
    renews: whether that connection survives the lifetime of a proof, or else why not;
    acls: functions that let alice write to a topic, list how that is allowed, and take it back;
    users: functions that set a password of a user and mechanism, list (mechanism, iterations), and delete it;
    told: whether the client tells that it was throttled.
    """

    # What a client's errors say, where they do not say it in Kafka's words.
    WRONG_PASSWORD = "authentication|user name or password is wrong"
    UNTRUSTED = "certificate|ssl"
    NOT_ITS_NAME = "certificate|hostname|ssl"

    def __init__(self, create, exchange, send, consume, transact, open, renews=True, acls=None, users=None, told=None):
        self.create, self.exchange, self.send, self.consume = create, exchange, send, consume
        self.transact, self.open, self.renews = transact, open, renews
        self.acls, self.users, self.told = acls, users, told

    def _exchanged(self, login):
        self.exchange(login, self.create("open-secure"), topic_name("open-secure"))

    def functions(self):
        return {
            "admin_acls": self.admin_acls,
            "admin_scram_users": self.admin_scram_users,
            "quota_throttling": self.throttling,
            "sasl_plain": lambda: self._exchanged(sasl("PLAIN")),
            "sasl_scram_256": lambda: self._exchanged(sasl("SCRAM-SHA-256")),
            "sasl_scram_512": lambda: self._exchanged(sasl("SCRAM-SHA-512")),
            "sasl_wrong_password": self.wrong_password,
            "sasl_reauthentication": self.reauthentication,
            "tls_sasl": lambda: self._exchanged(sasl_ssl()),
            "tls_host_name": self.host_name,
            "tls_untrusted": self.untrusted,
            "tls_client_certificate": self.client_certificate,
            "acl_produce": self.produce_denied,
            "acl_group": self.group_denied,
            "acl_transaction": self.transaction_denied,
        }

    def wrong_password(self):
        topic = self.create("open-password")
        for login in [sasl("PLAIN"), sasl("SCRAM-SHA-256"), sasl_ssl("SCRAM-SHA-512")]:
            wrong = replace(login, password="wrong")
            refusal(lambda: self.send(wrong, topic), self.WRONG_PASSWORD, f"{login.mechanism} with a wrong password")
        stranger = replace(sasl("SCRAM-SHA-256"), user="nobody")
        refusal(lambda: self.send(stranger, topic), self.WRONG_PASSWORD, "an unknown user")

    def host_name(self):
        login = sasl_ssl()
        elsewhere = replace(login, address=login.address.replace("127.0.0.1", "localhost"))
        topic = self.create("open-name")
        refusal(lambda: self.send(elsewhere, topic), self.NOT_ITS_NAME, "a certificate of another name")

    def untrusted(self):
        login = replace(sasl_ssl(), authority=certificate("other-ca.pem"))
        topic = self.create("open-untrusted")
        refusal(lambda: self.send(login, topic), self.UNTRUSTED, "a certificate of a foreign authority")

    def client_certificate(self):
        self._exchanged(certified())
        # Without a certificate the client would be nobody, who may do everything here.
        topic = self.create("closed-certificate")
        refusal(lambda: self.send(certified(), topic), TOPIC_DENIED, "what the certificate's owner may not do")

    def produce_denied(self):
        topic = self.create("closed-topic")
        refusal(lambda: self.send(sasl("PLAIN"), topic), TOPIC_DENIED, "writing to a topic of others")

    def group_denied(self):
        topic, login = self.create("open-topic"), sasl("PLAIN")
        self.send(login, topic)
        group = topic_name("closed-group")
        refusal(lambda: self.consume(login, topic, group), "group.?authorization", "joining a group of others")
        closed = self.create("closed-topic")
        refusal(
            lambda: self.consume(login, closed, topic_name("open-group")),
            TOPIC_DENIED,
            "reading a topic of others",
        )

    def transaction_denied(self):
        topic, login = self.create("open-topic"), sasl("PLAIN")
        self.transact(login, topic_name("open-id"), topic)
        refusal(
            lambda: self.transact(login, topic_name("closed-id"), topic),
            "transactional.?id.?authorization",
            "using a transactional id of others",
        )

    def reauthentication(self):
        """A connection is used beyond the lifetime of a proof, and goes on: no other is opened meanwhile."""
        if self.renews is not True:
            raise Unsupported(self.renews)
        send = self.open(sasl("SCRAM-SHA-256"), self.create("open-session"))
        send("first")
        names = "weir_kafka_connections_accepted_total", 'weir_kafka_requests_total{api="SaslAuthenticate"}'
        seen = []
        # On a busy machine a client may come too late, once.
        for _ in range(3):
            connections, proofs = metrics(*names)
            end = time.monotonic() + 15
            while time.monotonic() < end:
                send("again")
                time.sleep(0.1)
                connections_now, proofs_now = metrics(*names)
                if proofs_now >= proofs + 2 or connections_now > connections:
                    break
            seen.append((connections_now - connections, proofs_now - proofs))
            if seen[-1][0] == 0 and seen[-1][1] >= 2:
                return
        raise AssertionError(f"connections and proofs more than before: {seen}")

    def admin_acls(self):
        if self.acls is None:
            raise Unsupported("no ACLs")
        grant, listed, revoke = self.acls
        topic, login = self.create("closed-acls"), sasl("PLAIN")
        refusal(lambda: self.send(login, topic), TOPIC_DENIED, "writing without permission")
        grant(topic)
        self.send(login, topic)
        need(len(listed(topic)) == 1, f"rules of the topic: {listed(topic)}")
        revoke(topic)
        need(len(listed(topic)) == 0, f"rules of the topic after the deletion: {listed(topic)}")
        refusal(lambda: self.send(login, topic), TOPIC_DENIED, "writing after the deletion")

    def admin_scram_users(self):
        if self.users is None:
            raise Unsupported("no SCRAM users")
        upsert, listed, delete = self.users
        topic, user = self.create("closed-users"), topic_name("user")
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"]:
            upsert(user, mechanism, "secret, too", 8192)
            # Who gets so far has proven to be the user.
            login = replace(sasl(mechanism), user=user, password="secret, too")
            refusal(lambda: self.send(login, topic), TOPIC_DENIED, "a new user")
        found = {(re.sub("[-_]", "", name), iterations) for name, iterations in listed(user)}
        need(found == {("SCRAMSHA256", 8192), ("SCRAMSHA512", 8192)}, f"credentials {found}")
        delete(user, "SCRAM-SHA-512")
        refusal(lambda: self.send(login, topic), self.WRONG_PASSWORD, "a credential that is deleted")
        refusal(lambda: delete(user, "SCRAM-SHA-512"), "resource.?not.?found|has no .* credential", "deleting it again")

    def throttling(self):
        topic = self.create("open-throttled")
        send = self.open(replace(sasl("PLAIN"), user="bob", password="bob-secret"), topic)
        (before,) = metrics("weir_kafka_requests_throttled_total")
        started = time.monotonic()
        for _ in range(3):
            send("x" * 50_000)
        # The broker reads nothing more until the rate is kept: 20,000 bytes are there at once.
        need(time.monotonic() - started > 1, "the client was not held up")
        (after,) = metrics("weir_kafka_requests_throttled_total")
        need(after > before, "the broker has throttled nobody")
        need(self.told is None or self.told(), "the client was not told")
