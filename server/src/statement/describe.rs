//! DESCRIBE.

mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_engine::query::status::{InputStatus, QueryStatus};
use weir_sql::ast::statement::Describe;
use weir_sql::functions::registry::{FunctionKind, FunctionRegistry};
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::{QueryEntry, QueryKind, Source};

use crate::auth::caller::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::queries::conditions;
use crate::statement::entity::{entity, fields, window_type};
use crate::statement::rights;
use crate::statement::scope::RequestScope;
use crate::statement::unsupported::no_connectors;

pub async fn describe(
    context: &Context,
    what: &Describe,
    scope: &RequestScope,
    text: &str,
) -> Result<Value, ApiError> {
    match what {
        Describe::Source { name, extended } => {
            let metastore = context.metastore();
            let Some(source) = metastore.source(&name.name) else {
                let known = metastore
                    .similar_source(&name.name)
                    .filter(|name| metastore.source(name).is_some_and(|s| scope.caller.sees_topic(&s.topic)));
                let hint = known.map(|s| format!(". Did you mean `{s}`?"));
                let message = format!(
                    "Could not find STREAM/TABLE '{}' in the Metastore{}",
                    name.name,
                    hint.unwrap_or_default()
                );
                return Err(ApiError::statement(message, text));
            };
            let description =
                source_description(context, &scope.caller, source, Detail::of(*extended)).await?;
            Ok(entity("sourceDescription", text, json!({"sourceDescription": description})))
        }
        Describe::Streams { extended } => {
            described(context, scope, text, Source::is_stream, Detail::of(*extended)).await
        }
        Describe::Tables { extended } => {
            described(context, scope, text, Source::is_table, Detail::of(*extended)).await
        }
        Describe::Function { name } => function(&name.name, text),
        Describe::Connector { .. } => Err(no_connectors(text)),
    }
}

fn function(name: &str, text: &str) -> Result<Value, ApiError> {
    let description =
        FunctionRegistry::standard().describe(name).map_err(|e| ApiError::bad_request(e.to_string()))?;
    let kind = match description.kind {
        FunctionKind::Scalar => "SCALAR",
        FunctionKind::Aggregate => "AGGREGATE",
        FunctionKind::Table => "TABLE",
    };
    let variations: Vec<Value> = description
        .variations
        .iter()
        .map(|v| {
            let arguments: Vec<Value> = v
                .parameters
                .iter()
                .map(|p| {
                    json!({"name": p.name, "type": p.sql_type, "description": "", "isVariadic": p.variadic})
                })
                .collect();
            json!({"arguments": arguments, "returnType": v.return_type, "description": ""})
        })
        .collect();
    let members = json!({
        "name": description.name, "description": description.overview, "author": description.author,
        "version": env!("CARGO_PKG_VERSION"), "path": "internal", "functions": variations, "type": kind,
    });
    Ok(entity("describe_function", text, members))
}

/// How much DESCRIBE shows of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Brief,
    /// Statistics, and the offsets of the queries that write it.
    Extended,
}

impl Detail {
    pub fn of(extended: bool) -> Detail {
        if extended { Detail::Extended } else { Detail::Brief }
    }
}

/// DESCRIBE of every stream, or table.
pub(crate) async fn described(
    context: &Context,
    scope: &RequestScope,
    text: &str,
    keep: fn(&Source) -> bool,
    detail: Detail,
) -> Result<Value, ApiError> {
    let metastore = context.metastore();
    let mut list = Vec::new();
    for source in metastore.sources().filter(|s| keep(s) && scope.caller.sees_topic(&s.topic)) {
        list.push(source_description(context, &scope.caller, source, detail).await?);
    }
    Ok(entity("source_descriptions", text, json!({"sourceDescriptions": list})))
}

