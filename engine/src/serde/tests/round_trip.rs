use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

use crate::batch::column_builder::{ColumnBuilder, Values};
use crate::serde::encoded::EncodedRows;
use crate::serde::{Decoded, key_decoder, value_decoder, value_encoder};

/// A value of any type, for tests alone.
#[derive(Clone, Debug)]
enum Any {
    Null,
    Boolean(bool),
    Integer(i32),
    Bigint(i64),
    Double(f64),
    Decimal(i128),
    String(String),
    Bytes(Vec<u8>),
    Array(Vec<Any>),
    Map(Vec<(String, Any)>),
    Struct(Vec<Any>),
}

fn leaf_type() -> impl Strategy<Value = SqlType> {
    prop_oneof![
        Just(SqlType::Boolean),
        Just(SqlType::Integer),
        Just(SqlType::Bigint),
        Just(SqlType::Double),
        (1u8..=45).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| SqlType::decimal(p, s)),
        Just(SqlType::String),
        Just(SqlType::Bytes),
        Just(SqlType::Date),
        Just(SqlType::Time),
        Just(SqlType::Timestamp),
    ]
}

fn any_type() -> impl Strategy<Value = SqlType> {
    leaf_type().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(SqlType::array),
            inner.clone().prop_map(|v| SqlType::map(SqlType::String, v)),
            vec(inner, 1..4).prop_map(|types| {
                SqlType::structure(types.into_iter().enumerate().map(|(i, t)| (format!("F{i}"), t)))
            }),
        ]
    })
}

/// Text with everything that formats must escape.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 ,;#\"\\\\\n\t\u{1}é😀-]{0,20}"
}

fn value_of(sql_type: &SqlType) -> BoxedStrategy<Any> {
    let present: BoxedStrategy<Any> = match sql_type {
        SqlType::Boolean => any::<bool>().prop_map(Any::Boolean).boxed(),
        SqlType::Integer | SqlType::Date => any::<i32>().prop_map(Any::Integer).boxed(),
        SqlType::Time => (0..=86_400_000).prop_map(Any::Integer).boxed(),
        SqlType::Bigint | SqlType::Timestamp => any::<i64>().prop_map(Any::Bigint).boxed(),
        SqlType::Double => {
            prop_oneof![any::<f64>(), (-1000i32..1000).prop_map(f64::from), Just(f64::INFINITY)]
                .prop_filter("NaN is not equal to itself", |v| !v.is_nan())
                .prop_map(Any::Double)
                .boxed()
        }
        SqlType::Decimal { precision, .. } => {
            let bound = 10i128.pow(u32::from(*precision).min(38)) - 1;
            (-bound..=bound).prop_map(Any::Decimal).boxed()
        }
        SqlType::String => text().prop_map(Any::String).boxed(),
        SqlType::Bytes => vec(any::<u8>(), 0..9).prop_map(Any::Bytes).boxed(),
        SqlType::Array(element) => vec(value_of(element), 0..4).prop_map(Any::Array).boxed(),
        SqlType::Map(_, value) => hash_map(text(), value_of(value), 0..4)
            .prop_map(|entries| Any::Map(entries.into_iter().collect()))
            .boxed(),
        SqlType::Struct(fields) => {
            fields.iter().map(|f| value_of(&f.sql_type)).collect::<Vec<_>>().prop_map(Any::Struct).boxed()
        }
    };
    prop_oneof![1 => Just(Any::Null), 4 => present].boxed()
}

fn push(builder: &mut ColumnBuilder, value: &Any) {
    match (&mut builder.values, value) {
        (_, Any::Null) => return builder.push_null(),
        (Values::Boolean(v), Any::Boolean(b)) => v.push(*b),
        (Values::Integer(v) | Values::Date(v) | Values::Time(v), Any::Integer(i)) => v.push(*i),
        (Values::Bigint(v) | Values::Timestamp(v), Any::Bigint(i)) => v.push(*i),
        (Values::Double(v), Any::Double(d)) => v.push(*d),
        (Values::Decimal128 { values, .. }, Any::Decimal(d)) => values.push(*d),
        (Values::Decimal256 { values, .. }, Any::Decimal(d)) => values.push(i256::from_i128(*d)),
        (Values::String(v), Any::String(s)) => v.data.extend_from_slice(s.as_bytes()),
        (Values::Bytes(v), Any::Bytes(b)) => v.data.extend_from_slice(b),
        (Values::Array { element, .. }, Any::Array(items)) => items.iter().for_each(|i| push(element, i)),
        (Values::Map { key, value, .. }, Any::Map(entries)) => {
            for (k, v) in entries {
                push(key, &Any::String(k.clone()));
                push(value, v);
            }
        }
        (Values::Struct(fields), Any::Struct(values)) => {
            fields.iter_mut().zip(values).for_each(|(f, v)| push(f, v));
        }
        (values, other) => panic!("{other:?} does not belong into {values:?}"),
    }
    builder.end_valid();
}

/// Columns with rows of values.
#[derive(Clone, Debug)]
struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Any>>,
}

