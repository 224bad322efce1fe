//! Aggregate and table functions.

use arrow::array::Array;

use crate::expr::compile::batch_budget::BatchBudget;
use crate::functions::aggregate::{AggregateOptions, GroupsAccumulator};
use crate::functions::error::FunctionError;
use crate::functions::registry::FunctionRegistry;
use crate::functions::signature::ArgumentType;
use crate::types::SqlType;
use crate::value::convert::{from_array, to_array};
use crate::value::text::format_value;
use crate::value::{Literal, SqlValue};

fn integer(value: i32) -> Literal {
    Literal { value: SqlValue::Integer(value), sql_type: Some(SqlType::Integer) }
}

fn boolean(value: bool) -> Literal {
    Literal { value: SqlValue::Boolean(value), sql_type: Some(SqlType::Boolean) }
}

/// One call of every aggregate, at least.
pub(super) fn calls() -> Vec<(&'static str, Vec<SqlType>, Vec<Literal>)> {
    use SqlType::{Bigint, Bytes, Date, Double, Integer, String, Timestamp};
    let decimal = SqlType::decimal(30, 2);
    let array = SqlType::array(Integer);
    vec![
        ("ATTR", vec![String], vec![]),
        ("AVG", vec![Integer], vec![]),
        ("AVG", vec![Bigint], vec![]),
        ("COLLECT_LIST", vec![array.clone()], vec![]),
        ("COLLECT_SET", vec![String], vec![]),
        ("COUNT", vec![Bytes], vec![]),
        ("COUNT_DISTINCT", vec![String], vec![]),
        ("EARLIEST_BY_OFFSET", vec![Integer], vec![integer(2), boolean(false)]),
        ("EARLIEST_BY_OFFSET", vec![String], vec![]),
        ("HISTOGRAM", vec![String], vec![]),
        ("LATEST_BY_OFFSET", vec![array.clone()], vec![]),
        ("LATEST_BY_OFFSET", vec![Date], vec![integer(3)]),
        ("MAX", vec![Bytes], vec![]),
        ("MAX", vec![Double], vec![]),
        ("MIN", vec![decimal.clone()], vec![]),
        ("MIN", vec![Timestamp], vec![]),
        ("SUM", vec![Integer], vec![]),
        ("SUM", vec![Bigint], vec![]),
        ("SUM", vec![decimal], vec![]),
        ("SUM_LIST", vec![array], vec![]),
        ("TOPK", vec![String], vec![integer(3)]),
        ("TOPK", vec![Integer, String, Double], vec![integer(3)]),
        ("TOPKDISTINCT", vec![Date], vec![integer(2)]),
    ]
}

/// One group of an aggregate, fed with values of its single argument.
struct Group {
    groups: Box<dyn GroupsAccumulator>,
    argument: SqlType,
    result: SqlType,
}

impl Group {
    fn new(name: &str, argument: SqlType, constants: &[Literal]) -> Group {
        let registry = FunctionRegistry::standard();
        let types = [argument.clone()];
        let call = registry.describe_aggregate_call(name, &types, constants).expect("valid");
        let mut groups = registry.accumulator(name, &types, constants).expect("valid");
        groups.resize(2);
        Group { groups, argument, result: call.return_type }
    }

    fn update(&mut self, slot: u32, values: &[SqlValue]) -> usize {
        let array = to_array(&self.argument, values.iter());
        self.groups.update(&vec![slot; values.len()], &[array]).len()
    }

    fn undo(&mut self, value: SqlValue) {
        let array = to_array(&self.argument, [value].iter());
        assert_eq!(self.groups.undo(&[0], &[array]), []);
    }

    fn text(&self, slot: u32) -> String {
        let value = from_array(&self.groups.evaluate(&[slot]), 0, &self.result);
        format_value(&value, &self.result).expect("in range")
    }
}

fn ints(values: &[i32]) -> Vec<SqlValue> {
    values.iter().map(|v| SqlValue::Integer(*v)).collect()
}

fn texts(values: &[&str]) -> Vec<SqlValue> {
    values.iter().map(|v| SqlValue::String((*v).to_owned())).collect()
}

#[test]
fn empty_groups() {
    let check = |name, argument, expected: &str| {
        assert_eq!(Group::new(name, argument, &[]).text(0), expected, "{name}");
    };
    check("COUNT", SqlType::Integer, "0");
    check("SUM", SqlType::Integer, "0");
    check("SUM", SqlType::decimal(4, 1), "0.0");
    check("AVG", SqlType::Double, "0.0");
    check("MAX", SqlType::String, "null");
    check("LATEST_BY_OFFSET", SqlType::Integer, "null");
    check("COLLECT_LIST", SqlType::Integer, "[]");
    check("STDDEV_SAMPLE", SqlType::Double, "0.0");
    check("ATTR", SqlType::Integer, "null");
    check("COUNT_DISTINCT", SqlType::Integer, "0");
}

