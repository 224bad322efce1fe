//! Requests shared out among brokers, and their answers put together.
//!
//! Topics and groups of an answer are in the order of the brokers: callers find them by their names.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::ids::{LeaderEpoch, NO_LEADER_EPOCH};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use crate::protocol::messages::delete_groups::DeleteGroupsRequest;
use crate::protocol::messages::delete_records::DeleteRecordsRequest;
use crate::protocol::messages::describe_groups::DescribeGroupsRequest;
use crate::protocol::messages::describe_producers::DescribeProducersRequest;
use crate::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use crate::protocol::messages::fetch::FetchRequest;
use crate::protocol::messages::list_offsets::ListOffsetsRequest;
use crate::protocol::messages::offset_fetch::OffsetFetchRequest;
use crate::protocol::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use crate::protocol::messages::produce::ProduceRequest;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

const NO_SESSION_EPOCH: i32 = -1;

/// A part of a request and its broker.
pub(crate) type Shares = BTreeMap<i32, Request>;

/// Names and ids of the topics of a request whose partitions are led by brokers.
pub(crate) fn topics_of(request: &Request) -> Vec<(String, Uuid)> {
    let named = |name: &String| (name.clone(), Uuid::nil());
    match request {
        Request::Produce(request) => {
            request.topic_data.iter().map(|topic| (topic.name.clone(), topic.topic_id)).collect()
        }
        Request::Fetch(request) => {
            request.topics.iter().map(|topic| (topic.topic.clone(), topic.topic_id)).collect()
        }
        Request::ListOffsets(request) => request.topics.iter().map(|topic| named(&topic.name)).collect(),
        Request::DeleteRecords(request) => request.topics.iter().map(|topic| named(&topic.name)).collect(),
        Request::OffsetForLeaderEpoch(request) => {
            request.topics.iter().map(|topic| named(&topic.topic)).collect()
        }
        Request::DescribeProducers(request) => {
            request.topics.iter().map(|topic| named(&topic.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// Topics by broker: of each topic those partitions that go there.
fn by_broker<T: Clone, P>(
    topics: Vec<T>,
    partitions_of: impl Fn(&mut T) -> &mut Vec<P>,
    broker_of: impl Fn(&T, &mut P) -> i32,
) -> BTreeMap<i32, Vec<T>> {
    let mut shares: BTreeMap<i32, Vec<T>> = BTreeMap::new();
    for mut topic in topics {
        let partitions = std::mem::take(partitions_of(&mut topic));
        let mut own: BTreeMap<i32, Vec<P>> = BTreeMap::new();
        for mut partition in partitions {
            own.entry(broker_of(&topic, &mut partition)).or_default().push(partition);
        }
        for (broker, partitions) in own {
            let mut share = topic.clone();
            *partitions_of(&mut share) = partitions;
            shares.entry(broker).or_default().push(share);
        }
    }
    shares
}

/// Shares a request out by the leaders of its partitions, whose epochs it gets unless it has some.
///
/// `leader_of` gives broker and epoch of a partition of a topic with this name and id.
pub(crate) fn by_leader(
    request: Request,
    leader_of: &dyn Fn(&str, Uuid, i32) -> (i32, LeaderEpoch),
) -> Shares {
    let fenced = |name: &str, id: Uuid, partition: i32, epoch: &mut LeaderEpoch| {
        let (broker, known) = leader_of(name, id, partition);
        if *epoch == NO_LEADER_EPOCH {
            *epoch = known;
        }
        broker
    };
    match request {
        Request::Produce(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topic_data),
                |topic| &mut topic.partition_data,
                |topic, p| leader_of(&topic.name, topic.topic_id, p.index).0,
            );
            collect(shares, |topic_data| ProduceRequest { topic_data, ..request.clone() })
        }
        Request::Fetch(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topics),
                |topic| &mut topic.partitions,
                |topic, p| fenced(&topic.topic, topic.topic_id, p.partition, &mut p.current_leader_epoch),
            );
            // A session belongs to one broker.
            let request = FetchRequest { session_id: 0, session_epoch: NO_SESSION_EPOCH, ..request };
            collect(shares, |topics| FetchRequest { topics, ..request.clone() })
        }
        Request::ListOffsets(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topics),
                |topic| &mut topic.partitions,
                |topic, p| fenced(&topic.name, Uuid::nil(), p.partition_index, &mut p.current_leader_epoch),
            );
            collect(shares, |topics| ListOffsetsRequest { topics, ..request.clone() })
        }
        Request::OffsetForLeaderEpoch(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topics),
                |topic| &mut topic.partitions,
                |topic, p| fenced(&topic.topic, Uuid::nil(), p.partition, &mut p.current_leader_epoch),
            );
            collect(shares, |topics| OffsetForLeaderEpochRequest { topics, ..request.clone() })
        }
        Request::DeleteRecords(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topics),
                |topic| &mut topic.partitions,
                |topic, p| leader_of(&topic.name, Uuid::nil(), p.partition_index).0,
            );
            collect(shares, |topics| DeleteRecordsRequest { topics, ..request.clone() })
        }
        Request::DescribeProducers(mut request) => {
            let shares = by_broker(
                std::mem::take(&mut request.topics),
                |topic| &mut topic.partition_indexes,
                |topic, partition| leader_of(&topic.name, Uuid::nil(), *partition).0,
            );
            collect(shares, |topics| DescribeProducersRequest { topics })
        }
        _ => Shares::new(),
    }
}

