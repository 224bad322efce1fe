//! The tests that docs/kafka-compatibility.md names, for each API and each KIP.

use weir_broker::protocol::api_key::ApiKey;

/// A test by file and function, or a behaviour that the scripts of all clients try.
pub(super) type Proof = (&'static str, &'static str);

const ACLS: &str = "broker/src/auth/acl_set/tests.rs";
const ADDRESSES: &str = "broker/tests/addresses.rs";
const ADMIN: &str = "broker/tests/admin.rs";
const AUTHORIZE: &str = "broker/src/api/authorize/tests.rs";
const BEHAVIOURS: &str = "tests/clients/behaviours.txt";
const BROKER: &str = "broker/tests/broker.rs";
const CHURN: &str = "broker/tests/churn.rs";
const CLEANING: &str = "broker/src/log/tests/cleaning.rs";
const CONSUMER_GROUP: &str = "broker/src/group/consumer/tests.rs";
const CONSUMER_GROUP_CHURN: &str = "broker/src/group/consumer/tests/churn.rs";
const DAMAGE: &str = "broker/tests/damage.rs";
const FETCH_SESSIONS: &str = "broker/tests/fetch_sessions.rs";
const FULL_DISK: &str = "broker/tests/full_disk.rs";
const GROUP: &str = "broker/src/group/tests.rs";
const LAYOUT: &str = "broker/src/protocol/tests/layout.rs";
const MISBEHAVIOUR: &str = "broker/src/net/tests/misbehaviour.rs";
const OAUTH: &str = "broker/tests/oauth.rs";
const OLD_FORMATS: &str = "broker/tests/old_formats.rs";
const POWER_GROUPS: &str = "broker/tests/power/groups.rs";
const POWER_METADATA: &str = "broker/tests/power/metadata.rs";
const POWER_RECORDS: &str = "broker/tests/power/records.rs";
const POWER_TRANSACTIONS: &str = "broker/tests/power/transactions.rs";
const SECURITY: &str = "broker/tests/security.rs";
const SEMANTICS: &str = "broker/tests/semantics.rs";
const TELEMETRY: &str = "broker/tests/telemetry.rs";
const TIMESTAMPS: &str = "broker/tests/timestamps.rs";
const TRANSACTIONAL_COPY: &str = "tests/tests/transactional_copy.rs";
const TXN: &str = "broker/src/txn/tests.rs";
const TXN_CRASH: &str = "broker/tests/txn_crash.rs";

