//! SHOW and LIST.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_engine::query::status::QueryStatus;
use weir_sql::ast::statement::Show;
use weir_sql::functions::registry::{FunctionKind, FunctionRegistry};
use weir_sql::metastore::source::Source;

use crate::context::Context;
use crate::error::ApiError;
use crate::statement::describe::{Detail, described, running_query};
use crate::statement::entity::{entity, schema};
use crate::statement::query_description::query_description;
use crate::statement::scope::RequestScope;
use crate::statement::topics::list as all_topics;
use crate::statement::unsupported::no_connectors;
use crate::statement::{properties, rights};

pub async fn show(
    context: &Context,
    what: &Show,
    scope: &RequestScope,
    text: &str,
) -> Result<Value, ApiError> {
    Ok(match what {
        Show::Streams { extended: false } => {
            entity("streams", text, json!({"streams": sources(context, scope, Source::is_stream)}))
        }
        Show::Tables { extended: false } => {
            entity("tables", text, json!({"tables": sources(context, scope, Source::is_table)}))
        }
        Show::Streams { extended: true } => {
            described(context, scope, text, Source::is_stream, Detail::Extended).await?
        }
        Show::Tables { extended: true } => {
            described(context, scope, text, Source::is_table, Detail::Extended).await?
        }
        Show::Queries { extended: false } => {
            entity("queries", text, json!({"queries": queries(context, scope)}))
        }
        Show::Queries { extended: true } => {
            let metastore = context.metastore();
            let seen = metastore.queries().filter(|q| rights::sees_query(&scope.caller, &metastore, q));
            let list: Vec<Value> = seen.map(|q| query_description(context, q)).collect();
            entity("query_descriptions", text, json!({"queryDescriptions": list}))
        }
        Show::Topics { all, extended } => topics(context, scope, text, *all, *extended).await?,
        Show::Functions => entity("function_names", text, json!({"functions": functions()})),
        Show::Types => {
            let metastore = context.metastore();
            let types: serde_json::Map<String, Value> =
                metastore.custom_types().map(|(name, t)| (name.to_owned(), schema(t))).collect();
            entity("type_list", text, json!({"types": types}))
        }
        Show::Properties => {
            let (rows, overwritten) = properties::list(context, &scope.properties);
            let members =
                json!({"properties": rows, "overwrittenProperties": overwritten, "defaultProperties": []});
            entity("properties", text, members)
        }
        Show::Variables => {
            let rows: Vec<Value> =
                scope.variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            entity("variables", text, json!({"variables": rows}))
        }
        Show::Connectors { .. } | Show::ConnectorPlugins => return Err(no_connectors(text)),
    })
}

fn sources(context: &Context, scope: &RequestScope, keep: fn(&Source) -> bool) -> Vec<Value> {
    context
        .metastore()
        .sources()
        .filter(|s| keep(s) && scope.caller.sees_topic(&s.topic))
        .map(|s| {
            json!({
                "type": if s.is_stream() { "STREAM" } else { "TABLE" },
                "name": s.name,
                "topic": s.topic,
                "keyFormat": s.key_format.format.name(),
                "valueFormat": s.value_format.format.name(),
                "isWindowed": s.window.is_some(),
            })
        })
        .collect()
}

fn queries(context: &Context, scope: &RequestScope) -> Vec<Value> {
    let metastore = context.metastore();
    let seen = metastore.queries().filter(|q| rights::sees_query(&scope.caller, &metastore, q));
    let persistent = seen.map(|q| running_query(context, &metastore, q));
    let push = context.pushes().list(&scope.caller);
    let push = push.into_iter().map(|(id, sql)| {
        json!({
            "queryString": sql, "sinks": [], "sinkKafkaTopics": [], "id": id,
            "statusCount": {"RUNNING": 1}, "queryType": "PUSH", "state": "RUNNING",
        })
    });
    persistent.chain(push).collect()
}

async fn topics(
    context: &Context,
    scope: &RequestScope,
    text: &str,
    all: bool,
    extended: bool,
) -> Result<Value, ApiError> {
    let listed = all_topics(context).await?;
    let readers = if extended { topic_readers(context) } else { BTreeMap::new() };
    let rows: Vec<Value> = listed
        .iter()
        .filter(|t| (all || !context.topic_policy().is_hidden(&t.name)) && scope.caller.sees_topic(&t.name))
        .map(|t| {
            let replicas = vec![t.replicas; usize::try_from(t.partitions).unwrap_or(0)];
            let mut row = json!({"name": t.name, "replicaInfo": replicas});
            if extended {
                let (consumers, groups) =
                    readers.get(&t.name).map_or((0, 0), |r| (r.consumers, r.groups.len()));
                row["consumerCount"] = json!(consumers);
                row["consumerGroupCount"] = json!(groups);
            }
            row
        })
        .collect();
    let kind = if extended { "kafka_topics_extended" } else { "kafka_topics" };
    Ok(entity(kind, text, json!({"topics": rows})))
}

/// The groups that have committed offsets in a topic or read it, and the consumers that read it.
#[derive(Debug, Default)]
struct TopicReaders {
    groups: BTreeSet<String>,
    consumers: usize,
}

/// By topic. The consumers of a group are its members with an assigned partition of the topic,
/// those of a query its tasks.
fn topic_readers(context: &Context) -> BTreeMap<String, TopicReaders> {
    let mut readers: BTreeMap<String, TopicReaders> = BTreeMap::new();
    let queries = context.engine().queries();
    for query in &queries {
        for (topic, tasks) in tasks_by_topic(query) {
            let readers = readers.entry(topic.to_owned()).or_default();
            readers.groups.insert(query.application_id.clone());
            readers.consumers += tasks;
        }
    }
    let groups = context.broker().with(|broker| (broker.group_lags(), broker.group_consumers()));
    let (lags, consumers) = groups.unwrap_or_default();
    let applications: BTreeSet<&str> = queries.iter().map(|query| query.application_id.as_str()).collect();
    for lag in lags.into_iter().filter(|lag| !applications.contains(lag.group_id.as_str())) {
        let readers = readers.entry(lag.partition.topic.to_string()).or_default();
        readers.groups.insert(lag.group_id);
    }
    for consumer in consumers {
        for topic in consumer.topics {
            let readers = readers.entry(topic).or_default();
            readers.groups.insert(consumer.group_id.clone());
            readers.consumers += 1;
        }
    }
    readers
}

fn tasks_by_topic(query: &QueryStatus) -> BTreeMap<&str, usize> {
    let mut tasks = BTreeMap::new();
    for task in &query.tasks {
        let topics: BTreeSet<&str> = task.inputs.iter().map(|input| input.topic.as_str()).collect();
        topics.into_iter().for_each(|topic| *tasks.entry(topic).or_default() += 1);
    }
    tasks
}

fn functions() -> Vec<Value> {
    FunctionRegistry::standard()
        .list()
        .into_iter()
        .map(|f| {
            let kind = match f.kind {
                FunctionKind::Scalar => "SCALAR",
                FunctionKind::Aggregate => "AGGREGATE",
                FunctionKind::Table => "TABLE",
            };
            json!({"name": f.name, "type": kind, "category": f.category})
        })
        .collect()
}
