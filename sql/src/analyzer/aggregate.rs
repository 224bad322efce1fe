//! GROUP BY, aggregate functions, HAVING and WINDOW.

use std::cell::RefCell;

use crate::analyzer::clause::Clause;
use crate::analyzer::display::{Names, show};
use crate::analyzer::join::{Joined, refuse_kafka_values};
use crate::analyzer::projection::{Item, KeyNoun, KeySlot, Purpose, find_keys};
use crate::analyzer::query::{QueryContext, default_key_name, emit_final_misplaced, in_clause};
use crate::analyzer::scope::{InputResolver, Scope, window_bounds_misplaced};
use crate::analyzer::typing::call::function_error;
use crate::analyzer::typing::{Resolver, Typer, cast_to, null_of};
use crate::ast;
use crate::ast::expr::{Argument as AstArgument, ExprKind as AstKind};
use crate::ast::ident::Ident;
use crate::ast::query::Emit;
use crate::error::{Result, SqlError};
use crate::expr::ir::Expr;
use crate::functions::error::FunctionError;
use crate::functions::registry::FunctionKind;
use crate::functions::signature::ArgumentType;
use crate::plan::logical::{AggregateBody, Body, LogicalJoin, LogicalQuery};
use crate::plan::physical::{AggregateCall, ResultKind};
use crate::schema::{Column, ROWTIME, WINDOWEND, WINDOWSTART};
use crate::span::Span;
use crate::types::SqlType;
use crate::value::{Literal, SqlValue};
use crate::window::{WindowBounds, WindowKind, WindowSpec};

pub(crate) fn analyze(
    shared: &QueryContext<'_>,
    joins: Vec<LogicalJoin>,
    joined: &Joined,
    filter: Option<Expr>,
) -> Result<LogicalQuery> {
    let query = shared.query;
    let grouping = grouping(shared)?;
    let having =
        query.having.as_ref().map(|having| qualify_aggregated(shared, having, Clause::Having)).transpose()?;
    refuse_misplaced_bounds(shared)?;
    let items = shared.items(None)?;
    refuse_ungrouped(shared, &items, &grouping, having.as_ref())?;
    if shared.purpose != Purpose::Pull {
        refuse_kafka_values(shared.scope, "GROUP BY")?;
    }
    let slots: Vec<KeySlot> = grouping
        .iter()
        .enumerate()
        .map(|(i, expr)| KeySlot {
            alternatives: vec![expr.clone()],
            default_name: default_key_name(shared.scope, expr, i),
        })
        .collect();
    let keys = find_keys(shared.scope, &items, &slots, KeyNoun::Grouping, shared.purpose)?;
    let outputs = shared.name_outputs(&items, &keys, &slots);

    let input = shared.input_resolver(Clause::GroupBy);
    let typer = shared.typer(&input, Clause::GroupBy);
    let typed_keys = grouping.iter().map(|e| typer.value(e)).collect::<Result<Vec<_>>>()?;
    let resolver = AggregateResolver {
        input: shared.input_resolver(Clause::Select),
        grouping: &grouping,
        keys: outputs.keys.iter().cloned().zip(typed_keys.iter().map(|e| e.sql_type.clone())).collect(),
        windowed: query.window.is_some(),
        counts_literals: shared.purpose == Purpose::Pull,
        calls: RefCell::default(),
        in_call: RefCell::new(false),
    };
    let mut values = Vec::new();
    for (i, item) in items.iter().enumerate() {
        if !keys.contains(&Some(i)) {
            let typer = shared.typer(&resolver, Clause::Select);
            values.push((outputs.items[i].clone(), typer.value(&item.expr).map_err(|e| e.at(item.span))?));
        }
    }
    let having = having
        .map(|having| shared.typer(&resolver, Clause::Having).condition(&having))
        .transpose()
        .map_err(|e| in_clause(e, Clause::Having))?;
    let calls = resolver.calls.into_inner();
    if shared.purpose != Purpose::Pull {
        refuse_table_input(joined, &calls, query)?;
    }
    let window = window_spec(query)?;
    if query.emit == Some(Emit::Final) && window.is_none() {
        return Err(emit_final_misplaced(query));
    }
    let body = AggregateBody {
        regroup: regroups(shared.scope, joined, &grouping),
        keys: outputs.keys.iter().cloned().zip(typed_keys).collect(),
        state_types: calls.iter().map(|c| c.state_type.clone()).collect(),
        calls: calls.into_iter().map(|c| c.call).collect(),
        window,
        having,
        key_names: outputs.keys.clone(),
        values,
    };
    let output = outputs.labelled(&items);
    Ok(shared.finish(joins, filter, Vec::new(), Body::Aggregate(body), ResultKind::Table, output))
}

