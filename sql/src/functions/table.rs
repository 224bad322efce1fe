//! Table functions: one row in, any number of rows out.

use arrow::array::ArrayRef;

use crate::functions::signature::Signature;
use crate::types::SqlType;

/// Computes, per row, the list of rows to emit. Shape: one ARRAY value per input row, whose elements have the call's
/// return type; NULL or empty emits nothing. Failing rows are NULL in the result and listed in the second part.
pub type TableKernel = fn(
    arguments: &[ArrayRef],
    return_type: &SqlType,
) -> (ArrayRef, Vec<crate::functions::aggregate::RowError>);

/// A table function with its overload chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedTable {
    /// Types the arguments must be cast to.
    pub argument_types: Vec<SqlType>,
    /// Type of one emitted row.
    pub return_type: SqlType,
}

#[derive(Debug)]
pub(crate) struct TableFunction {
    pub(crate) name: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) overloads: Vec<TableOverload>,
}

#[derive(Debug)]
pub(crate) struct TableOverload {
    pub(crate) signature: Signature,
    pub(crate) kernel: TableKernel,
}

/// Every table function.
pub(crate) fn all() -> Vec<TableFunction> {
    Vec::new()
}
