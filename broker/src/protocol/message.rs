//! How message structs are stated: each field once, with its versions, nullability, tag and default.
//!
//! ```text
//! message! {
//!     flexible 9;                                   // first version with compact types and tagged fields
//!     pub struct Example {
//!         name: String,                             // in every version
//!         rack: Option<String> [since(1)],          // nullable wherever present
//!         topics: Option<Vec<Topic>> [nullable(1)], // present always, nullable from version 1
//!         epoch: i32 [since(7).until(12)] = -1,     // default -1 outside these versions
//!         member: String [since(3).required()],     // refuses to be encoded below 3 when set
//!         leader: Leader [since(12).tag(1)],        // tagged field 1
//!     }
//! }
//! ```
//!
//! Tagged fields of one struct are listed in the order of their tags. Messages do not nest in themselves, so depth is
//! fixed by the structs.

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::primitive::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder};

/// "First flexible version" of messages that have none.
pub(crate) const NEVER: i16 = i16::MAX;

/// In which versions and how one field is on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldSpec {
    first: i16,
    last: i16,
    nullable_first: i16,
    pub(crate) tag: Option<u32>,
    required: bool,
}

impl FieldSpec {
    pub(crate) const fn new() -> Self {
        Self { first: 0, last: i16::MAX, nullable_first: 0, tag: None, required: false }
    }

    /// First version that has the field.
    pub(crate) const fn since(mut self, version: i16) -> Self {
        self.first = version;
        self
    }

    /// Last version that has the field.
    pub(crate) const fn until(mut self, version: i16) -> Self {
        self.last = version;
        self
    }

    /// First version in which the field may be null.
    pub(crate) const fn nullable(mut self, version: i16) -> Self {
        self.nullable_first = version;
        self
    }

    /// The field is a tagged one.
    pub(crate) const fn tag(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The field carries meaning that must not be dropped silently in versions without it.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn present_in(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    pub(crate) const fn untagged_in(self, version: i16) -> bool {
        self.tag.is_none() && self.present_in(version)
    }

    pub(crate) const fn tagged_in(self, version: i16) -> bool {
        self.tag.is_some() && self.present_in(version)
    }

    pub(crate) const fn lost_in(self, version: i16) -> bool {
        self.required && !self.present_in(version)
    }

    /// Whether every version has the field in the body of its struct.
    pub(crate) const fn always(self) -> bool {
        self.tag.is_none() && self.first == 0 && self.last == i16::MAX
    }
}

/// What the encoding of a value depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireContext {
    pub(crate) version: i16,
    pub(crate) flexible: bool,
    pub(crate) nullable: bool,
}

impl WireContext {
    pub(crate) fn new(version: i16, flexible_first: i16) -> Self {
        Self { version, flexible: version >= flexible_first, nullable: false }
    }

    pub(crate) fn field(self, spec: FieldSpec) -> Self {
        Self { nullable: self.version >= spec.nullable_first, ..self }
    }

    fn element(self) -> Self {
        Self { nullable: false, ..self }
    }
}

/// A value with a wire format.
pub(crate) trait Wire: Sized {
    /// No encoding of the value is shorter, in bytes.
    const LEN_MIN: usize;

    fn encode(&self, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError>;
    fn decode(input: &mut Decoder, cx: WireContext) -> Result<Self, DecodeError>;

    /// Takes on the number, if the value is an INT32.
    fn assign_i32(&mut self, _number: i32) {}

    /// Sets the field `throttle_time_ms`, if the value is a message that has one.
    fn set_throttle_time_ms(&mut self, _ms: i32) {}
}

/// A value whose wire format has a place for null.
pub(crate) trait NullableWire: Sized {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError>;
    fn decode_nullable(input: &mut Decoder, cx: WireContext) -> Result<Option<Self>, DecodeError>;
}

macro_rules! primitive_wire {
    ($($ty:ty, $get:ident, $put:ident $(, $assign:ident)?;)*) => {$(
        impl Wire for $ty {
            const LEN_MIN: usize = size_of::<$ty>();

            fn encode(&self, out: &mut Encoder, _: WireContext) -> Result<(), EncodeError> {
                out.$put(*self);
                Ok(())
            }

            fn decode(input: &mut Decoder, _: WireContext) -> Result<Self, DecodeError> {
                input.$get()
            }

            $(fn $assign(&mut self, number: i32) {
                *self = number;
            })?
        }
    )*};
}

primitive_wire! {
    i8, get_i8, put_i8;
    i16, get_i16, put_i16;
    u16, get_u16, put_u16;
    i32, get_i32, put_i32, assign_i32;
    i64, get_i64, put_i64;
    f64, get_f64, put_f64;
}

impl Wire for bool {
    const LEN_MIN: usize = 1;

