//! What sessions leave out, and who gets one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::api::fetch::sessions::{FetchSessions, Incremental, SharedSession};
use crate::env::rng::SeededRng;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::fetch::{
    FetchPartition, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData,
};

const ALICE: &str = "User:alice";

fn topic(name: &str, partitions: impl IntoIterator<Item = i32>) -> FetchTopic {
    let partition = |partition| FetchPartition { partition, ..FetchPartition::default() };
    FetchTopic {
        topic: name.to_owned(),
        topic_id: Uuid::nil(),
        partitions: partitions.into_iter().map(partition).collect(),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn request<'a>(epoch: i32, topics: &'a [FetchTopic], forgotten: &'a [ForgottenTopic]) -> Incremental<'a> {
    Incremental { principal: ALICE, epoch, by_id: false, topics, forgotten }
}

fn open(sessions: &FetchSessions, rng: &SeededRng, size: i32, at: u64) -> Option<i32> {
    let opened = sessions.open(ALICE.into(), false, &[topic("t", 0..size)], seconds(at), rng);
    opened.map(|(id, _)| id)
}

fn outcome(result: Result<Option<SharedSession>, ErrorCode>) -> Result<bool, ErrorCode> {
    result.map(|session| session.is_some())
}

#[test]
fn epochs_ids_and_owners_are_checked() {
    let (sessions, rng) = (FetchSessions::new(10, 100), SeededRng::new(1));
    let id = open(&sessions, &rng, 3, 0).expect("room");
    let advance = |id, incremental: Incremental<'_>| outcome(sessions.advance(id, incremental, seconds(1)));
    assert_eq!(advance(id + 1, request(1, &[], &[])), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(advance(id, request(2, &[], &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
    let by_id = Incremental { by_id: true, ..request(1, &[], &[]) };
    assert_eq!(advance(id, by_id), Err(ErrorCode::FetchSessionTopicIdError));
    let bob = Incremental { principal: "User:bob", ..request(1, &[], &[]) };
    assert_eq!(advance(id, bob), Err(ErrorCode::FetchSessionIdNotFound));
    sessions.close(id, "User:bob");
    assert_eq!(advance(id, request(1, &[], &[])), Ok(true));
    assert_eq!(advance(id, request(1, &[], &[])), Err(ErrorCode::InvalidFetchSessionEpoch), "an answer lost");
    let forgotten =
        |partitions| [ForgottenTopic { topic: "t".to_owned(), topic_id: Uuid::nil(), partitions }];
    assert_eq!(advance(id, request(2, &[], &forgotten(vec![0, 9]))), Ok(true));
    assert_eq!(sessions.figures(), (1, 2));
    assert_eq!(advance(id, request(3, &[topic("u", [0])], &[])), Ok(true));
    assert_eq!(sessions.figures(), (1, 3));
    let rest = [
        forgotten(vec![1, 2]),
        [ForgottenTopic { topic: "u".to_owned(), partitions: vec![0], ..Default::default() }],
    ];
    assert_eq!(advance(id, request(4, &[], &rest.concat())), Ok(false), "a session of nothing ends");
    assert_eq!(sessions.figures(), (0, 0));
    assert_eq!(open(&sessions, &rng, 0, 0), None);
    let id = open(&sessions, &rng, 1, 0).expect("room");
    sessions.close(id, ALICE);
    assert_eq!(sessions.figures(), (0, 0));
}

#[test]
fn the_oldest_and_the_smallest_make_room() {
    let (sessions, rng) = (FetchSessions::new(2, 100), SeededRng::new(1));
    let small = open(&sessions, &rng, 2, 0).expect("a slot");
    let large = open(&sessions, &rng, 9, 0).expect("a slot");
    assert_eq!(open(&sessions, &rng, 50, 120), None, "both keep their slots for two minutes");
    let advance = |id, epoch, at| outcome(sessions.advance(id, request(epoch, &[], &[]), seconds(at)));
    assert_eq!(advance(small, 1, 121), Ok(true));
    assert_eq!(advance(large, 1, 121), Ok(true));
    assert_eq!(open(&sessions, &rng, 2, 122), None, "nobody is smaller");
    let larger = open(&sessions, &rng, 3, 122).expect("the small one makes room");
    assert_eq!(advance(small, 2, 122), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(advance(large, 2, 200), Ok(true));
    // Unused for more than two minutes: even for a smaller one.
    assert!(open(&sessions, &rng, 1, 243).is_some());
    assert_eq!(advance(larger, 1, 243), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!((sessions.figures(), sessions.evictions.get()), ((2, 10), 2));
}

#[test]
fn partitions_of_all_sessions_are_bounded() {
    let (sessions, rng) = (FetchSessions::new(10, 100), SeededRng::new(1));
    assert_eq!(open(&sessions, &rng, 101, 0), None);
    let id = open(&sessions, &rng, 60, 0).expect("room");
    assert_eq!(open(&sessions, &rng, 41, 0), None);
    assert!(open(&sessions, &rng, 40, 0).is_some());
    let grown = [topic("u", 0..1)];
    let refused = sessions.advance(id, request(1, &grown, &[]), seconds(0));
    assert_eq!(outcome(refused), Err(ErrorCode::FetchSessionIdNotFound), "begins again, and names all");
    assert_eq!(sessions.figures(), (1, 40));
    let long = [topic(&"n".repeat(250), [0])];
    assert!(sessions.open(ALICE.into(), false, &long, seconds(0), &rng).is_none());
}

/// A partition as it is, and as it is told.
#[derive(Debug, Clone, PartialEq)]
struct Truth {
    error_code: ErrorCode,
    offsets: (i64, i64, i64),
    records: Vec<u8>,
}

impl Truth {
    fn any(random: &mut StdRng) -> Self {
        let error_code =
            if random.random_bool(0.1) { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::None };
        if error_code.is_err() {
            return Self { error_code, offsets: (-1, -1, -1), records: Vec::new() };
        }
        let high_watermark = random.random_range(0..4);
        let records = if random.random_bool(0.2) { vec![1] } else { Vec::new() };
        Self { error_code, offsets: (high_watermark, random.random_range(0..=high_watermark), 0), records }
    }

    fn told(&self, partition_index: i32) -> PartitionData {
        PartitionData {
            partition_index,
            error_code: self.error_code,
            high_watermark: self.offsets.0,
            last_stable_offset: self.offsets.1,
            log_start_offset: self.offsets.2,
            records: Some(Bytes::copy_from_slice(&self.records)),
            ..PartitionData::default()
        }
    }
}

impl From<&PartitionData> for Truth {
    fn from(data: &PartitionData) -> Self {
        let offsets = (data.high_watermark, data.last_stable_offset, data.log_start_offset);
        Self {
            error_code: data.error_code,
            offsets,
            records: data.records.clone().unwrap_or_default().to_vec(),
        }
    }
}

fn answer(topics: &[FetchTopic], truth: &BTreeMap<(String, i32), Truth>) -> Vec<FetchableTopicResponse> {
    let response = |topic: &FetchTopic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|wanted| truth[&(topic.topic.clone(), wanted.partition)].told(wanted.partition))
            .collect(),
    };
    topics.iter().map(response).collect()
}

/// Clients that add and forget partitions, which change in between, know after every answer what a full one would tell.
#[test]
fn an_incremental_answer_tells_what_a_full_one_would() {
    let seed = crate::env::rng::test_seed();
    println!("WEIR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut left_out, mut told) = (0, 0);
    for round in 0..300 {
        let (sessions, rng) = (FetchSessions::new(1, 1_000), SeededRng::new(seed.wrapping_add(round)));
        let all: Vec<(String, i32)> = ["a", "b", "c"]
            .into_iter()
            .flat_map(|name| (0..4).map(move |at| (name.to_owned(), at)))
            .collect();
        let mut truth: BTreeMap<_, _> =
            all.iter().map(|one| (one.clone(), Truth::any(&mut random))).collect();
        let first = [topic("a", 0..2), topic("b", 1..3)];
        let opened = sessions.open(ALICE.into(), false, &first, seconds(0), &rng);
        let (id, session) = opened.expect("room");
        let mut full = answer(&first, &truth);
        session.lock().tell(&mut full, false);
        let mut known: BTreeMap<(String, i32), Truth> = BTreeMap::new();
        let learn = |known: &mut BTreeMap<(String, i32), Truth>, topics: &[FetchableTopicResponse]| {
            for topic in topics {
                known.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|data| ((topic.topic.clone(), data.partition_index), data.into())),
                );
            }
        };
        learn(&mut known, &full);
        for epoch in 1..30 {
            for partition in &all {
                if random.random_bool(0.3) {
                    truth.insert(partition.clone(), Truth::any(&mut random));
                }
            }
            let (mut added, mut forgotten) = (Vec::new(), Vec::new());
            for (name, at) in &all {
                if random.random_bool(0.1) {
                    added.push(topic(name, [*at]));
                } else if random.random_bool(0.05) {
                    let (topic, partitions) = (name.clone(), vec![*at]);
                    forgotten.push(ForgottenTopic { topic, partitions, ..ForgottenTopic::default() });
                    known.remove(&(name.clone(), *at));
                }
            }
            let advanced = sessions.advance(id, request(epoch, &added, &forgotten), seconds(1));
            let Some(session) = advanced.expect("the right epoch") else { break };
            let everything = session.lock().topics();
            let full = answer(&everything, &truth);
            let mut news = full.clone();
            session.lock().tell(&mut news, true);
            // What is not mentioned is as it was, without further records.
            known.values_mut().for_each(|truth| truth.records.clear());
            learn(&mut known, &news);
            let mut expected = BTreeMap::new();
            learn(&mut expected, &full);
            assert_eq!(known, expected, "round {round}, epoch {epoch}");
            let count =
                |topics: &[FetchableTopicResponse]| topics.iter().map(|t| t.partitions.len()).sum::<usize>();
            left_out += count(&full) - count(&news);
            told += count(&news);
        }
    }
    assert!(left_out > 1_000 && told > 1_000, "{left_out} left out, {told} told");
}

#[test]
fn partitions_take_turns_at_being_first() {
    let (sessions, rng) = (FetchSessions::new(1, 100), SeededRng::new(1));
    let (_, session) =
        sessions.open(ALICE.into(), false, &[topic("a", 0..3)], seconds(0), &rng).expect("room");
    let order = || session.lock().topics()[0].partitions.iter().map(|p| p.partition).collect::<Vec<_>>();
    let full = Truth { error_code: ErrorCode::None, offsets: (9, 9, 0), records: vec![1] };
    let empty = Truth { records: Vec::new(), ..full.clone() };
    for (first, expected) in [(0, [1, 2, 0]), (1, [2, 0, 1]), (2, [0, 1, 2])] {
        let data = |at: i32| if at == first { full.told(at) } else { empty.told(at) };
        let partitions = (0..3).map(data).collect();
        let mut topics =
            vec![FetchableTopicResponse { topic: "a".to_owned(), topic_id: Uuid::nil(), partitions }];
        session.lock().tell(&mut topics, true);
        assert_eq!(order(), expected);
    }
}
