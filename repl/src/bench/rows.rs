//! The rows of the workloads: about 120 bytes of JSON each, the same for every run.

use std::fmt::Write;

/// Keys of w2, and rows of the table of w3.
pub const KEYS: u64 = 10_000;
/// The first event time. Units: ms since epoch.
const START_MS: i64 = 1_700_000_000_000;
/// Rows per second of event time.
const ROWS_PER_SECOND: u64 = 10_000;
/// w1 keeps the rows of at least this quantity: half of them.
pub const QUANTITY_KEPT: u64 = 5;

const CITIES: [&str; 8] =
    ["Amsterdam", "Berlin", "Chicago", "Denver", "Edinburgh", "Florence", "Geneva", "Helsinki"];

/// splitmix64: a well-mixed number per index, so that row `i` needs no row before it.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The key of row `index`, one of [`KEYS`].
pub fn key(index: u64) -> String {
    format!("k{:05}", mix(index) % KEYS)
}

/// Event time of row `index`. Units: ms since epoch.
pub fn timestamp(index: u64) -> i64 {
    START_MS + i64::try_from(index * 1_000 / ROWS_PER_SECOND).unwrap_or(i64::MAX - START_MS)
}

/// True if w1 keeps the row.
pub fn is_kept(index: u64) -> bool {
    quantity(index) >= QUANTITY_KEPT
}

fn quantity(index: u64) -> u64 {
    (mix(index) >> 20) % 10
}

/// Appends the JSON of row `index`.
pub fn write_row(index: u64, out: &mut String) {
    let bits = mix(index);
    let cents = (bits >> 32) % 100_000;
    let _ = write!(
        out,
        "{{\"id\":{index},\"k\":\"k{:05}\",\"ts\":{},\"amount\":{}.{:02},\"quantity\":{},\"city\":\"{}\",\"note\":\"{:016x}\"}}",
        bits % KEYS,
        timestamp(index),
        cents / 100,
        cents % 100,
        quantity(index),
        CITIES[(bits >> 40) as usize % CITIES.len()],
        bits,
    );
}

/// Key and JSON of row `index` of the table of w3.
pub fn table_row(index: u64) -> (String, String) {
    let key = format!("k{index:05}");
    (key, format!("{{\"name\":\"customer {index}\",\"region\":\"region {}\"}}", index % 50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_json_of_the_promised_size() {
        let mut total = 0;
        let mut kept = 0;
        for index in 0..1_000 {
            let mut row = String::new();
            write_row(index, &mut row);
            let value: serde_json::Value = serde_json::from_str(&row).expect("valid JSON");
            assert_eq!(value["k"], key(index));
            total += row.len();
            kept += usize::from(is_kept(index));
        }
        assert!((110..=130).contains(&(total / 1_000)), "{}", total / 1_000);
        assert!((450..=550).contains(&kept), "{kept}");
    }
}
