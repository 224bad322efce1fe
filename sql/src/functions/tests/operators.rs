//! Casts, arithmetic, comparisons, NULLs, CASE, and functions over numbers.

use crate::functions::tests::{batch, check, evaluate, refused, typed};
use crate::types::SqlType;
use crate::value::SqlValue;

#[test]
fn casts() {
    check("CAST('  42 ' AS INT)", "42");
    check("CAST('4.2' AS INT)", "ERROR");
    check("CAST('1e3' AS DOUBLE)", "1000.0");
    check("CAST('NaN' AS DOUBLE)", "ERROR");
    check("CAST(2147483648 AS INT)", "-2147483648");
    check("CAST(1E20 AS BIGINT)", "9223372036854775807");
    check("CAST(-1.9E0 AS INT)", "-1");
    check("CAST(1.95 AS DECIMAL(2,1))", "2.0");
    check("CAST(10 AS DECIMAL(2,1))", "ERROR");
    check("CAST(0.99E0 AS DECIMAL(2,1))", "1.0");
    check("CAST('0.99' AS DECIMAL(2,1))", "1.0");
    check("CAST(12.9 AS INT)", "12");
    check("CAST(1E10 AS STRING)", "1.0E10");
    check("CAST(1.50 AS STRING)", "1.50");
    check("CAST(TRUE AS STRING)", "true");
    check("CAST('Ye' AS BOOLEAN)", "true");
    check("CAST('nope' AS BOOLEAN)", "false");
    check("CAST('2020-05' AS TIMESTAMP)", "2020-05-01T00:00:00.000");
    check("CAST('2020-05-26T23:59:58.123+0100' AS TIMESTAMP)", "2020-05-26T22:59:58.123");
    check("CAST(CAST('2020-05-26T23:59:58.123' AS TIMESTAMP) AS TIME)", "23:59:58");
    check("CAST(CAST('2020-05-26' AS DATE) AS TIMESTAMP)", "2020-05-26T00:00:00.000");
    check("CAST(ARRAY[1, 2147483648] AS ARRAY<INT>)", "[1, -2147483648]");
    check("CAST(MAP('a' := '1') AS MAP<STRING, INT>)", "{a=1}");
    check("CAST(STRUCT(A := 1, B := 2) AS STRUCT<B STRING, C INT>)", "Struct{B=2}");
    check("CAST(ARRAY[1, 3] AS STRING)", "[1, 3]");
    check("CAST(MAP('this' := 1) AS STRING)", "{this=1}");
    refused("CAST('a' AS ARRAY<INT>)", "Cast of STRING to ARRAY<INTEGER> is not supported");
}

#[test]
fn arithmetic() {
    check("2147483647 + 1", "-2147483648");
    check("9223372036854775807 + 1", "-9223372036854775808");
    check("7 / 2", "3");
    check("-7 % 3", "-1");
    check("1 / 0", "ERROR");
    check("1E0 / 0", "Infinity");
    check("1.5 + 2.25", "3.75");
    check("1.5 * 2.25", "3.375");
    check("10.1 / 2.0", "5.050000");
    check("1.0 / 3.0", "ERROR");
    check("1.0 / 0.0", "ERROR");
    check("10.1 % -2.0", "0.1");
    check("1.5 + 1", "2.5");
    check("1.5 + 1E0", "2.5");
    check("-(1.5)", "-1.5");
    refused("TRUE + 1", "Unsupported arithmetic types");
}

#[test]
fn comparisons() {
    check("1 < 1.5", "true");
    check("1.10 = 1.1", "true");
    check("0.1 = 1E-1", "true");
    check("1 = 1E0", "true");
    check("'a' < 'b'", "true");
    check("CAST('2020-01-01' AS DATE) = '2020-01-01'", "true");
    check("CAST('2020-01-01' AS DATE) < CAST('2020-01-01T01' AS TIMESTAMP)", "true");
    check("5 BETWEEN 1 AND 5", "true");
    check("5 NOT BETWEEN 1 AND 4", "true");
    check("3 IN (1, 2, 3)", "true");
    check("3 NOT IN (1, 2)", "true");
    check("ARRAY[1, 2] = ARRAY[1, 2]", "true");
    check("MAP('a' := 1, 'b' := 2) = MAP('b' := 2, 'a' := 1)", "true");
    check("TO_BYTES('ff', 'hex') < TO_BYTES('01', 'hex')", "true");
}

#[test]
fn nulls() {
    check("'a' + CAST(NULL AS STRING)", "anull");
    check("CAST(NULL AS STRING) + 'a'", "nulla");
    check("CAST(NULL AS STRING) + CAST(NULL AS STRING)", "null");
    check("'a' || CAST(NULL AS STRING)", "a");
    check("CAST(NULL AS INT) = 1", "false");
    check("NOT (CAST(NULL AS INT) = 1)", "true");
    check("CAST(NULL AS INT) <> CAST(NULL AS INT)", "false");
    check("CAST(NULL AS INT) IS DISTINCT FROM 1", "true");
    check("CAST(NULL AS INT) IS NOT DISTINCT FROM CAST(NULL AS INT)", "true");
    check("CAST(NULL AS BOOLEAN) OR TRUE", "true");
    check("CAST(NULL AS BOOLEAN) AND TRUE", "null");
    check("CAST(NULL AS INT) IN (1, 2)", "false");
    check("CAST(NULL AS INT) NOT IN (1, 2)", "true");
    check("CAST(NULL AS INT) + 1", "null");
    check("COALESCE(CAST(NULL AS INT) + 1, 7)", "7");
    check("COALESCE(NULL, 2, 3)", "2");
    check("IFNULL(CAST(NULL AS STRING), 'x')", "x");
    check("NULLIF('x', 'x')", "null");
    check("NULLIF(ARRAY[1], ARRAY[2])", "[1]");
    check("AS_VALUE(3)", "3");
    check("CAST(NULL AS STRUCT<A INT>)->A", "null");
}

