//! Scalar functions, one file per family. A family is a table of functions; a function is a name and its overloads, each
//! a signature with the kernel that computes it.

pub(crate) mod array;
pub(crate) mod bytes;
pub(crate) mod collect;
pub(crate) mod datetime;
pub(crate) mod elements;
pub(crate) mod gather;
pub(crate) mod java_regex;
pub(crate) mod json;
pub(crate) mod lambda;
pub(crate) mod map;
pub(crate) mod mask;
pub(crate) mod math;
pub(crate) mod null;
pub(crate) mod regex;
pub(crate) mod string;
pub(crate) mod url;

use crate::functions::call::{Call, KernelResult};
use crate::functions::signature::{Binding, Signature, substitute};
use crate::types::SqlType;

pub(crate) type Kernel = fn(&Call<'_>) -> KernelResult;

/// Computes a result type that no signature can say, from the types of the arguments.
pub(crate) type ReturnType = fn(&[Option<SqlType>]) -> Option<SqlType>;

#[derive(Debug)]
pub(crate) struct ScalarFunction {
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) overloads: Vec<Overload>,
}

#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) signature: Signature,
    returns: Option<ReturnType>,
    pub(crate) kernel: Kernel,
}

impl ScalarFunction {
    pub(crate) fn new(name: &'static str, category: &'static str, overview: &'static str) -> ScalarFunction {
        ScalarFunction { name, category, overview, overloads: Vec::new() }
    }

    pub(crate) fn with(mut self, signature: &str, kernel: Kernel) -> ScalarFunction {
        self.overloads.push(Overload { signature: Signature::parse(signature), returns: None, kernel });
        self
    }

    /// As [`ScalarFunction::with`], the result type being computed.
    pub(crate) fn with_type(
        mut self,
        signature: &str,
        returns: ReturnType,
        kernel: Kernel,
    ) -> ScalarFunction {
        self.overloads.push(Overload {
            signature: Signature::parse(signature),
            returns: Some(returns),
            kernel,
        });
        self
    }

    pub(crate) fn signatures(&self) -> Vec<&Signature> {
        self.overloads.iter().map(|o| &o.signature).collect()
    }
}

impl Overload {
    pub(crate) fn return_type(&self, binding: &Binding) -> Option<SqlType> {
        match self.returns {
            Some(compute) => compute(&binding.argument_types),
            None => substitute(&self.signature.returns, &binding.generics),
        }
    }
}

/// Every scalar function.
pub(crate) fn all() -> Vec<ScalarFunction> {
    [
        array::functions(),
        bytes::functions(),
        datetime::functions(),
        json::functions(),
        lambda::functions(),
        map::functions(),
        mask::functions(),
        math::functions(),
        null::functions(),
        regex::functions(),
        string::functions(),
        url::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
