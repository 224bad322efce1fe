//! Analysis of a continuous query: push, CREATE … AS SELECT, INSERT INTO … SELECT.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::analyzer::aggregate;
use crate::analyzer::clause::Clause;
use crate::analyzer::join::{self, Joined, key_reference};
use crate::analyzer::projection::{
    Item, KeyNoun, KeySlot, Purpose, drop_reserved, expand, expressions, find_keys, refuse_bare_reserved,
    refuse_reserved_aliases,
};
use crate::analyzer::rewrite::refuse_deep;
use crate::analyzer::scope::{InputResolver, Scope};
use crate::analyzer::typing::call::function_error;
use crate::analyzer::typing::{Resolver, Typer, cast_to};
use crate::ast;
use crate::ast::expr::{Argument as AstArgument, ExprKind as AstKind};
use crate::ast::ident::Ident;
use crate::ast::query::{Emit, Query};
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::Expr;
use crate::functions::error::FunctionError;
use crate::functions::foreign::unknown_function_hint;
use crate::functions::registry::FunctionKind;
use crate::functions::signature::ArgumentType;
use crate::plan::logical::{Body, LogicalJoin, LogicalQuery, LogicalSource, Output};
use crate::plan::physical::{ResultKind, TableFunctionCall};
use crate::schema::Column;
use crate::span::Span;
use crate::types::SqlType;

/// What all parts of the analysis of one query share.
pub(crate) struct QueryContext<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) query: &'a Query,
    pub(crate) purpose: Purpose<'a>,
    pub(crate) scope: &'a Scope,
}

/// Analyses a continuous query.
///
/// Errors: everything that makes the query invalid, whatever the formats of its result are.
pub fn analyze(context: Context<'_>, query: &Query, purpose: Purpose<'_>) -> Result<LogicalQuery> {
    refuse_deep(expressions(query))?;
    refuse_clauses(query, purpose)?;
    refuse_reserved_aliases(query)?;
    let mut scope = Scope::new(&context, query)?;
    refuse_windowed_tables(query, &scope, purpose)?;
    refuse_unknown_functions(context, query)?;
    refuse_bare_reserved(query, purpose)?;
    scope.check_qualifiers(expressions(query))?;
    let (joins, joined) = join::analyze(context, &mut scope, query)?;
    let shared = QueryContext { context, query, purpose, scope: &scope };
    let filter = shared.filter()?;
    if query.group_by.is_some() || shared.has_aggregates() || query.having.is_some() {
        return aggregate::analyze(&shared, joins, &joined, filter);
    }
    if let Some(window) = &query.window {
        return Err(SqlError::analysis("WINDOW clause requires a GROUP BY clause.", window.place.span()));
    }
    if query.emit == Some(Emit::Final) {
        return Err(emit_final_misplaced(query));
    }
    shared.row_query(joins, &joined, filter)
}

pub(crate) fn emit_final_misplaced(query: &Query) -> SqlError {
    SqlError::analysis("EMIT FINAL is only supported for windowed aggregations.", query.span())
}

fn refuse_clauses(query: &Query, purpose: Purpose<'_>) -> Result<()> {
    let what = if purpose.is_persistent() { "Persistent queries" } else { "Push queries" };
    let clause = if query.distinct {
        "SELECT DISTINCT"
    } else if !query.order_by.is_empty() {
        "ORDER BY clauses"
    } else if query.offset.is_some() {
        "OFFSET clauses"
    } else {
        return Ok(());
    };
    Err(SqlError::analysis(format!("{what} don't support {clause}."), query.span())
        .with_hint("A query without EMIT CHANGES supports it."))
}

fn refuse_windowed_tables(query: &Query, scope: &Scope, purpose: Purpose<'_>) -> Result<()> {
    let windowed = scope.sources.iter().position(|s| s.source.is_table() && s.has_window());
    let Some(windowed) = windowed.filter(|_| purpose.is_persistent()) else { return Ok(()) };
    let read = std::iter::once(&query.from).chain(query.joins.iter().map(|join| &join.source)).nth(windowed);
    Err(SqlError::analysis(
        "Weir does not support persistent queries on windowed tables.",
        read.map_or_else(Span::default, |source| source.name.span()),
    )
    .with_hint("Declare a STREAM over the table's topic, with its WINDOW_TYPE."))
}

