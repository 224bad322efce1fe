//! Which part of a statement an expression stands in.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clause {
    Select,
    Where,
    JoinOn,
    GroupBy,
    PartitionBy,
    Having,
    OrderBy,
    /// The constants of INSERT … VALUES.
    Values,
}

impl Clause {
    /// How messages call the clause's expressions in "Invalid …: Cast of …".
    pub(crate) fn role(self) -> &'static str {
        match self {
            Clause::Select => "Select",
            Clause::Where | Clause::Having | Clause::JoinOn => "Predicate",
            Clause::GroupBy | Clause::PartitionBy | Clause::OrderBy | Clause::Values => "Expression",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clause::Select => "SELECT",
            Clause::Where => "WHERE",
            Clause::JoinOn => "JOIN ON",
            Clause::GroupBy => "GROUP BY",
            Clause::PartitionBy => "PARTITION BY",
            Clause::Having => "HAVING",
            Clause::OrderBy => "ORDER BY",
            Clause::Values => "VALUES",
        })
    }
}
