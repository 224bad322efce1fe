//! Runs cases of the REST API: each on a node of its own in this process, over its HTTP port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::ids::TopicPartition;
use weir_broker::log::config::Durability;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::DecompressBuf;
use weir_broker::record::reader::Header;
use weir_engine::driver::topic_log::DriverRecord;
use weir_engine::serde::error::SerdeError;
use weir_engine::serde::value_decoder;
use weir_engine::topology::OutputCaching;
use weir_server::config::{NodeConfig, ProcessingLogConfig};
use weir_server::node::{Node, RunningNode};
use weir_sql::ast::statement::Statement;
use weir_sql::metastore::source::Source;
use weir_sql::parser::kind::statement_kind;
use weir_sql::parser::{ParsedStatement, parse_statements};
use weir_sql::value::SqlValue;

use crate::client::{ClientError, QueryAnswer, QueryItem, RequestContext, ServerClient};
use crate::testing::case::{ExpectedError, ResponseSpec, RestCase};
use crate::testing::report::{Outcome, Stop};
use crate::testing::{compare, qtt, rejection};

/// Partitions of topics that a case does not describe.
const PARTITIONS_DEFAULT: i32 = 4;
/// How long an answer may take to become what is expected.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long queries may take to read the inputs.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The next item of a push query comes within this time, or not at all.
const ITEM_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs one case from start to end, on a thread of its own: the caller may be inside a runtime.
pub fn run(case: &RestCase) -> Outcome {
    let joined = std::thread::scope(|scope| scope.spawn(|| run_here(case)).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run_here(case: &RestCase) -> Outcome {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::Failed(format!("no runtime: {error}")),
    };
    match runtime.block_on(run_case(case)) {
        Ok(()) => Outcome::Passed,
        Err(stop) => stop.into(),
    }
}

async fn run_case(case: &RestCase) -> Result<(), Stop> {
    let folder = tempfile::tempdir().map_err(|e| Stop::Failed(format!("no temporary folder: {e}")))?;
    let mut config = NodeConfig::new(folder.path());
    config.http_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.kafka_listen = None;
    config.durability = Durability::Relaxed;
    config.worker_threads = Some(1);
    config.output_caching = OutputCaching::Off;
    config.processing_log = ProcessingLogConfig::off(&config.service_id);
    let node = RunningNode::start(config).await.map_err(|e| Stop::Failed(format!("no node: {e}")))?;
    let mut bench = RestBench::new(case, node.node.clone())?;
    let outcome = bench.run().await;
    let unbuilt = bench.unbuilt();
    drop(bench);
    node.shutdown().await;
    match (outcome, unbuilt) {
        (Err(Stop::Failed(_)), Some(reason)) => Err(Stop::Skipped(reason)),
        (Err(Stop::Failed(message)), None) if case.responses.iter().any(|r| r.query_proto.is_some()) => {
            Err(Stop::Skipped(format!("answers in protobuf are not built: {message}")))
        }
        (outcome, _) => outcome,
    }
}

/// Refusals for want of something that is not built.
fn is_unbuilt(message: &str) -> bool {
    message.contains("is not available") || message.contains("Schema Registry")
}

/// A statement's answer, if it has one.
enum Answered {
    Nothing,
    Entities(Vec<Value>),
    Items(Vec<Value>, RowOrder),
}

/// Comparison of rows with or without their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowOrder {
    Given,
    /// A pull query reads partitions in no order that it promises.
    Any,
}

fn row_order(text: &str) -> RowOrder {
    match parse_statements(text).ok().as_deref() {
        Some([ParsedStatement { statement: Statement::Query(query), .. }])
            if !query.is_push() && query.order_by.is_empty() =>
        {
            RowOrder::Any
        }
        _ => RowOrder::Given,
    }
}

struct RestBench<'a> {
    case: &'a RestCase,
    node: Node,
    client: ServerClient,
    context: RequestContext,
    /// Every source in the order in which it was first seen.
    declared: Vec<Arc<Source>>,
    produced: bool,
    /// Responses that have been checked.
    checked: usize,
}