pub(crate) fn refuse_unknown_functions(context: Context<'_>, query: &Query) -> Result<()> {
    for expr in expressions(query) {
        let mut unknown = None;
        expr.visit(&mut |e| {
            if let AstKind::Call { function, .. } = &e.kind
                && unknown.is_none()
                && context.functions.kind(&function.name).is_none()
            {
                unknown = Some(function);
            }
        });
        if let Some(function) = unknown {
            let error = FunctionError::Unknown { name: function.name.clone() };
            let error = function_error(error, function.span());
            return Err(match unknown_function_hint(context.functions, &function.name) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
    }
    Ok(())
}

impl<'a> QueryContext<'a> {
    pub(crate) fn typer<'r>(&'r self, resolver: &'r dyn Resolver, clause: Clause) -> Typer<'r> {
        Typer::new(self.context, resolver, clause)
    }

    pub(crate) fn input_resolver(&self, clause: Clause) -> InputResolver<'a> {
        InputResolver { scope: self.scope, clause }
    }

    /// The typed WHERE condition.
    pub(crate) fn filter(&self) -> Result<Option<Expr>> {
        let Some(filter) = &self.query.filter else { return Ok(None) };
        let qualified = self.scope.qualify(filter, Clause::Where)?;
        let resolver = self.input_resolver(Clause::Where);
        self.typer(&resolver, Clause::Where)
            .condition(&qualified)
            .map(Some)
            .map_err(|e| in_clause(e, Clause::Where))
    }

    pub(crate) fn is_kind(&self, expr: &ast::expr::Expr, kind: FunctionKind) -> bool {
        matches!(&expr.kind, AstKind::Call { function, .. } if self.context.functions.kind(&function.name) == Some(kind))
    }

    /// True if an expression of SELECT calls an aggregate function.
    pub(crate) fn has_aggregates(&self) -> bool {
        self.query.projection.iter().any(|item| match &item.kind {
            ast::query::SelectKind::Expr { expr, .. } => self.contains(expr, FunctionKind::Aggregate),
            _ => false,
        })
    }

    pub(crate) fn contains(&self, expr: &ast::expr::Expr, kind: FunctionKind) -> bool {
        let mut found = false;
        expr.visit(&mut |e| found |= self.is_kind(e, kind));
        found
    }

    /// The projection with stars written out and names given. `partition_by` is empty for PARTITION BY NULL.
    pub(crate) fn items(&self, partition_by: Option<&[ast::expr::Expr]>) -> Result<Vec<Item>> {
        let resolver = self.input_resolver(Clause::Select);
        let fields_of = |base: &ast::expr::Expr| {
            let typer = self.typer(&resolver, Clause::Select);
            let typed = typer.value(base)?;
            match typed.sql_type {
                SqlType::Struct(fields) => Ok(fields.into_iter().map(|f| f.name).collect()),
                other => Err(SqlError::analysis(
                    format!(
                        "Can not select all fields of '{}': it is {other}, not a STRUCT",
                        typer.show(base)
                    ),
                    base.span(),
                )),
            }
        };
        let items = expand(self.scope, self.query, self.purpose, partition_by, &fields_of)?;
        let windowed_aggregate = self.query.window.is_some() && !self.scope.is_join();
        drop_reserved(items, self.purpose, windowed_aggregate, partition_by.unwrap_or_default())
    }

    /// A query that neither groups nor aggregates.
    fn row_query(
        &self,
        joins: Vec<LogicalJoin>,
        joined: &Joined,
        filter: Option<Expr>,
    ) -> Result<LogicalQuery> {
        let partition_by = self.partition_by(joined)?;
        let items = self.items(partition_by.as_deref())?;
        let (slots, noun) = match &partition_by {
            Some(exprs) => (partition_slots(self.scope, exprs), KeyNoun::Partitioning),
            None => self.input_key_slots(joined),
        };
        let resolver = RowResolver {
            input: self.input_resolver(Clause::Select),
            calls: RefCell::default(),
            in_call: RefCell::new(false),
        };
        let typer = self.typer(&resolver, Clause::Select);
        let typed = items
            .iter()
            .map(|item| typer.value(&item.expr).map_err(|e| e.at(item.span)))
            .collect::<Result<Vec<_>>>()?;
        let (partition_by, slots) = if self.drops_key(joined, &items, &slots) {
            (Some(Vec::new()), Vec::new())
        } else {
            (partition_by, slots)
        };
        let keys = find_keys(self.scope, &items, &slots, noun, self.purpose)?;
        let outputs = self.name_outputs(&items, &keys, &slots);
        let values: Vec<(String, Expr)> = typed
            .into_iter()
            .enumerate()
            .filter(|(i, _)| !keys.contains(&Some(*i)))
            .map(|(i, value)| (outputs.items[i].clone(), value))
            .collect();
        let table_functions = resolver.calls.into_inner();
        if !table_functions.is_empty() && joined.kind == ResultKind::Table {
            return Err(SqlError::analysis(
                "Table source is not supported with table functions",
                self.query.span(),
            ));
        }
        let body = match partition_by {
            None => Body::Project { key_names: outputs.keys.clone(), values },
            Some(exprs) => {
                let resolver = self.input_resolver(Clause::PartitionBy);
                let typer = self.typer(&resolver, Clause::PartitionBy);
                let typed = exprs.iter().map(|e| typer.value(e)).collect::<Result<Vec<_>>>()?;
                Body::PartitionBy { keys: outputs.keys.iter().cloned().zip(typed).collect(), values }
            }
        };
        Ok(self.finish(joins, filter, table_functions, body, joined.kind, outputs.labelled(&items)))
    }

    /// True if the stream is to have no key because the projection names none and the session allows it.
    fn drops_key(&self, joined: &Joined, items: &[Item], slots: &[KeySlot]) -> bool {
        let projected = |slot: &KeySlot| items.iter().any(|i| slot.alternatives.contains(&i.expr));
        self.context.session.keys_optional
            && self.purpose.is_persistent()
            && self.query.partition_by.is_none()
            && joined.kind == ResultKind::Stream
            && !slots.iter().any(projected)
    }

    pub(crate) fn finish(
        &self,
        joins: Vec<LogicalJoin>,
        filter: Option<Expr>,
        table_functions: Vec<TableFunctionCall>,
        body: Body,
        kind: ResultKind,
        output: Vec<Output>,
    ) -> LogicalQuery {
        let used = self.scope.system_columns_used();
        let sources = self
            .scope
            .sources
            .iter()
            .enumerate()
            .map(|(i, s)| LogicalSource {
                alias: s.alias.clone(),
                source: s.source.clone(),
                carried: used.iter().filter(|c| c.source == i).map(|c| c.name.clone()).collect(),
            })
            .collect();
        LogicalQuery { sources, joins, filter, table_functions, body, kind, output }
    }

    /// The qualified expressions of PARTITION BY; empty for NULL, None if rows keep their key.
    fn partition_by(&self, joined: &Joined) -> Result<Option<Vec<ast::expr::Expr>>> {
        let Some(list) = &self.query.partition_by else { return Ok(None) };
        let span = list.place.span();
        if list.items.is_empty() {
            return Err(SqlError::analysis("PARTITION BY requires at least one expression", span));
        }
        if joined.kind == ResultKind::Table {
            return Err(SqlError::analysis(
                "PARTITION BY is not supported on tables, only on streams.",
                span,
            ));
        }
        if list.items.iter().any(|e| e.is_null_literal()) {
            if list.items.len() > 1 {
                return Err(SqlError::analysis("Cannot PARTITION BY multiple columns including NULL", span));
            }
            return Ok(Some(Vec::new()));
        }
        let exprs = list
            .items
            .iter()
            .map(|e| self.scope.qualify(e, Clause::PartitionBy))
            .collect::<Result<Vec<_>>>()?;
        for kind in [FunctionKind::Aggregate, FunctionKind::Table] {
            if let Some(expr) = exprs.iter().find(|e| self.contains(e, kind)) {
                let resolver = self.input_resolver(Clause::PartitionBy);
                self.typer(&resolver, Clause::PartitionBy).value(expr)?;
            }
        }
        let first = &self.scope.sources[0];
        let own_key: Vec<_> =
            first.source.schema.key.iter().map(|c| key_reference(self.scope, 0, c)).collect();
        if !self.scope.is_join() && exprs == own_key {
            return Ok(None);
        }
        if self.scope.sources.iter().any(|s| s.has_window()) {
            return Err(SqlError::analysis(
                "Implicit repartitioning of windowed sources is not supported.",
                span,
            ));
        }
        Ok(Some(exprs))
    }

    /// What may stand for the key that rows have after FROM and JOIN.
    fn input_key_slots(&self, joined: &Joined) -> (Vec<KeySlot>, KeyNoun) {
        let source_keys = || -> Vec<KeySlot> {
            let source = &self.scope.sources[0].source;
            source
                .schema
                .key
                .iter()
                .map(|column| KeySlot {
                    alternatives: vec![key_reference(self.scope, 0, column)],
                    default_name: column.name.clone(),
                })
                .collect()
        };
        if !self.scope.is_join() {
            return (source_keys(), KeyNoun::Column);
        }
        if joined.foreign_key {
            return (source_keys(), KeyNoun::ForeignKeyJoin);
        }
        let column = |name: &str, qualifier: Option<Ident>| {
            let name = Ident::new(name, Default::default());
            ast::expr::Expr::new(AstKind::Column { qualifier, name }, Default::default())
        };
        if let Some((name, _)) = &self.scope.synthetic_key {
            let slot = KeySlot { alternatives: vec![column(name, None)], default_name: name.clone() };
            return (vec![slot], KeyNoun::SyntheticJoin);
        }
        let alternatives = joined
            .viable
            .iter()
            .map(|c| {
                let alias = Ident::new(self.scope.sources[c.source].alias.clone(), Default::default());
                column(&c.name, Some(alias))
            })
            .collect();
        (vec![KeySlot { alternatives, default_name: "ROWKEY".to_owned() }], KeyNoun::Join)
    }

    /// Final names: of the key columns, and of all items in order.
    pub(crate) fn name_outputs(&self, items: &[Item], keys: &[Option<usize>], slots: &[KeySlot]) -> Outputs {
        let mut names: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            // Clients may ask for one column twice; inside the plan names are unique.
            let unique = if self.purpose.is_persistent() {
                item.name.clone()
            } else {
                unique_name(&item.name, |n| names.iter().any(|known| known == n))
            };
            names.push(unique);
        }
        let mut key_names = Vec::with_capacity(keys.len());
        for (key, slot) in keys.iter().zip(slots) {
            let name = match key {
                Some(item) => names[*item].clone(),
                None => unique_name(&slot.default_name, |n| {
                    names.iter().chain(&key_names).any(|known| known == n)
                }),
            };
            key_names.push(name);
        }
        Outputs { keys: key_names, items: names }
    }
}

