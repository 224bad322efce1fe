//! Principal × API × version × missing rule. A new API needs a row in [`row`] and a request in [`request`], or this does
//! not compile.

use std::net::SocketAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::auth::acl::{Acl, Operation, PatternType, Permission, ResourceType};
use crate::auth::config::AuthorizerConfig;
use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::metadata::topics::TopicSpec;
use crate::net::handler::{RequestContext, RequestHandler};
use crate::net::session::{Endpoint, Session};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

mod auditing;
mod requests;

use requests::request;

/// What is needed: an operation on a resource, and the code told without it.
type Need = (ResourceType, &'static str, Operation, ErrorCode);

const CLUSTER: &str = crate::auth::acl::CLUSTER_NAME;

fn cluster(operation: Operation) -> Need {
    (ResourceType::Cluster, CLUSTER, operation, ErrorCode::ClusterAuthorizationFailed)
}

fn topic(operation: Operation) -> Need {
    (ResourceType::Topic, "t", operation, ErrorCode::TopicAuthorizationFailed)
}

fn group(operation: Operation) -> Need {
    (ResourceType::Group, "g", operation, ErrorCode::GroupAuthorizationFailed)
}

fn txn(operation: Operation) -> Need {
    (ResourceType::TransactionalId, "x", operation, ErrorCode::TransactionalIdAuthorizationFailed)
}

/// What an API needs: one of several sets of rules. `None`: nothing, or it shows only what may be seen.
fn row(api: ApiKey, version: i16) -> Option<Vec<Vec<Need>>> {
    use Operation::{
        Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, Read, Write,
    };
    let one = |needs: Vec<Need>| Some(vec![needs]);
    match api {
        ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate | ApiKey::DescribeCluster => {
            None
        }
        ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => None,
        ApiKey::ListGroups | ApiKey::ListTransactions => None,
        ApiKey::Produce => one(vec![txn(Write), topic(Write)]),
        ApiKey::Fetch => one(vec![topic(Read)]),
        ApiKey::ListOffsets | ApiKey::Metadata | ApiKey::DescribeTopicPartitions => {
            one(vec![topic(Describe)])
        }
        ApiKey::OffsetForLeaderEpoch => {
            let (_, _, _, code) = topic(Describe);
            let (kind, name, operation, _) = cluster(ClusterAction);
            Some(vec![vec![topic(Describe)], vec![(kind, name, operation, code)]])
        }
        ApiKey::DeleteRecords => one(vec![topic(Delete)]),
        ApiKey::DeleteTopics => {
            one(vec![(ResourceType::Topic, "gone", Delete, ErrorCode::TopicAuthorizationFailed)])
        }
        ApiKey::DescribeProducers => one(vec![topic(Read)]),
        ApiKey::CreateTopics => {
            let (_, _, _, code) = topic(Create);
            let (kind, name, operation, _) = cluster(Create);
            let new = |operation| (ResourceType::Topic, "new", operation, code);
            let configs = new(DescribeConfigs);
            Some(vec![vec![new(Create), configs], vec![(kind, name, operation, code), configs]])
        }
        ApiKey::CreatePartitions => one(vec![topic(Alter)]),
        ApiKey::DescribeConfigs => {
            one(vec![topic(DescribeConfigs), cluster(DescribeConfigs), group(DescribeConfigs)])
        }
        ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
            one(vec![topic(AlterConfigs), cluster(AlterConfigs), group(AlterConfigs)])
        }
        // Before version 3 the answer has no place for a code: it is just empty.
        ApiKey::DescribeLogDirs => one(vec![cluster(Describe)]),
        ApiKey::AlterReplicaLogDirs | ApiKey::ElectLeaders | ApiKey::AlterPartitionReassignments => {
            one(vec![cluster(Alter)])
        }
        ApiKey::ListPartitionReassignments | ApiKey::DescribeQuorum => one(vec![cluster(Describe)]),
        ApiKey::ListConfigResources => one(vec![cluster(DescribeConfigs)]),
        ApiKey::FindCoordinator => one(vec![group(Describe)]),
        ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup => {
            one(vec![group(Read)])
        }
        ApiKey::ConsumerGroupHeartbeat => one(vec![group(Read), topic(Describe)]),
        ApiKey::OffsetCommit => one(vec![group(Read), topic(Read)]),
        ApiKey::OffsetFetch => one(vec![group(Describe), topic(Describe)]),
        ApiKey::OffsetDelete => one(vec![group(Delete), topic(Read)]),
        ApiKey::DescribeGroups | ApiKey::ConsumerGroupDescribe => one(vec![group(Describe)]),
        ApiKey::DeleteGroups => one(vec![group(Delete)]),
        ApiKey::InitProducerId => one(vec![txn(Write)]),
        ApiKey::AddPartitionsToTxn if version >= 4 => one(vec![cluster(ClusterAction)]),
        ApiKey::AddPartitionsToTxn => one(vec![txn(Write), topic(Write)]),
        ApiKey::AddOffsetsToTxn => one(vec![txn(Write), group(Read)]),
        ApiKey::TxnOffsetCommit => one(vec![txn(Write), group(Read), topic(Read)]),
        ApiKey::EndTxn => one(vec![txn(Write)]),
        ApiKey::WriteTxnMarkers => one(vec![cluster(ClusterAction)]),
        ApiKey::DescribeTransactions => one(vec![txn(Describe)]),
        ApiKey::DescribeAcls | ApiKey::DescribeUserScramCredentials => one(vec![cluster(Describe)]),
        ApiKey::CreateAcls | ApiKey::DeleteAcls | ApiKey::AlterUserScramCredentials => {
            one(vec![cluster(Alter)])
        }
        ApiKey::DescribeClientQuotas => one(vec![cluster(DescribeConfigs)]),
        ApiKey::AlterClientQuotas => one(vec![cluster(AlterConfigs)]),
    }
}

