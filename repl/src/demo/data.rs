//! The example's CSV files as JSON records.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// A record of one of the demo's topics.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoRecord {
    pub key: String,
    pub value: String,
}

/// Columns that are numbers; all others are text.
const NUMBERS: [&str; 17] = [
    "flight",
    "sched_dep_time",
    "dep_delay",
    "arr_delay",
    "air_time",
    "distance",
    "temp",
    "wind_speed",
    "precip",
    "visib",
    "lat",
    "lon",
    "seats",
    "year",
    "engines",
    "alt",
    "speed",
];

/// One topic: its file, the columns of its values, and what its key is made of.
#[derive(Clone, Copy, Debug)]
pub struct DemoTopic {
    pub topic: &'static str,
    file: &'static str,
    /// Columns joined with `-` give the key.
    key: &'static [&'static str],
    columns: &'static [&'static str],
}

pub const TABLES: [DemoTopic; 3] = [
    DemoTopic { topic: "airlines", file: "airlines.csv", key: &["carrier"], columns: &["name"] },
    DemoTopic {
        topic: "airports",
        file: "airports.csv",
        key: &["faa"],
        columns: &["name", "lat", "lon", "tzone"],
    },
    DemoTopic {
        topic: "planes",
        file: "planes.csv",
        key: &["tailnum"],
        columns: &["year", "manufacturer", "model", "seats"],
    },
];

pub const WEATHER: DemoTopic = DemoTopic {
    topic: "weather",
    file: "weather-2013-01.csv",
    key: &["origin"],
    columns: &["temp", "wind_speed", "precip", "visib", "time_hour"],
};

pub const FLIGHTS: DemoTopic = DemoTopic {
    topic: "flights",
    file: "flights-2013-01.csv",
    key: &["carrier", "flight", "origin", "time_hour"],
    columns: &[
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "sched_dep_time",
        "dep_delay",
        "arr_delay",
        "air_time",
        "distance",
        "time_hour",
    ],
};

/// Reads a topic's records. `NA` is null.
pub fn read(folder: &Path, topic: &DemoTopic) -> Result<Vec<DemoRecord>> {
    let path = folder.join(topic.file);
    let mut reader =
        csv::Reader::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|h| h == name)
            .with_context(|| format!("{} has no column {name}", path.display()))
    };
    let key: Vec<usize> = topic.key.iter().map(|c| column(c)).collect::<Result<_>>()?;
    let columns: Vec<(&str, usize)> =
        topic.columns.iter().map(|c| Ok((*c, column(c)?))).collect::<Result<_>>()?;
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.with_context(|| format!("cannot read {}", path.display()))?;
        let key: Vec<&str> = key.iter().map(|at| &row[*at]).collect();
        let members: Map<String, Value> =
            columns.iter().map(|(name, at)| ((*name).to_owned(), cell(name, &row[*at]))).collect();
        records.push(DemoRecord { key: key.join("-"), value: Value::Object(members).to_string() });
    }
    Ok(records)
}

fn cell(column: &str, text: &str) -> Value {
    if text == "NA" || text.is_empty() {
        return Value::Null;
    }
    if NUMBERS.contains(&column)
        && let Ok(number) = text.parse::<serde_json::Number>()
    {
        return Value::Number(number);
    }
    Value::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/data")
    }

    #[test]
    fn every_flight_of_january_is_there() {
        let flights = read(&folder(), &FLIGHTS).expect("readable");
        assert_eq!(flights.len(), 27_004);
        let first: Value = serde_json::from_str(&flights[0].value).expect("valid JSON");
        assert_eq!(first["carrier"], "UA");
        assert_eq!(first["dep_delay"], 2);
    }

    #[test]
    fn keys_of_tables_are_unique() {
        for topic in TABLES {
            let records = read(&folder(), &topic).expect("readable");
            let mut keys: Vec<&str> = records.iter().map(|r| r.key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), records.len(), "{}", topic.topic);
        }
    }
}
