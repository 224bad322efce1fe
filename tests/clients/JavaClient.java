// Kafka's Java client against a broker. Usage: java -cp 'jars/*' JavaClient.java HOST:PORT [BEHAVIOUR...].
// Lines on standard output as in report.py.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class JavaClient {
    static final long DEADLINE_MS = 30_000;
    static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
    static String broker;
    static Admin admin;

    interface Behaviour {
        void run() throws Exception;
    }

    static void need(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }

    static void equal(Object actual, Object expected, String what) {
        need(actual == null ? expected == null : actual.equals(expected), what + ": " + actual + " instead of " + expected);
    }

    /** Waits for a condition, which itself waits a little. */
    static void until(BooleanSupplier condition, String what) {
        long end = System.nanoTime() + DEADLINE_MS * 1_000_000;
        while (!condition.getAsBoolean()) need(System.nanoTime() < end, "not within 30 s: " + what);
    }

    static void refused(Class<? extends Throwable> error, Behaviour call) throws Exception {
        try {
            call.run();
        } catch (ExecutionException e) {
            need(error.isInstance(e.getCause()), "not " + error.getSimpleName() + " but " + e.getCause());
            return;
        }
        throw new AssertionError("no " + error.getSimpleName());
    }

    static void restartBroker() throws Exception {
        System.out.println("RESTART");
        System.out.flush();
        equal(INPUT.readLine(), "ready", "the broker was started again");
    }

    static String name(String what) {
        return what + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static String create(String what, int partitions, String... configs) throws Exception {
        String topic = name(what);
        Map<String, String> map = new HashMap<>();
        for (int i = 0; i < configs.length; i += 2) map.put(configs[i], configs[i + 1]);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(map))).all().get();
        return topic;
    }

    static Properties settings(Object... pairs) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", broker);
        settings.put("reconnect.backoff.max.ms", "200");
        for (int i = 0; i < pairs.length; i += 2) settings.put(pairs[i], pairs[i + 1].toString());
        return settings;
    }

    static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
        return new KafkaProducer<>(settings(pairs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String group, Object... pairs) {
        Properties settings = settings();
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("metadata.max.age.ms", "1000");
        settings.put("isolation.level", "read_committed");
        if (group != null) settings.put("group.id", group);
        settings.putAll(settings(pairs));
        if (!"consumer".equals(settings.get("group.protocol"))) settings.put("heartbeat.interval.ms", "300");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static byte[] bytes(Object value) {
        return value.toString().getBytes();
    }

    static ProducerRecord<byte[], byte[]> record(String topic, Integer partition, Object value) {
        return new ProducerRecord<>(topic, partition, null, bytes(value));
    }

    static void send(KafkaProducer<byte[], byte[]> sender, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        List<Future<RecordMetadata>> sent = records.stream().map(sender::send).toList();
        for (Future<RecordMetadata> one : sent) one.get();
    }

    static void sendOnce(List<ProducerRecord<byte[], byte[]>> records, Object... pairs) throws Exception {
        try (var sender = producer(pairs)) {
            send(sender, records);
        }
    }

    static List<ProducerRecord<byte[], byte[]>> numbers(String topic, int from, int to, int partitions) {
        return IntStream.range(from, to).mapToObj(i -> record(topic, i % partitions, i)).toList();
    }

    static List<Integer> range(int from, int to) {
        return IntStream.range(from, to).boxed().toList();
    }

    static List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> reader, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        until(() -> {
            reader.poll(Duration.ofMillis(200)).forEach(records::add);
            return records.size() >= count;
        }, count + " records");
        return records;
    }

    static List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int count, Object... pairs) {
        try (var reader = consumer(null, pairs)) {
            var parts = reader.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            reader.assign(parts);
            var records = take(reader, count);
            reader.poll(Duration.ofMillis(500)).forEach(records::add);
            equal(records.size(), count, "number of records");
            return records;
        }
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes);
    }

    static List<String> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(r -> text(r.value())).toList();
    }

    static List<Integer> ints(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(r -> Integer.parseInt(text(r.value()))).toList();
    }

    static void compression(String codec) throws Exception {
        String topic = create("compression-" + codec, 2);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            records.add(new ProducerRecord<>(topic, bytes("k" + i), bytes(("value " + i + " ").repeat(20))));
        }
        sendOnce(records, "compression.type", codec, "linger.ms", 20);
        Set<String> expected = records.stream().map(r -> text(r.key()) + text(r.value())).collect(Collectors.toSet());
        var found = readAll(topic, 300).stream().map(r -> text(r.key()) + text(r.value())).collect(Collectors.toSet());
        equal(found, expected, "records");
    }

    static void idempotentProduce() throws Exception {
        String topic = create("idempotent", 1);
        sendOnce(numbers(topic, 0, 2000, 1), "enable.idempotence", true, "batch.size", 200, "linger.ms", 0);
        equal(ints(readAll(topic, 2000)), range(0, 2000), "order");
    }

    static void acks() throws Exception {
        String topic = create("acks", 1);
        for (String level : List.of("0", "1", "all")) {
            sendOnce(List.of(record(topic, 0, level)), "acks", level, "enable.idempotence", false);
        }
        equal(values(readAll(topic, 3)), List.of("0", "1", "all"), "records");
    }

    static void headersAndNulls() throws Exception {
        String topic = create("headers", 1);
        List<Header> headers = List.of(new RecordHeader("a", bytes("1")), new RecordHeader("a", bytes("2")),
            new RecordHeader("null", (byte[]) null), new RecordHeader("empty", new byte[0]));
        sendOnce(List.of(new ProducerRecord<>(topic, 0, 1_700_000_000_000L, null, bytes("v"), headers),
            new ProducerRecord<>(topic, 0, bytes("k"), null), new ProducerRecord<>(topic, 0, new byte[0], new byte[0]),
            new ProducerRecord<>(topic, 0, null, null)));
        var found = readAll(topic, 4);
        var pairs = found.stream().map(r -> Arrays.asList(text(r.key()), text(r.value()))).toList();
        equal(pairs, List.of(Arrays.asList(null, "v"), Arrays.asList("k", null), List.of("", ""),
            Arrays.asList(null, null)), "records");
        equal(Arrays.asList(found.get(0).headers().toArray()), headers, "headers");
        equal(found.get(0).timestamp(), 1_700_000_000_000L, "timestamp");
    }

    static byte[] noise(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    static void record1mb() throws Exception {
        String topic = create("large", 1);
        sendOnce(List.of(new ProducerRecord<>(topic, 0, null, noise(999_000))));
        need(Arrays.equals(readAll(topic, 1).get(0).value(), noise(999_000)), "other bytes");
    }

    static void recordTooLarge() throws Exception {
        String topic = create("limited", 1, "max.message.bytes", "20000");
        try (var sender = producer()) {
            refused(RecordTooLargeException.class,
                () -> send(sender, List.of(new ProducerRecord<>(topic, 0, null, noise(50_000)))));
            send(sender, List.of(record(topic, 0, "small")));
        }
        equal(values(readAll(topic, 1)), List.of("small"), "record");
    }

    /** A group member, with the partitions it ever lost. */
    static class Member implements ConsumerRebalanceListener {
        final KafkaConsumer<byte[], byte[]> reader;
        final List<TopicPartition> lost = new ArrayList<>();
        final List<Integer> seen = new ArrayList<>();

        Member(String group, Object... pairs) {
            reader = consumer(group, pairs);
        }

        Member on(String topic) {
            reader.subscribe(List.of(topic), this);
            return this;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {}

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
            lost.addAll(revoked);
            if (!revoked.isEmpty()) reader.commitSync();
        }

        Set<TopicPartition> poll() {
            reader.poll(Duration.ofMillis(50)).forEach(r -> seen.add(Integer.parseInt(text(r.value()))));
            return reader.assignment();
        }
    }

    static void allSeen(int count, Member... polled) {
        until(() -> Arrays.stream(polled).peek(Member::poll).mapToInt(m -> m.seen.size()).sum() >= count, count + " records");
    }

    static void rebalance(boolean incremental, Object... pairs) throws Exception {
        String topic = create("group", 4);
        String group = name("group");
        Set<TopicPartition> all = IntStream.range(0, 4).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toSet());
        Member first = new Member(group, pairs).on(topic);
        Member second = new Member(group, pairs);
        try (var sender = producer()) {
            until(() -> first.poll().equals(all), "the first member holds everything");
            send(sender, numbers(topic, 0, 40, 4));
            allSeen(40, first);
            second.on(topic);
            BooleanSupplier shared = () -> {
                var one = new HashSet<>(first.poll());
                var two = second.poll();
                return one.size() == 2 && two.size() == 2 && !one.removeAll(two);
            };
            until(shared, "both hold two partitions");
            if (incremental) equal(first.lost.size(), 2, "partitions the first member ever lost");
            send(sender, numbers(topic, 40, 80, 4));
            allSeen(80, first, second);
            second.reader.commitSync();
            second.reader.close();
            until(() -> first.poll().equals(all), "the first member holds everything again");
            send(sender, numbers(topic, 80, 120, 4));
            allSeen(120 - second.seen.size(), first);
        }
        first.reader.close();
        List<Integer> seen = new ArrayList<>(first.seen);
        seen.addAll(second.seen);
        seen.sort(null);
        equal(seen, range(0, 120), "every record once");
    }

    static void groupStatic() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String topic = create("static", 2);
            String group = name("static");
            Member one = new Member(group, "group.protocol", protocol, "group.instance.id", "one").on(topic);
            Member two = new Member(group, "group.protocol", protocol, "group.instance.id", "two").on(topic);
            until(() -> one.poll().size() == 1 & two.poll().size() == 1, protocol + ": one partition each");
            var held = Set.copyOf(two.poll());
            int lost = one.lost.size();
            two.reader.close();
            Member again = new Member(group, "group.protocol", protocol, "group.instance.id", "two").on(topic);
            until(() -> !one.poll().isEmpty() & !again.poll().isEmpty(), protocol + ": the member is back");
            equal(again.poll(), held, protocol + ": assignment after the return");
            equal(one.lost.size(), lost, protocol + ": partitions lost by the other member");
            one.reader.close();
            again.reader.close();
        }
    }

    static void groupPattern() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String prefix = name("pattern");
            admin.createTopics(List.of(new NewTopic(prefix + "-a", 1, (short) 1))).all().get();
            Member member = new Member(name("group"), "group.protocol", protocol);
            // The newer protocol leaves the matching to the broker.
            if (protocol.equals("classic")) member.reader.subscribe(Pattern.compile(prefix + "-.*"), member);
            else member.reader.subscribe(new SubscriptionPattern(prefix + "-.*"), member);
            var a = new TopicPartition(prefix + "-a", 0);
            var b = new TopicPartition(prefix + "-b", 0);
            until(() -> member.poll().equals(Set.of(a)), protocol + ": the topic that is there");
            admin.createTopics(List.of(new NewTopic(prefix + "-b", 1, (short) 1))).all().get();
            until(() -> member.poll().equals(Set.of(a, b)), protocol + ": the topic that came later");
            member.reader.close();
        }
    }

    static void commitAndResume() throws Exception {
        String topic = create("resume", 1);
        String group = name("group");
        var at = new TopicPartition(topic, 0);
        sendOnce(numbers(topic, 0, 10, 1));
        try (var reader = consumer(group)) {
            reader.subscribe(List.of(topic));
            take(reader, 10);
            var offset = new OffsetAndMetadata(4, "note");
            reader.commitSync(Map.of(at, offset));
            equal(reader.committed(Set.of(at)).get(at), offset, "committed");
        }
        try (var reader = consumer(group)) {
            reader.subscribe(List.of(topic));
            equal(ints(take(reader, 6)), range(4, 10), "records");
        }
    }

    static void offsetReset() throws Exception {
        String topic = create("reset", 1);
        var at = new TopicPartition(topic, 0);
        try (var sender = producer(); var early = consumer(name("group"));
            var late = consumer(name("group"), "auto.offset.reset", "latest")) {
            send(sender, List.of(record(topic, 0, "old")));
            early.subscribe(List.of(topic));
            equal(values(take(early, 1)), List.of("old"), "earliest");
            late.subscribe(List.of(topic));
            until(() -> late.poll(Duration.ofMillis(100)).isEmpty() && !late.assignment().isEmpty(), "assignment");
            equal(late.position(at), 1L, "position");
            send(sender, List.of(record(topic, 0, "new")));
            equal(values(take(late, 1)), List.of("new"), "latest");
            late.seekToBeginning(Set.of(at));
            equal(values(take(late, 2)), List.of("old", "new"), "after seek");
            late.seek(at, 1000);
            late.poll(Duration.ofMillis(1000));
            send(sender, List.of(record(topic, 0, "newest")));
            equal(values(take(late, 1)), List.of("newest"), "after an offset out of range");
        }
    }

    static void offsetByTimestamp() throws Exception {
        String topic = create("timestamps", 1);
        var at = new TopicPartition(topic, 0);
        sendOnce(IntStream.range(0, 10)
            .mapToObj(i -> new ProducerRecord<>(topic, 0, 1_000_000L + i * 100, (byte[]) null, bytes(i))).toList());
        try (var reader = consumer(null)) {
            List<Long> found = new ArrayList<>();
            for (long time : List.of(0L, 1_000_000L, 1_000_301L, 1_000_900L, 2_000_000L)) {
                var answer = reader.offsetsForTimes(Map.of(at, time)).get(at);
                found.add(answer == null ? null : answer.offset());
            }
            equal(found, Arrays.asList(0L, 0L, 4L, 9L, null), "offsets");
            equal(reader.beginningOffsets(Set.of(at)).get(at), 0L, "beginning");
            equal(reader.endOffsets(Set.of(at)).get(at), 10L, "end");
        }
    }

    static KafkaProducer<byte[], byte[]> transactional(String id) {
        var sender = producer("transactional.id", id);
        sender.initTransactions();
        return sender;
    }

    static void txnCommitAbort() throws Exception {
        String topic = create("txn", 2);
        try (var sender = transactional(topic)) {
            for (int round = 0; round < 6; round++) {
                sender.beginTransaction();
                for (int i = 0; i < 20; i++) sender.send(new ProducerRecord<>(topic, bytes(i), bytes(round)));
                if (round % 2 == 0) {
                    sender.commitTransaction();
                } else {
                    sender.flush();
                    sender.abortTransaction();
                }
            }
            equal(new TreeSet<>(values(readAll(topic, 60))), new TreeSet<>(Set.of("0", "2", "4")), "committed");
            readAll(topic, 120, "isolation.level", "read_uncommitted");
            sender.beginTransaction();
            send(sender, List.of(record(topic, 0, "open")));
            readAll(topic, 60);
            sender.abortTransaction();
        }
    }

    static void txnSendOffsets() throws Exception {
        String source = create("txn-source", 1);
        String target = create("txn-target", 1);
        String group = name("group");
        var at = new TopicPartition(source, 0);
        sendOnce(numbers(source, 0, 20, 1));
        try (var sender = transactional(target); var reader = consumer(group, "max.poll.records", 10)) {
            reader.subscribe(List.of(source));
            for (boolean commit : new boolean[] {false, true}) {
                var records = take(reader, 10);
                sender.beginTransaction();
                for (var record : records) sender.send(new ProducerRecord<>(target, 0, null, record.value()));
                sender.sendOffsetsToTransaction(Map.of(at, new OffsetAndMetadata(10)), reader.groupMetadata());
                if (commit) sender.commitTransaction();
                else sender.abortTransaction();
                var committed = reader.committed(Set.of(at)).get(at);
                equal(committed == null ? null : committed.offset(), commit ? 10L : null, "committed");
                if (!commit) reader.seek(at, 0);
            }
        }
        equal(ints(readAll(target, 10)), range(0, 10), "records");
    }

    static void txnFencing() throws Exception {
        String topic = create("fencing", 1);
        var old = transactional(topic);
        old.beginTransaction();
        send(old, List.of(record(topic, 0, "zombie")));
        try (var fresh = transactional(topic)) {
            try {
                old.send(record(topic, 0, "zombie"));
                old.commitTransaction();
                throw new AssertionError("the former producer was not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                old.close(Duration.ZERO);
            } catch (KafkaException wrapped) {
                var cause = wrapped.getCause();
                need(cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException, "" + wrapped);
                old.close(Duration.ZERO);
            }
            fresh.beginTransaction();
            send(fresh, List.of(record(topic, 0, "new")));
            fresh.commitTransaction();
        }
        equal(values(readAll(topic, 1)), List.of("new"), "records");
    }

    static void adminTopics() throws Exception {
        String topic = create("admin", 3);
        var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        equal(described.partitions().size(), 3, "partitions");
        need(described.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == 1), "leaders");
        equal(admin.listTopics().namesToListings().get().get(topic).topicId(), described.topicId(), "topic id");
        refused(TopicExistsException.class,
            () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
        String checked = name("checked");
        var created = admin.createTopics(List.of(new NewTopic(checked, Optional.of(2), Optional.empty())),
            new CreateTopicsOptions().validateOnly(true));
        equal(created.numPartitions(checked).get(), 2, "partitions of a checked topic");
        need(!admin.listTopics().names().get().contains(checked), "a topic was made though only checked");
        admin.deleteTopics(List.of(topic)).all().get();
        need(!admin.listTopics().names().get().contains(topic), "the topic is still there");
        refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
    }

    static Config configsOf(ConfigResource.Type type, String name) throws Exception {
        var resource = new ConfigResource(type, name);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    static void adminConfigs() throws Exception {
        String topic = create("configs", 1, "cleanup.policy", "compact");
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config before = configsOf(ConfigResource.Type.TOPIC, topic);
        equal(before.get("cleanup.policy").value(), "compact", "cleanup.policy");
        need(before.get("retention.ms").isDefault() && !before.get("cleanup.policy").isDefault(), "defaults");
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "5000"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.APPEND)))).all().get();
        Config after = configsOf(ConfigResource.Type.TOPIC, topic);
        equal(after.get("retention.ms").value(), "5000", "retention.ms");
        equal(after.get("cleanup.policy").value(), "compact,delete", "cleanup.policy");
        refused(InvalidConfigurationException.class, () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "x"), AlterConfigOp.OpType.SET)))).all().get());
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE)))).all().get();
        equal(configsOf(ConfigResource.Type.TOPIC, topic).get("retention.ms").value(),
            before.get("retention.ms").value(), "after the reset");
        Node node = admin.describeCluster().nodes().get().iterator().next();
        need(!configsOf(ConfigResource.Type.BROKER, node.idString()).entries().isEmpty(), "the broker has configs");
    }

    static void adminPartitions() throws Exception {
        String topic = create("partitions", 1);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
        equal(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), 3, "partitions");
        sendOnce(numbers(topic, 0, 3, 3));
        refused(InvalidPartitionsException.class,
            () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
    }

    static void adminDeleteRecords() throws Exception {
        String topic = create("trimmed", 1);
        var at = new TopicPartition(topic, 0);
        sendOnce(numbers(topic, 0, 10, 1));
        var deleted = admin.deleteRecords(Map.of(at, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(at).get();
        equal(deleted.lowWatermark(), 4L, "low watermark");
        equal(ints(readAll(topic, 6)), range(4, 10), "records");
    }

    static boolean listed(String group) throws Exception {
        return admin.listGroups(new ListGroupsOptions()).all().get().stream().anyMatch(g -> g.groupId().equals(group));
    }

    static void adminGroups() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String topic = create("groups", 1);
            String group = name("described");
            Member member = new Member(group, "group.protocol", protocol).on(topic);
            until(() -> !member.poll().isEmpty(), "assignment");
            need(listed(group), "listed");
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            equal(described.groupState(), GroupState.STABLE, protocol + " state");
            equal(described.type().toString().toLowerCase(), protocol, "type");
            var assignment = described.members().iterator().next().assignment().topicPartitions();
            equal(assignment, Set.of(new TopicPartition(topic, 0)), "assignment");
            refused(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            member.reader.close();
            described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            equal(described.groupState(), GroupState.EMPTY, protocol + " state after the member left");
            admin.deleteConsumerGroups(List.of(group)).all().get();
            need(!listed(group), "the group is still there");
        }
    }

    static void adminGroupOffsets() throws Exception {
        String topic = create("group-offsets", 1);
        String group = name("group");
        var at = new TopicPartition(topic, 0);
        sendOnce(numbers(topic, 0, 10, 1));
        admin.alterConsumerGroupOffsets(group, Map.of(at, new OffsetAndMetadata(7))).all().get();
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        equal(found, Map.of(at, new OffsetAndMetadata(7)), "offsets");
        try (var reader = consumer(group)) {
            reader.subscribe(List.of(topic));
            equal(ints(take(reader, 3)), range(7, 10), "records");
        }
        admin.deleteConsumerGroupOffsets(group, Set.of(at)).all().get();
        found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        equal(found, Map.of(), "offsets after they were deleted");
    }

    static void adminListOffsets() throws Exception {
        String topic = create("listed", 1);
        var at = new TopicPartition(topic, 0);
        sendOnce(IntStream.range(0, 5)
            .mapToObj(i -> new ProducerRecord<>(topic, 0, 1000L + i, (byte[]) null, bytes(i))).toList());
        List<Long> found = new ArrayList<>();
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(),
            OffsetSpec.forTimestamp(1002), OffsetSpec.earliestLocal(), OffsetSpec.latestTiered())) {
            found.add(admin.listOffsets(Map.of(at, spec)).partitionResult(at).get().offset());
        }
        equal(found, List.of(0L, 5L, 4L, 2L, 0L, -1L), "earliest, latest, max timestamp, by timestamp, local, tiered");
    }

    static void adminCluster() throws Exception {
        var cluster = admin.describeCluster();
        equal(cluster.nodes().get().size(), 1, "nodes");
        need(cluster.controller().get() != null && !cluster.clusterId().get().isEmpty(), "controller and id");
        var features = admin.describeFeatures().featureMetadata().get();
        need(features.finalizedFeatures() != null, "features");
        int node = cluster.nodes().get().iterator().next().id();
        need(!admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).isEmpty(), "log dirs");
    }

    static void adminTransactions() throws Exception {
        String topic = create("open-txn", 1);
        var at = new TopicPartition(topic, 0);
        try (var sender = transactional(topic)) {
            sender.beginTransaction();
            send(sender, List.of(record(topic, 0, "v")));
            var described = admin.describeTransactions(List.of(topic)).description(topic).get();
            equal(described.state(), TransactionState.ONGOING, "state");
            equal(described.topicPartitions(), Set.of(at), "partitions");
            var producers = admin.describeProducers(List.of(at)).partitionResult(at).get().activeProducers();
            equal(producers.iterator().next().producerId(), described.producerId(), "producer id");
            var listed = admin.listTransactions().all().get();
            need(listed.stream().anyMatch(t -> t.transactionalId().equals(topic)), "listed");
            sender.abortTransaction();
            sender.beginTransaction();
            send(sender, List.of(record(topic, 0, "v")));
            admin.fenceProducers(List.of(topic)).all().get();
            try {
                sender.commitTransaction();
                throw new AssertionError("the producer was not fenced");
            } catch (KafkaException expected) {
                sender.close(Duration.ZERO);
            }
        }
    }

    static void restartProduce() throws Exception {
        String topic = create("restart-produce", 2);
        try (var sender = producer("enable.idempotence", true, "linger.ms", 0)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            numbers(topic, 0, 500, 2).forEach(r -> sent.add(sender.send(r)));
            restartBroker();
            numbers(topic, 500, 1000, 2).forEach(r -> sent.add(sender.send(r)));
            for (var one : sent) one.get();
        }
        var found = readAll(topic, 1000).stream().collect(Collectors.groupingBy(ConsumerRecord::partition));
        for (int p : List.of(0, 1)) {
            int partition = p;
            List<Integer> expected = range(0, 1000).stream().filter(i -> i % 2 == partition).toList();
            equal(ints(found.get(p)), expected, "every record once and in order");
        }
    }

    static void restartConsume() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String topic = create("restart-consume", 2);
            String group = name("group");
            Member member = new Member(group, "group.protocol", protocol).on(topic);
            try (var sender = producer()) {
                send(sender, numbers(topic, 0, 100, 2));
                allSeen(100, member);
                member.reader.commitSync();
                restartBroker();
                send(sender, numbers(topic, 100, 200, 2));
                allSeen(200, member);
                member.reader.commitSync();
                member.reader.close();
            }
            member.seen.sort(null);
            equal(member.seen, range(0, 200), protocol + ": every record once");
            Member after = new Member(group, "group.protocol", protocol).on(topic);
            until(() -> after.poll().size() == 2, "assignment");
            after.reader.poll(Duration.ofMillis(500)).forEach(r -> after.seen.add(-1));
            equal(after.seen, List.of(), protocol + ": records after the committed offsets");
            after.reader.close();
        }
    }

    static void restartTransaction() throws Exception {
        String source = create("restart-source", 1);
        String target = create("restart-target", 1);
        String group = name("group");
        var at = new TopicPartition(source, 0);
        sendOnce(numbers(source, 0, 60, 1));
        try (var sender = transactional(target); var reader = consumer(group, "max.poll.records", 20)) {
            reader.subscribe(List.of(source));
            for (String restart : List.of("between records", "before offsets", "before commit")) {
                var records = take(reader, 20);
                long end = System.nanoTime() + DEADLINE_MS * 1_000_000;
                String when = restart;
                while (true) {
                    try {
                        attempt(sender, reader, records, target, at, when);
                        break;
                    } catch (KafkaException error) {
                        if (System.nanoTime() > end) throw error;
                        sender.abortTransaction();
                        when = "";
                    }
                }
            }
            equal(reader.committed(Set.of(at)).get(at).offset(), 60L, "committed");
        }
        equal(ints(readAll(target, 60)), range(0, 60), "records");
    }

    static void attempt(KafkaProducer<byte[], byte[]> sender, KafkaConsumer<byte[], byte[]> reader,
        List<ConsumerRecord<byte[], byte[]>> records, String target, TopicPartition at, String restart) throws Exception {
        sender.beginTransaction();
        int place = 0;
        for (var record : records) {
            if (restart.equals("between records") && place == 5) {
                sender.flush();
                restartBroker();
            }
            sender.send(new ProducerRecord<>(target, 0, null, record.value()));
            place += 1;
        }
        if (restart.equals("before offsets")) {
            sender.flush();
            restartBroker();
        }
        var offset = new OffsetAndMetadata(records.get(records.size() - 1).offset() + 1);
        sender.sendOffsetsToTransaction(Map.of(at, offset), reader.groupMetadata());
        if (restart.equals("before commit")) restartBroker();
        sender.commitTransaction();
    }

    static String cause(Throwable error) {
        String line = Arrays.stream(error.getStackTrace()).filter(f -> f.getClassName().startsWith("JavaClient"))
            .filter(f -> !List.of("need", "equal", "until").contains(f.getMethodName()))
            .map(f -> " (line " + f.getLineNumber() + ")").findFirst().orElse("");
        return (error + line).replaceAll("\\s+", " ");
    }

    public static void main(String[] arguments) {
        broker = arguments[0];
        Set<String> only = Set.of(Arrays.copyOfRange(arguments, 1, arguments.length));
        admin = Admin.create(settings());
        Map<String, Behaviour> behaviours = new LinkedHashMap<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            behaviours.put("compression-" + codec, () -> compression(codec));
        }
        behaviours.put("idempotent-produce", JavaClient::idempotentProduce);
        behaviours.put("acks", JavaClient::acks);
        behaviours.put("headers-and-nulls", JavaClient::headersAndNulls);
        behaviours.put("record-1mb", JavaClient::record1mb);
        behaviours.put("record-too-large", JavaClient::recordTooLarge);
        String assignor = "partition.assignment.strategy";
        behaviours.put("group-rebalance", () -> rebalance(false, assignor, RangeAssignor.class.getName()));
        behaviours.put("group-cooperative", () -> rebalance(true, assignor, CooperativeStickyAssignor.class.getName()));
        behaviours.put("group-static", JavaClient::groupStatic);
        behaviours.put("group-pattern", JavaClient::groupPattern);
        behaviours.put("consumer-protocol", () -> rebalance(true, "group.protocol", "consumer"));
        behaviours.put("commit-and-resume", JavaClient::commitAndResume);
        behaviours.put("offset-reset", JavaClient::offsetReset);
        behaviours.put("offset-by-timestamp", JavaClient::offsetByTimestamp);
        behaviours.put("txn-commit-abort", JavaClient::txnCommitAbort);
        behaviours.put("txn-send-offsets", JavaClient::txnSendOffsets);
        behaviours.put("txn-fencing", JavaClient::txnFencing);
        behaviours.put("admin-topics", JavaClient::adminTopics);
        behaviours.put("admin-configs", JavaClient::adminConfigs);
        behaviours.put("admin-partitions", JavaClient::adminPartitions);
        behaviours.put("admin-delete-records", JavaClient::adminDeleteRecords);
        behaviours.put("admin-groups", JavaClient::adminGroups);
        behaviours.put("admin-group-offsets", JavaClient::adminGroupOffsets);
        behaviours.put("admin-list-offsets", JavaClient::adminListOffsets);
        behaviours.put("admin-cluster", JavaClient::adminCluster);
        behaviours.put("admin-transactions", JavaClient::adminTransactions);
        behaviours.put("restart-produce", JavaClient::restartProduce);
        behaviours.put("restart-consume", JavaClient::restartConsume);
        behaviours.put("restart-transaction", JavaClient::restartTransaction);
        behaviours.forEach((name, behaviour) -> {
            if (!only.isEmpty() && !only.contains(name)) return;
            long started = System.nanoTime();
            try {
                behaviour.run();
                System.out.println("PASS " + name);
            } catch (Throwable error) {
                System.out.println("FAIL " + name + ": " + cause(error));
                error.printStackTrace();
            }
            System.err.println(name + ": " + (System.nanoTime() - started) / 1_000_000 + " ms");
        });
        System.out.flush();
        // Threads of a client that failed must not keep the process.
        Runtime.getRuntime().halt(0);
    }
}
