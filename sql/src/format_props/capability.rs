//! What each format can carry.

use crate::error::{Result, SqlError};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::schema::Column;
use crate::span::Span;
use crate::types::{SqlType, quote_identifier};

/// True if columns can be taken from a registered schema.
pub fn supports_inference(format: Format) -> bool {
    matches!(format, Format::JsonSr | Format::Avro | Format::Protobuf)
}

/// True if one column can be written as a record with one field.
pub fn supports_wrapping(format: Format) -> bool {
    match format {
        Format::Json | Format::JsonSr | Format::Avro | Format::Protobuf | Format::ProtobufNosr => true,
        Format::None | Format::Kafka | Format::Delimited => false,
    }
}

/// True if one column can be written as the bare value.
pub fn supports_unwrapping(format: Format) -> bool {
    match format {
        Format::Json
        | Format::JsonSr
        | Format::Avro
        | Format::ProtobufNosr
        | Format::Kafka
        | Format::Delimited => true,
        Format::None | Format::Protobuf => false,
    }
}

/// Whether a value of `columns` columns is wrapped. `explicit` is WRAP_SINGLE_VALUE, `default` the session's setting.
///
/// Errors: WRAP_SINGLE_VALUE that the format or the number of columns does not allow.
pub fn resolve_wrapping(
    format: Format,
    explicit: Option<bool>,
    default: Option<bool>,
    columns: usize,
    span: Span,
) -> Result<bool> {
    let can = |wrap: bool| if wrap { supports_wrapping(format) } else { supports_unwrapping(format) };
    let preferred = FormatInfo::new(format).wrap_single;
    if let Some(wrap) = explicit {
        if !can(wrap) {
            return Err(SqlError::analysis(
                format!("Format '{format}' does not support 'WRAP_SINGLE_VALUE' set to '{wrap}'."),
                span,
            ));
        }
        if columns != 1 {
            return Err(SqlError::analysis(
                "'WRAP_SINGLE_VALUE' is only valid for single-field value schemas",
                span,
            ));
        }
        return Ok(wrap);
    }
    match default {
        Some(wrap) if columns == 1 && can(wrap) => Ok(wrap),
        _ => Ok(preferred),
    }
}

/// Checks that the format can carry these columns on that side of a record.
///
/// Errors: the first column or type that does not fit.
pub fn check_columns(side: RecordSide, format: Format, columns: &[Column]) -> Result<()> {
    if side == RecordSide::Key {
        refuse_map_keys(columns)?;
    }
    let Err(reason) = fits(side, format, columns) else { return Ok(()) };
    let which = match side {
        RecordSide::Key => "Key",
        RecordSide::Value => "Value",
    };
    let error = SqlError::analysis(
        format!(
            "{which} format does not support schema.\nformat: {format}\nschema: {}\nreason: {reason}",
            describe(side, columns)
        ),
        Span::default(),
    );
    if matches!(format, Format::Kafka | Format::Delimited) && carries(side, Format::Json, columns) {
        return Err(
            error.with_hint(format!("Give another format: WITH ({}_FORMAT='JSON').", side.property_prefix()))
        );
    }
    Err(error)
}

/// Errors: a key column that is a MAP or has one inside.
pub fn refuse_map_keys(columns: &[Column]) -> Result<()> {
    match columns.iter().find(|c| c.sql_type.contains_map()) {
        None => Ok(()),
        Some(column) => Err(SqlError::analysis(
            format!(
                "Map keys, including types that contain maps, are not supported as they may lead to unexpected \
                 behavior due to inconsistent serialization. Key column name: {}. Column type: {}.",
                quote_identifier(&column.name),
                column.sql_type
            ),
            Span::default(),
        )),
    }
}

/// True if [`check_columns`] would pass.
pub fn carries(side: RecordSide, format: Format, columns: &[Column]) -> bool {
    fits(side, format, columns).is_ok()
}

/// "[`K` STRING KEY]"
fn describe(side: RecordSide, columns: &[Column]) -> String {
    let suffix = if side == RecordSide::Key { " KEY" } else { "" };
    let columns: Vec<String> =
        columns.iter().map(|c| format!("{} {}{suffix}", quote_identifier(&c.name), c.sql_type)).collect();
    format!("[{}]", columns.join(", "))
}

