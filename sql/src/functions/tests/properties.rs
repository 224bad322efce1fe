//! Over random rows: results do not depend on where rows are cut into batches, and decimals are exact.

use num_bigint::BigInt;

use crate::expr::ir::{Argument, ArithmeticOp, Expr, ExprKind, TimeUnit};
use crate::functions::aggregate::AggregateOptions;
use crate::functions::registry::FunctionRegistry;
use crate::functions::signature::{ArgumentType, Param, Signature};
use crate::functions::tests::{batch, evaluate, typed};
use crate::types::SqlType;
use crate::value::decimal::{power_of_ten, to_bigint, to_i256};
use crate::value::{DecimalValue, SqlValue, order};

/// Random numbers from a seed (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// A value of the type; NULL now and then.
    pub(super) fn value(&mut self, sql_type: &SqlType) -> SqlValue {
        if self.below(7) == 0 {
            return SqlValue::Null;
        }
        const TEXTS: [&str; 22] = [
            "",
            "a",
            "b,c",
            "aB9 é😀",
            "2020-05-26",
            "yyyy-MM-dd",
            "HH:mm",
            "23:59",
            "{\"a\": 1}",
            "[1, \"x\"]",
            "$.a",
            "utf8",
            "hex",
            "base64",
            "6B4b",
            "UTC",
            "Europe/Berlin",
            "(",
            "\\w+",
            "http://h:1/p?a=b#f",
            "ASC",
            ",",
        ];
        match sql_type {
            SqlType::Boolean => SqlValue::Boolean(self.below(2) == 0),
            SqlType::Integer => SqlValue::Integer(self.pick(&[0, 1, 2, 3, -1, -7, 12, i32::MAX, i32::MIN])),
            SqlType::Bigint => {
                SqlValue::Bigint(self.pick(&[0, 1, 2, 5, -1, 1_000_000_007, i64::MAX, i64::MIN]))
            }
            SqlType::Double => {
                SqlValue::Double(self.pick(&[0.0, -0.0, 1.5, -2.25, 1e300, 45.0, f64::NAN, f64::INFINITY]))
            }
            SqlType::Decimal { precision, scale } => self.decimal(*precision, *scale),
            SqlType::String => SqlValue::String(self.pick(&TEXTS).to_owned()),
            SqlType::Bytes => {
                SqlValue::Bytes(self.pick(&[&b""[..], b"ab", b"12345678", b"1234", &[0xFF, 0]]).to_vec())
            }
            SqlType::Date => SqlValue::Date(self.below(40_000) as i32 - 10_000),
            SqlType::Time => SqlValue::Time(self.below(86_400_001) as i32),
            SqlType::Timestamp => {
                SqlValue::Timestamp(self.below(4_000_000_000_000) as i64 - 1_000_000_000_000)
            }
            SqlType::Array(element) => {
                SqlValue::Array((0..self.below(4)).map(|_| self.value(element)).collect())
            }
            SqlType::Map(_, value) => {
                let entry = |i: u64, v| (SqlValue::String(format!("k{i}")), v);
                SqlValue::Map((0..self.below(4)).map(|i| entry(i, self.value(value))).collect())
            }
            SqlType::Struct(fields) => {
                SqlValue::Struct(fields.iter().map(|f| self.value(&f.sql_type)).collect())
            }
        }
    }

    fn decimal(&mut self, precision: u8, scale: u8) -> SqlValue {
        let digits = 1 + self.below(u64::from(precision)) as u32;
        let magnitude = BigInt::from(self.next()) * BigInt::from(self.next()) * BigInt::from(self.next());
        let unscaled = magnitude % power_of_ten(digits) * if self.below(2) == 0 { 1 } else { -1 };
        SqlValue::Decimal(DecimalValue { unscaled: to_i256(&unscaled).expect("at most 76 digits"), scale })
    }
}

/// A type for a parameter; None for lambdas.
fn instance(param: &Param, generic: &SqlType) -> Option<SqlType> {
    Some(match param {
        Param::Exact(sql_type) => sql_type.clone(),
        Param::Decimal => SqlType::decimal(9, 3),
        Param::Generic('K') => SqlType::String,
        Param::Generic(_) | Param::Any => generic.clone(),
        Param::Array(element) => SqlType::array(instance(element, generic)?),
        Param::Map(key, value) => SqlType::map(instance(key, &SqlType::String)?, instance(value, generic)?),
        Param::Unit | Param::Lambda { .. } => return None,
    })
}

/// Columns that a call reads, with their types.
type Columns = Vec<(String, SqlType)>;

