//! Types as written: custom types are names until [`TypeName::resolve`].

use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::error::{Result, SqlError};
use crate::span::Span;
use crate::suggest::did_you_mean;
use crate::types::{SqlType, StructField};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName {
    pub kind: TypeKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// A built-in type without parts: BOOLEAN, INTEGER, DECIMAL(p, s), …
    Scalar(SqlType),
    Array(Box<TypeName>),
    Map(Box<TypeName>, Box<TypeName>),
    Struct(Vec<(Ident, TypeName)>),
    /// The name of a type made by CREATE TYPE.
    Custom(Ident),
}

impl TypeName {
    pub fn span(&self) -> Span {
        self.place.span()
    }

    /// The type with custom names replaced by what `lookup` knows of them.
    ///
    /// Errors: a name that `lookup` does not know.
    pub fn resolve(&self, lookup: &dyn Fn(&str) -> Option<SqlType>) -> Result<SqlType> {
        Ok(match &self.kind {
            TypeKind::Scalar(sql_type) => sql_type.clone(),
            TypeKind::Array(element) => SqlType::array(element.resolve(lookup)?),
            TypeKind::Map(key, value) => SqlType::map(key.resolve(lookup)?, value.resolve(lookup)?),
            TypeKind::Struct(fields) => {
                let mut resolved = Vec::with_capacity(fields.len());
                for (name, field_type) in fields {
                    resolved
                        .push(StructField { name: name.name.clone(), sql_type: field_type.resolve(lookup)? });
                }
                SqlType::Struct(resolved)
            }
            TypeKind::Custom(name) => lookup(&name.name).ok_or_else(|| {
                let message = format!("Cannot resolve unknown type: {}", name.name);
                let error = SqlError::analysis(message, name.span());
                match type_hint(&name.name) {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
            })?,
        })
    }
}

/// The built-in types.
const TYPES: [&str; 15] = [
    "BOOLEAN",
    "INT",
    "INTEGER",
    "BIGINT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "VARCHAR",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "ARRAY",
    "MAP",
    "STRUCT",
];

/// Types of other dialects, with those that hold their values.
const FOREIGN_TYPES: [(&[&str], &str); 9] = [
    (&["TEXT", "CHAR", "CHARACTER", "NVARCHAR", "CLOB", "UUID", "JSON", "JSONB", "ENUM"], "STRING"),
    (&["BOOL", "BIT"], "BOOLEAN"),
    (&["SMALLINT", "TINYINT", "SHORT", "BYTE", "INT4", "INT32", "SERIAL"], "INT"),
    (&["LONG", "INT8", "INT64", "BIGSERIAL"], "BIGINT"),
    (&["FLOAT", "REAL", "FLOAT4", "FLOAT8", "FLOAT64"], "DOUBLE"),
    (&["NUMERIC", "NUMBER", "MONEY"], "DECIMAL(p, s)"),
    (&["BLOB", "BINARY", "VARBINARY", "BYTEA"], "BYTES"),
    (&["DATETIME", "TIMESTAMPTZ", "TIMESTAMP_LTZ"], "TIMESTAMP"),
    (&["OBJECT", "ROW", "RECORD"], "STRUCT<name type, …>"),
];

/// The type that was probably meant.
fn type_hint(name: &str) -> Option<String> {
    let foreign = FOREIGN_TYPES.iter().find(|(names, _)| names.contains(&name));
    match foreign {
        Some((_, known)) => Some(format!("Use {known}.")),
        None => did_you_mean(name, TYPES.into_iter()),
    }
}
