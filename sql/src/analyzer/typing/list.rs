//! Expressions that must agree on a type: IN lists, CASE results, elements of ARRAY and MAP.

use arrow::datatypes::i256;

use crate::analyzer::coercion::common_type;
use crate::analyzer::typing::{Typer, cast_to, null_of};
use crate::ast;
use crate::ast::expr::CaseBranch;
use crate::error::{Result, SqlError};
use crate::expr::ir::{CompareOp, Expr, ExprKind};
use crate::types::{SqlType, StructField};
use crate::value::{DecimalValue, SqlValue};

impl Typer<'_> {
    pub(super) fn in_list(
        &self,
        negated: bool,
        operand: &ast::expr::Expr,
        list: &[ast::expr::Expr],
    ) -> Result<Expr> {
        let items: Vec<&ast::expr::Expr> = std::iter::once(operand).chain(list).collect();
        let common = self
            .list_type(&items)
            .map_err(|e| SqlError { message: format!("Invalid Predicate: {}", e.message), ..e })?
            .unwrap_or(SqlType::String);
        let mut typed = items.iter().map(|item| self.coerced(item, &common)).collect::<Result<Vec<_>>>()?;
        let operand = typed.remove(0);
        Ok(Expr::new(ExprKind::In { negated, operand: Box::new(operand), list: typed }, SqlType::Boolean))
    }

    pub(super) fn case(
        &self,
        whole: &ast::expr::Expr,
        operand: Option<&ast::expr::Expr>,
        branches: &[CaseBranch],
        otherwise: Option<&ast::expr::Expr>,
    ) -> Result<Expr> {
        let results: Vec<&ast::expr::Expr> = branches.iter().map(|b| &b.then).chain(otherwise).collect();
        let Some(common) = self.list_type(&results)? else {
            return Err(SqlError::analysis(
                "Invalid Case expression. All case branches have NULL type",
                whole.span(),
            )
            .with_hint("Cast one of them: CAST(null AS VARCHAR)."));
        };
        let mut typed = Vec::with_capacity(branches.len());
        for branch in branches {
            let condition = match operand {
                Some(operand) => self.compare(&branch.when, CompareOp::Equal, operand, &branch.when)?,
                None => self.when(&branch.when)?,
            };
            typed.push((condition, self.coerced(&branch.then, &common)?));
        }
        let otherwise = otherwise.map(|e| self.coerced(e, &common).map(Box::new)).transpose()?;
        Ok(Expr::new(ExprKind::Case { branches: typed, otherwise }, common))
    }

    fn when(&self, condition: &ast::expr::Expr) -> Result<Expr> {
        let typed = self.value(condition)?;
        if typed.sql_type != SqlType::Boolean {
            return Err(SqlError::analysis(
                format!(
                    "Invalid Case expression. WHEN operand must be boolean, but {} is {}",
                    self.show(condition),
                    typed.sql_type
                ),
                condition.span(),
            ));
        }
        Ok(typed)
    }

    /// The type that all items can take: the first one's, widened by each that follows. None if all are NULL.
    ///
    /// Errors: an item that goes with none of those before it.
    pub(super) fn list_type(&self, items: &[&ast::expr::Expr]) -> Result<Option<SqlType>> {
        let mut common: Option<SqlType> = None;
        for item in items {
            let Some(typed) = self.infer(item)? else { continue };
            common = Some(match common {
                None => typed.sql_type,
                Some(so_far) => self.join_type(&so_far, item, &typed.sql_type)?,
            });
        }
        Ok(common)
    }

    /// The type of a list of `so_far` once `item` is in it.
    fn join_type(&self, so_far: &SqlType, item: &ast::expr::Expr, item_type: &SqlType) -> Result<SqlType> {
        if let Some(common) = self.lax_type(so_far, item)? {
            return Ok(common);
        }
        common_type(so_far, item_type).ok_or_else(|| {
            SqlError::analysis(
                format!("operator does not exist: {so_far} = {item_type} ({})", self.show(item)),
                item.span(),
            )
            .with_hint("You might need to add explicit type casts.")
        })
    }

    /// What literals, and constructors of literals, may take besides their own type. None: the strict rules decide.
    fn lax_type(&self, so_far: &SqlType, item: &ast::expr::Expr) -> Result<Option<SqlType>> {
        use ast::expr::ExprKind as Ast;
        match (&item.kind, so_far) {
            (Ast::Literal(literal), _) => lax_literal_type(&literal.value, so_far, item),
            (Ast::Array(items), SqlType::Array(element)) => {
                let element =
                    items.iter().try_fold((**element).clone(), |t, item| self.nested_type(t, item))?;
                Ok(Some(SqlType::array(element)).filter(|t| self.takes(t, item)))
            }
            (Ast::Map(entries), SqlType::Map(key, value)) => {
                let start = ((**key).clone(), (**value).clone());
                let (key, value) = entries.iter().try_fold(start, |(key, value), (k, v)| {
                    Ok((self.nested_type(key, k)?, self.nested_type(value, v)?))
                })?;
                Ok(Some(SqlType::map(key, value)).filter(|t| self.takes(t, item)))
            }
            (Ast::Struct(fields), SqlType::Struct(known)) => {
                let mut known = known.clone();
                for (name, value) in fields {
                    if let Some(field) = known.iter_mut().find(|f| f.name == name.name) {
                        field.sql_type = self.nested_type(field.sql_type.clone(), value)?;
                    } else if let Some(typed) = self.infer(value)? {
                        known.push(StructField { name: name.name.clone(), sql_type: typed.sql_type });
                    }
                }
                Ok(Some(SqlType::Struct(known)).filter(|t| self.takes(t, item)))
            }
            _ => Ok(None),
        }
    }

    /// As [`Typer::join_type`] for a part of a constructor; a part that does not go with the type leaves it as it is,
    /// the mismatch is reported for the whole constructor.
    fn nested_type(&self, so_far: SqlType, part: &ast::expr::Expr) -> Result<SqlType> {
        let Some(typed) = self.infer(part)? else { return Ok(so_far) };
        if let Some(common) = self.lax_type(&so_far, part)? {
            return Ok(common);
        }
        Ok(common_type(&so_far, &typed.sql_type).unwrap_or(so_far))
    }

    /// True if the constructor can be built as `target`.
    fn takes(&self, target: &SqlType, item: &ast::expr::Expr) -> bool {
        self.coerced(item, target).is_ok()
    }

    /// The expression as a value of `target`, which is the type of a list it is in: literals are converted here,
    /// everything else by a cast.
    pub(super) fn coerced(&self, item: &ast::expr::Expr, target: &SqlType) -> Result<Expr> {
        use ast::expr::ExprKind as Ast;
        match (&item.kind, target) {
            (Ast::Literal(literal), _) => {
                if let Some(converted) = convert_literal(&literal.value, target) {
                    return Ok(converted);
                }
            }
            (Ast::Array(items), SqlType::Array(element)) if !items.is_empty() => {
                let items = items.iter().map(|i| self.coerced(i, element)).collect::<Result<Vec<_>>>()?;
                return Ok(Expr::new(ExprKind::Array(items), target.clone()));
            }
            (Ast::Map(entries), SqlType::Map(key, value)) if !entries.is_empty() => {
                let entries = entries
                    .iter()
                    .map(|(k, v)| Ok((self.coerced(k, key)?, self.coerced(v, value)?)))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(Expr::new(ExprKind::Map(entries), target.clone()));
            }
            (Ast::Struct(fields), SqlType::Struct(known)) => {
                let values = known
                    .iter()
                    .map(|field| match fields.iter().find(|(name, _)| name.name == field.name) {
                        Some((_, value)) => self.coerced(value, &field.sql_type),
                        None => Ok(null_of(field.sql_type.clone())),
                    })
                    .collect::<Result<Vec<_>>>()?;
                return Ok(Expr::new(ExprKind::Struct(values), target.clone()));
            }
            _ => {}
        }
        let Some(typed) = self.infer(item)? else { return Ok(null_of(target.clone())) };
        if common_type(&typed.sql_type, target).as_ref() == Some(target) {
            return Ok(cast_to(typed, target));
        }
        Err(SqlError::analysis(
            format!("operator does not exist: {target} = {} ({})", typed.sql_type, self.show(item)),
            item.span(),
        ))
    }
}