pub(crate) struct Outputs {
    pub(crate) keys: Vec<String>,
    pub(crate) items: Vec<String>,
}

impl Outputs {
    pub(crate) fn labelled(self, items: &[Item]) -> Vec<Output> {
        let columns = self.items.into_iter();
        items.iter().zip(columns).map(|(item, column)| Output { label: item.name.clone(), column }).collect()
    }
}

fn unique_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    (1..).map(|n| format!("{name}_{n}")).find(|n| !taken(n)).expect("numbers do not end")
}

/// The key that PARTITION BY makes, one column per expression.
fn partition_slots(scope: &Scope, exprs: &[ast::expr::Expr]) -> Vec<KeySlot> {
    exprs
        .iter()
        .enumerate()
        .map(|(i, expr)| KeySlot {
            alternatives: vec![expr.clone()],
            default_name: default_key_name(scope, expr, i),
        })
        .collect()
}

/// The name of a computed key that the projection does not name.
pub(crate) fn default_key_name(scope: &Scope, expr: &ast::expr::Expr, index: usize) -> String {
    match (&expr.kind, scope.as_source_column(expr)) {
        (_, Some(column)) => scope.input_name(&column),
        (AstKind::Field { field, .. }, None) => field.name.clone(),
        _ => format!("KSQL_COL_{index}"),
    }
}