    fn encode(&self, out: &mut Encoder, _: WireContext) -> Result<(), EncodeError> {
        out.put_i8(i8::from(*self));
        Ok(())
    }

    fn decode(input: &mut Decoder, _: WireContext) -> Result<Self, DecodeError> {
        Ok(input.get_i8()? != 0)
    }
}

impl Wire for Uuid {
    const LEN_MIN: usize = 16;

    fn encode(&self, out: &mut Encoder, _: WireContext) -> Result<(), EncodeError> {
        out.put_slice(self.as_bytes());
        Ok(())
    }

    fn decode(input: &mut Decoder, _: WireContext) -> Result<Self, DecodeError> {
        input.get_uuid()
    }
}

impl Wire for ErrorCode {
    const LEN_MIN: usize = 2;

    fn encode(&self, out: &mut Encoder, _: WireContext) -> Result<(), EncodeError> {
        out.put_i16(self.code());
        Ok(())
    }

    fn decode(input: &mut Decoder, _: WireContext) -> Result<Self, DecodeError> {
        input.get_i16().map(Self::from_code)
    }
}

/// Non-null forms of a type that has a null form.
macro_rules! wire_by_nullable {
    ($ty:ty $(, $param:ident)?) => {
        impl $(<$param: Wire>)? Wire for $ty {
            // A length of zero takes one byte in its compact form.
            const LEN_MIN: usize = 1;

            fn encode(&self, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError> {
                Self::encode_nullable(Some(self), out, cx)
            }

            fn decode(input: &mut Decoder, cx: WireContext) -> Result<Self, DecodeError> {
                Self::decode_nullable(input, cx)?.ok_or_else(|| input.error(DecodeErrorKind::Null))
            }
        }
    };
}

wire_by_nullable!(String);
wire_by_nullable!(Bytes);
wire_by_nullable!(Vec<T>, T);

impl NullableWire for String {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError> {
        out.put_string_len(value.map(String::len), cx.flexible)?;
        out.put_slice(value.map_or(&[], |string| string.as_bytes()));
        Ok(())
    }

    fn decode_nullable(input: &mut Decoder, cx: WireContext) -> Result<Option<Self>, DecodeError> {
        input.get_string_len(cx.flexible)?.map(|len| input.get_string(len)).transpose()
    }
}

impl NullableWire for Bytes {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError> {
        out.put_len(value.map(Bytes::len), cx.flexible)?;
        if let Some(bytes) = value {
            out.put_bytes(bytes);
        }
        Ok(())
    }

    fn decode_nullable(input: &mut Decoder, cx: WireContext) -> Result<Option<Self>, DecodeError> {
        input.get_len(cx.flexible)?.map(|len| input.get_bytes(len)).transpose()
    }
}

impl<T: Wire> NullableWire for Vec<T> {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError> {
        out.put_len(value.map(Vec::len), cx.flexible)?;
        value.into_iter().flatten().try_for_each(|element| element.encode(out, cx.element()))
    }

    fn decode_nullable(input: &mut Decoder, cx: WireContext) -> Result<Option<Self>, DecodeError> {
        let Some(count) = input.get_len(cx.flexible)? else { return Ok(None) };
        input.reserve(count, T::LEN_MIN, size_of::<T>())?;
        let mut elements = Self::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(input, cx.element())?);
        }
        Ok(Some(elements))
    }
}

impl<T: NullableWire> Wire for Option<T> {
    const LEN_MIN: usize = 1;

    fn encode(&self, out: &mut Encoder, cx: WireContext) -> Result<(), EncodeError> {
        if self.is_none() && !cx.nullable {
            return Err(EncodeError::Null { version: cx.version });
        }
        T::encode_nullable(self.as_ref(), out, cx)
    }

    fn decode(input: &mut Decoder, cx: WireContext) -> Result<Self, DecodeError> {
        match T::decode_nullable(input, cx)? {
            None if !cx.nullable => Err(input.error(DecodeErrorKind::Null)),
            value => Ok(value),
        }
    }
}

/// Declares message structs and their wire format; see the module's documentation.
macro_rules! message {
    (@spec) => { $crate::protocol::message::FieldSpec::new() };
    (@spec $($spec:tt)+) => { $crate::protocol::message::FieldSpec::new().$($spec)+ };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (flexible $flexible:expr; $(
        $(#[$meta:meta])*
        pub struct $name:ident { $(
            $(#[$field_meta:meta])*
            $field:ident : $ty:ty $([$($spec:tt)*])? $(= $default:expr)?
        ),* $(,)? }
    )*) => {
        /// First version with compact types and tagged fields.
        pub(crate) const FLEXIBLE_FIRST: i16 = $flexible;

        $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $ty, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: message!(@default $($default)?), )* }
            }
        }

