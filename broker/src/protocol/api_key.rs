//! The table of APIs: number, messages, versions the codec knows and versions the broker answers.

use std::fmt;

/// Hands the table to the macro `$then`. Each line: variant, number, message file, request, response, versions the
/// codec knows, versions the broker advertises and answers (empty: none).
///
/// To stop answering a version, narrow the last column; nothing else changes.
macro_rules! api_table {
    ($then:ident) => {
        $then! {
            Produce = 0, produce, ProduceRequest, ProduceResponse, 3..=13, [3..=13];
            Fetch = 1, fetch, FetchRequest, FetchResponse, 4..=18, [4..=18];
            ListOffsets = 2, list_offsets, ListOffsetsRequest, ListOffsetsResponse, 1..=11, [1..=11];
            Metadata = 3, metadata, MetadataRequest, MetadataResponse, 0..=13, [0..=13];
            OffsetCommit = 8, offset_commit, OffsetCommitRequest, OffsetCommitResponse, 2..=10, [2..=10];
            OffsetFetch = 9, offset_fetch, OffsetFetchRequest, OffsetFetchResponse, 1..=10, [1..=10];
            FindCoordinator = 10, find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse, 0..=6, [0..=6];
            JoinGroup = 11, join_group, JoinGroupRequest, JoinGroupResponse, 0..=9, [0..=9];
            Heartbeat = 12, heartbeat, HeartbeatRequest, HeartbeatResponse, 0..=4, [0..=4];
            LeaveGroup = 13, leave_group, LeaveGroupRequest, LeaveGroupResponse, 0..=5, [0..=5];
            SyncGroup = 14, sync_group, SyncGroupRequest, SyncGroupResponse, 0..=5, [0..=5];
            DescribeGroups = 15, describe_groups, DescribeGroupsRequest, DescribeGroupsResponse, 0..=6, [0..=6];
            ListGroups = 16, list_groups, ListGroupsRequest, ListGroupsResponse, 0..=5, [0..=5];
            SaslHandshake = 17, sasl_handshake, SaslHandshakeRequest, SaslHandshakeResponse, 0..=1, [0..=1];
            ApiVersions = 18, api_versions, ApiVersionsRequest, ApiVersionsResponse, 0..=4, [0..=4];
            CreateTopics = 19, create_topics, CreateTopicsRequest, CreateTopicsResponse, 2..=7, [2..=7];
            DeleteTopics = 20, delete_topics, DeleteTopicsRequest, DeleteTopicsResponse, 1..=6, [1..=6];
            DeleteRecords = 21, delete_records, DeleteRecordsRequest, DeleteRecordsResponse, 0..=2, [0..=2];
            InitProducerId = 22, init_producer_id, InitProducerIdRequest, InitProducerIdResponse, 0..=6, [0..=5];
            OffsetForLeaderEpoch = 23, offset_for_leader_epoch, OffsetForLeaderEpochRequest,
                OffsetForLeaderEpochResponse, 2..=4, [2..=4];
            AddPartitionsToTxn = 24, add_partitions_to_txn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
                0..=5, [0..=5];
            AddOffsetsToTxn = 25, add_offsets_to_txn, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, 0..=4, [0..=4];
            EndTxn = 26, end_txn, EndTxnRequest, EndTxnResponse, 0..=5, [0..=5];
            WriteTxnMarkers = 27, write_txn_markers, WriteTxnMarkersRequest, WriteTxnMarkersResponse, 1..=1, [];
            TxnOffsetCommit = 28, txn_offset_commit, TxnOffsetCommitRequest, TxnOffsetCommitResponse, 0..=5, [0..=5];
            DescribeAcls = 29, describe_acls, DescribeAclsRequest, DescribeAclsResponse, 1..=3, [1..=3];
            CreateAcls = 30, create_acls, CreateAclsRequest, CreateAclsResponse, 1..=3, [1..=3];
            DeleteAcls = 31, delete_acls, DeleteAclsRequest, DeleteAclsResponse, 1..=3, [1..=3];
            DescribeConfigs = 32, describe_configs, DescribeConfigsRequest, DescribeConfigsResponse, 1..=4, [1..=4];
            AlterConfigs = 33, alter_configs, AlterConfigsRequest, AlterConfigsResponse, 0..=2, [0..=2];
            AlterReplicaLogDirs = 34, alter_replica_log_dirs, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
                1..=2, [1..=2];
            DescribeLogDirs = 35, describe_log_dirs, DescribeLogDirsRequest, DescribeLogDirsResponse, 1..=4, [1..=4];
            SaslAuthenticate = 36, sasl_authenticate, SaslAuthenticateRequest, SaslAuthenticateResponse, 0..=2, [0..=2];
            CreatePartitions = 37, create_partitions, CreatePartitionsRequest, CreatePartitionsResponse,
                0..=3, [0..=3];
            DeleteGroups = 42, delete_groups, DeleteGroupsRequest, DeleteGroupsResponse, 0..=2, [0..=2];
            ElectLeaders = 43, elect_leaders, ElectLeadersRequest, ElectLeadersResponse, 0..=2, [0..=2];
            IncrementalAlterConfigs = 44, incremental_alter_configs, IncrementalAlterConfigsRequest,
                IncrementalAlterConfigsResponse, 0..=1, [0..=1];
            AlterPartitionReassignments = 45, alter_partition_reassignments, AlterPartitionReassignmentsRequest,
                AlterPartitionReassignmentsResponse, 0..=1, [0..=1];
            ListPartitionReassignments = 46, list_partition_reassignments, ListPartitionReassignmentsRequest,
                ListPartitionReassignmentsResponse, 0..=0, [0..=0];
            OffsetDelete = 47, offset_delete, OffsetDeleteRequest, OffsetDeleteResponse, 0..=0, [0..=0];
            DescribeClientQuotas = 48, describe_client_quotas, DescribeClientQuotasRequest,
                DescribeClientQuotasResponse, 0..=1, [0..=1];
            AlterClientQuotas = 49, alter_client_quotas, AlterClientQuotasRequest, AlterClientQuotasResponse,
                0..=1, [0..=1];
            DescribeUserScramCredentials = 50, describe_user_scram_credentials, DescribeUserScramCredentialsRequest,
                DescribeUserScramCredentialsResponse, 0..=0, [0..=0];
            AlterUserScramCredentials = 51, alter_user_scram_credentials, AlterUserScramCredentialsRequest,
                AlterUserScramCredentialsResponse, 0..=0, [0..=0];
            DescribeQuorum = 55, describe_quorum, DescribeQuorumRequest, DescribeQuorumResponse, 0..=2, [0..=2];
            DescribeCluster = 60, describe_cluster, DescribeClusterRequest, DescribeClusterResponse, 0..=2, [0..=2];
            DescribeProducers = 61, describe_producers, DescribeProducersRequest, DescribeProducersResponse,
                0..=0, [0..=0];
            DescribeTransactions = 65, describe_transactions, DescribeTransactionsRequest,
                DescribeTransactionsResponse, 0..=0, [0..=0];
            ListTransactions = 66, list_transactions, ListTransactionsRequest, ListTransactionsResponse, 0..=2, [0..=2];
            ConsumerGroupHeartbeat = 68, consumer_group_heartbeat, ConsumerGroupHeartbeatRequest,
                ConsumerGroupHeartbeatResponse, 0..=1, [0..=1];
            ConsumerGroupDescribe = 69, consumer_group_describe, ConsumerGroupDescribeRequest,
                ConsumerGroupDescribeResponse, 0..=1, [0..=1];
            GetTelemetrySubscriptions = 71, get_telemetry_subscriptions, GetTelemetrySubscriptionsRequest,
                GetTelemetrySubscriptionsResponse, 0..=0, [0..=0];
            PushTelemetry = 72, push_telemetry, PushTelemetryRequest, PushTelemetryResponse, 0..=0, [0..=0];
            ListConfigResources = 74, list_config_resources, ListConfigResourcesRequest, ListConfigResourcesResponse,
                0..=1, [0..=1];
            DescribeTopicPartitions = 75, describe_topic_partitions, DescribeTopicPartitionsRequest,
                DescribeTopicPartitionsResponse, 0..=0, [0..=0];
        }
    };
}

