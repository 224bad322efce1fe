package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
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
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import weir.Broker.Behaviour;

/** The admin client. */
final class Administration {
    static void addTo(Map<String, Behaviour> all) {
        all.put("admin-topics", Administration::adminTopics);
        all.put("admin-configs", Administration::adminConfigs);
        all.put("admin-partitions", Administration::adminPartitions);
        all.put("admin-delete-records", Administration::adminDeleteRecords);
        all.put("admin-groups", Administration::adminGroups);
        all.put("admin-group-offsets", Administration::adminGroupOffsets);
        all.put("admin-list-offsets", Administration::adminListOffsets);
        all.put("admin-cluster", Administration::adminCluster);
        all.put("admin-transactions", Administration::adminTransactions);
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
        groupLag();
    }

    /** As kafka-consumer-groups describes a group, and resets its offsets. */
    private static void groupLag() throws Exception {
        String topic = create("lagging", 2);
        String group = name("lagging");
        sendOnce(numbers(topic, 0, 20, 2));
        Member member = new Member(group, "max.poll.records", 3).on(topic);
        until(() -> !member.poll().isEmpty() && member.seen.size() >= 3, "some records");
        member.reader.commitSync();
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
        committed.keySet().forEach(at -> latest.put(at, OffsetSpec.latest()));
        var ends = admin.listOffsets(latest).all().get();
        long lag = committed.keySet().stream().mapToLong(at -> ends.get(at).offset() - committed.get(at).offset()).sum();
        equal(lag, 20L - member.seen.size(), "lag");
        var at = new TopicPartition(topic, 0);
        refused(UnknownMemberIdException.class,
            () -> admin.alterConsumerGroupOffsets(group, Map.of(at, new OffsetAndMetadata(1))).all().get());
        member.reader.close();
        admin.alterConsumerGroupOffsets(group, Map.of(at, new OffsetAndMetadata(1))).all().get();
        equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(at).offset(), 1L, "reset");
    }

    static void adminListOffsets() throws Exception {
        String topic = create("listed", 1, "retention.ms", "-1");
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
}
