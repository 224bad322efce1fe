//! Rights of the client of a request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::node::Node;
use crate::auth::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::auth::acl_set::{AclSet, Decision, Subject};
use crate::auth::audit::{AuditEvent, AuditResource, Interface};
use crate::auth::audit_trail::{AuditTrail, Frequency};
use crate::metadata::security::SecurityImage;
use crate::net::session::Session;
use crate::protocol::api_key::ApiKey;

/// A client and the rules it is under.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    restrictions: Option<Restrictions>,
    audit: Option<Audit>,
}

#[derive(Debug, Clone)]
struct Restrictions {
    principal: Arc<str>,
    host: String,
    security: Arc<SecurityImage>,
    /// Rules of the configuration.
    rules: Arc<AclSet>,
    /// Decision where no rule applies.
    allowed_without_rule: bool,
}

/// The request whose decisions are reported.
#[derive(Debug, Clone)]
struct Audit {
    trail: Arc<AuditTrail>,
    time_ms: i64,
    principal: Arc<str>,
    client: Option<IpAddr>,
    api: ApiKey,
}

impl Access {
    /// The access of a session for a request. Callers in this process, super users, and everybody where there is no
    /// authorizer, may do everything.
    pub(crate) fn of(node: &Node, session: &Session, api: ApiKey) -> Self {
        if session.is_internal() {
            return Self { restrictions: None, audit: None };
        }
        let client = session.peer.map(|peer| peer.ip());
        let audit = node.audit().map(|trail| Audit {
            trail: trail.clone(),
            time_ms: node.clock().now_ms(),
            principal: session.principal(),
            client: client.map(|client| client.to_canonical()),
            api,
        });
        Self { audit, ..Self::of_client(node, &session.principal(), client) }
    }

    /// The access of a client of any protocol, whose decisions are not reported.
    pub(crate) fn of_client(node: &Node, principal: &Arc<str>, address: Option<IpAddr>) -> Self {
        let unrestricted = Self { restrictions: None, audit: None };
        let Some(authorizer) = &node.config().security.authorizer else { return unrestricted };
        if authorizer.super_users.iter().any(|name| **name == **principal) {
            return unrestricted;
        }
        let host = address.map(|address| address.to_canonical().to_string()).unwrap_or_default();
        let security = node.metadata().image().security().clone();
        let restrictions = Restrictions {
            principal: Arc::clone(principal),
            host,
            security,
            rules: Arc::clone(&authorizer.rules),
            allowed_without_rule: authorizer.allow_everyone_if_no_acl,
        };
        Self { restrictions: Some(restrictions), audit: None }
    }

    /// The same access, whose decisions are not reported: for what is shown of answers, which refuses nothing.
    pub(crate) fn unaudited(&self) -> Self {
        Self { restrictions: self.restrictions.clone(), audit: None }
    }