fn collect<T, R: Into<Request>>(shares: BTreeMap<i32, Vec<T>>, request: impl Fn(Vec<T>) -> R) -> Shares {
    shares.into_iter().map(|(broker, topics)| (broker, request(topics).into())).collect()
}

/// The same request for some of its groups or transactional ids only.
pub(crate) fn with_keys(request: &Request, keys: &[String]) -> Request {
    match request {
        Request::DescribeGroups(request) => {
            DescribeGroupsRequest { groups: keys.to_vec(), ..request.clone() }.into()
        }
        Request::DeleteGroups(_) => DeleteGroupsRequest { groups_names: keys.to_vec() }.into(),
        Request::ConsumerGroupDescribe(request) => {
            ConsumerGroupDescribeRequest { group_ids: keys.to_vec(), ..request.clone() }.into()
        }
        Request::DescribeTransactions(_) => {
            DescribeTransactionsRequest { transactional_ids: keys.to_vec() }.into()
        }
        Request::OffsetFetch(request) => {
            let groups = request.groups.iter().filter(|group| keys.contains(&group.group_id));
            OffsetFetchRequest { groups: groups.cloned().collect(), ..request.clone() }.into()
        }
        other => other.clone(),
    }
}

/// One answer out of those to the parts of a request, all of the same API.
pub(crate) fn merge(answers: Vec<Response>) -> Option<Response> {
    answers.into_iter().reduce(|first, second| match (first, second) {
        (Response::Produce(mut all), Response::Produce(more)) => {
            all.responses.extend(more.responses);
            all.into()
        }
        (Response::Fetch(mut all), Response::Fetch(more)) => {
            all.responses.extend(more.responses);
            all.error_code = failure(all.error_code, more.error_code);
            all.into()
        }
        (Response::ListOffsets(mut all), Response::ListOffsets(more)) => {
            all.topics.extend(more.topics);
            all.into()
        }
        (Response::DeleteRecords(mut all), Response::DeleteRecords(more)) => {
            all.topics.extend(more.topics);
            all.into()
        }
        (Response::OffsetForLeaderEpoch(mut all), Response::OffsetForLeaderEpoch(more)) => {
            all.topics.extend(more.topics);
            all.into()
        }
        (Response::DescribeProducers(mut all), Response::DescribeProducers(more)) => {
            all.topics.extend(more.topics);
            all.into()
        }
        (first, second) => merge_listings(first, second),
    })
}

fn failure(first: ErrorCode, second: ErrorCode) -> ErrorCode {
    if first == ErrorCode::None { second } else { first }
}

