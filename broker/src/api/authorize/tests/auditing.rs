//! Every decision reaches the audit sink, and none does for what is only left out of an answer.

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::auth::audit::{AuditEvent, AuditQueue};

async fn audited(authorizer: Option<AuthorizerConfig>) -> (Fixture, Receiver<AuditEvent>) {
    let (queue, events) = AuditQueue::new(100_000);
    let change = |config: &mut BrokerConfig| {
        config.security.authorizer = authorizer;
        config.security.audit = Some(queue);
    };
    (Fixture::start_with(AuthorizerConfig::default(), change).await, events)
}

fn taken(events: &mut Receiver<AuditEvent>) -> Vec<AuditEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_reported() {
    let admins = AuthorizerConfig { super_users: vec!["User:root".to_owned()], ..Default::default() };
    let (fixture, mut events) = audited(Some(admins)).await;
    let mut table = Table::default();
    table.fill();
    fixture.grant(table.acls).await;
    assert_eq!(taken(&mut events), [], "callers in this process are not reported");
    let mut wrong = Vec::new();
    for cell in &table.cells {
        let Cell { api, version, principal, expected } = cell;
        let answer = fixture.ask(principal, *version, request(*api, *version, fixture.topic_id)).await;
        let reported = taken(&mut events);
        for event in &reported {
            assert_eq!((&*event.principal, &*event.action), (&**principal, api.name()));
            assert_eq!(event.client.map(|client| client.to_string()).as_deref(), Some("10.0.0.1"));
            assert!(event.operation.is_some() && event.resource.is_some());
        }
        let denied = reported.iter().any(|event| !event.allowed);
        // The settings of a new topic are left out of the answer; making it is not refused.
        let is_partly_shown = *api == ApiKey::CreateTopics && !reported.is_empty();
        if denied != expected.is_some() && !is_partly_shown {
            wrong.push(format!("{api} {version} {principal}: {answer:?} {reported:?}"));
        }
        if expected.is_none() && row(*api, *version).is_some() {
            // Brokers read the epochs of all topics, which is not reported.
            let by_broker = *api == ApiKey::OffsetForLeaderEpoch;
            assert!(by_broker || !reported.is_empty(), "{api} {version} {principal}: {answer:?}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.cells.len(), wrong.join("\n"));
    let answer = fixture.ask("User:root", 7, request(ApiKey::CreateTopics, 7, fixture.topic_id)).await;
    let reported = taken(&mut events);
    assert!(reported.iter().all(|event| event.allowed), "{answer:?} {reported:?}");
    let resource = reported[0].resource.as_ref().expect("a topic");
    assert_eq!((resource.kind, &*reported[0].principal), (ResourceType::Topic, "User:root"));
    fixture.broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_reported_without_an_authorizer_too() {
    let (fixture, mut events) = audited(None).await;
    for _ in 0..3 {
        fixture.ask("User:alice", 9, request(ApiKey::Produce, 9, fixture.topic_id)).await;
        fixture.ask("User:alice", 6, request(ApiKey::DeleteTopics, 6, fixture.topic_id)).await;
    }
    let reported: Vec<_> =
        taken(&mut events).into_iter().map(|event| (event.action.into_owned(), event.allowed)).collect();
    let count =
        |api: ApiKey| reported.iter().filter(|(action, allowed)| action == api.name() && *allowed).count();
    assert!(count(ApiKey::Produce) < 3, "what is done all the time is counted: {reported:?}");
    assert!(count(ApiKey::DeleteTopics) >= 3, "changes are reported each: {reported:?}");
    fixture.broker.shutdown().await.expect("stops");
}