#[test]
fn what_cannot_be_computed_voids_the_whole_expression() {
    // The comparison with NULL would be FALSE; arithmetic on NULL has no value, so neither has what is made of it.
    check("NOT (CAST(NULL AS INT) + 1 > 0)", "null");
    check("CASE WHEN CAST(NULL AS INT) % 5 = 0 THEN 1 ELSE 2 END", "null");
    check("1 / 0 > 5", "ERROR");
    check("(1 / 0) IS NULL", "true");
    check("CAST('x' AS INT) IS NULL", "true");
    check("ARRAY[1, 1 / 0]", "[1, null]");
}

#[test]
fn branches_not_taken_are_not_evaluated() {
    let columns = [("A", SqlType::Integer)];
    let rows: Vec<Vec<SqlValue>> = [0, 2, 0, 5].iter().map(|v| vec![SqlValue::Integer(*v)]).collect();
    let batch = batch(&columns, &rows);
    let check = |text: &str, expected: &str, reported: &[usize]| {
        let (values, reports) = evaluate(&typed(text, &columns).expect("valid"), &batch);
        let values: Vec<String> = values
            .iter()
            .map(|v| match v {
                SqlValue::Integer(v) => v.to_string(),
                SqlValue::Boolean(v) => v.to_string(),
                _ => "-".to_owned(),
            })
            .collect();
        assert_eq!(values.join(" "), expected, "{text}");
        assert_eq!(reports.iter().map(|(row, _)| *row).collect::<Vec<_>>(), reported, "{text}");
    };
    check("CASE WHEN A = 0 THEN -1 ELSE 10 / A END", "-1 5 -1 2", &[]);
    check("A <> 0 AND 10 / A > 3", "false true false false", &[]);
    check("A = 0 OR 10 / A > 3", "true true true false", &[]);
    check("10 / A", "- 5 - 2", &[0, 2]);
    check("CASE WHEN A > 1 THEN 10 / (A - 2) ELSE A END", "0 - 0 3", &[1]);
}

#[test]
fn case() {
    check("CASE WHEN 1 > 2 THEN 'a' WHEN 2 > 1 THEN 'b' ELSE 'c' END", "b");
    check("CASE 3 WHEN 1 THEN 'a' ELSE 'c' END", "c");
    check("CASE WHEN 1 > 2 THEN 'a' END", "null");
    check("CASE WHEN 1 < 2 THEN 1 ELSE 2.5 END", "1.0");
}

#[test]
fn rounding() {
    check("ABS(-3)", "3");
    check("ABS(-3.2)", "3.2");
    check("CEIL(2.30)", "3.00");
    check("CEIL(-1.5)", "-1.0");
    // A carry may need one digit more than the type has.
    check("CEIL(CAST(9.5 AS DECIMAL(2, 1)))", "10.0");
    check("ROUND(CAST(99.5 AS DECIMAL(3, 1)))", "100");
    check("ROUND(CAST(99.96 AS DECIMAL(4, 2)), 1)", "100.00");
    check("FLOOR(CAST(-9.5 AS DECIMAL(2, 1)))", "-10.0");
    check("CAST(99.5 AS DECIMAL(3, 1)) + CAST(999.5 AS DECIMAL(4, 1))", "1099.0");
    check("FLOOR(-1.5)", "-2.0");
    check("FLOOR(1.7E0)", "1.0");
    check("ROUND(-1.5E0)", "-1");
    check("ROUND(1.5E0)", "2");
    check("ROUND(12345.678E0, -2)", "12300.0");
    check("ROUND(-1.5E0, 0)", "-1.0");
    check("ROUND(-1.7E0, -1)", "0.0");
    check("ROUND(12345.678)", "12346");
    check("ROUND(12345.678, 1)", "12345.700");
    check("ROUND(1.234567E0, 10)", "1.234567");
    check("TRUNC(-1.7E0)", "-1");
    check("TRUNC(12.678, 1)", "12.600");
    check("SIGN(-2)", "-1");
    check("SIGN(0E0)", "0");
    check("GREATEST(1, NULL, 3)", "3");
    check("GREATEST(1234567.89, 0.123456)", "1234567.890000");
    check("LEAST('b', 'a')", "a");
    check("GREATEST(CAST('2020-01-01' AS TIMESTAMP), '2022-06-14')", "2022-06-14T00:00:00.000");
}

#[test]
fn functions_of_numbers() {
    check("LN(0)", "-Infinity");
    check("LN(-1)", "NaN");
    check("LOG(13)", "2.5649493574615367");
    check("LOG(2, 8)", "3.0");
    check("LOG(1, 8)", "NaN");
    check("EXP(2)", "7.38905609893065");
    check("SQRT(3.0E0)", "1.7320508075688772");
    check("POWER(2, 10)", "1024.0");
    check("CBRT(27)", "3.0");
    check("COT(0)", "Infinity");
    check("ACOS(2)", "NaN");
    check("ROUND(ATAN2(-2, -3), 13)", "-2.5535900500422");
    check("PI()", "3.141592653589793");
    check("RANDOM()", "0.5");
    check("ROUND(GEO_DISTANCE(51.5E0, -0.1E0, 48.85E0, 2.35E0), 1)", "342.4");
    check("GEO_DISTANCE(91E0, 0E0, 0E0, 0E0)", "ERROR");
    check("GEO_DISTANCE(1E0, 0E0, 0E0, 0E0, 'parsec')", "ERROR");
}