/// As [`merge`], for answers about groups, transactions and disks.
fn merge_listings(first: Response, second: Response) -> Response {
    match (first, second) {
        (Response::DescribeGroups(mut all), Response::DescribeGroups(more)) => {
            all.groups.extend(more.groups);
            all.into()
        }
        (Response::DeleteGroups(mut all), Response::DeleteGroups(more)) => {
            all.results.extend(more.results);
            all.into()
        }
        (Response::ConsumerGroupDescribe(mut all), Response::ConsumerGroupDescribe(more)) => {
            all.groups.extend(more.groups);
            all.into()
        }
        (Response::DescribeTransactions(mut all), Response::DescribeTransactions(more)) => {
            all.transaction_states.extend(more.transaction_states);
            all.into()
        }
        (Response::OffsetFetch(mut all), Response::OffsetFetch(more)) => {
            all.groups.extend(more.groups);
            all.into()
        }
        (Response::ListGroups(mut all), Response::ListGroups(more)) => {
            all.groups.extend(more.groups);
            all.error_code = failure(all.error_code, more.error_code);
            all.into()
        }
        (Response::ListTransactions(mut all), Response::ListTransactions(more)) => {
            all.transaction_states.extend(more.transaction_states);
            all.error_code = failure(all.error_code, more.error_code);
            all.into()
        }
        (Response::DescribeLogDirs(mut all), Response::DescribeLogDirs(more)) => {
            all.results.extend(more.results);
            all.error_code = failure(all.error_code, more.error_code);
            all.into()
        }
        (first, _) => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::fetch::{
        FetchPartition, FetchResponse, FetchTopic, FetchableTopicResponse,
    };
    use crate::protocol::messages::list_groups::{ListGroupsResponse, ListedGroup};

    fn fetch(topics: &[(&str, &[i32])]) -> FetchRequest {
        let partition = |partition: &i32| FetchPartition { partition: *partition, ..Default::default() };
        let topic = |(name, partitions): &(&str, &[i32])| FetchTopic {
            topic: (*name).to_owned(),
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        };
        FetchRequest { topics: topics.iter().map(topic).collect(), max_wait_ms: 9, ..Default::default() }
    }

    #[test]
    fn each_leader_gets_its_partitions_with_their_epoch() {
        let request = fetch(&[("a", &[0, 1, 2]), ("b", &[1])]);
        assert_eq!(topics_of(&request.clone().into()).len(), 2);
        let shares = by_leader(request.into(), &|_, _, partition| (partition % 2, 40 + partition));
        let mut shown = Vec::new();
        for (broker, request) in shares {
            let Request::Fetch(request) = request else { panic!("{request:?}") };
            assert_eq!(request.max_wait_ms, 9);
            for topic in &request.topics {
                let partitions = topic.partitions.iter().map(|p| (p.partition, p.current_leader_epoch));
                shown.push((broker, topic.topic.clone(), partitions.collect::<Vec<_>>()));
            }
        }
        let expected = [(0, "a", vec![(0, 40), (2, 42)]), (1, "a", vec![(1, 41)]), (1, "b", vec![(1, 41)])];
        assert_eq!(shown, expected.map(|(broker, topic, partitions)| (broker, topic.to_owned(), partitions)));
    }

    #[test]
    fn answers_are_put_together_and_the_first_failure_is_kept() {
        let fetched = |topic: &str| FetchResponse {
            responses: vec![FetchableTopicResponse { topic: topic.to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let Some(Response::Fetch(all)) = merge(vec![fetched("a").into(), fetched("b").into()]) else {
            panic!("no answer")
        };
        assert_eq!(all.responses.iter().map(|t| t.topic.as_str()).collect::<Vec<_>>(), ["a", "b"]);

        let group = ListedGroup { group_id: "g".to_owned(), ..Default::default() };
        let listed = ListGroupsResponse { groups: vec![group], ..Default::default() };
        let error_code = ErrorCode::CoordinatorLoadInProgress;
        let loading = ListGroupsResponse { error_code, ..Default::default() };
        let Some(Response::ListGroups(all)) = merge(vec![listed.into(), loading.into()]) else {
            panic!("no answer")
        };
        assert_eq!((all.groups.len(), all.error_code), (1, error_code));
        assert_eq!(merge(Vec::new()), None);
    }

    #[test]
    fn groups_are_shared_out_by_their_ids() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let request: Request = DescribeGroupsRequest { groups: ids.to_vec(), ..Default::default() }.into();
        let Request::DescribeGroups(part) = with_keys(&request, &ids[1..2]) else { panic!("another API") };
        assert_eq!(part.groups, ["b"]);
    }
}
