//! `docs/kafka-compatibility.md` follows from the tables of APIs and settings; `UPDATE_GOLDEN=1` writes it anew.
//! Every API and KIP names tests, which must exist.

mod proofs;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proofs::{KIPS, Proof};
use weir_broker::metadata::topic_config::DEFINITIONS;
use weir_broker::protocol::api_key::ApiKey;

/// Clients in the order of the page, as `tests/clients/apis.txt` and the page call them.
const CLIENTS: [(&str, &str); 7] = [
    ("kafka-clients", "Java"),
    ("confluent-kafka", "confluent-kafka"),
    ("kcat", "kcat"),
    ("kafka-python", "kafka-python"),
    ("aiokafka", "aiokafka"),
    ("kafkajs", "kafkajs"),
    ("@platformatic/kafka", "platformatic"),
];

/// Which APIs each client sends, as the test that runs them has counted at the broker.
const SENT: &str = include_str!("../../tests/clients/apis.txt");

/// The clients that send an API in their test against a running broker.
fn clients(api: ApiKey) -> String {
    if api.served_versions().is_none() {
        return "–".to_owned();
    }
    let name = api.to_string();
    let sends = |client: &str| {
        let lines = SENT.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(who, _)| *who == client)
            .any(|(_, apis)| apis.split_whitespace().any(|api| api == name))
    };
    let who: Vec<&str> =
        CLIENTS.iter().filter(|(client, _)| sends(client)).map(|(_, title)| *title).collect();
    match who.len() {
        0 => "–".to_owned(),
        len if len == CLIENTS.len() => "all seven".to_owned(),
        _ => who.join(", "),
    }
}

/// One line for each API; an API without one does not compile.
fn about(api: ApiKey) -> &'static str {
    match api {
        ApiKey::Produce => {
            "ApiVersions claims 0 as the lowest version for old librdkafka, as Kafka 4 does; below 3 is refused. Message \
             formats v0 and v1: `INVALID_RECORD`. Every acknowledgement follows an fsync unless `durability` is relaxed."
        }
        ApiKey::Fetch => {
            "Incremental sessions (KIP-227), 1,000 at a time, for up to 500,000 partitions. Requests of followers are not \
             served."
        }
        ApiKey::ListOffsets => {
            "Timestamps -1 to -6; nothing is tiered, so -4 is the start, and -5 and -6 are none."
        }
        ApiKey::Metadata => {
            "Topics are made on demand only with `auto.create.topics.enable`, off by default."
        }
        ApiKey::OffsetCommit => "Member epochs of the newer protocol are checked from version 9 on.",
        ApiKey::OffsetFetch => "",
        ApiKey::FindCoordinator => "Groups and transactions, many keys at once; no share groups.",
        ApiKey::JoinGroup => "Eager and cooperative, static members.",
        ApiKey::Heartbeat | ApiKey::SyncGroup => "",
        ApiKey::LeaveGroup => "Also removes members of the newer protocol by instance id.",
        ApiKey::DescribeGroups => "A group of the newer protocol is `GROUP_ID_NOT_FOUND` from version 6 on.",
        ApiKey::ListGroups => "Filters by state and type.",
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and OAUTHBEARER when the node verifies tokens."
        }
        ApiKey::ApiVersions => "Features: `group.version` 1, `transaction.version` 2.",
        ApiKey::CreateTopics => {
            "Replication factor 1 or -1; assignments to this broker only. Names that differ in `.` and `_` only are refused."
        }
        ApiKey::DeleteTopics => "Internal topics are refused.",
        ApiKey::DeleteRecords => "Of topics that are only compacted: `POLICY_VIOLATION`.",
        ApiKey::InitProducerId => "Version 6 (two-phase commit) is not offered.",
        ApiKey::OffsetForLeaderEpoch => "",
        ApiKey::AddPartitionsToTxn => "Verification (version 4 and later) included.",
        ApiKey::AddOffsetsToTxn => "",
        ApiKey::EndTxn => "Version 5 raises the producer's epoch (KIP-890).",
        ApiKey::WriteTxnMarkers => "Between brokers only.",
        ApiKey::TxnOffsetCommit => "",
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => "",
        ApiKey::DescribeConfigs => {
            "Topics, the broker, consumer groups and subscriptions to client metrics, with sources, synonyms and documentation. No \
             settings of loggers."
        }
        ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
            "Topics, consumer groups, subscriptions to client metrics, and those broker settings that are defaults of topic settings."
        }
        ApiKey::AlterReplicaLogDirs => "There is one directory; any other is `LOG_DIR_NOT_FOUND`.",
        ApiKey::DescribeLogDirs => "A damaged log is reported as a failed directory of its own.",
        ApiKey::CreatePartitions => "",
        ApiKey::DeleteGroups => "",
        ApiKey::ElectLeaders => "`ELECTION_NOT_NEEDED`: the only replica leads.",
        ApiKey::AlterPartitionReassignments => "To this broker only, which changes nothing.",
        ApiKey::ListPartitionReassignments => "None is ever under way.",
        ApiKey::OffsetDelete => "",
        ApiKey::DescribeClientQuotas | ApiKey::AlterClientQuotas => "",
        ApiKey::DescribeUserScramCredentials | ApiKey::AlterUserScramCredentials => "",
        ApiKey::DescribeCluster => "",
        ApiKey::DescribeProducers => "",
        ApiKey::DescribeQuorum => "One voter, this node; offsets count changes of the metadata.",
        ApiKey::DescribeTransactions | ApiKey::ListTransactions => "",
        ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => {
            "Offered to clients that connect while there is a subscription. Subscriptions are made as with Kafka \
             (`CLIENT_METRICS` settings); what clients push is on `/metrics`."
        }
        ApiKey::ConsumerGroupHeartbeat => {
            "KIP-848 with the assignors `uniform` and `range`, patterns (of topics that a member may describe), static members. A group changes its protocol \
             when it is empty; there is no migration of a group with members."
        }
        ApiKey::ConsumerGroupDescribe => "",
        ApiKey::ListConfigResources => {
            "Topics, the broker, groups with settings, subscriptions to client metrics."
        }
        ApiKey::DescribeTopicPartitions => "In pages, by cursor.",
    }
}

