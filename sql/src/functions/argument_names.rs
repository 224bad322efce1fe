//! Names of arguments, for DESCRIBE FUNCTION.

use crate::functions::signature::Param;
use crate::types::SqlType;

/// Names of functions with those of their arguments, in order. Shorter overloads take the first ones.
const NAMES: [(&[&str], &[&str]); 71] = [
    (&["ARRAY_CONTAINS", "ARRAY_REMOVE"], &["array", "value"]),
    (&["ARRAY_EXCEPT", "ARRAY_INTERSECT", "ARRAY_UNION", "ARRAY_CONCAT"], &["left", "right"]),
    (&["ARRAY_JOIN"], &["array", "delimiter"]),
    (&["ARRAY_SORT"], &["array", "direction"]),
    (&["SLICE"], &["array", "from", "to"]),
    (&["GENERATE_SERIES"], &["start", "end", "step"]),
    (&["TO_BYTES"], &["text", "encoding"]),
    (&["FROM_BYTES"], &["bytes", "encoding"]),
    (&["ENCODE"], &["text", "from", "to"]),
    (&["INT_FROM_BYTES", "BIGINT_FROM_BYTES", "DOUBLE_FROM_BYTES"], &["bytes", "byte_order"]),
    (&["DATEADD", "DATESUB"], &["unit", "interval", "date"]),
    (&["TIMEADD", "TIMESUB"], &["unit", "interval", "time"]),
    (&["TIMESTAMPADD", "TIMESTAMPSUB"], &["unit", "interval", "timestamp"]),
    (&["CONVERT_TZ"], &["timestamp", "from_zone", "to_zone"]),
    (&["FROM_DAYS"], &["days"]),
    (&["FROM_UNIXTIME"], &["milliseconds"]),
    (&["FORMAT_DATE"], &["date", "pattern"]),
    (&["FORMAT_TIME"], &["time", "pattern"]),
    (&["FORMAT_TIMESTAMP"], &["timestamp", "pattern", "zone"]),
    (&["PARSE_DATE", "PARSE_TIME", "STRINGTODATE"], &["text", "pattern"]),
    (&["PARSE_TIMESTAMP", "STRINGTOTIMESTAMP"], &["text", "pattern", "zone"]),
    (&["DATETOSTRING"], &["days", "pattern"]),
    (&["TIMESTAMPTOSTRING"], &["milliseconds", "pattern", "zone"]),
    (&["EXTRACTJSONFIELD"], &["json", "path"]),
    (&["JSON_ARRAY_CONTAINS"], &["json", "value"]),
    (&["JSON_ARRAY_LENGTH", "JSON_ITEMS", "JSON_KEYS", "JSON_RECORDS"], &["json"]),
    (&["JSON_CONCAT"], &["json", "others"]),
    (&["FILTER"], &["collection", "condition"]),
    (&["REDUCE"], &["collection", "start", "step"]),
    (&["TRANSFORM"], &["collection", "lambda", "value_lambda"]),
    (&["ENTRIES"], &["map", "sorted"]),
    (&["MAP_UNION"], &["left", "right"]),
    (&["AS_MAP"], &["keys", "values"]),
    (&["MASK"], &["text", "upper", "lower", "digit", "other"]),
    (
        &["MASK_LEFT", "MASK_RIGHT", "MASK_KEEP_LEFT", "MASK_KEEP_RIGHT"],
        &["text", "count", "upper", "lower", "digit", "other"],
    ),
    (&["ATAN2"], &["y", "x"]),
    (&["POWER"], &["base", "exponent"]),
    (&["ROUND", "TRUNC"], &["value", "places"]),
    (&["GEO_DISTANCE"], &["latitude1", "longitude1", "latitude2", "longitude2", "unit"]),
    (&["COALESCE", "GREATEST", "LEAST"], &["first", "others"]),
    (&["IFNULL"], &["value", "otherwise"]),
    (&["NULLIF"], &["value", "other"]),
    (&["REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL"], &["pattern", "text", "group"]),
    (&["REGEXP_REPLACE"], &["text", "pattern", "replacement"]),
    (&["REGEXP_SPLIT_TO_ARRAY"], &["text", "pattern"]),
    (&["LPAD", "RPAD"], &["text", "length", "padding"]),
    (&["SUBSTRING"], &["text", "position", "length"]),
    (&["REPLACE"], &["text", "part", "replacement"]),
    (&["INSTR"], &["text", "part", "position", "occurrence"]),
    (&["CHR"], &["code"]),
    (&["ELT"], &["position", "texts"]),
    (&["FIELD"], &["text", "others"]),
    (&["CONCAT"], &["first", "others"]),
    (&["CONCAT_WS"], &["separator", "first", "others"]),
    (&["SPLIT"], &["text", "delimiter"]),
    (&["SPLIT_TO_MAP"], &["text", "entry_delimiter", "pair_delimiter"]),
    (&["URL_EXTRACT_PARAMETER"], &["url", "name"]),
    (
        &[
            "URL_EXTRACT_FRAGMENT",
            "URL_EXTRACT_HOST",
            "URL_EXTRACT_PATH",
            "URL_EXTRACT_PORT",
            "URL_EXTRACT_PROTOCOL",
            "URL_EXTRACT_QUERY",
        ],
        &["url"],
    ),
    (&["CORRELATION"], &["x", "y"]),
    (&["ABS"], &["value"]),
    (&["ACOS", "ASIN", "ATAN"], &["value"]),
    (&["COS", "COT", "SIN", "TAN"], &["radians"]),
    (&["DEGREES"], &["radians"]),
    (&["RADIANS"], &["degrees"]),
    (&["CEIL", "FLOOR", "SIGN", "SQRT", "CBRT", "EXP", "LN"], &["value"]),
    (&["COSH", "SINH", "TANH"], &["value"]),
    (&["UNIX_DATE"], &["date"]),
    (&["UNIX_TIMESTAMP"], &["timestamp"]),
    (&["TO_JSON_STRING", "AS_VALUE"], &["value"]),
    (&["TOPKDISTINCT"], &["value", "k"]),
    (&["EARLIEST_BY_OFFSET", "LATEST_BY_OFFSET"], &["value"]),
];

