//! Consumer groups of the newer protocol (KIP-848): the coordinator assigns, members reconcile by heartbeats.
//!
//! A change of members, subscriptions or topics raises the group epoch. From it follows a target assignment, with the
//! epoch it was made for. Each member walks to its target on its own: it first gives up what is not in the target,
//! confirms that, and then takes on what no other member holds any more.

pub mod assignor;
pub mod heartbeat;
pub mod membership;
pub mod pattern;
pub mod reconcile;
pub mod record;
pub mod state;
pub mod subscription;
pub mod topic_visibility;
pub mod value;

#[cfg(test)]
mod tests;
