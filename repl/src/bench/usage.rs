//! CPU time and memory of this process, from /proc.

use std::fs;

/// Clock ticks per second of /proc/self/stat: USER_HZ, 100 on every Linux architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of all threads so far, in seconds; 0 where /proc cannot be read.
pub fn cpu_seconds() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // The second field is the command name in parentheses, which may hold blanks.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return 0.0 };
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Lets the peak of [`peak_rss_mib`] begin anew.
pub fn reset_peak_rss() {
    // Without the right to write it the peak includes what came before.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Highest resident memory since the last reset, in MiB.
pub fn peak_rss_mib() -> f64 {
    status_kib("VmHWM:") / 1024.0
}

fn status_kib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0.0)
}