/// One cell of the table.
struct Cell {
    api: ApiKey,
    version: i16,
    principal: String,
    /// The code that must be told; `None`: no refusal may be.
    expected: Option<ErrorCode>,
}

#[derive(Default)]
struct Table {
    cells: Vec<Cell>,
    acls: Vec<Acl>,
}

impl Table {
    fn add(&mut self, api: ApiKey, version: i16, rules: &[(&Need, Permission)], expected: Option<ErrorCode>) {
        let principal = format!("User:u{}", self.cells.len());
        self.acls.extend(rules.iter().map(|((resource_type, name, operation, _), permission)| Acl {
            resource_type: *resource_type,
            pattern_type: PatternType::Literal,
            name: (*name).to_owned(),
            principal: principal.clone(),
            host: "*".to_owned(),
            operation: *operation,
            permission: *permission,
        }));
        self.cells.push(Cell { api, version, principal, expected });
    }

    fn fill(&mut self) {
        let served = |api: &ApiKey| Some((*api, api.served_versions()?));
        for (api, versions) in ApiKey::ALL.iter().filter_map(served) {
            for version in versions.iter() {
                let Some(alternatives) = row(api, version) else {
                    self.add(api, version, &[], None);
                    continue;
                };
                self.add(api, version, &[], Some(alternatives[0][0].3));
                for needs in &alternatives {
                    let allowed: Vec<_> = needs.iter().map(|need| (need, Permission::Allow)).collect();
                    self.add(api, version, &allowed, None);
                    for (at, need) in needs.iter().enumerate() {
                        let mut without = allowed.clone();
                        without.remove(at);
                        self.add(api, version, &without, Some(need.3));
                        let mut denied = allowed.clone();
                        denied.push((need, Permission::Deny));
                        self.add(api, version, &denied, Some(need.3));
                    }
                }
            }
        }
    }
}

struct Fixture {
    broker: Broker,
    topic_id: Uuid,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn start(authorizer: AuthorizerConfig) -> Self {
        Self::start_with(authorizer, |_| {}).await
    }

