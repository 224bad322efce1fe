package weir;

import static weir.Broker.*;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import weir.Broker.Behaviour;

/** Who the script can be at a secured broker, and what it tries as such. See secure.py. */
final class Secured {
    /** Within which a client has to tell that it is refused. */
    private static final long REFUSED_WITHIN_MS = 20_000;

    static void addTo(Map<String, Behaviour> all) {
        all.put("sasl-plain", () -> exchanged(sasl("PLAIN")));
        all.put("sasl-scram-256", () -> exchanged(sasl("SCRAM-SHA-256")));
        all.put("sasl-scram-512", () -> exchanged(sasl("SCRAM-SHA-512")));
        all.put("sasl-wrong-password", Secured::wrongPassword);
        all.put("sasl-reauthentication", Secured::reauthentication);
        all.put("tls-sasl", () -> exchanged(saslSsl()));
        all.put("tls-host-name", Secured::hostName);
        all.put("tls-untrusted", Secured::untrusted);
        all.put("tls-client-certificate", Secured::clientCertificate);
        all.put("acl-produce", Secured::produceDenied);
        all.put("acl-group", Secured::groupDenied);
        all.put("acl-transaction", Secured::transactionDenied);
    }

    private static String variable(String name) {
        String value = System.getenv(name);
        need(value != null, "the variable " + name + " is not set");
        return value;
    }

    private static String certificate(String file) throws IOException {
        return Files.readString(Path.of(variable("WEIR_CERTIFICATES"), file));
    }

    /** Settings of a client: what a second map says holds. */
    static Map<String, Object> with(Map<String, Object> login, Object... pairs) {
        Map<String, Object> changed = new HashMap<>(login);
        for (int i = 0; i < pairs.length; i += 2) changed.put(pairs[i].toString(), pairs[i + 1]);
        return changed;
    }

    static Object[] pairs(Map<String, Object> login) {
        return login.entrySet().stream().flatMap(e -> Stream.of(e.getKey(), e.getValue())).toArray();
    }

    static Map<String, Object> sasl(String mechanism, String user, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        String jaas = "org.apache.kafka.common.security." + module + " required username=\"" + user + "\" password=\"" + password + "\";";
        return with(Map.of(), "bootstrap.servers", variable("WEIR_SASL_PLAINTEXT"), "security.protocol", "SASL_PLAINTEXT",
            "sasl.mechanism", mechanism, "sasl.jaas.config", jaas);
    }

    static Map<String, Object> sasl(String mechanism) {
        return sasl(mechanism, "alice", "alice, secret");
    }

    private static Map<String, Object> overTls(Map<String, Object> login) throws IOException {
        return with(login, "bootstrap.servers", variable("WEIR_SASL_SSL"), "security.protocol", "SASL_SSL",
            "ssl.truststore.type", "PEM", "ssl.truststore.certificates", certificate("ca.pem"));
    }

    private static Map<String, Object> saslSsl() throws IOException {
        return overTls(sasl("SCRAM-SHA-512"));
    }

    private static Map<String, Object> certified() throws IOException {
        return with(Map.of(), "bootstrap.servers", variable("WEIR_SSL"), "security.protocol", "SSL",
            "ssl.truststore.type", "PEM", "ssl.truststore.certificates", certificate("ca.pem"),
            "ssl.keystore.type", "PEM", "ssl.keystore.certificate.chain", certificate("client.pem"),
            "ssl.keystore.key", certificate("client.key"));
    }

    static void sendAs(Map<String, Object> login, String topic) throws Exception {
        sendOnce(List.of(record(topic, 0, "secured")), pairs(with(login, "max.block.ms", 20_000)));
    }

    private static List<String> consumeAs(Map<String, Object> login, String topic, String group) {
        try (var reader = consumer(group, pairs(login))) {
            reader.subscribe(List.of(topic));
            return values(take(reader, 1));
        }
    }

    private static void transactAs(Map<String, Object> login, String id, String topic) throws Exception {
        try (var sender = transactional(id, pairs(login))) {
            sender.beginTransaction();
            send(sender, List.of(record(topic, 0, "secured")));
            sender.commitTransaction();
        }
    }

    /** Records go to the broker, and come back to members of groups of both protocols. */
    private static void exchanged(Map<String, Object> login) throws Exception {
        String topic = create("open-secure", 1);
        sendAs(login, topic);
        for (String protocol : List.of("classic", "consumer")) {
            var found = consumeAs(with(login, "group.protocol", protocol), topic, name("open-secure"));
            equal(found, List.of("secured"), protocol + ": records");
        }
    }

