//! Which commands of the topic have no effect any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use weir_sql::plan::action::Action;
use weir_sql::plan::command::DdlCommand;

use crate::command::record::{Command, Place};
use crate::command::scan::StoredCommand;

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Source(String),
    Query(String),
    Type(String),
}

/// What a command does to its subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Creates or changes one of them.
    Creator,
    /// Only pauses and resumes.
    Toggle,
    /// Only drops, stops and deletes.
    Ender,
}

#[derive(Debug)]
struct Entry {
    key: String,
    subjects: Vec<Subject>,
    role: Role,
}

/// The commands in force, by what they are about; grows and shrinks with them.
///
/// A command has no effect any more when everything it is about was dropped or stopped later. A drop or stop goes when
/// all that created its subjects is gone: without it they would come back. Of pauses and resumes of the same queries only
/// the last counts. A drop is only accepted when nothing reads the source, so no other command depends on these.
#[derive(Debug, Default)]
pub struct CommandIndex {
    entries: BTreeMap<i64, Entry>,
    /// Offsets of the entries about a subject, in order.
    about: HashMap<Subject, Vec<i64>>,
    ended: HashSet<Subject>,
    /// Keys of commands without effect that were not deleted yet. A command's creators come before it.
    garbage: VecDeque<String>,
}

impl CommandIndex {
    /// Takes the next command.
    pub fn push(&mut self, place: Place, command: &Command) {
        let (subjects, ends) = subjects(command);
        let role = role(command);
        if subjects.is_empty() {
            // Nothing ends it, so there is nothing to look it up for.
            return;
        }
        let superseded = if role == Role::Toggle { self.same_toggles(&subjects) } else { BTreeSet::new() };
        if role == Role::Creator {
            for subject in &subjects {
                self.ended.remove(subject);
            }
        }
        for subject in &subjects {
            self.about.entry(subject.clone()).or_default().push(place.offset);
        }
        self.entries.insert(place.offset, Entry { key: place.key, subjects, role });
        self.remove(&superseded);
        if !ends.is_empty() {
            self.ended.extend(ends.iter().cloned());
            self.end(place.offset, &ends);
        }
    }

    /// Commands without effect that are still stored.
    pub fn garbage_count(&self) -> usize {
        self.garbage.len()
    }

    /// Keys to delete first, of about `bytes_max` together.
    pub fn oldest_garbage(&self, bytes_max: usize) -> Vec<String> {
        let mut bytes = 0;
        let fits = |key: &&String| {
            let first = bytes == 0;
            bytes += key.len();
            first || bytes <= bytes_max
        };
        self.garbage.iter().take_while(fits).cloned().collect()
    }

    /// Forgets the oldest keys: they were deleted.
    pub fn forget_garbage(&mut self, count: usize) {
        self.garbage.drain(..count.min(self.garbage.len()));
    }

