//! Lines on standard output and standard error. A line that cannot be written is lost; it never ends the process.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure to write to standard output that was not a closed pipe.
static OUT_FAILURE: OnceLock<String> = OnceLock::new();

/// Writes a line to standard output.
pub fn out(text: impl Display) {
    out_bytes(format!("{text}\n").as_bytes());
}

/// Writes bytes to standard output.
pub fn out_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => {}
        // The reader has seen enough: `weir -e … | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            let _ = OUT_FAILURE.set(error.to_string());
        }
    }
}

/// Writes a line to standard error.
pub fn err(text: impl Display) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Why standard output is incomplete, if it is: a full disk, not a reader that left.
pub fn out_failure() -> Option<&'static str> {
    OUT_FAILURE.get().map(String::as_str)
}
