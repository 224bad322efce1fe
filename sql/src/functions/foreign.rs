//! Functions of other SQL dialects, with what computes the same here.

use crate::functions::registry::FunctionRegistry;
use crate::suggest::{did_you_mean, nearest};

/// `(names, alternative)`.
const FOREIGN: [(&[&str], &str); 40] = [
    (&["GROK"], "Use REGEXP_EXTRACT('pattern', text, group) once for each field."),
    (
        &["DATE_TRUNC", "DATETRUNC", "TIME_BUCKET", "TUMBLE", "HOP"],
        "Group by time with WINDOW TUMBLING (SIZE 1 HOUR); FORMAT_TIMESTAMP(ts, 'yyyy-MM-dd HH:00') cuts a \
         timestamp to a text.",
    ),
    (
        &["NOW", "GETDATE", "SYSDATE", "CURRENT_TIMESTAMP", "CURRENT_TIME", "LOCALTIMESTAMP"],
        "UNIX_TIMESTAMP() is the time in milliseconds, FROM_UNIXTIME(UNIX_TIMESTAMP()) as a TIMESTAMP; \
         ROWTIME is that of the record.",
    ),
    (&["CURRENT_DATE", "TODAY", "CURDATE"], "FROM_DAYS(UNIX_DATE()) is the date of today."),
    (&["SPLIT_PART"], "Use SPLIT(text, '/')[2]."),
    (
        &["REGEXP_MATCHES", "REGEXP_MATCH", "REGEXP_LIKE", "RLIKE", "REGEXP", "MATCH", "REGEXP_CONTAINS"],
        "Use REGEXP_EXTRACT('pattern', text) IS NOT NULL; the pattern comes first.",
    ),
    (&["REGEXP_SUBSTR"], "Use REGEXP_EXTRACT('pattern', text, group); the pattern comes first."),
    (&["REGEXP_SPLIT", "REGEXP_SPLIT_TO_TABLE"], "Use REGEXP_SPLIT_TO_ARRAY(text, 'pattern')."),
    (
        &["PERCENTILE", "PERCENTILE_CONT", "PERCENTILE_DISC", "APPROX_PERCENTILE", "QUANTILE", "MEDIAN"],
        "There are no percentiles: SUM(CASE WHEN value <= 100 THEN 1 ELSE 0 END) counts below a limit, \
         TOPK(value, 10) gives the largest.",
    ),
    (&["VARIANCE", "VAR_SAMP", "VAR_POP", "STDDEV", "STDEV", "STDDEV_POP"], "Use STDDEV_SAMP(value)."),
    (
        &["STRING_AGG", "GROUP_CONCAT", "LISTAGG"],
        "Use COLLECT_LIST(value), and ARRAY_JOIN of the list in a query that reads the table.",
    ),
    (&["ARRAY_AGG", "LIST"], "Use COLLECT_LIST(value)."),
    (&["SET_AGG"], "Use COLLECT_SET(value)."),
    (&["COUNT_IF", "COUNTIF", "SUM_IF", "SUMIF"], "Use SUM(CASE WHEN condition THEN 1 ELSE 0 END)."),
    (&["APPROX_COUNT_DISTINCT", "APPROX_DISTINCT"], "Use COUNT_DISTINCT(value)."),
    (
        &["ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE"],
        "Numbers within a group do not exist; TOPK(value, n) gives the largest n, ORDER BY with LIMIT \
         sorts a pull query.",
    ),
    (&["LAG", "LEAD"], "Use LATEST_BY_OFFSET(value, 2): it gives the last two values of each group."),
    (&["FIRST_VALUE", "FIRST", "ANY_VALUE", "ARG_MIN"], "Use EARLIEST_BY_OFFSET(value)."),
    (&["LAST_VALUE", "LAST", "ARG_MAX"], "Use LATEST_BY_OFFSET(value)."),
    (&["UNNEST", "FLATTEN"], "EXPLODE(array) in the SELECT list makes a row of each element."),
    (&["ROLLUP", "CUBE", "GROUPING"], "Write one query per grouping."),
    (&["NVL", "ISNULL", "ZEROIFNULL"], "Use IFNULL(value, other) or COALESCE(value, …)."),
    (&["IF", "IIF", "DECODE", "NVL2"], "Use CASE WHEN condition THEN value ELSE other END."),
    (
        &["LENGTH", "CHAR_LENGTH", "CHARACTER_LENGTH", "STRLEN", "SIZE"],
        "Use LEN(text), or ARRAY_LENGTH(array).",
    ),
    (&["UPPER"], "Use UCASE(text)."),
    (&["LOWER"], "Use LCASE(text)."),
    (
        &["SUBSTR", "MID", "LEFT", "RIGHT"],
        "Use SUBSTRING(text, position, length); a negative position counts from the end.",
    ),
    (&["LTRIM", "RTRIM", "BTRIM"], "Use TRIM(text)."),
    (&["POSITION", "STRPOS", "CHARINDEX", "LOCATE", "INDEXOF"], "Use INSTR(text, part)."),
    (
        &["STARTS_WITH", "ENDS_WITH", "CONTAINS"],
        "Use text LIKE 'start%', LIKE '%end' or INSTR(text, part) > 0.",
    ),
    (
        &["JSON_EXTRACT", "JSON_VALUE", "JSON_QUERY", "GET_JSON_OBJECT", "JSON_EXTRACT_SCALAR", "JSON_GET"],
        "Use EXTRACTJSONFIELD(text, '$.field').",
    ),
    (&["TO_CHAR", "DATE_FORMAT", "STRFTIME"], "Use FORMAT_TIMESTAMP(ts, 'yyyy-MM-dd HH:mm:ss')."),
    (
        &["TO_TIMESTAMP", "STR_TO_DATE", "STRPTIME", "TIMESTAMP", "TO_DATE"],
        "Use PARSE_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss') or PARSE_DATE(text, 'yyyy-MM-dd').",
    ),
    (
        &["DATE_ADD", "ADDDATE", "DATE_SUB", "SUBDATE"],
        "Use TIMESTAMPADD(DAYS, 1, ts) or DATEADD(DAYS, 1, date).",
    ),
    (
        &["DATEDIFF", "DATE_DIFF", "TIMESTAMPDIFF", "AGE"],
        "Subtract milliseconds: UNIX_TIMESTAMP(a) - UNIX_TIMESTAMP(b).",
    ),
    (
        &[
            "EXTRACT",
            "DATE_PART",
            "YEAR",
            "MONTH",
            "DAY",
            "HOUR",
            "MINUTE",
            "SECOND",
            "DAYOFWEEK",
            "WEEK",
            "QUARTER",
        ],
        "Use FORMAT_TIMESTAMP(ts, 'yyyy'), with MM, dd, HH, mm, ss or e for other parts.",
    ),
    (
        &["TRY_CAST", "SAFE_CAST", "TO_NUMBER", "CONVERT"],
        "Use CAST(value AS type): a value that cannot be cast is NULL.",
    ),
    (&["MOD"], "Use the operator %."),
    (&["GENERATE_UUID", "NEWID", "GEN_RANDOM_UUID"], "Use UUID()."),
    (&["POW", "LOG10", "LOG2"], "Use POWER(base, exponent), or LOG(base, value)."),
];

