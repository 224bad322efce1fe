//! From a request to its handler.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::access::Access;
use crate::api::authorize::{Check, Verdict, authorize};
use crate::api::group_membership::Client;
use crate::api::metering::Metered;
use crate::api::node::Node;
use crate::api::{
    acls, alter_configs, cluster, configs, endpoint, fetch, find_coordinator, group_admin, group_membership,
    group_offsets, list_offsets, log_admin, metering, produce, quorum, quotas, replica_admin, sasl,
    telemetry, topics, transactions, users,
};
use crate::net::handler::{RequestContext, RequestHandler};
use crate::net::session::authenticates;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Answers every request the broker advertises.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    node: Arc<Node>,
}

impl Dispatcher {
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl RequestHandler for Dispatcher {
    fn handle(&self, context: RequestContext, request: Request) -> BoxFuture<'static, Option<Response>> {
        if context.session.is_internal() {
            return self.dispatch(context, request);
        }
        let api_key = request.api_key();
        let names_brokers = endpoint::names_brokers(&request);
        let security = self.node.metadata().image().security().clone();
        let answer = self.authorized(context.clone(), request);
        let is_metered = !security.quotas.is_empty() && !authenticates(api_key);
        if !is_metered && !names_brokers {
            return answer;
        }
        let node = self.node.clone();
        async move {
            let (mut response, spent) = Metered::new(answer).await;
            if is_metered {
                metering::charge(&node, &security.quotas, &context, api_key, &mut response, spent);
            }
            if let (Some(response), Some(endpoint)) = (&mut response, context.session.endpoint()) {
                endpoint::localize(response, endpoint);
            }
            response
        }
        .boxed()
    }
}

impl Dispatcher {
    /// Begins answering what of a request its client may ask for.
    fn authorized(
        &self,
        context: RequestContext,
        mut request: Request,
    ) -> BoxFuture<'static, Option<Response>> {
        let access = Access::of(&self.node, &context.session, request.api_key());
        let image = self.node.metadata().image();
        let auto_create = self.node.config().auto_create_topics;
        let check = Check { access: &access, image: &image, version: context.api_version, auto_create };
        let is_answered = request.expects_response();
        let verdict = authorize(check, &mut request);
        if !is_answered && !matches!(verdict, Verdict::Allowed) {
            context.session.close();
        }
        match verdict {
            Verdict::Allowed => self.dispatch(context, request),
            Verdict::Refused(response) => {
                self.node.metrics().requests_refused.increment();
                async move { is_answered.then_some(response) }.boxed()
            }
            Verdict::Partly(complete) => {
                let answer = self.dispatch(context, request);
                async move {
                    let mut response = answer.await;
                    if let Some(response) = &mut response {
                        complete(response);
                    }
                    response
                }
                .boxed()
            }
        }
    }
}

impl Dispatcher {
    /// Begins answering a request.
    fn dispatch(&self, context: RequestContext, request: Request) -> BoxFuture<'static, Option<Response>> {
        let node = self.node.clone();
        node.metrics().requests.increment();
        // Each family is a future of its own on the heap, so that small requests do not carry the largest one's state.
        match request {
            Request::Produce(_) | Request::Fetch(_) | Request::ListOffsets(_) => {
                async move { records(&node, &context, request).await }.boxed()
            }
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::ConsumerGroupDescribe(_)
            | Request::LeaveGroup(_)
            | Request::OffsetCommit(_)
            | Request::OffsetFetch(_)
            | Request::OffsetDelete(_)
            | Request::ListGroups(_)
            | Request::DescribeGroups(_)
            | Request::DeleteGroups(_) => async move { groups(&node, context, request).await }.boxed(),
            Request::InitProducerId(_)
            | Request::AddPartitionsToTxn(_)
            | Request::AddOffsetsToTxn(_)
            | Request::TxnOffsetCommit(_)
            | Request::EndTxn(_)
            | Request::DescribeTransactions(_)
            | Request::ListTransactions(_) => {
                async move { transactional(&node, context.api_version, request).await }.boxed()
            }
            Request::ApiVersions(_)
            | Request::GetTelemetrySubscriptions(_)
            | Request::PushTelemetry(_)
            | Request::DescribeQuorum(_)
            | Request::SaslHandshake(_)
            | Request::SaslAuthenticate(_)
            | Request::DescribeUserScramCredentials(_)
            | Request::AlterUserScramCredentials(_)
            | Request::DescribeAcls(_)
            | Request::CreateAcls(_)
            | Request::DeleteAcls(_)
            | Request::DescribeClientQuotas(_)
            | Request::AlterClientQuotas(_) => async move { security(&node, context, request).await }.boxed(),
            other => async move { administration(&node, context.api_version, other).await }.boxed(),
        }
    }
}

