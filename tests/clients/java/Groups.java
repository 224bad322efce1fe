package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import weir.Broker.Behaviour;

/** Consumer groups of both protocols, positions and commits. */
final class Groups {
    static void addTo(Map<String, Behaviour> all) {
        String assignor = "partition.assignment.strategy";
        all.put("group-rebalance", () -> rebalance(false, assignor, RangeAssignor.class.getName()));
        all.put("group-cooperative", () -> rebalance(true, assignor, CooperativeStickyAssignor.class.getName()));
        all.put("group-static", Groups::groupStatic);
        all.put("group-pattern", Groups::groupPattern);
        all.put("consumer-protocol", () -> rebalance(true, "group.protocol", "consumer"));
        all.put("commit-and-resume", Groups::commitAndResume);
        all.put("offset-reset", Groups::offsetReset);
        all.put("offset-by-timestamp", Groups::offsetByTimestamp);
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
            Member.allSeen(40, first);
            second.on(topic);
            BooleanSupplier shared = () -> {
                var one = new HashSet<>(first.poll());
                var two = second.poll();
                return one.size() == 2 && two.size() == 2 && !one.removeAll(two);
            };
            until(shared, "both hold two partitions");
            if (incremental) equal(first.lost.size(), 2, "partitions the first member ever lost");
            send(sender, numbers(topic, 40, 80, 4));
            Member.allSeen(80, first, second);
            second.reader.commitSync();
            second.reader.close();
            until(() -> first.poll().equals(all), "the first member holds everything again");
            send(sender, numbers(topic, 80, 120, 4));
            Member.allSeen(120 - second.seen.size(), first);
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
        String topic = create("timestamps", 1, "retention.ms", "-1");
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
}
