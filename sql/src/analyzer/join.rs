//! Joins: which pairs of sources, which conditions, which key comes out.

use crate::analyzer::clause::Clause;
use crate::analyzer::display::{Names, show};
use crate::analyzer::scope::{InputResolver, Scope, SourceColumn};
use crate::analyzer::typing::Typer;
use crate::ast;
use crate::ast::expr::{Expr, ExprKind};
use crate::ast::query::{Join, Query};
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::CompareOp;
use crate::format::Format;
use crate::plan::logical::{JoinPair, JoinSide, LogicalJoin};
use crate::plan::physical::{JoinKind, ResultKind};
use crate::schema::Column;
use crate::types::quote_identifier;
use crate::window::{WindowInfo, WindowKind};

/// What is known of the rows after some joins.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) kind: ResultKind,
    /// Source columns that may name the result's key.
    pub(crate) viable: Vec<SourceColumn>,
    /// Source columns that always equal the key.
    equal: Vec<SourceColumn>,
    /// Set after a foreign key join: the key is the left source's, column by column.
    pub(crate) foreign_key: bool,
    window: Option<WindowInfo>,
}

impl Joined {
    /// Rows of a pull query, whose key does not matter.
    pub(crate) fn unkeyed() -> Joined {
        Joined {
            kind: ResultKind::Table,
            viable: Vec::new(),
            equal: Vec::new(),
            foreign_key: false,
            window: None,
        }
    }

    /// True if rows are keyed by this column.
    pub(crate) fn is_key(&self, column: &SourceColumn) -> bool {
        self.equal.contains(column)
    }
}

/// Both sides of ON, put in order: left among the sources so far, right of the new one.
struct Condition<'e> {
    left: Expr,
    right: Expr,
    /// As written, for messages.
    text: String,
    join: &'e Join,
}

/// Analyses the joins in written order. Sets the scope's synthetic key if the last join has one.
pub(crate) fn analyze(
    context: Context<'_>,
    scope: &mut Scope,
    query: &Query,
) -> Result<(Vec<LogicalJoin>, Joined)> {
    refuse_repeated_sources(scope, query)?;
    let first = &scope.sources[0].source;
    let keys: Vec<SourceColumn> =
        first.schema.key.iter().map(|c| SourceColumn { source: 0, name: c.name.clone() }).collect();
    let mut joined = Joined {
        kind: first.kind,
        viable: keys.clone(),
        equal: if keys.len() == 1 { keys } else { Vec::new() },
        foreign_key: false,
        window: first.window,
    };
    let mut joins = Vec::with_capacity(query.joins.len());
    for (i, join) in query.joins.iter().enumerate() {
        let last = i + 1 == query.joins.len();
        let condition = condition(scope, join, i + 1)?;
        joins.push(analyze_one(context, scope, &mut joined, &condition, i + 1, last)?);
    }
    if !joins.is_empty() {
        refuse_kafka_values(scope, "JOIN")?;
    }
    Ok((joins, joined))
}

/// Errors: sources with the KAFKA value format, which statements with this clause cannot read.
pub(crate) fn refuse_kafka_values(scope: &Scope, clause: &str) -> Result<()> {
    let names: Vec<&str> = scope
        .sources
        .iter()
        .filter(|s| s.source.value_format.format == Format::Kafka)
        .map(|s| s.source.name.as_str())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(SqlError::analysis(
        format!(
            "Source(s) {} are using the 'KAFKA' value format. This format does not yet support {clause}.",
            names.join(", ")
        ),
        Default::default(),
    ))
}

fn refuse_repeated_sources(scope: &Scope, query: &Query) -> Result<()> {
    for (i, join) in query.joins.iter().enumerate() {
        let name = &join.source.name;
        if scope.sources[..=i].iter().all(|s| s.source.name != name.name) {
            continue;
        }
        let message = if query.joins.len() == 1 {
            format!("Can not join '{0}' to '{0}': self joins are not yet supported.", name.name)
        } else {
            format!(
                "N-way joins do not support multiple occurrences of the same source. Source: '{}'",
                name.name
            )
        };
        return Err(SqlError::analysis(message, name.span()));
    }
    Ok(())
}

