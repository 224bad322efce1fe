package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.LogTruncationException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;
import org.apache.kafka.common.record.TimestampType;
import weir.Broker.Behaviour;

/** What happens to topics, members and consumers while they are used. */
final class Lifecycle {
    static void addTo(Map<String, Behaviour> all) {
        all.put("unknown-topic", Lifecycle::unknownTopic);
        all.put("topic-made-anew", Lifecycle::topicMadeAnew);
        all.put("many-partitions", Lifecycle::manyPartitions);
        all.put("log-append-time", Lifecycle::logAppendTime);
        all.put("recompression", Lifecycle::recompression);
        all.put("compaction", Lifecycle::compaction);
        all.put("offset-truncated", Lifecycle::offsetTruncated);
        all.put("group-static-fencing", Lifecycle::groupStaticFencing);
        all.put("group-slow-member", Lifecycle::groupSlowMember);
        all.put("consumer-protocol-assignors", Lifecycle::assignors);
        all.put("quota-throttling", Lifecycle::throttling);
    }

    private static void unknownTopic() throws Exception {
        String topic = name("unknown");
        try (var sender = producer("max.block.ms", 2_000); var reader = consumer(null, "allow.auto.create.topics", true)) {
            refused(org.apache.kafka.common.errors.TimeoutException.class, () -> sender.send(record(topic, 0, "x")).get());
            equal(reader.partitionsFor(topic), List.of(), "partitions of a topic that is not there");
        }
        need(!admin.listTopics().names().get().contains(topic), "the topic was made");
    }