    async fn start_with(authorizer: AuthorizerConfig, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = BrokerConfig::new(dir.path());
        config.listeners.clear();
        config.security.authorizer = Some(authorizer);
        change(&mut config);
        let broker = Broker::start(config).await.expect("starts");
        let spec = TopicSpec { name: "t".to_owned(), partitions: 1, configs: Default::default() };
        let made = broker.node().topics().create(vec![spec]).await.pop().expect("an outcome").expect("made");
        Self { topic_id: made.id.0, broker, _dir: dir }
    }

    async fn grant(&self, acls: Vec<Acl>) {
        let creation = |acl: Acl| AclCreation {
            resource_type: acl.resource_type.code(),
            resource_name: acl.name,
            resource_pattern_type: acl.pattern_type.code(),
            principal: acl.principal,
            host: acl.host,
            operation: acl.operation.code(),
            permission_type: acl.permission.code(),
        };
        let request = CreateAclsRequest { creations: acls.into_iter().map(creation).collect() };
        let Ok(Response::CreateAcls(answer)) = self.broker.transport().send(request.into()).await else {
            panic!("an answer is due")
        };
        assert!(answer.results.iter().all(|result| result.error_code == ErrorCode::None));
    }

    async fn ask(&self, principal: &str, version: i16, request: Request) -> Option<Response> {
        let endpoint = Endpoint { name: "X".to_owned(), host: "h".to_owned(), port: 1, sasl: None };
        let peer = SocketAddr::from(([10, 0, 0, 1], 5));
        let session = Session::remote(1, peer, Arc::new(endpoint), Some(principal.to_owned()));
        let session = Arc::new(session);
        let context = RequestContext { api_version: version, request_bytes: 1, client_id: None, session };
        self.broker.handler().handle(context, request).await
    }
}