/// Takes ON apart.
fn condition<'e>(scope: &Scope, join: &'e Join, new: usize) -> Result<Condition<'e>> {
    let on = scope.qualify(&join.on, Clause::JoinOn)?;
    let text = show(&on, Names::Qualified);
    let span = join.on.span();
    let ExprKind::Compare { op: CompareOp::Equal, left, right } = on.kind else {
        let reason = if matches!(on.kind, ExprKind::Logical { .. }) {
            "joins on multiple conditions are not yet supported"
        } else {
            "the condition must be one equality"
        };
        return Err(SqlError::analysis(format!("Invalid join condition: {reason}. Got {text}."), span));
    };
    let mut sources = Vec::with_capacity(2);
    for side in [&left, &right] {
        let read: Vec<usize> = scope.sources_of(side).into_iter().collect();
        let [one] = read.as_slice() else {
            return Err(SqlError::analysis(
                format!(
                    "Invalid comparison expression '{}' in join '{text}'. Each side of the join comparision must \
                     contain references from exactly one source.",
                    show(side, Names::Qualified)
                ),
                span,
            ));
        };
        sources.push(*one);
    }
    if sources[0] == sources[1] {
        return Err(SqlError::analysis(
            format!(
                "Each side of the join must reference exactly one source and not the same source. Left side \
                 references `{0}` and right references `{0}`",
                scope.sources[sources[0]].alias
            ),
            span,
        ));
    }
    let (left, right, left_source) = match (sources[0], sources[1]) {
        (l, r) if r == new && l < new => (*left, *right, l),
        (l, r) if l == new && r < new => (*right, *left, r),
        (l, r) => {
            return Err(SqlError::analysis(
                format!(
                    "A join criteria is expected to reference the source ({}) in the FROM clause, instead the right \
                     source references {} and the left source references {}",
                    quote_identifier(&scope.sources[new].alias),
                    quote_identifier(&scope.sources[r].alias),
                    quote_identifier(&scope.sources[l].alias)
                ),
                span,
            ));
        }
    };
    debug_assert!(left_source < new);
    Ok(Condition { left, right, text: text.trim_matches(['(', ')']).to_owned(), join })
}

fn analyze_one(
    context: Context<'_>,
    scope: &mut Scope,
    joined: &mut Joined,
    condition: &Condition<'_>,
    new: usize,
    last: bool,
) -> Result<LogicalJoin> {
    let resolver = InputResolver { scope, clause: Clause::JoinOn };
    let typer = Typer::new(context, &resolver, Clause::JoinOn);
    let left_on = typer.value(&condition.left)?;
    let right_on = typer.value(&condition.right)?;
    let right = &scope.sources[new];
    let right_keys = &right.source.schema.key;
    let left_column = scope.as_source_column(&condition.left);
    let right_column = scope.as_source_column(&condition.right);
    let left_is_key = left_column.as_ref().is_some_and(|c| joined.equal.contains(c));
    let right_is_key = matches!(
        (right_keys.as_slice(), &right_column),
        ([key], Some(column)) if key.name == column.name
    );
    check_order(scope, joined, condition, new)?;
    if left_on.sql_type != right_on.sql_type {
        let written = &condition.join.on.kind;
        let flipped = matches!(written, ExprKind::Compare { left, .. } if scope.qualify(left, Clause::JoinOn)? == condition.right);
        let (a, b) = if flipped {
            ((&condition.right, &right_on), (&condition.left, &left_on))
        } else {
            ((&condition.left, &left_on), (&condition.right, &right_on))
        };
        return Err(SqlError::analysis(
            format!(
                "Invalid join condition: types don't match. Got {}{{{}}} = {}{{{}}}.",
                show(a.0, Names::Qualified),
                a.1.sql_type,
                show(b.0, Names::Qualified),
                b.1.sql_type
            ),
            condition.join.on.span(),
        )
        .with_hint("CAST one side to the type of the other."));
    }
    let kind = match condition.join.kind {
        ast::query::JoinKind::Inner => JoinKind::Inner,
        ast::query::JoinKind::Left => JoinKind::Left,
        ast::query::JoinKind::Right => JoinKind::Right,
        ast::query::JoinKind::Full => JoinKind::Outer,
    };
    let pair = pair_rules(scope, joined, condition, kind, left_is_key, right_is_key, new)?;
    check_windows(scope, joined, new, pair, left_is_key, right_is_key)?;
    let synthetic = update(joined, pair, kind, left_is_key, left_column, right_column);
    let key_type = left_on.sql_type.clone();
    let key_name = if last {
        let name = synthetic_name(scope);
        if synthetic {
            scope.synthetic_key = Some((name.clone(), key_type));
        }
        name
    } else {
        format!("KSQL_JOIN_KEY_{new}")
    };
    Ok(LogicalJoin {
        kind,
        pair,
        left: JoinSide { on: left_on, is_key: left_is_key },
        right: JoinSide { on: right_on, is_key: right_is_key },
        key_name,
    })
}

