//! The projection: `*` written out, columns named, keys found among them.

use std::collections::BTreeSet;

use crate::analyzer::clause::Clause;
use crate::analyzer::display::{Names, show};
use crate::analyzer::scope::{Scope, SourceColumn, system_columns};
use crate::ast;
use crate::ast::expr::{Expr, ExprKind};
use crate::ast::ident::Ident;
use crate::ast::query::{Query, SelectKind};
use crate::error::{Result, SqlError};
use crate::schema::{SYSTEM_COLUMNS, WINDOWEND, WINDOWSTART};
use crate::span::Span;
use crate::types::quote_identifier;

/// What the query is for: a stream or table to be built, or rows for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Fills this stream or table.
    Persistent { sink: &'a str },
    /// Answers a client for as long as it listens.
    Push,
    /// Answers a client once.
    Pull,
}

impl Purpose<'_> {
    pub fn is_persistent(&self) -> bool {
        matches!(self, Purpose::Persistent { .. })
    }
}

/// One output column: a qualified expression under its name.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) expr: Expr,
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// A column of the result's key: which expressions of the projection may stand for it.
#[derive(Clone, Debug)]
pub(crate) struct KeySlot {
    /// In order of preference.
    pub(crate) alternatives: Vec<Expr>,
    /// Its name where the projection does not name it.
    pub(crate) default_name: String,
}

/// How messages call the key columns of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyNoun {
    Column,
    Grouping,
    Partitioning,
    Join,
    /// The join made up the key, since ON had no column to give.
    SyntheticJoin,
    ForeignKeyJoin,
}

/// Items before they are named.
struct Unnamed {
    expr: Expr,
    name: Option<String>,
    span: Span,
}

/// The projection with `*`, `source.*` and `struct->*` written out.
///
/// `partition_by` is None without PARTITION BY, and empty for PARTITION BY NULL. `fields_of` gives the field names of
/// a qualified struct expression.
pub(crate) fn expand(
    scope: &Scope,
    query: &Query,
    purpose: Purpose<'_>,
    partition_by: Option<&[Expr]>,
    fields_of: &dyn Fn(&Expr) -> Result<Vec<String>>,
) -> Result<Vec<Item>> {
    let mut unnamed = Vec::new();
    for item in &query.projection {
        let span = item.place.span();
        match &item.kind {
            SelectKind::Expr { expr, alias } => unnamed.push(Unnamed {
                expr: scope.qualify(expr, Clause::Select)?,
                name: alias.as_ref().map(|a| a.name.clone()),
                span,
            }),
            SelectKind::All => star(scope, purpose, partition_by, None, span, &mut unnamed),
            SelectKind::AllOf(alias) => {
                let source = scope.source_index(alias)?;
                star(scope, purpose, partition_by, Some(source), span, &mut unnamed);
            }
            SelectKind::Fields(base) => {
                let base = scope.qualify(base, Clause::Select)?;
                for field in fields_of(&base)? {
                    let kind = ExprKind::Field {
                        base: Box::new(base.clone()),
                        field: Ident::new(field.clone(), span),
                    };
                    unnamed.push(Unnamed { expr: Expr::new(kind, span), name: Some(field), span });
                }
            }
        }
    }
    Ok(name_items(scope, unnamed))
}

fn column_expr(scope: &Scope, column: &SourceColumn, span: Span) -> Expr {
    let alias = Ident::new(scope.sources[column.source].alias.clone(), span);
    let name = Ident::new(column.name.clone(), span);
    Expr::new(ExprKind::Column { qualifier: Some(alias), name }, span)
}

