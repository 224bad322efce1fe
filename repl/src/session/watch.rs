//! `\watch`: the last statement again and again.

use std::time::Duration;

use chrono::DateTime;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_sql::ast::kind::StatementKind;
use weir_sql::parser::kind::statement_kind;

use crate::input::interrupts::Interrupts;
use crate::session::commands::{usage, usage_error};
use crate::session::{Outcome, OutputForm, Session};

const SECONDS_DEFAULT: f64 = 2.0;
const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 86_400.0;

/// How often, and how many times; None: until Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rhythm {
    seconds: f64,
    times: Option<u64>,
}

impl Rhythm {
    /// `[SECONDS [TIMES]]`
    fn parse(arguments: &str) -> Option<Rhythm> {
        let mut words = arguments.split_whitespace();
        let seconds = match words.next() {
            Some(word) => word.parse::<f64>().ok().filter(|s| (SECONDS_MIN..=SECONDS_MAX).contains(s))?,
            None => SECONDS_DEFAULT,
        };
        let times = match words.next() {
            Some(word) => Some(word.parse::<u64>().ok().filter(|times| *times > 0)?),
            None => None,
        };
        words.next().is_none().then_some(Rhythm { seconds, times })
    }
}

impl Session {
    /// Runs the last statement until Ctrl-C, or as many times as the arguments say.
    pub(crate) async fn watch(&mut self, arguments: &str) -> Outcome {
        let Some(rhythm) = Rhythm::parse(arguments) else {
            self.show_error(&usage("\\watch [SECONDS [TIMES]]"));
            return Outcome::Failed;
        };
        let Some(statement) = self.last_statement.clone().filter(|statement| is_repeatable(statement)) else {
            self.show_error(&usage_error(
                "\\watch repeats the statement before it: SELECT without EMIT, SHOW, DESCRIBE or EXPLAIN"
                    .to_owned(),
            ));
            return Outcome::Failed;
        };
        let pager = self.pager.take();
        let outcome = self.repeat(&statement, rhythm).await;
        self.pager = pager;
        outcome
    }

    async fn repeat(&mut self, statement: &str, rhythm: Rhythm) -> Outcome {
        let mut interrupts = Interrupts::watch();
        let mut round = 0;
        loop {
            let now = DateTime::from_timestamp_millis(SystemClock::new().now_ms()).unwrap_or_default();
            if self.output == OutputForm::Table {
                let head = format!("{} (every {} s)", now.format("%Y-%m-%d %H:%M:%SZ"), rhythm.seconds);
                let head = self.palette.dim.paint(head).to_string();
                self.print(&head);
            }
            match Box::pin(self.run_statement(statement, statement)).await {
                Outcome::Done => round += 1,
                other => return other,
            }
            if rhythm.times.is_some_and(|times| round >= times) {
                return Outcome::Done;
            }
            tokio::select! {
                () = interrupts.next() => return Outcome::Interrupted,
                () = tokio::time::sleep(Duration::from_secs_f64(rhythm.seconds)) => {}
            }
        }
    }
}

/// True for statements that only read, and end.
fn is_repeatable(statement: &str) -> bool {
    matches!(
        statement_kind(statement),
        StatementKind::PullQuery | StatementKind::Show | StatementKind::ShowVariables
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_is_seconds_and_times() {
        let rhythm = |seconds, times| Some(Rhythm { seconds, times });
        assert_eq!(Rhythm::parse(""), rhythm(2.0, None));
        assert_eq!(Rhythm::parse("0.5 3"), rhythm(0.5, Some(3)));
        for wrong in ["0", "-1", "1 0", "nan", "inf", "x", "1 2 3"] {
            assert_eq!(Rhythm::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_reads_and_ends_is_repeated() {
        assert!(is_repeatable("select * from t limit 1;") && is_repeatable("SHOW QUERIES;"));
        assert!(!is_repeatable("SELECT * FROM s EMIT CHANGES;") && !is_repeatable("DROP STREAM s;"));
    }
}
