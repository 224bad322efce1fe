//! COUNT_DISTINCT: an estimate by HyperLogLog with 2^14 registers.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};

use crate::functions::aggregate::fold::{Applied, Fold, built};
use crate::functions::aggregate::{AggregateFunction, AggregateSignature};
use crate::functions::scalar::elements::Identities;
use crate::types::SqlType;
use crate::value::SqlValue;

pub(crate) fn functions() -> Vec<AggregateFunction> {
    vec![AggregateFunction {
        name: "COUNT_DISTINCT",
        overview: "About how many distinct values there are; the error is about 2 %.",
        signatures: vec![AggregateSignature::new("(T) -> BIGINT", 0)],
        supports_undo: false,
        build: |call| {
            let fold = CountDistinct { sql_type: call.types[0].clone() };
            Ok(built(fold, SqlType::Bigint, SqlType::array(SqlType::Integer)))
        },
    }]
}

const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

#[derive(Debug)]
struct CountDistinct {
    sql_type: SqlType,
}

/// The registers that are not zero.
type Registers = BTreeMap<u16, u8>;

/// A hash that is the same in every version and on every machine: FNV-1a, then mixed.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

fn add(registers: &mut Registers, hash: u64) {
    let register = (hash >> (64 - REGISTER_BITS)) as u16;
    let rank = ((hash << REGISTER_BITS) | 1 << (REGISTER_BITS - 1)).leading_zeros() as u8 + 1;
    let present = registers.entry(register).or_default();
    *present = rank.max(*present);
}

fn estimate(registers: &Registers) -> i64 {
    let m = REGISTERS as f64;
    let zeros = REGISTERS - registers.len();
    let harmonic: f64 = zeros as f64 + registers.values().map(|r| 0.5_f64.powi(i32::from(*r))).sum::<f64>();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / harmonic;
    let estimate = if raw <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { raw };
    estimate.round() as i64
}

impl Fold for CountDistinct {
    type State = Registers;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Registers, usize) -> Applied + 'a {
        let keys = Identities::new(&self.sql_type).and_then(|identities| identities.keys(&arguments[0]));
        move |registers, row| {
            let keys = keys.as_ref().map_err(ToString::to_string)?;
            if arguments[0].is_valid(row) {
                add(registers, hash(keys.get(row)));
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Registers, older: &Registers) {
        for (register, rank) in older {
            let present = into.entry(*register).or_default();
            *present = (*rank).max(*present);
        }
    }

    fn result(&self, registers: &Registers) -> SqlValue {
        SqlValue::Bigint(estimate(registers))
    }

    /// One INTEGER per register in use: its index × 256 + its rank.
    fn save(&self, registers: &Registers) -> SqlValue {
        let entry =
            |(register, rank): (&u16, &u8)| SqlValue::Integer(i32::from(*register) << 8 | i32::from(*rank));
        SqlValue::Array(registers.iter().map(entry).collect())
    }

    fn load(&self, value: &SqlValue) -> Registers {
        let SqlValue::Array(items) = value else { return Registers::new() };
        let entry = |item: &SqlValue| match item {
            SqlValue::Integer(v) if (0..(REGISTERS as i32) << 8).contains(v) => {
                Some(((v >> 8) as u16, *v as u8))
            }
            _ => None,
        };
        items.iter().filter_map(entry).collect()
    }

    fn heap_bytes(registers: &Registers) -> usize {
        registers.len() * 6
    }
}
