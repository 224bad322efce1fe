//! `docs/kafka-compatibility.md` follows from the tables of APIs and settings; `UPDATE_GOLDEN=1` writes it anew.

use std::fmt::Write;
use std::path::Path;

use weir_broker::metadata::topic_config::DEFINITIONS;
use weir_broker::protocol::api_key::ApiKey;

/// Who sends the API in a test against a running broker, beside the comparison of every version's bytes with an
/// independent implementation.
#[derive(Clone, Copy)]
enum Tested {
    /// All seven clients of `tests/clients`.
    Clients,
    /// Several of them, Java's and confluent-kafka among them.
    Several,
    /// Java's client.
    Java,
    /// confluent-kafka.
    Confluent,
    /// Weir's own client or a test's requests.
    Own,
    /// Nobody: it is not served.
    No,
}

impl Tested {
    fn text(self) -> &'static str {
        match self {
            Self::Clients => "seven clients",
            Self::Several => "Java, confluent-kafka and others",
            Self::Java => "Java",
            Self::Confluent => "confluent-kafka",
            Self::Own => "own tests",
            Self::No => "–",
        }
    }
}

/// One line for each API; an API without one does not compile.
fn about(api: ApiKey) -> (Tested, &'static str) {
    use Tested::{Clients, Confluent, Java, No, Own, Several};
    match api {
        ApiKey::Produce => (
            Clients,
            "ApiVersions claims 0 as the lowest version for old librdkafka, as Kafka 4 does; below 3 is refused. Message \
             formats v0 and v1: `INVALID_RECORD`. Every acknowledgement follows an fsync unless `durability` is relaxed.",
        ),
        ApiKey::Fetch => (
            Clients,
            "No fetch sessions: answered with session id 0, after which clients name all partitions each time. Requests \
             of followers are not served.",
        ),
        ApiKey::ListOffsets => {
            (Clients, "Timestamps -1 to -6; nothing is tiered, so -4 is the start, and -5 and -6 are none.")
        }
        ApiKey::Metadata => {
            (Clients, "Topics are made on demand only with `auto.create.topics.enable`, off by default.")
        }
        ApiKey::OffsetCommit => {
            (Several, "Member epochs of the newer protocol are checked from version 9 on.")
        }
        ApiKey::OffsetFetch => (Several, ""),
        ApiKey::FindCoordinator => (Several, "Groups and transactions, many keys at once; no share groups."),
        ApiKey::JoinGroup => (Several, "Eager and cooperative, static members."),
        ApiKey::Heartbeat | ApiKey::SyncGroup => (Several, ""),
        ApiKey::LeaveGroup => (Several, "Also removes members of the newer protocol by instance id."),
        ApiKey::DescribeGroups => {
            (Several, "A group of the newer protocol is `GROUP_ID_NOT_FOUND` from version 6 on.")
        }
        ApiKey::ListGroups => (Several, "Filters by state and type."),
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
            (Confluent, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.")
        }
        ApiKey::ApiVersions => (Clients, "Features: `group.version` 1, `transaction.version` 2."),
        ApiKey::CreateTopics => (
            Several,
            "Replication factor 1 or -1; assignments to this broker only. Names that differ in `.` and `_` only are refused.",
        ),
        ApiKey::DeleteTopics => (Several, "Internal topics are refused."),
        ApiKey::DeleteRecords => (Java, "Of topics that are only compacted: `POLICY_VIOLATION`."),
        ApiKey::InitProducerId => (Several, "Version 6 (two-phase commit) is not offered."),
        ApiKey::OffsetForLeaderEpoch => (Own, ""),
        ApiKey::AddPartitionsToTxn => (Several, "Verification (version 4 and later) included."),
        ApiKey::AddOffsetsToTxn => (Several, ""),
        ApiKey::EndTxn => (Several, "Version 5 raises the producer's epoch (KIP-890)."),
        ApiKey::WriteTxnMarkers => (No, "Between brokers only."),
        ApiKey::TxnOffsetCommit => (Several, ""),
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => (Own, ""),
        ApiKey::DescribeConfigs => (
            Java,
            "Topics, the broker and consumer groups, with sources, synonyms and documentation. No settings of loggers and client \
             metrics.",
        ),
        ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => (
            Several,
            "Topics, consumer groups, and those broker settings that are defaults of topic settings.",
        ),
        ApiKey::AlterReplicaLogDirs => (Own, "There is one directory; any other is `LOG_DIR_NOT_FOUND`."),
        ApiKey::DescribeLogDirs => (Java, "A damaged log is told as a failed directory of its own."),
        ApiKey::CreatePartitions => (Several, ""),
        ApiKey::DeleteGroups => (Several, ""),
        ApiKey::ElectLeaders => (Own, "`ELECTION_NOT_NEEDED`: the only replica leads."),
        ApiKey::AlterPartitionReassignments => (Own, "To this broker only, which changes nothing."),
        ApiKey::ListPartitionReassignments => (Own, "None is ever under way."),
        ApiKey::OffsetDelete => (Java, ""),
        ApiKey::DescribeClientQuotas | ApiKey::AlterClientQuotas => (Own, ""),
        ApiKey::DescribeUserScramCredentials | ApiKey::AlterUserScramCredentials => (Own, ""),
        ApiKey::DescribeCluster => (Several, ""),
        ApiKey::DescribeProducers => (Java, ""),
        ApiKey::DescribeTransactions | ApiKey::ListTransactions => (Java, ""),
        ApiKey::ConsumerGroupHeartbeat => (
            Several,
            "KIP-848 with the assignors `uniform` and `range`, patterns, static members. A group changes its protocol \
             when it is empty; there is no migration of a group with members.",
        ),
        ApiKey::ConsumerGroupDescribe => (Several, ""),
        ApiKey::ListConfigResources => (Own, "Topics, the broker, groups with settings."),
        ApiKey::DescribeTopicPartitions => (Java, "In pages, by cursor."),
    }
}