pub(crate) use api_table;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    pub min: i16,
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions in both ranges, if any.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        (both.min <= both.max).then_some(both)
    }

    /// Every version, ascending.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

macro_rules! api_key {
    (@range) => { None };
    (@range $min:literal ..= $max:literal) => { Some(VersionRange { min: $min, max: $max }) };
    ($(
        $api:ident = $key:literal, $module:ident, $request:ident, $response:ident,
        $min:literal ..= $max:literal, [$($served:tt)*];
    )*) => {
        /// An API of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($api = $key,)*
        }

        impl ApiKey {
            /// Every API the codec knows, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$api,)*];

            /// The API of a number on the wire.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$api),)*
                    _ => None,
                }
            }

            /// The API's name in Kafka's documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$api => stringify!($api),)*
                }
            }

            /// Versions the codec can read and write.
            pub const fn known_versions(self) -> VersionRange {
                match self {
                    $(Self::$api => VersionRange { min: $min, max: $max },)*
                }
            }

            /// Versions the broker advertises and answers; `None` when it does not serve the API.
            pub const fn served_versions(self) -> Option<VersionRange> {
                match self {
                    $(Self::$api => api_key!(@range $($served)*),)*
                }
            }

            /// First version with compact types and tagged fields; `i16::MAX` when there is none.
            pub const fn flexible_first(self) -> i16 {
                match self {
                    $(Self::$api => crate::protocol::messages::$module::FLEXIBLE_FIRST,)*
                }
            }
        }
    };
}

api_table!(api_key);

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Position in [`Self::ALL`], for tables with an entry per API.
    pub fn index(self) -> usize {
        Self::ALL.binary_search(&self).expect("every API is in ALL, which ascends")
    }

    /// Version of the header before a request of `version`: 2 has tagged fields, 1 does not.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.flexible_first() { 2 } else { 1 }
    }

    /// Version of the header before a response of `version`: 1 has tagged fields, 0 does not. `ApiVersions` always has
    /// 0, so that clients can read the answer before they know what the broker speaks (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        if matches!(self, Self::ApiVersions) || version < self.flexible_first() { 0 } else { 1 }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKey;

    #[test]
    fn the_table_is_consistent() {
        assert!(ApiKey::ALL.is_sorted());
        for &api in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(api.code()), Some(api));
            assert_eq!(ApiKey::ALL[api.index()], api);
            let known = api.known_versions();
            assert!(known.min <= known.max, "{api}");
            if let Some(served) = api.served_versions() {
                assert_eq!(known.intersection(served), Some(served), "{api}");
            }
        }
        assert_eq!(ApiKey::from_code(4), None);
    }

    #[test]
    fn api_versions_is_answered_with_the_oldest_header() {
        assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
        assert_eq!(ApiKey::ApiVersions.request_header_version(4), 2);
        assert_eq!(ApiKey::Produce.response_header_version(8), 0);
        assert_eq!(ApiKey::Produce.response_header_version(9), 1);
        assert_eq!(ApiKey::SaslHandshake.response_header_version(1), 0);
    }
}