#[test]
fn results() {
    let check = |name, argument, constants: &[Literal], values: &[SqlValue], expected: &str| {
        let mut group = Group::new(name, argument, constants);
        assert_eq!(group.update(0, values), 0);
        assert_eq!(group.text(0), expected, "{name}");
    };
    let null = SqlValue::Null;
    let with_null = [&ints(&[3, 1])[..], std::slice::from_ref(&null)].concat();
    check("COUNT", SqlType::Integer, &[], &with_null, "2");
    check("SUM", SqlType::Integer, &[], &with_null, "4");
    check("SUM", SqlType::Integer, &[], &ints(&[i32::MAX, 1]), "-2147483648");
    check("AVG", SqlType::Integer, &[], &ints(&[1, 2, 2]), "1.6666666666666667");
    check("MIN", SqlType::Integer, &[], &with_null, "1");
    check("MAX", SqlType::String, &[], &texts(&["b", "c", "a"]), "c");
    check("COLLECT_LIST", SqlType::Integer, &[], &with_null, "[3, 1, null]");
    check("COLLECT_SET", SqlType::Integer, &[], &ints(&[3, 1, 3]), "[3, 1]");
    check("HISTOGRAM", SqlType::String, &[], &texts(&["foo", "bar", "foo"]), "{foo=2, bar=1}");
    check("ATTR", SqlType::Integer, &[], &ints(&[7, 7]), "7");
    check("ATTR", SqlType::Integer, &[], &ints(&[7, 8]), "null");
    check("TOPK", SqlType::Integer, &[integer(3)], &ints(&[7, 100, 99, 100]), "[100, 100, 99]");
    check("TOPKDISTINCT", SqlType::Integer, &[integer(2)], &ints(&[7, 100, 99, 100]), "[100, 99]");
    check("LATEST_BY_OFFSET", SqlType::Integer, &[], &with_null, "1");
    check("LATEST_BY_OFFSET", SqlType::Integer, &[boolean(false)], &with_null, "null");
    check("LATEST_BY_OFFSET", SqlType::Integer, &[integer(2)], &ints(&[1, 2, 3]), "[2, 3]");
    check("EARLIEST_BY_OFFSET", SqlType::Integer, &[integer(2)], &ints(&[1, 2, 3]), "[1, 2]");
    let doubles: Vec<SqlValue> = [0.0, 10.0, 7.0].iter().map(|v| SqlValue::Double(*v)).collect();
    check("STDDEV_SAMPLE", SqlType::Double, &[], &doubles, "5.131601439446884");
    check("STDDEV_SAMP", SqlType::Double, &[], &doubles, "26.333333333333332");
    let lists = [SqlValue::Array(ints(&[1, 2])), SqlValue::Array(with_null)];
    check("SUM_LIST", SqlType::array(SqlType::Integer), &[], &lists, "7");
}

#[test]
fn rows_are_taken_back() {
    let mut list = Group::new("COLLECT_LIST", SqlType::Integer, &[]);
    list.update(0, &ints(&[1, 2, 1]));
    list.undo(SqlValue::Integer(1));
    assert_eq!(list.text(0), "[1, 2]");
    let mut histogram = Group::new("HISTOGRAM", SqlType::String, &[]);
    histogram.update(0, &texts(&["a", "b"]));
    histogram.undo(SqlValue::String("a".to_owned()));
    assert_eq!(histogram.text(0), "{b=1}");
    for (name, expected) in [("COUNT", "1"), ("SUM", "5"), ("AVG", "5.0"), ("ATTR", "5")] {
        let mut group = Group::new(name, SqlType::Integer, &[]);
        group.update(0, &ints(&[5, 9]));
        group.undo(SqlValue::Integer(9));
        assert_eq!(group.text(0), expected, "{name}");
    }
}

#[test]
fn sessions_merge_older_into_newer() {
    let check = |name, constants: &[Literal], expected: &str| {
        let mut group = Group::new(name, SqlType::Integer, constants);
        group.update(0, &ints(&[1, 4]));
        group.update(1, &ints(&[2, 4]));
        group.groups.merge(1, 0);
        assert_eq!(group.text(1), expected, "{name}");
    };
    check("COUNT", &[], "4");
    check("SUM", &[], "11");
    check("AVG", &[], "2.75");
    check("MAX", &[], "4");
    check("MIN", &[], "1");
    check("COLLECT_LIST", &[], "[1, 4, 2, 4]");
    check("COLLECT_SET", &[], "[1, 4, 2]");
    check("LATEST_BY_OFFSET", &[integer(3)], "[4, 2, 4]");
    check("EARLIEST_BY_OFFSET", &[], "1");
    check("TOPK", &[integer(3)], "[4, 4, 2]");
    check("COUNT_DISTINCT", &[], "3");
}

