//! Expressions as error messages show them.

use std::fmt::Write;

use crate::ast::expr::{Argument, Expr, ExprKind, UnaryOp};
use crate::ast::types::{TypeKind, TypeName};
use crate::expr::ir::{ArithmeticOp, CompareOp, LogicalOp, TimeUnit};
use crate::types::quote_identifier;
use crate::value::{Literal, SqlValue};

/// How column references are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `A.ID` stays `A.ID`.
    Qualified,
    /// `A.ID` is shown as `ID`.
    Bare,
    /// `A.ID` is shown as `A_ID`, the name it has after a join.
    Joined,
}

/// The expression as text, operators in parentheses: `(A.ID + 1)`.
pub(crate) fn show(expr: &Expr, names: Names) -> String {
    let mut out = String::new();
    Printer { out: &mut out, names }.expr(expr);
    out
}

/// `EQUAL`, `LESS_THAN`, …
pub(crate) fn operator_name(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "EQUAL",
        CompareOp::NotEqual => "NOT_EQUAL",
        CompareOp::Less => "LESS_THAN",
        CompareOp::LessOrEqual => "LESS_THAN_OR_EQUAL",
        CompareOp::Greater => "GREATER_THAN",
        CompareOp::GreaterOrEqual => "GREATER_THAN_OR_EQUAL",
    }
}

fn compare_symbol(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "<>",
        CompareOp::Less => "<",
        CompareOp::LessOrEqual => "<=",
        CompareOp::Greater => ">",
        CompareOp::GreaterOrEqual => ">=",
    }
}

fn arithmetic_symbol(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => "+",
        ArithmeticOp::Subtract => "-",
        ArithmeticOp::Multiply => "*",
        ArithmeticOp::Divide => "/",
        ArithmeticOp::Modulus => "%",
    }
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Milliseconds => "MILLISECONDS",
        TimeUnit::Seconds => "SECONDS",
        TimeUnit::Minutes => "MINUTES",
        TimeUnit::Hours => "HOURS",
        TimeUnit::Days => "DAYS",
    }
}

/// A literal as it would be written.
pub(crate) fn show_literal(literal: &Literal) -> String {
    match &literal.value {
        SqlValue::Null => "null".to_owned(),
        SqlValue::Boolean(flag) => flag.to_string(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Bigint(number) => number.to_string(),
        SqlValue::Double(number) => format!("{number:E}"),
        SqlValue::Decimal(number) => number.to_string(),
        SqlValue::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("{other:?}"),
    }
}

struct Printer<'a> {
    out: &'a mut String,
    names: Names,
}

