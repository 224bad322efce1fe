//! The choice between durability and speed, as an argument.

use clap::ValueEnum;
use weir_broker::log::config::Durability;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// Acknowledge after fdatasync
    Fsync,
    /// Acknowledge from the page cache, as Kafka does
    Relaxed,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Durability {
        match arg {
            DurabilityArg::Fsync => Durability::Fsync,
            DurabilityArg::Relaxed => Durability::Relaxed,
        }
    }
}
