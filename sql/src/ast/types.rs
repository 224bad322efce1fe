//! Types as written: custom types are names until [`TypeName::resolve`].

use crate::ast::ident::Ident;
use crate::ast::place::Place;
use crate::error::{Result, SqlError};
use crate::span::Span;
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
                SqlError::analysis(format!("Cannot resolve unknown type: {}", name.name), name.span())
            })?,
        })
    }
}
