//! Which broker a request is for.

use crate::protocol::request::Request;

/// Kinds of coordinators, as FindCoordinator numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorKind {
    Group,
    Transaction,
}

impl CoordinatorKind {
    /// The number on the wire.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }
}

/// A group or transactional id, and the kind of its coordinator.
pub(crate) type CoordinatorKey = (CoordinatorKind, String);

/// The brokers that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Any,
    /// Brokers forward what only the controller may do, but it is the controller that knows first.
    Controller,
    Broker(i32),
    /// The leaders of the request's partitions.
    Leaders,
    /// The coordinators of these keys. Several: the request is shared out.
    Coordinators(Vec<CoordinatorKey>),
    /// All brokers: each knows a part of the answer.
    All,
}

/// Resource types of configurations that belong to one broker (`BROKER`, `BROKER_LOGGER`).
const BROKER_RESOURCES: [i8; 2] = [4, 8];

fn group(id: &str) -> Route {
    Route::Coordinators(vec![(CoordinatorKind::Group, id.to_owned())])
}

fn groups<'i>(ids: impl IntoIterator<Item = &'i String>) -> Route {
    Route::Coordinators(ids.into_iter().map(|id| (CoordinatorKind::Group, id.clone())).collect())
}

fn transaction(id: &str) -> Route {
    Route::Coordinators(vec![(CoordinatorKind::Transaction, id.to_owned())])
}

/// The broker of configurations; `otherwise` for those of topics and of all brokers.
fn configured<'r>(resources: impl Iterator<Item = (i8, &'r String)>, otherwise: Route) -> Route {
    let mut brokers = resources.filter(|(kind, _)| BROKER_RESOURCES.contains(kind));
    let broker = brokers.find_map(|(_, name)| name.parse().ok());
    broker.map_or(otherwise, Route::Broker)
}

/// The brokers that a request is for.
pub(crate) fn route(request: &Request) -> Route {
    match request {
        Request::Produce(_)
        | Request::Fetch(_)
        | Request::ListOffsets(_)
        | Request::DeleteRecords(_)
        | Request::OffsetForLeaderEpoch(_)
        | Request::DescribeProducers(_) => Route::Leaders,
        Request::OffsetCommit(request) => group(&request.group_id),
        Request::OffsetFetch(request) if request.groups.is_empty() => group(&request.group_id),
        Request::OffsetFetch(request) => groups(request.groups.iter().map(|group| &group.group_id)),
        Request::JoinGroup(request) => group(&request.group_id),
        Request::Heartbeat(request) => group(&request.group_id),
        Request::LeaveGroup(request) => group(&request.group_id),
        Request::SyncGroup(request) => group(&request.group_id),
        Request::OffsetDelete(request) => group(&request.group_id),
        Request::ConsumerGroupHeartbeat(request) => group(&request.group_id),
        Request::TxnOffsetCommit(request) => group(&request.group_id),
        Request::DescribeGroups(request) => groups(&request.groups),
        Request::DeleteGroups(request) => groups(&request.groups_names),
        Request::ConsumerGroupDescribe(request) => groups(&request.group_ids),
        Request::InitProducerId(request) => {
            request.transactional_id.as_deref().map_or(Route::Any, transaction)
        }
        Request::AddPartitionsToTxn(request) => match request.transactions.first() {
            Some(one) => transaction(&one.transactional_id),
            None => transaction(&request.v3_and_below_transactional_id),
        },
        Request::AddOffsetsToTxn(request) => transaction(&request.transactional_id),
        Request::EndTxn(request) => transaction(&request.transactional_id),
        Request::DescribeTransactions(request) => {
            let key = |id: &String| (CoordinatorKind::Transaction, id.clone());
            Route::Coordinators(request.transactional_ids.iter().map(key).collect())
        }
        Request::ListGroups(_) | Request::ListTransactions(_) | Request::DescribeLogDirs(_) => Route::All,
        _ => administration(request),
    }
}

/// As [`route`], for what is neither about records nor about groups.
fn administration(request: &Request) -> Route {
    match request {
        Request::DescribeConfigs(request) => {
            configured(request.resources.iter().map(|r| (r.resource_type, &r.resource_name)), Route::Any)
        }
        Request::AlterConfigs(request) => configured(
            request.resources.iter().map(|r| (r.resource_type, &r.resource_name)),
            Route::Controller,
        ),
        Request::IncrementalAlterConfigs(request) => configured(
            request.resources.iter().map(|r| (r.resource_type, &r.resource_name)),
            Route::Controller,
        ),
        Request::CreateTopics(_)
        | Request::DeleteTopics(_)
        | Request::CreatePartitions(_)
        | Request::CreateAcls(_)
        | Request::DeleteAcls(_)
        | Request::ElectLeaders(_)
        | Request::AlterPartitionReassignments(_)
        | Request::ListPartitionReassignments(_)
        | Request::AlterClientQuotas(_)
        | Request::AlterUserScramCredentials(_) => Route::Controller,
        // Every broker answers these from the cluster's metadata.
        _ => Route::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnRequest;
    use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
    use crate::protocol::messages::describe_groups::DescribeGroupsRequest;
    use crate::protocol::messages::fetch::FetchRequest;
    use crate::protocol::messages::init_producer_id::InitProducerIdRequest;
    use crate::protocol::messages::txn_offset_commit::TxnOffsetCommitRequest;

    fn check(request: impl Into<Request>, expected: &Route) {
        assert_eq!(route(&request.into()), *expected);
    }

    #[test]
    fn requests_go_to_leaders_coordinators_and_named_brokers() {
        check(FetchRequest::default(), &Route::Leaders);
        let ids = vec!["a".to_owned(), "b".to_owned()];
        let keys = ids.iter().map(|id| (CoordinatorKind::Group, id.clone())).collect();
        check(DescribeGroupsRequest { groups: ids, ..Default::default() }, &Route::Coordinators(keys));
        check(InitProducerIdRequest::default(), &Route::Any);
        let id = || "x".to_owned();
        check(
            InitProducerIdRequest { transactional_id: Some(id()), ..Default::default() },
            &transaction("x"),
        );
        check(
            AddPartitionsToTxnRequest { v3_and_below_transactional_id: id(), ..Default::default() },
            &transaction("x"),
        );
        // The offsets of a transaction are the group's.
        let offsets =
            TxnOffsetCommitRequest { transactional_id: id(), group_id: "g".to_owned(), ..Default::default() };
        check(offsets, &group("g"));
        for (resource_type, name, expected) in
            [(2, "7", Route::Any), (4, "7", Route::Broker(7)), (4, "", Route::Any)]
        {
            let resource = DescribeConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configuration_keys: None,
            };
            check(DescribeConfigsRequest { resources: vec![resource], ..Default::default() }, &expected);
        }
    }
}