    /** An attempt has to be refused soon, with an error that says why. */
    static void refusal(Class<? extends Throwable> error, String what, Behaviour attempt) throws Exception {
        long started = System.nanoTime();
        try {
            attempt.run();
        } catch (Exception e) {
            Throwable cause = e;
            while (cause != null && !error.isInstance(cause)) cause = cause.getCause();
            need(cause != null, what + ": not " + error.getSimpleName() + " but " + e + ", " + e.getCause());
            long took = (System.nanoTime() - started) / 1_000_000;
            need(took < REFUSED_WITHIN_MS, what + ": told after " + took + " ms");
            return;
        }
        throw new AssertionError(what + ": not refused");
    }

    private static void wrongPassword() throws Exception {
        String topic = create("open-password", 1);
        for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")) {
            var wrong = sasl(mechanism, "alice", "wrong");
            refusal(SaslAuthenticationException.class, mechanism, () -> sendAs(wrong, topic));
            refusal(SaslAuthenticationException.class, mechanism + " over TLS", () -> sendAs(overTls(wrong), topic));
            refusal(SaslAuthenticationException.class, mechanism + " of a consumer",
                () -> consumeAs(wrong, topic, name("open-group")));
        }
        var stranger = sasl("SCRAM-SHA-256", "nobody", "x");
        refusal(SaslAuthenticationException.class, "an unknown user", () -> sendAs(stranger, topic));
    }

    private static void hostName() throws Exception {
        String topic = create("open-name", 1);
        String elsewhere = variable("WEIR_SASL_SSL").replace("127.0.0.1", "localhost");
        refusal(SslAuthenticationException.class, "a certificate of another name",
            () -> sendAs(with(saslSsl(), "bootstrap.servers", elsewhere), topic));
    }

    private static void untrusted() throws Exception {
        String topic = create("open-untrusted", 1);
        refusal(SslAuthenticationException.class, "a certificate of a foreign authority",
            () -> sendAs(with(saslSsl(), "ssl.truststore.certificates", certificate("other-ca.pem")), topic));
    }

    private static void clientCertificate() throws Exception {
        exchanged(certified());
        // Without a certificate the client would be nobody, who may do everything here.
        String topic = create("closed-certificate", 1);
        refusal(TopicAuthorizationException.class, "what the certificate's owner may not do", () -> sendAs(certified(), topic));
    }

    private static void produceDenied() throws Exception {
        String topic = create("closed-topic", 1);
        refusal(TopicAuthorizationException.class, "writing to a topic of others", () -> sendAs(sasl("PLAIN"), topic));
    }

    private static void groupDenied() throws Exception {
        String topic = create("open-topic", 1);
        String closed = create("closed-topic", 1);
        sendAs(sasl("PLAIN"), topic);
        for (String protocol : List.of("classic", "consumer")) {
            var login = with(sasl("PLAIN"), "group.protocol", protocol);
            refusal(GroupAuthorizationException.class, protocol + ": joining a group of others",
                () -> consumeAs(login, topic, name("closed-group")));
            refusal(TopicAuthorizationException.class, protocol + ": reading a topic of others",
                () -> consumeAs(login, closed, name("open-group")));
        }
    }

    private static void transactionDenied() throws Exception {
        String topic = create("open-topic", 1);
        transactAs(sasl("PLAIN"), name("open-id"), topic);
        refusal(TransactionalIdAuthorizationException.class, "using a transactional id of others",
            () -> transactAs(sasl("PLAIN"), name("closed-id"), topic));
    }

    /** A counter of the broker, summed over its labels. */
    static long metric(String name) throws IOException {
        try (var page = URI.create(variable("WEIR_HTTP") + "/metrics").toURL().openStream()) {
            return new String(page.readAllBytes()).lines().filter(line -> line.startsWith(name))
                .mapToLong(line -> (long) Double.parseDouble(line.substring(line.lastIndexOf(' ')))).sum();
        }
    }

    /** A connection is used beyond the lifetime of a proof, and goes on: no other is opened meanwhile. */
    private static void reauthentication() throws Exception {
        String topic = create("open-session", 1);
        String accepted = "weir_kafka_connections_accepted_total";
        String authenticated = "weir_kafka_requests_total{api=\"SaslAuthenticate\"}";
        List<String> seen = new ArrayList<>();
        try (var sender = producer(pairs(sasl("SCRAM-SHA-256")))) {
            send(sender, List.of(record(topic, 0, "first")));
            // On a busy machine a client may come too late, once.
            for (int attempt = 0; attempt < 3; attempt++) {
                long connections = metric(accepted);
                long proofs = metric(authenticated);
                long end = System.nanoTime() + 15_000_000_000L;
                long more = 0;
                long renewed = 0;
                while (System.nanoTime() < end && more == 0 && renewed < 2) {
                    send(sender, List.of(record(topic, 0, "again")));
                    Thread.sleep(100);
                    more = metric(accepted) - connections;
                    renewed = metric(authenticated) - proofs;
                }
                seen.add(more + "/" + renewed);
                if (more == 0 && renewed >= 2) return;
            }
        }
        throw new AssertionError("connections and proofs more than before: " + seen);
    }
}
