// Kafka's Java client against a broker, as fast as it goes and at a steady rate.
// Usage: java -cp 'jars/*' JavaPerf.java HOST:PORT RECORDS SECONDS. Prints a JSON line for each figure.

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class JavaPerf {
    static final int PARTITIONS = 4;
    static final int RATE_PER_SECOND = 1_000;
    static final int WARM_UP_SECONDS = 3;
    /** Settings of a producer that waits for company and compresses. */
    static final Map<String, String> TUNED =
            Map.of("batch.size", "262144", "linger.ms", "5", "compression.type", "lz4");

    static String broker;

    public static void main(String[] args) throws Exception {
        broker = args[0];
        int records = Integer.parseInt(args[1]);
        int seconds = Integer.parseInt(args[2]);
        // The first run warms the compiler up and is not shown.
        produce("java-warm-up", 100, records / 4, Map.of(), null);
        produce("java-100", 100, records, Map.of(), "default");
        produce("java-100-tuned", 100, records, TUNED, "256 KiB, 5 ms, lz4");
        produce("java-1024", 1024, records / 4, Map.of(), "default");
        produce("java-1024-tuned", 1024, records / 4, TUNED, "256 KiB, 5 ms, lz4");
        consume("java-warm-up", 100, records / 4, false);
        consume("java-100", 100, records, true);
        consume("java-1024", 1024, records / 4, true);
        endToEnd("java-e2e", seconds);
    }

    static Properties client(String... settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", broker);
        for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
        return properties;
    }

    static void create(String topic, int partitions) throws ExecutionException, InterruptedException {
        try (Admin admin = Admin.create(client())) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()))).all().get();
        }
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> settings) {
        Properties properties = client("acks", "all");
        properties.putAll(settings);
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String topic, int partitions) {
        Properties properties = client("enable.auto.commit", "false", "auto.offset.reset", "earliest");
        var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        TopicPartition[] all = new TopicPartition[partitions];
        for (int i = 0; i < partitions; i++) all[i] = new TopicPartition(topic, i);
        consumer.assign(List.of(all));
        consumer.seekToBeginning(List.of(all));
        return consumer;
    }

    static void show(String workload, String settings, int bytes, long records, long nanos) {
        System.out.printf(
                "{\"client\": \"java\", \"workload\": \"%s\", \"settings\": \"%s\", \"record_bytes\": %d, "
                        + "\"records\": %d, \"records_per_second\": %d, \"mb_per_second\": %.1f}%n",
                workload, settings, bytes, records, Math.round(records * 1e9 / nanos), records * 1e3 * bytes / nanos);
    }

    static void produce(String topic, int bytes, int records, Map<String, String> settings, String shown)
            throws Exception {
        create(topic, PARTITIONS);
        byte[] value = new byte[bytes];
        Random random = new Random(1);
        for (int i = 0; i < bytes; i++) value[i] = (byte) ('A' + random.nextInt(26));
        AtomicReference<Exception> failure = new AtomicReference<>();
        long started = System.nanoTime();
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            for (int i = 0; i < records; i++) {
                producer.send(new ProducerRecord<>(topic, value), (metadata, error) -> {
                    if (error != null) failure.set(error);
                });
            }
            producer.flush();
            long nanos = System.nanoTime() - started;
            if (failure.get() != null) throw failure.get();
            if (shown != null) show("produce", shown, bytes, records, nanos);
        }
    }

    /** From the first record on, as Kafka's own tool reports its fetch phase. */
    static void consume(String topic, int bytes, int records, boolean shown) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, PARTITIONS)) {
            long seen = 0;
            long started = System.nanoTime();
            while (seen < records) {
                ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofSeconds(10));
                if (batch.isEmpty()) throw new IllegalStateException(seen + " of " + records + " records were read");
                if (seen == 0) started = System.nanoTime();
                seen += batch.count();
            }
            if (shown) show("consume", "default", bytes, seen, System.nanoTime() - started);
        }
    }

    /** Each record carries the time at which it was due; a late producer counts as latency. */
    static void endToEnd(String topic, int seconds) throws Exception {
        create(topic, 1);
        int count = (seconds + WARM_UP_SECONDS) * RATE_PER_SECOND;
        long[] latencies = new long[count];
        Thread sender = new Thread(() -> send(topic, count));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, 1)) {
            consumer.poll(Duration.ofMillis(500));
            sender.start();
            int seen = 0;
            while (seen < count) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
                    latencies[seen++] = System.nanoTime() - ByteBuffer.wrap(record.value()).getLong();
                }
            }
        }
        sender.join();
        long[] sorted = Arrays.copyOfRange(latencies, WARM_UP_SECONDS * RATE_PER_SECOND, count);
        Arrays.sort(sorted);
        System.out.printf(
                "{\"client\": \"java\", \"workload\": \"e2e\", \"records_per_second\": %d, \"records\": %d, "
                        + "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"p999_ms\": %.2f}%n",
                RATE_PER_SECOND, sorted.length, at(sorted, 0.5), at(sorted, 0.99), at(sorted, 0.999));
    }

    static double at(long[] sorted, double share) {
        return sorted[(int) (sorted.length * share)] / 1e6;
    }

    static void send(String topic, int count) {
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("linger.ms", "0"))) {
            long began = System.nanoTime() + 100_000_000L;
            for (int i = 0; i < count; i++) {
                long due = began + i * (1_000_000_000L / RATE_PER_SECOND);
                for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
                    LockSupport.parkNanos(left);
                }
                producer.send(new ProducerRecord<>(topic, ByteBuffer.allocate(100).putLong(due).array()));
            }
        }
    }
}
