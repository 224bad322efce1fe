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
use crate::protocol::messages::produce::ProduceRequest;
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

/// Boxes the future of one API's answer: small requests do not carry the state of the largest.
macro_rules! answer {
    ($api:ident, $response:expr) => {
        async move { Some(Response::$api($response)) }.boxed()
    };
}

impl Dispatcher {
    /// Begins answering a request. Exhaustive, so that an API without a handler does not compile.
    fn dispatch(&self, context: RequestContext, request: Request) -> BoxFuture<'static, Option<Response>> {
        let node = self.node.clone();
        let version = context.api_version;
        node.metrics().requests.increment();
        match request {
            // Records.
            Request::Produce(request) => {
                async move { answer_produce(&node, &context, request).await }.boxed()
            }
            Request::Fetch(request) => answer!(Fetch, fetch::handle(&node, &context, request).await),
            Request::ListOffsets(request) => {
                answer!(ListOffsets, list_offsets::handle(&node, version, request).await)
            }
            // Groups.
            Request::JoinGroup(request) => {
                answer!(JoinGroup, group_membership::join(&node, client(&context), version, request).await)
            }
            Request::SyncGroup(request) => {
                answer!(SyncGroup, group_membership::sync(&node, version, request).await)
            }
            Request::Heartbeat(request) => answer!(Heartbeat, group_membership::heartbeat(&node, &request)),
            Request::ConsumerGroupHeartbeat(request) => answer!(
                ConsumerGroupHeartbeat,
                group_membership::consumer_heartbeat(&node, client(&context), &context, request).await
            ),
            Request::ConsumerGroupDescribe(request) => {
                answer!(ConsumerGroupDescribe, group_admin::describe_consumer(&node, request))
            }
            Request::LeaveGroup(request) => {
                answer!(LeaveGroup, group_membership::leave(&node, version, request).await)
            }
            Request::OffsetCommit(request) => {
                answer!(OffsetCommit, group_offsets::commit(&node, version, request).await)
            }
            Request::OffsetFetch(request) => {
                answer!(OffsetFetch, group_offsets::fetch(&node, version, request).await)
            }
            Request::OffsetDelete(request) => {
                answer!(OffsetDelete, group_offsets::delete(&node, request).await)
            }
            Request::ListGroups(request) => answer!(ListGroups, group_admin::list(&node, &request)),
            Request::DescribeGroups(request) => {
                answer!(DescribeGroups, group_admin::describe(&node, version, request))
            }
            Request::DeleteGroups(request) => {
                answer!(DeleteGroups, group_admin::delete(&node, request).await)
            }
            // Transactions.
            Request::InitProducerId(request) => {
                answer!(InitProducerId, transactions::init_producer_id(&node, version, request).await)
            }
            Request::AddPartitionsToTxn(request) => {
                answer!(AddPartitionsToTxn, transactions::add_partitions(&node, version, request).await)
            }
            Request::AddOffsetsToTxn(request) => {
                answer!(AddOffsetsToTxn, transactions::add_offsets(&node, version, request).await)
            }
            Request::TxnOffsetCommit(request) => {
                answer!(TxnOffsetCommit, group_offsets::txn_commit(&node, version, request).await)
            }
            Request::EndTxn(request) => answer!(EndTxn, transactions::end(&node, version, request).await),
            Request::DescribeTransactions(request) => {
                answer!(DescribeTransactions, transactions::describe(&node, request))
            }
            Request::ListTransactions(request) => {
                answer!(ListTransactions, transactions::list(&node, &request))
            }
            // Access and telemetry.
            Request::ApiVersions(request) => {
                answer!(ApiVersions, cluster::api_versions(&node, &context.session, version, &request))
            }
            Request::GetTelemetrySubscriptions(request) => {
                answer!(GetTelemetrySubscriptions, telemetry::get(&node, &context, &request))
            }
            Request::PushTelemetry(request) => {
                answer!(PushTelemetry, telemetry::push(&node, &context, request).await)
            }
            Request::SaslHandshake(request) => {
                answer!(SaslHandshake, sasl::handshake(&node, &context.session, version, &request))
            }
            Request::SaslAuthenticate(request) => {
                answer!(SaslAuthenticate, sasl::authenticate(&node, &context.session, request).await)
            }
            Request::DescribeUserScramCredentials(request) => {
                answer!(DescribeUserScramCredentials, users::describe(&node, request))
            }
            Request::AlterUserScramCredentials(request) => {
                answer!(AlterUserScramCredentials, users::alter(&node, request).await)
            }
            Request::DescribeQuorum(request) => {
                answer!(DescribeQuorum, quorum::describe(&node, &context, request))
            }
            Request::DescribeAcls(request) => answer!(DescribeAcls, acls::describe(&node, request)),
            Request::CreateAcls(request) => answer!(CreateAcls, acls::create(&node, request).await),
            Request::DeleteAcls(request) => answer!(DeleteAcls, acls::delete(&node, request).await),
            Request::DescribeClientQuotas(request) => {
                answer!(DescribeClientQuotas, quotas::describe(&node, request))
            }
            Request::AlterClientQuotas(request) => {
                answer!(AlterClientQuotas, quotas::alter(&node, request).await)
            }
            // The cluster, topics and settings.
            Request::Metadata(request) => answer!(Metadata, cluster::metadata(&node, version, request).await),
            Request::FindCoordinator(request) => {
                answer!(FindCoordinator, find_coordinator::handle(&node, version, request))
            }
            Request::DescribeCluster(request) => {
                answer!(DescribeCluster, cluster::describe_cluster(&node, &request))
            }
            Request::DescribeTopicPartitions(request) => {
                answer!(DescribeTopicPartitions, cluster::describe_topic_partitions(&node, request))
            }
            Request::CreateTopics(request) => answer!(CreateTopics, topics::create(&node, request).await),
            Request::DeleteTopics(request) => {
                answer!(DeleteTopics, topics::delete(&node, version, request).await)
            }
            Request::CreatePartitions(request) => {
                answer!(CreatePartitions, topics::create_partitions(&node, request).await)
            }
            Request::DescribeConfigs(request) => answer!(DescribeConfigs, configs::describe(&node, request)),
            Request::ListConfigResources(request) => {
                answer!(ListConfigResources, configs::list(&node, version, request))
            }
            Request::ElectLeaders(request) => {
                answer!(ElectLeaders, replica_admin::elect_leaders(&node, request))
            }
            Request::AlterPartitionReassignments(request) => {
                answer!(AlterPartitionReassignments, replica_admin::alter_reassignments(&node, request))
            }
            Request::ListPartitionReassignments(_) => {
                answer!(ListPartitionReassignments, replica_admin::list_reassignments())
            }
            Request::AlterReplicaLogDirs(request) => {
                answer!(AlterReplicaLogDirs, replica_admin::alter_log_dirs(&node, request))
            }
            Request::AlterConfigs(request) => {
                answer!(AlterConfigs, alter_configs::alter(&node, request).await)
            }
            Request::IncrementalAlterConfigs(request) => {
                answer!(IncrementalAlterConfigs, alter_configs::incremental_alter(&node, request).await)
            }
            Request::DeleteRecords(request) => {
                answer!(DeleteRecords, log_admin::delete_records(&node, request).await)
            }
            Request::OffsetForLeaderEpoch(request) => {
                answer!(OffsetForLeaderEpoch, log_admin::offset_for_leader_epoch(&node, request))
            }
            Request::DescribeProducers(request) => {
                answer!(DescribeProducers, log_admin::describe_producers(&node, request))
            }
            Request::DescribeLogDirs(request) => {
                answer!(DescribeLogDirs, log_admin::describe_log_dirs(&node, request))
            }
            // Brokers ask it of each other; the listener serves no version of it.
            Request::WriteTxnMarkers(_) => {
                context.session.close();
                async { None }.boxed()
            }
        }
    }
}

async fn answer_produce(node: &Node, context: &RequestContext, request: ProduceRequest) -> Option<Response> {
    let answered = request.acks != produce::NO_ACK;
    let response = produce::handle(node, context.api_version, request).await;
    if !answered && produce::has_failed(&response) {
        // A producer with acks=0 learns of a failure only by the end of its connection; it then refreshes its metadata.
        context.session.close();
    }
    answered.then_some(Response::Produce(response))
}

fn client(context: &RequestContext) -> Client {
    Client {
        client_id: context.client_id.as_deref().unwrap_or_default().to_owned(),
        host: context.session.client_host(),
    }
}
