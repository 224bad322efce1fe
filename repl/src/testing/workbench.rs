//! An engine for one case: metastore, topics and queries in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_broker::error::chain;
use weir_engine::driver::topic_log::DriverRecord;
use weir_engine::driver::{DriverConfig, TopologyDriver};
use weir_engine::serde::error::SerdeError;
use weir_engine::serde::insert::{columns_of, encode_rows};
use weir_engine::serde::value_decoder;
use weir_engine::settings::QuerySettings;
use weir_sql::ast::statement::{SetProperty, Statement};
use weir_sql::catalog::{MemoryTopics, NoSchemas, TopicCatalog, TopicInfo};
use weir_sql::context::Context;
use weir_sql::error::SqlError;
use weir_sql::expr::compile::{CompileContext, IgnoreErrors, evaluate_constant};
use weir_sql::expr::ir::Expr;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::Source;
use weir_sql::parser::ParsedStatement;
use weir_sql::plan::action::{NewTopic, QueryStart, StatementEffects, apply_all_now};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::QueryPlan;
use weir_sql::plan::statement::{InsertRow, InsertedRow, PreparedStatement, unknown_query};
use weir_sql::planner::statement::prepare;
use weir_sql::schema::Column;
use weir_sql::session::Session;
use weir_sql::value::SqlValue;

use crate::testing::codec::unavailable;
use crate::testing::report::Stop;

/// Partitions of topics that a case does not describe.
pub const PARTITIONS_DEFAULT: u32 = 4;
/// The time it is: cases must not depend on when they run. Units: ms since epoch.
const NOW_MS: i64 = 1_600_000_000_000;
const SERVICE_ID: &str = "some.ksql.service.id";

/// Why a statement did not run.
#[derive(Debug)]
pub enum Refusal {
    /// The statement is not valid.
    Rejected(SqlError),
    /// It is, but cannot be run.
    Stopped(Stop),
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Refusal {
        Refusal::Rejected(error)
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Refusal {
        Refusal::Stopped(stop)
    }
}

#[derive(Debug)]
pub struct Workbench {
    pub metastore: Metastore,
    pub driver: TopologyDriver,
    /// Every source that was made, in this order, as it last was; dropped ones stay.
    pub declared: Vec<Arc<Source>>,
    /// Every plan that was made, in this order.
    pub plans: Vec<QueryPlan>,
    /// Missing support that a source needs; from then on statements are analysed, but queries do not run.
    pub unbuilt: Option<String>,
    base: Session,
    settings: BTreeMap<String, String>,
    session: Session,
    topics: MemoryTopics,
    number: u64,
    now_ms: i64,
}

impl Workbench {
    /// Errors: a property has an invalid value.
    pub fn new(properties: BTreeMap<String, String>, config: DriverConfig) -> Result<Workbench, SqlError> {
        let mut driver = TopologyDriver::new(config);
        driver.set_time(NOW_MS);
        let base = Session { service_id: SERVICE_ID.to_owned(), ..Session::default() };
        Ok(Workbench {
            metastore: Metastore::new(),
            driver,
            declared: Vec::new(),
            plans: Vec::new(),
            unbuilt: None,
            session: base.clone().with_properties(&properties)?,
            base,
            settings: properties,
            topics: MemoryTopics::default(),
            number: 0,
            now_ms: NOW_MS,
        })
    }

    pub fn add_topic(&mut self, name: &str, partitions: u32, replicas: Option<u16>) {
        self.topics.insert(name, TopicInfo { partitions, replicas, retention_ms: None });
        // As in the original's test driver, records travel in one partition, whatever number is declared.
        self.driver.add_topic(name, 1);
    }

    pub fn partitions(&self, topic: &str) -> Option<u32> {
        self.topics.topic(topic).map(|t| t.partitions)
    }

    /// The source whose formats the records of a topic have: the last one made over it by a query, else the first.
    pub fn source_over(&self, topic: &str) -> Option<&Arc<Source>> {
        let mut over = self.declared.iter().filter(|s| s.topic == topic);
        over.clone().rfind(|s| s.from_query).or_else(|| over.next())
    }

    /// Analyses a statement without running it.
    pub fn prepare(&self, statement: &Statement, sql: &str) -> Result<PreparedStatement, SqlError> {
        let context = Context {
            metastore: &self.metastore,
            session: &self.session,
            topics: &self.topics,
            schemas: &NoSchemas,
            functions: FunctionRegistry::standard(),
        };
        prepare(&context, statement, sql, self.number)
    }

    /// Runs a statement. Topics that CREATE implies exist already.
    pub fn execute(&mut self, parsed: &ParsedStatement) -> Result<(), Refusal> {
        self.imply_topic(&parsed.statement);
        let prepared = self.prepare(&parsed.statement, &parsed.text)?;
        let properties = self.settings.clone().into_iter().collect();
        apply_all_now(self, &prepared.actions(&parsed.text, &properties))?;
        match prepared {
            PreparedStatement::Command(_) => {
                self.number += 1;
                Ok(())
            }
            PreparedStatement::InsertValues(row) => self.insert(&row),
            PreparedStatement::PassThrough(statement) => match *statement {
                Statement::Set(SetProperty { name, value }) => {
                    self.settings.insert(name, value);
                    self.reset_session()
                }
                Statement::Unset { name } => {
                    self.settings.remove(&name);
                    self.reset_session()
                }
                _ => Ok(()),
            },
            PreparedStatement::TerminateTransient { id, place } => {
                let known = self.metastore.queries().map(|query| query.plan.query_id.as_str());
                Err(unknown_query(&id, place, known).into())
            }
            PreparedStatement::Queries { .. }
            | PreparedStatement::Skipped { .. }
            | PreparedStatement::Pull(_)
            | PreparedStatement::Push(_) => Ok(()),
        }
    }