/// A stream or table as DESCRIBE shows it, without queries that lists do not show to the client.
pub async fn source_description(
    context: &Context,
    caller: &Caller,
    source: &Source,
    detail: Detail,
) -> Result<Value, ApiError> {
    let metastore = context.metastore();
    let entries = |list: Vec<&Arc<QueryEntry>>| -> Vec<Value> {
        list.into_iter().map(|q| running_query(context, &metastore, q)).collect()
    };
    let sees = |query: &&Arc<QueryEntry>| rights::sees_query(caller, &metastore, query);
    let readers: Vec<&Arc<QueryEntry>> = metastore.readers(&source.name).filter(sees).collect();
    let (writers, hidden): (Vec<&Arc<QueryEntry>>, Vec<_>) = metastore.writers(&source.name).partition(sees);
    // The text of a source that a query writes names what the query reads.
    let statement = if hidden.is_empty() { source.sql.as_str() } else { "" };
    let constraints: Vec<&String> = readers
        .iter()
        .filter(|q| q.kind == QueryKind::CreateAsSelect)
        .filter_map(|q| q.plan.sink.as_ref())
        .collect();
    let topic = context.admin().describe_topic(&source.topic).await;
    let topic = topic.map_err(|e| ApiError::server(format!("the topic cannot be described: {e}")))?;
    let mut description = json!({
        "name": source.name,
        "windowType": window_type(source.window),
        "readQueries": entries(readers.clone()),
        "writeQueries": entries(writers.clone()),
        "fields": fields(&source.schema),
        "type": if source.is_stream() { "STREAM" } else { "TABLE" },
        "timestamp": source.timestamp.as_ref().map_or("", |t| t.column.as_str()),
        "statistics": "",
        "errorStats": "",
        "extended": detail == Detail::Extended,
        "keyFormat": source.key_format.format.name(),
        "valueFormat": source.value_format.format.name(),
        "topic": source.topic,
        "partitions": topic.as_ref().map_or(0, |t| t.partitions),
        "replication": topic.as_ref().map_or(0, |t| t.replicas),
        "statement": statement,
        "queryOffsetSummaries": [],
        "sourceConstraints": constraints,
        "clusterStatistics": [],
        "clusterErrorStats": [],
    });
    if detail == Detail::Extended {
        let statuses: Vec<QueryStatus> =
            writers.iter().filter_map(|q| context.engine().query_status(&q.plan.query_id)).collect();
        let mut summaries = Vec::new();
        for status in &statuses {
            summaries.push(offsets(context, status).await?);
        }
        description["queryOffsetSummaries"] = Value::Array(summaries);
        let figures = statistics::of(context, &statuses);
        description["statistics"] = Value::from(figures.text);
        description["errorStats"] = Value::from(figures.errors_text);
        description["clusterStatistics"] = Value::Array(figures.cluster);
        description["clusterErrorStats"] = Value::Array(figures.cluster_errors);
    }
    Ok(description)
}

/// A persistent query in lists.
pub fn running_query(context: &Context, metastore: &Metastore, query: &QueryEntry) -> Value {
    let sinks = || query.plan.sink.iter();
    let topics: Vec<&str> = sinks().filter_map(|s| metastore.source(s)).map(|s| s.topic.as_str()).collect();
    let state = conditions::state(context, &query.plan.query_id);
    let status = context.engine().query_status(&query.plan.query_id);
    let conditions = conditions::of_query(context, query, metastore, status.as_ref());
    json!({
        "queryString": query.sql,
        "sinks": sinks().collect::<Vec<_>>(),
        "sinkKafkaTopics": topics,
        "id": query.plan.query_id,
        "statusCount": {state: 1},
        "queryType": "PERSISTENT",
        "state": state,
        "conditions": conditions::list(&conditions),
    })
}

/// The offsets of a query in each partition that it reads.
async fn offsets(context: &Context, status: &QueryStatus) -> Result<Value, ApiError> {
    let inputs: Vec<&InputStatus> = status.tasks.iter().flat_map(|t| &t.inputs).collect();
    let partition = |input: &InputStatus| TopicPartition::new(input.topic.as_str(), input.partition);
    let wanted: Vec<_> = inputs.iter().map(|i| (partition(i), OffsetSpec::Earliest)).collect();
    let starts = context
        .admin()
        .list_offsets(&wanted, Isolation::ReadUncommitted)
        .await
        .map_err(|e| ApiError::server(format!("offsets cannot be looked up: {e}")))?;
    let mut topics: BTreeMap<&str, BTreeMap<i32, Value>> = BTreeMap::new();
    for (input, start) in inputs.into_iter().zip(starts) {
        let offsets = json!({
            "partition": input.partition,
            "logStartOffset": start.offset.unwrap_or(0),
            "logEndOffset": input.position + input.lag.unwrap_or(0),
            "consumerOffset": input.committed,
        });
        topics.entry(&input.topic).or_default().insert(input.partition, offsets);
    }
    let topics: Vec<Value> = topics
        .into_iter()
        .map(|(topic, offsets)| json!({"kafkaTopic": topic, "offsets": offsets.into_values().collect::<Vec<_>>()}))
        .collect();
    Ok(json!({"groupId": status.application_id, "topicSummaries": topics}))
}
