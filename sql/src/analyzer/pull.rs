//! Pull queries: SELECT without EMIT. Beyond ksqlDB they may join, group, sort and skip.

use std::collections::BTreeSet;

use crate::analyzer::aggregate;
use crate::analyzer::clause::Clause;
use crate::analyzer::join::Joined;
use crate::analyzer::projection::{Item, Purpose, expressions, refuse_reserved_aliases};
use crate::analyzer::pull_lookup;
use crate::analyzer::query::{QueryContext, in_clause, refuse_clashes, refuse_unknown_functions};
use crate::analyzer::rewrite::{refuse_deep, visit_columns};
use crate::analyzer::scope::{Scope, SourceColumn};
use crate::ast;
use crate::ast::expr::ExprKind as AstKind;
use crate::ast::query::{Join, NullsOrder, OrderItem, Query, SortDirection};
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::{CompareOp, Expr, ExprKind, LogicalOp};
use crate::functions::registry::FunctionKind;
use crate::plan::logical::Body;
use crate::plan::physical::{AggregateCall, JoinKind, ResultKind};
use crate::plan::pull::{PullColumn, PullJoin, PullNode, PullPlan, PullScan, ScanColumn, SortKey};
use crate::schema::{Column, ROWOFFSET, ROWPARTITION, WINDOWEND, WINDOWSTART};
use crate::types::{SqlType, quote_identifier};
use crate::value::SqlValue;

/// Analyses a pull query.
///
/// Errors: unknown names, type errors, clauses that only continuous queries have, sources that keep no state.
pub fn analyze(context: Context<'_>, query: &Query) -> Result<PullPlan> {
    refuse_deep(expressions(query))?;
    refuse_clauses(context, query)?;
    refuse_reserved_aliases(query)?;
    let scope = Scope::new(&context, query)?;
    refuse_unknown_functions(context, query)?;
    scope.check_qualifiers(expressions(query))?;
    refuse_physical_columns(query)?;
    let shared = QueryContext { context, query, purpose: Purpose::Pull, scope: &scope };
    let joins = query
        .joins
        .iter()
        .enumerate()
        .map(|(i, join)| join_condition(&shared, join, i + 1))
        .collect::<Result<Vec<_>>>()?;
    let filter = shared.filter()?;
    if let [source] = scope.sources.as_slice()
        && source.source.kind == ResultKind::Table
    {
        let condition = query.filter.as_ref().map(|f| scope.qualify(f, Clause::Where)).transpose()?;
        pull_lookup::check(&scope, context.session, condition.as_ref(), query.span())?;
    }
    let grouped = query.group_by.is_some() || query.having.is_some() || shared.has_aggregates();
    let parts = if grouped { grouped_parts(&shared)? } else { plain_parts(&shared)? };
    refuse_repeated(&parts, query)?;
    refuse_unqueryable(context, &scope, query)?;
    let input = input(&shared, joins, filter);
    assemble(input, parts, query, &scope)
}

/// What stands above the joined and filtered rows.
struct Parts {
    aggregate: Option<Grouping>,
    having: Option<Expr>,
    /// Label, unique name, expression.
    outputs: Vec<(String, String, Expr)>,
    key_outputs: BTreeSet<String>,
    order: Vec<SortKey>,
}

/// The keys and calls of an aggregation.
struct Grouping {
    keys: Vec<(String, Expr)>,
    calls: Vec<AggregateCall>,
}

fn refuse_clauses(context: Context<'_>, query: &Query) -> Result<()> {
    let refuse = |what: &str| {
        Err(SqlError::analysis(format!("Pull queries don't support {what} clauses."), query.span())
            .with_hint("Add EMIT CHANGES to make it a push query."))
    };
    if !context.session.pull_queries_enabled {
        return Err(SqlError::analysis(
            "Pull queries are disabled. See ksql.pull.queries.enable.",
            query.span(),
        ));
    }
    if query.window.is_some() {
        return refuse("WINDOW");
    }
    if query.partition_by.is_some() {
        return refuse("PARTITION BY");
    }
    if query.joins.iter().any(|join| join.within.is_some()) {
        return refuse("WITHIN");
    }
    if query.limit.is_some() && !context.session.pull_limit_enabled {
        return Err(SqlError::analysis(
            "LIMIT clause in pull queries is currently disabled. You can enable them by setting \
             ksql.query.pull.limit.clause.enabled=true.",
            query.span(),
        ));
    }
    Ok(())
}

