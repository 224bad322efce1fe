//! Exact decimal arithmetic, the way the JVM's decimals do it.

use std::cmp::Ordering;

use arrow::datatypes::i256;
use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use crate::value::DecimalValue;

/// A decimal of any size: `unscaled` × 10^-`scale`, where the scale may be negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigDecimal {
    pub unscaled: BigInt,
    pub scale: i64,
}

/// How a digit that does not fit is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Away from zero at one half.
    HalfUp,
    /// Toward positive infinity at one half.
    HalfUpTowardPositive,
    TowardZero,
    Floor,
    Ceiling,
    /// A digit other than zero is an error.
    Unnecessary,
}

/// 10^`exponent`.
pub fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// 10^`exponent`, None if it does not fit.
pub fn power_of_ten_i256(exponent: u32) -> Option<i256> {
    (exponent <= 76).then(|| (0..exponent).fold(i256::ONE, |p, _| p.wrapping_mul(i256::from_i128(10))))
}

/// The value of two's complement bytes; every `i256` has a `BigInt`.
pub fn to_bigint(value: i256) -> BigInt {
    BigInt::from_signed_bytes_le(&value.to_le_bytes())
}

/// None if the number needs more than 256 bits.
pub fn to_i256(value: &BigInt) -> Option<i256> {
    let bytes = value.to_signed_bytes_le();
    if bytes.len() > 32 {
        return None;
    }
    let mut full = [if value.is_negative() { 0xFF } else { 0 }; 32];
    full[..bytes.len()].copy_from_slice(&bytes);
    Some(i256::from_le_bytes(full))
}

impl DecimalValue {
    pub fn new(unscaled: i256, scale: u8) -> DecimalValue {
        DecimalValue { unscaled, scale }
    }

    pub fn from_i64(value: i64) -> DecimalValue {
        DecimalValue { unscaled: i256::from_i128(i128::from(value)), scale: 0 }
    }

    pub fn to_big(self) -> BigDecimal {
        BigDecimal { unscaled: to_bigint(self.unscaled), scale: i64::from(self.scale) }
    }

    /// The unscaled value at another scale; None if that is inexact under [`Rounding::Unnecessary`] or needs more than
    /// 256 bits.
    pub fn rescale(self, scale: u8, rounding: Rounding) -> Option<i256> {
        match scale.cmp(&self.scale) {
            Ordering::Equal => Some(self.unscaled),
            Ordering::Greater => self.unscaled.checked_mul(power_of_ten_i256(u32::from(scale - self.scale))?),
            Ordering::Less => {
                let big = self.to_big().rescale(i64::from(scale), rounding)?;
                to_i256(&big.unscaled)
            }
        }
    }

    /// Compares the numbers, whatever their scales.
    pub fn compare(self, other: DecimalValue) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.rescale(scale, Rounding::Unnecessary), other.rescale(scale, Rounding::Unnecessary)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => self.to_big().compare(&other.to_big()),
        }
    }

    pub fn to_f64(self) -> f64 {
        self.to_string().parse().expect("the text of a decimal is a number")
    }
}

impl BigDecimal {
    /// The exact text of the double's shortest form. None for NaN and infinities.
    pub fn from_f64(value: f64) -> Option<BigDecimal> {
        value.is_finite().then(|| BigDecimal::parse(&format!("{value:e}")).expect("digits and an exponent"))
    }

    /// Sign, digits, point, digits, exponent. The exponent is limited to ±10,000.
    pub fn parse(text: &str) -> Option<BigDecimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
            None => (text, 0),
        };
        if exponent.abs() > 10_000 {
            return None;
        }
        let (sign, digits) = match mantissa.as_bytes().first()? {
            b'-' => (-1, &mantissa[1..]),
            b'+' => (1, &mantissa[1..]),
            _ => (1, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let unscaled = BigInt::parse_bytes(all.as_bytes(), 10)? * sign;
        Some(BigDecimal { unscaled, scale: fraction.len() as i64 - exponent })
    }

    /// Number of decimal digits of the unscaled value, at least 1.
    pub fn precision(&self) -> usize {
        let digits = self.unscaled.to_string();
        digits.len() - usize::from(self.unscaled.is_negative())
    }

    /// None if inexact under [`Rounding::Unnecessary`].
    pub fn rescale(&self, scale: i64, rounding: Rounding) -> Option<BigDecimal> {
        let unscaled = if scale >= self.scale {
            &self.unscaled * power_of_ten((scale - self.scale) as u32)
        } else {
            divide_rounded(&self.unscaled, &power_of_ten((self.scale - scale) as u32), rounding)?
        };
        Some(BigDecimal { unscaled, scale })
    }

    /// Keeps the first `precision` digits, half up.
    pub fn round_to_precision(&self, precision: usize) -> BigDecimal {
        let digits = self.precision();
        if digits <= precision {
            return self.clone();
        }
        let rounded = self
            .rescale(self.scale - (digits - precision) as i64, Rounding::HalfUp)
            .expect("half up always rounds");
        // 9.99 may round to 10.0, one digit more.
        if rounded.precision() > precision { rounded.round_to_precision(precision) } else { rounded }
    }

    pub fn compare(&self, other: &BigDecimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        let at = |d: &BigDecimal| &d.unscaled * power_of_ten((scale - d.scale) as u32);
        at(self).cmp(&at(other))
    }

    /// The value at this scale if it has at most `precision` digits.
    pub fn to_decimal(&self, precision: u8, scale: u8, rounding: Rounding) -> Option<DecimalValue> {
        let rescaled = self.rescale(i64::from(scale), rounding)?;
        if !rescaled.unscaled.is_zero() && rescaled.precision() > usize::from(precision) {
            return None;
        }
        Some(DecimalValue { unscaled: to_i256(&rescaled.unscaled)?, scale })
    }
}

/// Quotient of two integers; None if inexact under [`Rounding::Unnecessary`] or the divisor is zero.
pub fn divide_rounded(numerator: &BigInt, divisor: &BigInt, rounding: Rounding) -> Option<BigInt> {
    if divisor.is_zero() {
        return None;
    }
    let quotient = numerator / divisor;
    let remainder = numerator - &quotient * divisor;
    if remainder.is_zero() {
        return Some(quotient);
    }
    let negative = remainder.is_negative() != divisor.is_negative();
    let half = (remainder.abs() * 2_i32).cmp(&divisor.abs());
    let away = match rounding {
        Rounding::Unnecessary => return None,
        Rounding::TowardZero => false,
        Rounding::Floor => negative,
        Rounding::Ceiling => !negative,
        Rounding::HalfUp => half != Ordering::Less,
        Rounding::HalfUpTowardPositive => {
            if negative {
                half == Ordering::Greater
            } else {
                half != Ordering::Less
            }
        }
    };
    let step = if negative { -1 } else { 1 };
    Some(if away { quotient + step } else { quotient })
}