/// A hint for a call of a function that the registry does not have: the same of another dialect, or a similar name.
pub fn unknown_function_hint(registry: &FunctionRegistry, name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let foreign =
        |name: &str| FOREIGN.iter().find(|(names, _)| names.contains(&name)).map(|(_, a)| (*a).to_owned());
    foreign(&upper)
        .or_else(|| did_you_mean(name, registry.list().iter().map(|f| f.name)))
        .or_else(|| foreign(nearest(name, FOREIGN.iter().flat_map(|(names, _)| names.iter().copied()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_functions_and_alternatives_are() {
        let registry = FunctionRegistry::standard();
        for (names, alternative) in FOREIGN {
            for name in names {
                assert!(registry.kind(name).is_none(), "{name} is a function");
            }
            let calls = alternative.split('(').rev().skip(1).filter_map(|before| {
                let start =
                    before.rfind(|c: char| !c.is_ascii_uppercase() && c != '_').map_or(0, |at| at + 1);
                (before.len() - start > 1).then(|| &before[start..])
            });
            for call in calls.filter(|call| *call != "CAST") {
                assert!(registry.kind(call).is_some(), "{alternative}: {call} is no function");
            }
        }
        assert_eq!(unknown_function_hint(registry, "lenn").as_deref(), Some("Did you mean LEN?"));
        assert_eq!(
            unknown_function_hint(registry, "split_part").as_deref(),
            Some("Use SPLIT(text, '/')[2].")
        );
        let misspelt = unknown_function_hint(registry, "lenght");
        assert_eq!(misspelt.as_deref(), Some("Use LEN(text), or ARRAY_LENGTH(array)."));
        assert_eq!(unknown_function_hint(registry, "quetzalcoatl"), None);
    }
}