fn refuse_unqueryable(context: Context<'_>, scope: &Scope, query: &Query) -> Result<()> {
    for source in &scope.sources {
        let found = &source.source;
        match found.kind {
            ResultKind::Table if !found.from_query && !found.read_only => {
                return Err(SqlError::analysis(
                    format!("The {} table isn't queryable.", quote_identifier(&found.name)),
                    query.span(),
                )
                .with_hint(format!(
                    "To derive a queryable table, you can do 'CREATE TABLE QUERYABLE_{0} AS SELECT * FROM {0}'.",
                    found.name
                )));
            }
            ResultKind::Stream if !context.session.pull_stream_enabled => {
                return Err(SqlError::analysis(
                    "Pull queries on streams are disabled. To create a push query on the stream, add EMIT CHANGES to \
                     the end. To enable pull queries on streams, set ksql.query.pull.stream.enabled to 'true'.",
                    query.span(),
                ));
            }
            ResultKind::Table | ResultKind::Stream => {}
        }
    }
    Ok(())
}

/// State does not know partitions and offsets of the records it came from.
fn refuse_physical_columns(query: &Query) -> Result<()> {
    let find = |exprs: &mut dyn Iterator<Item = &ast::expr::Expr>| {
        let mut found = BTreeSet::new();
        for expr in exprs {
            let _ = visit_columns(expr, &mut |_, _, name| {
                if [ROWPARTITION, ROWOFFSET].contains(&name.name.as_str()) {
                    found.insert(quote_identifier(&name.name));
                }
                Ok(())
            });
        }
        found.into_iter().collect::<Vec<_>>()
    };
    let select = find(&mut query.projection.iter().filter_map(|item| match &item.kind {
        ast::query::SelectKind::Expr { expr, .. } => Some(expr),
        _ => None,
    }));
    let filter = find(&mut query.filter.iter());
    for (clause, found) in [("SELECT", select), ("WHERE", filter)] {
        if !found.is_empty() {
            return Err(SqlError::analysis(
                format!(
                    "Pull queries don't support the following columns in {clause} clauses: {}",
                    found.join(", ")
                ),
                query.span(),
            ));
        }
    }
    Ok(())
}

/// ON taken apart: equalities between the sides, and the rest.
struct Condition {
    kind: JoinKind,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
}

fn join_condition(shared: &QueryContext<'_>, join: &Join, new: usize) -> Result<Condition> {
    let on = shared.scope.qualify(&join.on, Clause::JoinOn)?;
    let resolver = shared.input_resolver(Clause::JoinOn);
    let typer = shared.typer(&resolver, Clause::JoinOn);
    let mut conjuncts = Vec::new();
    split(&on, &mut conjuncts);
    let mut equalities = Vec::new();
    let mut rest: Option<Expr> = None;
    for conjunct in conjuncts {
        if let Some((left, right)) = sides(shared.scope, conjunct, new) {
            let (l, r) = (typer.value(left)?, typer.value(right)?);
            if l.sql_type == r.sql_type {
                equalities.push((l, r));
                continue;
            }
        }
        let typed = typer.condition(conjunct).map_err(|e| in_clause(e, Clause::JoinOn))?;
        rest = Some(match rest {
            None => typed,
            Some(so_far) => Expr::new(
                ExprKind::Logical { op: LogicalOp::And, left: Box::new(so_far), right: Box::new(typed) },
                SqlType::Boolean,
            ),
        });
    }
    let kind = match join.kind {
        ast::query::JoinKind::Inner => JoinKind::Inner,
        ast::query::JoinKind::Left => JoinKind::Left,
        ast::query::JoinKind::Right => JoinKind::Right,
        ast::query::JoinKind::Full => JoinKind::Outer,
    };
    Ok(Condition { kind, on: equalities, filter: rest })
}

fn split<'e>(expr: &'e ast::expr::Expr, out: &mut Vec<&'e ast::expr::Expr>) {
    match &expr.kind {
        AstKind::Logical { op: LogicalOp::And, left, right } => {
            split(left, out);
            split(right, out);
        }
        _ => out.push(expr),
    }
}

/// Both sides of an equality between the new source and those before it, left first.
fn sides<'e>(
    scope: &Scope,
    expr: &'e ast::expr::Expr,
    new: usize,
) -> Option<(&'e ast::expr::Expr, &'e ast::expr::Expr)> {
    let AstKind::Compare { op: CompareOp::Equal, left, right } = &expr.kind else { return None };
    let (l, r) = (scope.sources_of(left), scope.sources_of(right));
    let is_new = |sources: &BTreeSet<usize>| sources.len() == 1 && sources.contains(&new);
    let is_old = |sources: &BTreeSet<usize>| !sources.is_empty() && sources.iter().all(|s| *s < new);
    if is_old(&l) && is_new(&r) {
        Some((left, right))
    } else if is_new(&l) && is_old(&r) {
        Some((right, left))
    } else {
        None
    }
}