impl Printer<'_> {
    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn list<'e>(&mut self, items: impl IntoIterator<Item = &'e Expr>) {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.text(", ");
            }
            self.expr(item);
        }
    }

    fn infix(&mut self, left: &Expr, operator: &str, right: &Expr) {
        self.text("(");
        self.expr(left);
        let _ = write!(self.out, " {operator} ");
        self.expr(right);
        self.text(")");
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(literal) => self.text(&show_literal(literal)),
            ExprKind::Column { qualifier, name } => {
                match (qualifier, self.names) {
                    (Some(q), Names::Qualified) => {
                        let _ = write!(self.out, "{}.", q.name);
                    }
                    (Some(q), Names::Joined) => {
                        let _ = write!(self.out, "{}_", q.name);
                    }
                    (Some(_), Names::Bare) | (None, _) => {}
                }
                self.text(&name.name);
            }
            ExprKind::Unary { op, operand } => {
                self.text(match op {
                    UnaryOp::Plus => "+",
                    UnaryOp::Minus => "-",
                });
                self.expr(operand);
            }
            ExprKind::Not(operand) => {
                self.text("(NOT ");
                self.expr(operand);
                self.text(")");
            }
            ExprKind::Logical { op, left, right } => {
                let word = match op {
                    LogicalOp::And => "AND",
                    LogicalOp::Or => "OR",
                };
                self.infix(left, word, right);
            }
            ExprKind::Compare { op, left, right } => self.infix(left, compare_symbol(*op), right),
            ExprKind::IsDistinctFrom { negated, left, right } => {
                self.infix(left, if *negated { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" }, right);
            }
            ExprKind::Arithmetic { op, left, right } => self.infix(left, arithmetic_symbol(*op), right),
            ExprKind::Concat { left, right } => self.infix(left, "||", right),
            ExprKind::Case { .. } => self.case(expr),
            ExprKind::Cast { operand, target } => {
                self.text("CAST(");
                self.expr(operand);
                self.text(" AS ");
                self.type_name(target);
                self.text(")");
            }
            ExprKind::Call { function, arguments } => {
                self.text(&function.name);
                self.arguments(arguments);
            }
            ExprKind::Array(items) => {
                self.text("ARRAY[");
                self.list(items);
                self.text("]");
            }
            ExprKind::Map(entries) => {
                self.text("MAP(");
                for (i, (key, value)) in entries.iter().enumerate() {
                    self.text(if i > 0 { ", " } else { "" });
                    self.expr(key);
                    self.text(":=");
                    self.expr(value);
                }
                self.text(")");
            }
            ExprKind::Struct(fields) => {
                self.text("STRUCT(");
                for (i, (name, value)) in fields.iter().enumerate() {
                    self.text(if i > 0 { ", " } else { "" });
                    let _ = write!(self.out, "{}:=", name.name);
                    self.expr(value);
                }
                self.text(")");
            }
            ExprKind::Subscript { base, index } => {
                self.expr(base);
                self.text("[");
                self.expr(index);
                self.text("]");
            }
            ExprKind::Field { base, field } => {
                self.expr(base);
                let _ = write!(self.out, "->{}", field.name);
            }
            ExprKind::IsNull { .. }
            | ExprKind::Between { .. }
            | ExprKind::In { .. }
            | ExprKind::Like { .. } => {
                self.predicate(expr);
            }
        }
    }

    fn predicate(&mut self, expr: &Expr) {
        self.text("(");
        match &expr.kind {
            ExprKind::IsNull { negated, operand } => {
                self.expr(operand);
                self.text(if *negated { " IS NOT NULL" } else { " IS NULL" });
            }
            ExprKind::Between { negated, operand, low, high } => {
                self.expr(operand);
                self.text(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.expr(low);
                self.text(" AND ");
                self.expr(high);
            }
            ExprKind::In { negated, operand, list } => {
                self.expr(operand);
                self.text(if *negated { " NOT IN (" } else { " IN (" });
                self.list(list);
                self.text(")");
            }
            ExprKind::Like { negated, operand, pattern, escape } => {
                self.expr(operand);
                self.text(if *negated { " NOT LIKE " } else { " LIKE " });
                self.expr(pattern);
                if let Some(escape) = escape {
                    let _ = write!(self.out, " ESCAPE '{escape}'");
                }
            }
            _ => {}
        }
        self.text(")");
    }

    fn case(&mut self, expr: &Expr) {
        let ExprKind::Case { operand, branches, otherwise } = &expr.kind else { return };
        self.text("(CASE");
        if let Some(operand) = operand {
            self.text(" ");
            self.expr(operand);
        }
        for branch in branches {
            self.text(" WHEN ");
            self.expr(&branch.when);
            self.text(" THEN ");
            self.expr(&branch.then);
        }
        if let Some(otherwise) = otherwise {
            self.text(" ELSE ");
            self.expr(otherwise);
        }
        self.text(" END)");
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        self.text("(");
        for (i, argument) in arguments.iter().enumerate() {
            self.text(if i > 0 { ", " } else { "" });
            match argument {
                Argument::Expr(e) => self.expr(e),
                Argument::Unit(word) => self.text(unit_name(word.unit)),
                Argument::Lambda(lambda) => {
                    let names: Vec<&str> = lambda.parameters.iter().map(|p| p.name.as_str()).collect();
                    let _ = write!(self.out, "({}) => ", names.join(", "));
                    self.expr(&lambda.body);
                }
            }
        }
        self.text(")");
    }

    fn type_name(&mut self, type_name: &TypeName) {
        match &type_name.kind {
            TypeKind::Scalar(sql_type) => {
                let _ = write!(self.out, "{sql_type}");
            }
            TypeKind::Array(element) => {
                self.text("ARRAY<");
                self.type_name(element);
                self.text(">");
            }
            TypeKind::Map(key, value) => {
                self.text("MAP<");
                self.type_name(key);
                self.text(", ");
                self.type_name(value);
                self.text(">");
            }
            TypeKind::Struct(fields) => {
                self.text("STRUCT<");
                for (i, (name, field_type)) in fields.iter().enumerate() {
                    self.text(if i > 0 { ", " } else { "" });
                    let _ = write!(self.out, "{} ", quote_identifier(&name.name));
                    self.type_name(field_type);
                }
                self.text(">");
            }
            TypeKind::Custom(name) => self.text(&name.name),
        }
    }
}
