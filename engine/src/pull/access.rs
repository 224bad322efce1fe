//! Which entries of a store a condition can be true for.

use std::ops::Bound;

use weir_sql::expr::ir::{CompareOp, Expr, ExprKind, LogicalOp};
use weir_sql::plan::pull::ScanColumn;
use weir_sql::schema::WINDOWSTART;
use weir_sql::types::SqlType;
use weir_sql::value::SqlValue;
use weir_sql::value::convert::to_array;

use crate::error::Result;
use crate::state::backend::KeyRange;
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{encode_key, encode_window_start};
use crate::topology::materialization::Materialization;

/// Keys looked up at most; more are scanned for.
const LOOKUPS_MAX: usize = 10_000;

/// How to read a store. What is read contains everything the condition can be true for, and perhaps more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAccess {
    /// These store keys, sorted.
    Keys(Vec<Vec<u8>>),
    /// These ranges, in order and disjoint.
    Ranges(Vec<KeyRange>),
}

/// What a conjunction says about one column.
#[derive(Debug, Default)]
struct ColumnBounds {
    /// The values it may have; None: any.
    values: Option<Vec<SqlValue>>,
    low: Option<(SqlValue, bool)>,
    high: Option<(SqlValue, bool)>,
}

/// Plans the reading of a table's store.
pub fn store_access(
    materialization: &Materialization,
    columns: &[ScanColumn],
    filter: Option<&Expr>,
) -> Result<StoreAccess> {
    let mut conjuncts = Vec::new();
    if let Some(filter) = filter {
        split(filter, &mut conjuncts);
    }
    let bounds = |column: &str, sql_type: &SqlType| -> ColumnBounds {
        let name = columns.iter().find(|c| c.column == column).map(|c| c.name.as_str());
        let mut bounds = ColumnBounds::default();
        for conjunct in &conjuncts {
            if let Some(name) = name {
                bounds.narrow(conjunct, name, sql_type);
            }
        }
        bounds
    };
    // The store's key columns, under the names that the result gives them.
    let names = materialization.schema.key.iter().map(|c| &c.name);
    let keys: Vec<(ColumnBounds, &SqlType)> =
        names.zip(&materialization.key).map(|(name, c)| (bounds(name, &c.sql_type), &c.sql_type)).collect();
    let prefixes = exact_prefixes(&keys)?;
    if materialization.window.is_some() {
        return Ok(match prefixes {
            Some(prefixes) => {
                let start = bounds(WINDOWSTART, &SqlType::Bigint);
                StoreAccess::Ranges(prefixes.iter().map(|p| window_range(p, &start)).collect())
            }
            None => StoreAccess::Ranges(vec![KeyRange::all()]),
        });
    }
    if let Some(prefixes) = prefixes {
        return Ok(StoreAccess::Keys(prefixes));
    }
    Ok(StoreAccess::Ranges(vec![match keys.as_slice() {
        [(bounds, sql_type)] => key_range(bounds, sql_type)?,
        _ => KeyRange::all(),
    }]))
}

fn split<'a>(expr: &'a Expr, conjuncts: &mut Vec<&'a Expr>) {
    match &expr.kind {
        ExprKind::Logical { op: LogicalOp::And, left, right } => {
            split(left, conjuncts);
            split(right, conjuncts);
        }
        _ => conjuncts.push(expr),
    }
}

impl ColumnBounds {
    /// Takes what a conjunct says about the column. What is not understood narrows nothing.
    fn narrow(&mut self, conjunct: &Expr, name: &str, sql_type: &SqlType) {
        match &conjunct.kind {
            ExprKind::Compare { op, left, right } => {
                if is_column(left, name)
                    && let Some(value) = constant(right, sql_type)
                {
                    self.compare(*op, value);
                } else if is_column(right, name)
                    && let Some(value) = constant(left, sql_type)
                {
                    self.compare(mirrored(*op), value);
                }
            }
            ExprKind::Between { negated: false, operand, low, high } if is_column(operand, name) => {
                if let (Some(low), Some(high)) = (constant(low, sql_type), constant(high, sql_type)) {
                    self.compare(CompareOp::GreaterOrEqual, low);
                    self.compare(CompareOp::LessOrEqual, high);
                }
            }
            _ => {
                if let Some(values) = one_of(conjunct, name, sql_type) {
                    self.restrict(values);
                }
            }
        }
    }