fn lax_literal_type(value: &SqlValue, so_far: &SqlType, item: &ast::expr::Expr) -> Result<Option<SqlType>> {
    match (value, so_far) {
        (SqlValue::String(text), numeric) if numeric.is_numeric() => {
            let (_, sql_type) = parse_number(text).ok_or_else(|| invalid_input(numeric, text, item))?;
            Ok(common_type(numeric, &sql_type))
        }
        (SqlValue::String(text), SqlType::Boolean) => match parse_boolean(text) {
            Some(_) => Ok(Some(SqlType::Boolean)),
            None => Err(invalid_input(so_far, text, item)),
        },
        (value, SqlType::String) if !value.is_null() => Ok(Some(SqlType::String)),
        _ => Ok(None),
    }
}

fn invalid_input(sql_type: &SqlType, text: &str, item: &ast::expr::Expr) -> SqlError {
    SqlError::analysis(
        format!("invalid input syntax for type {}: \"{text}\".", sql_type.base_name()),
        item.span(),
    )
}

/// A literal as a literal of another type, if lists convert it so.
fn convert_literal(value: &SqlValue, target: &SqlType) -> Option<Expr> {
    match (value, target) {
        (SqlValue::String(text), SqlType::Boolean) => {
            Some(Expr::literal(SqlValue::Boolean(parse_boolean(text)?), SqlType::Boolean))
        }
        (SqlValue::String(text), numeric) if numeric.is_numeric() => {
            let (value, sql_type) = parse_number(text)?;
            Some(cast_to(Expr::literal(value, sql_type), numeric))
        }
        (SqlValue::String(_), _) => None,
        (value, SqlType::String) => {
            let text = match value {
                SqlValue::Boolean(flag) => flag.to_string(),
                SqlValue::Integer(number) => number.to_string(),
                SqlValue::Bigint(number) => number.to_string(),
                SqlValue::Decimal(number) => number.to_string(),
                // The text of a DOUBLE is the cast's business.
                SqlValue::Double(number) => {
                    return Some(Expr::new(
                        ExprKind::Cast(Box::new(Expr::literal(SqlValue::Double(*number), SqlType::Double))),
                        SqlType::String,
                    ));
                }
                _ => return None,
            };
            Some(Expr::literal(SqlValue::String(text), SqlType::String))
        }
        _ => None,
    }
}

