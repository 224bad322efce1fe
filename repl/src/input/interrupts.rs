//! Ctrl-C, without a moment in which it is not heard.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINTs since this was made. One that arrives between two waits is kept for the next wait.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Interrupts {
    /// Begins to watch. Where signals cannot be watched, none ever comes.
    pub fn watch() -> Interrupts {
        Interrupts { interrupt: signal(SignalKind::interrupt()).ok(), terminate: None }
    }

    /// As [`Interrupts::watch`], for what `kill` sends by default as well.
    pub fn watch_with_terminate() -> Interrupts {
        Interrupts { terminate: signal(SignalKind::terminate()).ok(), ..Interrupts::watch() }
    }

    /// Waits for the next one. May be dropped while waiting; nothing is lost by that.
    pub async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
