//! Why a call does not name a function of the registry.

/// A call that cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    #[error("Can't find any functions with the name '{name}'")]
    Unknown { name: String },
    /// `arguments` as types, `alternatives` one per line.
    #[error(
        "Function '{name}' does not accept parameters ({arguments}).\nValid alternatives are:\n{}",
        alternatives.join("\n")
    )]
    NoOverload { name: String, arguments: String, alternatives: Vec<String> },
    #[error(
        "Function '{name}' cannot be resolved due to ambiguous method parameters ({arguments}).\n\
         Use CAST() to explicitly cast your parameters to one of the supported signatures.\n\
         Valid alternatives are:\n{}",
        alternatives.join("\n")
    )]
    Ambiguous { name: String, arguments: String, alternatives: Vec<String> },
    /// The caller may append the text of the expression that was given. `position` counts from 1.
    #[error("Parameter {position} passed to function {name} must be a literal constant")]
    NotConstant { name: String, position: usize },
    #[error("function {name}: {message}")]
    InvalidConstant { name: String, message: String },
    /// A scalar called as an aggregate, say.
    #[error("function '{name}' is not {expected}")]
    WrongKind { name: String, expected: &'static str },
}