/// Any non-empty prefix of true, yes, false or no.
fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    if "true".starts_with(&text) || "yes".starts_with(&text) {
        Some(true)
    } else if "false".starts_with(&text) || "no".starts_with(&text) {
        Some(false)
    } else {
        None
    }
}

/// INTEGER, BIGINT, or DECIMAL for text with a point, an exponent or too many digits.
fn parse_number(text: &str) -> Option<(SqlValue, SqlType)> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i32>() {
        return Some((SqlValue::Integer(number), SqlType::Integer));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some((SqlValue::Bigint(number), SqlType::Bigint));
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let number: DecimalValue = mantissa.parse().ok()?;
    let scale = i32::from(number.scale) - exponent;
    let (unscaled, scale) = if scale >= 0 {
        (number.unscaled, u8::try_from(scale).ok()?)
    } else {
        let factor = (0..-scale).try_fold(i256::ONE, |f, _| f.checked_mul(i256::from_i128(10)))?;
        (number.unscaled.checked_mul(factor)?, 0)
    };
    let digits = unscaled.to_string().trim_start_matches('-').len();
    let precision = u8::try_from(digits.max(usize::from(scale))).ok().filter(|p| *p <= 76)?;
    Some((SqlValue::Decimal(DecimalValue { unscaled, scale }), SqlType::decimal(precision, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_texts_have_the_narrowest_type() {
        for (text, expected) in [
            ("10", Some(SqlType::Integer)),
            ("2147483648", Some(SqlType::Bigint)),
            ("4.000", Some(SqlType::decimal(4, 3))),
            ("2e1", Some(SqlType::decimal(2, 0))),
            ("1.5e-2", Some(SqlType::decimal(3, 3))),
            ("10 - not a number", None),
            ("", None),
        ] {
            assert_eq!(parse_number(text).map(|(_, t)| t), expected, "{text}");
        }
    }

    #[test]
    fn boolean_words_may_be_cut_short() {
        for (text, expected) in
            [("t", Some(true)), ("YES", Some(true)), ("n", Some(false)), ("", None), ("x", None)]
        {
            assert_eq!(parse_boolean(text), expected, "{text}");
        }
    }
}
