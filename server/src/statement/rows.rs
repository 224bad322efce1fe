//! Rows on their way to a client, which may be slow.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::ApiError;
use crate::wire::rows::RowEvent;

/// Batches of events that wait for the client. Policy when full: the query waits, but not longer than `stall_max`; then
/// it is ended, and the client is told when it reads again.
const EVENT_BATCHES_MAX: usize = 16;

/// The query's end of the channel.
#[derive(Debug)]
pub(crate) struct RowSender {
    events: mpsc::Sender<Vec<RowEvent>>,
    stall_max: Duration,
    dropped: Arc<OnceLock<ApiError>>,
}

/// The client's end, and why the query was ended if it read too slowly.
pub(crate) type RowReceiver = (mpsc::Receiver<Vec<RowEvent>>, Arc<OnceLock<ApiError>>);

pub(crate) fn channel(stall_max: Duration) -> (RowSender, RowReceiver) {
    let (sender, receiver) = mpsc::channel(EVENT_BATCHES_MAX);
    let dropped = Arc::new(OnceLock::new());
    (RowSender { events: sender, stall_max, dropped: Arc::clone(&dropped) }, (receiver, dropped))
}

impl RowSender {
    /// False if nobody listens any more, or the client is too slow.
    pub(crate) async fn send(&self, events: Vec<RowEvent>) -> bool {
        match tokio::time::timeout(self.stall_max, self.events.send(events)).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                let message = format!(
                    "the query was ended because its client read nothing for {} ms",
                    self.stall_max.as_millis()
                );
                // Nobody else sets it.
                let _ = self.dropped.set(ApiError::bad_request(message));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Vec<RowEvent> {
        vec![RowEvent::Row { columns: "[1]".to_owned(), tombstone: false }]
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_dropped_with_a_message() {
        let (sender, (mut receiver, dropped)) = channel(Duration::from_millis(5));
        for _ in 0..EVENT_BATCHES_MAX {
            assert!(sender.send(row()).await);
        }
        assert!(!sender.send(row()).await);
        drop(sender);
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, EVENT_BATCHES_MAX);
        assert!(dropped.get().is_some_and(|e| e.message.contains("read nothing")));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_not_waited_for() {
        let (sender, (receiver, dropped)) = channel(Duration::from_secs(60));
        drop(receiver);
        assert!(!sender.send(row()).await);
        assert!(dropped.get().is_none());
    }
}
