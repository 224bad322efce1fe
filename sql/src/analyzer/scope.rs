//! The sources of a query and the names they bring.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::analyzer::clause::Clause;
use crate::analyzer::display::Names;
use crate::analyzer::rewrite::{map_columns, visit_columns};
use crate::analyzer::typing::{Resolver, Typer};
use crate::ast;
use crate::ast::ident::Ident;
use crate::context::Context;
use crate::error::{Result, SqlError};
use crate::expr::ir::Expr;
use crate::metastore::source::Source;
use crate::schema::{ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART, system_column_type};
use crate::suggest::nearest;
use crate::types::SqlType;

/// One stream or table in FROM or JOIN.
#[derive(Clone, Debug)]
pub struct ScopeSource {
    pub alias: String,
    pub source: Arc<Source>,
}

/// A column of one of the sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceColumn {
    /// Index into the scope's sources.
    pub source: usize,
    pub name: String,
}

/// What names mean in a query.
#[derive(Debug)]
pub struct Scope {
    pub sources: Vec<ScopeSource>,
    /// The key column that a join makes up: FULL OUTER, or no side of ON is a column.
    pub synthetic_key: Option<(String, SqlType)>,
    /// Names that mean the bounds of the query's own WINDOW clause.
    pub windowed_aggregate: bool,
    /// Aliases of the projection, for hints.
    pub aliases: Vec<String>,
    /// System columns that were asked for by source, so that a join can carry them.
    system_columns_used: RefCell<BTreeSet<SourceColumn>>,
}

impl ScopeSource {
    pub fn has_window(&self) -> bool {
        self.source.window.is_some()
    }

    /// The type of a column, system columns included. None if there is none of that name.
    pub fn column_type(&self, name: &str) -> Option<SqlType> {
        if let Some(column) = self.source.schema.find(name) {
            return Some(column.sql_type.clone());
        }
        let window_bound = [WINDOWSTART, WINDOWEND].contains(&name);
        if window_bound && !self.has_window() {
            return None;
        }
        system_column_type(name)
    }

    fn is_system(&self, name: &str) -> bool {
        self.source.schema.find(name).is_none() && system_column_type(name).is_some()
    }
}

impl Scope {
    /// The sources of a query.
    ///
    /// Errors: a name that is no stream or table.
    pub fn new(context: &Context<'_>, query: &ast::query::Query) -> Result<Scope> {
        let mut sources = Vec::new();
        for source in query.sources() {
            let name = &source.name;
            let Some(found) = context.metastore.source(&name.name) else {
                return Err(missing_source(context, name));
            };
            sources
                .push(ScopeSource { alias: source.alias_or_name().name.clone(), source: Arc::clone(found) });
        }
        let aliases = query
            .projection
            .iter()
            .filter_map(|item| match &item.kind {
                ast::query::SelectKind::Expr { alias: Some(alias), .. } => Some(alias.name.clone()),
                _ => None,
            })
            .collect();
        Ok(Scope {
            sources,
            synthetic_key: None,
            windowed_aggregate: query.window.is_some(),
            aliases,
            system_columns_used: RefCell::default(),
        })
    }

    pub fn is_join(&self) -> bool {
        self.sources.len() > 1
    }

    /// The name of a source's column in the input of the query: prefixed by the alias if there is a join.
    pub fn input_name(&self, column: &SourceColumn) -> String {
        if !self.is_join() {
            return column.name.clone();
        }
        format!("{}_{}", self.sources[column.source].alias, column.name)
    }

    /// System columns by source that expressions read so far.
    pub fn system_columns_used(&self) -> BTreeSet<SourceColumn> {
        self.system_columns_used.borrow().clone()
    }

    pub fn source_index(&self, alias: &Ident) -> Result<usize> {
        self.sources.iter().position(|s| s.alias == alias.name).ok_or_else(|| {
            let known: Vec<&str> = self.sources.iter().map(|s| s.alias.as_str()).collect();
            SqlError::analysis(
                format!("'{}' is not a valid stream/table name or alias.", alias.name),
                alias.span(),
            )
            .with_hint(format!("Sources are: {}.", known.join(", ")))
        })
    }

