//! What the WHERE clause of a pull query on a table may be.
//!
//! Two rules always hold: a key is not compared with NULL, nor with text if it is a number. The rest holds where table scans
//! are disabled (`ksql.query.pull.table.scan.enabled`): every alternative must then name each key column once, by equality,
//! or, where range scans are allowed, by one bound of a text key.

use std::collections::BTreeSet;

use crate::analyzer::scope::Scope;
use crate::ast::expr::{Expr, ExprKind};
use crate::error::{Result, SqlError};
use crate::expr::ir::{CompareOp, LogicalOp};
use crate::session::Session;
use crate::span::Span;
use crate::types::{SqlType, quote_identifier};
use crate::value::SqlValue;

/// Alternatives that a condition is taken apart into; more are left alone.
const DISJUNCTS_MAX: usize = 1_000;
const NEEDS_SCAN: &str = "Query requires table scan to be enabled. See ksql.query.pull.table.scan.enabled.";

/// One condition of an alternative.
#[derive(Clone, Debug)]
enum Term<'e> {
    Compare { op: CompareOp, left: &'e Expr, right: &'e Expr },
    Like { operand: &'e Expr },
    Other,
}

/// Checks the condition of a pull query on one table. Errors: see the module.
pub(crate) fn check(scope: &Scope, session: &Session, filter: Option<&Expr>, span: Span) -> Result<()> {
    let Some(filter) = filter else {
        return if session.pull_table_scan_enabled {
            Ok(())
        } else {
            Err(SqlError::analysis(NEEDS_SCAN, span))
        };
    };
    let disjuncts = disjuncts(filter);
    for term in disjuncts.iter().flatten() {
        if let Term::Compare { left, right, .. } = term {
            check_literal(scope, left, right)?;
            check_literal(scope, right, left)?;
        }
    }
    if session.pull_table_scan_enabled {
        return Ok(());
    }
    let single = disjuncts.len() == 1;
    disjuncts.iter().try_for_each(|terms| check_disjunct(scope, session, terms, filter, single))
}

/// The alternatives of a condition, each a list of conditions that hold together.
fn disjuncts(expr: &Expr) -> Vec<Vec<Term<'_>>> {
    match &expr.kind {
        ExprKind::Logical { op: LogicalOp::Or, left, right } => {
            let mut all = disjuncts(left);
            all.extend(disjuncts(right));
            all
        }
        ExprKind::Logical { op: LogicalOp::And, left, right } => {
            let (left, right) = (disjuncts(left), disjuncts(right));
            if left.len().saturating_mul(right.len()) > DISJUNCTS_MAX {
                return vec![vec![Term::Other]];
            }
            left.iter().flat_map(|l| right.iter().map(|r| [l.as_slice(), r].concat())).collect()
        }
        ExprKind::In { negated: false, operand, list } => list
            .iter()
            .map(|value| vec![Term::Compare { op: CompareOp::Equal, left: operand, right: value }])
            .collect(),
        ExprKind::Between { negated: false, operand, low, high } => vec![vec![
            Term::Compare { op: CompareOp::GreaterOrEqual, left: operand, right: low },
            Term::Compare { op: CompareOp::LessOrEqual, left: operand, right: high },
        ]],
        ExprKind::Compare { op, left, right } => vec![vec![Term::Compare { op: *op, left, right }]],
        ExprKind::Like { negated: false, operand, .. } => vec![vec![Term::Like { operand }]],
        _ => vec![vec![Term::Other]],
    }
}

/// The column that an expression is, and its name.
fn column(scope: &Scope, expr: &Expr) -> Option<String> {
    scope.as_source_column(expr).map(|c| c.name)
}

fn key_type(scope: &Scope, name: &str) -> Option<SqlType> {
    let schema = &scope.sources[0].source.schema;
    schema.key.iter().find(|c| c.name == name).map(|c| c.sql_type.clone())
}

