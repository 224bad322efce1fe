use serde_json::json;

use super::*;

fn check(sql_type: SqlType, input: Value, expected: Value) {
    let columns = [Column::new("C", sql_type.clone())];
    let (arrays, errors) = from_json(&columns, &[vec![input]]);
    assert_eq!(errors, []);
    assert_eq!(to_json(&sql_type, &arrays[0], 0), expected);
}

#[test]
fn values_go_through_columns_unchanged() {
    check(SqlType::Boolean, json!(true), json!(true));
    check(SqlType::Integer, json!(-5), json!(-5));
    check(SqlType::Bigint, json!(i64::MAX), json!(i64::MAX));
    check(SqlType::String, json!("é"), json!("é"));
    check(SqlType::Bytes, json!("AQI="), json!("AQI="));
    check(SqlType::Date, json!("2020-05-26"), json!("2020-05-26"));
    check(SqlType::Date, json!(-10), json!("1969-12-22"));
    check(SqlType::Time, json!("23:59"), json!("23:59"));
    check(SqlType::Time, json!("23:59:58.123"), json!("23:59:58"));
    check(SqlType::Timestamp, json!("2020-05-26T23:59:58.123"), json!("2020-05-26T23:59:58.123"));
    check(SqlType::Timestamp, json!(0), json!("1970-01-01T00:00:00.000"));
    check(SqlType::array(SqlType::Integer), json!([1, null]), json!([1, null]));
    check(SqlType::map(SqlType::String, SqlType::Bigint), json!({"a": 1}), json!({"a": 1}));
    check(
        SqlType::structure([("A", SqlType::Integer), ("B", SqlType::String)]),
        json!({"a": 1}),
        json!({"A": 1, "B": null}),
    );
}

#[test]
fn numbers_keep_their_text() {
    let text = |sql_type: SqlType, input: &str| {
        let value: Value = serde_json::from_str(input).expect("json");
        let (arrays, _) = from_json(&[Column::new("C", sql_type.clone())], &[vec![value]]);
        to_json(&sql_type, &arrays[0], 0).to_string()
    };
    assert_eq!(text(SqlType::decimal(10, 3), "1.5"), "1.500");
    assert_eq!(text(SqlType::decimal(20, 9), "0"), "0.000000000");
    assert_eq!(
        text(SqlType::decimal(50, 0), "12345678901234567890123456789012345678901"),
        "12345678901234567890123456789012345678901"
    );
    // serde_json writes exponents its own way; the number is the same.
    assert_eq!(text(SqlType::Double, "10000000"), "1.0e+7");
    assert_eq!(text(SqlType::Double, "1"), "1.0");
}

#[test]
fn a_row_that_does_not_fit_is_reported_with_its_place() {
    let columns = [Column::new("A", SqlType::array(SqlType::Integer)), Column::new("B", SqlType::Integer)];
    let rows = [vec![json!([1, "x"]), json!(1)], vec![json!([2]), json!(2)], vec![json!([])]];
    let (arrays, errors) = from_json(&columns, &rows);
    assert_eq!(
        errors.iter().map(|e| (e.row, e.path.as_str())).collect::<Vec<_>>(),
        [(0, "$.A[1]"), (2, "$")]
    );
    assert_eq!(row_to_json(&columns, &arrays, 1), [json!([2]), json!(2)]);
    assert_eq!(row_to_json(&columns, &arrays, 0), [Value::Null, Value::Null]);
}
