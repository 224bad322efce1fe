//! Answers that show that a request went to a broker that does not lead, or coordinate, any more.

use uuid::Uuid;

use crate::client::metadata_cache::TopicKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::response::Response;

/// Whether the leader of a partition, or its topic, is another than was thought.
fn is_leader_stale(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::KafkaStorageError
    )
}

fn is_coordinator_stale(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable)
}

fn key(name: &str, id: Uuid) -> TopicKey {
    TopicKey { name: name.to_owned(), id }
}

fn is_any_stale(mut codes: impl Iterator<Item = ErrorCode>) -> bool {
    codes.any(is_leader_stale)
}

/// Topics of an answer whose leaders have to be asked for.
pub(crate) fn stale_topics(answer: &Response) -> Vec<TopicKey> {
    match answer {
        Response::Produce(answer) => {
            let topics = answer.responses.iter();
            let stale = topics.filter(|t| is_any_stale(t.partition_responses.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.name, t.topic_id)).collect()
        }
        Response::Fetch(answer) => {
            let topics = answer.responses.iter();
            let stale = topics.filter(|t| is_any_stale(t.partitions.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.topic, t.topic_id)).collect()
        }
        Response::ListOffsets(answer) => {
            let topics = answer.topics.iter();
            let stale = topics.filter(|t| is_any_stale(t.partitions.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.name, Uuid::nil())).collect()
        }
        Response::DeleteRecords(answer) => {
            let topics = answer.topics.iter();
            let stale = topics.filter(|t| is_any_stale(t.partitions.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.name, Uuid::nil())).collect()
        }
        Response::OffsetForLeaderEpoch(answer) => {
            let topics = answer.topics.iter();
            let stale = topics.filter(|t| is_any_stale(t.partitions.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.topic, Uuid::nil())).collect()
        }
        Response::DescribeProducers(answer) => {
            let topics = answer.topics.iter();
            let stale = topics.filter(|t| is_any_stale(t.partitions.iter().map(|p| p.error_code)));
            stale.map(|t| key(&t.name, Uuid::nil())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the answering broker does not coordinate what it was asked about.
pub(crate) fn is_coordinator_moved(answer: &Response) -> bool {
    let moved = is_coordinator_stale;
    match answer {
        Response::OffsetCommit(a) => {
            a.topics.iter().flat_map(|topic| &topic.partitions).any(|p| moved(p.error_code))
        }
        Response::TxnOffsetCommit(a) => {
            a.topics.iter().flat_map(|topic| &topic.partitions).any(|p| moved(p.error_code))
        }
        Response::OffsetFetch(a) => moved(a.error_code) || a.groups.iter().any(|g| moved(g.error_code)),
        Response::JoinGroup(a) => moved(a.error_code),
        Response::Heartbeat(a) => moved(a.error_code),
        Response::LeaveGroup(a) => moved(a.error_code),
        Response::SyncGroup(a) => moved(a.error_code),
        Response::OffsetDelete(a) => moved(a.error_code),
        Response::ConsumerGroupHeartbeat(a) => moved(a.error_code),
        Response::DescribeGroups(a) => a.groups.iter().any(|g| moved(g.error_code)),
        Response::ConsumerGroupDescribe(a) => a.groups.iter().any(|g| moved(g.error_code)),
        Response::DeleteGroups(a) => a.results.iter().any(|g| moved(g.error_code)),
        Response::InitProducerId(a) => moved(a.error_code),
        Response::AddPartitionsToTxn(a) => {
            let topics = a.results_by_topic_v3_and_below.iter();
            let mut codes = topics.flat_map(|topic| &topic.results_by_partition);
            moved(a.error_code) || codes.any(|p| moved(p.partition_error_code))
        }
        Response::AddOffsetsToTxn(a) => moved(a.error_code),
        Response::EndTxn(a) => moved(a.error_code),
        Response::DescribeTransactions(a) => a.transaction_states.iter().any(|t| moved(t.error_code)),
        _ => false,
    }
}

/// Whether the answering broker is not the controller.
pub(crate) fn is_controller_moved(answer: &Response) -> bool {
    let moved = |code: ErrorCode| code == ErrorCode::NotController;
    match answer {
        Response::CreateTopics(a) => a.topics.iter().any(|topic| moved(topic.error_code)),
        Response::DeleteTopics(a) => a.responses.iter().any(|topic| moved(topic.error_code)),
        Response::CreatePartitions(a) => a.results.iter().any(|topic| moved(topic.error_code)),
        Response::IncrementalAlterConfigs(a) => a.responses.iter().any(|r| moved(r.error_code)),
        _ => false,
    }
}