/// APIs of Kafka 4 for clients and tools that are not there at all, and why.
const ABSENT: &[(&str, &str)] = &[
    (
        "CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken",
        "No delegation tokens.",
    ),
    (
        "DescribeQuorum, AddRaftVoter, RemoveRaftVoter, UnregisterBroker, UpdateFeatures",
        "There is no quorum; feature levels are fixed.",
    ),
    ("GetTelemetrySubscriptions, PushTelemetry", "Clients that do not find them push no metrics."),
    ("Share groups (ShareGroupHeartbeat, ShareFetch and others)", "Not built."),
    ("Streams groups (StreamsGroupHeartbeat, StreamsGroupDescribe)", "Not built."),
    ("Requests between brokers and controllers", "One broker."),
];

fn document() -> String {
    let mut text = String::from(
        "# Kafka compatibility\n\n\
         Written by `UPDATE_GOLDEN=1 cargo test -p weir-broker --test compatibility` from the tables in the source; the \
         same test fails when this page is stale.\n\n\
         Every version of every API is also compared, both ways and byte by byte, with an independent implementation of \
         the protocol; the few versions newer than that one are checked field by field.\n\n\
         The seven clients are those of `tests/clients`: Java's, librdkafka's (kcat, confluent-kafka), kafka-python, \
         aiokafka, kafkajs and @platformatic/kafka.\n\n\
         ## APIs\n\n| API | key | versions | tested with | notes |\n|---|---|---|---|---|\n",
    );
    for &api in ApiKey::ALL {
        let (tested, note) = about(api);
        let versions =
            api.served_versions().map_or_else(|| "not served".to_owned(), |v| format!("{}–{}", v.min, v.max));
        let row = writeln!(text, "| {api} | {} | {versions} | {} | {note} |", api.code(), tested.text());
        row.expect("strings take everything");
    }
    text.push_str("\n## Not there\n\n| APIs | why |\n|---|---|\n");
    for (names, why) in ABSENT {
        writeln!(text, "| {names} | {why} |").expect("strings take everything");
    }
    text.push_str(
        "\n## Topic settings\n\nUnknown ones are refused (`INVALID_CONFIG`). The broker's setting, which can be changed \
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

#[test]
fn the_compatibility_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kafka-compatibility.md");
    let expected = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).expect("the page is written");
    }
    let page = std::fs::read_to_string(&path).expect("the page exists");
    assert!(page == expected, "docs/kafka-compatibility.md is stale: run this test with UPDATE_GOLDEN=1");
}

#[test]
fn what_is_not_served_is_not_called_tested() {
    for &api in ApiKey::ALL {
        let untested = matches!(about(api).0, Tested::No);
        assert_eq!(untested, api.served_versions().is_none(), "{api}");
    }
}
