//! The process dies at every named point it passes, its files fail, or it waits there, and nothing acknowledged is lost or
//! doubled.
//!
//! A first run writes down which points the load reaches and how often; then the server is started once per point, with
//! the point armed at a random hit. `WEIR_FAILPOINT_ACTIONS=abort,eio,enospc,delay:200` chooses actions,
//! `WEIR_FAILPOINT_MAX=1000` all points instead of 20 deaths and 4 of the others by chance, `WEIR_FAILPOINT=NAME` one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use weir_tests::load::{Ledger, Scope, prepare};
use weir_tests::seed;
use weir_tests::server::ServerProcess;

/// Points that must be reached, or the load has become too thin.
const POINTS_MIN: usize = 60;
/// Deaths of a plain run; all of them take minutes.
const DEATHS: usize = 20;
/// What else may happen, and how much of it a plain run tries. Most of it is survived, so each takes as long as the load.
const OTHERS: &str = "eio,enospc,delay:200";
const OTHERS_TRIED: usize = 4;
/// Points per data directory.
const POINTS_PER_DIR: usize = 12;
const LOAD_MAX: Duration = Duration::from_secs(3);
/// A process that is to die is given more time: on a busy machine its load passes fewer points than the trace did.
const DEATH_WITHIN: Duration = Duration::from_secs(15);
const TRACED_LOAD: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(2);
const STOP_PATIENCE: Duration = Duration::from_secs(40);

fn start(dir: &Path, variable: &str, value: &str) -> Result<ServerProcess> {
    ServerProcess::start_adjusted(dir, |command| {
        command.args(["--housekeeping-interval-ms", "100"]).env("RUST_BACKTRACE", "0");
        if !value.is_empty() {
            command.env(variable, value);
        }
    })
}

/// Runs the load for a while, a crash and a clean stop, and gives back the points passed with their hits.
async fn trace() -> Result<BTreeMap<String, u64>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("trace");
    let file_name = file.display().to_string();
    let data = dir.path().join("data");
    let mut server = start(&data, "WEIR_FAILPOINTS_TRACE", &file_name)?;
    prepare(&server, Scope::Everything).await?;
    let mut ledger = Ledger::default();
    for round in 0..2 {
        let addresses = server.addresses();
        let ended = async {
            tokio::time::sleep(TRACED_LOAD).await;
            if round == 0 { server.kill() } else { Ok(()) }
        };
        ledger.run(&addresses, Scope::Everything, PAUSE, ended).await?;
        if round == 0 {
            server = start(&data, "WEIR_FAILPOINTS_TRACE", &file_name)?;
        }
    }
    server.terminate(STOP_PATIENCE)?;
    let mut points = BTreeMap::new();
    for line in std::fs::read_to_string(&file)?.lines() {
        let (name, hits) = line.split_once(' ').context("a name and a number")?;
        let hits: u64 = hits.parse()?;
        let known = points.entry(name.to_owned()).or_insert(0);
        *known = hits.max(*known);
    }
    Ok(points)
}

/// What happened to the armed server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    AtStart,
    UnderLoad,
    AtStop,
    Survived,
}

fn is_death(order: &str) -> bool {
    order.contains("=abort@")
}

/// Lets an armed server run into its point, and checks the one after it.
async fn run_into(dir: &Path, order: &str, ledger: &mut Ledger) -> Result<Outcome> {
    let outcome = match start(dir, "WEIR_FAILPOINTS", order) {
        Err(_) => Outcome::AtStart,
        Ok(mut server) => {
            let addresses = server.addresses();
            let mut died = false;
            let load_max = if is_death(order) { DEATH_WITHIN } else { LOAD_MAX };
            let ended = async {
                let started = Instant::now();
                while started.elapsed() < load_max && !died {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    died = server.ended()?.is_some();
                }
                Ok(())
            };
            ledger.run(&addresses, Scope::Everything, PAUSE, ended).await?;
            if died {
                Outcome::UnderLoad
            } else if server.terminate(STOP_PATIENCE)?.success() {
                Outcome::Survived
            } else {
                Outcome::AtStop
            }
        }
    };
    let mut server = start(dir, "WEIR_FAILPOINTS", "").context("start after the failure")?;
    ledger.check(&server).await?;
    server.kill()?;
    Ok(outcome)
}

