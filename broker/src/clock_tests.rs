//! A running broker whose wall clock is set, forward and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, Effects};
use crate::client::admin::Admin;
use crate::config::BrokerConfig;
use crate::env::clock::{Clock, SystemClock};
use crate::group::consumer::assignor::PartitionSet;
use crate::group::consumer::heartbeat::HeartbeatRequest;
use crate::group::coordinator::OffsetToCommit;
use crate::group::message::{JoinRequest, SyncRequest};
use crate::group::sync::{CommitKind, Committer};
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;
use crate::txn::coordinator::TxnVersion;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
const START_MS: i64 = 20_000 * DAY_MS;
/// Longer than the test takes on any machine.
const TIMEOUT_MS: i32 = 600_000;

/// The machine's clock, which can be set and hurried on. It does move by itself: syncs wait for that.
#[derive(Debug)]
struct SetClock {
    machine: SystemClock,
    wall_ms: AtomicI64,
    passed_ms: AtomicI64,
}

impl SetClock {
    fn at(wall_ms: i64) -> Arc<Self> {
        let (wall_ms, passed_ms) = (AtomicI64::new(wall_ms), AtomicI64::new(0));
        Arc::new(Self { machine: SystemClock::new(), wall_ms, passed_ms })
    }

    /// The wall clock alone jumps.
    fn jump(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// So much time goes by.
    fn pass(&self, ms: i64) {
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.monotonic().as_millis()).expect("small");
        self.wall_ms.load(Ordering::SeqCst) + elapsed
    }

    fn monotonic(&self) -> Duration {
        let passed = u64::try_from(self.passed_ms.load(Ordering::SeqCst)).expect("time passes forward");
        self.machine.monotonic() + Duration::from_millis(passed)
    }
}

async fn start(dir: &Path, clock: &Arc<SetClock>) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    let effects = Effects { clock: clock.clone(), ..Effects::default() };
    Broker::start_with(config, effects).await.expect("the broker starts")
}

/// A static member of a classic group, alone and stable. Returns its id.
async fn join(broker: &Broker) -> String {
    let request = JoinRequest {
        member_id: String::new(),
        instance_id: Some("instance".to_owned()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: TIMEOUT_MS,
        rebalance_timeout_ms: TIMEOUT_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        new_member_id: "member".to_owned(),
        require_known_member_id: true,
        skip_assignment_supported: true,
    };
    let joined = broker.node().groups().join("classic", request).await;
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, 1));
    let request = SyncRequest {
        generation: 1,
        member_id: joined.member_id.clone(),
        instance_id: None,
        protocol_type: None,
        protocol: None,
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
    };
    assert_eq!(broker.node().groups().sync("classic", request).await.error, ErrorCode::None);
    joined.member_id
}

/// A heartbeat of the newer protocol; its epoch or why it was refused.
async fn live(broker: &Broker, epoch: i32) -> Result<i32, ErrorCode> {
    let joining = epoch == 0;
    let request = HeartbeatRequest {
        member_id: "m".to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: if joining { TIMEOUT_MS } else { -1 },
        topics: joining.then(|| vec!["t".to_owned()]),
        owned: joining.then(PartitionSet::new),
        ..HeartbeatRequest::default()
    };
    let image = broker.node().metadata().image();
    let reply = broker.node().groups().consumer_heartbeat("consumer", &request, &image).await;
    reply.map(|reply| reply.member_epoch).map_err(|refusal| refusal.error)
}

async fn commit_by_hand(broker: &Broker, offset: i64) {
    let by = Committer {
        generation: -1,
        member_id: "",
        instance_id: None,
        kind: CommitKind::Plain,
        knows_member_epochs: true,
    };
    let offset = OffsetToCommit {
        topic: "t".to_owned(),
        partition: 0,
        offset,
        leader_epoch: 0,
        metadata: String::new(),
    };
    let errors = broker.node().groups().commit("simple", by, vec![offset]).await;
    assert_eq!(errors, Ok(vec![ErrorCode::None]));
}

async fn committed(broker: &Broker) -> usize {
    broker.node().groups().all_offsets("simple", false).await.expect("answered").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_transactions_outlive_a_clock_that_is_set() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = SetClock::at(START_MS);
    let broker = start(dir.path(), &clock).await;
    Admin::new(broker.transport()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let member = join(&broker).await;
    let epoch = live(&broker, 0).await.expect("joined");
    let txns = broker.node().txns();
    let mut producer = txns.init("x", TIMEOUT_MS, None).await.expect("an id");
    for jump in [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS, 30 * DAY_MS] {
        let added = txns.add_partitions("x", producer, vec![("t".to_owned(), 0)]).await;
        assert_eq!(added, Ok(()), "before {jump} ms");
        clock.jump(jump);
        broker.node().expire();
        broker.node().expire_stored().expect("expired");
        let alive = broker.node().groups().heartbeat("classic", &member, Some("instance"), 1);
        assert_eq!(alive, ErrorCode::None, "after {jump} ms");
        assert_eq!(live(&broker, epoch).await, Ok(epoch), "after {jump} ms");
        let end = txns.end("x", producer, MarkerKind::Commit, TxnVersion::V2).await;
        producer = end.unwrap_or_else(|code| panic!("after {jump} ms: {code}"));
    }
    // Time that does pass still ends sessions and transactions.
    txns.add_partitions("x", producer, vec![("t".to_owned(), 0)]).await.expect("added");
    clock.pass(i64::from(TIMEOUT_MS) + 1);
    broker.node().expire();
    let gone = broker.node().groups().heartbeat("classic", &member, None, 1);
    assert_eq!(gone, ErrorCode::UnknownMemberId);
    assert_eq!(live(&broker, epoch).await, Err(ErrorCode::UnknownMemberId));
    let late = txns.end("x", producer, MarkerKind::Commit, TxnVersion::V2).await;
    assert!(late.is_err(), "{late:?}");
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_after_the_clock_was_put_right_has_the_right_time() {
    let dir = tempfile::tempdir().expect("a directory");
    // As on a machine that learns the time after the broker has started.
    let clock = SetClock::at(0);
    let broker = start(dir.path(), &clock).await;
    Admin::new(broker.transport()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    clock.jump(START_MS);
    commit_by_hand(&broker, 5).await;
    broker.node().txns().init("x", TIMEOUT_MS, None).await.expect("an id");
    broker.node().expire_stored().expect("expired");
    assert_eq!(committed(&broker).await, 1);
    broker.shutdown().await.expect("a clean end");

    clock.pass(DAY_MS);
    let broker = start(dir.path(), &clock).await;
    broker.node().expire_stored().expect("expired");
    assert_eq!(committed(&broker).await, 1, "a day is less than the retention time");
    assert!(broker.node().txns().with_transaction("x", |_| ()).is_some());
    clock.pass(7 * DAY_MS);
    broker.node().expire_stored().expect("expired");
    assert_eq!(committed(&broker).await, 0);
    assert!(broker.node().txns().with_transaction("x", |_| ()).is_none());
    broker.shutdown().await.expect("a clean end");
}