        impl $crate::protocol::message::Wire for $name {
            const LEN_MIN: usize = {
                let len = 0 $( + if message!(@spec $($($spec)*)?).always() {
                    <$ty as $crate::protocol::message::Wire>::LEN_MIN
                } else {
                    0
                } )*;
                if len == 0 { 1 } else { len }
            };

            fn encode(
                &self,
                out: &mut $crate::protocol::primitive::Encoder,
                cx: $crate::protocol::message::WireContext,
            ) -> Result<(), $crate::protocol::primitive::EncodeError> {
                $({
                    const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                    if SPEC.untagged_in(cx.version) {
                        $crate::protocol::message::Wire::encode(&self.$field, out, cx.field(SPEC))?;
                    } else if SPEC.lost_in(cx.version) {
                        let default: $ty = message!(@default $($default)?);
                        if self.$field != default {
                            return Err($crate::protocol::primitive::EncodeError::FieldNotInVersion {
                                field: concat!(stringify!($name), ".", stringify!($field)),
                                version: cx.version,
                            });
                        }
                    }
                })*
                if !cx.flexible {
                    return Ok(());
                }
                let tag_count = 0 $( + {
                    const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                    let default: $ty = message!(@default $($default)?);
                    u32::from(SPEC.tagged_in(cx.version) && self.$field != default)
                } )*;
                out.put_unsigned_varint(tag_count);
                if tag_count == 0 {
                    return Ok(());
                }
                $({
                    const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                    let default: $ty = message!(@default $($default)?);
                    if let Some(tag) = SPEC.tag && SPEC.tagged_in(cx.version) && self.$field != default {
                        out.put_tagged(tag, |out| {
                            $crate::protocol::message::Wire::encode(&self.$field, out, cx.field(SPEC))
                        })?;
                    }
                })*
                Ok(())
            }

            fn decode(
                input: &mut $crate::protocol::primitive::Decoder,
                cx: $crate::protocol::message::WireContext,
            ) -> Result<Self, $crate::protocol::primitive::DecodeError> {
                let mut value = Self::default();
                $({
                    const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                    if SPEC.untagged_in(cx.version) {
                        value.$field = $crate::protocol::message::Wire::decode(input, cx.field(SPEC))
                            .map_err(|error| error.within(concat!(stringify!($name), ".", stringify!($field))))?;
                    }
                })*
                if !cx.flexible {
                    return Ok(value);
                }
                for _ in 0..input.get_tag_count()? {
                    let tag = input.get_unsigned_varint()?;
                    let len = input.get_unsigned_varint()? as usize;
                    let outer = input.enter(len)?;
                    match Some(tag) {
                        $(
                            known if {
                                const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                                SPEC.tag == known && SPEC.tagged_in(cx.version)
                            } => {
                                let spec = message!(@spec $($($spec)*)?);
                                value.$field = $crate::protocol::message::Wire::decode(input, cx.field(spec))
                                    .map_err(|error| {
                                        error.within(concat!(stringify!($name), ".", stringify!($field)))
                                    })?;
                            }
                        )*
                        _ => input.skip_rest(),
                    }
                    input.leave(outer)?;
                }
                Ok(value)
            }

            fn set_throttle_time_ms(&mut self, _ms: i32) {
                $(
                    if stringify!($field) == "throttle_time_ms" {
                        $crate::protocol::message::Wire::assign_i32(&mut self.$field, _ms);
                    }
                )*
            }
        }

        impl $crate::protocol::message::NullableWire for $name {
            fn encode_nullable(
                value: Option<&Self>,
                out: &mut $crate::protocol::primitive::Encoder,
                cx: $crate::protocol::message::WireContext,
            ) -> Result<(), $crate::protocol::primitive::EncodeError> {
                let Some(value) = value else {
                    out.put_i8(-1);
                    return Ok(());
                };
                out.put_i8(1);
                $crate::protocol::message::Wire::encode(value, out, cx)
            }

            fn decode_nullable(
                input: &mut $crate::protocol::primitive::Decoder,
                cx: $crate::protocol::message::WireContext,
            ) -> Result<Option<Self>, $crate::protocol::primitive::DecodeError> {
                if input.get_i8()? < 0 {
                    return Ok(None);
                }
                $crate::protocol::message::Wire::decode(input, cx).map(Some)
            }
        }

        #[cfg(test)]
        impl $crate::protocol::sample::Sample for $name {
            fn sample(
                samples: &mut $crate::protocol::sample::Samples,
                cx: $crate::protocol::message::WireContext,
            ) -> Self {
                let mut value = Self::default();
                $({
                    const SPEC: $crate::protocol::message::FieldSpec = message!(@spec $($($spec)*)?);
                    if SPEC.untagged_in(cx.version) || SPEC.tagged_in(cx.version) {
                        value.$field = $crate::protocol::sample::Sample::sample(samples, cx.field(SPEC));
                    }
                })*
                value
            }
        }
    )*};
}

pub(crate) use message;