/// The tests of an API; none for one that is not served. An API without an arm does not compile.
pub(super) fn of_api(api: ApiKey) -> &'static [Proof] {
    match api {
        ApiKey::Produce => &[
            (BROKER, "what_is_produced_with_any_codec_is_read_and_survives_a_restart"),
            (POWER_RECORDS, "acknowledged_records_survive_and_deleted_ones_stay_deleted"),
        ],
        ApiKey::Fetch => &[
            (SEMANTICS, "limits_hold_over_all_partitions_of_a_fetch"),
            (FETCH_SESSIONS, "an_incremental_session_tells_what_full_fetches_tell"),
        ],
        ApiKey::ListOffsets => &[(SEMANTICS, "special_timestamps_stand_for_ends_of_the_log")],
        ApiKey::Metadata => {
            &[(SEMANTICS, "topics_are_made_on_demand_only_where_that_is_switched_on_and_wanted")]
        }
        ApiKey::OffsetCommit => &[(POWER_GROUPS, "committed_offsets_survive")],
        ApiKey::OffsetFetch => {
            &[(POWER_TRANSACTIONS, "records_and_offsets_of_an_open_transaction_are_committed_after_the_loss")]
        }
        ApiKey::FindCoordinator | ApiKey::DescribeCluster => {
            &[(ADDRESSES, "a_client_of_a_wildcard_listener_is_given_the_address_it_connected_to")]
        }
        ApiKey::JoinGroup | ApiKey::Heartbeat => &[(CHURN, "a_partition_never_has_two_owners")],
        ApiKey::SyncGroup => &[
            (CHURN, "a_partition_never_has_two_owners"),
            (POWER_GROUPS, "an_assignment_that_a_member_was_given_survives"),
        ],
        ApiKey::LeaveGroup => &[(POWER_GROUPS, "a_member_that_left_stays_away")],
        ApiKey::DescribeGroups => &[(POWER_GROUPS, "an_assignment_that_a_member_was_given_survives")],
        ApiKey::ListGroups => &[(FULL_DISK, "groups_reach_the_log_when_there_is_room")],
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
            &[(SECURITY, "users_authenticate_by_every_mechanism_and_survive_a_restart")]
        }
        ApiKey::ApiVersions => &[
            (MISBEHAVIOUR, "versions_of_the_future_are_answered_with_those_served"),
            (ADMIN, "resources_and_features_are_listed"),
        ],
        ApiKey::CreateTopics => &[
            (BROKER, "topics_are_administered"),
            (SEMANTICS, "topics_that_metrics_cannot_tell_apart_are_refused"),
        ],
        ApiKey::DeleteTopics | ApiKey::CreatePartitions => {
            &[(POWER_METADATA, "topics_made_deleted_and_widened_stay_so")]
        }
        ApiKey::DeleteRecords => {
            &[(POWER_RECORDS, "acknowledged_records_survive_and_deleted_ones_stay_deleted")]
        }
        ApiKey::InitProducerId => &[
            (POWER_TRANSACTIONS, "a_producer_id_is_given_to_one_producer_only"),
            (BROKER, "a_new_producer_fences_the_old_one_and_aborts_its_transaction"),
        ],
        ApiKey::OffsetForLeaderEpoch => &[(BEHAVIOURS, "offset-truncated")],
        ApiKey::AddPartitionsToTxn | ApiKey::AddOffsetsToTxn => {
            &[(TXN_CRASH, "partitions_and_offsets_added_by_request_survive_a_loss_of_power")]
        }
        ApiKey::EndTxn => &[
            (POWER_TRANSACTIONS, "an_end_that_was_acknowledged_is_the_end"),
            (POWER_TRANSACTIONS, "a_transaction_ends_everywhere_or_nowhere"),
        ],
        ApiKey::WriteTxnMarkers => &[],
        ApiKey::TxnOffsetCommit => {
            &[(POWER_TRANSACTIONS, "records_and_offsets_of_an_open_transaction_are_committed_after_the_loss")]
        }
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => {
            &[(POWER_METADATA, "rules_stay_granted_and_revoked")]
        }
        ApiKey::DescribeConfigs => {
            &[(ADMIN, "settings_come_from_the_topic_the_broker_the_cluster_or_the_default")]
        }
        ApiKey::AlterConfigs => &[(POWER_METADATA, "settings_stay_set")],
        ApiKey::IncrementalAlterConfigs => &[(POWER_METADATA, "settings_taken_back_stay_so")],
        ApiKey::AlterReplicaLogDirs
        | ApiKey::ElectLeaders
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ListPartitionReassignments => &[(ADMIN, "replicas_are_where_they_are")],
        ApiKey::DescribeLogDirs => &[(DAMAGE, "a_damaged_partition_is_offline_and_the_others_are_served")],
        ApiKey::DeleteGroups => &[(POWER_GROUPS, "a_deleted_group_stays_deleted")],
        ApiKey::OffsetDelete => &[
            (GROUP, "offsets_of_topics_the_members_read_cannot_be_deleted"),
            (POWER_GROUPS, "committed_offsets_survive"),
        ],
        ApiKey::DescribeClientQuotas | ApiKey::AlterClientQuotas => {
            &[(SECURITY, "quotas_are_kept_and_found")]
        }
        ApiKey::DescribeUserScramCredentials | ApiKey::AlterUserScramCredentials => {
            &[(SECURITY, "users_are_changed_all_or_not")]
        }
        ApiKey::DescribeProducers | ApiKey::ListTransactions => &[(BEHAVIOURS, "admin-transactions")],
        ApiKey::DescribeQuorum => &[(ADMIN, "the_only_node_is_the_only_voter")],
        ApiKey::DescribeTransactions => {
            &[(TXN_CRASH, "partitions_and_offsets_added_by_request_survive_a_loss_of_power")]
        }
        ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => {
            &[(TELEMETRY, "a_client_is_told_what_to_push_and_pushes_it")]
        }
        ApiKey::ConsumerGroupHeartbeat => &[
            (CONSUMER_GROUP_CHURN, "no_partition_ever_has_two_owners"),
            (ADMIN, "a_group_may_have_its_own_timeouts"),
        ],
        ApiKey::ConsumerGroupDescribe => {
            &[(POWER_GROUPS, "a_member_of_the_consumer_protocol_survives_with_its_epoch")]
        }
        ApiKey::ListConfigResources => &[(ADMIN, "resources_and_features_are_listed")],
        ApiKey::DescribeTopicPartitions => &[(BEHAVIOURS, "admin-topics")],
    }
}