#[test]
fn a_decimal_sum_refuses_the_row_that_overflows() {
    let mut group = Group::new("SUM", SqlType::decimal(3, 1), &[]);
    let values: Vec<SqlValue> = ["90.0", "9.9", "5.0", "-1.0"]
        .iter()
        .map(|t| SqlValue::Decimal(t.parse().expect("a decimal")))
        .collect();
    assert_eq!(group.update(0, &values), 1);
    assert_eq!(group.text(0), "98.9");
}

#[test]
fn distinct_counts_are_close() {
    let mut group = Group::new("COUNT_DISTINCT", SqlType::Integer, &[]);
    for count in [100, 5_000, 200_000] {
        group.update(0, &ints(&(0..count).collect::<Vec<_>>()));
        let estimate: f64 = group.text(0).parse().expect("a number");
        assert!((estimate - f64::from(count)).abs() < f64::from(count) * 0.03, "{estimate} of {count}");
    }
}

#[test]
fn limits() {
    let options = AggregateOptions { collect_list_limit: Some(1), collect_set_limit: Some(1) };
    let registry = FunctionRegistry::standard();
    for name in ["COLLECT_LIST", "COLLECT_SET"] {
        let mut groups =
            registry.accumulator_with_options(name, &[SqlType::Integer], &[], options).expect("valid");
        groups.resize(1);
        groups.update(&[0, 0], &[to_array(&SqlType::Integer, ints(&[1, 2]).iter())]);
        let value = from_array(&groups.evaluate(&[0]), 0, &SqlType::array(SqlType::Integer));
        assert_eq!(value, SqlValue::Array(ints(&[1])));
    }
}

#[test]
fn calls_are_resolved() {
    let registry = FunctionRegistry::standard();
    let value = |t| ArgumentType::Value(t);
    let topk = registry
        .resolve_aggregate(
            "topk",
            &[value(SqlType::Bigint), value(SqlType::String), value(SqlType::Integer)],
            &[None, None, Some(integer(3))],
        )
        .expect("valid");
    assert_eq!(topk.argument_types, [SqlType::Bigint, SqlType::String]);
    assert_eq!(topk.return_type.to_string(), "ARRAY<STRUCT<`sort_col` BIGINT, `col0` STRING>>");
    assert!(!topk.supports_undo);
    let earliest = [value(SqlType::Integer), value(SqlType::Integer)];
    assert_eq!(
        registry.resolve_aggregate("EARLIEST_BY_OFFSET", &earliest, &[None, None]),
        Err(FunctionError::NotConstant { name: "EARLIEST_BY_OFFSET".to_owned(), position: 2 })
    );
    assert!(registry.resolve_aggregate("SUM", &[value(SqlType::String)], &[None]).is_err());
    assert!(registry.resolve_aggregate("UCASE", &[value(SqlType::String)], &[None]).is_err());
    let count = registry.resolve_aggregate("COUNT", &[value(SqlType::Boolean)], &[None]).expect("valid");
    assert_eq!((count.return_type, count.supports_undo), (SqlType::Bigint, true));
}

#[test]
fn the_catalogue_is_complete() {
    let registry = FunctionRegistry::standard();
    let count = |kind| registry.list().iter().filter(|f| f.kind == kind).count();
    use crate::functions::registry::FunctionKind;
    assert_eq!(count(FunctionKind::Aggregate), 18);
    assert_eq!(count(FunctionKind::Table), 2);
    assert_eq!(count(FunctionKind::Scalar), 129);
    for function in registry.list() {
        let description = registry.describe(function.name).expect("listed");
        assert!(!description.variations.is_empty() && !description.overview.is_empty(), "{}", function.name);
    }
}

#[test]
fn table_functions_give_lists() {
    let registry = FunctionRegistry::standard();
    let list = SqlType::array(SqlType::Integer);
    let resolved =
        registry.resolve_table("cube_explode", &[ArgumentType::Value(list.clone())]).expect("valid");
    assert_eq!(resolved.return_type, list);
    let kernel = registry.table_function("CUBE_EXPLODE", &resolved.argument_types).expect("valid");
    let rows = [
        SqlValue::Array(vec![SqlValue::Integer(1), SqlValue::Null, SqlValue::Integer(2)]),
        SqlValue::Null,
        SqlValue::Array(ints(&[0; 21])),
    ];
    let budget = BatchBudget::for_rows(rows.len());
    let (lists, errors) =
        kernel(&[to_array(&list, rows.iter())], &resolved.return_type, &budget).expect("fits");
    let cube = SqlType::array(list);
    let text = |row| format_value(&from_array(&lists, row, &cube), &cube).expect("in range");
    assert_eq!(text(0), "[[null, null, null], [null, null, 2], [1, null, null], [1, null, 2]]");
    assert!(lists.is_null(1) && lists.is_null(2));
    assert_eq!(errors.iter().map(|e| e.row).collect::<Vec<_>>(), [2]);
}