fn plain_parts(shared: &QueryContext<'_>) -> Result<Parts> {
    let items = shared.items(None)?;
    let resolver = shared.input_resolver(Clause::Select);
    let typer = shared.typer(&resolver, Clause::Select);
    let outputs = shared.name_outputs(&items, &[], &[]);
    let mut typed = Vec::with_capacity(items.len());
    let mut key_outputs = BTreeSet::new();
    for (item, name) in items.iter().zip(outputs.items) {
        if shared.contains(&item.expr, FunctionKind::Table) {
            return Err(SqlError::analysis("Pull queries don't support table functions.", item.span));
        }
        if is_key(shared.scope, &item.expr) {
            key_outputs.insert(name.clone());
        }
        typed.push((item.name.clone(), name, typer.value(&item.expr).map_err(|e| e.at(item.span))?));
    }
    let mut order = Vec::new();
    for item in &shared.query.order_by {
        let expr = match output_of(&item.expr, &items) {
            Some(output) => typed[output].2.clone(),
            None => {
                let qualified = shared.scope.qualify(&item.expr, Clause::OrderBy)?;
                shared.typer(&resolver, Clause::OrderBy).value(&qualified)?
            }
        };
        order.push(sort_key(item, expr));
    }
    Ok(Parts { aggregate: None, having: None, outputs: typed, key_outputs, order })
}

/// Each column of an answer has a name of its own.
fn refuse_repeated(parts: &Parts, query: &Query) -> Result<()> {
    let column =
        |(label, _, expr): &(String, String, Expr)| Column::new(label.as_str(), expr.sql_type.clone());
    let (keys, values): (Vec<_>, Vec<_>) =
        parts.outputs.iter().partition(|(_, name, _)| parts.key_outputs.contains(name));
    let columns = |outputs: Vec<&(String, String, Expr)>| outputs.into_iter().map(column).collect::<Vec<_>>();
    refuse_clashes(&columns(keys), &columns(values)).map_err(|e| e.at(query.span()))
}

fn is_key(scope: &Scope, expr: &ast::expr::Expr) -> bool {
    let Some(SourceColumn { source, name }) = scope.as_source_column(expr) else { return false };
    let found = &scope.sources[source];
    found.source.schema.is_key(&name)
        || (found.has_window() && [WINDOWSTART, WINDOWEND].contains(&name.as_str()))
}

fn grouped_parts(shared: &QueryContext<'_>) -> Result<Parts> {
    let analysed = aggregate::analyze(shared, Vec::new(), &Joined::unkeyed(), None)?;
    let Body::Aggregate(body) = analysed.body else {
        unreachable!("aggregations have the body of an aggregation");
    };
    let mut outputs = Vec::with_capacity(analysed.output.len());
    let mut key_outputs = BTreeSet::new();
    for output in analysed.output {
        let value = body.values.iter().find(|(name, _)| *name == output.column).map(|(_, e)| e.clone());
        let value = match value {
            Some(value) => value,
            None => {
                key_outputs.insert(output.column.clone());
                let (_, key) = body
                    .keys
                    .iter()
                    .find(|(name, _)| *name == output.column)
                    .expect("an output is a value or a key");
                Expr::column(output.column.clone(), key.sql_type.clone())
            }
        };
        outputs.push((output.label, output.column, value));
    }
    let mut order = Vec::new();
    for item in &shared.query.order_by {
        let place = ordinal(&item.expr).filter(|n| *n < outputs.len()).or_else(|| {
            let AstKind::Column { qualifier: None, name } = &item.expr.kind else { return None };
            outputs.iter().position(|(label, _, _)| *label == name.name)
        });
        let Some(place) = place else {
            return Err(SqlError::analysis(
                "ORDER BY of an aggregation must name a column of its projection, by name or position",
                item.place.span(),
            )
            .with_hint("Give the expression an alias in the SELECT list."));
        };
        order.push(sort_key(item, outputs[place].2.clone()));
    }
    Ok(Parts {
        aggregate: Some(Grouping { keys: body.keys, calls: body.calls }),
        having: body.having,
        outputs,
        key_outputs,
        order,
    })
}

/// The item that ORDER BY names by position or by alias.
fn output_of(expr: &ast::expr::Expr, items: &[Item]) -> Option<usize> {
    if let Some(n) = ordinal(expr) {
        return (n < items.len()).then_some(n);
    }
    let AstKind::Column { qualifier: None, name } = &expr.kind else { return None };
    items.iter().position(|item| item.name == name.name)
}