/// A constant to group by.
fn one_group(query: &ast::query::Query) -> ast::expr::Expr {
    let literal = Literal { value: SqlValue::Integer(0), sql_type: Some(SqlType::Integer) };
    ast::expr::Expr { kind: AstKind::Literal(literal), place: query.place }
}

/// The qualified expressions of GROUP BY.
fn grouping(shared: &QueryContext<'_>) -> Result<Vec<ast::expr::Expr>> {
    let query = shared.query;
    let Some(list) = &query.group_by else {
        return match shared.purpose {
            Purpose::Pull => Ok(Vec::new()),
            // All rows are one group, whose key nobody sees.
            Purpose::Push if shared.has_aggregates() => Ok(vec![one_group(query)]),
            Purpose::Push | Purpose::Persistent { .. } => Err(missing_group_by(shared)),
        };
    };
    if list.items.is_empty() {
        return Err(SqlError::analysis("GROUP BY requires at least one expression", list.place.span()));
    }
    let mut grouping = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let mut aggregate = None;
        item.visit(&mut |e| {
            if let AstKind::Call { function, .. } = &e.kind
                && shared.is_kind(e, FunctionKind::Aggregate)
                && aggregate.is_none()
            {
                aggregate = Some(function);
            }
        });
        if let Some(function) = aggregate {
            return Err(SqlError::analysis(
                format!(
                    "GROUP BY does not support aggregate functions: {} is an aggregate function.",
                    function.name
                ),
                function.span(),
            ));
        }
        let qualified = shared.scope.qualify(item, Clause::GroupBy)?;
        if grouping.contains(&qualified) {
            return Err(SqlError::analysis(
                format!("Duplicate GROUP BY expression: {}", show(&qualified, Names::Qualified)),
                item.span(),
            ));
        }
        grouping.push(qualified);
    }
    Ok(grouping)
}

fn missing_group_by(shared: &QueryContext<'_>) -> SqlError {
    let mut aggregates = Vec::new();
    let mut others = Vec::new();
    for item in &shared.query.projection {
        let ast::query::SelectKind::Expr { expr, .. } = &item.kind else { continue };
        let mut calls = Vec::new();
        expr.visit(&mut |e| {
            if shared.is_kind(e, FunctionKind::Aggregate) {
                calls.push(show(&with_default_argument(e, false), Names::Bare));
            }
        });
        if calls.is_empty() {
            others.push(show(expr, Names::Bare));
        }
        aggregates.extend(calls);
    }
    let span = shared.query.span();
    if shared.query.having.is_some() && aggregates.is_empty() {
        return SqlError::analysis("HAVING clause requires a GROUP BY clause.", span);
    }
    if !others.is_empty() {
        return SqlError::analysis(
            format!("Non-aggregate SELECT expression(s) not part of GROUP BY: {}", others.join(", ")),
            span,
        )
        .with_hint("Add a GROUP BY clause.");
    }
    let statement =
        if shared.purpose.is_persistent() { "CREATE TABLE AS SELECT statement" } else { "SELECT" };
    SqlError::analysis(
        format!(
            "{statement} does not support aggregate function [{}] without a GROUP BY clause.",
            aggregates.join(", ")
        ),
        span,
    )
}

/// `AGG()` and `AGG(*)` mean `AGG(ROWTIME)`, or `AGG(1)` where a literal will do.
fn with_default_argument(call: &ast::expr::Expr, literal: bool) -> ast::expr::Expr {
    let mut out = call.clone();
    if let AstKind::Call { arguments, .. } = &mut out.kind
        && arguments.is_empty()
    {
        let kind = if literal {
            AstKind::Literal(Literal { value: SqlValue::Bigint(1), sql_type: Some(SqlType::Bigint) })
        } else {
            AstKind::Column { qualifier: None, name: Ident::new(ROWTIME, Span::default()) }
        };
        arguments.push(AstArgument::Expr(ast::expr::Expr::new(kind, Span::default())));
    }
    out
}