/// APIs of Kafka 4 for clients and tools that are not supported, and why.
const ABSENT: &[(&str, &str)] = &[
    (
        "CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken",
        "No delegation tokens (KIP-48).",
    ),
    (
        "AddRaftVoter, RemoveRaftVoter, UnregisterBroker, UpdateFeatures",
        "The only voter and broker stays; feature levels are fixed.",
    ),
    ("Share groups (ShareGroupHeartbeat, ShareFetch and others)", "Not built (KIP-932)."),
    ("Streams groups (StreamsGroupHeartbeat, StreamsGroupDescribe)", "Not built (KIP-1071)."),
    ("Requests between brokers and controllers", "One broker."),
];

/// Tests as links to their files.
fn links(proofs: &[Proof]) -> String {
    let links: Vec<String> = proofs.iter().map(|(file, name)| format!("[{name}](../{file})")).collect();
    if links.is_empty() { "–".to_owned() } else { links.join(", ") }
}

fn document() -> String {
    let mut text = String::from(
        "# Kafka compatibility\n\n\
         Written by `UPDATE_GOLDEN=1 tests/cargo.sh test --test broker_suite compatibility` from the tables\n\
         in the source; the same test fails when this page is stale, or names a test that does not exist.\n\n\
         Every version of every API is compared, both ways and byte by byte, with an independent\n\
         implementation of the protocol (`broker/src/protocol/tests/reference.rs`); the few versions newer\n\
         than that one are checked field by field. The column \"tests\" names tests of the behaviour. Names with\n\
         hyphens are behaviours that the scripts of all clients try ([tests/clients](../tests/clients)).\n\n\
         The column \"clients\" lists which of the seven clients send an API in their test, as the broker\n\
         counted: Java's, confluent-kafka and kcat (librdkafka), kafka-python, aiokafka, kafkajs and\n\
         @platformatic/kafka.\n\n\
         ## APIs\n\n| API | key | versions | clients | tests | notes |\n|---|---|---|---|---|---|\n",
    );
    for &api in ApiKey::ALL {
        let (clients, tests, note) = (clients(api), links(proofs::of_api(api)), about(api));
        let versions =
            api.served_versions().map_or_else(|| "not served".to_owned(), |v| format!("{}–{}", v.min, v.max));
        let row = writeln!(text, "| {api} | {} | {versions} | {clients} | {tests} | {note} |", api.code());
        row.expect("strings take everything");
    }
    text.push_str("\n## KIPs\n\n| KIP | subject | tests |\n|---|---|---|\n");
    for (number, subject, proofs) in KIPS {
        writeln!(text, "| {number} | {subject} | {} |", links(proofs)).expect("strings take everything");
    }
    text.push_str("\n## Not supported\n\n| APIs | why |\n|---|---|\n");
    for (names, why) in ABSENT {
        writeln!(text, "| {names} | {why} |").expect("strings take everything");
    }
    text.push_str(
        "\n## Topic settings\n\nUnknown ones are refused (`INVALID_CONFIG`). The broker's setting, which can be changed\n\
         while the broker runs, gives the default.\n\n\
         | setting | default | broker's setting | meaning here |\n|---|---|---|---|\n",
    );
    for setting in DEFINITIONS {
        let default =
            if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
        let broker = if setting.broker_name.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", setting.broker_name)
        };
        let row = writeln!(text, "| `{}` | {default} | {broker} | {} |", setting.name, setting.documentation);
        row.expect("strings take everything");
    }
    text
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A file of Rust has the test as a function with the attribute, a list has it as a line.
fn has_test(file: &str, source: &str, name: &str) -> bool {
    if !file.ends_with(".rs") {
        return source.lines().any(|line| line == name);
    }
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let function = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.contains(&function)) else { return false };
    let is_head = |line: &&&str| line.starts_with("#[") || line.starts_with("//");
    let is_attribute = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    lines[..at].iter().rev().take_while(is_head).any(is_attribute)
}

