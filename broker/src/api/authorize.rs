//! The one place where every request is authorised, before its handler sees it.
//!
//! Resources that a client may not use are taken out of the request, and the handler answers the rest; then refusals are
//! added to the answer, or resources that the client may not see are taken out of it. Operations and codes are Kafka's.
//! The table of what each API needs is the `match` in [`authorize`]: an API without a line does not compile.

mod administration;
mod groups;
mod records;
mod replicas;
mod transactions;

use crate::api::access::Access;
use crate::auth::acl::Operation;
use crate::ids::TopicId;
use crate::metadata::image::MetadataImage;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Completes an answer.
pub(crate) type Completion = Box<dyn FnOnce(&mut Response) + Send>;

/// Outcome of the checks of a request.
pub(crate) enum Verdict {
    /// It is handled as it is.
    Allowed,
    /// It is not handled; this is the answer.
    Refused(Response),
    /// The rest of it is handled, then the answer is completed.
    Partly(Completion),
}

/// A verdict that completes the answer of one API.
macro_rules! completed {
    ($api:ident, |$answer:ident| $body:block) => {
        $crate::api::authorize::Verdict::Partly(Box::new(
            move |response: &mut $crate::protocol::response::Response| {
                if let $crate::protocol::response::Response::$api($answer) = response $body
            },
        ))
    };
}

use completed;

impl Verdict {
    /// Allowed if `allowed`, otherwise this answer.
    fn unless<R: Into<Response>>(allowed: bool, refusal: impl FnOnce() -> R) -> Self {
        if allowed { Self::Allowed } else { Self::Refused(refusal().into()) }
    }
}

/// Inputs of the checks of one request.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) access: &'a Access,
    pub(crate) image: &'a MetadataImage,
    pub(crate) version: i16,
    /// Asking for a topic that does not exist may make it.
    pub(crate) auto_create: bool,
}

impl Check<'_> {
    /// May the client do this to a topic given by name or, when `by_id`, by its id? Topics whose id is not known are
    /// left to the handler.
    fn topic(self, operation: Operation, by_id: bool, name: &str, id: uuid::Uuid) -> bool {
        if !by_id {
            return self.access.topic(operation, name);
        }
        let topic = self.image.topic_by_id(TopicId(id));
        topic.is_none_or(|topic| self.access.topic(operation, &topic.name))
    }

    fn cluster(self, operation: Operation) -> bool {
        self.access.cluster(operation)
    }
}

/// Takes the elements out for which `refused` holds.
fn take_out<T>(elements: &mut Vec<T>, refused: impl Fn(&T) -> bool) -> Vec<T> {
    elements.extract_if(.., |element| refused(element)).collect()
}

/// Message of a refusal. Clients that show it show nothing else, so it names the kind of the resource.
fn message(error_code: ErrorCode) -> Option<String> {
    let what = match error_code {
        ErrorCode::TopicAuthorizationFailed => "topic authorization failed",
        ErrorCode::GroupAuthorizationFailed => "group authorization failed",
        ErrorCode::TransactionalIdAuthorizationFailed => "transactional id authorization failed",
        ErrorCode::ClusterAuthorizationFailed => "cluster authorization failed",
        _ => "authorization failed",
    };
    Some(what.to_owned())
}