    fn offsets(&self, subject: &Subject) -> &[i64] {
        self.about.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Pauses and resumes of exactly these queries.
    fn same_toggles(&self, subjects: &[Subject]) -> BTreeSet<i64> {
        let known = subjects.first().map_or(&[][..], |first| self.offsets(first));
        let same = |offset: &&i64| {
            self.entries.get(offset).is_some_and(|e| e.role == Role::Toggle && e.subjects == subjects)
        };
        known.iter().filter(same).copied().collect()
    }

    /// Finds the commands that lost their effect when `ends` ended by the command at `offset`.
    fn end(&mut self, offset: i64, ends: &[Subject]) {
        let mut dead = BTreeSet::new();
        let mut touched: BTreeSet<&Subject> = ends.iter().collect();
        for at in ends.iter().flat_map(|subject| self.offsets(subject)) {
            let entry = &self.entries[at];
            if entry.role != Role::Ender && entry.subjects.iter().all(|s| self.ended.contains(s)) {
                touched.extend(&entry.subjects);
                dead.insert(*at);
            }
        }
        let gone = |subject: &Subject| {
            let mut creators =
                self.offsets(subject).iter().filter(|at| self.entries[*at].role == Role::Creator);
            creators.all(|at| dead.contains(at))
        };
        let mut enders: BTreeSet<i64> = BTreeSet::from([offset]);
        enders.extend(touched.into_iter().flat_map(|subject| self.offsets(subject)));
        enders.retain(|at| {
            let entry = &self.entries[at];
            entry.role == Role::Ender && entry.subjects.iter().all(gone)
        });
        dead.append(&mut enders);
        self.remove(&dead);
    }

    fn remove(&mut self, dead: &BTreeSet<i64>) {
        for offset in dead {
            let Some(entry) = self.entries.remove(offset) else { continue };
            for subject in &entry.subjects {
                let Some(offsets) = self.about.get_mut(subject) else { continue };
                offsets.retain(|at| at != offset);
                if offsets.is_empty() {
                    self.about.remove(subject);
                    self.ended.remove(subject);
                }
            }
            self.garbage.push_back(entry.key);
        }
    }
}

fn role(command: &Command) -> Role {
    let (mut toggles, mut ends) = (true, true);
    for action in &command.actions {
        match action {
            Action::Ddl(DdlCommand::DropSource { .. } | DdlCommand::DropType { .. })
            | Action::StopQuery { .. }
            | Action::DeleteTopic { .. } => toggles = false,
            Action::PauseQuery { .. } | Action::ResumeQuery { .. } => ends = false,
            Action::Ddl(
                DdlCommand::CreateSource(_)
                | DdlCommand::AlterSource { .. }
                | DdlCommand::RegisterType { .. },
            )
            | Action::CreateTopic { .. }
            | Action::StartQuery { .. } => return Role::Creator,
        }
    }
    match (toggles, ends) {
        (true, _) => Role::Toggle,
        (false, true) => Role::Ender,
        (false, false) => Role::Creator,
    }
}

/// What the command is about, and what of that it ends. Without repetitions.
fn subjects(command: &Command) -> (Vec<Subject>, Vec<Subject>) {
    let (mut subjects, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for action in &command.actions {
        let (subject, ending) = match action {
            Action::Ddl(DdlCommand::CreateSource(create)) => (Subject::Source(create.name.clone()), false),
            Action::Ddl(DdlCommand::AlterSource { name, .. }) => (Subject::Source(name.clone()), false),
            Action::Ddl(DdlCommand::DropSource { name }) => (Subject::Source(name.clone()), true),
            Action::Ddl(DdlCommand::RegisterType { name, .. }) => (Subject::Type(name.clone()), false),
            Action::Ddl(DdlCommand::DropType { name }) => (Subject::Type(name.clone()), true),
            Action::StartQuery { plan, .. } => (Subject::Query(plan.query_id.clone()), false),
            Action::StopQuery { id } => (Subject::Query(id.clone()), true),
            Action::PauseQuery { id } | Action::ResumeQuery { id } => (Subject::Query(id.clone()), false),
            Action::CreateTopic { .. } | Action::DeleteTopic { .. } => continue,
        };
        if ending {
            ends.insert(subject.clone());
        }
        subjects.insert(subject);
    }
    (subjects.into_iter().collect(), ends.into_iter().collect())
}

/// Topics that commands made and none deleted later: name, partitions and settings.
pub fn topics_made<'c>(
    commands: impl Iterator<Item = &'c StoredCommand>,
) -> BTreeMap<&'c str, (i32, &'c BTreeMap<String, String>)> {
    let mut topics = BTreeMap::new();
    for action in commands.flat_map(|c| &c.command.actions) {
        match action {
            Action::CreateTopic { name, partitions, configs, .. } => {
                topics.entry(name.as_str()).or_insert((*partitions, configs));
            }
            Action::DeleteTopic { name } => _ = topics.remove(name.as_str()),
            Action::Ddl(_)
            | Action::StartQuery { .. }
            | Action::StopQuery { .. }
            | Action::PauseQuery { .. }
            | Action::ResumeQuery { .. } => {}
        }
    }
    topics
}

#[cfg(test)]
mod tests;
