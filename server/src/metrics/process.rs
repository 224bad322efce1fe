//! The process in figures, under the names that Prometheus' own clients give them. Source: proc(5).

use std::fs;
use std::time::Duration;

use crate::metrics::text::Page;

/// `USER_HZ`, which is 100 on every Linux that can be bought.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4_096;

pub(crate) fn write(uptime: Duration, page: &mut Page) {
    page.family("weir_uptime_seconds", "gauge", "Time since the node was started.")
        .sample(&[], uptime.as_secs_f64());
    // Where there is no proc file system, there are no figures.
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        page.family("process_cpu_seconds", "counter", "CPU time, user and system.").sample(&[], seconds);
    }
    if let Some((size, resident)) =
        fs::read_to_string("/proc/self/statm").ok().as_deref().and_then(memory_bytes)
    {
        page.family("process_virtual_memory_bytes", "gauge", "Address space.").sample(&[], size);
        page.family("process_resident_memory_bytes", "gauge", "Resident memory.").sample(&[], resident);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        page.family("process_open_fds", "gauge", "Open file descriptors.").sample(&[], descriptors.count());
    }
    if let Ok(threads) = fs::read_dir("/proc/self/task") {
        page.family("process_threads", "gauge", "Threads.").sample(&[], threads.count());
    }
}

/// Fields 14 and 15, counted after the command, which may hold anything but ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Size and resident set.
fn memory_bytes(statm: &str) -> Option<(u64, u64)> {
    let mut pages = statm.split_whitespace().map(str::parse::<u64>);
    let (size, resident) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some((size * PAGE_BYTES, resident * PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "12 (a) b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("junk"), None);
        assert_eq!(memory_bytes("10 2 1 0 0 0 0\n"), Some((40_960, 8_192)));
        assert_eq!(memory_bytes(""), None);
    }
}
