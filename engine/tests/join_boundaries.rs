//! Outer stream-stream joins at the very end of their windows: a row without a partner comes out one millisecond after the last
//! moment at which a partner could still come, and no earlier.

use crate::driver_harness::{Input, check, input};

/// Grace period of every join here. Units: ms.
const GRACE_MS: i64 = 2;

fn statements(kind: &str, within: &str) -> String {
    let key = match kind {
        "RIGHT" => "b.k",
        "FULL OUTER" => "ROWKEY",
        _ => "a.k",
    };
    format!(
        "CREATE STREAM a (k STRING KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
         CREATE STREAM b (k STRING KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
         CREATE STREAM o AS SELECT {key} AS k, v, w FROM a {kind} JOIN b
             WITHIN {within} GRACE PERIOD {GRACE_MS} MILLISECONDS ON a.k = b.k;"
    )
}

/// A row of `side` whose partners may come up to `reach` ms after it.
fn check_end(kind: &str, within: &str, side: &'static str, reach: i64) {
    let other = if side == "left" { "right" } else { "left" };
    let statements = statements(kind, within);
    let row = input(side, "a", "row", 100);
    let last_partner = 100 + reach;
    let run = |rest: &[Input]| check(&statements, &[std::slice::from_ref(&row), rest].concat(), "O");
    let of_key = |out: Vec<String>| out.into_iter().filter(|l| l.starts_with("a ")).collect::<Vec<_>>();
    let alone = if side == "left" { "a => row, @ 100" } else { "a => ,row @ 100" };
    let pair = match side {
        "left" => format!("a => row,partner @ {last_partner}"),
        _ => format!("a => partner,row @ {last_partner}"),
    };
    let case = format!("{kind} {within}, a row of the {side}");
    // Another key moves stream time to the end of the grace period: nothing comes out yet, and the last partner joins.
    let end = input(other, "z", "time", last_partner + GRACE_MS);
    assert_eq!(of_key(run(std::slice::from_ref(&end))), Vec::<String>::new(), "{case}: too early");
    let partner = input(other, "a", "partner", last_partner);
    assert_eq!(
        of_key(run(&[end.clone(), partner.clone()])),
        std::slice::from_ref(&pair),
        "{case}: the last partner"
    );
    let far = input(other, "z", "time", 500);
    assert_eq!(of_key(run(&[end, partner.clone(), far])), [pair], "{case}: a row that has a partner");
    // One millisecond later it comes out.
    let past = input(other, "z", "time", last_partner + GRACE_MS + 1);
    assert_eq!(of_key(run(std::slice::from_ref(&past))), [alone], "{case}: too late");
    // A partner one millisecond too far away is none.
    let stranger = input(other, "a", "partner", last_partner + 1);
    let out = of_key(run(&[stranger, past]));
    assert!(out.contains(&alone.to_owned()), "{case}: {out:?}");
    assert!(
        !out.iter().any(|line| line.contains("row,partner") || line.contains("partner,row")),
        "{case}: {out:?}"
    );
}

#[test]
fn symmetric_windows_end_after_their_grace() {
    let within = "5 MILLISECONDS";
    check_end("LEFT", within, "left", 5);
    check_end("RIGHT", within, "right", 5);
    check_end("FULL OUTER", within, "left", 5);
    check_end("FULL OUTER", within, "right", 5);
}

/// AFTER is the reach of the side that a join keeps, of the left one in a FULL join; BEFORE that of the other.
#[test]
fn asymmetric_windows_end_after_the_reach_of_the_side() {
    let within = "(3 MILLISECONDS, 7 MILLISECONDS)";
    check_end("LEFT", within, "left", 7);
    check_end("RIGHT", within, "right", 7);
    check_end("FULL OUTER", within, "left", 7);
    check_end("FULL OUTER", within, "right", 3);
}

#[test]
fn windows_of_one_side_end_with_the_row() {
    check_end("LEFT", "(5 MILLISECONDS, 0 MILLISECONDS)", "left", 0);
    check_end("FULL OUTER", "(0 MILLISECONDS, 5 MILLISECONDS)", "right", 0);
    check_end("RIGHT", "(5 MILLISECONDS, 0 MILLISECONDS)", "right", 0);
}

/// Rows of the outer side that reach backwards join what lies before them, up to the bound.
#[test]
fn earlier_rows_join_up_to_the_bound() {
    let within = "(3 MILLISECONDS, 7 MILLISECONDS)";
    let far = input("right", "z", "time", 500);
    let run = |earlier: i64| {
        let inputs = [input("right", "a", "earlier", earlier), input("left", "a", "row", 100), far.clone()];
        check(&statements("LEFT", within), &inputs, "O")
    };
    assert_eq!(run(97), ["a => row,earlier @ 100"]);
    assert_eq!(run(96), ["a => row, @ 100"]);
}