    fn compare(&mut self, op: CompareOp, value: SqlValue) {
        match op {
            CompareOp::Equal => self.restrict(vec![value]),
            // One bound of each side is enough: the condition itself is checked on what is read.
            CompareOp::Less => _ = self.high.get_or_insert((value, false)),
            CompareOp::LessOrEqual => _ = self.high.get_or_insert((value, true)),
            CompareOp::Greater => _ = self.low.get_or_insert((value, false)),
            CompareOp::GreaterOrEqual => _ = self.low.get_or_insert((value, true)),
            CompareOp::NotEqual => {}
        }
    }

    fn restrict(&mut self, values: Vec<SqlValue>) {
        match &mut self.values {
            None => self.values = Some(values),
            Some(known) => known.retain(|v| values.contains(v)),
        }
    }
}

/// The values that IN, or an OR of equalities, allows a column.
fn one_of(expr: &Expr, name: &str, sql_type: &SqlType) -> Option<Vec<SqlValue>> {
    match &expr.kind {
        ExprKind::Compare { op: CompareOp::Equal, left, right } if is_column(left, name) => {
            Some(vec![constant(right, sql_type)?])
        }
        ExprKind::Compare { op: CompareOp::Equal, left, right } if is_column(right, name) => {
            Some(vec![constant(left, sql_type)?])
        }
        ExprKind::In { negated: false, operand, list } if is_column(operand, name) => {
            list.iter().map(|e| constant(e, sql_type)).collect()
        }
        ExprKind::Logical { op: LogicalOp::Or, left, right } => {
            let mut values = one_of(left, name, sql_type)?;
            values.extend(one_of(right, name, sql_type)?);
            Some(values)
        }
        _ => None,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(&expr.kind, ExprKind::Column(column) if column == name)
}

/// A literal as a value of the column's type, if that changes nothing about what it equals.
fn constant(expr: &Expr, sql_type: &SqlType) -> Option<SqlValue> {
    let value = match &expr.kind {
        ExprKind::Literal(value) => value,
        ExprKind::Cast(inner) if expr.sql_type == *sql_type => return constant(inner, sql_type),
        _ => return None,
    };
    match (value, sql_type) {
        (SqlValue::Null, _) => None,
        (SqlValue::Integer(v), SqlType::Bigint) => Some(SqlValue::Bigint(i64::from(*v))),
        (SqlValue::Bigint(v), SqlType::Integer) => i32::try_from(*v).ok().map(SqlValue::Integer),
        _ if expr.sql_type == *sql_type => Some(value.clone()),
        _ => None,
    }
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        CompareOp::Equal | CompareOp::NotEqual => op,
    }
}

fn encode(value: &SqlValue, sql_type: &SqlType, out: &mut Vec<u8>) -> Result<()> {
    let array = to_array(sql_type, std::iter::once(value));
    encode_key(&[ColumnReader::new(&array)?], 0, out)
}