impl<'a> RestBench<'a> {
    fn new(case: &'a RestCase, node: Node) -> Result<RestBench<'a>, Stop> {
        let client = ServerClient::new(&node.http_address().to_string())
            .map_err(|e| Stop::Failed(format!("no client: {e}")))?;
        let mut properties: IndexMap<String, String> =
            qtt::properties(&case.properties).into_iter().collect();
        properties.entry("auto.offset.reset".to_owned()).or_insert_with(|| "earliest".to_owned());
        let context = RequestContext { properties, ..RequestContext::default() };
        Ok(RestBench { case, node, client, context, declared: Vec::new(), produced: false, checked: 0 })
    }

    async fn run(&mut self) -> Result<(), Stop> {
        for topic in &self.case.topics {
            let partitions = topic.partitions.and_then(|p| i32::try_from(p).ok());
            self.create_topic(&topic.name, partitions.unwrap_or(PARTITIONS_DEFAULT)).await?;
        }
        let count = self.case.statements.len();
        for (number, text) in self.case.statements.iter().enumerate() {
            let is_last = number + 1 == count;
            let answered = self.statement(text).await;
            match (answered, &self.case.expected_error) {
                (Err(Refusal::Refused(error)), Some(expected)) if is_last => {
                    return check_refusal(&error, expected);
                }
                (Err(Refusal::Refused(error)), None) if is_unbuilt(&error.to_string()) => {
                    return Err(Stop::Skipped(error.to_string()));
                }
                (Err(Refusal::Refused(error)), _) => {
                    return Err(Stop::Failed(format!("refused: {error}\nstatement: {text}")));
                }
                (Err(Refusal::Stopped(stop)), _) => return Err(stop),
                (Ok(_), Some(expected)) if is_last => {
                    let wanted = expected.message.as_deref().unwrap_or("any reason");
                    return Err(Stop::Failed(format!("the last statement must be refused: {wanted}")));
                }
                (Ok(answered), _) => self.check(answered)?,
            }
        }
        if !self.produced {
            self.produce_inputs().await?;
        }
        if self.checked < self.case.responses.len() {
            let (expected, actual) = (self.case.responses.len(), self.checked);
            return Err(Stop::Failed(format!("{actual} statements answered, expected {expected}")));
        }
        self.check_outputs().await
    }

    async fn statement(&mut self, text: &str) -> Result<Answered, Refusal> {
        if statement_kind(text).is_query() {
            return self.query(text).await;
        }
        for statement in parse_statements(text).iter().flatten() {
            self.imply_topic(statement).await?;
        }
        let entities = self.client.execute(text, &self.context).await?;
        self.declare();
        Ok(if entities.is_empty() { Answered::Nothing } else { Answered::Entities(entities) })
    }

    async fn query(&mut self, text: &str) -> Result<Answered, Refusal> {
        let expected = self.case.responses.get(self.checked).and_then(|r| r.query.as_deref());
        let wanted = expected.map_or(usize::MAX, <[Value]>::len);
        let order = row_order(text);
        if self.case.input_conditions.wait_for_active_push_query && !self.produced {
            self.catch_up().await?;
            let answer = self.client.query(text, &self.context).await?;
            self.produce_inputs().await?;
            return Ok(Answered::Items(items(answer, wanted).await?, order));
        }
        if !self.produced {
            self.produce_inputs().await?;
        }
        self.catch_up().await?;
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let answer = self.client.query(text, &self.context).await?;
            let actual = items(answer, wanted).await?;
            let settled = expected.is_none_or(|e| items_differ(e, &actual, order).is_none());
            if settled || Instant::now() > deadline {
                return Ok(Answered::Items(actual, order));
            }
            sleep(POLL_INTERVAL * 20).await;
        }
    }

