//! The one place where threads and tokio tasks start, so that each has a name.

use std::future::Future;
use std::io;
use std::thread;

/// Starts an OS thread called `name`.
///
/// # Errors
/// The operating system's, when it is out of threads.
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.into()).spawn(body)
}

/// Starts a tokio task called `name` on the current runtime.
///
/// # Panics
/// Outside a tokio runtime.
pub fn task<F>(name: &'static str, body: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(name, "task started");
    tokio::spawn(body)
}