/// Says in which clause the error is.
pub(crate) fn in_clause(error: SqlError, clause: Clause) -> SqlError {
    if error.message.contains(&format!("in {clause} expression")) {
        return error;
    }
    SqlError { message: format!("Error in {clause} expression: {}", error.message), ..error }
}

/// Resolves names to the input, and calls of table functions to columns of a flat map.
struct RowResolver<'a> {
    input: InputResolver<'a>,
    calls: RefCell<Vec<TableFunctionCall>>,
    in_call: RefCell<bool>,
}

impl Resolver for RowResolver<'_> {
    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr> {
        self.input.column(qualifier, name)
    }

    fn names(&self) -> crate::analyzer::display::Names {
        self.input.names()
    }

    fn replace(&self, expr: &ast::expr::Expr, typer: &Typer<'_>) -> Result<Option<Expr>> {
        if matches!(expr.kind, AstKind::Case { .. }) {
            return refuse_table_functions(expr, typer).map(|()| None);
        }
        let AstKind::Call { function, arguments } = &expr.kind else { return Ok(None) };
        if typer.functions().kind(&function.name) != Some(FunctionKind::Table) {
            return Ok(None);
        }
        if self.in_call.replace(true) {
            return Err(SqlError::analysis(
                format!("Table functions can not be nested: {}", typer.show(expr)),
                expr.span(),
            ));
        }
        let call = table_call(expr, function, arguments, typer);
        self.in_call.replace(false);
        let (arguments, return_type) = call?;
        let mut calls = self.calls.borrow_mut();
        let output = Column::new(format!("KSQL_SYNTH_{}", calls.len()), return_type);
        let column = Expr::column(output.name.clone(), output.sql_type.clone());
        calls.push(TableFunctionCall { function: function.name.to_ascii_uppercase(), arguments, output });
        Ok(Some(column))
    }
}