/// The refusals in an answer.
fn refusals(answer: &Option<Response>) -> Vec<ErrorCode> {
    let text = format!("{answer:?}");
    let codes = [
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::ClusterAuthorizationFailed,
        ErrorCode::TransactionalIdAuthorizationFailed,
    ];
    codes.into_iter().filter(|code| text.contains(&format!(": {code:?}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_asks_for_its_rules() {
    let admins = AuthorizerConfig { super_users: vec!["User:root".to_owned()], ..Default::default() };
    let fixture = Fixture::start(admins).await;
    let mut table = Table::default();
    table.fill();
    fixture.grant(table.acls).await;
    let mut refused = 0;
    for cell in &table.cells {
        let Cell { api, version, principal, expected } = cell;
        let answer = fixture.ask(principal, *version, request(*api, *version, fixture.topic_id)).await;
        let found = refusals(&answer);
        match expected {
            None => assert!(found.is_empty(), "{api} {version} {principal}: {answer:?}"),
            Some(code) => {
                refused += 1;
                assert!(found.contains(code), "{api} {version} {principal} {code}: {answer:?}");
            }
        }
        // Answers made here can be written in the version that was asked for.
        if let Some(answer) = answer {
            let frame = crate::protocol::frame::encode_response(1, *version, &answer);
            assert!(frame.is_ok(), "{api} {version}: {frame:?}");
        }
        let answer = fixture.ask("User:root", *version, request(*api, *version, fixture.topic_id)).await;
        assert!(refusals(&answer).is_empty(), "{api} {version} by a super user: {answer:?}");
    }
    assert!(table.cells.len() > 400 && refused > 200, "{} cells, {refused} refused", table.cells.len());
    fixture.broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_make_a_topic_waits_for_it_unless_asking_would_make_it() {
    use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};

    for (on, expected) in
        [(false, ErrorCode::UnknownTopicOrPartition), (true, ErrorCode::TopicAuthorizationFailed)]
    {
        let change = |config: &mut BrokerConfig| config.auto_create_topics = on;
        let fixture = Fixture::start_with(AuthorizerConfig::default(), change).await;
        fixture
            .grant(vec![Acl {
                resource_type: ResourceType::Topic,
                pattern_type: PatternType::Literal,
                name: "later".to_owned(),
                principal: "User:alice".to_owned(),
                host: "*".to_owned(),
                operation: Operation::Write,
                permission: Permission::Allow,
            }])
            .await;
        // As producers ask.
        let topic = MetadataRequestTopic { topic_id: Uuid::nil(), name: Some("later".to_owned()) };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        let Some(Response::Metadata(answer)) = fixture.ask("User:alice", 12, request.into()).await else {
            panic!("an answer is due")
        };
        assert_eq!(answer.topics[0].error_code, expected, "auto.create.topics.enable={on}");
        fixture.broker.shutdown().await.expect("stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_only_what_may_be_seen() {
    use crate::protocol::messages::describe_topic_partitions::DescribeTopicPartitionsRequest;
    use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};

    let fixture = Fixture::start(AuthorizerConfig::default()).await;
    let spec = TopicSpec { name: "secret".to_owned(), partitions: 1, configs: Default::default() };
    assert!(fixture.broker.node().topics().create(vec![spec]).await[0].is_ok());
    fixture
        .grant(vec![Acl {
            resource_type: ResourceType::Topic,
            pattern_type: PatternType::Prefixed,
            name: "t".to_owned(),
            principal: "User:alice".to_owned(),
            host: "10.0.0.1".to_owned(),
            operation: Operation::Read,
            permission: Permission::Allow,
        }])
        .await;
    for (principal, expected) in [("User:alice", vec!["t"]), ("User:bob", vec![])] {
        for version in ApiKey::Metadata.known_versions().iter() {
            let topics = if version == 0 { Some(Vec::new()) } else { None };
            let all = MetadataRequest {
                topics,
                include_topic_authorized_operations: version >= 8,
                ..MetadataRequest::default()
            };
            let Some(Response::Metadata(answer)) = fixture.ask(principal, version, all.into()).await else {
                panic!("an answer is due")
            };
            let names: Vec<_> = answer.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
            assert_eq!(names, expected, "{version}");
            if version >= 8
                && let Some(topic) = answer.topics.first()
            {
                let bits = Operation::Read.bit() | Operation::Describe.bit();
                assert_eq!(topic.topic_authorized_operations, bits);
            }
        }
        let all = DescribeTopicPartitionsRequest::default();
        let Some(Response::DescribeTopicPartitions(answer)) = fixture.ask(principal, 0, all.into()).await
        else {
            panic!("an answer is due")
        };
        let names: Vec<_> = answer.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
        assert_eq!(names, expected);
    }
    // Whether a hidden topic exists is not told, by name or by id.
    let hidden = |name: Option<&str>, topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id, name: name.map(str::to_owned) }]),
        ..MetadataRequest::default()
    };
    let mut answers = Vec::new();
    for name in ["secret", "nothing"] {
        let answer = fixture.ask("User:bob", 12, hidden(Some(name), Uuid::nil()).into()).await;
        answers.push(format!("{answer:?}").replace(name, "NAME"));
    }
    assert_eq!(answers[0], answers[1]);
    let id = fixture.broker.node().image().topic("secret").expect("exists").id.0;
    let Some(Response::Metadata(answer)) = fixture.ask("User:bob", 12, hidden(None, id).into()).await else {
        panic!("an answer is due")
    };
    assert_eq!(answer.topics[0].name, None);
    assert_eq!(answer.topics[0].error_code, ErrorCode::TopicAuthorizationFailed);
    // A name the client may know does not open the topic of the id beside it.
    for (name, id, refused) in [("t", id, true), ("", id, true), ("", fixture.topic_id, false)] {
        let Some(Response::Metadata(answer)) =
            fixture.ask("User:alice", 12, hidden(Some(name), id).into()).await
        else {
            panic!("an answer is due")
        };
        let expected = if refused { ErrorCode::TopicAuthorizationFailed } else { ErrorCode::None };
        assert_eq!(answer.topics[0].error_code, expected, "{name} {id}");
        assert_eq!(answer.topics[0].partitions.is_empty(), refused);
    }
    // The host of the rule counts.
    let session = |host: [u8; 4]| {
        let endpoint = Endpoint { name: "X".to_owned(), host: "h".to_owned(), port: 1, sasl: None };
        Session::remote(1, SocketAddr::from((host, 5)), Arc::new(endpoint), Some("User:alice".to_owned()))
    };
    let access =
        |host| crate::api::access::Access::of(fixture.broker.node(), &session(host), ApiKey::Metadata);
    assert!(access([10, 0, 0, 1]).topic(Operation::Read, "t"));
    assert!(!access([10, 0, 0, 2]).topic(Operation::Read, "t"));
    fixture.broker.shutdown().await.expect("stops");
}

