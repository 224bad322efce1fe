package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import weir.Broker.Behaviour;

/** Clients through kills of the broker. */
final class Restarts {
    static void addTo(Map<String, Behaviour> all) {
        all.put("restart-produce", Restarts::restartProduce);
        all.put("restart-consume", Restarts::restartConsume);
        all.put("restart-transaction", Restarts::restartTransaction);
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
                Member.allSeen(100, member);
                member.reader.commitSync();
                restartBroker();
                send(sender, numbers(topic, 100, 200, 2));
                Member.allSeen(200, member);
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
}