async fn records(node: &Node, context: &RequestContext, request: Request) -> Option<Response> {
    let version = context.api_version;
    match request {
        Request::Produce(request) => {
            let answered = request.acks != produce::NO_ACK;
            let response = produce::handle(node, version, request).await;
            if !answered && produce::has_failed(&response) {
                // The one way to tell a producer that wants no answer: it looks for the partitions anew.
                context.session.close();
            }
            answered.then_some(Response::Produce(response))
        }
        Request::Fetch(request) => Some(Response::Fetch(fetch::handle(node, context, request).await)),
        Request::ListOffsets(request) => {
            Some(Response::ListOffsets(list_offsets::handle(node, version, request).await))
        }
        _ => None,
    }
}

async fn groups(node: &Node, context: RequestContext, request: Request) -> Option<Response> {
    let version = context.api_version;
    let client = || Client {
        client_id: context.client_id.as_deref().unwrap_or_default().to_owned(),
        host: context.session.client_host(),
    };
    Some(match request {
        Request::JoinGroup(request) => {
            Response::JoinGroup(group_membership::join(node, client(), version, request).await)
        }
        Request::SyncGroup(request) => {
            Response::SyncGroup(group_membership::sync(node, version, request).await)
        }
        Request::Heartbeat(request) => Response::Heartbeat(group_membership::heartbeat(node, &request)),
        Request::ConsumerGroupHeartbeat(request) => Response::ConsumerGroupHeartbeat(
            group_membership::consumer_heartbeat(node, client(), &context, request).await,
        ),
        Request::ConsumerGroupDescribe(request) => {
            Response::ConsumerGroupDescribe(group_admin::describe_consumer(node, request))
        }
        Request::LeaveGroup(request) => {
            Response::LeaveGroup(group_membership::leave(node, version, request).await)
        }
        Request::OffsetCommit(request) => {
            Response::OffsetCommit(group_offsets::commit(node, version, request).await)
        }
        Request::OffsetFetch(request) => {
            Response::OffsetFetch(group_offsets::fetch(node, version, request).await)
        }
        Request::OffsetDelete(request) => Response::OffsetDelete(group_offsets::delete(node, request).await),
        Request::ListGroups(request) => Response::ListGroups(group_admin::list(node, &request)),
        Request::DescribeGroups(request) => {
            Response::DescribeGroups(group_admin::describe(node, version, request))
        }
        Request::DeleteGroups(request) => Response::DeleteGroups(group_admin::delete(node, request).await),
        _ => return None,
    })
}

async fn transactional(node: &Node, version: i16, request: Request) -> Option<Response> {
    Some(match request {
        Request::InitProducerId(request) => {
            Response::InitProducerId(transactions::init_producer_id(node, version, request).await)
        }
        Request::AddPartitionsToTxn(request) => {
            Response::AddPartitionsToTxn(transactions::add_partitions(node, version, request).await)
        }
        Request::AddOffsetsToTxn(request) => {
            Response::AddOffsetsToTxn(transactions::add_offsets(node, version, request).await)
        }
        Request::TxnOffsetCommit(request) => {
            Response::TxnOffsetCommit(group_offsets::txn_commit(node, version, request).await)
        }
        Request::EndTxn(request) => Response::EndTxn(transactions::end(node, version, request).await),
        Request::DescribeTransactions(request) => {
            Response::DescribeTransactions(transactions::describe(node, request))
        }
        Request::ListTransactions(request) => Response::ListTransactions(transactions::list(node, &request)),
        _ => return None,
    })
}

