//! Statements as written, one variant per kind.

use crate::ast::expr::Expr;
use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::ast::query::{Duration, Query};
use crate::ast::types::TypeName;
use crate::span::Span;
use crate::value::Literal;

#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    CreateSource(CreateSource),
    CreateAsSelect(CreateAsSelect),
    InsertSelect(InsertSelect),
    InsertValues(InsertValues),
    /// A bare SELECT: a push query with EMIT, else a pull query.
    Query(Box<Query>),
    DropSource(DropSource),
    AlterSource(AlterSource),
    /// `ALTER SYSTEM 'name' = 'value'`
    AlterSystem(SetProperty),
    Terminate(QueryTarget),
    Pause(QueryTarget),
    Resume(QueryTarget),
    CreateType {
        if_not_exists: bool,
        name: Ident,
        definition: TypeName,
    },
    DropType {
        if_exists: bool,
        name: Ident,
    },
    Set(SetProperty),
    Unset {
        name: String,
    },
    /// `DEFINE name = 'value'`
    Define {
        name: Ident,
        value: String,
    },
    Undefine {
        name: Ident,
    },
    Show(Show),
    Describe(Describe),
    Explain(ExplainTarget),
    Print(Print),
    Assert(Assert),
    CreateConnector {
        kind: ConnectorKind,
        if_not_exists: bool,
        name: Ident,
        properties: Properties,
    },
    DropConnector {
        if_exists: bool,
        name: Ident,
    },
    RunScript {
        path: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    Stream,
    Table,
}

/// `CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name [(columns)] [WITH (properties)]`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    pub kind: SourceKind,
    pub or_replace: bool,
    /// SOURCE: read-only.
    pub read_only: bool,
    pub if_not_exists: bool,
    pub name: Ident,
    /// Empty when the format is to infer them.
    pub columns: Vec<ColumnDefinition>,
    pub properties: Properties,
}

/// `name type [KEY | PRIMARY KEY | HEADERS | HEADER('key')]`
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    pub name: Ident,
    pub type_name: TypeName,
    pub role: ColumnRole,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRole {
    Value,
    /// KEY of a stream.
    Key,
    /// PRIMARY KEY of a table.
    PrimaryKey,
    /// All headers.
    Headers,
    /// The last header of that key.
    Header(String),
}

/// `CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (…)] AS SELECT …`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateAsSelect {
    pub kind: SourceKind,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: Ident,
    pub properties: Properties,
    pub query: Box<Query>,
}

/// `INSERT INTO target [WITH (QUERY_ID = …)] SELECT …`
#[derive(Clone, Debug, PartialEq)]
pub struct InsertSelect {
    pub target: Ident,
    pub properties: Properties,
    pub query: Box<Query>,
}

/// `INSERT INTO target [(columns)] VALUES (values)`
#[derive(Clone, Debug, PartialEq)]
pub struct InsertValues {
    pub target: Ident,
    /// Empty when not listed: all columns in schema order.
    pub columns: Vec<Ident>,
    pub values: Vec<Expr>,
}

/// `DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]`
#[derive(Clone, Debug, PartialEq)]
pub struct DropSource {
    pub kind: SourceKind,
    pub if_exists: bool,
    pub name: Ident,
    pub delete_topic: bool,
}

/// `ALTER STREAM|TABLE name ADD [COLUMN] column type, …`
#[derive(Clone, Debug, PartialEq)]
pub struct AlterSource {
    pub kind: SourceKind,
    pub name: Ident,
    pub columns: Vec<(Ident, TypeName)>,
}

/// `SET 'name' = 'value'`; both keep their case.
#[derive(Clone, Debug, PartialEq)]
pub struct SetProperty {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum QueryTarget {
    All,
    /// A query id, upper-case unless quoted.
    Query(Ident),
}

/// `SHOW …` or `LIST …`
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    Streams {
        extended: bool,
    },
    Tables {
        extended: bool,
    },
    Queries {
        extended: bool,
    },
    /// `all`: hidden topics too.
    Topics {
        all: bool,
        extended: bool,
    },
    Functions,
    Types,
    Properties,
    Variables,
    /// None: sources and sinks.
    Connectors {
        kind: Option<ConnectorKind>,
    },
    ConnectorPlugins,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Describe {
    Source { name: Ident, extended: bool },
    Streams { extended: bool },
    Tables { extended: bool },
    Function { name: Ident },
    Connector { name: Ident },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExplainTarget {
    /// A running query by id.
    Query(Ident),
    Statement {
        statement: Box<Statement>,
        place: Place,
    },
}

/// `PRINT topic [FROM BEGINNING] [INTERVAL|SAMPLE n] [LIMIT n]`
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// Case as typed.
    pub topic: String,
    pub topic_place: Place,
    pub from_beginning: bool,
    /// Every n-th record.
    pub interval: Option<u64>,
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Assert {
    /// `ASSERT [NOT EXISTS] TOPIC topic [WITH (…)] [TIMEOUT n unit]`; the topic's case is as typed.
    Topic { exists: bool, topic: String, properties: Properties, timeout: Option<Duration> },
    /// `ASSERT [NOT EXISTS] SCHEMA [SUBJECT subject] [ID id] [TIMEOUT n unit]`; the subject's case is as typed.
    Schema { exists: bool, subject: Option<String>, id: Option<i64>, timeout: Option<Duration> },
    /// SQL tests only: the next record of the source has these values.
    Values(InsertValues),
    /// SQL tests only: the next record of the source is a tombstone with these key values.
    Tombstone(InsertValues),
    /// SQL tests only: the source exists with these columns and properties.
    Source { kind: SourceKind, name: Ident, columns: Vec<ColumnDefinition>, properties: Properties },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectorKind {
    Source,
    Sink,
}

/// The properties of a WITH clause in written order; names are unique.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    pub entries: Vec<Property>,
    pub place: Place,
}

/// `name = literal`. Unquoted names are upper-cased; quoted ones keep their case.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    pub name: String,
    pub value: Literal,
    pub name_place: Place,
    pub value_place: Place,
}

impl Properties {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The property of that name in any case.
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.entries.iter().find(|property| property.name.eq_ignore_ascii_case(name))
    }

    pub fn span(&self) -> Span {
        self.place.span()
    }
}

impl Statement {
    /// The query of a SELECT, CREATE … AS SELECT or INSERT INTO … SELECT.
    pub fn query(&self) -> Option<&Query> {
        match self {
            Statement::Query(query) => Some(query),
            Statement::CreateAsSelect(create) => Some(&create.query),
            Statement::InsertSelect(insert) => Some(&insert.query),
            _ => None,
        }
    }
}
