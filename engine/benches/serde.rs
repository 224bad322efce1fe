//! Rows per second of the formats, on the 119-byte rows that the comparison with other engines uses.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir_engine::serde::encoded::EncodedRows;
use weir_engine::serde::{value_decoder, value_encoder};
use weir_sql::format::{Format, FormatInfo};
use weir_sql::schema::Column;
use weir_sql::types::SqlType;

const ROWS: usize = 8192;

fn columns() -> Vec<Column> {
    vec![
        Column::new("ID", SqlType::Bigint),
        Column::new("USER_ID", SqlType::String),
        Column::new("PAGE", SqlType::String),
        Column::new("AMOUNT", SqlType::Double),
        Column::new("COUNTRY", SqlType::String),
        Column::new("TS", SqlType::Bigint),
    ]
}

/// Rows of 119 bytes, give or take the digits of the numbers.
fn records() -> Vec<Vec<u8>> {
    (0..ROWS)
        .map(|i| {
            format!(
                "{{\"ID\":{},\"USER_ID\":\"user_{:05}\",\"PAGE\":\"/shop/item/{:04}\",\"AMOUNT\":{}.{:02},\"COUNTRY\":\"{}\",\"TS\":{}}}",
                1_000_000 + i,
                i * 7919 % 10_000,
                i * 31 % 5_000,
                i % 900 + 100,
                i % 99 + 1,
                ["DE", "US", "FR", "JP"][i % 4],
                1_700_000_000_000u64 + i as u64,
            )
            .into_bytes()
        })
        .collect()
}

/// Time that this thread was on a CPU, so that what else runs on the machine does not count. Wall time elsewhere than
/// on Linux.
fn cpu_time(started: Instant) -> Duration {
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = on_cpu.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| started.elapsed(), Duration::from_nanos)
}

/// Runs a closure over one batch until time is up; prints the best of five runs, which noise hurts least.
fn measure(name: &str, mut batch: impl FnMut()) {
    const BATCHES: usize = 40;
    let started = Instant::now();
    let mut best = 0.0f64;
    for _ in 0..5 {
        let before = cpu_time(started);
        (0..BATCHES).for_each(|_| batch());
        let spent = cpu_time(started) - before;
        best = best.max((ROWS * BATCHES) as f64 / spent.as_secs_f64());
    }
    println!("{name:20} {:6.2} M rows/s of one core", best / 1e6);
}

fn main() {
    let records = records();
    let slices: Vec<Option<&[u8]>> = records.iter().map(|r| Some(r.as_slice())).collect();
    let json = FormatInfo::new(Format::Json);
    let delimited = FormatInfo::new(Format::Delimited);
    println!("mean JSON row: {} bytes", records.iter().map(Vec::len).sum::<usize>() / ROWS);

    let mut decoder = value_decoder(&json, &columns()).expect("JSON has all types");
    measure("json decode", || drop(black_box(decoder.decode(black_box(&slices)))));
    let two = [columns()[0].clone(), columns()[3].clone()];
    let mut of_two = value_decoder(&json, &two).expect("JSON has all types");
    measure("json decode 2 of 6", || drop(black_box(of_two.decode(black_box(&slices)))));

    let decoded = decoder.decode(&slices);
    assert_eq!(decoded.errors, []);
    for (name, format) in [("json encode", &json), ("delimited encode", &delimited)] {
        let mut out = EncodedRows::new();
        let mut encoder = value_encoder(format, &columns()).expect("flat types");
        measure(name, || {
            out.clear();
            encoder.encode(black_box(&decoded.columns), ROWS, None, &mut out);
        });
    }
    let mut lines = EncodedRows::new();
    let mut encoder = value_encoder(&delimited, &columns()).expect("flat types");
    encoder.encode(&decoded.columns, ROWS, None, &mut lines);
    let slices: Vec<Option<&[u8]>> = lines.iter().collect();
    let mut decoder = value_decoder(&delimited, &columns()).expect("flat types");
    measure("delimited decode", || drop(black_box(decoder.decode(black_box(&slices)))));
}