    /// Compares answers with the responses that come next.
    fn check(&mut self, answered: Answered) -> Result<(), Stop> {
        let mut next = || -> Option<&ResponseSpec> {
            let response = self.case.responses.get(self.checked)?;
            self.checked += 1;
            Some(response)
        };
        match answered {
            Answered::Nothing => Ok(()),
            Answered::Entities(entities) => {
                for entity in entities {
                    let Some(response) = next() else { return Ok(()) };
                    let expected = response.admin.clone().unwrap_or(Value::Null);
                    if !contains(&expected, &entity) {
                        return Err(Stop::Failed(format!("answer is {entity}, expected {expected}")));
                    }
                }
                Ok(())
            }
            Answered::Items(items, order) => {
                let Some(response) = next() else { return Ok(()) };
                let Some(expected) = &response.query else {
                    return Err(Stop::Failed("a query has answered where no query was expected".to_owned()));
                };
                match items_differ(expected, &items, order) {
                    None => Ok(()),
                    Some(what) => {
                        let list: Vec<String> = items.iter().map(Value::to_string).collect();
                        Err(Stop::Failed(format!("{what}\nactual:\n  {}", list.join("\n  "))))
                    }
                }
            }
        }
    }

    /// Makes the topic of a CREATE that does not say how many partitions it has.
    async fn imply_topic(&self, parsed: &ParsedStatement) -> Result<(), Stop> {
        let Statement::CreateSource(create) = &parsed.statement else { return Ok(()) };
        if create.properties.get("PARTITIONS").is_some() {
            return Ok(());
        }
        match create.properties.get("KAFKA_TOPIC").map(|p| &p.value.value) {
            Some(SqlValue::String(topic)) => self.create_topic(topic, PARTITIONS_DEFAULT).await,
            _ => Ok(()),
        }
    }

    async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Stop> {
        let admin = Admin::new(self.node.transport());
        let known = admin.describe_topic(name).await.map_err(broker_failed)?;
        match known {
            Some(_) => Ok(()),
            None => admin.create_topic(name, partitions, &BTreeMap::new()).await.map_err(broker_failed),
        }
    }

    fn declare(&mut self) {
        let metastore = self.node.metastore();
        for source in metastore.sources() {
            match self.declared.iter_mut().find(|known| known.name == source.name) {
                Some(known) => *known = Arc::clone(source),
                None => self.declared.push(Arc::clone(source)),
            }
        }
    }

    /// A format that a source of the case has and that is not built.
    fn unbuilt(&self) -> Option<String> {
        self.declared.iter().find_map(|source| {
            let sides =
                [(&source.key_format, &source.schema.key), (&source.value_format, &source.schema.value)];
            sides.into_iter().find_map(|(format, columns)| match value_decoder(format, columns) {
                Err(error @ SerdeError::NotAvailable { .. }) => Some(error.to_string()),
                Ok(_) | Err(_) => None,
            })
        })
    }

    async fn produce_inputs(&mut self) -> Result<(), Stop> {
        self.produced = true;
        let admin = Admin::new(self.node.transport());
        let mut producer = IdempotentProducer::init(self.node.transport()).await.map_err(broker_failed)?;
        for input in &self.case.inputs {
            let source = self
                .declared
                .iter()
                .find(|s| s.topic == input.topic)
                .ok_or_else(|| Stop::Failed(format!("no source is over topic {}", input.topic)))?;
            let record = qtt::encode_input(source, input)?;
            let topic = admin.describe_topic(&input.topic).await.map_err(broker_failed)?;
            let partitions = topic.map_or(1, |t| t.partitions);
            let bounds = input.window.as_ref().map_or(0, |w| if w.kind == "session" { 16 } else { 8 });
            let partition = record
                .key
                .as_deref()
                .map_or(0, |key| partition_for_key(&key[..key.len().saturating_sub(bounds)], partitions));
            let headers: Vec<Header<'_>> = record
                .headers
                .iter()
                .flat_map(|h| h.iter())
                .map(|(key, value)| Header { key, value: value.as_deref() })
                .collect();
            let mut builder = RecordBatchBuilder::new(BatchOptions::default());
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
            let batch = builder.build().map_err(|e| Stop::Failed(e.to_string()))?;
            let partition = TopicPartition::new(input.topic.as_str(), partition);
            producer.send(vec![(partition, vec![batch])]).await.map_err(broker_failed)?;
        }
        Ok(())
    }

