use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;
use weir_sql::window::{WindowInfo, WindowKind};

use crate::serde::encoded::EncodedRows;
use crate::serde::{key_decoder, key_encoder};

fn window(kind: WindowKind, size_ms: Option<i64>) -> WindowInfo {
    WindowInfo { kind, size_ms }
}

fn key() -> [Column; 1] {
    [Column::new("K", SqlType::String)]
}

fn encode(window: WindowInfo) -> EncodedRows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("k"), None])),
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Int64Array::from(vec![1001, 1002])),
    ];
    let mut encoder = key_encoder(&FormatInfo::key(Format::Kafka), &key(), Some(window)).expect("one string");
    let mut rows = EncodedRows::new();
    assert_eq!(encoder.encode(&columns, 2, None, &mut rows), []);
    rows
}

#[test]
fn fixed_windows_follow_the_key_with_their_start() {
    let rows = encode(window(WindowKind::Tumbling, Some(1000)));
    assert_eq!(rows.get(0), Some(&b"k\0\0\0\0\0\0\0\x01"[..]));
    assert_eq!(rows.get(1), None);
}

#[test]
fn sessions_follow_the_key_with_end_and_start() {
    let rows = encode(window(WindowKind::Session, None));
    assert_eq!(rows.get(0), Some(&b"k\0\0\0\0\0\0\x03\xe9\0\0\0\0\0\0\0\x01"[..]));
}

#[test]
fn bounds_are_read_back() {
    for window in [window(WindowKind::Hopping, Some(1000)), window(WindowKind::Session, None)] {
        let rows = encode(window);
        let mut decoder =
            key_decoder(&FormatInfo::key(Format::Kafka), &key(), Some(window)).expect("one string");
        let decoded = decoder.decode(&[rows.get(0), None, Some(b"short")]);
        assert_eq!(decoded.columns[0].as_string::<i32>().value(0), "k");
        assert_eq!(decoded.columns[1].as_primitive::<Int64Type>().value(0), 1);
        assert_eq!(decoded.columns[2].as_primitive::<Int64Type>().value(0), 1001);
        assert_eq!(decoded.present.iter().collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(decoded.errors.iter().map(|e| e.row).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn fixed_windows_need_a_size() {
    let format = FormatInfo::key(Format::Kafka);
    assert!(key_decoder(&format, &key(), Some(window(WindowKind::Tumbling, None))).is_err());
}
