package weir;

import static weir.Broker.*;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/** A group member, with the partitions it ever lost. */
final class Member implements ConsumerRebalanceListener {
    final KafkaConsumer<byte[], byte[]> reader;
    final List<TopicPartition> lost = new ArrayList<>();
    final List<Integer> seen = new ArrayList<>();
    /** Its commits may be refused: the group may have removed it for being slow, at any moment. */
    boolean isGivenUp;

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
        if (revoked.isEmpty()) return;
        try {
            reader.commitSync();
        } catch (CommitFailedException error) {
            if (!isGivenUp) throw error;
        }
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> gone) {
        lost.addAll(gone);
    }

    Set<TopicPartition> poll() {
        reader.poll(Duration.ofMillis(50)).forEach(r -> seen.add(Integer.parseInt(text(r.value()))));
        return reader.assignment();
    }

    static void allSeen(int count, Member... polled) {
        until(() -> Arrays.stream(polled).peek(Member::poll).mapToInt(m -> m.seen.size()).sum() >= count, count + " records");
    }
}
