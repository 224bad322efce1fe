//! DESCRIBE.

use serde_json::{Value, json};
use weir_sql::ast::statement::Describe;
use weir_sql::functions::registry::{FunctionKind, FunctionRegistry};
use weir_sql::metastore::source::{QueryEntry, Source};
use weir_sql::plan::physical::QueryPlan;

use crate::error::{ApiError, ErrorCode};
use crate::node::Node;
use crate::statement::entity::{entity, fields, window_type};
use crate::statement::execute::RequestScope;
use crate::statement::show::described;

pub async fn describe(
    node: &Node,
    what: &Describe,
    scope: &RequestScope,
    text: &str,
) -> Result<Value, ApiError> {
    match what {
        Describe::Source { name, extended } => {
            let metastore = node.metastore();
            let Some(source) = metastore.source(&name.name) else {
                let hint = metastore.similar_source(&name.name).map(|s| format!(". Did you mean `{s}`?"));
                let message = format!(
                    "Could not find STREAM/TABLE '{}' in the Metastore{}",
                    name.name,
                    hint.unwrap_or_default()
                );
                return Err(ApiError::statement(message, text));
            };
            let description = source_description(node, source, *extended).await?;
            Ok(entity("sourceDescription", text, json!({"sourceDescription": description})))
        }
        Describe::Streams { extended: _ } => described(node, scope, text, Source::is_stream).await,
        Describe::Tables { extended: _ } => described(node, scope, text, Source::is_table).await,
        Describe::Function { name } => function(&name.name, text),
        Describe::Connector { name } => {
            let message =
                format!("connector \"{}\" is not known: no Connect worker is configured", name.name);
            Err(ApiError { statement: Some(text.to_owned()), ..ApiError::new(ErrorCode::NotFound, message) })
        }
    }
}