/// A CASE evaluates one of its branches; the rows that a table function makes cannot depend on that.
fn refuse_table_functions(case: &ast::expr::Expr, typer: &Typer<'_>) -> Result<()> {
    let mut found = None;
    case.visit(&mut |expr| {
        if let AstKind::Call { function, .. } = &expr.kind
            && typer.functions().kind(&function.name) == Some(FunctionKind::Table)
        {
            found.get_or_insert(expr);
        }
    });
    match found {
        Some(call) => Err(SqlError::analysis(
            format!("Table functions can not be used in CASE: {}", typer.show(call)),
            call.span(),
        )),
        None => Ok(()),
    }
}

fn table_call(
    whole: &ast::expr::Expr,
    function: &Ident,
    arguments: &[AstArgument],
    typer: &Typer<'_>,
) -> Result<(Vec<Expr>, SqlType)> {
    let mut typed = Vec::with_capacity(arguments.len());
    let mut types = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument {
            AstArgument::Expr(e) => {
                let value = typer.infer(e)?;
                types.push(
                    value.as_ref().map_or(ArgumentType::Null, |v| ArgumentType::Value(v.sql_type.clone())),
                );
                typed.push(value);
            }
            AstArgument::Lambda(_) | AstArgument::Unit(_) => {
                return Err(SqlError::analysis(
                    format!("Table function {} takes no lambdas and no units", function.name),
                    whole.span(),
                ));
            }
        }
    }
    let resolved = typer
        .functions()
        .resolve_table(&function.name, &types)
        .map_err(|e| function_error(e, whole.span()))?;
    let arguments = typed
        .into_iter()
        .zip(&resolved.argument_types)
        .map(|(value, wanted)| match value {
            Some(value) => cast_to(value, wanted),
            None => crate::analyzer::typing::null_of(wanted.clone()),
        })
        .collect();
    Ok((arguments, resolved.return_type))
}

/// Names that occur twice among value columns, or among key and value columns.
///
/// Errors: such a name.
pub(crate) fn refuse_clashes(keys: &[Column], values: &[Column]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for column in values {
        if !seen.insert(column.name.as_str()) {
            return Err(SqlError::analysis(
                format!(
                    "Duplicate value columns found in schema: {} {}",
                    crate::types::quote_identifier(&column.name),
                    column.sql_type
                ),
                Default::default(),
            )
            .with_hint("Give each column its own alias."));
        }
    }
    let clashing: Vec<String> = keys
        .iter()
        .filter(|key| seen.contains(key.name.as_str()))
        .map(|key| crate::types::quote_identifier(&key.name))
        .collect();
    if clashing.is_empty() {
        return Ok(());
    }
    Err(SqlError::analysis(
        format!("Value columns clash with key columns: {}", clashing.join(", ")),
        Default::default(),
    ))
}
