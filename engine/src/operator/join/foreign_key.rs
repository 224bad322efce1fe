//! Foreign-key join of tables: each left row subscribes to the right row that its foreign key names.
//!
//! ```text
//! left changes ──> SubscribeOperator ──(subscriptions, by foreign key)──> LookUpOperator <── right changes
//!                        ^   └──> results                                     │
//!                        └────────────(responses, by left key)────────────────┘
//! ```
//!
//! Subscriptions and responses are internal topics. A subscription carries a hash of its left row; a response that
//! answers another version of the row than the current one is dropped.

pub mod look_up;
pub mod subscribe;

use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;

/// What the right side does with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Forget it.
    Unsubscribe,
    /// Forget it and answer that there is nothing.
    UnsubscribeAndAnswer,
    /// Remember it; answer in any case.
    SubscribeAndAnswer,
    /// Remember it; answer if there is a right row.
    SubscribeAndAnswerIfPresent,
}

impl Instruction {
    fn code(self) -> i32 {
        match self {
            Instruction::Unsubscribe => 0,
            Instruction::UnsubscribeAndAnswer => 1,
            Instruction::SubscribeAndAnswer => 2,
            Instruction::SubscribeAndAnswerIfPresent => 3,
        }
    }

    fn from_code(code: i32) -> Option<Instruction> {
        Some(match code {
            0 => Instruction::Unsubscribe,
            1 => Instruction::UnsubscribeAndAnswer,
            2 => Instruction::SubscribeAndAnswer,
            3 => Instruction::SubscribeAndAnswerIfPresent,
            _ => return None,
        })
    }
}

/// The rows of the subscription topic: key is the foreign key; values are the left key, the hash of the left row and the
/// instruction.
pub fn subscription_schema(left: &LogicalSchema, foreign_key: &SqlType) -> LogicalSchema {
    let mut value = left.key.clone();
    value.push(Column::new("HASH", SqlType::Bigint));
    value.push(Column::new("INSTRUCTION", SqlType::Integer));
    LogicalSchema::new(vec![Column::new("FOREIGN_KEY", foreign_key.clone())], value)
}

/// The rows of the response topic: key is the left key; values are the columns of the right row and the hash of the left row.
/// Without a right row its columns are NULL and the flag is FALSE.
pub fn response_schema(left: &LogicalSchema, right: &LogicalSchema) -> LogicalSchema {
    let mut value: Vec<Column> = right.columns().cloned().collect();
    value.push(Column::new("HASH", SqlType::Bigint));
    value.push(Column::new("FOUND", SqlType::Boolean));
    LogicalSchema::new(left.key.clone(), value)
}
