use arrow::array::Array;
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::serde::encoded::EncodedRows;
use crate::serde::json::decode::{JsonDecoder, RecordRole};
use crate::serde::json::encode::JsonEncoder;
use crate::serde::{RowDecoder, RowEncoder};

fn columns(fields: &[(&str, SqlType)]) -> Vec<Column> {
    fields.iter().map(|(name, sql_type)| Column::new(*name, sql_type.clone())).collect()
}

/// Reads records and writes them again; a failing record gives its error.
fn through(columns: &[Column], wrap: bool, records: &[Option<&str>]) -> Vec<Result<Option<String>, String>> {
    let bytes: Vec<Option<&[u8]>> = records.iter().map(|r| r.map(str::as_bytes)).collect();
    let decoded = JsonDecoder::new(columns, wrap).decode(&bytes);
    let mut rows = EncodedRows::new();
    let errors = JsonEncoder::new(columns, wrap).encode(
        &decoded.columns,
        records.len(),
        Some(&decoded.present),
        &mut rows,
    );
    assert_eq!(errors, []);
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).expect("JSON is UTF-8");
    (0..records.len())
        .map(|row| match decoded.errors.iter().find(|e| e.row == row) {
            Some(error) => {
                assert!(!decoded.present.value(row));
                Err(error.to_string())
            }
            None => Ok(rows.get(row).map(text)),
        })
        .collect()
}

/// `input` as the only field of a record comes out as `expected`.
fn check(sql_type: SqlType, input: &str, expected: &str) {
    let record = format!("{{\"A\":{input}}}");
    let actual = through(&columns(&[("A", sql_type.clone())]), true, &[Some(&record)]).remove(0);
    assert_eq!(actual, Ok(Some(format!("{{\"A\":{expected}}}"))), "{sql_type} from {input}");
}

fn check_fails(sql_type: SqlType, input: &str, fragment: &str) {
    let record = format!("{{\"A\":{input}}}");
    let actual = through(&columns(&[("A", sql_type.clone())]), true, &[Some(&record)]).remove(0);
    let error = actual.expect_err(&format!("{sql_type} must not be read from {input}"));
    assert!(error.contains(fragment), "{error} lacks {fragment}");
}

#[test]
fn scalars_are_read_from_every_form_they_accept() {
    check(SqlType::Boolean, "true", "true");
    check(SqlType::Integer, "-12", "-12");
    check(SqlType::Integer, "12.99", "12");
    check(SqlType::Integer, "\"33\"", "33");
    check(SqlType::Integer, "99999999999", "1215752191");
    check(SqlType::Bigint, "9223372036854775807", "9223372036854775807");
    check(SqlType::Bigint, "-9223372036854775808", "-9223372036854775808");
    check(SqlType::Bigint, "1e3", "1000");
    check(SqlType::Double, "1", "1.0");
    check(SqlType::Double, "0.1", "0.1");
    check(SqlType::Double, "1E7", "1.0E7");
    check(SqlType::Double, "\"NaN\"", "\"NaN\"");
    check(SqlType::Double, "\"-Infinity\"", "\"-Infinity\"");
    check(SqlType::Double, "1234567890.12345678901234567890", "1.2345678901234567E9");
    check(SqlType::decimal(4, 2), "10.1", "10.10");
    check(SqlType::decimal(4, 2), "\"-1\"", "-1.00");
    check(SqlType::decimal(20, 9), "0", "0E-9");
    check(
        SqlType::decimal(50, 5),
        "12345678901234567890123456789012345678901.5",
        "12345678901234567890123456789012345678901.50000",
    );
    check(SqlType::Bytes, "\"AQID\"", "\"AQID\"");
    check(SqlType::Date, "-10", "-10");
    check(SqlType::Time, "\"86400000\"", "86400000");
    check(SqlType::Timestamp, "1580223282123", "1580223282123");
    for sql_type in
        [SqlType::Boolean, SqlType::String, SqlType::array(SqlType::Double), SqlType::decimal(4, 2)]
    {
        check(sql_type, "null", "null");
    }
}

