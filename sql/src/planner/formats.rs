//! Formats of sinks and of internal topics.

use std::collections::BTreeMap;

use crate::ast::statement::Properties;
use crate::context::Context;
use crate::error::{ErrorKind, Result, SqlError};
use crate::format::{Format, FormatInfo, RecordSide};
use crate::format_props::capability::carries;
use crate::format_props::{DELIMITER, NULLABLE_REPRESENTATION, SideProperties, format_info};
use crate::schema::Column;

/// The format of an internal topic made after the one of a source: schemas of the registry stay behind, and what the
/// format cannot carry travels as JSON.
pub(crate) fn internal_format(
    side: RecordSide,
    source: &FormatInfo,
    default: Format,
    columns: &[Column],
) -> FormatInfo {
    let format = if source.format == Format::None { default } else { source.format };
    let format = if carries(side, format, columns) { format } else { Format::Json };
    let mut info = match side {
        RecordSide::Key => FormatInfo::key(format),
        RecordSide::Value => FormatInfo::new(format),
    };
    if side == RecordSide::Key && format == Format::Protobuf {
        info.wrap_single = true;
    }
    if format == source.format {
        info.properties = inherited(source);
    }
    info
}

/// The format of one side of a sink: as the statement says, else as the left-most source has it.
///
/// Errors: properties that the format does not have.
pub(crate) fn sink_format(
    side: RecordSide,
    given: &SideProperties,
    source: &FormatInfo,
    default: Format,
) -> Result<FormatInfo> {
    let format = match given.format {
        Some(format) => format,
        None if source.format == Format::None => default,
        None => source.format,
    };
    let mut properties = if format == source.format { inherited(source) } else { BTreeMap::new() };
    properties.extend(given.format_properties.clone());
    format_info(side, format, &properties)
}

/// Refuses formats that cannot be used here. `properties` are those of the WITH clause, where the format may stand.
///
/// Errors: a format that needs a Schema Registry while none is configured, or that this build does not have.
pub(crate) fn check_available(
    context: &Context<'_>,
    properties: &Properties,
    key: Format,
    value: Format,
) -> Result<()> {
    for (side, format) in [(RecordSide::Key, key), (RecordSide::Value, value)] {
        if context.schemas.supports(format) {
            continue;
        }
        let name = format!("{}_FORMAT", side.property_prefix());
        let place = properties.get(&name).or_else(|| properties.get("FORMAT"));
        let span = place.map_or_else(|| properties.span(), |p| p.value_place.span());
        let error = if format.needs_registry() {
            let message = format!("{name} {format} needs a Schema Registry, and none is configured");
            SqlError::analysis(message, span).of_kind(ErrorKind::NoSchemaRegistry)
        } else {
            SqlError::analysis(format!("{name} {format} is not available in this build"), span)
        };
        return Err(error.with_hint(format!("Formats that can be used are {}.", Format::built_in_names())));
    }
    Ok(())
}

/// Properties that a result takes over from its source.
fn inherited(source: &FormatInfo) -> BTreeMap<String, String> {
    source
        .properties
        .iter()
        .filter(|(name, _)| [DELIMITER, NULLABLE_REPRESENTATION].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
