//! Ctrl-C, without a moment in which it is not heard.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINTs from the time of its making on. One that comes while nobody waits is kept for the next wait.
#[derive(Debug)]
pub struct Interrupts(Option<Signal>);

impl Interrupts {
    /// Begins to watch. Where signals cannot be watched, none ever comes.
    pub fn watch() -> Interrupts {
        Interrupts(signal(SignalKind::interrupt()).ok())
    }

    /// Waits for the next one. May be dropped while waiting; nothing is lost by that.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}
