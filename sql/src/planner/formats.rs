//! Formats of sinks and of internal topics.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::{Format, FormatInfo};
use crate::format_props::capability::carries;
use crate::format_props::{DELIMITER, NULLABLE_REPRESENTATION, SideProperties, format_info};
use crate::schema::Column;
use crate::session::RecordSide;

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

/// Properties that a result takes over from its source.
fn inherited(source: &FormatInfo) -> BTreeMap<String, String> {
    source
        .properties
        .iter()
        .filter(|(name, _)| [DELIMITER, NULLABLE_REPRESENTATION].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