/// Decides about a request, and leaves of it what may be handled.
pub(crate) fn authorize(check: Check<'_>, request: &mut Request) -> Verdict {
    use Operation::{Alter, AlterConfigs, ClusterAction, Describe, DescribeConfigs, Read};
    let denied = ErrorCode::ClusterAuthorizationFailed;
    match request {
        // These need no authentication or ACL.
        Request::ApiVersions(_) | Request::SaslHandshake(_) | Request::SaslAuthenticate(_) => {
            Verdict::Allowed
        }
        // Clients push only their own metrics, and only those that they are asked for.
        Request::GetTelemetrySubscriptions(_) | Request::PushTelemetry(_) => Verdict::Allowed,

        Request::Produce(request) => records::produce(check, request),
        // Decided about where the partitions of its session are known as well: `api::fetch`.
        Request::Fetch(_) => Verdict::Allowed,
        Request::ListOffsets(request) => records::list_offsets(check, request),
        Request::OffsetForLeaderEpoch(request) => records::offset_for_leader_epoch(check, request),
        Request::DeleteRecords(request) => records::delete_records(check, request),
        Request::DescribeProducers(request) => records::describe_producers(check, request),

        Request::Metadata(request) => administration::metadata(check, request),
        Request::DescribeTopicPartitions(request) => {
            administration::describe_topic_partitions(check, request)
        }
        Request::DescribeCluster(request) => administration::describe_cluster(check, request),
        Request::CreateTopics(request) => administration::create_topics(check, request),
        Request::DeleteTopics(request) => administration::delete_topics(check, request),
        Request::CreatePartitions(request) => administration::create_partitions(check, request),
        Request::DescribeConfigs(request) => administration::describe_configs(check, request),
        Request::AlterConfigs(request) => administration::alter_configs(check, request),
        Request::IncrementalAlterConfigs(request) => {
            administration::incremental_alter_configs(check, request)
        }
        Request::DescribeLogDirs(_) => {
            Verdict::unless(check.cluster(Describe), || administration::no_log_dirs(denied))
        }

        Request::AlterReplicaLogDirs(request) => {
            Verdict::unless(check.cluster(Alter), || replicas::no_moves(request, denied))
        }
        Request::ElectLeaders(request) => {
            Verdict::unless(check.cluster(Alter), || replicas::no_elections(request, denied))
        }
        Request::AlterPartitionReassignments(_) => {
            Verdict::unless(check.cluster(Alter), || replicas::no_reassignments(denied))
        }
        Request::ListPartitionReassignments(_) => {
            Verdict::unless(check.cluster(Describe), || replicas::no_list(denied))
        }
        Request::ListConfigResources(_) => {
            Verdict::unless(check.cluster(DescribeConfigs), || replicas::no_resources(denied))
        }

        Request::FindCoordinator(request) => groups::find_coordinator(check, request),
        Request::JoinGroup(request) => groups::join(check, request),
        Request::SyncGroup(request) => {
            Verdict::unless(check.access.group(Read, &request.group_id), groups::no_sync)
        }
        Request::Heartbeat(request) => {
            Verdict::unless(check.access.group(Read, &request.group_id), groups::no_heartbeat)
        }
        Request::LeaveGroup(request) => {
            Verdict::unless(check.access.group(Read, &request.group_id), groups::no_leave)
        }
        Request::OffsetCommit(request) => groups::offset_commit(check, request),
        Request::OffsetFetch(request) => groups::offset_fetch(check, request),
        Request::OffsetDelete(request) => groups::offset_delete(check, request),
        Request::ListGroups(_) => groups::list(check),
        Request::DescribeGroups(request) => groups::describe(check, request),
        Request::DeleteGroups(request) => groups::delete(check, request),
        Request::ConsumerGroupHeartbeat(request) => groups::consumer_heartbeat(check, request),
        Request::ConsumerGroupDescribe(request) => groups::consumer_describe(check, request),

        Request::InitProducerId(request) => transactions::init_producer_id(check, request),
        Request::AddPartitionsToTxn(request) => transactions::add_partitions(check, request),
        Request::AddOffsetsToTxn(request) => transactions::add_offsets(check, request),
        Request::TxnOffsetCommit(request) => transactions::offset_commit(check, request),
        Request::EndTxn(request) => transactions::end(check, request),
        Request::WriteTxnMarkers(_) => {
            Verdict::unless(check.cluster(ClusterAction), transactions::no_markers)
        }
        Request::DescribeTransactions(request) => transactions::describe(check, request),
        Request::ListTransactions(_) => transactions::list(check),

        Request::DescribeQuorum(_) => {
            Verdict::unless(check.cluster(Describe), || replicas::no_quorum(denied))
        }
        Request::DescribeAcls(_) => {
            Verdict::unless(check.cluster(Describe), || administration::no_acls(denied))
        }
        Request::CreateAcls(request) => {
            Verdict::unless(check.cluster(Alter), || administration::no_creations(request, denied))
        }
        Request::DeleteAcls(request) => {
            Verdict::unless(check.cluster(Alter), || administration::no_deletions(request, denied))
        }
        Request::DescribeClientQuotas(_) => {
            Verdict::unless(check.cluster(DescribeConfigs), || administration::no_quotas(denied))
        }
        Request::AlterClientQuotas(request) => {
            Verdict::unless(check.cluster(AlterConfigs), || administration::no_new_quotas(request, denied))
        }
        Request::DescribeUserScramCredentials(_) => {
            Verdict::unless(check.cluster(Describe), || administration::no_users(denied))
        }
        Request::AlterUserScramCredentials(request) => {
            Verdict::unless(check.cluster(Alter), || administration::no_new_users(request, denied))
        }
    }
}

#[cfg(test)]
mod tests;
