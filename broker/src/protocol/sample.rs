//! Populated messages for tests: every field a version has is set, and no two numbers are alike.

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::WireContext;

/// Where sample values come from.
#[derive(Debug)]
pub(crate) struct Samples {
    next: u64,
    /// Whether nullable fields are null where the version allows it.
    pub(crate) nulls: bool,
    /// Elements per array.
    pub(crate) elements: usize,
}

impl Samples {
    pub(crate) fn new(nulls: bool, elements: usize) -> Self {
        Self { next: 0, nulls, elements }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A type of which tests can make values.
pub(crate) trait Sample {
    fn sample(samples: &mut Samples, cx: WireContext) -> Self;
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl Sample for $ty {
            fn sample(samples: &mut Samples, _: WireContext) -> Self {
                samples.number() as $ty
            }
        }
    )*};
}

integers!(i8 i16 u16 i32 i64 f64);

impl Sample for bool {
    fn sample(samples: &mut Samples, _: WireContext) -> Self {
        samples.number() % 2 == 1
    }
}

impl Sample for Uuid {
    fn sample(samples: &mut Samples, _: WireContext) -> Self {
        Self::from_u128(u128::from(samples.number()) << 64 | 0xabcd)
    }
}

impl Sample for ErrorCode {
    fn sample(samples: &mut Samples, _: WireContext) -> Self {
        Self::from_code((samples.number() % 128) as i16)
    }
}

impl Sample for String {
    fn sample(samples: &mut Samples, _: WireContext) -> Self {
        format!("s-{}-ä", samples.number())
    }
}

impl Sample for Bytes {
    fn sample(samples: &mut Samples, _: WireContext) -> Self {
        // Now and then long enough to be spliced.
        let number = samples.number();
        Self::from(vec![number as u8; if number.is_multiple_of(2) { 1500 } else { 5 }])
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(samples: &mut Samples, cx: WireContext) -> Self {
        (0..samples.elements).map(|_| T::sample(samples, cx)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(samples: &mut Samples, cx: WireContext) -> Self {
        if samples.nulls && cx.nullable { None } else { Some(T::sample(samples, cx)) }
    }
}