    /// The source column that a reference stands for.
    ///
    /// Errors: unknown or ambiguous names.
    pub fn find(&self, qualifier: Option<&Ident>, name: &Ident, clause: Clause) -> Result<SourceColumn> {
        if let Some(qualifier) = qualifier {
            let source = self.source_index(qualifier)?;
            if self.sources[source].column_type(&name.name).is_none() {
                return Err(self.unresolved(Some(qualifier), name, clause));
            }
            return Ok(SourceColumn { source, name: name.name.clone() });
        }
        let found: Vec<usize> =
            (0..self.sources.len()).filter(|i| self.sources[*i].column_type(&name.name).is_some()).collect();
        match found.as_slice() {
            [] => Err(self.unresolved(None, name, clause)),
            [source] => Ok(SourceColumn { source: *source, name: name.name.clone() }),
            several => {
                let options: Vec<String> =
                    several.iter().map(|i| format!("{}.{}", self.sources[*i].alias, name.name)).collect();
                Err(SqlError::analysis(
                    format!("Column '{}' is ambiguous. Could be {}.", name.name, options.join(" or ")),
                    name.span(),
                ))
            }
        }
    }

    fn unresolved(&self, qualifier: Option<&Ident>, name: &Ident, clause: Clause) -> SqlError {
        let shown = match qualifier {
            Some(q) => format!("{}.{}", q.name, name.name),
            None => name.name.clone(),
        };
        let span = name.span();
        let window_bound = [WINDOWSTART, WINDOWEND].contains(&name.name.as_str());
        if window_bound && self.windowed_aggregate && !self.is_join() {
            return match clause {
                Clause::Where => SqlError::analysis(
                    format!("Error in WHERE expression: Unknown column {}.", name.name),
                    span,
                ),
                _ => window_bounds_misplaced(name),
            };
        }
        if window_bound && clause == Clause::Where {
            return SqlError::analysis(
                format!("WHERE column '{shown}' cannot be resolved. Unknown column {}.", name.name),
                span,
            )
            .with_hint("The source is not windowed.");
        }
        let mut message = format!("{clause} column '{shown}' cannot be resolved.");
        if clause == Clause::PartitionBy && self.aliases.contains(&name.name) {
            message.push_str(&format!(
                " '{shown}' must be a column in the source schema since PARTITION BY is applied on the input."
            ));
        }
        let error = SqlError::analysis(message, span);
        match self.similar_column(&name.name) {
            Some(similar) => error.with_hint(format!("Did you mean {similar}?")),
            // Unquoted names are in upper case.
            None if qualifier.is_none() && name.name.contains(char::is_lowercase) => {
                error.with_hint(format!(
                    "Double and back quotes are for names; a text is written in single quotes: '{}'.",
                    name.name
                ))
            }
            None => error,
        }
    }

    fn similar_column(&self, name: &str) -> Option<String> {
        let names = self.sources.iter().flat_map(|s| s.source.schema.columns().map(|c| c.name.as_str()));
        nearest(name, names).map(str::to_owned)
    }

    /// The expression with every column qualified by its source's alias, so that equal columns are written equally.
    /// The synthetic key and the bounds of the query's own window stay unqualified.
    ///
    /// Errors: unknown or ambiguous names.
    pub fn qualify(&self, expr: &ast::expr::Expr, clause: Clause) -> Result<ast::expr::Expr> {
        map_columns(expr, &mut |qualifier, name| {
            let unqualified = || ast::expr::ExprKind::Column { qualifier: None, name: name.clone() };
            if self.is_own_window_bound(name, clause) {
                return Ok(unqualified());
            }
            if qualifier.is_none() && self.synthetic_key.as_ref().is_some_and(|(key, _)| *key == name.name) {
                return Ok(unqualified());
            }
            let found = self.find(qualifier, name, clause)?;
            let alias = Ident::new(self.sources[found.source].alias.clone(), name.span());
            Ok(ast::expr::ExprKind::Column { qualifier: Some(alias), name: name.clone() })
        })
    }

    /// True for WINDOWSTART and WINDOWEND in the projection of a windowed aggregation of one source.
    fn is_own_window_bound(&self, name: &Ident, clause: Clause) -> bool {
        self.windowed_aggregate
            && !self.is_join()
            && [WINDOWSTART, WINDOWEND].contains(&name.name.as_str())
            && matches!(clause, Clause::Select)
    }

