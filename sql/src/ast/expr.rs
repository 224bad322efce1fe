//! Expressions as written.

use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::ast::types::TypeName;
use crate::expr::ir::{ArithmeticOp, CompareOp, LogicalOp, TimeUnit};
use crate::span::Span;
use crate::value::Literal;

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// String, INTEGER or BIGINT by range, exact DECIMAL, DOUBLE (written with an exponent), BOOLEAN, NULL (no type).
    /// A sign directly before a number is part of it.
    Literal(Literal),
    /// A column, a lambda parameter, or a system column; `qualifier` is a source name or alias.
    Column {
        qualifier: Option<Ident>,
        name: Ident,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Not(Box<Expr>),
    Logical {
        op: LogicalOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Compare {
        op: CompareOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsDistinctFrom {
        negated: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsNull {
        negated: bool,
        operand: Box<Expr>,
    },
    Between {
        negated: bool,
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
    },
    /// `list` has at least one element.
    In {
        negated: bool,
        operand: Box<Expr>,
        list: Vec<Expr>,
    },
    Like {
        negated: bool,
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
    },
    Arithmetic {
        op: ArithmeticOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `left || right`.
    Concat {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// With `operand`: the simple form, `CASE operand WHEN value …`; without: the searched form. At least one branch.
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<CaseBranch>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        operand: Box<Expr>,
        target: TypeName,
    },
    /// Scalar, aggregate or table function; the name is upper-case. `f(*)` is `f()`.
    Call {
        function: Ident,
        arguments: Vec<Argument>,
    },
    /// `ARRAY[…]`, may be empty.
    Array(Vec<Expr>),
    /// `MAP(k := v, …)`, may be empty.
    Map(Vec<(Expr, Expr)>),
    /// `STRUCT(f := v, …)`; names are unique.
    Struct(Vec<(Ident, Expr)>),
    /// `base[index]`.
    Subscript {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `base->field`.
    Field {
        base: Box<Expr>,
        field: Ident,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Plus,
    Minus,
}

/// `WHEN when THEN then`.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseBranch {
    pub when: Expr,
    pub then: Expr,
}

/// An argument of a function call. Lambdas come last.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    Expr(Expr),
    Lambda(Lambda),
    Unit(UnitWord),
}

/// A bare time unit: `DATEADD(DAYS, 1, d)`.
///
/// DAY, HOUR, MINUTE and SECOND are no reserved words, so a column may have that name: then `column` holds it, and
/// whoever resolves the call decides by what the function takes. DAYS and the others are units only.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitWord {
    pub unit: TimeUnit,
    pub column: Option<Ident>,
    pub place: Place,
}

/// `x => body`, `(x, y) => body`; at least one parameter, names are unique.
#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    pub parameters: Vec<Ident>,
    pub body: Box<Expr>,
    pub place: Place,
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        Expr { kind, place: Place(span) }
    }

    pub fn span(&self) -> Span {
        self.place.span()
    }

    /// The literal NULL.
    pub fn is_null_literal(&self) -> bool {
        matches!(&self.kind, ExprKind::Literal(literal) if literal.value.is_null())
    }

    /// The expressions directly below this one, left to right; bodies of lambdas included.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Column { .. } => Vec::new(),
            ExprKind::Unary { operand, .. }
            | ExprKind::IsNull { operand, .. }
            | ExprKind::Cast { operand, .. }
            | ExprKind::Not(operand) => vec![operand],
            ExprKind::Logical { left, right, .. }
            | ExprKind::Compare { left, right, .. }
            | ExprKind::IsDistinctFrom { left, right, .. }
            | ExprKind::Arithmetic { left, right, .. }
            | ExprKind::Concat { left, right } => vec![left, right],
            ExprKind::Between { operand, low, high, .. } => vec![operand, low, high],
            ExprKind::In { operand, list, .. } => std::iter::once(&**operand).chain(list).collect(),
            ExprKind::Like { operand, pattern, .. } => vec![operand, pattern],
            ExprKind::Case { operand, branches, otherwise } => operand
                .as_deref()
                .into_iter()
                .chain(branches.iter().flat_map(|b| [&b.when, &b.then]))
                .chain(otherwise.as_deref())
                .collect(),
            ExprKind::Call { arguments, .. } => arguments
                .iter()
                .filter_map(|argument| match argument {
                    Argument::Expr(e) => Some(e),
                    Argument::Lambda(lambda) => Some(&*lambda.body),
                    Argument::Unit(_) => None,
                })
                .collect(),
            ExprKind::Array(items) => items.iter().collect(),
            ExprKind::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            ExprKind::Struct(fields) => fields.iter().map(|(_, value)| value).collect(),
            ExprKind::Subscript { base, index } => vec![base, index],
            ExprKind::Field { base, .. } => vec![base],
        }
    }

    /// Calls `visit` on this node and every node below it, parents first.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.visit(visit);
        }
    }
}