/// Processes die and wait anywhere; failures come from files.
fn may_happen(point: &str, action: &str) -> bool {
    const OPERATIONS: [&str; 6] = ["create", "write", "truncate", "sync", "rename", "remove"];
    let failure = action == "eio" || action == "enospc";
    let operation = point.rsplit('.').nth(1).unwrap_or_default();
    // `recover.before_sync` is no file, `metadata.sync.before` is one.
    !failure
        || (OPERATIONS.contains(&operation)
            && ["before", "torn", "after"].iter().any(|end| point.ends_with(end)))
}

/// The orders of this run.
fn orders(points: &BTreeMap<String, u64>, random: &mut StdRng) -> Vec<String> {
    let most = seed::number("WEIR_FAILPOINT_MAX").map(|max| max as usize);
    if let Ok(actions) = std::env::var("WEIR_FAILPOINT_ACTIONS") {
        return some_orders(points, &actions, most.unwrap_or(DEATHS), random);
    }
    let mut orders = some_orders(points, "abort", most.unwrap_or(DEATHS), random);
    if most.is_none() {
        orders.extend(some_orders(points, OTHERS, OTHERS_TRIED, random));
    }
    orders
}

fn some_orders(
    points: &BTreeMap<String, u64>,
    actions: &str,
    most: usize,
    random: &mut StdRng,
) -> Vec<String> {
    let only = std::env::var("WEIR_FAILPOINT").ok();
    let mut orders = Vec::new();
    for action in actions.split(',') {
        let chosen = points.iter().filter(|(name, _)| only.as_ref().is_none_or(|o| o == *name));
        for (name, hits) in chosen.filter(|(name, _)| may_happen(name, action)) {
            // The first hits are special, the later ones typical; half of what was seen is reached surely.
            let hit = if random.random_bool(0.3) { 1 } else { random.random_range(1..=hits.div_ceil(2)) };
            let later = if action == "enospc" { "+" } else { "" };
            orders.push(format!("{name}={action}@{hit}{later}"));
        }
    }
    orders.shuffle(random);
    orders.truncate(most);
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn process_that_dies_at_any_point_loses_and_doubles_nothing() -> Result<()> {
    let seed = seed::announce("failpoints");
    let mut random = seed::random(seed);
    let points = trace().await?;
    ensure!(points.len() >= POINTS_MIN, "{} points reached: {points:?}", points.len());
    let orders = orders(&points, &mut random);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let (mut deaths, mut survived) = (0, 0);
    for chunk in orders.chunks(POINTS_PER_DIR) {
        let dir = tempfile::tempdir()?;
        let mut ledger = Ledger::default();
        let mut server = start(dir.path(), "WEIR_FAILPOINTS", "")?;
        prepare(&server, Scope::Everything).await?;
        server.kill()?;
        for order in chunk {
            let outcome = run_into(dir.path(), order, &mut ledger).await;
            let outcome = outcome.with_context(|| {
                let point = order.split('=').next().unwrap_or_default();
                format!("{order}; again: WEIR_SEED={seed} WEIR_FAILPOINT={point}")
            })?;
            println!("{order}: {outcome:?}");
            if is_death(order) {
                deaths += 1;
                survived += usize::from(outcome == Outcome::Survived);
            }
            *outcomes.entry(format!("{outcome:?}")).or_default() += 1;
        }
        println!("{}", ledger.summary());
    }
    println!("{} points reached by the load, {} orders: {outcomes:?}", points.len(), orders.len());
    ensure!(survived * 4 <= deaths || deaths < 8, "{survived} of {deaths} deaths did not come");
    Ok(())
}
