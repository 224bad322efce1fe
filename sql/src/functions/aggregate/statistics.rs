//! STDDEV_SAMP, STDDEV_SAMPLE and CORRELATION.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;

use crate::functions::aggregate::fold::{Applied, Fold, built};
use crate::functions::aggregate::{AggregateFunction, AggregateSignature};
use crate::types::SqlType;
use crate::value::SqlValue;

pub(crate) fn functions() -> Vec<AggregateFunction> {
    vec![
        AggregateFunction {
            name: "STDDEV_SAMP",
            overview: "The sample variance. Its name is kept for compatibility; see STDDEV_SAMPLE.",
            signatures: vec![AggregateSignature::new("(DOUBLE) -> DOUBLE", 0)],
            supports_undo: true,
            build: |_| Ok(built(Deviation { root: false }, SqlType::Double, deviation_state())),
        },
        AggregateFunction {
            name: "STDDEV_SAMPLE",
            overview: "The sample standard deviation.",
            signatures: vec![AggregateSignature::new("(DOUBLE) -> DOUBLE", 0)],
            supports_undo: true,
            build: |_| Ok(built(Deviation { root: true }, SqlType::Double, deviation_state())),
        },
        AggregateFunction {
            name: "CORRELATION",
            overview: "The Pearson correlation of two columns.",
            signatures: vec![AggregateSignature::new("(DOUBLE, DOUBLE) -> DOUBLE", 0)],
            supports_undo: true,
            build: |_| {
                let names = ["SUM_X", "SUM_Y", "SUM_X_SQ", "SUM_Y_SQ", "SUM_X_Y"];
                let sums = names.map(|name| (name, SqlType::Double));
                let fields = [("COUNT", SqlType::Bigint)].into_iter().chain(sums);
                Ok(built(Correlation, SqlType::Double, SqlType::structure(fields)))
            },
        },
    ]
}

fn deviation_state() -> SqlType {
    SqlType::structure([("SUM", SqlType::Double), ("COUNT", SqlType::Bigint), ("M2", SqlType::Double)])
}

fn doubles<const N: usize>(value: &SqlValue) -> Option<[f64; N]> {
    let SqlValue::Struct(fields) = value else { return None };
    let numbers: Vec<f64> = fields
        .iter()
        .filter_map(|f| match f {
            SqlValue::Double(v) => Some(*v),
            SqlValue::Bigint(v) => Some(*v as f64),
            _ => None,
        })
        .collect();
    numbers.try_into().ok()
}

/// Sum, count and M2, the sum of squared distances from the mean, kept up after Youngs and Cramer.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    sum: f64,
    count: f64,
    m2: f64,
}

#[derive(Debug)]
struct Deviation {
    root: bool,
}

impl Fold for Deviation {
    type State = Moments;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Moments, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<Float64Type>();
        move |state, row| {
            if values.is_valid(row) {
                let value = values.value(row);
                state.count += 1.0;
                state.sum += value;
                if state.count > 1.0 {
                    let distance = value * state.count - state.sum;
                    state.m2 += distance * distance / (state.count * (state.count - 1.0));
                }
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Moments, usize) -> Applied + 'a {
        let values = arguments[0].as_primitive::<Float64Type>();
        move |state, row| {
            if values.is_valid(row) {
                let value = values.value(row);
                if state.count > 1.0 {
                    let distance = value * state.count - state.sum;
                    state.m2 -= distance * distance / (state.count * (state.count - 1.0));
                    state.sum -= value;
                    state.count -= 1.0;
                } else {
                    *state = Moments::default();
                }
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Moments, older: &Moments) {
        if older.count == 0.0 {
            return;
        }
        if into.count == 0.0 {
            *into = *older;
            return;
        }
        let count = into.count + older.count;
        let distance = older.sum / older.count - into.sum / into.count;
        into.m2 += older.m2 + distance * distance * older.count * into.count / count;
        into.sum += older.sum;
        into.count = count;
    }

    fn result(&self, state: &Moments) -> SqlValue {
        let variance = if state.count < 2.0 { 0.0 } else { state.m2 / (state.count - 1.0) };
        SqlValue::Double(if self.root { variance.sqrt() } else { variance })
    }

    fn save(&self, state: &Moments) -> SqlValue {
        SqlValue::Struct(vec![
            SqlValue::Double(state.sum),
            SqlValue::Bigint(state.count as i64),
            SqlValue::Double(state.m2),
        ])
    }

    fn load(&self, value: &SqlValue) -> Moments {
        doubles::<3>(value).map_or_else(Moments::default, |[sum, count, m2]| Moments { sum, count, m2 })
    }
}

/// Count and the sums of x, y, x², y² and xy.
#[derive(Clone, Copy, Debug, Default)]
struct Sums([f64; 6]);

#[derive(Debug)]
struct Correlation;

/// What a row adds to the sums; None if one of its values is NULL.
fn terms(arguments: &[ArrayRef], row: usize) -> Option<[f64; 6]> {
    let (xs, ys) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
    if xs.is_null(row) || ys.is_null(row) {
        return None;
    }
    let (x, y) = (xs.value(row), ys.value(row));
    Some([1.0, x, y, x * x, y * y, x * y])
}

impl Fold for Correlation {
    type State = Sums;

    fn apply<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Sums, usize) -> Applied + 'a {
        move |sums, row| {
            if let Some(terms) = terms(arguments, row) {
                sums.0.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            Ok(())
        }
    }

    fn undo<'a>(&'a self, arguments: &'a [ArrayRef]) -> impl FnMut(&mut Sums, usize) -> Applied + 'a {
        move |sums, row| {
            if let Some(terms) = terms(arguments, row) {
                sums.0.iter_mut().zip(terms).for_each(|(sum, term)| *sum -= term);
            }
            Ok(())
        }
    }

    fn merge(&self, into: &mut Sums, older: &Sums) {
        into.0.iter_mut().zip(older.0).for_each(|(sum, term)| *sum += term);
    }

    fn result(&self, Sums([n, x, y, xx, yy, xy]): &Sums) -> SqlValue {
        if *n < 2.0 {
            return SqlValue::Double(f64::NAN);
        }
        let spread = (n * xx - x * x) * (n * yy - y * y);
        SqlValue::Double(if spread == 0.0 { f64::NAN } else { (n * xy - x * y) / spread.sqrt() })
    }

    fn save(&self, Sums([n, sums @ ..]): &Sums) -> SqlValue {
        let sums = sums.iter().map(|s| SqlValue::Double(*s));
        SqlValue::Struct(std::iter::once(SqlValue::Bigint(*n as i64)).chain(sums).collect())
    }

    fn load(&self, value: &SqlValue) -> Sums {
        doubles::<6>(value).map_or_else(Sums::default, Sums)
    }
}
