package weir;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The broker, and what all behaviours share: topics, producers, consumers, and checks. */
final class Broker {
    static final long DEADLINE_MS = 120_000;
    private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
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
        while (!condition.getAsBoolean()) need(System.nanoTime() < end, "not within 120 s: " + what);
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

    static KafkaProducer<byte[], byte[]> transactional(String id, Object... pairs) {
        Object[] all = Arrays.copyOf(pairs, pairs.length + 2);
        all[pairs.length] = "transactional.id";
        all[pairs.length + 1] = id;
        var sender = producer(all);
        sender.initTransactions();
        return sender;
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

    static byte[] noise(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }
}
