//! The text of a typed expression, for plans and messages.

use crate::expr::ir::{Argument, ArithmeticOp, CompareOp, Expr, ExprKind, LogicalOp};
use crate::types::{SqlType, quote_identifier};
use crate::value::SqlValue;
use crate::value::text::format_value;

/// SQL-like text: `(AGE + 1)`, `UCASE(NAME)`.
pub fn describe(expr: &Expr) -> String {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match &expr.kind {
        ExprKind::Column(name) | ExprKind::LambdaParameter(name) => identifier(name),
        ExprKind::Literal(value) => literal(value, &expr.sql_type),
        ExprKind::Logical { op, left, right } => {
            let word = match op {
                LogicalOp::And => "AND",
                LogicalOp::Or => "OR",
            };
            format!("({} {word} {})", describe(left), describe(right))
        }
        ExprKind::Not(e) => format!("(NOT {})", describe(e)),
        ExprKind::Compare { op, left, right } => {
            format!("({} {} {})", describe(left), symbol(*op), describe(right))
        }
        ExprKind::IsDistinctFrom { negated, left, right } => {
            format!("({} IS {}DISTINCT FROM {})", describe(left), not(*negated), describe(right))
        }
        ExprKind::IsNull { negated, operand } => format!("({} IS {}NULL)", describe(operand), not(*negated)),
        ExprKind::Between { negated, operand, low, high } => {
            format!(
                "({} {}BETWEEN {} AND {})",
                describe(operand),
                not(*negated),
                describe(low),
                describe(high)
            )
        }
        ExprKind::In { negated, operand, list: items } => {
            format!("({} {}IN ({}))", describe(operand), not(*negated), list(items))
        }
        ExprKind::Like { negated, operand, pattern, escape } => {
            let escape = escape.map_or(String::new(), |c| format!(" ESCAPE '{c}'"));
            format!("({} {}LIKE {}{escape})", describe(operand), not(*negated), describe(pattern))
        }
        ExprKind::Arithmetic { op, left, right } => {
            let symbol = match op {
                ArithmeticOp::Add => "+",
                ArithmeticOp::Subtract => "-",
                ArithmeticOp::Multiply => "*",
                ArithmeticOp::Divide => "/",
                ArithmeticOp::Modulus => "%",
            };
            format!("({} {symbol} {})", describe(left), describe(right))
        }
        ExprKind::Negate(e) => format!("-{}", describe(e)),
        ExprKind::Case { branches, otherwise } => {
            let mut text = "CASE".to_owned();
            for (condition, result) in branches {
                text.push_str(&format!(" WHEN {} THEN {}", describe(condition), describe(result)));
            }
            if let Some(e) = otherwise {
                text.push_str(&format!(" ELSE {}", describe(e)));
            }
            text + " END"
        }
        ExprKind::Cast(e) => format!("CAST({} AS {})", describe(e), expr.sql_type),
        ExprKind::Call { function, arguments } => {
            let arguments: Vec<String> = arguments.iter().map(argument).collect();
            format!("{function}({})", arguments.join(", "))
        }
        ExprKind::Array(items) => format!("ARRAY[{}]", list(items)),
        ExprKind::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(k, v)| format!("{}:={}", describe(k), describe(v))).collect();
            format!("MAP({})", entries.join(", "))
        }
        ExprKind::Struct(items) => {
            let names: &[_] = match &expr.sql_type {
                SqlType::Struct(fields) => fields,
                _ => &[],
            };
            let fields: Vec<String> = names
                .iter()
                .zip(items)
                .map(|(field, item)| format!("{}:={}", identifier(&field.name), describe(item)))
                .collect();
            format!("STRUCT({})", fields.join(", "))
        }
        ExprKind::Subscript { base, index } => format!("{}[{}]", describe(base), describe(index)),
        ExprKind::Field { base, field } => format!("{}->{}", describe(base), identifier(field)),
    }
}

fn list(items: &[Expr]) -> String {
    items.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn argument(argument: &Argument) -> String {
    match argument {
        Argument::Value(e) => describe(e),
        Argument::Null => "NULL".to_owned(),
        Argument::Lambda(lambda) => {
            let names: Vec<&str> = lambda.parameters.iter().map(|(name, _)| name.as_str()).collect();
            format!("({}) => {}", names.join(", "), describe(&lambda.body))
        }
        Argument::Unit(unit) => format!("{unit:?}").to_uppercase(),
    }
}

fn symbol(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "<>",
        CompareOp::Less => "<",
        CompareOp::LessOrEqual => "<=",
        CompareOp::Greater => ">",
        CompareOp::GreaterOrEqual => ">=",
    }
}

/// Quoted where the parser would not give the same name back.
fn identifier(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { quote_identifier(name) }
}

fn literal(value: &SqlValue, sql_type: &SqlType) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format_value(other, sql_type).unwrap_or_else(|| format!("{other:?}")),
    }
}
