//! Numbers as text: the forms that Java's `Double.toString` and `BigDecimal` give, which ksqlDB's formats show, and
//! exact reading of decimals.

use arrow::datatypes::i256;

/// An exponent beyond this is cut to it: no type holds such numbers, zero and overflow come out the same.
const EXPONENT_MAX: i32 = 1_000_000;

/// Appends a double as Java writes it: `1.0`, `0.001`, `1.0E7`, `1.2E-4`, `NaN`, `-Infinity`.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(match value {
            v if v.is_nan() => b"NaN",
            v if v > 0.0 => b"Infinity",
            _ => b"-Infinity",
        });
        return;
    }
    let magnitude = value.abs();
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    write_scientific(out, value, text);
}

fn write_scientific(out: &mut Vec<u8>, value: f64, shortest: &str) {
    let (mut digits, mut exponent) = significant_digits(shortest.as_bytes());
    if digits.len() == 1 {
        // Java gives two digits where two digits are closer than one: 4.9E-324, not 5E-324.
        let two = format!("{:.1e}", value.abs());
        if two.parse::<f64>() == Ok(value.abs()) {
            (digits, exponent) = significant_digits(two.as_bytes());
        }
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    out.push(digits[0]);
    out.push(b'.');
    out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
    out.push(b'E');
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

/// The digits of a decimal number without leading and trailing zeros, and the exponent of the first one.
fn significant_digits(text: &[u8]) -> (Vec<u8>, i32) {
    let Some(parts) = NumberParts::parse(text) else { return (vec![b'0'], 0) };
    let leading = parts.digits().take_while(|d| *d == b'0').count();
    let mut digits: Vec<u8> = parts.digits().skip(leading).collect();
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    (digits, parts.exponent + parts.whole.len() as i32 - 1 - leading as i32)
}

/// Appends `unscaled` × 10^-`scale` with all its `scale` digits: `-0.50`. `digits` is the text of the unscaled value.
pub fn write_decimal_plain(out: &mut Vec<u8>, digits: &str, scale: usize) {
    let digits = match digits.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => digits,
    };
    let digits = digits.as_bytes();
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// Appends a decimal as `BigDecimal.toString` writes it: plain, but with an exponent if that is below -6 (`0E-9`).
pub fn write_decimal(out: &mut Vec<u8>, digits: &str, scale: i64) {
    let (sign, magnitude) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let adjusted = magnitude.len() as i64 - 1 - scale;
    if (0..=EXPONENT_MAX as i64).contains(&scale) && adjusted >= -6 {
        write_decimal_plain(out, digits, scale as usize);
        return;
    }
    out.extend_from_slice(sign.as_bytes());
    out.extend_from_slice(&magnitude.as_bytes()[..1]);
    if magnitude.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&magnitude.as_bytes()[1..]);
    }
    out.extend_from_slice(if adjusted >= 0 { b"E+" } else { b"E" });
    out.extend_from_slice(itoa::Buffer::new().format(adjusted).as_bytes());
}

/// The parts of a decimal number: `[-+]whole[.fraction][e[-+]exponent]`, with at least one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberParts<'a> {
    pub negative: bool,
    pub whole: &'a [u8],
    pub fraction: &'a [u8],
    /// Within ±1,000,000.
    pub exponent: i32,
}

impl<'a> NumberParts<'a> {
    /// None if the whole text is not a number.
    pub fn parse(text: &'a [u8]) -> Option<NumberParts<'a>> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(rest);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => split_digits(rest),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => parse_exponent(rest)?,
            Some(_) => return None,
        };
        Some(NumberParts { negative, whole, fraction, exponent })
    }

    /// All digits, most significant first.
    pub fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// The power of ten of the last digit.
    fn last_exponent(&self) -> i32 {
        self.exponent.saturating_sub(i32::try_from(self.fraction.len()).unwrap_or(EXPONENT_MAX))
    }

    /// The value without its fraction, wrapped into 64 bits as Java's `longValue` does.
    pub fn wrapping_i64(&self) -> i64 {
        let shift = self.last_exponent();
        let count = self.whole.len() + self.fraction.len();
        let keep = if shift < 0 { count.saturating_sub(shift.unsigned_abs() as usize) } else { count };
        let mut value = self
            .digits()
            .take(keep)
            .fold(0u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
        // 10^64 is a multiple of 2^64.
        for _ in 0..shift.clamp(0, 64) {
            value = value.wrapping_mul(10);
        }
        (if self.negative { value.wrapping_neg() } else { value }) as i64
    }

    /// The digits of `value` × 10^`scale` without leading zeros, if that is whole and has at most `precision` digits.
    fn unscaled_digits(&self, precision: u8, scale: u8) -> Result<(usize, usize, usize), DecimalFault> {
        let count = self.whole.len() + self.fraction.len();
        let leading = self.digits().take_while(|d| *d == b'0').count();
        if leading == count {
            return Ok((count, 0, 0));
        }
        let shift = self.last_exponent() + i32::from(scale);
        let (keep, zeros) = if shift >= 0 {
            (count - leading, shift as usize)
        } else {
            let dropped = shift.unsigned_abs() as usize;
            let zeros = self.whole.iter().chain(self.fraction).rev().take_while(|d| **d == b'0').count();
            if zeros < dropped {
                return Err(DecimalFault::Rounding);
            }
            (count - leading - dropped, 0)
        };
        if keep + zeros > usize::from(precision) {
            Err(DecimalFault::Overflow)
        } else {
            Ok((leading, keep, zeros))
        }
    }

    /// The unscaled value at `scale`. Errors: it does not fit without rounding.
    pub fn to_decimal128(&self, precision: u8, scale: u8) -> Result<i128, DecimalFault> {
        let (leading, keep, zeros) = self.unscaled_digits(precision.min(38), scale)?;
        let value = self
            .digits()
            .skip(leading)
            .take(keep)
            .chain(std::iter::repeat_n(b'0', zeros))
            .fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        Ok(if self.negative { -value } else { value })
    }

    /// As [`NumberParts::to_decimal128`], for more than 38 digits.
    pub fn to_decimal256(&self, precision: u8, scale: u8) -> Result<i256, DecimalFault> {
        let (leading, keep, zeros) = self.unscaled_digits(precision.min(76), scale)?;
        let ten = i256::from_i128(10);
        let value =
            self.digits().skip(leading).take(keep).chain(std::iter::repeat_n(b'0', zeros)).fold(
                i256::ZERO,
                |value, digit| {
                    value.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit - b'0')))
                },
            );
        Ok(if self.negative { value.wrapping_neg() } else { value })
    }

    /// Appends the number as `BigDecimal.toString` would.
    pub fn write_java(&self, out: &mut Vec<u8>) {
        let mut digits = String::with_capacity(self.whole.len() + self.fraction.len() + 1);
        let leading = self.digits().take_while(|d| *d == b'0').count();
        let zero = leading == self.whole.len() + self.fraction.len();
        if self.negative && !zero {
            digits.push('-');
        }
        digits.extend(self.digits().skip(leading).map(char::from));
        if zero {
            digits.push('0');
        }
        write_decimal(out, &digits, -i64::from(self.last_exponent()));
    }
}

