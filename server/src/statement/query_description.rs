//! How running and explained queries are described: EXPLAIN and SHOW QUERIES EXTENDED.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_engine::query::condition::QueryCondition;
use weir_engine::query::naming::{application_id, transient_application_id};
use weir_engine::query::status::{QueryError, QueryStatus, TaskStatus};
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::explain::{explain, explain_pull};
use weir_sql::plan::physical::QueryPlan;
use weir_sql::plan::pull::PullPlan;
use weir_sql::schema::{Column, LogicalSchema};

use crate::context::Context;
use crate::queries::conditions;
use crate::statement::entity::{fields, window_type};

/// What a description says beside its plan. Its members are the same for every kind of query.
#[derive(Debug, Default)]
struct Runtime {
    query_type: &'static str,
    properties: BTreeMap<String, String>,
    consumer_group: Option<String>,
    /// None: the query does not run.
    state: Option<&'static str>,
    errors: Vec<Value>,
    tasks: Vec<Value>,
    conditions: Vec<QueryCondition>,
}

impl Runtime {
    fn members(self, context: &Context, id: &str, sql: &str) -> Value {
        let hosts = match self.state {
            Some(state) => json!({context.http_address().to_string(): state}),
            None => json!({}),
        };
        json!({
            "id": id,
            "statementText": sql,
            "overriddenProperties": self.properties,
            "ksqlHostQueryStatus": hosts,
            "queryType": self.query_type,
            "queryErrors": self.errors,
            "tasksMetadata": self.tasks,
            "consumerGroupId": self.consumer_group,
            "state": self.state,
            "conditions": conditions::list(&self.conditions),
        })
    }
}

/// A persistent query.
pub fn query_description(context: &Context, query: &QueryEntry) -> Value {
    let id = &query.plan.query_id;
    let status = context.engine().query_status(id);
    let runtime = Runtime {
        query_type: "PERSISTENT",
        properties: context.engine().query(id).map(|q| q.options.properties.clone()).unwrap_or_default(),
        consumer_group: status.as_ref().map(|s| s.application_id.clone()),
        state: Some(conditions::state(context, id)),
        errors: query_errors(context, id, status.as_ref()),
        tasks: status.iter().flat_map(|s| &s.tasks).map(task).collect(),
        conditions: conditions::of_query(context, query, &context.metastore(), status.as_ref()),
    };
    of_plan(context, &query.plan, &query.sql, runtime)
}

/// A push query that runs.
pub fn push_description(
    context: &Context,
    plan: &QueryPlan,
    sql: &str,
    properties: &BTreeMap<String, String>,
) -> Value {
    let runtime = Runtime {
        query_type: "PUSH",
        properties: properties.clone(),
        consumer_group: Some(group(context, plan)),
        state: Some("RUNNING"),
        ..Runtime::default()
    };
    of_plan(context, plan, sql, runtime)
}

/// A query as it would run. `properties`: of the request.
pub fn plan_description(
    context: &Context,
    plan: &QueryPlan,
    sql: &str,
    properties: BTreeMap<String, String>,
) -> Value {
    let query_type = if plan.sink.is_some() { "PERSISTENT" } else { "PUSH" };
    let consumer_group = Some(group(context, plan));
    of_plan(context, plan, sql, Runtime { query_type, properties, consumer_group, ..Runtime::default() })
}

/// A pull query. It has no consumer group and no topology.
pub fn pull_description(
    context: &Context,
    plan: &PullPlan,
    sql: &str,
    properties: BTreeMap<String, String>,
) -> Value {
    let runtime = Runtime { query_type: "PULL", properties, ..Runtime::default() };
    let column = |is_key: bool| {
        let columns = plan.columns.iter().filter(move |c| c.is_key == is_key);
        columns.map(|c| Column::new(c.name.as_str(), c.sql_type.clone())).collect()
    };
    let schema = LogicalSchema { key: column(true), value: column(false), ..LogicalSchema::default() };
    let mut description = runtime.members(context, "", sql);
    extend(
        &mut description,
        json!({
            "windowType": null, "fields": fields(&schema), "sources": plan.sources, "sinks": [],
            "topology": "", "executionPlan": explain_pull(plan),
        }),
    );
    description
}

fn of_plan(context: &Context, plan: &QueryPlan, sql: &str, runtime: Runtime) -> Value {
    let mut description = runtime.members(context, &plan.query_id, sql);
    extend(
        &mut description,
        json!({
            "windowType": window_type(plan.root.window()),
            "fields": fields(plan.root.schema()),
            "sources": plan.sources,
            "sinks": plan.sink.iter().collect::<Vec<_>>(),
            "topology": topology(context, plan),
            "executionPlan": explain(plan),
        }),
    );
    description
}

fn extend(description: &mut Value, members: Value) {
    if let (Value::Object(target), Value::Object(members)) = (description, members) {
        target.extend(members);
    }
}

/// The topology of a plan as text, or the reason why it has none.
fn topology(context: &Context, plan: &QueryPlan) -> String {
    context.engine().describe(plan).unwrap_or_else(|e| e.chain())
}

/// The consumer group of a query; that of a push query ends with the time of its start.
fn group(context: &Context, plan: &QueryPlan) -> String {
    let service_id = &context.session().service_id;
    match plan.sink {
        Some(_) => application_id(service_id, &plan.query_id),
        None => transient_application_id(service_id, &plan.query_id, context.now_ms()),
    }
}

/// Failures of a query that runs, and why one does not.
fn query_errors(context: &Context, id: &str, status: Option<&QueryStatus>) -> Vec<Value> {
    let failed = |e: &QueryError| {
        json!({
            "timestamp": e.at_ms, "errorMessage": e.message,
            "type": format!("{:?}", e.fault).to_ascii_uppercase(),
        })
    };
    let unstarted = context.starts().failure(id);
    let unstarted = unstarted
        .map(|failure| json!({"timestamp": failure.at_ms, "errorMessage": failure.reason, "type": "USER"}));
    status.into_iter().flat_map(|s| &s.errors).map(failed).chain(unstarted).collect()
}

/// A task with the offsets of its inputs.
fn task(task: &TaskStatus) -> Value {
    let offsets: Vec<Value> = task
        .inputs
        .iter()
        .map(|input| {
            json!({
                "topicPartitionEntity": {"topic": input.topic, "partition": input.partition},
                "endOffset": input.position + input.lag.unwrap_or(0),
                "committedOffset": input.committed,
                "readOffset": input.position,
                "lag": input.lag,
                "committedLag": input.committed_lag,
            })
        })
        .collect();
    json!({"taskId": task.id.to_string(), "topicOffsets": offsets, "timeCurrentIdlingStarted": null})
}
