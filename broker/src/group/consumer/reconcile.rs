//! A member's next step towards its target: revoke first, then assign only partitions that no other member holds.

use super::assignor::PartitionSet;
use super::heartbeat::HeartbeatRequest;
use super::state::{ConsumerGroup, JOIN_EPOCH, MemberState};

/// State of a member after a step.
#[derive(Debug, PartialEq)]
struct Standing {
    state: MemberState,
    epoch: i32,
    assigned: PartitionSet,
    revoking: PartitionSet,
}

/// Partitions that a heartbeat claims for its sender.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// It joins, and holds nothing.
    Nothing,
    /// It knows what it may read, and holds these.
    Holds(PartitionSet),
    /// It may hold every partition that was ever assigned to it.
    Unknown,
}

impl ConsumerGroup {
    /// The partitions that the member claims in its request.
    ///
    /// A member that repeats everything has missed an answer. It may be about to take on partitions that the missed answer
    /// revoked, so it is answered again before its claim counts; a member that always repeats everything counts then.
    pub(crate) fn claim(&mut self, request: &HeartbeatRequest) -> Claim {
        let Some(member) = self.members.get_mut(&request.member_id) else { return Claim::Unknown };
        if request.owned.is_some() {
            member.claimed.clone_from(&request.owned);
        }
        let missed_answer = request.is_full() && !member.told_again;
        member.told_again = request.is_full();
        match &member.claimed {
            _ if request.member_epoch == JOIN_EPOCH => Claim::Nothing,
            Some(claimed) if !missed_answer => Claim::Holds(claimed.clone()),
            Some(_) | None => Claim::Unknown,
        }
    }

    /// Lets a member take its next step. Returns whether the member's record has to be stored.
    pub(crate) fn reconcile(&mut self, member_id: &str, claim: &Claim, now: i64) -> bool {
        let Some(member) = self.members.get(member_id) else { return false };
        match (member.state, claim) {
            (MemberState::Stable, _) if member.epoch == self.assignment_epoch => return false,
            (MemberState::UnrevokedPartitions, Claim::Unknown) => return false,
            (MemberState::UnrevokedPartitions, Claim::Holds(owned))
                if !owned.is_disjoint(&member.revoking) =>
            {
                return false;
            }
            (
                MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions,
                Claim::Nothing | Claim::Holds(_) | Claim::Unknown,
            ) => {}
        }
        let next = self.next_standing(member_id, matches!(claim, Claim::Nothing));
        let member = &self.members[member_id];
        let unchanged = member.state == next.state
            && member.epoch == next.epoch
            && member.assigned == next.assigned
            && member.revoking == next.revoking;
        if unchanged {
            return false;
        }
        let timeout = i64::from(member.rebalance_timeout_ms.max(0));
        self.set_partitions(member_id, next.assigned, next.revoking);
        let member = self.members.get_mut(member_id).expect("looked up above");
        if member.epoch != next.epoch {
            member.previous_epoch = member.epoch;
            member.epoch = next.epoch;
        }
        member.state = next.state;
        member.revocation_deadline =
            (next.state == MemberState::UnrevokedPartitions).then_some(now.saturating_add(timeout));
        true
    }

    fn next_standing(&self, member_id: &str, holds_nothing: bool) -> Standing {
        let member = &self.members[member_id];
        let none = PartitionSet::new();
        let target = self.targets.get(member_id).unwrap_or(&none);
        let kept: PartitionSet = member.assigned.intersection(target).copied().collect();
        let surplus: PartitionSet = member.assigned.difference(target).copied().collect();
        // A member that does not hold the surplus yet may be about to take it on, so it has to confirm as well.
        if !surplus.is_empty() && !holds_nothing {
            let state = MemberState::UnrevokedPartitions;
            return Standing { state, epoch: member.epoch, assigned: kept, revoking: surplus };
        }
        // What the member itself gives up with this step counts as free.
        let is_free =
            |partition: &(uuid::Uuid, i32)| self.owners.get(partition).is_none_or(|owner| owner == member_id);
        let (free, held): (PartitionSet, PartitionSet) =
            target.difference(&kept).copied().partition(|partition| is_free(partition));
        let state = if held.is_empty() { MemberState::Stable } else { MemberState::UnreleasedPartitions };
        let assigned = kept.into_iter().chain(free).collect();
        Standing { state, epoch: self.assignment_epoch, assigned, revoking: PartitionSet::new() }
    }
}
