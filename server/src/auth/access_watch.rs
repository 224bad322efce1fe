//! The rights that a running query needs, checked again while it runs: a rule, a user or a token may be gone meanwhile.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::auth::caller::{Caller, Right};
use crate::error::ApiError;

/// Rows are sent for at most this time after a right was taken away.
pub const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The client of a running query, with the rights that the query needs.
#[derive(Debug)]
pub struct AccessWatch {
    caller: Caller,
    /// The kind of statement.
    action: &'static str,
    rights: Vec<Right>,
    due: Interval,
}

impl AccessWatch {
    /// Watches rights that have just been checked.
    pub fn new(caller: &Caller, action: &'static str, rights: Vec<Right>) -> AccessWatch {
        AccessWatch::every(RECHECK_INTERVAL, caller, action, rights)
    }

    fn every(interval: Duration, caller: &Caller, action: &'static str, rights: Vec<Right>) -> AccessWatch {
        let mut due = interval_at(Instant::now() + interval, interval);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        AccessWatch { caller: caller.clone(), action, rights, due }
    }

    /// Waits until a right was taken from the client, or its proof has lapsed. Cancel safe.
    pub async fn lost(&mut self) -> ApiError {
        if self.caller.address().is_none() {
            return pending().await;
        }
        loop {
            self.due.tick().await;
            if let Err(error) = self.caller.require_still(self.action, &self.rights) {
                return ApiError { message: format!("the query was ended: {error}"), ..error };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use parking_lot::Mutex;
    use weir_broker::auth::acl::Operation;

    use super::*;
    use crate::auth::caller::{Authorizer, Proof};
    use crate::error::ErrorCode;

    /// Rules that a test changes, and the decisions that were reported.
    #[derive(Default)]
    struct Rules {
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        denied: bool,
        lapsed: bool,
        checks: usize,
        audited: Vec<bool>,
    }

    impl Authorizer for Rules {
        fn permits(&self, _: &Arc<str>, _: IpAddr, _: &Right) -> bool {
            let mut state = self.state.lock();
            state.checks += 1;
            !state.denied
        }

        fn lapse(&self, _: &Arc<str>, proof: Proof) -> Option<&'static str> {
            (self.state.lock().lapsed && proof == Proof::Password).then_some("gone")
        }

        fn audit(&self, _: &Arc<str>, _: IpAddr, _: &'static str, _: Option<&Right>, allowed: bool) {
            self.state.lock().audited.push(allowed);
        }
    }

    const INTERVAL: Duration = Duration::from_millis(2);

    fn watch(rules: &Arc<Rules>) -> AccessWatch {
        let authorizer: Arc<dyn Authorizer> = Arc::<Rules>::clone(rules);
        let caller = Caller::new("User:ada", IpAddr::V4(Ipv4Addr::LOCALHOST), Proof::Password, authorizer);
        AccessWatch::every(INTERVAL, &caller, "SELECT", vec![Right::topic(Operation::Read, "t")])
    }

    /// True if nothing is lost for some intervals.
    async fn goes_on(watch: &mut AccessWatch) -> bool {
        tokio::time::timeout(INTERVAL * 20, watch.lost()).await.is_err()
    }

    #[tokio::test]
    async fn lost_rights_and_lapsed_proofs_end_a_query() {
        type Change = (fn(&mut State), ErrorCode);
        let changes: [Change; 2] = [
            (|state| state.denied = true, ErrorCode::AccessDenied),
            (|state| state.lapsed = true, ErrorCode::Unauthenticated),
        ];
        for (change, code) in changes {
            let rules = Arc::new(Rules::default());
            let mut watch = watch(&rules);
            assert!(goes_on(&mut watch).await);
            assert!(rules.state.lock().checks > 0);
            assert!(rules.state.lock().audited.is_empty(), "what was allowed before is not reported again");
            change(&mut rules.state.lock());
            let lost = watch.lost().await;
            assert_eq!(lost.code, code);
            assert!(lost.message.starts_with("the query was ended: User:ada"), "{lost}");
            assert_eq!(rules.state.lock().audited, [false]);
        }
    }

    #[tokio::test]
    async fn queries_of_the_node_itself_are_not_watched() {
        let mut watch = AccessWatch::every(INTERVAL, &Caller::internal(), "SELECT", Vec::new());
        assert!(goes_on(&mut watch).await);
    }
}
