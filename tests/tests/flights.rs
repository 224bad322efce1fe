//! The demo's results against an independent computation from the CSV files, after a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use weir_tests::server::{ServerProcess, weir_binary};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights")
}

/// Flights, sum of distances, worst delay.
type Route = (i64, i64, Option<i64>);
/// Flights, departed, sum of delays, worst delay.
type CarrierHour = (i64, i64, i64, Option<i64>);

#[derive(Debug, Default)]
struct Oracle {
    routes: BTreeMap<(String, String), Route>,
    carrier_hours: BTreeMap<(String, String), CarrierHour>,
    flights: i64,
}

fn oracle() -> Result<Oracle> {
    let mut oracle = Oracle::default();
    let mut reader = csv::Reader::from_path(examples().join("data/flights-2013-01.csv"))?;
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row?;
        let delay: Option<i64> = row["dep_delay"].parse().ok();
        let distance: i64 = row["distance"].parse()?;
        let route = oracle.routes.entry((row["origin"].clone(), row["dest"].clone())).or_default();
        *route = (route.0 + 1, route.1 + distance, route.2.max(delay));
        let hour =
            oracle.carrier_hours.entry((row["carrier"].clone(), row["time_hour"].clone())).or_default();
        *hour =
            (hour.0 + 1, hour.1 + i64::from(delay.is_some()), hour.2 + delay.unwrap_or(0), hour.3.max(delay));
        oracle.flights += 1;
    }
    Ok(oracle)
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_results_equal_an_independent_computation_after_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().join("data");
    let output = Command::new(weir_binary())
        .arg("demo")
        .arg("--examples")
        .arg(examples())
        .arg("--data-dir")
        .arg(&data_dir)
        .output()
        .context("the binary does not start: build it first")?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("rows/s"), "{text}");

    let server = ServerProcess::start(&data_dir)?;
    let sql = server.sql();
    let oracle = oracle()?;
    let rows = sql.rows("SELECT origin, dest, flights, mean_distance, worst_delay FROM routes;").await?;
    assert_eq!(rows.len(), oracle.routes.len());
    for row in rows {
        let key =
            (row[0].as_str().context("origin")?.to_owned(), row[1].as_str().context("dest")?.to_owned());
        let (flights, distance, worst) = oracle.routes[&key];
        assert_eq!(row[2].as_i64(), Some(flights), "{key:?}");
        let mean = row[3].as_f64().context("mean_distance")?;
        assert!((mean - distance as f64 / flights as f64).abs() < 1e-9, "{key:?}: {mean}");
        assert_eq!(row[4].as_i64(), worst, "{key:?}");
    }
    check_hours(&sql, &oracle).await?;
    let enriched = sql.rows("SELECT COUNT(*) AS n, COUNT(airline) AS named FROM flights_enriched;").await?;
    assert_eq!(enriched[0][0].as_i64(), Some(oracle.flights));
    assert_eq!(enriched[0][1].as_i64(), Some(oracle.flights), "every carrier has a name");
    Ok(())
}

async fn check_hours(sql: &weir_tests::http::SqlClient, oracle: &Oracle) -> Result<()> {
    let statement = "SELECT carrier, TIMESTAMPTOSTRING(WINDOWSTART, 'yyyy-MM-dd''T''HH:mm:ss''Z''', 'UTC') AS hour, \
        flights, departed, mean_delay, worst_delay FROM carrier_delays;";
    let rows = sql.rows(statement).await?;
    assert_eq!(rows.len(), oracle.carrier_hours.len());
    for row in rows {
        let key =
            (row[0].as_str().context("carrier")?.to_owned(), row[1].as_str().context("hour")?.to_owned());
        let (flights, departed, sum, worst) =
            *oracle.carrier_hours.get(&key).with_context(|| format!("{key:?} is in no file"))?;
        assert_eq!(row[2].as_i64(), Some(flights), "{key:?}");
        assert_eq!(row[3].as_i64(), Some(departed), "{key:?}");
        let mean = row[4].as_f64().context("mean_delay")?;
        let expected = if departed == 0 { 0.0 } else { sum as f64 / departed as f64 };
        assert!((mean - expected).abs() < 1e-9, "{key:?}: {mean}, {expected} expected");
        assert_eq!(row[5].as_i64(), worst, "{key:?}");
    }
    Ok(())
}