/// WINDOWSTART and WINDOWEND may not stand in HAVING or in arguments of aggregates.
fn refuse_misplaced_bounds(shared: &QueryContext<'_>) -> Result<()> {
    if shared.query.window.is_none() || shared.scope.is_join() {
        return Ok(());
    }
    let mut misplaced = None;
    let mut inside = |e: &ast::expr::Expr| {
        e.visit(&mut |part| {
            if let AstKind::Column { name, .. } = &part.kind
                && [WINDOWSTART, WINDOWEND].contains(&name.name.as_str())
                && misplaced.is_none()
            {
                misplaced = Some(window_bounds_misplaced(name));
            }
        });
    };
    for item in &shared.query.projection {
        if let ast::query::SelectKind::Expr { expr, .. } = &item.kind {
            expr.visit(&mut |e| {
                if shared.is_kind(e, FunctionKind::Aggregate) {
                    inside(e);
                }
            });
        }
    }
    shared.query.having.iter().for_each(&mut inside);
    misplaced.map_or(Ok(()), Err)
}

fn qualify_aggregated(
    shared: &QueryContext<'_>,
    expr: &ast::expr::Expr,
    clause: Clause,
) -> Result<ast::expr::Expr> {
    if shared.query.window.is_some() && !shared.scope.is_join() {
        let mut bound = None;
        expr.visit(&mut |e| {
            if let AstKind::Column { name, .. } = &e.kind
                && [WINDOWSTART, WINDOWEND].contains(&name.name.as_str())
            {
                bound.get_or_insert(name);
            }
        });
        if let Some(name) = bound {
            return Err(window_bounds_misplaced(name));
        }
    }
    shared.scope.qualify(expr, clause)
}

/// Every expression must be made of grouping expressions and aggregates, and there must be an aggregate.
fn refuse_ungrouped(
    shared: &QueryContext<'_>,
    items: &[Item],
    grouping: &[ast::expr::Expr],
    having: Option<&ast::expr::Expr>,
) -> Result<()> {
    if let Some(item) = items.iter().find(|i| shared.contains(&i.expr, FunctionKind::Table)) {
        return Err(SqlError::analysis("Table functions cannot be used with aggregations.", item.span));
    }
    let aggregates = items.iter().map(|i| &i.expr).chain(having);
    if shared.purpose != Purpose::Pull
        && !aggregates.into_iter().any(|e| shared.contains(e, FunctionKind::Aggregate))
    {
        let first = items.iter().find(|item| first_ungrouped(shared, &item.expr, grouping).is_some());
        let error = SqlError::analysis(
            "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
            first.map_or_else(|| shared.query.span(), |item| item.span),
        );
        return Err(match first {
            Some(item) => error.with_hint(format!(
                "{0} is neither grouped nor aggregated: aggregate it, as in MAX({0}) or LATEST_BY_OFFSET({0}).",
                show(&item.expr, Names::Bare)
            )),
            None => error.with_hint("COUNT(*) counts the rows of each group."),
        });
    }
    let ungrouped: Vec<&Item> =
        items.iter().filter(|item| first_ungrouped(shared, &item.expr, grouping).is_some()).collect();
    if let Some(first) = ungrouped.first() {
        let texts: Vec<String> = ungrouped.iter().map(|item| show(&item.expr, Names::Bare)).collect();
        return Err(SqlError::analysis(
            format!("Non-aggregate SELECT expression(s) not part of GROUP BY: {}", texts.join(", ")),
            first.span,
        )
        .with_hint("Either add the column(s) to the GROUP BY or remove them from the SELECT."));
    }
    if let Some(column) = having.and_then(|having| first_ungrouped(shared, having, grouping)) {
        return Err(SqlError::analysis(
            format!("Non-aggregate HAVING expression not part of GROUP BY: {}", show(column, Names::Bare)),
            column.span(),
        )
        .with_hint("Consider adding the column to the GROUP BY or removing it from the HAVING."));
    }
    Ok(())
}

fn first_ungrouped<'e>(
    shared: &QueryContext<'_>,
    expr: &'e ast::expr::Expr,
    grouping: &[ast::expr::Expr],
) -> Option<&'e ast::expr::Expr> {
    if grouping.contains(expr) || shared.is_kind(expr, FunctionKind::Aggregate) {
        return None;
    }
    match &expr.kind {
        // Unqualified are the window's own bounds and parameters of lambdas.
        AstKind::Column { qualifier: None, name } => {
            let synthetic = shared.scope.synthetic_key.as_ref().is_some_and(|(key, _)| *key == name.name);
            synthetic.then_some(expr)
        }
        AstKind::Column { qualifier: Some(_), .. } => Some(expr),
        _ => expr.children().into_iter().find_map(|child| first_ungrouped(shared, child, grouping)),
    }
}