    fn reset_session(&mut self) -> Result<(), Refusal> {
        self.session = self.base.clone().with_properties(&self.settings)?;
        Ok(())
    }

    fn imply_topic(&mut self, statement: &Statement) {
        let Statement::CreateSource(create) = statement else { return };
        if create.properties.get("PARTITIONS").is_some() {
            return;
        }
        if let Some(property) = create.properties.get("KAFKA_TOPIC")
            && let SqlValue::String(topic) = &property.value.value
            && self.topics.topic(topic).is_none()
        {
            self.add_topic(&topic.clone(), PARTITIONS_DEFAULT, None);
        }
    }

    /// Remembers a source, and whether its formats are built.
    fn declare(&mut self, name: &str) {
        let Some(source) = self.metastore.source(name) else { return };
        let sides = [(&source.key_format, &source.schema.key), (&source.value_format, &source.schema.value)];
        for (format, columns) in sides {
            if let Err(error @ SerdeError::NotAvailable { .. }) = value_decoder(format, columns) {
                self.unbuilt.get_or_insert_with(|| error.to_string());
            }
        }
        self.declared.retain(|known| known.name != name);
        self.declared.push(Arc::clone(source));
    }

    /// Produces the record of an INSERT VALUES.
    fn insert(&mut self, row: &InsertRow) -> Result<(), Refusal> {
        let Some(source) = self.metastore.source(&row.source).cloned() else { return Ok(()) };
        if self.unbuilt.is_some() {
            return Ok(());
        }
        let InsertedRow { key, value, timestamp } = row.evaluate(&self.compile_context())?;
        let columns = |columns: &[Column], values| columns_of(columns, std::slice::from_ref(values));
        let (key, value) = (columns(&source.schema.key, &key), columns(&source.schema.value, &value));
        let encoded = encode_rows(&source, &key, &value, 1).map_err(unavailable)?;
        if let Some(error) = encoded.errors.first() {
            return Err(Stop::Failed(error.to_string()).into());
        }
        let record = DriverRecord {
            topic: source.topic.clone(),
            key: encoded.key(0).map(<[u8]>::to_vec),
            value: encoded.value(0).map(<[u8]>::to_vec),
            timestamp: timestamp.unwrap_or(self.now_ms),
            ..DriverRecord::default()
        };
        self.driver.produce(record, None);
        Ok(())
    }

    pub fn constants(&self, exprs: &[Expr]) -> Result<Vec<SqlValue>, Stop> {
        exprs.iter().map(|expr| self.constant(expr)).collect()
    }

    pub fn constant(&self, expr: &Expr) -> Result<SqlValue, Stop> {
        evaluate_constant(expr, &self.compile_context())
            .map_err(|e| Stop::Failed(format!("a value cannot be computed: {e}")))
    }

    fn compile_context(&self) -> CompileContext {
        let now_ms = self.now_ms;
        CompileContext {
            reporter: Arc::new(IgnoreErrors),
            now_ms: Arc::new(move || now_ms),
            random: Arc::new(|| 0),
        }
    }
}

/// Topics and queries of a case. Queries do not pause: a case sees their results at its end.
impl StatementEffects for Workbench {
    type Error = Stop;

    async fn create_topic(&mut self, topic: NewTopic<'_>) -> Result<(), Stop> {
        if self.topics.topic(topic.name).is_none() {
            self.add_topic(topic.name, topic.info().partitions, topic.replicas);
        }
        Ok(())
    }

    async fn change_metastore(&mut self, ddl: &DdlCommand) -> Result<(), Stop> {
        let applied = self
            .metastore
            .apply(ddl)
            .map_err(|e| Stop::Failed(format!("the command does not apply: {e}")))?;
        drop(applied);
        if let DdlCommand::CreateSource(create) = ddl {
            self.declare(&create.name);
        }
        Ok(())
    }

    async fn start_query(&mut self, query: QueryStart<'_>) -> Result<(), Stop> {
        self.plans.push(query.plan.clone());
        self.metastore.add_query(query.entry());
        if self.unbuilt.is_none() {
            let invalid = |e| Stop::Failed(format!("a property is not valid: {e}"));
            let refuse = |e| Stop::Failed(format!("the query cannot be built: {}", chain(&e)));
            let properties: BTreeMap<String, String> = query.properties.clone().into_iter().collect();
            let settings = QuerySettings::from_properties(&properties).map_err(invalid)?;
            self.driver.replace_query_with(query.plan.clone(), settings).map_err(refuse)?;
        }
        Ok(())
    }

    async fn stop_query(&mut self, id: &str) -> Result<(), Stop> {
        self.metastore.remove_query(id);
        self.driver.remove_query(id);
        Ok(())
    }

    async fn pause_query(&mut self, _id: &str) -> Result<(), Stop> {
        Ok(())
    }

    async fn resume_query(&mut self, _id: &str) -> Result<(), Stop> {
        Ok(())
    }

    async fn delete_topic(&mut self, name: &str) -> Result<(), Stop> {
        self.topics.remove(name);
        Ok(())
    }
}