    /// Checks the qualifiers of all expressions of a query, before anything else is looked at.
    pub fn check_qualifiers<'e>(&self, exprs: impl Iterator<Item = &'e ast::expr::Expr>) -> Result<()> {
        for expr in exprs {
            visit_columns(expr, &mut |_, qualifier, _| {
                if let Some(qualifier) = qualifier {
                    self.source_index(qualifier)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The typed reference to a column of the query's input.
    pub fn column_expr(&self, column: &SourceColumn) -> Expr {
        let source = &self.sources[column.source];
        if source.is_system(&column.name) {
            self.system_columns_used.borrow_mut().insert(column.clone());
        }
        let sql_type = source.column_type(&column.name).expect("source columns were found in their source");
        Expr::column(self.input_name(column), sql_type)
    }

    /// The column that a qualified expression is, if it is nothing but a column of a source.
    pub fn as_source_column(&self, expr: &ast::expr::Expr) -> Option<SourceColumn> {
        let ast::expr::ExprKind::Column { qualifier: Some(qualifier), name } = &expr.kind else {
            return None;
        };
        let source = self.sources.iter().position(|s| s.alias == qualifier.name)?;
        Some(SourceColumn { source, name: name.name.clone() })
    }

    /// The sources that a qualified expression reads.
    pub fn sources_of(&self, expr: &ast::expr::Expr) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let _ = visit_columns(expr, &mut |column, _, _| {
            found.extend(self.as_source_column(column).map(|c| c.source));
            Ok(())
        });
        found
    }

    /// How many sources have a column of that name.
    pub fn occurrences(&self, name: &str) -> usize {
        self.sources.iter().filter(|s| s.column_type(name).is_some()).count()
    }
}

/// Resolves names to the columns of the query's input.
pub(crate) struct InputResolver<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) clause: Clause,
}

impl Resolver for InputResolver<'_> {
    fn column(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<Expr> {
        if qualifier.is_none() {
            if let Some((key, sql_type)) = &self.scope.synthetic_key
                && *key == name.name
            {
                return Ok(Expr::column(key.clone(), sql_type.clone()));
            }
            if self.scope.is_join() && name.name == ROWTIME && name.span().is_unknown() {
                // The argument of COUNT(*), written by us: the timestamp of the joined row.
                return Ok(Expr::column(ROWTIME, SqlType::Bigint));
            }
        }
        let found = self.scope.find(qualifier, name, self.clause)?;
        Ok(self.scope.column_expr(&found))
    }

    fn replace(&self, _expr: &ast::expr::Expr, _typer: &Typer<'_>) -> Result<Option<Expr>> {
        Ok(None)
    }

    fn names(&self) -> Names {
        if self.scope.is_join() { Names::Joined } else { Names::Bare }
    }
}

/// The columns that every row of a source has besides the declared ones, in the order in which `*` shows them after
/// PARTITION BY.
pub(crate) fn system_columns(source: &ScopeSource) -> Vec<&'static str> {
    let mut names = vec![ROWTIME, ROWPARTITION, ROWOFFSET];
    if source.has_window() {
        names.extend([WINDOWSTART, WINDOWEND]);
    }
    names
}

pub(crate) fn window_bounds_misplaced(name: &Ident) -> SqlError {
    SqlError::analysis(
        format!(
            "Window bounds column {} can only be used in the SELECT clause of windowed aggregations and can not be \
             passed to aggregate functions.",
            name.name
        ),
        name.span(),
    )
}

/// A source that is in the statement but not in the metastore.
pub(crate) fn missing_source(context: &Context<'_>, name: &Ident) -> SqlError {
    let error = SqlError::analysis(
        format!("Source {} does not exist.", crate::types::quote_identifier(&name.name)),
        name.span(),
    );
    match did_you_mean(context, &name.name) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A hint naming the source that was probably meant.
pub(crate) fn did_you_mean(context: &Context<'_>, name: &str) -> Option<String> {
    if let Some(known) = context.metastore.similar_source(name) {
        let advice = if name.chars().any(char::is_lowercase) {
            "try removing double quotes from"
        } else {
            "try adding double quotes to"
        };
        return Some(format!("Did you mean {known}? Hint: {advice} the source name."));
    }
    nearest(name, context.metastore.sources().map(|s| s.name.as_str()))
        .map(|known| format!("Did you mean {known}?"))
}