/// Calls of a signature over columns: the arguments, and the columns they read.
fn arguments(signature: &Signature, generic: &SqlType) -> Option<(Vec<Argument>, Columns)> {
    let mut arguments = Vec::new();
    let mut columns = Vec::new();
    for (i, param) in signature.params.iter().enumerate() {
        if *param == Param::Unit {
            arguments.push(Argument::Unit(TimeUnit::Hours));
            continue;
        }
        let sql_type = instance(param, generic)?;
        let times = if signature.variadic == Some(i) { 2 } else { 1 };
        for n in 0..times {
            let name = format!("C{i}_{n}");
            arguments.push(Argument::Value(Expr::column(&name, sql_type.clone())));
            columns.push((name, sql_type.clone()));
        }
    }
    Some((arguments, columns))
}

#[track_caller]
fn check_cut(label: &str, expr: &Expr, columns: &[(String, SqlType)], random: &mut Random) {
    let columns: Vec<(&str, SqlType)> = columns.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let rows: Vec<Vec<SqlValue>> =
        (0..24).map(|_| columns.iter().map(|(_, t)| random.value(t)).collect()).collect();
    let whole = batch(&columns, &rows);
    let (values, mut reports) = evaluate(expr, &whole);
    let mut apart = Vec::new();
    let mut reports_apart = Vec::new();
    for row in 0..rows.len() {
        let (value, reported) = evaluate(expr, &whole.slice(row, 1));
        apart.extend(value);
        reports_apart.extend(reported.into_iter().map(|(_, message)| (row, message)));
    }
    for (row, (a, b)) in values.iter().zip(&apart).enumerate() {
        assert!(order::compare(a, b).is_eq(), "{label}: {a:?} in the batch, {b:?} alone, of {:?}", rows[row]);
    }
    reports.sort();
    reports_apart.sort();
    assert_eq!(reports, reports_apart, "{label}");
}

#[test]
fn no_function_depends_on_where_rows_are_cut() {
    let registry = FunctionRegistry::standard();
    let mut random = Random::new(7);
    let mut calls = 0;
    for summary in registry.list() {
        let Ok(function) = registry.scalar(summary.name) else { continue };
        if ["UUID", "RANDOM"].contains(&function.name) {
            continue;
        }
        for overload in &function.overloads {
            for generic in
                [SqlType::Integer, SqlType::String, SqlType::array(SqlType::Double), SqlType::decimal(40, 2)]
            {
                let Some((arguments, columns)) = arguments(&overload.signature, &generic) else { continue };
                let types: Vec<ArgumentType> = arguments
                    .iter()
                    .map(|a| match a {
                        Argument::Value(e) => ArgumentType::Value(e.sql_type.clone()),
                        _ => ArgumentType::Unit,
                    })
                    .collect();
                let label = format!("{} {:?}", function.name, overload.signature.describe(function.name));
                let resolved =
                    registry.resolve_scalar(function.name, &types).unwrap_or_else(|e| panic!("{label}: {e}"));
                let kind = ExprKind::Call { function: function.name.to_owned(), arguments };
                check_cut(&label, &Expr::new(kind, resolved.return_type), &columns, &mut random);
                calls += 1;
            }
        }
    }
    assert!(calls > 500, "only {calls} calls");
}

#[test]
fn no_operator_depends_on_where_rows_are_cut() {
    let columns = [
        ("I", SqlType::Integer),
        ("L", SqlType::Bigint),
        ("D", SqlType::Double),
        ("E", SqlType::decimal(20, 5)),
        ("W", SqlType::decimal(60, 10)),
        ("S", SqlType::String),
        ("B", SqlType::Boolean),
        ("T", SqlType::Timestamp),
        ("A", SqlType::array(SqlType::Integer)),
        ("M", SqlType::map(SqlType::String, SqlType::Bigint)),
        ("R", SqlType::structure([("X", SqlType::Integer), ("Y", SqlType::String)])),
    ];
    let owned: Vec<(String, SqlType)> = columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    let mut random = Random::new(11);
    for text in [
        "I + L",
        "I / I",
        "L % I",
        "D / I",
        "E + I",
        "E * W",
        "W / E",
        "E - W",
        "-I",
        "-W",
        "I < D",
        "E = W",
        "D <> E",
        "S < 'b'",
        "T > '2020-01-01'",
        "T = S",
        "S LIKE '%a%'",
        "B AND I / I > 0",
        "B OR L / I > 0",
        "NOT B",
        "I BETWEEN 0 AND L",
        "S IN ('a', '', S)",
        "I IS DISTINCT FROM L",
        "R IS NULL",
        "CASE WHEN I > 0 THEN L / I WHEN B THEN 0 ELSE L END",
        "CAST(S AS INT)",
        "CAST(D AS DECIMAL(10, 2))",
        "CAST(W AS DECIMAL(20, 3))",
        "CAST(A AS ARRAY<STRING>)",
        "CAST(M AS STRING)",
        "CAST(R AS STRUCT<Y STRING, Z INT>)",
        "ARRAY[I, I / 0, NULL]",
        "MAP(S := I, 'x' := I + 1)",
        "STRUCT(P := I, Q := S)",
        "A[I]",
        "M[S]",
        "M['k1']",
        "R->Y",
        "TRANSFORM(A, x => x / I)",
        "FILTER(M, (k, v) => v > L OR k = S)",
        "REDUCE(A, L, (s, x) => s + x * I)",
        "TRANSFORM(M, (k, v) => k + S, (k, v) => v / I)",
        "A = ARRAY[1]",
        "M = MAP('k0' := L)",
        "S + 'x'",
        "CAST(E AS INT)",
        "CAST(T AS DATE) = '2020-05-26'",
    ] {
        let expr = typed(text, &columns).unwrap_or_else(|e| panic!("{text}: {e}"));
        check_cut(text, &expr, &owned, &mut random);
    }
}

