//! Statements.

use crate::ast::display::Printer;
use crate::ast::expr::Expr;
use crate::ast::ident::Ident;
use crate::ast::query::Duration;
use crate::ast::statement::{
    Assert, ColumnDefinition, ColumnRole, ConnectorKind, CreateAsSelect, CreateSource, Describe,
    ExplainTarget, InsertValues, Print, Properties, QueryTarget, SetProperty, Show, SourceKind, Statement,
};

impl Printer {
    pub(super) fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateSource(create) => self.create_source(create),
            Statement::CreateAsSelect(create) => self.create_as_select(create),
            Statement::InsertSelect(insert) => {
                self.words(&["INSERT INTO "]);
                self.name(&insert.target.name);
                self.properties(&insert.properties);
                self.put(" ");
                self.query(&insert.query);
            }
            Statement::InsertValues(insert) => {
                self.put("INSERT INTO ");
                self.rows(insert, " VALUES (");
            }
            Statement::Query(query) => self.query(query),
            Statement::DropSource(drop) => {
                self.words(&["DROP ", kind_word(drop.kind), if_word(drop.if_exists, " IF EXISTS"), " "]);
                self.name(&drop.name.name);
                self.put(if_word(drop.delete_topic, " DELETE TOPIC"));
            }
            Statement::AlterSource(alter) => {
                self.words(&["ALTER ", kind_word(alter.kind), " "]);
                self.name(&alter.name.name);
                self.put(" ");
                self.separated(&alter.columns, |p, (name, type_name)| {
                    p.put("ADD COLUMN ");
                    p.name(&name.name);
                    p.put(" ");
                    p.type_name(type_name);
                });
            }
            Statement::AlterSystem(property) => self.set("ALTER SYSTEM ", property),
            Statement::Terminate(target) => self.target("TERMINATE ", target),
            Statement::Pause(target) => self.target("PAUSE ", target),
            Statement::Resume(target) => self.target("RESUME ", target),
            Statement::CreateType { if_not_exists, name, definition } => {
                self.words(&["CREATE TYPE ", if_word(*if_not_exists, "IF NOT EXISTS ")]);
                self.name(&name.name);
                self.put(" AS ");
                self.type_name(definition);
            }
            Statement::DropType { if_exists, name } => {
                self.words(&["DROP TYPE ", if_word(*if_exists, "IF EXISTS ")]);
                self.name(&name.name);
            }
            Statement::Set(property) => self.set("SET ", property),
            Statement::Unset { name } => {
                self.put("UNSET ");
                self.string(name);
            }
            Statement::Define { name, value } => {
                self.put("DEFINE ");
                self.name_as_typed(&name.name);
                self.put(" = ");
                self.string(value);
            }
            Statement::Undefine { name } => {
                self.put("UNDEFINE ");
                self.name_as_typed(&name.name);
            }
            Statement::Show(show) => self.show(show),
            Statement::Describe(describe) => self.describe(describe),
            Statement::Explain(ExplainTarget::Query(id)) => {
                self.put("EXPLAIN ");
                self.name(&id.name);
            }
            Statement::Explain(ExplainTarget::Statement { statement, .. }) => {
                self.put("EXPLAIN ");
                self.statement(statement);
            }
            Statement::Print(print) => self.print_topic(print),
            Statement::Assert(assert) => self.assertion(assert),
            Statement::CreateConnector { kind, if_not_exists, name, properties } => {
                self.words(&["CREATE ", connector_word(*kind), " CONNECTOR "]);
                self.put(if_word(*if_not_exists, "IF NOT EXISTS "));
                self.name(&name.name);
                self.properties(properties);
            }
            Statement::DropConnector { if_exists, name } => {
                self.words(&["DROP CONNECTOR ", if_word(*if_exists, "IF EXISTS ")]);
                self.name(&name.name);
            }
            Statement::RunScript { path } => {
                self.put("RUN SCRIPT ");
                self.string(path);
            }
        }
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.put(word);
        }
    }

    /// A name whose case the parser does not change.
    fn name_as_typed(&mut self, name: &str) {
        if crate::dialect::is_plain_identifier(name) {
            self.put(name);
        } else {
            self.put(&crate::types::quote_identifier(name));
        }
    }

    fn create_source(&mut self, create: &CreateSource) {
        self.put(if create.or_replace { "CREATE OR REPLACE " } else { "CREATE " });
        self.put(if_word(create.read_only, "SOURCE "));
        self.words(&[kind_word(create.kind), if_word(create.if_not_exists, " IF NOT EXISTS"), " "]);
        self.name(&create.name.name);
        self.columns(&create.columns);
        self.properties(&create.properties);
    }

    fn create_as_select(&mut self, create: &CreateAsSelect) {
        self.put(if create.or_replace { "CREATE OR REPLACE " } else { "CREATE " });
        self.words(&[kind_word(create.kind), if_word(create.if_not_exists, " IF NOT EXISTS"), " "]);
        self.name(&create.name.name);
        self.properties(&create.properties);
        self.put(" AS ");
        self.query(&create.query);
    }

    fn columns(&mut self, columns: &[ColumnDefinition]) {
        if columns.is_empty() {
            return;
        }
        self.put(" (");
        self.separated(columns, |p, column| {
            p.name(&column.name.name);
            p.put(" ");
            p.type_name(&column.type_name);
            match &column.role {
                ColumnRole::Value => {}
                ColumnRole::Key => p.put(" KEY"),
                ColumnRole::PrimaryKey => p.put(" PRIMARY KEY"),
                ColumnRole::Headers => p.put(" HEADERS"),
                ColumnRole::Header(key) => {
                    p.put(" HEADER(");
                    p.string(key);
                    p.put(")");
                }
            }
        });
        self.put(")");
    }

    fn properties(&mut self, properties: &Properties) {
        if properties.is_empty() {
            return;
        }
        self.put(" WITH (");
        self.separated(&properties.entries, |p, property| {
            // A quoted name keeps its case; an upper-case plain name reads the same without quotes.
            if crate::ast::display::quoted_if_needed(&property.name) == property.name {
                p.put(&property.name);
            } else {
                p.string(&property.name);
            }
            p.put("=");
            p.literal(&property.value);
        });
        self.put(")");
    }

    fn rows(&mut self, insert: &InsertValues, lead: &str) {
        self.name(&insert.target.name);
        if !insert.columns.is_empty() {
            self.put(" (");
            self.separated(&insert.columns, |p, column: &Ident| p.name(&column.name));
            self.put(")");
        }
        self.put(lead);
        self.separated(&insert.values, |p, value: &Expr| p.expr(value));
        self.put(")");
    }

    fn set(&mut self, lead: &str, property: &SetProperty) {
        self.put(lead);
        self.string(&property.name);
        self.put("=");
        self.string(&property.value);
    }

    fn target(&mut self, lead: &str, target: &QueryTarget) {
        self.put(lead);
        match target {
            QueryTarget::All => self.put("ALL"),
            QueryTarget::Query(id) => self.name(&id.name),
        }
    }

    fn show(&mut self, show: &Show) {
        let (what, extended) = match show {
            Show::Streams { extended } => ("STREAMS", *extended),
            Show::Tables { extended } => ("TABLES", *extended),
            Show::Queries { extended } => ("QUERIES", *extended),
            Show::Topics { all: false, extended } => ("TOPICS", *extended),
            Show::Topics { all: true, extended } => ("ALL TOPICS", *extended),
            Show::Functions => ("FUNCTIONS", false),
            Show::Types => ("TYPES", false),
            Show::Properties => ("PROPERTIES", false),
            Show::Variables => ("VARIABLES", false),
            Show::Connectors { kind: None } => ("CONNECTORS", false),
            Show::Connectors { kind: Some(ConnectorKind::Source) } => ("SOURCE CONNECTORS", false),
            Show::Connectors { kind: Some(ConnectorKind::Sink) } => ("SINK CONNECTORS", false),
            Show::ConnectorPlugins => ("CONNECTOR PLUGINS", false),
        };
        self.words(&["SHOW ", what, if_word(extended, " EXTENDED")]);
    }

    fn describe(&mut self, describe: &Describe) {
        self.put("DESCRIBE ");
        match describe {
            Describe::Source { name, extended } => {
                self.name(&name.name);
                self.put(if_word(*extended, " EXTENDED"));
            }
            Describe::Streams { extended } => self.words(&["STREAMS", if_word(*extended, " EXTENDED")]),
            Describe::Tables { extended } => self.words(&["TABLES", if_word(*extended, " EXTENDED")]),
            Describe::Function { name } => {
                self.put("FUNCTION ");
                self.name(&name.name);
            }
            Describe::Connector { name } => {
                self.put("CONNECTOR ");
                self.name(&name.name);
            }
        }
    }

    fn print_topic(&mut self, print: &Print) {
        self.put("PRINT ");
        self.string(&print.topic);
        self.put(if_word(print.from_beginning, " FROM BEGINNING"));
        if let Some(interval) = print.interval {
            self.put(&format!(" INTERVAL {interval}"));
        }
        if let Some(limit) = print.limit {
            self.put(&format!(" LIMIT {limit}"));
        }
    }

    fn assertion(&mut self, assert: &Assert) {
        self.put("ASSERT ");
        match assert {
            Assert::Topic { exists, topic, properties, timeout } => {
                self.words(&[if_word(!exists, "NOT EXISTS "), "TOPIC "]);
                self.string(topic);
                self.properties(properties);
                self.timeout(timeout.as_ref());
            }
            Assert::Schema { exists, subject, id, timeout } => {
                self.words(&[if_word(!exists, "NOT EXISTS "), "SCHEMA"]);
                if let Some(subject) = subject {
                    self.put(" SUBJECT ");
                    self.string(subject);
                }
                if let Some(id) = id {
                    self.put(&format!(" ID {id}"));
                }
                self.timeout(timeout.as_ref());
            }
            Assert::Values(row) => {
                self.put("VALUES ");
                self.rows(row, " VALUES (");
            }
            Assert::Tombstone(row) => {
                self.put("NULL VALUES ");
                self.rows(row, " KEY (");
            }
            Assert::Source { kind, name, columns, properties } => {
                self.words(&[kind_word(*kind), " "]);
                self.name(&name.name);
                self.columns(columns);
                self.properties(properties);
            }
        }
    }

    fn timeout(&mut self, timeout: Option<&Duration>) {
        if let Some(timeout) = timeout {
            self.put(" TIMEOUT ");
            self.duration(timeout);
        }
    }
}

fn kind_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "STREAM",
        SourceKind::Table => "TABLE",
    }
}

fn connector_word(kind: ConnectorKind) -> &'static str {
    match kind {
        ConnectorKind::Source => "SOURCE",
        ConnectorKind::Sink => "SINK",
    }
}

fn if_word(condition: bool, word: &'static str) -> &'static str {
    if condition { word } else { "" }
}