#[test]
fn every_api_and_kip_names_tests_that_exist() {
    let apis = ApiKey::ALL.iter().filter(|api| api.served_versions().is_some());
    let apis = apis.map(|api| (api.to_string(), proofs::of_api(*api)));
    let kips = KIPS.iter().map(|(number, _, proofs)| (format!("KIP-{number}"), *proofs));
    for (subject, proofs) in apis.chain(kips) {
        assert!(!proofs.is_empty(), "{subject} names no test");
        for (file, name) in proofs {
            let source = fs::read_to_string(in_repository(file));
            let source = source.unwrap_or_else(|error| panic!("{subject} names {file}: {error}"));
            assert!(has_test(file, &source, name), "{subject}: {file} has no test {name}");
        }
    }
    assert!(KIPS.is_sorted_by_key(|(number, _, _)| number), "KIPs are in the order of their numbers");
}

#[test]
fn the_compatibility_page_is_what_the_tables_say() {
    let path = in_repository("docs/kafka-compatibility.md");
    let expected = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &expected).expect("the page is written");
    }
    let page = fs::read_to_string(&path).expect("the page exists");
    assert!(page == expected, "docs/kafka-compatibility.md is stale: run this test with UPDATE_GOLDEN=1");
}

#[test]
fn the_list_of_what_clients_send_names_known_clients_and_apis() {
    for line in SENT.lines() {
        let (client, apis) = line.split_once(':').expect("a line is CLIENT: API...");
        assert!(CLIENTS.iter().any(|(name, _)| *name == client), "{client}");
        for name in apis.split_whitespace() {
            let api = ApiKey::ALL.iter().find(|api| api.to_string() == name);
            assert!(api.is_some_and(|api| api.served_versions().is_some()), "{client}: {name}");
        }
    }
}
