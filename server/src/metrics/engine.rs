//! Threads of the engine in figures.

use crate::context::Context;
use crate::metrics::text::Page;

pub(crate) fn write(context: &Context, page: &mut Page) {
    let health = context.engine().health();
    let figures: [(&str, &str, &str, u64); 7] = [
        ("weir_engine_workers", "gauge", "Threads that run queries.", health.workers as u64),
        (
            "weir_engine_dead_threads",
            "gauge",
            "Threads that have ended though the engine runs; their queries are in error.",
            health.dead_threads.len() as u64,
        ),
        (
            "weir_engine_thread_restarts",
            "counter",
            "Threads that went on after a panic.",
            health.thread_restarts,
        ),
        ("weir_engine_panics", "counter", "Panics caught in threads and loops of the engine.", health.panics),
        (
            "weir_engine_running_overdue_steps",
            "gauge",
            "Tasks that have not returned from a step for longer than allowed.",
            health.overdue_steps.len() as u64,
        ),
        (
            "weir_engine_overdue_steps",
            "counter",
            "Steps of tasks that took longer than allowed.",
            health.overdue_steps_total,
        ),
        (
            "weir_engine_abandoned_threads",
            "counter",
            "Threads that were replaced because they did not return from a step.",
            health.abandoned_threads,
        ),
    ];
    for (name, kind, help, value) in figures {
        page.family(name, kind, help).sample(&[], value);
    }
}
