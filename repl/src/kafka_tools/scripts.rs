//! Kafka's own scripts, and kcat: what the binary does when it is called by their names. Their flags are understood and their
//! layouts kept where other programs read them; the work is that of the tools beside this module.

pub mod acls;
pub mod arguments;
pub mod configs;
pub mod console_consumer;
pub mod console_producer;
pub mod consumer_groups;
pub mod delete_records;
pub mod get_offsets;
pub mod kcat;
pub mod topics;

use std::ffi::OsString;
use std::path::Path;

use crate::kafka_tools::error::Result;
use crate::kafka_tools::scripts::arguments::parse;

/// A program whose name is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Topics,
    ConsoleProducer,
    ConsoleConsumer,
    ConsumerGroups,
    Acls,
    Configs,
    GetOffsets,
    DeleteRecords,
    Kcat,
}

impl Script {
    pub const ALL: [Script; 9] = [
        Script::Topics,
        Script::ConsoleProducer,
        Script::ConsoleConsumer,
        Script::ConsumerGroups,
        Script::Acls,
        Script::Configs,
        Script::GetOffsets,
        Script::DeleteRecords,
        Script::Kcat,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Script::Topics => "kafka-topics",
            Script::ConsoleProducer => "kafka-console-producer",
            Script::ConsoleConsumer => "kafka-console-consumer",
            Script::ConsumerGroups => "kafka-consumer-groups",
            Script::Acls => "kafka-acls",
            Script::Configs => "kafka-configs",
            Script::GetOffsets => "kafka-get-offsets",
            Script::DeleteRecords => "kafka-delete-records",
            Script::Kcat => "kcat",
        }
    }

    /// The program that a path names, with `.sh` or without.
    pub fn called(path: &Path) -> Option<Script> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".sh").unwrap_or(name);
        Script::ALL.into_iter().find(|script| script.name() == name)
    }

    /// Does what the program of this name would do. Errors in the arguments end the process with 2.
    pub async fn run(self, arguments: Vec<OsString>) -> Result<()> {
        match self {
            Script::Topics => topics::run(parse(self, arguments)).await,
            Script::ConsoleProducer => console_producer::run(parse(self, arguments)).await,
            Script::ConsoleConsumer => console_consumer::run(parse(self, arguments)).await,
            Script::ConsumerGroups => consumer_groups::run(parse(self, arguments)).await,
            Script::Acls => acls::run(parse(self, arguments)).await,
            Script::Configs => configs::run(parse(self, arguments)).await,
            Script::GetOffsets => get_offsets::run(parse(self, arguments)).await,
            Script::DeleteRecords => delete_records::run(parse(self, arguments)).await,
            Script::Kcat => kcat::run(parse(self, arguments)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_names() {
        let called = |path: &str| Script::called(Path::new(path));
        assert_eq!(called("/opt/kafka/bin/kafka-topics.sh"), Some(Script::Topics));
        assert_eq!(called("kcat"), Some(Script::Kcat));
        assert_eq!(called("/usr/bin/weir"), None);
        assert_eq!(called("kafka-topics.bat"), None);
        for script in Script::ALL {
            assert_eq!(called(script.name()), Some(script));
        }
    }
}
