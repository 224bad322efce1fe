//! Named points at which a test stops, delays or fails the process.
//!
//! `WEIR_FAILPOINTS='log.flush.after_sync=abort@17;metadata.log.write.before=enospc'` arms points when a broker starts.
//! Form: `NAME=ACTION[@HIT[+]]`; the action happens at the given hit (the first by default), with `+` from it on.
//! Actions: `abort` (the process dies as by a crash), `eio`, `enospc`, `delay:MS`.
//!
//! `WEIR_FAILPOINTS_TRACE=FILE` writes the names of all points reached to a file, with their numbers of hits in powers
//! of two, so that a test knows what it can ask for.
//!
//! A point that is not armed costs one relaxed load. Files have points of their own: see
//! [`crate::env::storage::failing`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::Error;

/// The variable that arms points.
pub const VARIABLE: &str = "WEIR_FAILPOINTS";
/// The variable that names the file of a trace.
pub const TRACE_VARIABLE: &str = "WEIR_FAILPOINTS_TRACE";

static ARMED: AtomicBool = AtomicBool::new(false);
static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();

/// Passes a named point. `Err` if the point is armed with a failure.
#[macro_export]
macro_rules! failpoint {
    ($name:expr) => {
        if $crate::env::failpoint::is_armed() {
            $crate::env::failpoint::pass($name)
        } else {
            ::std::result::Result::<(), $crate::error::Error>::Ok(())
        }
    };
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Abort,
    InputOutputError,
    NoSpace,
    Delay(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    action: Action,
    /// From 1.
    hit: u64,
    and_later: bool,
}

#[derive(Debug, Default)]
struct Table {
    orders: HashMap<String, Vec<Order>>,
    hits: HashMap<String, u64>,
    trace: Option<File>,
}

/// Why an order was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failpoint order \"{0}\" is not NAME=abort|eio|enospc|delay:MS[@HIT[+]]")]
pub struct OrderError(String);

/// Whether any point is armed or traced.
#[inline]
pub fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// Arms what the environment asks for; returns whether that is anything. Only the first call of a process counts.
///
/// # Errors
/// [`OrderError`]; the trace file cannot be made.
pub fn arm_from_environment() -> io::Result<bool> {
    let orders = std::env::var(VARIABLE).unwrap_or_default();
    let trace = std::env::var_os(TRACE_VARIABLE);
    if orders.is_empty() && trace.is_none() {
        return Ok(false);
    }
    let mut table = Table { orders: parse(&orders).map_err(io::Error::other)?, ..Table::default() };
    if let Some(path) = trace {
        table.trace = Some(OpenOptions::new().create(true).append(true).open(path)?);
    }
    if TABLE.set(Mutex::new(table)).is_ok() {
        ARMED.store(true, Ordering::Relaxed);
    }
    Ok(true)
}

fn parse(orders: &str) -> Result<HashMap<String, Vec<Order>>, OrderError> {
    let mut parsed: HashMap<String, Vec<Order>> = HashMap::new();
    for text in orders.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        let (name, order) = parse_order(text).ok_or_else(|| OrderError(text.to_owned()))?;
        parsed.entry(name).or_default().push(order);
    }
    Ok(parsed)
}

fn parse_order(text: &str) -> Option<(String, Order)> {
    let (name, rest) = text.split_once('=')?;
    let (action, hit) = rest.split_once('@').unwrap_or((rest, "1"));
    let (hit, and_later) = hit.strip_suffix('+').map_or((hit, false), |hit| (hit, true));
    let action = match action.split_once(':') {
        None if action == "abort" => Action::Abort,
        None if action == "eio" => Action::InputOutputError,
        None if action == "enospc" => Action::NoSpace,
        Some(("delay", ms)) => Action::Delay(Duration::from_millis(ms.parse().ok()?)),
        None | Some(_) => return None,
    };
    Some((name.to_owned(), Order { action, hit: hit.parse().ok()?, and_later }))
}

/// As [`pass`], for code which speaks the operating system's errors.
pub(crate) fn pass_io(name: &str) -> io::Result<()> {
    let Some(table) = TABLE.get() else { return Ok(()) };
    let action = table.lock().hit(name);
    act(action)
}

fn act(action: Option<Action>) -> io::Result<()> {
    /// `EIO`.
    const INPUT_OUTPUT_ERROR: i32 = 5;
    match action {
        None => Ok(()),
        Some(Action::Abort) => std::process::abort(),
        Some(Action::InputOutputError) => Err(io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR)),
        Some(Action::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
        Some(Action::Delay(delay)) => {
            wait(delay);
            Ok(())
        }
    }
}

/// Passes a point. Use [`failpoint!`](crate::failpoint), which costs nothing while nothing is armed.
///
/// # Errors
/// [`Error::Io`] if the point is to fail.
pub fn pass(name: &'static str) -> Result<(), Error> {
    pass_io(name).map_err(|error| injected(name, error))
}

fn injected(name: &'static str, error: io::Error) -> Error {
    Error::Io { action: "pass the failpoint", path: Path::new(name).to_owned(), source: Arc::new(error) }
}

/// As [`pass`], for asynchronous code: a delay keeps no thread.
///
/// # Errors
/// [`Error::Io`] if the point is to fail.
pub async fn pass_async(name: &'static str) -> Result<(), Error> {
    if !is_armed() {
        return Ok(());
    }
    let action = TABLE.get().and_then(|table| table.lock().hit(name));
    if let Some(Action::Delay(delay)) = action {
        tokio::time::sleep(delay).await;
        return Ok(());
    }
    act(action).map_err(|error| injected(name, error))
}

fn wait(delay: Duration) {
    let started = Instant::now();
    while let Some(left) = delay.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

impl Table {
    fn hit(&mut self, name: &str) -> Option<Action> {
        let hits = match self.hits.get_mut(name) {
            Some(hits) => hits,
            None => self.hits.entry(name.to_owned()).or_default(),
        };
        *hits += 1;
        let hits = *hits;
        if let Some(trace) = &mut self.trace
            && hits.is_power_of_two()
        {
            // A trace that cannot be written is missed by the test that wants it.
            let _ = writeln!(trace, "{name} {hits}");
        }
        let due = |order: &&Order| order.hit == hits || (order.and_later && hits > order.hit);
        self.orders.get(name)?.iter().find(due).map(|order| order.action)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Action, Order, Table, parse};

    #[test]
    fn orders_are_read() {
        let orders = parse("a.b=abort@17; c=delay:20 ;d=enospc@2+;d=eio").expect("well formed");
        let order = |action, hit, and_later| Order { action, hit, and_later };
        assert_eq!(orders["a.b"], [order(Action::Abort, 17, false)]);
        assert_eq!(orders["c"], [order(Action::Delay(Duration::from_millis(20)), 1, false)]);
        assert_eq!(orders["d"][1], order(Action::InputOutputError, 1, false));
        for wrong in ["a", "a=", "a=explode", "a=abort@", "a=abort@x", "a=delay", "a=delay:x", "a=abort:3"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_action_is_due_at_its_hit() {
        let mut table =
            Table { orders: parse("a=eio@2;b=enospc@2+").expect("well formed"), ..Table::default() };
        let hits = |name: &str, table: &mut Table| [(); 3].map(|()| table.hit(name));
        assert_eq!(hits("a", &mut table), [None, Some(Action::InputOutputError), None]);
        assert_eq!(hits("b", &mut table), [None, Some(Action::NoSpace), Some(Action::NoSpace)]);
        assert_eq!(hits("c", &mut table), [None; 3]);
    }
}
