//! Typed, resolved expressions: what plans carry. Every name is resolved, every implicit cast is written out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::expr::flat::FlatExpr;
use crate::types::SqlType;
use crate::value::SqlValue;

/// A typed expression over the columns of a step's input. Stored as a list of nodes, see [`crate::expr::flat`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "FlatExpr", try_from = "FlatExpr")]
pub struct Expr {
    pub kind: ExprKind,
    pub sql_type: SqlType,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A column of the input by name: key, value, header or system column (ROWTIME, WINDOWSTART, …).
    Column(String),
    /// A parameter of an enclosing lambda.
    LambdaParameter(String),
    Literal(SqlValue),
    /// AND, OR with ksqlDB's null rules.
    Logical {
        op: LogicalOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Not(Box<Expr>),
    /// Both sides may differ in type; the kernel compares as the types ask (exact decimals, parsed dates). Null gives FALSE.
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
    In {
        negated: bool,
        operand: Box<Expr>,
        list: Vec<Expr>,
    },
    /// `%` and `_`; `escape` is one character.
    Like {
        negated: bool,
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
    },
    /// `sql_type` of the node is the result type, which follows from the operand types.
    Arithmetic {
        op: ArithmeticOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Negate(Box<Expr>),
    /// Searched CASE; the simple form is rewritten to comparisons.
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// CAST, and every implicit conversion, to the node's type.
    Cast(Box<Expr>),
    /// A scalar function of the registry, by upper-case name; overload chosen again from the argument types.
    Call {
        function: String,
        arguments: Vec<Argument>,
    },
    Array(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// Field names are in the node's type.
    Struct(Vec<Expr>),
    /// `array[index]` (1-based, negative from the end) or `map[key]`.
    Subscript {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `struct->field`.
    Field {
        base: Box<Expr>,
        field: String,
    },
}

/// An argument of a function call.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    Value(Expr),
    /// Untyped NULL: binds to any parameter type.
    Null,
    Lambda(Lambda),
    /// A bare time unit: `DATEADD(DAYS, …)`.
    Unit(TimeUnit),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    /// Upper-case names with their types.
    pub parameters: Vec<(String, SqlType)>,
    pub body: Box<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeUnit {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
}

impl TimeUnit {
    pub fn millis(self) -> i64 {
        match self {
            TimeUnit::Milliseconds => 1,
            TimeUnit::Seconds => 1_000,
            TimeUnit::Minutes => 60_000,
            TimeUnit::Hours => 3_600_000,
            TimeUnit::Days => 86_400_000,
        }
    }

    /// `DAY` or `DAYS`, any case.
    pub fn from_name(name: &str) -> Option<TimeUnit> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MILLISECOND" | "MILLISECONDS" => TimeUnit::Milliseconds,
            "SECOND" | "SECONDS" => TimeUnit::Seconds,
            "MINUTE" | "MINUTES" => TimeUnit::Minutes,
            "HOUR" | "HOURS" => TimeUnit::Hours,
            "DAY" | "DAYS" => TimeUnit::Days,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogicalOp {
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulus,
}

impl Expr {
    pub fn new(kind: ExprKind, sql_type: SqlType) -> Expr {
        Expr { kind, sql_type }
    }

    pub fn column(name: impl Into<String>, sql_type: SqlType) -> Expr {
        Expr::new(ExprKind::Column(name.into()), sql_type)
    }

    pub fn literal(value: SqlValue, sql_type: SqlType) -> Expr {
        Expr::new(ExprKind::Literal(value), sql_type)
    }

    /// Calls `visit` on this node and every node below it, parents first.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        let mut go = |e: &'a Expr| e.visit(visit);
        match &self.kind {
            ExprKind::Column(_) | ExprKind::LambdaParameter(_) | ExprKind::Literal(_) => {}
            ExprKind::Logical { left, right, .. }
            | ExprKind::Compare { left, right, .. }
            | ExprKind::IsDistinctFrom { left, right, .. }
            | ExprKind::Arithmetic { left, right, .. } => {
                go(left);
                go(right);
            }
            ExprKind::Not(e) | ExprKind::Negate(e) | ExprKind::Cast(e) => go(e),
            ExprKind::IsNull { operand, .. } => go(operand),
            ExprKind::Between { operand, low, high, .. } => {
                go(operand);
                go(low);
                go(high);
            }
            ExprKind::In { operand, list, .. } => {
                go(operand);
                list.iter().for_each(go);
            }
            ExprKind::Like { operand, pattern, .. } => {
                go(operand);
                go(pattern);
            }
            ExprKind::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    go(condition);
                    go(result);
                }
                if let Some(e) = otherwise {
                    go(e);
                }
            }
            ExprKind::Call { arguments, .. } => {
                for argument in arguments {
                    match argument {
                        Argument::Value(e) => go(e),
                        Argument::Lambda(lambda) => go(&lambda.body),
                        Argument::Null | Argument::Unit(_) => {}
                    }
                }
            }
            ExprKind::Array(items) | ExprKind::Struct(items) => items.iter().for_each(go),
            ExprKind::Map(entries) => {
                for (key, value) in entries {
                    go(key);
                    go(value);
                }
            }
            ExprKind::Subscript { base, index } => {
                go(base);
                go(index);
            }
            ExprKind::Field { base, .. } => go(base),
        }
    }

    /// Names of the columns read, sorted.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.visit(&mut |e| {
            if let ExprKind::Column(name) = &e.kind {
                names.insert(name.as_str());
            }
        });
        names
    }
}