    /// Waits until every persistent query has read and committed what its topics hold.
    async fn catch_up(&self) -> Result<(), Stop> {
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        while !self.has_caught_up()? {
            if Instant::now() > deadline {
                return Err(Stop::Failed("the queries do not catch up with their inputs".to_owned()));
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn has_caught_up(&self) -> Result<bool, Stop> {
        let figures = self.node.broker_figures();
        for query in self.node.engine().queries() {
            if let (weir_engine::query::status::QueryState::Error, Some(error)) =
                (query.state, query.errors.last())
            {
                return Err(Stop::Failed(format!("query {} failed: {}", query.query_id, error.message)));
            }
            let inputs: Vec<_> = query.tasks.iter().flat_map(|t| &t.inputs).collect();
            let behind = figures.iter().any(|figure| {
                inputs.iter().any(|i| {
                    figure.partition.topic.as_ref() == i.topic
                        && figure.partition.partition == i.partition
                        && i.position < figure.offsets.log_end
                })
            });
            if behind || inputs.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn check_outputs(&self) -> Result<(), Stop> {
        let Some(outputs) = &self.case.outputs else { return Ok(()) };
        let mut topics: Vec<&str> = outputs.iter().map(|o| o.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let mut over = self.declared.iter().filter(|s| s.topic == topic);
            let source = over.clone().rfind(|s| s.from_query).or_else(|| over.next());
            let source = source.ok_or_else(|| Stop::Failed(format!("no source is over topic {topic}")))?;
            let expected: Vec<_> = outputs.iter().filter(|o| o.topic == topic).collect();
            let deadline = Instant::now() + SETTLE_TIMEOUT;
            loop {
                let records = self.records(topic).await?;
                let checked = qtt::check_topic(source, topic, &expected, &records.iter().collect::<Vec<_>>());
                if checked.is_ok() || Instant::now() > deadline {
                    checked?;
                    break;
                }
                sleep(POLL_INTERVAL * 20).await;
            }
        }
        Ok(())
    }

    /// The records of a topic, partition by partition.
    async fn records(&self, topic: &str) -> Result<Vec<DriverRecord>, Stop> {
        let reader = Reader::new(self.node.transport());
        let options = FetchOptions { wait_max: Duration::ZERO, ..FetchOptions::default() };
        let figures = self.node.broker_figures();
        let mut found = Vec::new();
        for figure in figures.into_iter().filter(|f| f.partition.topic.as_ref() == topic) {
            let mut offset = 0;
            while offset < figure.offsets.log_end {
                let assignment = [(figure.partition.clone(), offset)];
                let mut fetched = reader.fetch(&assignment, &options).await.map_err(broker_failed)?;
                let Some((_, Ok(records))) = fetched.pop() else { break };
                for batch in &records.batches {
                    let mut scratch = DecompressBuf::with_limit(64 << 20);
                    let rows = batch.records(&mut scratch).map_err(|e| Stop::Failed(e.to_string()))?;
                    for record in rows.filter_map(Result::ok).filter(|r| r.offset >= offset) {
                        found.push(DriverRecord {
                            topic: topic.to_owned(),
                            key: record.key.map(<[u8]>::to_vec),
                            value: record.value.map(<[u8]>::to_vec),
                            timestamp: record.timestamp,
                            headers: None,
                            partition: figure.partition.partition,
                            offset: record.offset,
                            is_output: true,
                        });
                    }
                }
                if records.next_offset <= offset {
                    break;
                }
                offset = records.next_offset;
            }
        }
        Ok(found)
    }
}

/// Why a statement gave no answer.
enum Refusal {
    Refused(ClientError),
    Stopped(Stop),
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Refusal {
        Refusal::Refused(error)
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Refusal {
        Refusal::Stopped(stop)
    }
}

fn broker_failed(error: weir_broker::client::error::ClientError) -> Stop {
    Stop::Failed(format!("the broker refused: {error}"))
}

/// The items of an answer in the form of `/query`, up to its end or to as many as are wanted.
async fn items(mut answer: QueryAnswer, wanted: usize) -> Result<Vec<Value>, Refusal> {
    let mut items = Vec::new();
    // One more shows an answer that does not end where it should; a push query without limit has no more.
    while items.len() <= wanted {
        let patience = if items.len() < wanted { ITEM_TIMEOUT } else { POLL_INTERVAL * 10 };
        match timeout(patience, answer.next()).await {
            Err(_) => break,
            Ok(item) => match item? {
                None => break,
                Some(item) => items.push(item_json(item)),
            },
        }
    }
    Ok(items)
}

fn item_json(item: QueryItem) -> Value {
    match item {
        QueryItem::Header { query_id, schema } => json!({"header": {"queryId": query_id, "schema": schema}}),
        QueryItem::Row { columns, tombstone: false } => json!({"row": {"columns": columns}}),
        QueryItem::Row { columns, tombstone: true } => {
            json!({"row": {"columns": columns, "tombstone": true}})
        }
        QueryItem::Line(line) => json!({"line": line}),
        QueryItem::Final(text) => json!({"finalMessage": text}),
    }
}

/// Differences between expected and actual items.
fn items_differ(expected: &[Value], actual: &[Value], order: RowOrder) -> Option<String> {
    let mut rows: Vec<Value> = actual.to_vec();
    if order == RowOrder::Any {
        align(expected, &mut rows);
    }
    for (place, (wanted, item)) in expected.iter().zip(&rows).enumerate() {
        let same = match (wanted.get("row"), item.get("row")) {
            (Some(wanted), Some(row)) => compare::same(wanted, row),
            _ => contains(wanted, item),
        };
        if !same {
            return Some(format!("item {place} is {item}, expected {wanted}"));
        }
    }
    let (expected, actual) = (expected.len(), actual.len());
    (expected != actual).then(|| format!("{actual} items came, expected {expected}"))
}

/// Brings each row that is expected to its place.
fn align(expected: &[Value], rows: &mut [Value]) {
    for place in 0..expected.len().min(rows.len()) {
        let Some(wanted) = expected[place].get("row") else { continue };
        let found =
            (place..rows.len()).find(|at| rows[*at].get("row").is_some_and(|r| compare::same(wanted, r)));
        if let Some(at) = found {
            rows[place..=at].rotate_right(1);
        }
    }
}

/// True if `actual` has all that `expected` has. A member `name|starts_with` wants a beginning of the text.
fn contains(expected: &Value, actual: &Value) -> bool {
    let (Value::Object(expected), Value::Object(actual)) = (expected, actual) else {
        return compare::same(expected, actual);
    };
    let found = |members: &Map<String, Value>, name: &str| members.get(name).cloned().unwrap_or(Value::Null);
    expected.iter().all(|(name, wanted)| match name.split_once('|') {
        Some((name, "starts_with")) => {
            let text = found(actual, name);
            text.as_str().zip(wanted.as_str()).is_some_and(|(text, start)| text.starts_with(start))
        }
        _ => contains(wanted, &found(actual, name)),
    })
}

fn check_refusal(error: &ClientError, expected: &ExpectedError) -> Result<(), Stop> {
    let ClientError::Refused { code, message, statement, .. } = error else {
        return Err(Stop::Failed(format!("not refused, but: {error}")));
    };
    if let Some(status) = expected.status
        && code / 100 != status
    {
        return Err(Stop::Failed(format!("refused with {code}, expected {status}: {message}")));
    }
    let of_statement = statement.is_some();
    let wants_statement = expected.kind.as_deref().map(|kind| kind.ends_with("KsqlStatementErrorMessage"));
    if wants_statement.is_some_and(|wanted| wanted != of_statement) {
        let kind = if of_statement { "statement_error" } else { "generic_error" };
        return Err(Stop::Failed(format!("refused with a {kind}: {message}")));
    }
    match &expected.message {
        None => Ok(()),
        Some(wanted) if rejection::matches(wanted, message) => Ok(()),
        Some(wanted) if wanted.contains("Syntax Error") && message.contains("Syntax Error") => Ok(()),
        Some(wanted) => {
            Err(Stop::Failed(format!("refused for another reason\nexpected: {wanted}\nactual:   {message}")))
        }
    }
}
