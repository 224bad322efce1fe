//! Expressions.

use crate::ast::display::{Form, Printer};
use crate::ast::expr::{Argument, Expr, ExprKind, Lambda, UnaryOp};
use crate::expr::ir::{ArithmeticOp, CompareOp, LogicalOp, TimeUnit};
use crate::value::{Literal, SqlValue};

impl Printer {
    pub(super) fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal),
            ExprKind::Column { qualifier, name } => {
                if let Some(qualifier) = qualifier {
                    self.name(&qualifier.name);
                    self.put(".");
                }
                self.name(&name.name);
            }
            ExprKind::Unary { op, operand } => self.unary(*op, operand),
            ExprKind::Not(operand) => {
                self.put("(NOT ");
                self.expr(operand);
                self.put(")");
            }
            ExprKind::Logical { op, left, right } => {
                let op = match op {
                    LogicalOp::And => "AND",
                    LogicalOp::Or => "OR",
                };
                self.binary(left, op, right);
            }
            ExprKind::Compare { op, left, right } => self.binary(left, compare_symbol(*op), right),
            ExprKind::Arithmetic { op, left, right } => self.binary(left, arithmetic_symbol(*op), right),
            ExprKind::Concat { left, right } => self.binary(left, "||", right),
            ExprKind::IsDistinctFrom { negated, left, right } => {
                self.binary(left, if *negated { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" }, right);
            }
            ExprKind::IsNull { .. }
            | ExprKind::Between { .. }
            | ExprKind::In { .. }
            | ExprKind::Like { .. } => self.predicate(&expr.kind),
            ExprKind::Case { .. } => self.case(&expr.kind),
            ExprKind::Cast { operand, target } => {
                self.put("CAST(");
                self.expr(operand);
                self.put(" AS ");
                self.type_name(target);
                self.put(")");
            }
            ExprKind::Call { function, arguments } => {
                self.name(&function.name);
                self.put("(");
                self.separated(arguments, Printer::argument);
                self.put(")");
            }
            ExprKind::Array(items) => {
                self.put("ARRAY[");
                self.separated(items, Printer::expr);
                self.put("]");
            }
            ExprKind::Map(entries) => {
                self.put("MAP(");
                self.separated(entries, |p, (key, value)| {
                    p.expr(key);
                    p.put(":=");
                    p.expr(value);
                });
                self.put(")");
            }
            ExprKind::Struct(fields) => {
                self.put("STRUCT(");
                self.separated(fields, |p, (name, value)| {
                    p.name(&name.name);
                    p.put(":=");
                    p.expr(value);
                });
                self.put(")");
            }
            ExprKind::Subscript { base, index } => {
                self.base(base);
                self.put("[");
                self.expr(index);
                self.put("]");
            }
            ExprKind::Field { base, field } => {
                self.base(base);
                self.put("->");
                self.name(&field.name);
            }
        }
    }

    /// An operand of `[…]` or `->`, which bind tighter than a sign.
    pub(super) fn base(&mut self, base: &Expr) {
        let sign = matches!(base.kind, ExprKind::Unary { .. });
        self.put(if sign { "(" } else { "" });
        self.expr(base);
        self.put(if sign { ")" } else { "" });
    }

    fn binary(&mut self, left: &Expr, op: &str, right: &Expr) {
        self.put("(");
        self.expr(left);
        self.put(" ");
        self.put(op);
        self.put(" ");
        self.expr(right);
        self.put(")");
    }

    /// A sign before digits would become part of the number, and two minus signs would begin a comment.
    fn unary(&mut self, op: UnaryOp, operand: &Expr) {
        let mut base = operand;
        while let ExprKind::Subscript { base: inner, .. } | ExprKind::Field { base: inner, .. } = &base.kind {
            base = inner;
        }
        let joins = matches!(base.kind, ExprKind::Literal(_) | ExprKind::Unary { .. });
        self.put(match op {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        });
        self.put(if joins { "(" } else { "" });
        self.expr(operand);
        self.put(if joins { ")" } else { "" });
    }

    fn predicate(&mut self, kind: &ExprKind) {
        let not = |negated: &bool| if *negated { " NOT" } else { "" };
        self.put("(");
        match kind {
            ExprKind::IsNull { negated, operand } => {
                self.expr(operand);
                self.put(" IS");
                self.put(not(negated));
                self.put(" NULL");
            }
            ExprKind::Between { negated, operand, low, high } => {
                self.expr(operand);
                self.put(not(negated));
                self.put(" BETWEEN ");
                self.expr(low);
                self.put(" AND ");
                self.expr(high);
            }
            ExprKind::In { negated, operand, list } => {
                self.expr(operand);
                self.put(not(negated));
                self.put(" IN (");
                self.separated(list, Printer::expr);
                self.put(")");
            }
            ExprKind::Like { negated, operand, pattern, escape } => {
                self.expr(operand);
                self.put(not(negated));
                self.put(" LIKE ");
                self.expr(pattern);
                if let Some(escape) = escape {
                    self.put(" ESCAPE ");
                    self.string(&escape.to_string());
                }
            }
            _ => {}
        }
        self.put(")");
    }

    fn case(&mut self, kind: &ExprKind) {
        let ExprKind::Case { operand, branches, otherwise } = kind else { return };
        self.put("(CASE");
        if let Some(operand) = operand {
            self.put(" ");
            self.expr(operand);
        }
        for branch in branches {
            self.put(" WHEN ");
            self.expr(&branch.when);
            self.put(" THEN ");
            self.expr(&branch.then);
        }
        if let Some(otherwise) = otherwise {
            self.put(" ELSE ");
            self.expr(otherwise);
        }
        self.put(" END)");
    }

    fn argument(&mut self, argument: &Argument) {
        match argument {
            Argument::Expr(expr) => self.expr(expr),
            Argument::Lambda(lambda) => self.lambda(lambda),
            Argument::Unit(unit) => match &unit.column {
                Some(column) => self.put(&column.name),
                None => self.put(match unit.unit {
                    TimeUnit::Milliseconds => "MILLISECONDS",
                    TimeUnit::Seconds => "SECONDS",
                    TimeUnit::Minutes => "MINUTES",
                    TimeUnit::Hours => "HOURS",
                    TimeUnit::Days => "DAYS",
                }),
            },
        }
    }

    fn lambda(&mut self, lambda: &Lambda) {
        match lambda.parameters.as_slice() {
            [one] => self.name(&one.name),
            many => {
                self.put("(");
                self.separated(many, |p, parameter| p.name(&parameter.name));
                self.put(")");
            }
        }
        self.put(" => ");
        self.expr(&lambda.body);
    }

    pub(super) fn literal(&mut self, literal: &Literal) {
        match &literal.value {
            SqlValue::Null => self.put(if self.form == Form::Sql { "NULL" } else { "null" }),
            SqlValue::Boolean(value) => self.put(&value.to_string()),
            SqlValue::Integer(value) => self.put(&value.to_string()),
            SqlValue::Bigint(value) => self.put(&value.to_string()),
            SqlValue::Double(value) => self.put(&format!("{value:E}")),
            SqlValue::Decimal(value) => {
                self.put(&value.to_string());
                // Without the point it would read as an integer.
                if value.scale == 0 && self.form == Form::Sql {
                    self.put(".");
                }
            }
            SqlValue::String(text) => self.string(text),
            // No literal has these types.
            SqlValue::Bytes(_)
            | SqlValue::Date(_)
            | SqlValue::Time(_)
            | SqlValue::Timestamp(_)
            | SqlValue::Array(_)
            | SqlValue::Map(_)
            | SqlValue::Struct(_) => self.put("?"),
        }
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
