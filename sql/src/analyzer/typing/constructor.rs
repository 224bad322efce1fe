//! `ARRAY[…]`, `MAP(…)`, `STRUCT(…)`.

use crate::analyzer::typing::Typer;
use crate::ast;
use crate::ast::ident::Ident;
use crate::error::{Result, SqlError};
use crate::expr::ir::{Expr, ExprKind};
use crate::types::{SqlType, StructField};

impl Typer<'_> {
    pub(super) fn array(&self, whole: &ast::expr::Expr, items: &[ast::expr::Expr]) -> Result<Expr> {
        if items.is_empty() {
            return Err(SqlError::analysis(
                "Array constructor cannot be empty. Please supply at least one element",
                whole.span(),
            ));
        }
        let Some(element) = self.list_type(&items.iter().collect::<Vec<_>>())? else {
            return Err(SqlError::analysis(
                "Cannot construct an array with all NULL elements. As a workaround, you may cast a NULL value to the \
                 desired type",
                whole.span(),
            ));
        };
        let items = items.iter().map(|item| self.coerced(item, &element)).collect::<Result<Vec<_>>>()?;
        Ok(Expr::new(ExprKind::Array(items), SqlType::array(element)))
    }

    pub(super) fn map(
        &self,
        whole: &ast::expr::Expr,
        entries: &[(ast::expr::Expr, ast::expr::Expr)],
    ) -> Result<Expr> {
        if entries.is_empty() {
            return Err(SqlError::analysis(
                "Map constructor cannot be empty. Please supply at least one key value pair",
                whole.span(),
            ));
        }
        let all_null = |what: &str| {
            SqlError::analysis(
                format!(
                    "Cannot construct a map with all NULL {what}. As a workaround, you may cast a NULL value to the \
                     desired type"
                ),
                whole.span(),
            )
        };
        let keys: Vec<&ast::expr::Expr> = entries.iter().map(|(key, _)| key).collect();
        let values: Vec<&ast::expr::Expr> = entries.iter().map(|(_, value)| value).collect();
        let key_type = self.list_type(&keys)?.ok_or_else(|| all_null("keys"))?;
        let value_type = self.list_type(&values)?.ok_or_else(|| all_null("values"))?;
        let entries = entries
            .iter()
            .map(|(key, value)| Ok((self.coerced(key, &key_type)?, self.coerced(value, &value_type)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Expr::new(ExprKind::Map(entries), SqlType::map(key_type, value_type)))
    }

    pub(super) fn structure(&self, fields: &[(Ident, ast::expr::Expr)]) -> Result<Expr> {
        let mut values = Vec::with_capacity(fields.len());
        let mut types = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let value = self.value(value)?;
            types.push(StructField { name: name.name.clone(), sql_type: value.sql_type.clone() });
            values.push(value);
        }
        Ok(Expr::new(ExprKind::Struct(values), SqlType::Struct(types)))
    }
}
