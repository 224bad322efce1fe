package weir;

import static weir.Broker.*;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.LogDirNotFoundException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import weir.Broker.Behaviour;

/** Elections, reassignments, log directories and listed resources, as one broker can answer. */
final class Replicas {
    static void addTo(Map<String, Behaviour> all) {
        all.put("admin-elections", Replicas::elections);
        all.put("admin-reassignments", Replicas::reassignments);
        all.put("admin-log-dirs", Replicas::logDirs);
        all.put("admin-config-resources", Replicas::configResources);
    }

    private static int node() throws Exception {
        return admin.describeCluster().nodes().get().iterator().next().id();
    }

    private static void elections() throws Exception {
        var at = new TopicPartition(create("elected", 2), 1);
        var missing = new TopicPartition(name("missing"), 0);
        for (ElectionType type : ElectionType.values()) {
            var outcomes = admin.electLeaders(type, Set.of(at, missing)).partitions().get();
            need(outcomes.get(at).get() instanceof ElectionNotNeededException, type + ": " + outcomes);
            need(outcomes.get(missing).get() instanceof UnknownTopicOrPartitionException, type + ": " + outcomes);
        }
    }

    private static void reassignments() throws Exception {
        var at = new TopicPartition(create("reassigned", 1), 0);
        var here = Optional.of(new NewPartitionReassignment(List.of(node())));
        admin.alterPartitionReassignments(Map.of(at, here)).all().get();
        equal(admin.listPartitionReassignments().reassignments().get(), Map.of(), "reassignments under way");
        equal(admin.listPartitionReassignments(Set.of(at)).reassignments().get(), Map.of(), "reassignments of a partition");
        var elsewhere = Optional.of(new NewPartitionReassignment(List.of(node() + 1)));
        refused(InvalidReplicaAssignmentException.class,
            () -> admin.alterPartitionReassignments(Map.of(at, elsewhere)).all().get());
        refused(NoReassignmentInProgressException.class,
            () -> admin.alterPartitionReassignments(Map.of(at, Optional.empty())).all().get());
    }

    private static void logDirs() throws Exception {
        String topic = create("stored", 1);
        var at = new TopicPartition(topic, 0);
        sendOnce(List.of(new ProducerRecord<>(topic, 0, null, noise(10_000))));
        var described = admin.describeLogDirs(List.of(node())).allDescriptions().get().get(node());
        var folders = described.entrySet().stream().filter(d -> d.getValue().replicaInfos().containsKey(at)).toList();
        equal(folders.size(), 1, "folders with the partition");
        need(folders.get(0).getValue().replicaInfos().get(at).size() > 10_000, "size");
        var replica = new TopicPartitionReplica(topic, 0, node());
        String folder = folders.get(0).getKey();
        admin.alterReplicaLogDirs(Map.of(replica, folder)).all().get();
        var info = admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica);
        equal(info.getCurrentReplicaLogDir(), folder, "folder of the replica");
        equal(info.getFutureReplicaLogDir(), null, "folder it is moved to");
        refused(LogDirNotFoundException.class, () -> admin.alterReplicaLogDirs(Map.of(replica, "/no/such/folder")).all().get());
    }

    private static void configResources() throws Exception {
        var topic = new ConfigResource(ConfigResource.Type.TOPIC, create("listed", 1));
        var group = new ConfigResource(ConfigResource.Type.GROUP, name("configured"));
        admin.incrementalAlterConfigs(Map.of(group, List.of(new AlterConfigOp(
            new ConfigEntry("consumer.session.timeout.ms", "50000"), AlterConfigOp.OpType.SET)))).all().get();
        var all = admin.listConfigResources().all().get();
        need(all.contains(topic) && all.contains(group), "listed " + all);
        var groups = admin.listConfigResources(Set.of(ConfigResource.Type.GROUP), new ListConfigResourcesOptions()).all().get();
        equal(List.copyOf(groups), List.of(group), "groups");
        var broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(node()));
        need(all.contains(broker), "the broker in " + all);
    }
}