#[test]
fn strings_take_any_json_as_text() {
    check(SqlType::String, "\"a\"", "\"a\"");
    check(SqlType::String, "12", "\"12\"");
    check(SqlType::String, "1.50", "\"1.50\"");
    check(SqlType::String, "1e5", "\"1E+5\"");
    check(SqlType::String, "true", "\"true\"");
    check(SqlType::String, "{ \"a\" : [1, \"x\"] }", r#""{\"a\":[1,\"x\"]}""#);
    check(SqlType::String, "[1, \"x\", null,{}]", r#""[1, x, null, {}]""#);
}

#[test]
fn escapes_are_resolved_and_written_again() {
    check(
        SqlType::String,
        r#""a\"b\\c\/d\n\t\u0001é\u00e9\ud83d\ude00""#,
        "\"a\\\"b\\\\c/d\\n\\t\\u0001éé😀\"",
    );
    check(SqlType::String, r#""\ud83d""#, "\"\u{fffd}\"");
    check(
        SqlType::String,
        "\"a string that is longer than one word \\u0041\"",
        "\"a string that is longer than one word A\"",
    );
    check_fails(SqlType::String, r#""\x""#, "invalid escape");
    check_fails(SqlType::String, r#""\u12""#, "invalid unicode escape");
    check_fails(SqlType::String, "\"a\nb\"", "control character");
    check_fails(SqlType::String, "\"a", "closing quote");
}

#[test]
fn values_of_another_type_fail_the_record() {
    check_fails(SqlType::Boolean, "\"true\"", "cannot read BOOLEAN from a string, path $.A");
    check_fails(SqlType::Integer, "true", "cannot read INTEGER from a boolean");
    check_fails(SqlType::Integer, "\"1.5\"", "is not a value of type INTEGER");
    check_fails(SqlType::Integer, "\"99999999999\"", "INTEGER");
    check_fails(SqlType::Bigint, "{}", "an object");
    check_fails(SqlType::Double, "\"x\"", "DOUBLE");
    check_fails(SqlType::decimal(4, 2), "1.234", "DECIMAL(4, 2)");
    check_fails(SqlType::decimal(4, 2), "123", "DECIMAL(4, 2)");
    check_fails(SqlType::Bytes, "\"?\"", "base64");
    check_fails(SqlType::Bytes, "1", "BYTES from a number");
    check_fails(SqlType::Time, "86400001", "out of range for TIME");
    check_fails(SqlType::array(SqlType::Integer), "[1,[2]]", "path $.A[1]");
    check_fails(SqlType::array(SqlType::Integer), "{}", "ARRAY from an object");
    check_fails(SqlType::map(SqlType::String, SqlType::Integer), "{\"k\":{\"x\":1}}", "path $.A.k");
    let nested = SqlType::structure([("B", SqlType::array(SqlType::Bigint))]);
    check_fails(nested, "{\"B\":[1,2,true]}", "path $.A.B[2]");
}

#[test]
fn text_that_is_not_json_fails_the_record() {
    let columns = columns(&[("A", SqlType::Integer)]);
    for text in [
        "",
        " ",
        "{",
        "{\"A\"",
        "{\"A\":",
        "{\"A\":1",
        "{\"A\":1,}",
        "{\"A\":01}",
        "{\"A\":1.}",
        "{\"A\":+1}",
        "{\"A\":.5}",
        "{\"A\":1}x",
        "{\"A\":nul}",
        "{A:1}",
        "{\"A\" 1}",
        "[1]",
        "1",
        "\"A\"",
        "{\"X\":tru}",
        "{\"X\":[1,}",
        "{\"X\":\"}",
        "{\"A\":-}",
    ] {
        assert!(through(&columns, true, &[Some(text)])[0].is_err(), "{text}");
    }
    let decoded = JsonDecoder::new(&columns, true).decode(&[Some(b"{\"A\":\"\xff\"}")]);
    assert!(decoded.errors[0].message.contains("UTF-8"));
}

#[test]
fn fields_match_by_name_then_by_upper_case_name_and_the_last_wins() {
    let columns = columns(&[("A", SqlType::Integer), ("b", SqlType::Integer), ("ÄB", SqlType::Integer)]);
    let read =
        |text: &str| through(&columns, true, &[Some(text)]).remove(0).expect("valid").expect("present");
    assert_eq!(read("{\"a\":1,\"b\":2,\"äb\":3}"), "{\"A\":1,\"b\":2,\"ÄB\":3}");
    assert_eq!(read("{\"B\":1}"), "{\"A\":null,\"b\":null,\"ÄB\":null}");
    assert_eq!(read("{\"A\":1,\"a\":2}"), "{\"A\":2,\"b\":null,\"ÄB\":null}");
    assert_eq!(read("{\"a\":1,\"A\":null}"), "{\"A\":null,\"b\":null,\"ÄB\":null}");
    assert_eq!(
        read("{\"\\u0041\":7, \"x\" : [{\"A\":\"]\"}, {}] , \"b\": 1}"),
        "{\"A\":7,\"b\":1,\"ÄB\":null}"
    );
    assert_eq!(read("{}"), "{\"A\":null,\"b\":null,\"ÄB\":null}");
}

#[test]
fn one_field_fills_two_columns_whose_names_differ_in_case() {
    let columns = columns(&[("a", SqlType::Integer), ("A", SqlType::String)]);
    assert_eq!(
        through(&columns, true, &[Some("{\"a\":1}")])[0],
        Ok(Some("{\"a\":1,\"A\":\"1\"}".to_owned()))
    );
    assert_eq!(
        through(&columns, true, &[Some("{\"A\":1}")])[0],
        Ok(Some("{\"a\":null,\"A\":\"1\"}".to_owned()))
    );
}

#[test]
fn nested_values_go_through() {
    let inner = SqlType::structure([("X", SqlType::array(SqlType::map(SqlType::String, SqlType::Bigint)))]);
    check(inner.clone(), "{\"x\":[{\"k\":1,\"l\":null},null,{}]}", "{\"X\":[{\"k\":1,\"l\":null},null,{}]}");
    check(inner.clone(), "{}", "{\"X\":null}");
    check(inner.clone(), "{\"X\":[]}", "{\"X\":[]}");
    check(SqlType::array(inner), "[{\"X\":[]},null]", "[{\"X\":[]},null]");
    check(SqlType::map(SqlType::String, SqlType::Integer), "{\"k\":1,\"l\":2,\"k\":3}", "{\"l\":2,\"k\":3}");
    check(SqlType::map(SqlType::Integer, SqlType::Boolean), "{\"1\":true}", "{\"1\":true}");
    check(SqlType::Struct(vec![]), "{\"x\":1}", "{}");
}

#[test]
fn repeated_keys_of_a_large_map_keep_the_last_value() {
    let entries: Vec<String> = (0..60).map(|i| format!("\"k{}\":{i}", i % 40)).collect();
    let kept: Vec<String> = (20..60).map(|i| format!("\"k{}\":{i}", i % 40)).collect();
    let input = format!("{{{}}}", entries.join(","));
    check(SqlType::map(SqlType::String, SqlType::Integer), &input, &format!("{{{}}}", kept.join(",")));
}

#[test]
fn a_failing_record_leaves_its_neighbours_alone() {
    let map = SqlType::map(SqlType::String, SqlType::array(SqlType::String));
    let columns =
        columns(&[("A", SqlType::String), ("M", map), ("S", SqlType::structure([("F", SqlType::Integer)]))]);
    let good = "{\"A\":\"x\",\"M\":{\"k\":[\"a\",\"b\"]},\"S\":{\"F\":1}}";
    let bad = "{\"A\":\"long text\",\"M\":{\"k\":[\"a\"],\"l\":[\"b\",\"c\"]},\"S\":{\"F\":true}}";
    let results = through(&columns, true, &[Some(good), Some(bad), None, Some(good), Some("null")]);
    assert_eq!(results[0], Ok(Some(good.to_owned())));
    assert_eq!(results[1], Err("cannot read INTEGER from a boolean, path $.S.F".to_owned()));
    assert_eq!(results[2], Ok(None));
    assert_eq!(results[3], Ok(Some(good.to_owned())));
    assert!(
        results[4].as_ref().is_err_and(|e| e.contains("expected a JSON object, found null")),
        "{results:?}"
    );
}

#[test]
fn the_framing_of_a_schema_registry_is_named() {
    let columns = columns(&[("A", SqlType::String)]);
    let results = through(&columns, true, &[Some("\0\0\0\u{1}\u{2}\u{2}x"), Some("\0")]);
    assert_eq!(
        results[0],
        Err("expected JSON, found the framing of a Schema Registry, schema id 258, path $".to_owned())
    );
    assert!(results[1].as_ref().is_err_and(|e| e.contains("not JSON")), "{results:?}");
}

/// Only Kafka's null is no value; a key is absent either way.
#[test]
fn the_text_null_is_a_value() {
    let string = columns(&[("K", SqlType::String)]);
    let records = [Some(&b"null"[..]), None];
    let bare = JsonDecoder::new(&string, false).decode(&records);
    assert_eq!((bare.present.value(0), bare.present.value(1), bare.errors.len()), (true, false, 0));
    assert_eq!(bare.columns[0].null_count(), 2);
    let wrapped = JsonDecoder::new(&string, true).decode(&records);
    assert_eq!((wrapped.present.count_set_bits(), wrapped.errors.len()), (0, 1));
    let key = JsonDecoder::new(&string, false).with_role(RecordRole::Key).decode(&records);
    assert_eq!((key.present.count_set_bits(), key.errors.len()), (0, 0));
}

#[test]
fn a_single_column_is_bare_when_it_is_not_wrapped() {
    let string = columns(&[("K", SqlType::String)]);
    let results = through(&string, false, &[Some("\"Hey\""), Some("12"), Some(" null "), None]);
    assert_eq!(results, [Ok(Some("\"Hey\"".to_owned())), Ok(Some("\"12\"".to_owned())), Ok(None), Ok(None)]);
    let structure = columns(&[("K", SqlType::structure([("F", SqlType::Double)]))]);
    assert_eq!(through(&structure, false, &[Some("{\"f\":45.67}")]), [Ok(Some("{\"F\":45.67}".to_owned()))]);
}

#[test]
fn skipped_values_may_nest_without_bound() {
    let deep = format!("{{\"X\":{}{},\"A\":1}}", "[".repeat(200_000), "]".repeat(200_000));
    let columns = columns(&[("A", SqlType::Integer)]);
    assert_eq!(through(&columns, true, &[Some(&deep)])[0], Ok(Some("{\"A\":1}".to_owned())));
    check_fails(SqlType::String, &format!("{}{}", "[".repeat(1000), "]".repeat(1000)), "nested deeper");
}