/// Every combination of values, if all key columns are restricted to some. Sorted and unique.
fn exact_prefixes(keys: &[(ColumnBounds, &SqlType)]) -> Result<Option<Vec<Vec<u8>>>> {
    let mut prefixes = vec![Vec::new()];
    for (bounds, sql_type) in keys {
        let Some(values) = &bounds.values else { return Ok(None) };
        if prefixes.len() * values.len() > LOOKUPS_MAX {
            return Ok(None);
        }
        let mut longer = Vec::with_capacity(prefixes.len() * values.len());
        for prefix in &prefixes {
            for value in values {
                let mut key = prefix.clone();
                encode(value, sql_type, &mut key)?;
                longer.push(key);
            }
        }
        prefixes = longer;
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    Ok((!keys.is_empty()).then_some(prefixes))
}

fn key_range(bounds: &ColumnBounds, sql_type: &SqlType) -> Result<KeyRange> {
    let encoded = |value: &SqlValue| -> Result<Vec<u8>> {
        let mut key = Vec::new();
        encode(value, sql_type, &mut key)?;
        Ok(key)
    };
    let from = match &bounds.low {
        None => Bound::Unbounded,
        Some((value, true)) => Bound::Included(encoded(value)?),
        Some((value, false)) => Bound::Excluded(encoded(value)?),
    };
    let to = match &bounds.high {
        None => Bound::Unbounded,
        Some((value, true)) => Bound::Included(encoded(value)?),
        Some((value, false)) => Bound::Excluded(encoded(value)?),
    };
    Ok(KeyRange { from, to })
}

/// The windows of one key whose start is within the bounds.
fn window_range(key: &[u8], start: &ColumnBounds) -> KeyRange {
    let with_start = |at: i64| {
        let mut bytes = key.to_vec();
        encode_window_start(at, &mut bytes);
        bytes
    };
    let bigint = |bound: &Option<(SqlValue, bool)>| match bound {
        Some((SqlValue::Bigint(at), _)) => Some(*at),
        _ => None,
    };
    let exact = start.values.as_ref().map(|values| {
        let starts: Vec<i64> = values
            .iter()
            .filter_map(|v| if let SqlValue::Bigint(at) = v { Some(*at) } else { None })
            .collect();
        (starts.iter().min().copied().unwrap_or(i64::MAX), starts.iter().max().copied().unwrap_or(i64::MIN))
    });
    let low = exact.map(|e| e.0).or(bigint(&start.low)).unwrap_or(i64::MIN);
    let high = exact.map(|e| e.1).or(bigint(&start.high)).unwrap_or(i64::MAX);
    KeyRange { from: Bound::Included(with_start(low)), to: Bound::Included(with_start(high)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\x03key";

    fn window_key(key: &[u8], start: i64) -> Vec<u8> {
        let mut bytes = key.to_vec();
        encode_window_start(start, &mut bytes);
        bytes
    }

    fn bounds(conditions: &[(CompareOp, i64)]) -> ColumnBounds {
        let mut bounds = ColumnBounds::default();
        conditions.iter().for_each(|(op, at)| bounds.compare(*op, SqlValue::Bigint(*at)));
        bounds
    }

    fn is_true(op: CompareOp, start: i64, at: i64) -> bool {
        match op {
            CompareOp::Equal => start == at,
            CompareOp::NotEqual => start != at,
            CompareOp::Less => start < at,
            CompareOp::LessOrEqual => start <= at,
            CompareOp::Greater => start > at,
            CompareOp::GreaterOrEqual => start >= at,
        }
    }

    const OPS: [CompareOp; 6] = [
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Less,
        CompareOp::LessOrEqual,
        CompareOp::Greater,
        CompareOp::GreaterOrEqual,
    ];
    const STARTS: [i64; 9] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 2, 3, i64::MAX - 1, i64::MAX];

    #[test]
    fn a_window_range_holds_every_start_that_its_bounds_allow() {
        for first in OPS {
            for second in OPS {
                for a in STARTS {
                    for b in STARTS {
                        let range = window_range(KEY, &bounds(&[(first, a), (second, b)]));
                        for start in STARTS {
                            let allowed = is_true(first, start, a) && is_true(second, start, b);
                            let found = range.contains(&window_key(KEY, start));
                            assert!(found || !allowed, "{start} {first:?} {a} and {second:?} {b}: {range:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn both_ends_of_a_window_range_are_read_and_nothing_beyond_them() {
        let found = |conditions: &[(CompareOp, i64)]| -> Vec<i64> {
            let range = window_range(KEY, &bounds(conditions));
            STARTS.into_iter().filter(|start| range.contains(&window_key(KEY, *start))).collect()
        };
        assert_eq!(found(&[]), STARTS);
        assert_eq!(found(&[(CompareOp::Equal, 2)]), [2]);
        assert_eq!(found(&[(CompareOp::GreaterOrEqual, 1), (CompareOp::LessOrEqual, 3)]), [1, 2, 3]);
        assert_eq!(found(&[(CompareOp::GreaterOrEqual, 2)]), [2, 3, i64::MAX - 1, i64::MAX]);
        assert_eq!(found(&[(CompareOp::LessOrEqual, 0)]), [i64::MIN, i64::MIN + 1, -1, 0]);
        assert_eq!(found(&[(CompareOp::GreaterOrEqual, i64::MAX)]), [i64::MAX]);
        assert_eq!(found(&[(CompareOp::LessOrEqual, i64::MIN)]), [i64::MIN]);
        assert_eq!(found(&[(CompareOp::NotEqual, 2)]), STARTS);
        assert_eq!(found(&[(CompareOp::Equal, 1), (CompareOp::Equal, 2)]), [] as [i64; 0]);
        let mut some = ColumnBounds::default();
        some.restrict(vec![SqlValue::Bigint(3), SqlValue::Bigint(1)]);
        let range = window_range(KEY, &some);
        let read: Vec<i64> = STARTS.into_iter().filter(|s| range.contains(&window_key(KEY, *s))).collect();
        assert_eq!(read, [1, 2, 3], "from the first to the last of a list");
    }

    #[test]
    fn a_window_range_is_that_of_its_key() {
        let range = window_range(KEY, &ColumnBounds::default());
        for other in [&b"\x03kex"[..], b"\x03kez", b"\x02key", b"\x04key"] {
            for start in STARTS {
                assert!(!range.contains(&window_key(other, start)), "{other:?} {start}");
            }
        }
    }
}
