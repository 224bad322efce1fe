//! The formats that the keys or values of a topic may have, narrowed with every record.

use serde_json::Value;

/// Window bounds that are believed: until the year 2200. Units: ms since epoch.
const BOUND_MAX: i64 = 7_258_118_400_000;
/// Larger numbers are shown as a double where they look like one.
const BIGINT_PLAUSIBLE_MAX: u64 = 1 << 52;
const DOUBLE_PLAUSIBLE: std::ops::RangeInclusive<f64> = 1e-12..=1e18;

/// The form of bytes without their window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Json,
    Int,
    Bigint,
    Double,
    String,
}

impl Plain {
    fn name(self) -> &'static str {
        match self {
            Plain::Json => "JSON",
            Plain::Int => "KAFKA_INT",
            Plain::Bigint => "KAFKA_BIGINT",
            Plain::Double => "KAFKA_DOUBLE",
            Plain::String => "KAFKA_STRING",
        }
    }

    /// The bytes as text; None: they do not have this form.
    fn read(self, bytes: &[u8]) -> Option<String> {
        match self {
            Plain::Json => {
                let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
                let is_container = matches!(first, Some(b'{' | b'['));
                let value = is_container.then(|| serde_json::from_slice::<Value>(bytes).ok())??;
                Some(value.to_string())
            }
            Plain::String => printable(bytes).map(str::to_owned),
            Plain::Int if printable(bytes).is_none() => {
                Some(i32::from_be_bytes(bytes.try_into().ok()?).to_string())
            }
            Plain::Bigint if printable(bytes).is_none() => {
                let (bigint, double) = eight_bytes(bytes)?;
                let fits = bigint.unsigned_abs() < BIGINT_PLAUSIBLE_MAX || !is_plausible(double);
                fits.then(|| bigint.to_string())
            }
            Plain::Double if printable(bytes).is_none() => {
                let (bigint, double) = eight_bytes(bytes)?;
                let is_rest = double.is_finite() && bigint.unsigned_abs() >= BIGINT_PLAUSIBLE_MAX;
                let fits = is_plausible(double) || is_rest;
                fits.then(|| Value::from(double).to_string())
            }
            Plain::Int | Plain::Bigint | Plain::Double => None,
        }
    }
}

fn eight_bytes(bytes: &[u8]) -> Option<(i64, f64)> {
    let bytes: [u8; 8] = bytes.try_into().ok()?;
    Some((i64::from_be_bytes(bytes), f64::from_be_bytes(bytes)))
}

fn is_plausible(double: f64) -> bool {
    double == 0.0 || DOUBLE_PLAUSIBLE.contains(&double.abs())
}

fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(|c| !c.is_control() || c.is_whitespace()).then_some(text)
}

/// The bounds of a window at the end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    None,
    Session,
    /// The start alone: the end follows from the size of the window.
    Hopping,
    Tumbling,
}

/// One possible format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    bounds: Bounds,
    plain: Plain,
}

impl Format {
    fn name(self) -> String {
        let plain = self.plain.name();
        match self.bounds {
            Bounds::None => plain.to_owned(),
            Bounds::Session => format!("SESSION({plain})"),
            Bounds::Hopping => format!("HOPPING({plain})"),
            Bounds::Tumbling => format!("TUMBLING({plain})"),
        }
    }

    fn read(self, bytes: &[u8]) -> Option<String> {
        let bound_bytes = match self.bounds {
            Bounds::None => return self.plain.read(bytes),
            Bounds::Hopping | Bounds::Tumbling => 8,
            Bounds::Session => 16,
        };
        let at = bytes.len().checked_sub(bound_bytes).filter(|at| *at > 0)?;
        let (key, bounds) = bytes.split_at(at);
        let last = bound(&bounds[bound_bytes - 8..])?;
        let key = self.plain.read(key)?;
        match self.bounds {
            Bounds::Session => {
                let end = bound(&bounds[..8])?;
                (last <= end).then(|| format!("[{key}@{last}/{end}]"))
            }
            Bounds::None | Bounds::Hopping | Bounds::Tumbling => Some(format!("[{key}@{last}/-]")),
        }
    }
}

fn bound(bytes: &[u8]) -> Option<i64> {
    let bound = i64::from_be_bytes(bytes.try_into().ok()?);
    (0..=BOUND_MAX).contains(&bound).then_some(bound)
}

/// The side of a record. Only keys are windowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Key,
    Value,
}

/// What is known of one side of a topic.
#[derive(Debug)]
pub(super) struct Formats {
    side: Side,
    /// Those that fit every record so far; None before the first that is not null.
    fitting: Option<Vec<Format>>,
    /// Some records fit formats that others do not.
    mixed: bool,
}

impl Formats {
    pub(super) fn new(side: Side) -> Formats {
        Formats { side, fitting: None, mixed: false }
    }

