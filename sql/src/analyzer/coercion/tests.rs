use super::*;

fn decimal(precision: u8, scale: u8) -> SqlType {
    SqlType::decimal(precision, scale)
}

#[test]
fn lists_take_the_wider_type() {
    use SqlType::{Bigint, Date, Double, Integer, String};
    for (left, right, expected) in [
        (Integer, Bigint, Some(Bigint)),
        (Integer, decimal(4, 2), Some(decimal(12, 2))),
        (Bigint, decimal(4, 2), Some(decimal(21, 2))),
        (decimal(4, 2), decimal(5, 1), Some(decimal(6, 2))),
        (decimal(4, 2), Double, Some(Double)),
        (String, Date, Some(Date)),
        (String, Integer, None),
        (SqlType::array(Integer), SqlType::array(Bigint), Some(SqlType::array(Bigint))),
        (SqlType::array(Integer), Integer, None),
        (
            SqlType::structure([("A", Integer), ("B", Integer)]),
            SqlType::structure([("B", Bigint), ("C", String)]),
            Some(SqlType::structure([("A", Integer), ("B", Bigint), ("C", String)])),
        ),
    ] {
        assert_eq!(common_type(&left, &right), expected, "{left} with {right}");
    }
}

#[test]
fn decimal_arithmetic_has_exact_types() {
    use ArithmeticOp::{Add, Divide, Modulus, Multiply, Subtract};
    for (op, left, right, expected) in [
        (Add, decimal(4, 2), decimal(5, 1), decimal(7, 2)),
        (Subtract, decimal(4, 2), SqlType::Integer, decimal(13, 2)),
        (Multiply, decimal(4, 2), decimal(4, 2), decimal(9, 4)),
        (Divide, decimal(4, 2), decimal(4, 2), decimal(11, 7)),
        (Modulus, decimal(4, 2), decimal(5, 1), decimal(4, 2)),
        (Multiply, decimal(60, 30), decimal(60, 30), decimal(76, 15)),
    ] {
        assert_eq!(arithmetic_type(op, &left, &right), Some(expected), "{left} {op:?} {right}");
    }
    assert_eq!(arithmetic_type(Add, &SqlType::String, &SqlType::String), Some(SqlType::String));
    assert_eq!(arithmetic_type(Subtract, &SqlType::String, &SqlType::String), None);
    assert_eq!(arithmetic_type(Add, &SqlType::Boolean, &decimal(2, 1)), None);
}

#[test]
fn casts_follow_the_matrix() {
    use SqlType::{Bigint, Boolean, Bytes, Date, Integer, String, Time, Timestamp};
    for (from, to, allowed) in [
        (String, SqlType::array(Integer), false),
        (SqlType::array(Integer), String, true),
        (Bytes, String, false),
        (String, Bytes, true),
        (Boolean, Integer, false),
        (Date, Timestamp, true),
        (Time, Timestamp, false),
        (Bigint, Timestamp, false),
        (SqlType::structure([("A", Integer)]), SqlType::structure([("A", String), ("B", Date)]), true),
        (SqlType::structure([("A", Boolean)]), SqlType::structure([("A", Date)]), false),
    ] {
        assert_eq!(cast_allowed(&from, &to), allowed, "{from} to {to}");
    }
}

#[test]
fn comparisons_follow_the_matrix() {
    use CompareOp::{Equal, Less};
    use SqlType::{Bigint, Boolean, Date, Double, Integer, String, Time, Timestamp};
    let array = SqlType::array(Integer);
    for (op, left, right, allowed) in [
        (Less, Integer, Double, true),
        (Equal, Integer, String, false),
        (Less, String, Timestamp, true),
        (Less, Date, Timestamp, true),
        (Less, Time, Timestamp, false),
        (Equal, Boolean, Boolean, true),
        (Less, Boolean, Boolean, false),
        (Equal, array.clone(), array.clone(), true),
        (Less, array.clone(), array, false),
        (Equal, Bigint, Timestamp, false),
    ] {
        assert_eq!(comparable(op, &left, &right), allowed, "{left} {op:?} {right}");
    }
}

#[test]
fn targets_take_only_what_fits() {
    assert!(widens_to(&SqlType::Integer, &decimal(12, 2)));
    assert!(!widens_to(&SqlType::Integer, &decimal(11, 2)));
    assert!(widens_to(&decimal(4, 2), &SqlType::Double));
    assert!(!widens_to(&SqlType::Bigint, &SqlType::Integer));
    assert!(!widens_to(&SqlType::String, &SqlType::Integer));
    assert!(widens_to(&SqlType::String, &SqlType::Timestamp));
}
