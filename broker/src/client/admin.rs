//! Topics, their settings and their offsets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::client::call::{Backoff, call, check};
use crate::client::error::{ClientError, Result};
use crate::client::transport::Transport;
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::log::access::{Isolation, OffsetSpec};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use crate::protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use crate::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use crate::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use crate::protocol::messages::incremental_alter_configs as alter;
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};

const TIMEOUT_MS: i32 = 30_000;
const TOPIC_RESOURCE: i8 = 2;

/// Administers a broker.
#[derive(Clone)]
pub struct Admin {
    transport: Arc<dyn Transport>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// A topic to make. `partitions` of -1 takes the broker's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// A topic, as Metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub id: TopicId,
    /// Number of partitions; they are counted from 0.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replicas: i32,
    /// Topics of the broker itself.
    pub internal: bool,
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` when no record qualifies.
    pub offset: Option<Offset>,
    /// Units: ms since epoch; -1 where the offset does not come from a record.
    pub timestamp: i64,
}

impl Admin {
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Makes a topic; it is durable when this returns. `partitions` of -1 takes the broker's default.
    ///
    /// Errors: `Refused` with `TopicAlreadyExists`, `InvalidTopicException`, `InvalidPartitions`, `InvalidConfig`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<()> {
        let topic = NewTopic { name: name.to_owned(), partitions, configs: configs.clone() };
        let missing = || ClientError::Incomplete { api: ApiKey::CreateTopics, missing: topic_named(name) };
        self.create_topics(&[topic]).await?.pop().unwrap_or_else(|| Err(missing()))
    }

    /// Makes topics in one go, which waits for the disk once. Shape: an outcome for each, in their order.
    ///
    /// Errors: the request as a whole; otherwise as [`Admin::create_topic`], topic by topic.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<()>>> {
        let config = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let topic = |topic: &NewTopic| CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: topic.configs.iter().map(config).collect(),
        };
        let request = CreateTopicsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let mut response = call!(self.transport.as_ref(), CreateTopics, request)?;
        let outcome = |topic: &NewTopic| {
            let name = topic_named(&topic.name);
            let Some(at) = response.topics.iter().position(|t| t.name == topic.name) else {
                return Err(ClientError::Incomplete { api: ApiKey::CreateTopics, missing: name });
            };
            let answer = response.topics.swap_remove(at);
            check(ApiKey::CreateTopics, &name, answer.error_code, answer.error_message)
        };
        Ok(topics.iter().map(outcome).collect())
    }

    /// Those of the transactional ids that a producer has used and that have not expired.
    pub async fn known_transactional_ids(&self, ids: Vec<String>) -> Result<Vec<String>> {
        let mut backoff = Backoff::default();
        'asking: loop {
            let request = DescribeTransactionsRequest { transactional_ids: ids.clone() };
            let response = call!(self.transport.as_ref(), DescribeTransactions, request)?;
            let mut known = Vec::new();
            for state in response.transaction_states {
                match state.error_code {
                    ErrorCode::None => known.push(state.transactional_id),
                    ErrorCode::TransactionalIdNotFound => {}
                    code if code.is_retriable() && backoff.pause().await => continue 'asking,
                    code => {
                        let resource = format!("transactional id \"{}\"", state.transactional_id);
                        return Err(ClientError::refused(ApiKey::DescribeTransactions, resource, code));
                    }
                }
            }
            return Ok(known);
        }
    }

    /// Deletes topics. All are tried; the first refusal is returned.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<()> {
        let state = |name: &&str| DeleteTopicState { name: Some((*name).to_owned()), topic_id: Uuid::nil() };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            topic_names: Vec::new(),
            timeout_ms: TIMEOUT_MS,
        };
        let response = call!(self.transport.as_ref(), DeleteTopics, request)?;
        for topic in response.responses {
            let name = topic.name.unwrap_or_default();
            check(ApiKey::DeleteTopics, &topic_named(&name), topic.error_code, topic.error_message)?;
        }
        Ok(())
    }

    /// Raises the number of partitions of a topic to `count`.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<()> {
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false };
        let response = call!(self.transport.as_ref(), CreatePartitions, request)?;
        for result in response.results {
            check(ApiKey::CreatePartitions, &topic_named(name), result.error_code, result.error_message)?;
        }
        Ok(())
    }

    /// All topics, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>> {
        let described = self.metadata(None).await?;
        described.into_iter().map(|(name, outcome)| outcome.map_err(|code| unknown(&name, code))).collect()
    }

    /// One topic; `None` if it does not exist.
    pub async fn describe_topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        match self.metadata(Some(&[name])).await?.pop() {
            Some((_, Ok(topic))) => Ok(Some(topic)),
            Some((_, Err(ErrorCode::UnknownTopicOrPartition))) | None => Ok(None),
            Some((_, Err(code))) => Err(unknown(name, code)),
        }
    }

    /// Topics in one request; those that do not exist are left out.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<Vec<TopicDescription>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::with_capacity(names.len());
        for (name, outcome) in self.metadata(Some(names)).await? {
            match outcome {
                Ok(topic) => found.push(topic),
                Err(ErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => return Err(unknown(&name, code)),
            }
        }
        Ok(found)
    }

    async fn metadata(
        &self,
        names: Option<&[&str]>,
    ) -> Result<Vec<(String, std::result::Result<TopicDescription, ErrorCode>)>> {
        let wanted = |name: &str| MetadataRequestTopic { topic_id: Uuid::nil(), name: Some(name.to_owned()) };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().copied().map(wanted).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response = call!(self.transport.as_ref(), Metadata, request)?;
        let topic = |topic: crate::protocol::messages::metadata::MetadataResponseTopic| {
            let name = topic.name.unwrap_or_default();
            if topic.error_code != ErrorCode::None {
                return (name, Err(topic.error_code));
            }
            let replicas = topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len());
            let description = TopicDescription {
                name: name.clone(),
                id: TopicId(topic.topic_id),
                partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
                replicas: i32::try_from(replicas).unwrap_or(i32::MAX),
                internal: topic.is_internal,
            };
            (name, Ok(description))
        };
        Ok(response.topics.into_iter().map(topic).collect())
    }

    /// The settings of a topic that are in force, defaults included.
    pub async fn describe_configs(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let resource = DescribeConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: name.to_owned(),
            configuration_keys: None,
        };
        let request =
            DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
        let response = call!(self.transport.as_ref(), DescribeConfigs, request)?;
        let mut configs = BTreeMap::new();
        for result in response.results {
            check(ApiKey::DescribeConfigs, &topic_named(name), result.error_code, result.error_message)?;
            configs
                .extend(result.configs.into_iter().filter_map(|config| Some((config.name, config.value?))));
        }
        Ok(configs)
    }

    /// Some settings of several topics, defaults included, by topic. A topic that does not exist is left out.
    pub async fn describe_settings(
        &self,
        topics: &[&str],
        keys: &[&str],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let resource = |name: &&str| DescribeConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: (*name).to_owned(),
            configuration_keys: Some(keys.clone()),
        };
        let resources = topics.iter().map(resource).collect();
        let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
        let response = call!(self.transport.as_ref(), DescribeConfigs, request)?;
        let mut settings = BTreeMap::new();
        for result in response.results {
            if result.error_code == ErrorCode::UnknownTopicOrPartition {
                continue;
            }
            let name = topic_named(&result.resource_name);
            check(ApiKey::DescribeConfigs, &name, result.error_code, result.error_message)?;
            let values = result.configs.into_iter().filter_map(|config| Some((config.name, config.value?)));
            settings.insert(result.resource_name, values.collect());
        }
        Ok(settings)
    }

    /// Sets settings of a topic and leaves the others as they are. `None` returns a setting to its default.
    pub async fn alter_configs(&self, name: &str, changes: &BTreeMap<String, Option<String>>) -> Result<()> {
        let change = |(name, value): (&String, &Option<String>)| alter::AlterableConfig {
            name: name.clone(),
            config_operation: i8::from(value.is_none()),
            value: value.clone(),
        };
        let resource = alter::AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: name.to_owned(),
            configs: changes.iter().map(change).collect(),
        };
        let request =
            alter::IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let response = call!(self.transport.as_ref(), IncrementalAlterConfigs, request)?;
        for result in response.responses {
            let resource = topic_named(name);
            check(ApiKey::IncrementalAlterConfigs, &resource, result.error_code, result.error_message)?;
        }
        Ok(())
    }

    /// Looks up offsets; the answers are in the order of the questions.
    pub async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
    ) -> Result<Vec<ListedOffset>> {
        let topic = |(partition, spec): &(TopicPartition, OffsetSpec)| ListOffsetsTopic {
            name: partition.topic.to_string(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: -1,
                timestamp: timestamp_of(*spec),
            }],
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(isolation == Isolation::ReadCommitted),
            topics: wanted.iter().map(topic).collect(),
            timeout_ms: TIMEOUT_MS,
        };
        let response = call!(self.transport.as_ref(), ListOffsets, request)?;
        // A question for each partition and time: answers to the same partition come in the order of the questions.
        let mut answers: HashMap<(String, i32), VecDeque<ListOffsetsPartitionResponse>> = HashMap::new();
        for topic in response.topics {
            for answer in topic.partitions {
                answers.entry((topic.name.clone(), answer.partition_index)).or_default().push_back(answer);
            }
        }
        let mut listed = Vec::with_capacity(wanted.len());
        for (partition, _) in wanted {
            let missing =
                || ClientError::Incomplete { api: ApiKey::ListOffsets, missing: partition.to_string() };
            let answers = answers.get_mut(&(partition.topic.to_string(), partition.partition));
            let answer = answers.and_then(VecDeque::pop_front).ok_or_else(missing)?;
            check(ApiKey::ListOffsets, &format!("partition \"{partition}\""), answer.error_code, None)?;
            let offset = Some(answer.offset).filter(|offset| *offset >= 0);
            listed.push(ListedOffset { offset, timestamp: answer.timestamp });
        }
        Ok(listed)
    }

    /// Deletes the records before `offset` and returns the new start of the log. -1 deletes all that are visible.
    pub async fn delete_records(&self, partition: &TopicPartition, offset: Offset) -> Result<Offset> {
        let wanted = DeleteRecordsPartition { partition_index: partition.partition, offset };
        let topic = DeleteRecordsTopic { name: partition.topic.to_string(), partitions: vec![wanted] };
        let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS };
        let response = call!(self.transport.as_ref(), DeleteRecords, request)?;
        let answer = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let missing =
            || ClientError::Incomplete { api: ApiKey::DeleteRecords, missing: partition.to_string() };
        let answer = answer.ok_or_else(missing)?;
        check(ApiKey::DeleteRecords, &format!("partition \"{partition}\""), answer.error_code, None)?;
        Ok(answer.low_watermark)
    }
}

fn timestamp_of(spec: OffsetSpec) -> i64 {
    match spec {
        OffsetSpec::Latest => -1,
        OffsetSpec::Earliest => -2,
        OffsetSpec::MaxTimestamp => -3,
        OffsetSpec::Timestamp(timestamp) => timestamp,
    }
}

fn topic_named(name: &str) -> String {
    format!("topic \"{name}\"")
}

fn unknown(name: &str, code: ErrorCode) -> ClientError {
    ClientError::refused(ApiKey::Metadata, topic_named(name), code)
}