/// Why a number is not a DECIMAL(p, s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    #[error("the number has more whole digits than the type")]
    Overflow,
    #[error("the number has more fraction digits than the type")]
    Rounding,
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0i32, |e, d| (e * 10 + i32::from(d - b'0')).min(EXPONENT_MAX));
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads a double as `Double.parseDouble` does: blanks around it are allowed, `NaN` and `Infinity` are numbers.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    match body {
        "NaN" => Some(f64::NAN),
        "Infinity" if text.starts_with('-') => Some(f64::NEG_INFINITY),
        "Infinity" => Some(f64::INFINITY),
        _ if body.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            let number = body.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(body);
            let value: f64 = number.parse().ok()?;
            Some(if text.starts_with('-') { -value } else { value })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn doubles_look_as_in_java() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.5, "100.5"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-12_345_678.9, "-1.23456789E7"),
            (1e23, "1.0E23"),
            (2e-3, "0.002"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), expected);
        }
    }

    #[test]
    fn decimals_look_as_in_java() {
        for (digits, scale, plain, java) in [
            ("0", 0, "0", "0"),
            ("0", 2, "0.00", "0.00"),
            ("0", 9, "0.000000000", "0E-9"),
            ("-5", 2, "-0.05", "-0.05"),
            ("12", 8, "0.00000012", "1.2E-7"),
            ("123456", 3, "123.456", "123.456"),
        ] {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            write_decimal_plain(&mut a, digits, scale);
            write_decimal(&mut b, digits, scale as i64);
            assert_eq!((a, b), (plain.as_bytes().to_vec(), java.as_bytes().to_vec()));
        }
        for (text, java) in [("1e5", "1E+5"), ("1.50", "1.50"), ("-0", "0"), ("0.0000001", "1E-7")] {
            let mut out = Vec::new();
            NumberParts::parse(text.as_bytes()).expect("number").write_java(&mut out);
            assert_eq!(out, java.as_bytes());
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        let read = |text: &str, p, s| NumberParts::parse(text.as_bytes()).map(|n| n.to_decimal128(p, s));
        assert_eq!(read("12.0", 6, 4), Some(Ok(120_000)));
        assert_eq!(read(".12", 33, 16), Some(Ok(1_200_000_000_000_000)));
        assert_eq!(read("-1.500", 2, 1), Some(Ok(-15)));
        assert_eq!(read("1.55", 2, 1), Some(Err(DecimalFault::Rounding)));
        assert_eq!(read("10", 2, 1), Some(Err(DecimalFault::Overflow)));
        assert_eq!(read("1E+3", 4, 0), Some(Ok(1000)));
        assert_eq!(read("1e1000000000000", 38, 0), Some(Err(DecimalFault::Overflow)));
        assert_eq!(read("0e1000000000000", 38, 0), Some(Ok(0)));
        assert_eq!(read("99999999999999999999999999999999999999", 38, 0), Some(Ok(10i128.pow(38) - 1)));
        for text in ["", "-", "1.2.3", "1e", "x", "1 "] {
            assert_eq!(read(text, 10, 2), None, "{text}");
        }
        let wide = "1".repeat(60);
        let parts = NumberParts::parse(wide.as_bytes()).expect("number");
        assert_eq!(parts.to_decimal256(60, 0).map(|v| v.to_string()), Ok(wide));
    }

    #[test]
    fn integers_drop_fractions_and_wrap() {
        let read = |text: &str| NumberParts::parse(text.as_bytes()).expect("number").wrapping_i64();
        assert_eq!(read("99999999999") as i32, 1_215_752_191);
        assert_eq!(read("12.99"), 12);
        assert_eq!(read("-0.5"), 0);
        assert_eq!(read("1.25e1"), 12);
        assert_eq!(read("9223372036854775808"), i64::MIN);
        assert_eq!(read("1e300"), 0);
    }

    #[test]
    fn doubles_are_read_as_java_does() {
        assert_eq!(parse_double(" 1.5 "), Some(1.5));
        assert_eq!(parse_double("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double("1e3d"), Some(1000.0));
        for text in ["", "inf", "nan", "x", "1 2", "--1"] {
            assert_eq!(parse_double(text), None, "{text}");
        }
    }
}
