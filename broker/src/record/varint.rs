//! Zigzag variable-length integers, as used inside records.

use bytes::BufMut;

/// Longest encoding of a 32-bit value, in bytes.
const VARINT_BYTES_MAX: usize = 5;
/// Longest encoding of a 64-bit value, in bytes.
const VARLONG_BYTES_MAX: usize = 10;

/// Bytes `value` takes when written by [`put_varint`].
pub fn varint_len(value: i32) -> usize {
    let zigzag = ((value << 1) ^ (value >> 31)).cast_unsigned();
    (38 - zigzag.leading_zeros() as usize) / 7 + usize::from(zigzag == 0)
}

/// Bytes `value` takes when written by [`put_varlong`].
pub fn varlong_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    (70 - zigzag.leading_zeros() as usize) / 7 + usize::from(zigzag == 0)
}

/// Appends a 32-bit value.
pub fn put_varint(out: &mut impl BufMut, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Appends a 64-bit value.
pub fn put_varlong(out: &mut impl BufMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Takes a 32-bit value off the front of `bytes`; `None` if it is cut short or too long.
pub fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let raw = take_raw(bytes, VARINT_BYTES_MAX)?;
    let raw = u32::try_from(raw).ok()?;
    Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

/// Takes a 64-bit value off the front of `bytes`; `None` if it is cut short or too long.
pub fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_raw(bytes, VARLONG_BYTES_MAX)?;
    Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

fn take_raw(bytes: &mut &[u8], bytes_max: usize) -> Option<u64> {
    let mut raw = 0u64;
    for (index, &byte) in bytes.iter().take(bytes_max).enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift == 63 && part > 1 {
            return None;
        }
        raw |= part << shift;
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(raw);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{put_varint, put_varlong, take_varint, take_varlong, varint_len, varlong_len};

    #[test]
    fn varints_read_back_and_have_the_length_foretold() {
        let mut values = vec![0i64, 1, -1, i64::MAX, i64::MIN];
        for bit in 0..63 {
            values.extend([1 << bit, (1 << bit) - 1, -(1 << bit), -(1 << bit) - 1]);
        }
        for value in values {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_len(value), "{value}");
            let mut rest = out.as_slice();
            assert_eq!(take_varlong(&mut rest), Some(value));
            assert!(rest.is_empty());
            if let Ok(value) = i32::try_from(value) {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(take_varint(&mut out.as_slice()), Some(value));
            }
        }
    }

    #[test]
    fn bad_varints_are_refused() {
        for bad in [&[][..], &[0x80], &[0x80; 4], &[0xff, 0xff, 0xff, 0xff, 0x7f], &[0x80; 6]] {
            assert_eq!(take_varint(&mut &*bad), None, "{bad:?}");
        }
        assert_eq!(take_varlong(&mut &[0xff; 10][..]), None);
        let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_varlong(&mut &overflow[..]), None);
    }
}