    private static void topicMadeAnew() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String topic = create("anew", 1);
            Member member = new Member(name("group"), "group.protocol", protocol).on(topic);
            try (var sender = producer("metadata.max.age.ms", 1_000)) {
                send(sender, numbers(topic, 0, 10, 1));
                Member.allSeen(10, member);
                member.reader.commitSync();
                var before = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
                admin.deleteTopics(List.of(topic)).all().get();
                admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
                var after = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
                need(!before.equals(after), "the id of the topic is the same");
                // Where a member begins in the new topic is its own affair; it goes on.
                until(() -> {
                    sender.send(record(topic, 0, 10));
                    member.poll();
                    return member.seen.size() > 10;
                }, protocol + ": records of the new topic");
            }
            member.reader.close();
        }
    }

    private static void manyPartitions() throws Exception {
        int partitions = 1_000;
        String topic = create("wide", partitions);
        sendOnce(numbers(topic, 0, 2 * partitions, partitions));
        var found = ints(readAll(topic, 2 * partitions));
        equal(found.stream().sorted().toList(), range(0, 2 * partitions), "records");
    }

    private static void logAppendTime() throws Exception {
        String topic = create("appended", 1, "message.timestamp.type", "LogAppendTime");
        var old = new ProducerRecord<>(topic, 0, 1_000L, bytes("k"), bytes("v"));
        try (var sender = producer()) {
            var sent = sender.send(old).get();
            var read = readAll(topic, 1).get(0);
            equal(read.timestampType(), TimestampType.LOG_APPEND_TIME, "type");
            need(read.timestamp() > 1_600_000_000_000L, "timestamp " + read.timestamp());
            equal(sent.timestamp(), read.timestamp(), "timestamp of the answer");
            var found = admin.listOffsets(Map.of(new TopicPartition(topic, 0), OffsetSpec.maxTimestamp()));
            equal(found.partitionResult(new TopicPartition(topic, 0)).get().timestamp(), read.timestamp(), "listed");
        }
        String bounded = create("bounded", 1, "message.timestamp.before.max.ms", "1000");
        refused(InvalidTimestampException.class, () -> sendOnce(List.of(new ProducerRecord<>(bounded, 0, 1_000L, null, bytes("v")))));
    }

    private static long bytesOf(String topic) throws Exception {
        int node = admin.describeCluster().nodes().get().iterator().next().id();
        var described = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        return described.values().stream().flatMap(d -> d.replicaInfos().entrySet().stream())
            .filter(r -> r.getKey().topic().equals(topic)).mapToLong(r -> r.getValue().size()).sum();
    }

    private static void recompression() throws Exception {
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd", "uncompressed")) {
            String topic = create("recompressed", 1, "compression.type", codec);
            var records = IntStream.range(0, 300).mapToObj(i -> record(topic, 0, ("value " + i + " ").repeat(20))).toList();
            String sent = codec.equals("uncompressed") ? "zstd" : "none";
            sendOnce(records, "compression.type", sent, "linger.ms", 20);
            equal(values(readAll(topic, 300)), records.stream().map(r -> text(r.value())).toList(), codec + ": records");
            // 300 times some 200 bytes.
            boolean small = bytesOf(topic) < 30_000;
            equal(small, !codec.equals("uncompressed"), codec + ": the log of " + bytesOf(topic) + " bytes is small");
        }
    }

    private static void compaction() throws Exception {
        String topic = create("compacted", 1, "cleanup.policy", "compact", "segment.ms", "100", "min.cleanable.dirty.ratio",
            "0.01", "delete.retention.ms", "0");
        try (var sender = producer()) {
            for (int round = 0; round < 5; round++) {
                List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
                for (int key = 0; key < 20; key++) records.add(new ProducerRecord<>(topic, 0, bytes(key), bytes(round)));
                send(sender, records);
            }
            send(sender, List.of(new ProducerRecord<>(topic, 0, bytes(0), null)));
            Map<String, Integer> expected = IntStream.range(1, 20).boxed().collect(Collectors.toMap(k -> "" + k, k -> 1));
            Map<String, Integer> found = new HashMap<>();
            until(() -> {
                found.clear();
                // The segment that is written to is left alone, so something has to begin another one.
                sender.send(new ProducerRecord<>(topic, 0, bytes("last"), bytes("x")));
                sender.flush();
                try (var reader = consumer(null)) {
                    var at = new TopicPartition(topic, 0);
                    reader.assign(List.of(at));
                    reader.seekToBeginning(List.of(at));
                    long end = reader.endOffsets(List.of(at)).get(at);
                    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
                    until(() -> {
                        reader.poll(Duration.ofMillis(100)).forEach(records::add);
                        return reader.position(at) >= end;
                    }, "the end");
                    records.stream().map(r -> text(r.key())).filter(k -> !k.equals("last")).forEach(k -> found.merge(k, 1, Integer::sum));
                }
                return found.equals(expected);
            }, "one record of each key but the deleted one");
        }
    }

    /** A position whose epoch says that its records were lost: the broker is asked where they diverge. */
    private static void offsetTruncated() throws Exception {
        String topic = create("truncated", 1);
        var at = new TopicPartition(topic, 0);
        sendOnce(numbers(topic, 0, 10, 1));
        try (var reader = consumer(null, "auto.offset.reset", "none")) {
            reader.assign(List.of(at));
            reader.seek(at, 0);
            var epoch = take(reader, 10).get(9).leaderEpoch();
            need(epoch.isPresent(), "records have no leader epoch");
            reader.seek(at, new OffsetAndMetadata(5, epoch, ""));
            equal(ints(take(reader, 5)), range(5, 10), "records");
            reader.seek(at, new OffsetAndMetadata(20, epoch, ""));
            try {
                until(() -> !reader.poll(Duration.ofMillis(100)).isEmpty(), "records beyond the end");
            } catch (LogTruncationException error) {
                equal(error.divergentOffsets().get(at).offset(), 10L, "where the log diverges");
                return;
            }
            throw new AssertionError("the truncation was not noticed");
        }
    }

    private static void groupStaticFencing() throws Exception {
        String topic = create("fenced", 1);
        for (String protocol : List.of("classic", "consumer")) {
            String group = name("fenced");
            Member one = new Member(group, "group.protocol", protocol, "group.instance.id", "one").on(topic);
            until(() -> !one.poll().isEmpty(), protocol + ": assignment");
            Member two = new Member(group, "group.protocol", protocol, "group.instance.id", "one").on(topic);
            // The older protocol fences who was there before, the newer one refuses who comes.
            Class<? extends Throwable> expected = protocol.equals("classic") ? FencedInstanceIdException.class
                : UnreleasedInstanceIdException.class;
            try {
                until(() -> {
                    two.poll();
                    one.poll();
                    return false;
                }, protocol + ": two members of one name");
            } catch (KafkaException error) {
                need(expected.isInstance(error), protocol + ": " + error);
            }
            one.reader.close();
            two.reader.close();
        }
    }

    private static void groupSlowMember() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String topic = create("slow", 2);
            String group = name("slow");
            sendOnce(numbers(topic, 0, 10, 2));
            Member slow = new Member(group, "group.protocol", protocol, "max.poll.interval.ms", 1_500).on(topic);
            Member.allSeen(10, slow);
            Member other = new Member(group, "group.protocol", protocol).on(topic);
            until(() -> other.poll().size() == 2, protocol + ": the other member holds everything");
            slow.isGivenUp = true;
            var late = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(5));
            try {
                slow.reader.commitSync(late);
                throw new AssertionError(protocol + ": a member that is gone has committed");
            } catch (CommitFailedException expected) {
                until(() -> slow.poll().size() == 1 & other.poll().size() == 1, protocol + ": the slow member is back");
            }
            slow.reader.close();
            other.reader.close();
        }
    }

    private static void assignors() throws Exception {
        String one = create("assigned-one", 2);
        String two = create("assigned-two", 2);
        for (String assignor : List.of("range", "uniform")) {
            String group = name("assigned");
            Member first = new Member(group, "group.protocol", "consumer", "group.remote.assignor", assignor);
            Member second = new Member(group, "group.protocol", "consumer", "group.remote.assignor", assignor);
            for (Member member : List.of(first, second)) member.reader.subscribe(List.of(one, two), member);
            until(() -> first.poll().size() == 2 & second.poll().size() == 2, assignor + ": two partitions each");
            // Range gives a member the same partitions of all topics.
            var held = first.reader.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
            if (assignor.equals("range")) equal(held.size(), 1, "different partition numbers of a member");
            first.reader.close();
            second.reader.close();
        }
        Member wrong = new Member(name("assigned"), "group.protocol", "consumer", "group.remote.assignor", "none").on(one);
        try {
            until(() -> !wrong.poll().isEmpty(), "an assignment");
            throw new AssertionError("an unknown assignor was taken");
        } catch (UnsupportedAssignorException expected) {
            wrong.reader.close();
        }
    }

    /** User bob may send 20,000 bytes a second. */
    private static void throttling() throws Exception {
        String topic = create("open-throttled", 1);
        try (var sender = producer(Secured.pairs(Secured.sasl("PLAIN", "bob", "bob-secret")))) {
            for (int i = 0; i < 3; i++) send(sender, List.of(new ProducerRecord<>(topic, 0, null, noise(50_000))));
            double told = sender.metrics().entrySet().stream().filter(m -> m.getKey().name().equals("produce-throttle-time-max"))
                .mapToDouble(m -> (Double) m.getValue().metricValue()).max().orElse(0);
            need(told > 0, "the client was not told that it is throttled");
        }
    }
}