fn check_order(scope: &Scope, joined: &Joined, condition: &Condition<'_>, new: usize) -> Result<()> {
    let right = &scope.sources[new];
    if joined.kind == ResultKind::Stream || right.source.is_table() {
        return Ok(());
    }
    let left = scope.sources_of(&condition.left).into_iter().next().unwrap_or(0);
    let word = match condition.join.kind {
        ast::query::JoinKind::Inner => "[INNER]",
        ast::query::JoinKind::Left => "LEFT [OUTER]",
        ast::query::JoinKind::Right => "RIGHT [OUTER]",
        ast::query::JoinKind::Full => "[FULL] OUTER",
    };
    Err(SqlError::analysis(
        format!(
            "Invalid join order: table-stream joins are not supported; only stream-table joins. Got {} {word} JOIN {}.",
            scope.sources[left].source.name, right.source.name
        ),
        condition.join.place.span(),
    ))
}

/// The rules of the pair of kinds: WITHIN or not, which join types, which columns.
fn pair_rules(
    scope: &Scope,
    joined: &Joined,
    condition: &Condition<'_>,
    kind: JoinKind,
    left_is_key: bool,
    right_is_key: bool,
    new: usize,
) -> Result<JoinPair> {
    let span = condition.join.place.span();
    let refuse = |message: String| Err(SqlError::analysis(message, span));
    let within = condition.join.within.as_ref();
    match (joined.kind, scope.sources[new].source.kind) {
        (ResultKind::Stream, ResultKind::Stream) => match within {
            None => refuse(
                "Stream-Stream joins must have a WITHIN clause specified. None was provided. To learn about how to \
                 specify a WITHIN clause with a stream-stream join, see the documentation of JOIN."
                    .to_owned(),
            ),
            Some(within) => Ok(JoinPair::StreamStream {
                before_ms: within.before.millis(),
                after_ms: within.after.millis(),
                grace_ms: within.grace.map(|g| g.millis()),
            }),
        },
        (ResultKind::Stream, ResultKind::Table) => {
            if within.is_some() {
                return refuse(
                    "A window definition was provided for a Stream-Table join. These joins are not windowed. Please \
                     drop the window definition (ie. the WITHIN clause) and try to execute your join again."
                        .to_owned(),
                );
            }
            let name = match kind {
                JoinKind::Inner | JoinKind::Left => None,
                JoinKind::Right => Some("right"),
                JoinKind::Outer => Some("full"),
            };
            if let Some(name) = name {
                return refuse(format!(
                    "Invalid join type: {name}-outer join not supported for stream-table join. Got {} {} OUTER JOIN {}.",
                    scope.sources[0].source.name,
                    name.to_uppercase(),
                    scope.sources[new].source.name
                ));
            }
            if !right_is_key {
                return refuse(format!(
                    "Invalid join condition: stream-table joins require to join on the table's primary key. Got {}.",
                    condition.text
                ));
            }
            Ok(JoinPair::StreamTable)
        }
        (ResultKind::Table, _) => {
            if within.is_some() {
                return refuse(
                    "A window definition was provided for a Table-Table join. These joins are not windowed. Please \
                     drop the window definition (i.e. the WITHIN clause) and try to execute your Table-Table join \
                     again."
                        .to_owned(),
                );
            }
            if !right_is_key {
                return refuse(format!(
                    "Invalid join condition: table-table joins require to join on the primary key of the right input \
                     table. Got {}.",
                    condition.text
                ));
            }
            if left_is_key { Ok(JoinPair::TableTable) } else { foreign_key_rules(scope, condition, kind, new) }
        }
    }
}

fn foreign_key_rules(
    scope: &Scope,
    condition: &Condition<'_>,
    kind: JoinKind,
    new: usize,
) -> Result<JoinPair> {
    let span = condition.join.place.span();
    let message = if new > 1 {
        format!(
            "Invalid join condition: foreign-key table-table joins are not supported as part of n-way joins. Got {}.",
            condition.text
        )
    } else if kind == JoinKind::Right {
        "Invalid join type: RIGHT OUTER JOIN on a foreign key is not supported".to_owned()
    } else if kind == JoinKind::Outer {
        "Invalid join type: FULL OUTER JOIN on a foreign key is not supported".to_owned()
    } else if scope.sources[..=new].iter().any(|s| s.has_window()) {
        "Foreign-key table-table joins are not supported on windowed tables.".to_owned()
    } else {
        return Ok(JoinPair::ForeignKey);
    };
    Err(SqlError::analysis(message, span))
}