/// The name of argument `index` of an overload with these parameters.
pub(crate) fn argument_name(function: &str, params: &[Param], index: usize) -> &'static str {
    if function == "LOG" {
        // The base comes first, if there is one.
        return if params.len() == 2 && index == 0 { "base" } else { "value" };
    }
    let names = NAMES.iter().find(|(functions, _)| functions.contains(&function)).map(|(_, names)| *names);
    match names.and_then(|names| names.get(index)) {
        Some(name) => name,
        None => by_type(&params[index]),
    }
}

fn by_type(param: &Param) -> &'static str {
    match param {
        Param::Exact(SqlType::String) => "text",
        Param::Exact(SqlType::Bytes) => "bytes",
        Param::Exact(SqlType::Boolean) => "ignore_nulls",
        Param::Exact(_) | Param::Decimal | Param::Generic(_) | Param::Any => "value",
        Param::Unit => "unit",
        Param::Array(_) => "array",
        Param::Map(..) => "map",
        Param::Lambda { .. } => "lambda",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::registry::FunctionRegistry;
    use crate::functions::scalar;

    #[test]
    fn arguments_of_scalar_functions_have_distinct_names() {
        for function in scalar::all() {
            for signature in function.signatures() {
                let names: Vec<&str> = (0..signature.params.len())
                    .map(|i| argument_name(function.name, &signature.params, i))
                    .collect();
                let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
                assert_eq!(distinct.len(), names.len(), "{}{names:?}", function.name);
            }
        }
        let registry = FunctionRegistry::standard();
        for (functions, _) in NAMES {
            for function in functions {
                assert!(registry.kind(function).is_some(), "{function} is no function");
            }
        }
        let extract = registry.describe("regexp_extract").expect("a function");
        let names: Vec<&str> = extract.variations[1].parameters.iter().map(|p| p.name).collect();
        assert_eq!(names, ["pattern", "text", "group"]);
    }
}