/// A rule for topic, group or transactional id `name` and any host.
fn rule(permission: Permission, resource_type: ResourceType, name: &str, operation: Operation) -> Acl {
    Acl {
        resource_type,
        pattern_type: PatternType::Literal,
        name: name.to_owned(),
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

/// Rights to keys, ids and absent ids, which the table of APIs does not cover.
#[tokio::test(flavor = "multi_thread")]
async fn other_keys_ids_and_absent_ids_need_rights_as_well() {
    use crate::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
    use crate::protocol::messages::find_coordinator::FindCoordinatorRequest;
    use crate::protocol::messages::init_producer_id::InitProducerIdRequest;

    let fixture = Fixture::start(AuthorizerConfig::default()).await;
    let find = |version: i16| {
        let key = format!("x{version}");
        let request = FindCoordinatorRequest { key: key.clone(), key_type: 1, coordinator_keys: vec![key] };
        (version, Request::from(request))
    };
    let coordinator = |id| rule(Permission::Allow, ResourceType::TransactionalId, id, Operation::Describe);
    let by_id = DeleteTopicState { name: None, topic_id: fixture.topic_id };
    let delete = DeleteTopicsRequest { topics: vec![by_id], topic_names: Vec::new(), timeout_ms: 1 };
    let nameless = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let writer = rule(Permission::Allow, ResourceType::Topic, "t", Operation::Write);
    let deleter = rule(Permission::Allow, ResourceType::Topic, "t", Operation::Delete);
    let cases = [
        (find(3), ErrorCode::TransactionalIdAuthorizationFailed, coordinator("x3")),
        (find(4), ErrorCode::TransactionalIdAuthorizationFailed, coordinator("x4")),
        ((4, nameless.into()), ErrorCode::ClusterAuthorizationFailed, writer),
        ((6, delete.into()), ErrorCode::TopicAuthorizationFailed, deleter),
    ];
    // A right to a group of the same name is none to a transactional id.
    let group = |id| rule(Permission::Allow, ResourceType::Group, id, Operation::Describe);
    fixture.grant(vec![group("x3"), group("x4")]).await;
    for ((version, request), code, missing) in cases {
        let api = request.api_key();
        let refused = refusals(&fixture.ask("User:alice", version, request.clone()).await);
        assert_eq!(refused, [code], "{api} {version}");
        fixture.grant(vec![missing]).await;
        let answer = fixture.ask("User:alice", version, request).await;
        assert!(refusals(&answer).is_empty(), "{api} {version}: {answer:?}");
    }
    fixture.broker.shutdown().await.expect("stops");
}

/// A listener for both versions of IP shows addresses of the older one as `::ffff:10.0.0.1`.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_about_a_host_holds_for_its_mapped_address() {
    let fixture = Fixture::start(AuthorizerConfig::default()).await;
    let denial = rule(Permission::Deny, ResourceType::Topic, "t", Operation::Read);
    let denial = Acl { host: "10.0.0.1".to_owned(), ..denial };
    fixture.grant(vec![rule(Permission::Allow, ResourceType::Topic, "t", Operation::Read), denial]).await;
    let may_read = |host: std::net::Ipv4Addr, is_mapped: bool| {
        let endpoint = Endpoint { name: "X".to_owned(), host: "h".to_owned(), port: 1, sasl: None };
        let address = if is_mapped { host.to_ipv6_mapped().into() } else { std::net::IpAddr::from(host) };
        let peer = SocketAddr::new(address, 5);
        let session = Session::remote(1, peer, Arc::new(endpoint), Some("User:alice".to_owned()));
        let access = crate::api::access::Access::of(fixture.broker.node(), &session, ApiKey::Fetch);
        access.topic(Operation::Read, "t")
    };
    for is_mapped in [false, true] {
        assert!(!may_read([10, 0, 0, 1].into(), is_mapped), "mapped: {is_mapped}");
        assert!(may_read([10, 0, 0, 2].into(), is_mapped), "mapped: {is_mapped}");
    }
    fixture.broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_without_rules_are_open_if_the_operator_says_so() {
    let open = AuthorizerConfig { allow_everyone_if_no_acl: true, ..AuthorizerConfig::default() };
    let fixture = Fixture::start(open).await;
    let session = || request(ApiKey::ListOffsets, 5, fixture.topic_id);
    assert!(refusals(&fixture.ask("User:bob", 5, session()).await).is_empty());
    fixture
        .grant(vec![Acl {
            resource_type: ResourceType::Topic,
            pattern_type: PatternType::Literal,
            name: "t".to_owned(),
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: Operation::Describe,
            permission: Permission::Allow,
        }])
        .await;
    let refused = refusals(&fixture.ask("User:bob", 5, session()).await);
    assert_eq!(refused, [ErrorCode::TopicAuthorizationFailed]);
    assert!(refusals(&fixture.ask("User:alice", 5, session()).await).is_empty());
    fixture.broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_does_not_show_hidden_topics() {
    use crate::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

    let fixture = Fixture::start(AuthorizerConfig::default()).await;
    let spec = TopicSpec { name: "secret".to_owned(), partitions: 1, configs: Default::default() };
    assert!(fixture.broker.node().topics().create(vec![spec]).await[0].is_ok());
    let secret = fixture.broker.node().image().topic("secret").expect("exists").id.0;
    let allow = |resource_type, name: &str| Acl {
        resource_type,
        pattern_type: PatternType::Literal,
        name: name.to_owned(),
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    fixture.grant(vec![allow(ResourceType::Group, "g"), allow(ResourceType::Topic, "t")]).await;
    let beat = async |member_epoch: i32, owned: &[(Uuid, i32)]| {
        use crate::protocol::messages::consumer_group_heartbeat::TopicPartitions;
        let partitions = |(topic_id, partition): &(Uuid, i32)| TopicPartitions {
            topic_id: *topic_id,
            partitions: vec![*partition],
        };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "m".to_owned(),
            member_epoch,
            rebalance_timeout_ms: 5_000,
            subscribed_topic_regex: Some(".*".to_owned()),
            topic_partitions: Some(owned.iter().map(partitions).collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let Some(Response::ConsumerGroupHeartbeat(answer)) =
            fixture.ask("User:alice", 1, request.into()).await
        else {
            panic!("an answer is due")
        };
        assert_eq!(answer.error_code, ErrorCode::None, "{:?}", answer.error_message);
        let assigned = answer.assignment.map(|assignment| assignment.topic_partitions).unwrap_or_default();
        (answer.member_epoch, assigned.into_iter().map(|topic| topic.topic_id).collect::<Vec<_>>())
    };
    let (epoch, assigned) = beat(0, &[]).await;
    assert_eq!(assigned, [fixture.topic_id]);
    fixture.grant(vec![allow(ResourceType::Topic, "secret")]).await;
    let (_, assigned) = beat(epoch, &[(fixture.topic_id, 0)]).await;
    assert!(assigned.contains(&secret) && assigned.contains(&fixture.topic_id), "{assigned:?}");
    fixture.broker.shutdown().await.expect("stops");
}

#[test]
fn a_refusal_names_what_may_not_be_used() {
    let said = |code| super::message(code).expect("every refusal says something");
    assert_eq!(said(ErrorCode::TopicAuthorizationFailed), "topic authorization failed");
    assert_eq!(said(ErrorCode::GroupAuthorizationFailed), "group authorization failed");
    assert_eq!(said(ErrorCode::TransactionalIdAuthorizationFailed), "transactional id authorization failed");
    assert_eq!(said(ErrorCode::ClusterAuthorizationFailed), "cluster authorization failed");
}