    /// May the client do everything, without any of it being reported?
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.restrictions.is_none() && self.audit.is_none()
    }

    /// May the client do this to a resource?
    pub(crate) fn may(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        let allowed = self.decide(operation, kind, name);
        self.report(operation, kind, name, allowed);
        allowed
    }

    /// May the client do this to a topic, by right of that or of doing it to the cluster? The topic is reported.
    pub(crate) fn topic_or_cluster(&self, operation: Operation, name: &str) -> bool {
        let allowed = self.decide(operation, ResourceType::Cluster, CLUSTER_NAME)
            || self.decide(operation, ResourceType::Topic, name);
        self.report(operation, ResourceType::Topic, name, allowed);
        allowed
    }

    fn decide(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        self.may_under(&restrictions.security, operation, kind, name)
    }

    /// Reports a decision, where that is wanted.
    fn report(&self, operation: Operation, kind: ResourceType, name: &str, allowed: bool) {
        let Some(audit) = &self.audit else { return };
        let event = AuditEvent {
            time_ms: audit.time_ms,
            principal: audit.principal.clone(),
            client: audit.client,
            interface: Interface::Kafka,
            action: Cow::Borrowed(audit.api.name()),
            operation: Some(operation),
            resource: Some(AuditResource { kind, name: name.to_owned() }),
            allowed,
            repetitions: 0,
        };
        audit.trail.record(event, frequency(audit.api));
    }

    /// May the client do this to a resource, by the rules of another moment?
    pub(crate) fn may_under(
        &self,
        security: &SecurityImage,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        let sets = [&security.acls, &*restrictions.rules];
        restrictions.permits(AclSet::decide_by(&sets, restrictions.subject(), operation, kind, name))
    }

    /// The same for clients that the same rules are for; `None` for those that nobody restricts.
    pub(crate) fn subject_name(&self) -> Option<String> {
        let restrictions = self.restrictions.as_ref()?;
        Some(format!("{}@{}", restrictions.principal, restrictions.host))
    }

    pub(crate) fn topic(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::Topic, name)
    }

    pub(crate) fn group(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::Group, name)
    }

    pub(crate) fn transactional_id(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::TransactionalId, name)
    }

    pub(crate) fn cluster(&self, operation: Operation) -> bool {
        self.may(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// Permission to write idempotently: that of a client that may write to some topic (KIP-679).
    pub(crate) fn idempotent_write(&self) -> bool {
        let allowed = self.decide(Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER_NAME)
            || self.any(Operation::Write, ResourceType::Topic);
        self.report(Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER_NAME, allowed);
        allowed
    }

    /// May the client do this to some resource of the type?
    fn any(&self, operation: Operation, kind: ResourceType) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        let sets = [&restrictions.security.acls, &*restrictions.rules];
        let decision = AclSet::decide_any_by(&sets, restrictions.subject(), operation, kind);
        restrictions.permits(decision)
    }

    /// Bit n is set if the client may do operation n to the resource (KIP-430).
    pub(crate) fn operations(&self, kind: ResourceType, name: &str) -> i32 {
        let allowed = kind.operations().iter().filter(|operation| self.decide(**operation, kind, name));
        allowed.fold(0, |bits, operation| bits | operation.bit())
    }
}

/// Requests that clients send all the time are reported once in a while, changes by administrators each.
const fn frequency(api: ApiKey) -> Frequency {
    match api {
        ApiKey::CreateTopics
        | ApiKey::DeleteTopics
        | ApiKey::DeleteRecords
        | ApiKey::CreatePartitions
        | ApiKey::AlterConfigs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::AlterReplicaLogDirs
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ElectLeaders
        | ApiKey::CreateAcls
        | ApiKey::DeleteAcls
        | ApiKey::AlterClientQuotas
        | ApiKey::AlterUserScramCredentials
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete
        | ApiKey::WriteTxnMarkers => Frequency::Single,
        ApiKey::Produce
        | ApiKey::Fetch
        | ApiKey::ListOffsets
        | ApiKey::Metadata
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate
        | ApiKey::ApiVersions
        | ApiKey::InitProducerId
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::EndTxn
        | ApiKey::TxnOffsetCommit
        | ApiKey::DescribeAcls
        | ApiKey::DescribeConfigs
        | ApiKey::DescribeLogDirs
        | ApiKey::ListPartitionReassignments
        | ApiKey::DescribeClientQuotas
        | ApiKey::DescribeUserScramCredentials
        | ApiKey::DescribeCluster
        | ApiKey::DescribeProducers
        | ApiKey::DescribeQuorum
        | ApiKey::DescribeTransactions
        | ApiKey::ListTransactions
        | ApiKey::GetTelemetrySubscriptions
        | ApiKey::PushTelemetry
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::ListConfigResources
        | ApiKey::DescribeTopicPartitions => Frequency::Repeated,
    }
}

impl Restrictions {
    fn subject(&self) -> Subject<'_> {
        Subject { principal: &self.principal, host: &self.host }
    }

    fn permits(&self, decision: Decision) -> bool {
        match decision {
            Decision::Allowed => true,
            Decision::Denied => false,
            Decision::NoRule => self.allowed_without_rule,
        }
    }
}