    /// Narrows the formats by the bytes of a record.
    pub(super) fn narrow(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes.filter(|_| !self.mixed) else { return };
        let fits = all(self.side).into_iter().filter(|format| format.read(bytes).is_some());
        match &mut self.fitting {
            None => self.fitting = Some(fits.collect()),
            Some(fitting) => {
                let fits: Vec<Format> = fits.collect();
                let both: Vec<Format> = fitting.iter().filter(|f| fits.contains(f)).copied().collect();
                self.mixed = both.is_empty() && !(fitting.is_empty() && fits.is_empty());
                *fitting = both;
            }
        }
    }

    /// The formats, as PRINT announces them.
    pub(super) fn announcement(&self) -> String {
        match &self.fitting {
            None => "¯\\_(ツ)_/¯ - no data processed".to_owned(),
            Some(_) if self.mixed => "MIXED".to_owned(),
            Some(fitting) if fitting.is_empty() => "unrecognized bytes".to_owned(),
            Some(fitting) => {
                let names: Vec<String> = fitting.iter().map(|f| f.name()).collect();
                names.join(" or ")
            }
        }
    }

    /// The bytes as text: in the first format that fits, else in hexadecimal.
    pub(super) fn render(&self, bytes: Option<&[u8]>) -> String {
        let Some(bytes) = bytes else { return "<null>".to_owned() };
        let known = self.fitting.iter().flatten().copied();
        let text = known.chain(all(self.side)).find_map(|format| format.read(bytes));
        text.unwrap_or_else(|| bytes.iter().map(|b| format!("\\x{b:02X}")).collect())
    }
}

fn all(side: Side) -> Vec<Format> {
    let plain = [Plain::Json, Plain::Int, Plain::Bigint, Plain::Double, Plain::String];
    let bounds: &[Bounds] = match side {
        Side::Key => &[Bounds::None, Bounds::Session, Bounds::Hopping, Bounds::Tumbling],
        Side::Value => &[Bounds::None],
    };
    bounds.iter().flat_map(|bounds| plain.map(|plain| Format { bounds: *bounds, plain })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(side: Side, records: &[&[u8]], announced: &str, shown: &[&str]) {
        let mut formats = Formats::new(side);
        records.iter().for_each(|bytes| formats.narrow(Some(bytes)));
        assert_eq!(formats.announcement(), announced);
        let rendered: Vec<String> = records.iter().map(|bytes| formats.render(Some(bytes))).collect();
        assert_eq!(rendered, shown, "{announced}");
    }

    #[test]
    fn formats_are_narrowed_by_every_record() {
        check(Side::Value, &[b"{\"a\":1}"], "JSON or KAFKA_STRING", &["{\"a\":1}"]);
        check(Side::Value, &[b"{\"a\":1}", b"x"], "KAFKA_STRING", &["{\"a\":1}", "x"]);
        check(Side::Value, &[&7_i32.to_be_bytes(), b"text!"], "MIXED", &["7", "text!"]);
        check(Side::Value, &[&[0xFF, 1, 2]], "unrecognized bytes", &["\\xFF\\x01\\x02"]);
        check(Side::Key, &[], "¯\\_(ツ)_/¯ - no data processed", &[]);
    }

    #[test]
    fn doubles_are_told_from_bigints() {
        check(Side::Value, &[&7_i64.to_be_bytes()], "KAFKA_BIGINT", &["7"]);
        check(Side::Value, &[&1.5_f64.to_be_bytes()], "KAFKA_DOUBLE", &["1.5"]);
        check(Side::Value, &[&0_i64.to_be_bytes()], "KAFKA_BIGINT or KAFKA_DOUBLE", &["0"]);
        let both: [&[u8]; 2] = [&0_f64.to_be_bytes(), &(-2.5_f64).to_be_bytes()];
        check(Side::Value, &both, "KAFKA_DOUBLE", &["0.0", "-2.5"]);
        check(Side::Value, &[&i64::MAX.to_be_bytes()], "KAFKA_BIGINT", &["9223372036854775807"]);
    }

    #[test]
    fn windowed_keys_show_their_bounds() {
        let key = |key: &[u8], bounds: &[i64]| {
            let mut bytes = key.to_vec();
            bounds.iter().for_each(|b| bytes.extend(b.to_be_bytes()));
            bytes
        };
        let tumbling = key(b"ada", &[1_600_000_000_000]);
        check(
            Side::Key,
            &[&tumbling],
            "HOPPING(KAFKA_STRING) or TUMBLING(KAFKA_STRING)",
            &["[ada@1600000000000/-]"],
        );
        let session = key(&5_i32.to_be_bytes(), &[1_600_000_009_000, 1_600_000_000_000]);
        let mut formats = Formats::new(Side::Key);
        formats.narrow(Some(&session));
        assert!(formats.announcement().contains("SESSION(KAFKA_INT)"), "{}", formats.announcement());
        assert_eq!(formats.render(Some(&session)), "[5@1600000000000/1600000009000]");
        assert_eq!(Formats::new(Side::Value).render(None), "<null>");
    }
}
