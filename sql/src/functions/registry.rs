//! The catalogue of functions: looking them up, choosing overloads, describing them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::functions::aggregate::{
    AggregateFunction, AggregateOptions, GroupsAccumulator, ResolvedAggregate,
};
use crate::functions::argument_names::argument_name;
use crate::functions::error::FunctionError;
use crate::functions::scalar::ScalarFunction;
use crate::functions::signature::{ArgumentType, Binding, Matching, Signature};
use crate::functions::table::{ResolvedTable, TableFunction, TableKernel};
use crate::types::SqlType;
use crate::value::Literal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionKind {
    Scalar,
    Aggregate,
    Table,
}

/// A scalar call with its overload chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedScalar {
    /// What each argument must be cast to. None for lambdas and units, and for NULLs whose type nothing fixes.
    pub argument_types: Vec<Option<SqlType>>,
    pub return_type: SqlType,
    /// Index of the overload in the function's table.
    pub(crate) overload: usize,
}

/// What SHOW FUNCTIONS lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSummary {
    pub name: &'static str,
    pub kind: FunctionKind,
    pub category: &'static str,
}

/// What DESCRIBE FUNCTION shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDescription {
    pub name: &'static str,
    pub kind: FunctionKind,
    pub author: &'static str,
    pub overview: &'static str,
    pub category: &'static str,
    pub variations: Vec<FunctionVariation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionVariation {
    pub parameters: Vec<FunctionParameter>,
    pub return_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionParameter {
    pub name: &'static str,
    pub sql_type: String,
    /// It may be given any number of times.
    pub variadic: bool,
}

/// All functions by upper-case name.
#[derive(Debug)]
pub struct FunctionRegistry {
    scalars: BTreeMap<&'static str, ScalarFunction>,
    aggregates: BTreeMap<&'static str, AggregateFunction>,
    tables: BTreeMap<&'static str, TableFunction>,
}

static STANDARD: LazyLock<FunctionRegistry> = LazyLock::new(FunctionRegistry::build);

impl FunctionRegistry {
    /// The built-in functions.
    pub fn standard() -> &'static FunctionRegistry {
        &STANDARD
    }

    fn build() -> FunctionRegistry {
        FunctionRegistry {
            scalars: crate::functions::scalar::all().into_iter().map(|f| (f.name, f)).collect(),
            aggregates: crate::functions::aggregate::all().into_iter().map(|f| (f.name, f)).collect(),
            tables: crate::functions::table::all().into_iter().map(|f| (f.name, f)).collect(),
        }
    }

    /// What kind of function has this name, in any case.
    pub fn kind(&self, name: &str) -> Option<FunctionKind> {
        let name = name.to_ascii_uppercase();
        let name = name.as_str();
        if self.scalars.contains_key(name) {
            Some(FunctionKind::Scalar)
        } else if self.aggregates.contains_key(name) {
            Some(FunctionKind::Aggregate)
        } else if self.tables.contains_key(name) {
            Some(FunctionKind::Table)
        } else {
            None
        }
    }

    /// The types that the parameters of each lambda argument have, in order of the lambdas. Lambdas are given with
    /// `returns: None`.
    pub fn lambda_parameters(
        &self,
        name: &str,
        arguments: &[ArgumentType],
    ) -> Result<Vec<Vec<SqlType>>, FunctionError> {
        let function = self.scalar(name)?;
        let (index, binding) = choose(function.name, &function.signatures(), arguments)?;
        function.overloads[index]
            .signature
            .lambda_inputs(&binding, arguments)
            .ok_or_else(|| no_overload(function.name, &function.signatures(), arguments))
    }

    /// Chooses the overload of a scalar function.
    pub fn resolve_scalar(
        &self,
        name: &str,
        arguments: &[ArgumentType],
    ) -> Result<ResolvedScalar, FunctionError> {
        let function = self.scalar(name)?;
        let signatures = function.signatures();
        let (index, binding) = choose(function.name, &signatures, arguments)?;
        let return_type = function.overloads[index]
            .return_type(&binding)
            .ok_or_else(|| no_overload(function.name, &signatures, arguments))?;
        Ok(ResolvedScalar { argument_types: binding.argument_types, return_type, overload: index })
    }

    /// Chooses the overload of an aggregate function. Shape: `constants[i]` is Some if argument `i` is a literal.
    pub fn resolve_aggregate(
        &self,
        name: &str,
        arguments: &[ArgumentType],
        constants: &[Option<Literal>],
    ) -> Result<ResolvedAggregate, FunctionError> {
        let function = self.aggregate(name)?;
        let references: Vec<&Signature> = function.signatures.iter().map(|s| &s.signature).collect();
        let (index, binding) = choose(function.name, &references, arguments)?;
        let columns = arguments.len() - function.signatures[index].constants;
        for (i, constant) in constants.iter().enumerate().skip(columns) {
            if constant.is_none() {
                return Err(FunctionError::NotConstant { name: function.name.to_owned(), position: i + 1 });
            }
        }
        let argument_types = binding.argument_types[..columns]
            .iter()
            .map(|t| t.clone().ok_or_else(|| no_overload(function.name, &references, arguments)))
            .collect::<Result<Vec<_>, _>>()?;
        let constants: Vec<Literal> = constants.iter().skip(columns).flatten().cloned().collect();
        describe_call(function, argument_types, &constants)
    }

    /// The state of one aggregate call. `argument_types` are those that [`FunctionRegistry::resolve_aggregate`] gave.
    pub fn accumulator(
        &self,
        name: &str,
        argument_types: &[SqlType],
        constants: &[Literal],
    ) -> Result<Box<dyn GroupsAccumulator>, FunctionError> {
        self.accumulator_with_options(name, argument_types, constants, AggregateOptions::default())
    }

    /// As [`FunctionRegistry::accumulator`], with the limits of a session.
    pub fn accumulator_with_options(
        &self,
        name: &str,
        argument_types: &[SqlType],
        constants: &[Literal],
        options: AggregateOptions,
    ) -> Result<Box<dyn GroupsAccumulator>, FunctionError> {
        Ok(self.aggregate(name)?.build(argument_types, constants, options)?.accumulator)
    }

    /// What [`FunctionRegistry::resolve_aggregate`] gave for a call of a plan, from its types alone.
    pub fn describe_aggregate_call(
        &self,
        name: &str,
        argument_types: &[SqlType],
        constants: &[Literal],
    ) -> Result<ResolvedAggregate, FunctionError> {
        describe_call(self.aggregate(name)?, argument_types.to_vec(), constants)
    }

    /// Chooses the overload of a table function.
    pub fn resolve_table(
        &self,
        name: &str,
        arguments: &[ArgumentType],
    ) -> Result<ResolvedTable, FunctionError> {
        let function = self.table(name)?;
        let signatures: Vec<&Signature> = function.overloads.iter().map(|o| &o.signature).collect();
        let (index, binding) = choose(function.name, &signatures, arguments)?;
        let fail = || no_overload(function.name, &signatures, arguments);
        let return_type =
            crate::functions::signature::substitute(&signatures[index].returns, &binding.generics)
                .ok_or_else(fail)?;
        let argument_types =
            binding.argument_types.iter().cloned().collect::<Option<Vec<_>>>().ok_or_else(fail)?;
        Ok(ResolvedTable { argument_types, return_type })
    }

    /// The implementation of a table function for these argument types.
    pub fn table_function(
        &self,
        name: &str,
        argument_types: &[SqlType],
    ) -> Result<TableKernel, FunctionError> {
        let arguments: Vec<ArgumentType> = argument_types.iter().cloned().map(ArgumentType::Value).collect();
        let function = self.table(name)?;
        let signatures: Vec<&Signature> = function.overloads.iter().map(|o| &o.signature).collect();
        let (index, _) = choose(function.name, &signatures, &arguments)?;
        Ok(function.overloads[index].kernel)
    }

    /// Every function, by name.
    pub fn list(&self) -> Vec<FunctionSummary> {
        let scalars = self.scalars.values().map(|f| (f.name, FunctionKind::Scalar, f.category));
        let aggregates = self.aggregates.values().map(|f| (f.name, FunctionKind::Aggregate, "AGGREGATE"));
        let tables = self.tables.values().map(|f| (f.name, FunctionKind::Table, "TABLE"));
        let mut all: Vec<FunctionSummary> = scalars
            .chain(aggregates)
            .chain(tables)
            .map(|(name, kind, category)| FunctionSummary { name, kind, category })
            .collect();
        all.sort_by_key(|f| f.name);
        all
    }

    /// Everything there is to say about a function.
    pub fn describe(&self, name: &str) -> Result<FunctionDescription, FunctionError> {
        let author = "Weir";
        let upper = name.to_ascii_uppercase();
        if let Some(f) = self.scalars.get(upper.as_str()) {
            let variations = f.overloads.iter().map(|o| variation(f.name, &o.signature)).collect();
            return Ok(FunctionDescription {
                name: f.name,
                kind: FunctionKind::Scalar,
                author,
                overview: f.overview,
                category: f.category,
                variations,
            });
        }
        if let Some(f) = self.aggregates.get(upper.as_str()) {
            return Ok(FunctionDescription {
                name: f.name,
                kind: FunctionKind::Aggregate,
                author,
                overview: f.overview,
                category: "AGGREGATE",
                variations: f.signatures.iter().map(|s| variation(f.name, &s.signature)).collect(),
            });
        }
        let f = self.table(name)?;
        Ok(FunctionDescription {
            name: f.name,
            kind: FunctionKind::Table,
            author,
            overview: f.overview,
            category: "TABLE",
            variations: f.overloads.iter().map(|o| variation(f.name, &o.signature)).collect(),
        })
    }

    pub(crate) fn scalar(&self, name: &str) -> Result<&ScalarFunction, FunctionError> {
        self.scalars
            .get(name.to_ascii_uppercase().as_str())
            .ok_or_else(|| self.missing(name, "a scalar function"))
    }

    fn aggregate(&self, name: &str) -> Result<&AggregateFunction, FunctionError> {
        self.aggregates
            .get(name.to_ascii_uppercase().as_str())
            .ok_or_else(|| self.missing(name, "an aggregate function"))
    }

    fn table(&self, name: &str) -> Result<&TableFunction, FunctionError> {
        self.tables
            .get(name.to_ascii_uppercase().as_str())
            .ok_or_else(|| self.missing(name, "a table function"))
    }

    fn missing(&self, name: &str, expected: &'static str) -> FunctionError {
        match self.kind(name) {
            Some(_) => FunctionError::WrongKind { name: name.to_owned(), expected },
            None => FunctionError::Unknown { name: name.to_owned() },
        }
    }
}