/// The columns of all sources, or of one.
fn star(
    scope: &Scope,
    purpose: Purpose<'_>,
    partition_by: Option<&[Expr]>,
    only: Option<usize>,
    span: Span,
    out: &mut Vec<Unnamed>,
) {
    let partitioned = partition_by.is_some();
    let partition_by = partition_by.unwrap_or_default();
    if only.is_none()
        && partition_by.is_empty()
        && let Some((key, _)) = &scope.synthetic_key
    {
        let kind = ExprKind::Column { qualifier: None, name: Ident::new(key.clone(), span) };
        out.push(Unnamed { expr: Expr::new(kind, span), name: Some(key.clone()), span });
    }
    let mut taken: BTreeSet<SourceColumn> = BTreeSet::new();
    for expr in partition_by {
        match scope.as_source_column(expr) {
            Some(column) if only.is_none_or(|source| source == column.source) => {
                let name = Some(scope.input_name(&column));
                taken.insert(column);
                out.push(Unnamed { expr: expr.clone(), name, span });
            }
            None if only.is_none() => out.push(Unnamed { expr: expr.clone(), name: None, span }),
            _ => {}
        }
    }
    for source in (0..scope.sources.len()).filter(|s| only.is_none_or(|o| o == *s)) {
        for name in star_names(scope, purpose, partitioned, source) {
            let column = SourceColumn { source, name };
            if taken.contains(&column) {
                continue;
            }
            let name = Some(scope.input_name(&column));
            out.push(Unnamed { expr: column_expr(scope, &column, span), name, span });
        }
    }
}

/// The names that `*` stands for, of one source.
fn star_names(scope: &Scope, purpose: Purpose<'_>, partitioned: bool, source: usize) -> Vec<String> {
    let found = &scope.sources[source];
    let schema = &found.source.schema;
    let keys = schema.key.iter().map(|c| c.name.clone());
    let values = schema.value.iter().chain(schema.headers.iter().map(|h| &h.column)).map(|c| c.name.clone());
    if partitioned {
        // The key has become a value, behind the others; a join's system columns have become values as well.
        let system = if scope.is_join() { system_columns(found) } else { Vec::new() };
        return values.chain(system.into_iter().map(str::to_owned)).chain(keys).collect();
    }
    // A windowed key carries its bounds into a sink by itself.
    let bounds = found.has_window() && (scope.is_join() || !purpose.is_persistent());
    let bounds: &[&str] = if bounds { &[WINDOWSTART, WINDOWEND] } else { &[] };
    keys.chain(bounds.iter().map(|b| (*b).to_owned())).chain(values).collect()
}

/// Gives every item its name: the alias, the column's own, the field's, or KSQL_COL_n.
fn name_items(scope: &Scope, unnamed: Vec<Unnamed>) -> Vec<Item> {
    let taken: BTreeSet<String> =
        scope.sources.iter().flat_map(|s| s.source.schema.columns().map(|c| c.name.clone())).collect();
    let mut generated = 0;
    let mut fields: BTreeSet<String> = BTreeSet::new();
    let mut out = Vec::with_capacity(unnamed.len());
    for item in unnamed {
        let name = match (item.name, &item.expr.kind) {
            (Some(name), _) => name,
            (None, ExprKind::Column { qualifier: Some(_), name }) if scope.occurrences(&name.name) > 1 => {
                let column = scope.as_source_column(&item.expr).expect("the qualifier names a source");
                scope.input_name(&column)
            }
            (None, ExprKind::Column { name, .. }) => name.name.clone(),
            (None, ExprKind::Field { field, .. }) => unique_field(&field.name, &taken, &mut fields),
            (None, _) => loop {
                let name = format!("KSQL_COL_{generated}");
                generated += 1;
                if !taken.contains(&name) {
                    break name;
                }
            },
        };
        out.push(Item { expr: item.expr, name, span: item.span });
    }
    out
}

/// `F`, then `F_1`, `F_2`, … for fields of one name, skipping names of source columns.
fn unique_field(field: &str, taken: &BTreeSet<String>, used: &mut BTreeSet<String>) -> String {
    if !taken.contains(field) && used.insert(field.to_owned()) {
        return field.to_owned();
    }
    (1..)
        .map(|n| format!("{field}_{n}"))
        .find(|name| !taken.contains(name) && used.insert(name.clone()))
        .expect("numbers do not end")
}