fn check_literal(scope: &Scope, key: &Expr, value: &Expr) -> Result<()> {
    let (Some(name), ExprKind::Literal(literal)) = (column(scope, key), &value.kind) else { return Ok(()) };
    let Some(sql_type) = key_type(scope, &name) else { return Ok(()) };
    let is_number_or_boolean = matches!(
        sql_type,
        SqlType::Boolean | SqlType::Integer | SqlType::Bigint | SqlType::Double | SqlType::Decimal { .. }
    );
    match &literal.value {
        SqlValue::Null => {
            let message = format!("Primary key columns can not be NULL: ({name} = null)");
            Err(SqlError::analysis(message, value.place.span()))
        }
        SqlValue::String(text) if is_number_or_boolean => {
            let message =
                format!("'{text}' can not be converted to the type of the key column: {name} {sql_type} KEY");
            Err(SqlError::analysis(message, value.place.span()))
        }
        _ => Ok(()),
    }
}

fn has_column(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |e| found |= matches!(e.kind, ExprKind::Column { .. }));
    found
}

fn check_disjunct(
    scope: &Scope,
    session: &Session,
    terms: &[Term<'_>],
    filter: &Expr,
    single: bool,
) -> Result<()> {
    let span = filter.place.span();
    let refuse = |message: String| Err(SqlError::analysis(message, span));
    let source = &scope.sources[0];
    let keys = &source.source.schema.key;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut ranges = false;
    for term in terms {
        let Some((op, name)) = key_of(scope, term, span)? else { continue };
        if op == CompareOp::NotEqual {
            let names: Vec<String> =
                keys.iter().map(|c| format!("{} {} KEY", quote_identifier(&c.name), c.sql_type)).collect();
            return refuse(format!("Bound on key columns '[{}]' must currently be '='.", names.join(", ")));
        }
        if !seen.insert(name) {
            return refuse(
                "A comparison condition on the key column cannot be combined with other comparisons such as an IN \
                 predicate"
                    .to_owned(),
            );
        }
        ranges |= op != CompareOp::Equal;
    }
    if seen.is_empty() {
        return refuse(format!("WHERE clause missing key column for disjunct: {filter}"));
    }
    if seen.len() < keys.len() {
        let expected: Vec<&str> = keys.iter().map(|c| c.name.as_str()).collect();
        let given: Vec<String> = seen.into_iter().collect();
        return refuse(format!(
            "Multi-column sources must specify every key in the WHERE clause. Specified: [{}] Expected: [{}]",
            given.join(", "),
            expected.join(", "),
        ));
    }
    let is_text = keys.iter().all(|c| matches!(c.sql_type, SqlType::String | SqlType::Bytes));
    let scannable = session.pull_range_scan_enabled && single && keys.len() == 1 && is_text;
    if ranges && (!scannable || source.has_window()) {
        return refuse(NEEDS_SCAN.to_owned());
    }
    Ok(())
}

/// The key column that a condition bounds, and how. None: it bounds another column.
fn key_of(scope: &Scope, term: &Term<'_>, span: Span) -> Result<Option<(CompareOp, String)>> {
    let refuse = |message: &str| Err(SqlError::analysis(message, span));
    match term {
        Term::Compare { op, left, right } => {
            let sides = [(column(scope, left), *right), (column(scope, right), *left)];
            let key = sides.iter().find_map(|(name, other)| {
                let name = name.clone()?;
                key_type(scope, &name).map(|_| (name, *other))
            });
            match key {
                Some((_, other)) if has_column(other) => {
                    refuse("A comparison must be between a key column and a resolvable expression.")
                }
                Some((name, _)) => Ok(Some((*op, name))),
                None if sides.iter().all(|(name, _)| name.is_none()) => {
                    refuse("A comparison must directly reference a key column.")
                }
                None => Ok(None),
            }
        }
        Term::Like { operand } if column(scope, operand).is_none() => {
            refuse("Like condition must be between strings, the first of them a column.")
        }
        Term::Like { .. } | Term::Other => refuse(NEEDS_SCAN),
    }
}
