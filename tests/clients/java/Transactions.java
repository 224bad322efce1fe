package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import weir.Broker.Behaviour;

/** Transactions: commit, abort, offsets, fencing. */
final class Transactions {
    static void addTo(Map<String, Behaviour> all) {
        all.put("txn-commit-abort", Transactions::txnCommitAbort);
        all.put("txn-send-offsets", Transactions::txnSendOffsets);
        all.put("txn-fencing", Transactions::txnFencing);
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
}
