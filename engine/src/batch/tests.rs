use super::*;
use crate::batch::windows::WindowEnds;
use arrow::array::{Array, Int64Array, StringArray};

fn sample() -> RowBatch {
    let key: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
    let value: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    RowBatch {
        null_key: Some(BooleanBuffer::from(vec![false, true, false])),
        absent: Some(BooleanBuffer::from(vec![false, true, false])),
        window: Some(WindowColumns {
            start: vec![0, 10, 20].into(),
            end: vec![10, 20, 30].into(),
            kind: WindowEnds::Fixed,
        }),
        ..RowBatch::new(vec![key], vec![value], vec![5, 6, 7].into())
    }
}

#[test]
fn take_reorders_every_part() {
    let taken = sample().take(&[2, 1, 1]).expect("indices are in range");
    assert_eq!(taken.len(), 3);
    assert_eq!(taken.rowtime.as_ref(), &[7, 6, 6]);
    assert_eq!((taken.is_absent(0), taken.is_absent(1)), (false, true));
    assert_eq!((taken.is_null_key(0), taken.is_null_key(2)), (false, true));
    assert_eq!(taken.window.expect("windowed").start.as_ref(), &[20, 10, 10]);
    assert!(taken.value[0].is_null(2));
}

#[test]
fn slices_concatenate_to_the_whole() {
    let batch = sample();
    let parts: Vec<RowBatch> = (0..3).map(|i| batch.slice(i, 1)).collect();
    let whole = RowBatch::concat(&parts).expect("same shape").expect("not empty");
    assert_eq!(whole.key[0].as_ref(), batch.key[0].as_ref());
    assert_eq!(whole.value[0].as_ref(), batch.value[0].as_ref());
    assert_eq!(whole.absent, batch.absent);
    assert_eq!(whole.window, batch.window);
}