/// Refuses aliases that are names of system columns.
pub(crate) fn refuse_reserved_aliases(query: &Query) -> Result<()> {
    for item in &query.projection {
        let SelectKind::Expr { expr, alias: Some(alias) } = &item.kind else { continue };
        if !SYSTEM_COLUMNS.contains(&alias.name.as_str()) {
            continue;
        }
        let same = matches!(&expr.kind, ExprKind::Column { name, .. } if name.name == alias.name);
        if same {
            return Err(reserved_in_select(&alias.name, alias.span()));
        }
        return Err(SqlError::analysis(
            format!(
                "{} is a reserved column name. You cannot use it as an alias for a column.",
                quote_identifier(&alias.name)
            ),
            alias.span(),
        ));
    }
    Ok(())
}

fn reserved_in_select(name: &str, span: Span) -> SqlError {
    SqlError::analysis(
        format!(
            "Reserved column name in select: {}. Please remove or alias the column.",
            quote_identifier(name)
        ),
        span,
    )
}

/// In a persistent query: refuses system columns under their own names. The bounds of the query's own window are
/// left out instead, since the key has them.
pub(crate) fn drop_reserved(
    items: Vec<Item>,
    purpose: Purpose<'_>,
    windowed_aggregate: bool,
    partition_by: &[Expr],
) -> Result<Vec<Item>> {
    if !purpose.is_persistent() {
        return Ok(items);
    }
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        let reserved = SYSTEM_COLUMNS.contains(&item.name.as_str()) && !partition_by.contains(&item.expr);
        if !reserved {
            kept.push(item);
        } else if !(windowed_aggregate && [WINDOWSTART, WINDOWEND].contains(&item.name.as_str())) {
            return Err(reserved_in_select(&item.name, item.span));
        }
    }
    Ok(kept)
}

/// Refuses a projection of system columns that no rule could allow, before names are resolved.
pub(crate) fn refuse_bare_reserved(query: &Query, purpose: Purpose<'_>) -> Result<()> {
    if !purpose.is_persistent() || query.window.is_some() || !query.joins.is_empty() {
        return Ok(());
    }
    for item in &query.projection {
        let SelectKind::Expr { expr, alias: None } = &item.kind else { continue };
        let ExprKind::Column { name, .. } = &expr.kind else { continue };
        let partitions = query.partition_by.iter().flat_map(|p| &p.items).any(|e| e == expr);
        if [WINDOWSTART, WINDOWEND].contains(&name.name.as_str()) && query.group_by.is_some() && !partitions {
            return Err(reserved_in_select(&name.name, item.place.span()));
        }
    }
    Ok(())
}

/// Finds the item for every key column. Shape: one entry per slot; None only in transient queries.
///
/// Errors, in persistent queries: key columns that are missing or projected twice.
pub(crate) fn find_keys(
    scope: &Scope,
    items: &[Item],
    slots: &[KeySlot],
    noun: KeyNoun,
    purpose: Purpose<'_>,
) -> Result<Vec<Option<usize>>> {
    let mut found = Vec::with_capacity(slots.len());
    let mut missing = Vec::new();
    for slot in slots {
        let matching = slot.alternatives.iter().find_map(|alternative| {
            let places: Vec<usize> = (0..items.len()).filter(|i| items[*i].expr == *alternative).collect();
            (!places.is_empty()).then_some(places)
        });
        match matching {
            None => {
                missing.push(slot);
                found.push(None);
            }
            Some(places) => {
                if places.len() > 1 && purpose.is_persistent() {
                    return Err(repeated_key(&places.iter().map(|i| &items[*i]).collect::<Vec<_>>()));
                }
                found.push(Some(places[0]));
            }
        }
    }
    match purpose {
        Purpose::Persistent { sink } if !missing.is_empty() => {
            let spans = items.iter().map(|item| item.span);
            let projection = spans.reduce(Span::union).unwrap_or_default();
            Err(missing_keys(scope, &missing, noun, sink).at(projection))
        }
        _ => Ok(found),
    }
}