/// A Kafka Improvement Proposal that is in force here: number, subject, tests.
pub(super) const KIPS: &[(u32, &str, &[Proof])] = &[
    (4, "Administration of topics by requests", &[(BROKER, "topics_are_administered")]),
    (11, "ACLs", &[(ACLS, "prohibitions_win_over_permissions_of_any_pattern")]),
    (13, "Quotas", &[(SECURITY, "who_uses_more_is_told_to_pause_and_not_read_meanwhile")]),
    (
        43,
        "SASL mechanisms of a listener",
        &[(SECURITY, "users_authenticate_by_every_mechanism_and_survive_a_restart")],
    ),
    (55, "Quotas by user and client id", &[(SECURITY, "quotas_are_kept_and_found")]),
    (74, "`fetch.max.bytes`", &[(SEMANTICS, "limits_hold_over_all_partitions_of_a_fetch")]),
    (
        98,
        "Idempotent and transactional producers",
        &[
            (BROKER, "a_repeated_batch_is_stored_once"),
            (BROKER, "a_transaction_is_visible_as_a_whole_or_not_at_all"),
        ],
    ),
    (103, "Several listeners", &[(SECURITY, "clients_are_told_the_address_of_their_own_listener")]),
    (
        107,
        "Deletion of records",
        &[(POWER_RECORDS, "acknowledged_records_survive_and_deleted_ones_stay_deleted")],
    ),
    (110, "zstd", &[(BROKER, "what_is_produced_with_any_codec_is_read_and_survives_a_restart")]),
    (140, "Administration of ACLs by requests", &[(POWER_METADATA, "rules_stay_granted_and_revoked")]),
    (152, "SASL failures", &[(SECURITY, "a_wrong_password_is_told_at_once")]),
    (
        219,
        "Throttling after the response",
        &[(SECURITY, "who_uses_more_is_told_to_pause_and_not_read_meanwhile")],
    ),
    (
        226,
        "Dynamic settings of the broker",
        &[(ADMIN, "settings_come_from_the_topic_the_broker_the_cluster_or_the_default")],
    ),
    (
        227,
        "Incremental fetch sessions",
        &[(FETCH_SESSIONS, "an_incremental_session_tells_what_full_fetches_tell")],
    ),
    (255, "OAUTHBEARER", &[(OAUTH, "a_token_authenticates_for_as_long_as_it_is_valid")]),
    (290, "Prefixed ACLs", &[(ACLS, "prohibitions_win_over_permissions_of_any_pattern")]),
    (320, "Detection of truncated logs", &[(BEHAVIOURS, "offset-truncated")]),
    (339, "Incremental changes of settings", &[(POWER_METADATA, "settings_taken_back_stay_so")]),
    (
        345,
        "Static members",
        &[(GROUP, "a_static_member_returns_without_a_rebalance_and_fences_its_former_self")],
    ),
    (360, "Recovery of a producer's epoch", &[(TXN, "an_expected_identity_guards_init")]),
    (368, "Renewed authentication", &[(SECURITY, "an_authentication_is_renewed_before_it_expires")]),
    (394, "A member id before the first join", &[(GROUP, "a_new_dynamic_member_is_first_told_its_id")]),
    (429, "Cooperative rebalances", &[(BEHAVIOURS, "group-cooperative")]),
    (430, "Authorized operations", &[(AUTHORIZE, "lists_show_only_what_may_be_seen")]),
    (
        447,
        "Exactly once with groups of consumers",
        &[(TRANSACTIONAL_COPY, "every_message_is_copied_once_through_bounces")],
    ),
    (455, "Reassignments by requests", &[(ADMIN, "replicas_are_where_they_are")]),
    (467, "Errors of single records", &[(SEMANTICS, "a_producer_learns_which_records_are_to_blame")]),
    (482, "Tagged fields", &[(LAYOUT, "unknown_tagged_fields_are_skipped")]),
    (496, "Deletion of offsets", &[(GROUP, "offsets_of_topics_the_members_read_cannot_be_deleted")]),
    (
        511,
        "Name and version of client software",
        &[(MISBEHAVIOUR, "versions_of_the_future_are_answered_with_those_served")],
    ),
    (516, "Topic ids", &[(BROKER, "topics_are_found_by_id_whatever_name_comes_with_it")]),
    (534, "Retention of tombstones", &[(CLEANING, "tombstones_stay_for_their_retention_time")]),
    (546, "Administration of quotas", &[(SECURITY, "quotas_are_kept_and_found")]),
    (554, "Administration of SCRAM users", &[(SECURITY, "users_are_changed_all_or_not")]),
    (584, "Levels of features", &[(ADMIN, "resources_and_features_are_listed")]),
    (664, "Detection of hanging transactions", &[(BEHAVIOURS, "admin-transactions")]),
    (679, "Idempotence with WRITE alone", &[(ACLS, "any_topic_will_do_unless_all_are_forbidden")]),
    (714, "Metrics of clients", &[(TELEMETRY, "a_client_is_told_what_to_push_and_pushes_it")]),
    (
        724,
        "No message formats v0 and v1",
        &[(OLD_FORMATS, "old_record_formats_are_refused_and_old_requests_end_the_connection")],
    ),
    (
        848,
        "The newer group protocol",
        &[
            (CONSUMER_GROUP, "members_give_up_before_others_take_on"),
            (CONSUMER_GROUP_CHURN, "no_partition_ever_has_two_owners"),
        ],
    ),
    (890, "Transactions, version 2", &[(TXN, "version_2_raises_the_epoch_with_every_end")]),
    (937, "Limits of timestamps", &[(TIMESTAMPS, "a_record_from_the_far_future_is_rejected_by_its_index")]),
    (1030, "Defaults of Kafka 4", &[(TIMESTAMPS, "the_limits_are_settings_of_topics_and_of_the_broker")]),
];