fn refuse_table_input(joined: &Joined, calls: &[ResolvedCall], query: &ast::query::Query) -> Result<()> {
    if joined.kind == ResultKind::Stream {
        return Ok(());
    }
    if let Some(window) = &query.window {
        return Err(SqlError::analysis(
            "WINDOW clause is not supported here: windowing not supported for table aggregations.",
            window.place.span(),
        ));
    }
    let without_undo: Vec<&str> =
        calls.iter().filter(|c| !c.supports_undo).map(|c| c.call.function.as_str()).collect();
    if without_undo.is_empty() {
        return Ok(());
    }
    let s = if without_undo.len() == 1 { "" } else { "s" };
    Err(SqlError::analysis(
        format!(
            "The aggregation function{s} {} cannot be applied to a table source, only to a stream source.",
            without_undo.join(", ")
        ),
        query.span(),
    ))
}

/// Hopping windows that one row may belong to: each is a group of its own, and a result for every row.
const WINDOWS_PER_ROW_MAX: i64 = 100_000;

fn too_many_windows(size_ms: i64, advance_ms: i64, span: Span) -> SqlError {
    let windows = size_ms / advance_ms;
    let least = size_ms / WINDOWS_PER_ROW_MAX + i64::from(size_ms % WINDOWS_PER_ROW_MAX != 0);
    SqlError::analysis(
        format!(
            "A window of {size_ms} ms that advances by {advance_ms} ms puts every row into {windows} windows; \
             {WINDOWS_PER_ROW_MAX} are possible."
        ),
        span,
    )
    .with_hint(format!("Use ADVANCE BY {least} MILLISECONDS or more."))
}

/// The WINDOW clause with its rules checked. None if there is none.
fn window_spec(query: &ast::query::Query) -> Result<Option<WindowSpec>> {
    let Some(clause) = &query.window else { return Ok(None) };
    let span = clause.place.span();
    let size_ms = clause.size.millis();
    if size_ms <= 0 {
        return Err(SqlError::analysis("The size of a window must be positive", span));
    }
    let bounds = match clause.kind {
        WindowKind::Tumbling => WindowBounds::Tumbling { size_ms },
        WindowKind::Session => WindowBounds::Session { gap_ms: size_ms },
        WindowKind::Hopping => {
            let advance_ms = clause.advance.map_or(size_ms, |a| a.millis());
            if advance_ms <= 0 || advance_ms > size_ms {
                return Err(SqlError::analysis(
                    format!(
                        "Window advancement interval should be more than zero and less than window duration {size_ms} \
                         ms. Got {advance_ms} ms"
                    ),
                    span,
                ));
            }
            if size_ms / advance_ms > WINDOWS_PER_ROW_MAX {
                return Err(too_many_windows(size_ms, advance_ms, span));
            }
            WindowBounds::Hopping { size_ms, advance_ms }
        }
    };
    let spec = WindowSpec {
        bounds,
        grace_ms: clause.grace.map(|g| g.millis()),
        retention_ms: clause.retention.map(|r| r.millis()),
        emit_final: query.emit == Some(Emit::Final),
    };
    if let (Some(retention), grace) = (spec.retention_ms, spec.grace_ms.unwrap_or(0))
        && retention < size_ms.saturating_add(grace)
    {
        return Err(SqlError::analysis(
            "The window size plus its grace period must not exceed the retention of the window",
            span,
        ));
    }
    Ok(Some(spec))
}

/// True unless a stream is grouped by exactly the key that its rows have.
fn regroups(scope: &Scope, joined: &Joined, grouping: &[ast::expr::Expr]) -> bool {
    if joined.kind == ResultKind::Table || scope.sources.iter().any(|s| s.has_window()) {
        return true;
    }
    let columns: Vec<_> = grouping.iter().map(|e| scope.as_source_column(e)).collect();
    if scope.is_join() {
        return !matches!(columns.as_slice(), [Some(column)] if joined.is_key(column));
    }
    let key = &scope.sources[0].source.schema.key;
    columns.len() != key.len()
        || columns.iter().zip(key).any(|(column, key)| column.as_ref().is_none_or(|c| c.name != key.name))
}

/// An aggregate call with its overload.
struct ResolvedCall {
    /// Qualified, to find it again.
    expr: ast::expr::Expr,
    call: AggregateCall,
    state_type: SqlType,
    supports_undo: bool,
}

/// Resolves grouping expressions to key columns, and aggregate calls to the columns of their results.
struct AggregateResolver<'a> {
    input: InputResolver<'a>,
    grouping: &'a [ast::expr::Expr],
    keys: Vec<(String, SqlType)>,
    windowed: bool,
    /// Pull queries count rows by a literal, since the rows of a join have no ROWTIME.
    counts_literals: bool,
    calls: RefCell<Vec<ResolvedCall>>,
    in_call: RefCell<bool>,
}

