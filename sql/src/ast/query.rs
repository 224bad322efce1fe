//! SELECT as written.

use crate::ast::expr::Expr;
use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::expr::ir::TimeUnit;
use crate::span::Span;
use crate::window::WindowKind;

/// A SELECT: a push or pull query, or the body of CREATE … AS SELECT and INSERT INTO. Which clauses are allowed where
/// is the analyzer's business.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub distinct: bool,
    pub projection: Vec<SelectItem>,
    pub from: Source,
    /// In written order; each joins what stands before it with one more source.
    pub joins: Vec<Join>,
    pub window: Option<WindowClause>,
    pub filter: Option<Expr>,
    pub group_by: Option<ExprList>,
    pub partition_by: Option<ExprList>,
    pub having: Option<Expr>,
    pub order_by: Vec<OrderItem>,
    /// None: no EMIT clause, which makes a bare SELECT a pull query.
    pub emit: Option<Emit>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
    pub place: Place,
}

impl Query {
    /// True if a bare SELECT like this is a push query.
    pub fn is_push(&self) -> bool {
        self.emit.is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SelectItem {
    pub kind: SelectKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SelectKind {
    /// `expr [[AS] alias]`
    Expr { expr: Expr, alias: Option<Ident> },
    /// `*`
    All,
    /// `source.*`
    AllOf(Ident),
    /// `struct->*`: every field of the struct.
    Fields(Expr),
}

/// A stream or table in FROM or JOIN.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: Ident,
    pub alias: Option<Ident>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    pub kind: JoinKind,
    pub source: Source,
    pub within: Option<Within>,
    pub on: Expr,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// `WITHIN n unit` (`before` = `after`) or `WITHIN (n unit, n unit)`, with an optional GRACE PERIOD.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    pub before: Duration,
    pub after: Duration,
    pub grace: Option<Duration>,
    pub place: Place,
}

/// `n unit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duration {
    pub amount: i64,
    pub unit: TimeUnit,
    pub place: Place,
}

/// `WINDOW TUMBLING (SIZE …)`, `HOPPING (SIZE …, ADVANCE BY …)`, `SESSION (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowClause {
    pub kind: WindowKind,
    /// The size, or the gap of a session.
    pub size: Duration,
    /// Some for HOPPING, None for the others.
    pub advance: Option<Duration>,
    pub retention: Option<Duration>,
    pub grace: Option<Duration>,
    pub place: Place,
}

/// The expressions of GROUP BY or PARTITION BY, which may be written in one pair of parentheses. Empty for `()`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExprList {
    pub items: Vec<Expr>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OrderItem {
    pub expr: Expr,
    pub direction: SortDirection,
    /// None: the default of the direction (last when ascending, first when descending).
    pub nulls: Option<NullsOrder>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortDirection {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NullsOrder {
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emit {
    Changes,
    Final,
}

impl Duration {
    /// Units: ms. Saturates, the parser has refused what does not fit.
    pub fn millis(&self) -> i64 {
        self.amount.saturating_mul(self.unit.millis())
    }
}

impl Source {
    /// The alias, or the name where there is none.
    pub fn alias_or_name(&self) -> &Ident {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

impl Query {
    pub fn span(&self) -> Span {
        self.place.span()
    }

    /// All sources in written order.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.from).chain(self.joins.iter().map(|join| &join.source))
    }
}
