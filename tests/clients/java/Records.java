package weir;

import static weir.Broker.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import weir.Broker.Behaviour;

/** Producing: codecs, acknowledgements, sizes. */
final class Records {
    static void addTo(Map<String, Behaviour> all) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            all.put("compression-" + codec, () -> compression(codec));
        }
        all.put("idempotent-produce", Records::idempotentProduce);
        all.put("acks", Records::acks);
        all.put("headers-and-nulls", Records::headersAndNulls);
        all.put("record-1mb", Records::record1mb);
        all.put("record-too-large", Records::recordTooLarge);
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
        String topic = create("headers", 1, "retention.ms", "-1");
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
}