impl Resolver for AggregateResolver<'_> {
    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr> {
        let own_bound = [WINDOWSTART, WINDOWEND].contains(&name.name.as_str()) && qualifier.is_none();
        if own_bound && self.windowed && !*self.in_call.borrow() {
            return Ok(Expr::column(name.name.clone(), SqlType::Bigint));
        }
        self.input.column(qualifier, name)
    }

    fn names(&self) -> Names {
        self.input.names()
    }

    fn replace(&self, expr: &ast::expr::Expr, typer: &Typer<'_>) -> Result<Option<Expr>> {
        let aggregate = matches!(&expr.kind, AstKind::Call { function, .. }
            if typer.functions().kind(&function.name) == Some(FunctionKind::Aggregate));
        if *self.in_call.borrow() {
            if aggregate {
                return Err(SqlError::analysis(
                    format!("Aggregate functions can not be nested: {}", typer.show(expr)),
                    expr.span(),
                ));
            }
            return Ok(None);
        }
        if let Some(key) = self.grouping.iter().position(|e| e == expr) {
            let (name, sql_type) = &self.keys[key];
            return Ok(Some(Expr::column(name.clone(), sql_type.clone())));
        }
        if !aggregate {
            return Ok(None);
        }
        let expr = with_default_argument(expr, self.counts_literals);
        if let Some(known) = self.calls.borrow().iter().find(|c| c.expr == expr) {
            let output = &known.call.output;
            return Ok(Some(Expr::column(output.name.clone(), output.sql_type.clone())));
        }
        self.in_call.replace(true);
        // The call may be a copy that is gone when the typer is not.
        let own = Typer::new(typer.context, self, typer.clause);
        let resolved = resolve_call(&expr, &own);
        self.in_call.replace(false);
        let mut resolved = resolved?;
        let mut calls = self.calls.borrow_mut();
        resolved.call.output.name = format!("KSQL_AGG_VARIABLE_{}", calls.len());
        let column = Expr::column(resolved.call.output.name.clone(), resolved.call.output.sql_type.clone());
        calls.push(resolved);
        Ok(Some(column))
    }
}

fn resolve_call(expr: &ast::expr::Expr, typer: &Typer<'_>) -> Result<ResolvedCall> {
    let AstKind::Call { function, arguments } = &expr.kind else {
        unreachable!("only calls are aggregates");
    };
    let mut typed = Vec::with_capacity(arguments.len());
    let mut types = Vec::with_capacity(arguments.len());
    let mut constants: Vec<Option<Literal>> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let AstArgument::Expr(e) = argument else {
            return Err(SqlError::analysis(
                format!("Aggregate function {} takes no lambdas and no units", function.name),
                expr.span(),
            ));
        };
        let value = typer.infer(e)?;
        types.push(value.as_ref().map_or(ArgumentType::Null, |v| ArgumentType::Value(v.sql_type.clone())));
        constants.push(match &e.kind {
            AstKind::Literal(literal) => Some(literal.clone()),
            _ => None,
        });
        typed.push(value);
    }
    let resolved = typer
        .functions()
        .resolve_aggregate(&function.name, &types, &constants)
        .map_err(|error| aggregate_error(error, expr, arguments, typer))?;
    let count = resolved.argument_types.len();
    let constants = constants.drain(count..).flatten().collect();
    let arguments = typed
        .into_iter()
        .zip(&resolved.argument_types)
        .map(|(value, wanted)| match value {
            Some(value) => cast_to(value, wanted),
            None => null_of(wanted.clone()),
        })
        .collect();
    let call = AggregateCall {
        function: function.name.to_ascii_uppercase(),
        arguments,
        constants,
        output: Column::new(String::new(), resolved.return_type),
    };
    Ok(ResolvedCall {
        expr: expr.clone(),
        call,
        state_type: resolved.intermediate_type,
        supports_undo: resolved.supports_undo,
    })
}

fn aggregate_error(
    error: FunctionError,
    expr: &ast::expr::Expr,
    arguments: &[AstArgument],
    typer: &Typer<'_>,
) -> SqlError {
    let given = match &error {
        FunctionError::NotConstant { position, .. } => match arguments.get(position - 1) {
            Some(AstArgument::Expr(e)) => format!(", but was expression: '{}'", typer.show(e)),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let error = function_error(error, expr.span());
    SqlError { message: format!("{}{given}", error.message), ..error }
}