fn repeated_key(items: &[&Item]) -> SqlError {
    let names: Vec<&str> = items.iter().map(|i| i.name.as_str()).collect();
    SqlError::analysis(
        format!(
            "The projection contains a key column ({}) more than once, aliased as: {}.",
            quote_identifier(names[0]),
            join_words(&names, "and")
        ),
        items[1].span,
    )
    .with_hint(
        "Each key column must be in the projection exactly once. Copy it into the value with AS_VALUE(…).",
    )
}

fn missing_keys(scope: &Scope, missing: &[&KeySlot], noun: KeyNoun, sink: &str) -> SqlError {
    let shown = |expr: &Expr| {
        let bare = !scope.is_join() && matches!(expr.kind, ExprKind::Column { .. });
        show(expr, if bare { Names::Bare } else { Names::Qualified })
    };
    if noun == KeyNoun::ForeignKeyJoin {
        let s = if missing.len() == 1 { "" } else { "s" };
        let names: Vec<String> = missing.iter().map(|slot| quote_identifier(&column_name(slot))).collect();
        return SqlError::analysis(
            format!(
                "Primary key column{s} missing in projection. For foreign-key table-table joins, the projection must \
                 include all primary key columns from the left input table ({}). Missing column{s}: {}.",
                quote_identifier(&scope.sources[0].alias),
                names.join(", ")
            ),
            Span::default(),
        );
    }
    let (what, conjunction) = match noun {
        KeyNoun::Column | KeyNoun::ForeignKeyJoin => ("key column", "and"),
        KeyNoun::Grouping => ("grouping expression", "and"),
        KeyNoun::Partitioning => ("partitioning expression", "and"),
        KeyNoun::Join | KeyNoun::SyntheticJoin => ("join expression", "or"),
    };
    let exprs: Vec<String> = match noun {
        KeyNoun::Join | KeyNoun::SyntheticJoin => missing[0].alternatives.iter().map(shown).collect(),
        _ => missing.iter().map(|slot| shown(&slot.alternatives[0])).collect(),
    };
    let s = if exprs.len() == 1 { "" } else { "s" };
    let words: Vec<&str> = exprs.iter().map(String::as_str).collect();
    let example = match noun {
        KeyNoun::Join | KeyNoun::SyntheticJoin => exprs[0].clone(),
        _ => exprs.join(", "),
    };
    let mut message = format!(
        "Key missing from projection (ie, SELECT).\nThe query used to build {} must include the {what}{s} {} in its \
         projection (eg, SELECT {example}...).",
        quote_identifier(sink),
        join_words(&words, conjunction)
    );
    if noun == KeyNoun::SyntheticJoin {
        message.push_str(&format!(
            "\n{example} was added as a synthetic key column because the join criteria did not match any source \
             column. This expression must be included in the projection and may be aliased."
        ));
    }
    SqlError::analysis(message, Span::default())
}

fn column_name(slot: &KeySlot) -> String {
    match &slot.alternatives[0].kind {
        ExprKind::Column { name, .. } => name.name.clone(),
        _ => slot.default_name.clone(),
    }
}

/// "A", "A and B", "A, B and C".
pub(crate) fn join_words(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}

/// All expressions of a query, in the order in which they are checked.
pub(crate) fn expressions(query: &Query) -> impl Iterator<Item = &ast::expr::Expr> {
    let select = query.projection.iter().filter_map(|item| match &item.kind {
        SelectKind::Expr { expr, .. } | SelectKind::Fields(expr) => Some(expr),
        SelectKind::All | SelectKind::AllOf(_) => None,
    });
    query
        .joins
        .iter()
        .map(|join| &join.on)
        .chain(&query.filter)
        .chain(query.group_by.iter().flat_map(|list| &list.items))
        .chain(query.partition_by.iter().flat_map(|list| &list.items))
        .chain(&query.having)
        .chain(select)
        .chain(query.order_by.iter().map(|item| &item.expr))
}
