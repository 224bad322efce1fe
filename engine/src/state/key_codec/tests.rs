use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, StringArray};
use proptest::prelude::{Strategy, any, proptest};

use super::*;

fn keys(columns: &[ArrayRef]) -> EncodedKeys {
    let mut keys = EncodedKeys::default();
    keys.encode(columns, columns[0].len()).expect("keys of key types");
    keys
}

fn check_order<T: PartialOrd>(values: &[T], array: ArrayRef) {
    let keys = keys(&[array]);
    for i in 0..values.len() {
        for j in 0..values.len() {
            assert_eq!(values[i] < values[j], keys.get(i) < keys.get(j), "{i} {j}");
        }
    }
}

proptest! {
    #[test]
    fn integers_sort_as_bytes(values in proptest::collection::vec(any::<i64>(), 1..20)) {
        check_order(&values, Arc::new(Int64Array::from(values.clone())));
    }

    #[test]
    fn doubles_sort_as_bytes(values in proptest::collection::vec(any::<f64>().prop_filter("ordered", |v| !v.is_nan() && *v != 0.0), 1..20)) {
        check_order(&values, Arc::new(Float64Array::from(values.clone())));
    }

    #[test]
    fn text_sorts_as_bytes_and_comes_back(values in proptest::collection::vec("[\\x00a-c]{0,4}", 1..20)) {
        let array: ArrayRef = Arc::new(StringArray::from(values.clone()));
        check_order(&values, array.clone());
        let keys = keys(&[array.clone(), array.clone()]);
        let mut decoder = KeyDecoder::new([&SqlType::String, &SqlType::String]);
        for i in 0..values.len() {
            assert!(decoder.push(keys.get(i)).expect("encoded by us").is_empty());
        }
        let columns = decoder.finish();
        assert_eq!(columns[0].as_ref(), array.as_ref());
        assert_eq!(columns[1].as_ref(), array.as_ref());
    }
}

#[test]
fn nulls_sort_first_and_windows_follow_the_key() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(i64::MIN), Some(-1)]));
    let keys = keys(std::slice::from_ref(&array));
    assert!(keys.get(0) < keys.get(1));
    let mut bytes = keys.get(2).to_vec();
    encode_window_start(-5, &mut bytes);
    let mut decoder = KeyDecoder::new([&SqlType::Bigint]);
    let rest = decoder.push(&bytes).expect("encoded by us");
    assert_eq!(split_window_start(rest), Some((&[][..], -5)));
    assert!(decoder.push(&bytes[..4]).is_err());
    assert_eq!(decoder.finish()[0].len(), 1);
}