impl Table {
    fn arrays(&self) -> Vec<ArrayRef> {
        let mut builders: Vec<ColumnBuilder> =
            self.columns.iter().map(|c| ColumnBuilder::new(&c.sql_type)).collect();
        for row in &self.rows {
            builders.iter_mut().zip(row).for_each(|(b, v)| push(b, v));
        }
        builders.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

fn table(
    types: impl Strategy<Value = SqlType>,
    columns: std::ops::Range<usize>,
) -> impl Strategy<Value = Table> {
    vec(types, columns).prop_flat_map(|types| {
        let columns: Vec<Column> =
            types.iter().enumerate().map(|(i, t)| Column::new(format!("C{i}"), t.clone())).collect();
        let row = types.iter().map(value_of).collect::<Vec<_>>();
        vec(row, 0..12).prop_map(move |rows| Table { columns: columns.clone(), rows })
    })
}

fn encode(format: &FormatInfo, table: &Table, arrays: &[ArrayRef]) -> EncodedRows {
    let mut out = EncodedRows::new();
    let mut encoder = value_encoder(format, &table.columns).expect("the format has these types");
    assert_eq!(encoder.encode(arrays, table.rows.len(), None, &mut out), []);
    out
}

fn decode(format: &FormatInfo, table: &Table, rows: &EncodedRows) -> Decoded {
    let records: Vec<Option<&[u8]>> = rows.iter().collect();
    let mut decoder = value_decoder(format, &table.columns).expect("the format has these types");
    let decoded = decoder.decode(&records);
    assert_eq!(decoded.errors, []);
    decoded
}

/// Decoding what was encoded gives the same columns; cutting the records differently as well.
fn check_round_trip(format: &FormatInfo, table: &Table, cut: usize) {
    let arrays = table.arrays();
    let rows = encode(format, table, &arrays);
    let decoded = decode(format, table, &rows);
    for (expected, actual) in arrays.iter().zip(&decoded.columns) {
        assert_eq!(expected, actual);
    }
    check_cut(format, table, &rows, &decoded, cut);
}

fn check_cut(format: &FormatInfo, table: &Table, rows: &EncodedRows, whole: &Decoded, cut: usize) {
    let records: Vec<Option<&[u8]>> = rows.iter().collect();
    let mut decoder = key_decoder(format, &table.columns, None).expect("the format has these types");
    let mut again = EncodedRows::new();
    let mut encoder = value_encoder(format, &table.columns).expect("the format has these types");
    let mut start = 0;
    for part in records.chunks(cut) {
        let decoded = decoder.decode(part);
        for (all, some) in whole.columns.iter().zip(&decoded.columns) {
            assert_eq!(&all.slice(start, part.len()), some);
        }
        encoder.encode(&decoded.columns, part.len(), Some(&decoded.present), &mut again);
        start += part.len();
    }
    assert_eq!(*rows, again);
}

/// DELIMITED has no empty strings or bytes: they read as NULL.
fn without_empty(table: Table) -> Table {
    let fill = |value: Any| match value {
        Any::String(s) if s.is_empty() => Any::String("-".to_owned()),
        Any::Bytes(b) if b.is_empty() => Any::Bytes(vec![0]),
        other => other,
    };
    let rows = table.rows.into_iter().map(|row| row.into_iter().map(fill).collect()).collect();
    Table { rows, ..table }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_round_trips(table in table(any_type(), 0..6), cut in 1usize..5) {
        check_round_trip(&FormatInfo::new(Format::Json), &table, cut);
    }

    #[test]
    fn bare_json_round_trips(table in table(any_type(), 1..2), cut in 1usize..5) {
        check_round_trip(&FormatInfo::key(Format::Json), &table, cut);
    }

    #[test]
    fn delimited_round_trips(table in table(leaf_type(), 1..6), cut in 1usize..5) {
        check_round_trip(&FormatInfo::new(Format::Delimited), &without_empty(table), cut);
    }

    #[test]
    fn kafka_round_trips(
        table in table(prop_oneof![
            Just(SqlType::Integer), Just(SqlType::Bigint), Just(SqlType::Double), Just(SqlType::String), Just(SqlType::Bytes)
        ], 1..2),
        cut in 1usize..5,
    ) {
        check_round_trip(&FormatInfo::key(Format::Kafka), &table, cut);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        records in vec(vec(any::<u8>(), 0..40), 0..8),
        types in vec(any_type(), 1..4),
    ) {
        let columns: Vec<Column> =
            types.iter().enumerate().map(|(i, t)| Column::new(format!("C{i}"), t.clone())).collect();
        let records: Vec<Option<&[u8]>> = records.iter().map(|r| Some(r.as_slice())).collect();
        let decoded = value_decoder(&FormatInfo::new(Format::Json), &columns).expect("JSON has all types").decode(&records);
        prop_assert_eq!(decoded.errors.len() + decoded.present.count_set_bits(), records.len());
        for column in &decoded.columns {
            prop_assert_eq!(Arc::clone(column).len(), records.len());
        }
    }

    #[test]
    fn damaged_json_does_not_make_a_decoder_panic(
        table in table(any_type(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let format = FormatInfo::new(Format::Json);
        let rows = encode(&format, &table, &table.arrays());
        let mut damaged: Vec<Vec<u8>> = rows.iter().flatten().map(<[u8]>::to_vec).collect();
        for record in &mut damaged {
            let at = at.index(record.len());
            record[at] = byte;
        }
        let records: Vec<Option<&[u8]>> = damaged.iter().map(|r| Some(r.as_slice())).collect();
        let decoded = value_decoder(&format, &table.columns).expect("JSON has all types").decode(&records);
        prop_assert_eq!(decoded.present.len(), records.len());
    }
}
