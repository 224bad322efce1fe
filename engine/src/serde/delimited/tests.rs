use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use super::*;

fn columns(types: &[SqlType]) -> Vec<Column> {
    types.iter().enumerate().map(|(i, t)| Column::new(format!("C{i}"), t.clone())).collect()
}

fn format(delimiter: &str) -> FormatInfo {
    let mut format = FormatInfo::new(Format::Delimited);
    format.properties.insert(DELIMITER.to_owned(), delimiter.to_owned());
    format
}

/// Reads a record and writes it again.
fn through(delimiter: &str, types: &[SqlType], record: &str) -> Result<Option<String>, String> {
    let columns = columns(types);
    let mut decoder = DelimitedDecoder::new(&format(delimiter), &columns).expect("columns are flat");
    let mut encoder = DelimitedEncoder::new(&format(delimiter), &columns).expect("columns are flat");
    let decoded = decoder.decode(&[Some(record.as_bytes())]);
    if let Some(error) = decoded.errors.first() {
        return Err(error.to_string());
    }
    let mut rows = EncodedRows::new();
    assert_eq!(encoder.encode(&decoded.columns, 1, Some(&decoded.present), &mut rows), []);
    Ok(rows.get(0).map(|b| String::from_utf8(b.to_vec()).expect("UTF-8")))
}

fn check(types: &[SqlType], record: &str, expected: &str) {
    assert_eq!(through(",", types, record), Ok(Some(expected.to_owned())), "{record}");
}

#[test]
fn every_flat_type_goes_through() {
    check(
        &[SqlType::Integer, SqlType::Bigint, SqlType::Double, SqlType::Boolean, SqlType::String],
        "1,-2,1e7,TRUE,x y",
        "1,-2,1.0E7,true,x y",
    );
    check(
        &[SqlType::decimal(6, 4), SqlType::Bytes, SqlType::Date, SqlType::Time, SqlType::Timestamp],
        "\"12.0\",AQI=,-1,86400000,-5",
        "12.0000,AQI=,-1,86400000,-5",
    );
    check(&[SqlType::Boolean, SqlType::decimal(40, 9)], "yes,0", "false,0.000000000");
}

#[test]
fn fields_are_quoted_where_commons_csv_quotes_them() {
    let two = [SqlType::String, SqlType::String];
    check(&[SqlType::decimal(6, 1)], "-12.5", "\"-12.5\"");
    check(&[SqlType::Integer, SqlType::Integer], "-1,-1", "\"-1\",-1");
    check(&two, "\"a,b\",\"c\"\"d\"", "\"a,b\",\"c\"\"d\"");
    check(&two, "\"a\nb\",#x", "\"a\nb\",\"#x\"");
    check(&two, "é,é", "\"é\",é");
    check(&two, "a ,b ", "\"a \",\"b \"");
    assert_eq!(through(";", &two, "a,b;\";\""), Ok(Some("a,b;\";\"".to_owned())));
}

#[test]
fn empty_fields_are_null_and_empty_strings_are_quoted_first() {
    let three = [SqlType::String, SqlType::Integer, SqlType::String];
    check(&three, ",,", ",,");
    check(&three, "\"\",1,\"\"", ",1,");
    assert_eq!(through(",", &[SqlType::String], "\"\""), Ok(None));
    let strings: ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![""]));
    let mut encoder =
        DelimitedEncoder::new(&format(","), &columns(&[SqlType::String, SqlType::String])).expect("flat");
    let mut rows = EncodedRows::new();
    encoder.encode(&[strings.clone(), strings], 1, None, &mut rows);
    assert_eq!(rows.get(0), Some(&b"\"\","[..]));
}

#[test]
fn named_delimiters_and_the_first_line_only() {
    let two = [SqlType::Integer, SqlType::String];
    assert_eq!(through("TAB", &two, "1\tx"), Ok(Some("1\tx".to_owned())));
    assert_eq!(through("SPACE", &two, "1 x"), Ok(Some("1 x".to_owned())));
    assert_eq!(through("€", &two, "1€x"), Ok(Some("1€x".to_owned())));
    check(&two, "\r\n1,x\n2,y", "1,x");
    for invalid in ["", "<>", "\"", "\n"] {
        assert!(DelimitedDecoder::new(&format(invalid), &columns(&two)).is_err(), "{invalid:?}");
    }
    assert!(DelimitedDecoder::new(&format(","), &columns(&[SqlType::array(SqlType::Integer)])).is_err());
}

#[test]
fn malformed_records_are_reported() {
    let two = [SqlType::Integer, SqlType::String];
    for (record, fragment) in [
        ("", "no fields"),
        ("\n", "no fields"),
        ("1", "has 1 fields, expected 2"),
        ("1,2,3", "has 3 fields"),
        ("x,y", "\"x\" is not a value of type INTEGER, path $.C0"),
        ("1,\"x", "not closed"),
        ("1,\"x\"y", "between a quoted field"),
    ] {
        let error = through(",", &two, record).expect_err(record);
        assert!(error.contains(fragment), "{error} lacks {fragment}");
    }
    check(&two, "1,\"x\" \n", "1,x");
}