fn function(name: &str, text: &str) -> Result<Value, ApiError> {
    let description =
        FunctionRegistry::standard().describe(name).map_err(|e| ApiError::statement(e.to_string(), text))?;
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

/// What DESCRIBE tells of a stream or table; `extended` adds the topic's size and the offsets of its readers.
pub async fn source_description(node: &Node, source: &Source, extended: bool) -> Result<Value, ApiError> {
    let metastore = node.metastore();
    let running = |q: &QueryEntry| {
        json!({
            "queryString": q.sql, "sinks": q.plan.sink.iter().collect::<Vec<_>>(), "id": q.plan.query_id,
            "queryType": "PERSISTENT", "state": node.query_state(&q.plan.query_id),
            "statusCount": {node.query_state(&q.plan.query_id): 1},
        })
    };
    let readers: Vec<Value> = metastore.readers(&source.name).map(|q| running(q)).collect();
    let writers: Vec<Value> = metastore.writers(&source.name).map(|q| running(q)).collect();
    let mut description = json!({
        "name": source.name,
        "windowType": window_type(source.window),
        "readQueries": readers,
        "writeQueries": writers,
        "fields": fields(&source.schema),
        "type": if source.is_stream() { "STREAM" } else { "TABLE" },
        "timestamp": source.timestamp.as_ref().map_or("", |t| t.column.as_str()),
        "statistics": "",
        "errorStats": "",
        "extended": extended,
        "keyFormat": source.key_format.format.name(),
        "valueFormat": source.value_format.format.name(),
        "topic": source.topic,
        "partitions": 0,
        "replication": 0,
        "statement": source.sql,
        "queryOffsetSummaries": [],
        "sourceConstraints": [],
        "clusterStatistics": [],
        "clusterErrorStats": [],
    });
    if extended {
        if let Some(topic) = node.topics().await?.iter().find(|t| t.name == source.topic) {
            description["partitions"] = json!(topic.partitions);
            description["replication"] = json!(topic.replicas);
        }
        let summaries: Vec<Value> =
            metastore.writers(&source.name).filter_map(|q| offsets(node, q)).collect();
        description["queryOffsetSummaries"] = Value::Array(summaries);
        description["statistics"] = Value::from(statistics(
            node,
            &metastore.writers(&source.name).map(|q| q.plan.query_id.clone()).collect::<Vec<_>>(),
        ));
    }
    Ok(description)
}

/// Where a query stands in each partition that it reads.
fn offsets(node: &Node, query: &QueryEntry) -> Option<Value> {
    let status = node.query_status(&query.plan.query_id)?;
    let mut topics: std::collections::BTreeMap<String, Vec<Value>> = std::collections::BTreeMap::new();
    for input in status.tasks.iter().flat_map(|t| &t.inputs) {
        topics.entry(input.topic.clone()).or_default().push(json!({
            "partition": input.partition,
            "logStartOffset": 0,
            "logEndOffset": input.lag.map_or(input.position, |lag| input.position + lag),
            "consumerOffset": input.position,
        }));
    }
    let topics: Vec<Value> = topics
        .into_iter()
        .map(|(topic, mut offsets)| {
            offsets.sort_by_key(|o| o["partition"].as_i64());
            json!({"kafkaTopic": topic, "offsets": offsets})
        })
        .collect();
    Some(json!({"groupId": status.application_id, "topicSummaries": topics}))
}

fn statistics(node: &Node, queries: &[String]) -> String {
    let lines: Vec<String> = queries
        .iter()
        .filter_map(|id| node.query_status(id))
        .map(|s| {
            format!(
                "{}: state {}, records in {} ({} bytes), records out {} ({} bytes), lag {}, commits {}, row errors {}, \
                 late rows {}, restarts {}",
                s.query_id,
                s.state.name(),
                s.metrics.rows_in,
                s.metrics.bytes_in,
                s.metrics.records_out,
                s.metrics.bytes_out,
                s.tasks.iter().flat_map(|t| &t.inputs).filter_map(|i| i.lag).sum::<i64>(),
                s.metrics.commits,
                s.metrics.row_errors,
                s.metrics.late_rows,
                s.metrics.restarts,
            )
        })
        .collect();
    lines.join("\n")
}

/// What the plan runs as, or why it cannot.
pub fn topology(node: &Node, plan: &QueryPlan) -> String {
    node.engine().describe(plan).unwrap_or_else(|e| e.chain())
}

/// What SHOW QUERIES EXTENDED and EXPLAIN tell of a running query.
pub fn query_description(node: &Node, query: &QueryEntry) -> Value {
    let id = &query.plan.query_id;
    let status = node.query_status(id);
    let properties = node.engine().query(id).map(|q| q.options.properties.clone()).unwrap_or_default();
    let unstarted = node
        .start_failures()
        .into_iter()
        .filter(|(failed, _)| failed == id)
        .map(|(_, reason)| json!({"timestamp": node.now_ms(), "errorMessage": reason, "type": "USER"}));
    let errors: Vec<Value> = status
        .iter()
        .flat_map(|s| &s.errors)
        .map(|e| {
            json!({"timestamp": e.at_ms, "errorMessage": e.message, "type": format!("{:?}", e.fault).to_ascii_uppercase()})
        })
        .chain(unstarted)
        .collect();
    json!({
        "id": id,
        "statementText": query.sql,
        "windowType": window_type(query.plan.root.window()),
        "fields": fields(query.plan.root.schema()),
        "sources": query.plan.sources,
        "sinks": query.plan.sink.iter().collect::<Vec<_>>(),
        "topology": topology(node, &query.plan),
        "executionPlan": weir_sql::plan::explain::explain(&query.plan),
        "overriddenProperties": properties,
        "ksqlHostQueryStatus": {node.http_authority(): node.query_state(id)},
        "queryType": "PERSISTENT",
        "queryErrors": errors,
        "tasksMetadata": [],
        "consumerGroupId": status.as_ref().map(|s| s.application_id.clone()),
        "state": node.query_state(id),
    })
}