fn fits(side: RecordSide, format: Format, columns: &[Column]) -> std::result::Result<(), String> {
    match format {
        Format::None => {
            if columns.is_empty() {
                return Ok(());
            }
            Err(format!(
                "The 'NONE' format can only be used when no columns are defined. Got: {}",
                describe(side, columns)
            ))
        }
        Format::Kafka => {
            if columns.len() > 1 {
                return Err(format!(
                    "The 'KAFKA' format only supports a single field. Got: {}",
                    describe(side, columns)
                ));
            }
            each(columns, |column| match column.sql_type {
                SqlType::Integer | SqlType::Bigint | SqlType::Double | SqlType::String | SqlType::Bytes => {
                    Ok(())
                }
                _ => Err(unsupported(format, column)),
            })
        }
        Format::Delimited => {
            each(
                columns,
                |column| {
                    if column.sql_type.is_nested() { Err(unsupported(format, column)) } else { Ok(()) }
                },
            )
        }
        Format::Json | Format::JsonSr => each(columns, |column| {
            string_map_keys(&column.sql_type, "JSON only supports MAP types with STRING keys")
        }),
        Format::Avro => each(columns, |column| {
            string_map_keys(&column.sql_type, "Avro only supports MAPs with STRING keys")?;
            avro_name(&column.name)?;
            avro_names(&column.sql_type)
        }),
        Format::Protobuf | Format::ProtobufNosr => each(columns, |column| {
            string_map_keys(&column.sql_type, "PROTOBUF format only supports MAP types with STRING keys")
        }),
    }
}

fn each(
    columns: &[Column],
    check: impl FnMut(&Column) -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    columns.iter().try_for_each(check)
}

fn unsupported(format: Format, column: &Column) -> String {
    format!(
        "The '{format}' format does not support type '{}', column: {}",
        column.sql_type.base_name(),
        quote_identifier(&column.name)
    )
}

fn string_map_keys(sql_type: &SqlType, message: &str) -> std::result::Result<(), String> {
    match sql_type {
        SqlType::Map(key, _) if **key != SqlType::String => Err(message.to_owned()),
        SqlType::Map(_, value) => string_map_keys(value, message),
        SqlType::Array(element) => string_map_keys(element, message),
        SqlType::Struct(fields) => fields.iter().try_for_each(|f| string_map_keys(&f.sql_type, message)),
        _ => Ok(()),
    }
}

fn avro_names(sql_type: &SqlType) -> std::result::Result<(), String> {
    match sql_type {
        SqlType::Array(inner) | SqlType::Map(_, inner) => avro_names(inner),
        SqlType::Struct(fields) => fields.iter().try_for_each(|field| {
            avro_name(&field.name)?;
            avro_names(&field.sql_type)
        }),
        _ => Ok(()),
    }
}

/// Avro names are `[A-Za-z_][A-Za-z0-9_]*`.
fn avro_name(name: &str) -> std::result::Result<(), String> {
    let first = name.chars().next();
    if !first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
        return Err(format!("Schema is not compatible with Avro: Illegal initial character: {name}"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("Schema is not compatible with Avro: Illegal character in: {name}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(sql_type: SqlType) -> Vec<Column> {
        vec![Column::new("C", sql_type)]
    }

    #[test]
    fn formats_carry_what_they_can() {
        let array = SqlType::array(SqlType::Integer);
        let int_map = SqlType::map(SqlType::Integer, SqlType::Double);
        for (format, sql_type, carried) in [
            (Format::Kafka, SqlType::Bytes, true),
            (Format::Kafka, SqlType::Boolean, false),
            (Format::Kafka, SqlType::decimal(4, 2), false),
            (Format::Delimited, SqlType::decimal(4, 2), true),
            (Format::Delimited, array.clone(), false),
            (Format::Json, array, true),
            (Format::Json, int_map.clone(), false),
            (Format::Avro, SqlType::array(int_map), false),
            (Format::Protobuf, SqlType::map(SqlType::String, SqlType::Double), true),
        ] {
            assert_eq!(
                carries(RecordSide::Value, format, &column(sql_type.clone())),
                carried,
                "{format} {sql_type}"
            );
        }
        assert!(
            check_columns(
                RecordSide::Key,
                Format::Json,
                &column(SqlType::map(SqlType::String, SqlType::Integer))
            )
            .is_err()
        );
    }

    #[test]
    fn wrapping_follows_statement_then_session_then_format() {
        let resolve = |format, explicit, default, columns| {
            resolve_wrapping(format, explicit, default, columns, Span::default()).map_err(|e| e.message)
        };
        assert_eq!(resolve(Format::Json, None, None, 1), Ok(true));
        assert_eq!(resolve(Format::Json, None, Some(false), 1), Ok(false));
        assert_eq!(resolve(Format::Json, Some(true), Some(false), 1), Ok(true));
        assert_eq!(resolve(Format::Protobuf, None, Some(false), 1), Ok(true));
        assert_eq!(resolve(Format::Delimited, None, Some(true), 1), Ok(false));
        assert!(resolve(Format::Json, Some(true), None, 2).is_err());
        assert!(resolve(Format::Kafka, Some(true), None, 1).is_err());
        assert!(resolve(Format::Protobuf, Some(false), None, 1).is_err());
    }
}