fn describe_call(
    function: &AggregateFunction,
    argument_types: Vec<SqlType>,
    constants: &[Literal],
) -> Result<ResolvedAggregate, FunctionError> {
    let built = function.build(&argument_types, constants, AggregateOptions::default())?;
    Ok(ResolvedAggregate {
        argument_types,
        return_type: built.return_type,
        intermediate_type: built.intermediate_type,
        supports_undo: function.supports_undo,
    })
}

fn variation(function: &str, signature: &Signature) -> FunctionVariation {
    FunctionVariation {
        parameters: signature
            .params
            .iter()
            .enumerate()
            .map(|(i, p)| FunctionParameter {
                name: argument_name(function, &signature.params, i),
                sql_type: p.to_string(),
                variadic: signature.variadic == Some(i),
            })
            .collect(),
        return_type: signature.returns.to_string(),
    }
}

/// The overload that takes the arguments as they are, else the one that takes them after implicit casts.
fn choose(
    name: &str,
    signatures: &[&Signature],
    arguments: &[ArgumentType],
) -> Result<(usize, Binding), FunctionError> {
    for matching in [Matching::Exact, Matching::ImplicitCasts] {
        let mut fits: Vec<(usize, Binding)> = signatures
            .iter()
            .enumerate()
            .filter_map(|(i, s)| s.bind(arguments, matching).map(|b| (i, b)))
            .collect();
        let rank = |i: usize| (signatures[i].variadic.is_some(), signatures[i].generics_count());
        fits.sort_by_key(|(i, _)| rank(*i));
        let tied = fits.len() > 1 && rank(fits[0].0) == rank(fits[1].0);
        if tied && signatures[fits[0].0].variadic.is_some() {
            return Err(FunctionError::Ambiguous {
                name: name.to_ascii_lowercase(),
                arguments: describe_arguments(arguments),
                alternatives: alternatives(name, signatures),
            });
        }
        if !fits.is_empty() {
            return Ok(fits.swap_remove(0));
        }
    }
    Err(no_overload(name, signatures, arguments))
}

fn no_overload(name: &str, signatures: &[&Signature], arguments: &[ArgumentType]) -> FunctionError {
    FunctionError::NoOverload {
        name: name.to_ascii_lowercase(),
        arguments: describe_arguments(arguments),
        alternatives: alternatives(name, signatures),
    }
}

fn describe_arguments(arguments: &[ArgumentType]) -> String {
    arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn alternatives(name: &str, signatures: &[&Signature]) -> Vec<String> {
    signatures.iter().map(|s| s.describe(&name.to_ascii_lowercase())).collect()
}
