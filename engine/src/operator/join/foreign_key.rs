//! Foreign-key join of tables: each left row subscribes to the right row that its foreign key names.
//!
//! ```text
//! left changes ──> SubscribeOperator ──(subscriptions, by foreign key)──> LookUpOperator <── right changes
//!                        ^   └──> results                                     │
//!                        └────────────(responses, by left key)────────────────┘
//! ```
//!
//! Subscriptions and responses are internal topics. A subscription carries a hash of its left row; a response that
//! answers another version of the row than the current one is dropped. It also carries the partition of the left row, to
//! which the responses go, whatever partitioner wrote the left topic. Source: KIP-775.

pub mod look_up;
pub mod subscribe;

use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;

/// Work of the right side for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Forget it.
    Unsubscribe,
    /// Forget it and answer that there is nothing.
    UnsubscribeAndAnswer,
    /// Remember it and answer, also if there is no right row: the answer to an earlier version of the left row, which would
    /// have taken back a result, may have been dropped.
    SubscribeAndAnswer,
}

impl Instruction {
    fn code(self) -> i32 {
        match self {
            Instruction::Unsubscribe => 0,
            Instruction::UnsubscribeAndAnswer => 1,
            Instruction::SubscribeAndAnswer => 2,
        }
    }

    fn from_code(code: i32) -> Option<Instruction> {
        Some(match code {
            0 => Instruction::Unsubscribe,
            1 => Instruction::UnsubscribeAndAnswer,
            2 => Instruction::SubscribeAndAnswer,
            _ => return None,
        })
    }
}

/// The rows of the subscription topic: key is the foreign key; values are the left key, the hash of the left row, the
/// instruction and the partition of the left row.
pub fn subscription_schema(left: &LogicalSchema, foreign_key: &SqlType) -> LogicalSchema {
    let mut value = left.key.clone();
    value.push(Column::new("HASH", SqlType::Bigint));
    value.push(Column::new("INSTRUCTION", SqlType::Integer));
    value.push(Column::new("PARTITION", SqlType::Integer));
    LogicalSchema::new(vec![Column::new("FOREIGN_KEY", foreign_key.clone())], value)
}

/// The rows of the response topic: key is the left key; values are the columns of the right row, the hash of the left row,
/// whether there is a right row, and the partition of the left row. Without a right row its columns are NULL.
pub fn response_schema(left: &LogicalSchema, right: &LogicalSchema) -> LogicalSchema {
    let mut value: Vec<Column> = right.columns().cloned().collect();
    value.push(Column::new("HASH", SqlType::Bigint));
    value.push(Column::new("FOUND", SqlType::Boolean));
    value.push(Column::new("PARTITION", SqlType::Integer));
    LogicalSchema::new(left.key.clone(), value)
}