/// `1` is the first column.
fn ordinal(expr: &ast::expr::Expr) -> Option<usize> {
    let AstKind::Literal(literal) = &expr.kind else { return None };
    match literal.value {
        SqlValue::Integer(n) => usize::try_from(n).ok()?.checked_sub(1),
        _ => None,
    }
}

fn sort_key(item: &OrderItem, expr: Expr) -> SortKey {
    let descending = item.direction == SortDirection::Descending;
    let nulls_first = match item.nulls {
        Some(NullsOrder::First) => true,
        Some(NullsOrder::Last) => false,
        None => descending,
    };
    SortKey { expr, descending, nulls_first }
}

/// Scans, joined and filtered. A filter over one source goes into its scan.
fn input(shared: &QueryContext<'_>, joins: Vec<Condition>, filter: Option<Expr>) -> PullNode {
    let scope = shared.scope;
    let mut scans = (0..scope.sources.len()).map(|i| scan(scope, i));
    let mut first = scans.next().expect("a query has a source");
    if joins.is_empty() {
        first.filter = filter;
        return PullNode::Scan(first);
    }
    let mut node = PullNode::Scan(first);
    for (condition, right) in joins.into_iter().zip(scans) {
        node = PullNode::Join(PullJoin {
            left: Box::new(node),
            right: Box::new(PullNode::Scan(right)),
            kind: condition.kind,
            on: condition.on,
            filter: condition.filter,
        });
    }
    match filter {
        Some(predicate) => PullNode::Filter { input: Box::new(node), predicate },
        None => node,
    }
}

/// All declared columns, and the system columns that are asked for.
fn scan(scope: &Scope, source: usize) -> PullScan {
    let found = &scope.sources[source];
    let declared = found.source.schema.columns().map(|c| c.name.clone());
    let used = scope.system_columns_used();
    let system = used.iter().filter(|c| c.source == source).map(|c| c.name.clone());
    let columns = declared
        .chain(system)
        .map(|name| {
            let column = SourceColumn { source, name };
            let sql_type = found.column_type(&column.name).expect("the column was found in its source");
            ScanColumn {
                is_key: found.source.schema.is_key(&column.name),
                name: scope.input_name(&column),
                column: column.name,
                sql_type,
            }
        })
        .collect();
    PullScan {
        source: found.source.name.clone(),
        kind: found.source.kind,
        window: found.source.window,
        columns,
        filter: None,
    }
}

/// The sort key as a column of the projection.
fn over_outputs(key: SortKey, outputs: &[(String, Expr)]) -> Result<SortKey> {
    match outputs.iter().find(|(_, expr)| *expr == key.expr) {
        Some((name, expr)) => Ok(SortKey { expr: Expr::column(name.clone(), expr.sql_type.clone()), ..key }),
        None => Err(SqlError::analysis(
            "For SELECT DISTINCT, ORDER BY expressions must appear in the SELECT list",
            Default::default(),
        )),
    }
}

fn assemble(input: PullNode, parts: Parts, query: &Query, scope: &Scope) -> Result<PullPlan> {
    let mut node = input;
    if let Some(Grouping { keys, calls }) = parts.aggregate {
        node = PullNode::Aggregate { input: Box::new(node), keys, calls };
    }
    if let Some(predicate) = parts.having {
        node = PullNode::Filter { input: Box::new(node), predicate };
    }
    let columns = parts
        .outputs
        .iter()
        .map(|(label, name, expr)| PullColumn {
            name: label.clone(),
            sql_type: expr.sql_type.clone(),
            is_key: parts.key_outputs.contains(name),
        })
        .collect();
    let outputs: Vec<(String, Expr)> =
        parts.outputs.into_iter().map(|(_, name, expr)| (name, expr)).collect();
    if query.distinct {
        // Rows that are equal become one before they are sorted, so they sort by what is left of them.
        let keys =
            parts.order.into_iter().map(|key| over_outputs(key, &outputs)).collect::<Result<Vec<_>>>()?;
        node = PullNode::Project { input: Box::new(node), columns: outputs };
        node = PullNode::Distinct { input: Box::new(node) };
        if !keys.is_empty() {
            node = PullNode::Sort { input: Box::new(node), keys };
        }
    } else {
        if !parts.order.is_empty() {
            node = PullNode::Sort { input: Box::new(node), keys: parts.order };
        }
        node = PullNode::Project { input: Box::new(node), columns: outputs };
    }
    if query.limit.is_some() || query.offset.is_some() {
        node =
            PullNode::Limit { input: Box::new(node), offset: query.offset.unwrap_or(0), limit: query.limit };
    }
    let sources = scope.sources.iter().map(|s| s.source.name.clone()).collect();
    Ok(PullPlan { root: node, sources, columns })
}
