//! kill -9 under load: nothing acknowledged is lost or doubled, and tables equal an oracle.
//!
//! `WEIR_KILLS=200` kills two hundred times instead of twenty. The server is checked after every fifth start and at the end.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt;
use weir_tests::load::{Ledger, Scope, prepare};
use weir_tests::seed;
use weir_tests::server::ServerProcess;

const KILLS: u64 = 20;
const CHECKED_EVERY: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_loses_and_doubles_nothing() -> Result<()> {
    let seed = seed::announce("crash");
    let kills = seed::number("WEIR_KILLS").unwrap_or(KILLS);
    let mut random = seed::random(seed);
    let folder = tempfile::tempdir()?;
    let start = || {
        ServerProcess::start_adjusted(folder.path(), |command| {
            command.args(["--housekeeping-interval-ms", "100"]);
        })
    };
    let mut server = start()?;
    prepare(&server, Scope::Everything).await?;
    let mut ledger = Ledger::default();
    // A thousand kills must not make a log that takes hours to check.
    let pause = Duration::from_millis(kills / 10);
    for kill in 1..=kills {
        let delay = Duration::from_millis(random.random_range(20..400));
        let addresses = server.addresses();
        let killed = async {
            tokio::time::sleep(delay).await;
            server.kill()
        };
        ledger.run(&addresses, Scope::Everything, pause, killed).await?;
        server = start().with_context(|| format!("start after kill {kill}"))?;
        if kill % CHECKED_EVERY == 0 {
            ledger.check(&server).await.with_context(|| format!("after kill {kill}"))?;
        }
    }
    let events = ledger.check(&server).await?;
    println!("{kills} kills: {}", ledger.summary());
    assert!(ledger.acknowledged.len() > 1_000, "too little load to mean anything");
    ledger.check_tables(&server, &events).await
}