fn check_windows(
    scope: &Scope,
    joined: &Joined,
    new: usize,
    pair: JoinPair,
    left_is_key: bool,
    right_is_key: bool,
) -> Result<()> {
    let refuse = |message: String| Err(SqlError::analysis(message, Default::default()));
    let right = &scope.sources[new];
    let left = &scope.sources[0];
    let describe = |window: Option<WindowInfo>| match window {
        Some(window) => format!("is {} windowed", window_name(window.kind)),
        None => "is not windowed".to_owned(),
    };
    match (joined.window, right.source.window) {
        (None, None) => Ok(()),
        (Some(l), Some(r)) => {
            if (l.kind == WindowKind::Session) != (r.kind == WindowKind::Session) {
                return refuse(format!(
                    "Incompatible windowed sources.\nLeft source: {}\nRight source: {}\nSession windowed sources can \
                     only be joined to other session windowed sources, and may still not result in expected behaviour \
                     as session bounds must be an exact match for the join to work\nHopping and tumbling windowed \
                     sources can only be joined to other hopping and tumbling windowed sources",
                    window_name(l.kind),
                    window_name(r.kind)
                ));
            }
            let registered = |f: Format| crate::format_props::capability::supports_inference(f);
            let same_keys = l.size_ms == r.size_ms
                || (registered(left.source.key_format.format) && registered(right.source.key_format.format));
            let rekeyed = !(left_is_key && right_is_key)
                || left.source.key_format.format != right.source.key_format.format
                || !same_keys;
            if rekeyed && pair != JoinPair::ForeignKey {
                return refuse("Implicit repartitioning of windowed sources is not supported.".to_owned());
            }
            Ok(())
        }
        (l, r) => refuse(format!(
            "Can not join windowed source to non-windowed source.\n{} {}\n{} {}",
            quote_identifier(&left.alias),
            describe(l),
            quote_identifier(&right.alias),
            describe(r)
        )),
    }
}

pub(crate) fn window_name(kind: WindowKind) -> &'static str {
    match kind {
        WindowKind::Tumbling => "TUMBLING",
        WindowKind::Hopping => "HOPPING",
        WindowKind::Session => "SESSION",
    }
}

/// Notes what the join did to kind and key. True if no source column names the key.
fn update(
    joined: &mut Joined,
    pair: JoinPair,
    kind: JoinKind,
    left_is_key: bool,
    left: Option<SourceColumn>,
    right: Option<SourceColumn>,
) -> bool {
    if pair == JoinPair::ForeignKey {
        joined.foreign_key = true;
        return false;
    }
    joined.foreign_key = false;
    let carried_viable = if left_is_key { joined.viable.clone() } else { left.iter().cloned().collect() };
    let carried_equal = if left_is_key { joined.equal.clone() } else { left.iter().cloned().collect() };
    if kind == JoinKind::Outer {
        joined.viable.clear();
        joined.equal.clear();
        return true;
    }
    joined.viable = carried_viable;
    joined.viable.extend(right.iter().cloned());
    joined.equal = match kind {
        JoinKind::Inner => carried_equal.into_iter().chain(right).collect(),
        JoinKind::Left => carried_equal,
        JoinKind::Right => right.into_iter().collect(),
        JoinKind::Outer => Vec::new(),
    };
    joined.viable.is_empty()
}

/// ROWKEY, or ROWKEY_1, … if sources have columns of that name.
fn synthetic_name(scope: &Scope) -> String {
    let taken = |name: &str| scope.sources.iter().any(|s| s.source.schema.find(name).is_some());
    if !taken("ROWKEY") {
        return "ROWKEY".to_owned();
    }
    (1..).map(|n| format!("ROWKEY_{n}")).find(|name| !taken(name)).expect("numbers do not end")
}

/// The key column of a table or stream as a reference, for key slots.
pub(crate) fn key_reference(scope: &Scope, source: usize, column: &Column) -> Expr {
    let span = Default::default();
    let qualifier = Some(ast::ident::Ident::new(scope.sources[source].alias.clone(), span));
    let name = ast::ident::Ident::new(column.name.clone(), span);
    Expr::new(ExprKind::Column { qualifier, name }, span)
}
