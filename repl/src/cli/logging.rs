//! Log lines: which are written (`--log-level`), their form (`--log-format`), and panics among them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::cli::log_writer::LogWriter;

/// Levels that a directive may name.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const VARIABLE: &str = "WEIR_LOG";
/// The variable of Rust programs, for nodes without `WEIR_LOG`.
const RUST_VARIABLE: &str = "RUST_LOG";
/// How long a panic or the end of the process waits for the lines before it.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// An object a line, with timestamp, level, target, message and fields
    Json,
}

/// Directives such as `info` or `warn,weir_engine=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<LogFilter, String> {
        for directive in text.split(',').map(str::trim) {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level.trim());
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                return Err(format!("unknown level \"{level}\": expected {}", LEVELS.join(", ")));
            }
        }
        EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        Ok(LogFilter(text.to_owned()))
    }
}

/// Sends events and panics of the process to standard error. `filter` is the node's setting, `level` holds where
/// neither it nor a variable is given.
///
/// Errors: the thread that writes them cannot start.
pub fn start(filter: Option<&LogFilter>, level: &str, format: LogFormat) -> io::Result<()> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let given = filter.map(|filter| filter.0.clone()).or_else(|| variable(VARIABLE));
    let given = given.or_else(|| variable(RUST_VARIABLE));
    let filter = given.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level));
    let writer = LogWriter::start()?;
    let writer = WRITER.get_or_init(|| writer).clone();
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(colour).init(),
        LogFormat::Json => {
            lines.with_ansi(false).json().flatten_event(true).with_current_span(false).init();
        }
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Waits until the lines so far are written, for a bounded time.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_TIMEOUT);
    }
}

/// The default hook takes the lock of standard error, which a reader that stands still would never give back.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("of a type that is no text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(%thread, %location, %backtrace, "panic: {message}");
    } else {
        tracing::error!(%thread, %location, "panic: {message}");
    }
    flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_levels_or_levels_of_targets() {
        for text in ["info", "WARN", "off", "info,weir_engine=debug", "weir_broker::log=trace, error"] {
            assert!(text.parse::<LogFilter>().is_ok(), "{text}");
        }
        for text in ["", "verbose", "info,", "weir_engine=loud", "weir_engine"] {
            let error = text.parse::<LogFilter>().expect_err(text);
            assert!(error.starts_with("unknown level"), "{error}");
        }
    }
}