/// Requests about who clients are, what they may do and how they fare.
async fn security(node: &Node, context: RequestContext, request: Request) -> Option<Response> {
    Some(match request {
        Request::ApiVersions(request) => Response::ApiVersions(cluster::api_versions(
            node,
            &context.session,
            context.api_version,
            &request,
        )),
        Request::GetTelemetrySubscriptions(request) => {
            Response::GetTelemetrySubscriptions(telemetry::get(node, &context, &request))
        }
        Request::PushTelemetry(request) => {
            Response::PushTelemetry(telemetry::push(node, &context, request).await)
        }
        Request::SaslHandshake(request) => {
            Response::SaslHandshake(sasl::handshake(node, &context.session, context.api_version, &request))
        }
        Request::SaslAuthenticate(request) => {
            Response::SaslAuthenticate(sasl::authenticate(node, &context.session, request).await)
        }
        Request::DescribeUserScramCredentials(request) => {
            Response::DescribeUserScramCredentials(users::describe(node, request))
        }
        Request::AlterUserScramCredentials(request) => {
            Response::AlterUserScramCredentials(users::alter(node, request).await)
        }
        Request::DescribeQuorum(request) => {
            Response::DescribeQuorum(quorum::describe(node, &context, request))
        }
        Request::DescribeAcls(request) => Response::DescribeAcls(acls::describe(node, request)),
        Request::CreateAcls(request) => Response::CreateAcls(acls::create(node, request).await),
        Request::DeleteAcls(request) => Response::DeleteAcls(acls::delete(node, request).await),
        Request::DescribeClientQuotas(request) => {
            Response::DescribeClientQuotas(quotas::describe(node, request))
        }
        Request::AlterClientQuotas(request) => {
            Response::AlterClientQuotas(quotas::alter(node, request).await)
        }
        _ => return None,
    })
}

/// Requests about the cluster, topics and settings. An API that is not served is answered by the listener before
/// it comes here.
async fn administration(node: &Node, version: i16, request: Request) -> Option<Response> {
    Some(match request {
        Request::Metadata(request) => Response::Metadata(cluster::metadata(node, version, request).await),
        Request::FindCoordinator(request) => {
            Response::FindCoordinator(find_coordinator::handle(node, version, request))
        }
        Request::DescribeCluster(request) => {
            Response::DescribeCluster(cluster::describe_cluster(node, &request))
        }
        Request::DescribeTopicPartitions(request) => {
            Response::DescribeTopicPartitions(cluster::describe_topic_partitions(node, request))
        }
        Request::CreateTopics(request) => Response::CreateTopics(topics::create(node, request).await),
        Request::DeleteTopics(request) => {
            Response::DeleteTopics(topics::delete(node, version, request).await)
        }
        Request::CreatePartitions(request) => {
            Response::CreatePartitions(topics::create_partitions(node, request).await)
        }
        Request::DescribeConfigs(request) => Response::DescribeConfigs(configs::describe(node, request)),
        Request::ListConfigResources(request) => {
            Response::ListConfigResources(configs::list(node, version, request))
        }
        Request::ElectLeaders(request) => Response::ElectLeaders(replica_admin::elect_leaders(node, request)),
        Request::AlterPartitionReassignments(request) => {
            Response::AlterPartitionReassignments(replica_admin::alter_reassignments(node, request))
        }
        Request::ListPartitionReassignments(_) => {
            Response::ListPartitionReassignments(replica_admin::list_reassignments())
        }
        Request::AlterReplicaLogDirs(request) => {
            Response::AlterReplicaLogDirs(replica_admin::alter_log_dirs(node, request))
        }
        Request::AlterConfigs(request) => Response::AlterConfigs(alter_configs::alter(node, request).await),
        Request::IncrementalAlterConfigs(request) => {
            Response::IncrementalAlterConfigs(alter_configs::incremental_alter(node, request).await)
        }
        Request::DeleteRecords(request) => {
            Response::DeleteRecords(log_admin::delete_records(node, request).await)
        }
        Request::OffsetForLeaderEpoch(request) => {
            Response::OffsetForLeaderEpoch(log_admin::offset_for_leader_epoch(node, request))
        }
        Request::DescribeProducers(request) => {
            Response::DescribeProducers(log_admin::describe_producers(node, request))
        }
        Request::DescribeLogDirs(request) => {
            Response::DescribeLogDirs(log_admin::describe_log_dirs(node, request))
        }
        _ => return None,
    })
}