#[test]
fn decimal_arithmetic_is_exact() {
    let mut random = Random::new(3);
    for (p1, s1, p2, s2) in [(4, 2, 4, 2), (18, 6, 18, 0), (38, 10, 20, 5), (30, 30, 30, 2), (10, 0, 38, 38)]
    {
        let (left, right) = (SqlType::decimal(p1, s1), SqlType::decimal(p2, s2));
        let columns = [("A", left.clone()), ("B", right.clone())];
        let rows: Vec<Vec<SqlValue>> =
            (0..50).map(|_| vec![random.decimal(p1, s1), random.decimal(p2, s2)]).collect();
        let batch = batch(&columns, &rows);
        for (op, symbol) in
            [(ArithmeticOp::Add, "+"), (ArithmeticOp::Subtract, "-"), (ArithmeticOp::Multiply, "*")]
        {
            let expr = typed(&format!("A {symbol} B"), &columns).expect("valid");
            let SqlType::Decimal { scale, .. } = expr.sql_type else { panic!("a decimal") };
            let (values, reports) = evaluate(&expr, &batch);
            assert_eq!(reports, []);
            for (row, value) in rows.iter().zip(values) {
                let unscaled = |v: &SqlValue| match v {
                    SqlValue::Decimal(v) => (to_bigint(v.unscaled), u32::from(v.scale)),
                    other => panic!("{other:?}"),
                };
                let ((a, sa), (b, sb), (result, _)) =
                    (unscaled(&row[0]), unscaled(&row[1]), unscaled(&value));
                let scale = u32::from(scale);
                let expected = match op {
                    ArithmeticOp::Multiply => a * b,
                    ArithmeticOp::Add => a * power_of_ten(scale - sa) + b * power_of_ten(scale - sb),
                    _ => a * power_of_ten(scale - sa) - b * power_of_ten(scale - sb),
                };
                assert_eq!(result, expected, "{row:?} {symbol}");
            }
        }
    }
}

#[test]
fn aggregates_do_not_depend_on_cuts_and_survive_the_store() {
    let registry = FunctionRegistry::standard();
    let mut random = Random::new(5);
    for (name, types, constants) in super::aggregates::calls() {
        let call = registry.describe_aggregate_call(name, &types, &constants).expect("valid");
        let build = || {
            let mut groups = registry
                .accumulator_with_options(name, &types, &constants, AggregateOptions::default())
                .expect("valid");
            groups.resize(3);
            groups
        };
        let rows: Vec<Vec<SqlValue>> =
            (0..40).map(|_| types.iter().map(|t| random.value(t)).collect()).collect();
        let slots: Vec<u32> = rows.iter().map(|_| random.below(3) as u32).collect();
        let columns: Vec<(String, SqlType)> =
            types.iter().enumerate().map(|(i, t)| (format!("C{i}"), t.clone())).collect();
        let columns: Vec<(&str, SqlType)> = columns.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        let whole = batch(&columns, &rows);
        let mut together = build();
        let (results, _) = together.update_and_evaluate(&slots, whole.columns());
        let mut apart = build();
        for (row, slot) in slots.iter().enumerate() {
            apart.update(&[*slot], whole.slice(row, 1).columns());
            let saved = apart.save(*slot);
            let saved_batch = apart.save_batch(&[*slot]);
            apart.reset(*slot);
            apart.load(*slot, &saved);
            apart.load_batch(&[*slot], &saved_batch);
            let of_row = |array: &arrow::array::ArrayRef, row| {
                crate::value::convert::from_array(array, row, &call.return_type)
            };
            assert_eq!(
                apart.heap_bytes(),
                (0..3).map(|slot| apart.slot_bytes(slot)).sum::<usize>(),
                "{name}"
            );
            let (a, b) = (of_row(&results, row), of_row(&apart.evaluate(&[*slot]), 0));
            assert!(order::compare(&a, &b).is_eq(), "{name} row {row}: {a:?}, {b:?}");
        }
    }
}
