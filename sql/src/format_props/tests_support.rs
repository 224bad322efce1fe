//! Builders of WITH clauses for unit tests.

use crate::ast::place::Place;
use crate::ast::statement::{Properties, Property};
use crate::types::SqlType;
use crate::value::{Literal, SqlValue};

pub(crate) fn text(value: &str) -> Literal {
    Literal { value: SqlValue::String(value.to_owned()), sql_type: Some(SqlType::String) }
}

pub(crate) fn properties(entries: &[(&str, Literal)]) -> Properties {
    Properties {
        entries: entries
            .iter()
            .map(|(name, value)| Property {
                name: (*name).to_owned(),
                value: value.clone(),
                name_place: Place::default(),
                value_place: Place::default(),
            })
            .collect(),
        place: Place::default(),
    }
}
