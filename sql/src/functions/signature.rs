//! Signatures of functions: how they are written in the tables, and which arguments they take.

use std::collections::BTreeMap;
use std::fmt;

use crate::types::SqlType;

/// What is known of an argument when a call is resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgumentType {
    Value(SqlType),
    /// The untyped NULL literal.
    Null,
    /// `arity` parameters; `returns` once the body has been typed.
    Lambda {
        arity: usize,
        returns: Option<SqlType>,
    },
    /// A bare time unit such as DAYS.
    Unit,
}

impl fmt::Display for ArgumentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentType::Value(sql_type) => write!(f, "{sql_type}"),
            ArgumentType::Null => f.write_str("null"),
            ArgumentType::Lambda { .. } => f.write_str("LAMBDA"),
            ArgumentType::Unit => f.write_str("INTERVALUNIT"),
        }
    }
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    /// Any type without parameters.
    Exact(SqlType),
    /// A DECIMAL of any precision and scale.
    Decimal,
    Unit,
    /// `T`: one type in all its places.
    Generic(char),
    /// Any type, another one in each place.
    Any,
    Array(Box<Param>),
    Map(Box<Param>, Box<Param>),
    Lambda {
        inputs: Vec<Param>,
        output: Box<Param>,
    },
}

/// Parameters and result of one overload, from text such as `(ARRAY<T>, T) -> BOOLEAN`, `(STRING, T...) -> STRING` or
/// `(ARRAY<T>, LAMBDA<T, R>) -> ARRAY<R>`, in which the last type of a LAMBDA is its result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    pub(crate) params: Vec<Param>,
    /// Index of the parameter that may be given any number of times, also none.
    pub(crate) variadic: Option<usize>,
    pub(crate) returns: Param,
}

/// How the arguments of a call fit a signature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    /// The type of each argument once cast; None for lambdas and units, and for NULLs whose type stays open.
    pub(crate) argument_types: Vec<Option<SqlType>>,
    pub(crate) generics: BTreeMap<char, SqlType>,
}

/// Which conversions of arguments are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    Exact,
    ImplicitCasts,
}

impl Signature {
    /// Panics on text that is not a signature: the tables are part of the program.
    pub(crate) fn parse(text: &str) -> Signature {
        let mut reader = Reader { rest: text };
        reader.expect("(");
        let mut params = Vec::new();
        let mut variadic = None;
        while !reader.take(")") {
            params.push(reader.param());
            if reader.take("...") {
                variadic = Some(params.len() - 1);
            }
            reader.take(",");
        }
        reader.expect("->");
        let returns = reader.param();
        assert!(reader.rest.trim().is_empty(), "signature ends early: {text}");
        Signature { params, variadic, returns }
    }

    /// The parameter that takes argument `index` of `count`. None if the number of arguments does not fit.
    fn param_at(&self, index: usize, count: usize) -> Option<&Param> {
        match self.variadic {
            None => (count == self.params.len()).then(|| &self.params[index]),
            Some(place) => {
                let repeated = count.checked_sub(self.params.len() - 1)?;
                Some(if index < place {
                    &self.params[index]
                } else if index < place + repeated {
                    &self.params[place]
                } else {
                    &self.params[index + 1 - repeated]
                })
            }
        }
    }

    fn takes_count(&self, count: usize) -> bool {
        match self.variadic {
            None => count == self.params.len(),
            Some(_) => count + 1 >= self.params.len(),
        }
    }

    /// Fits the arguments to the parameters; lambdas whose result is not known yet fit by arity.
    pub(crate) fn bind(&self, arguments: &[ArgumentType], matching: Matching) -> Option<Binding> {
        let count = arguments.len();
        if !self.takes_count(count) {
            return None;
        }
        let mut generics = BTreeMap::new();
        let mut argument_types = Vec::with_capacity(count);
        for (i, argument) in arguments.iter().enumerate() {
            let param = self.param_at(i, count)?;
            argument_types.push(bind_argument(param, argument, matching, &mut generics)?);
        }
        // NULLs take the type that the others gave to their parameter.
        for (i, argument) in arguments.iter().enumerate() {
            if matches!(argument, ArgumentType::Null) {
                argument_types[i] = substitute(self.param_at(i, count)?, &generics);
            }
        }
        Some(Binding { argument_types, generics })
    }

    pub(crate) fn generics_count(&self) -> usize {
        self.params.iter().map(Param::generics_count).sum()
    }

    /// The types of each lambda's parameters, in order of the lambdas.
    pub(crate) fn lambda_inputs(
        &self,
        binding: &Binding,
        arguments: &[ArgumentType],
    ) -> Option<Vec<Vec<SqlType>>> {
        let mut out = Vec::new();
        for i in 0..arguments.len() {
            if let Param::Lambda { inputs, .. } = self.param_at(i, arguments.len())? {
                out.push(
                    inputs.iter().map(|p| substitute(p, &binding.generics)).collect::<Option<Vec<_>>>()?,
                );
            }
        }
        Some(out)
    }

    /// `name(INT, STRING...)`.
    pub(crate) fn describe(&self, name: &str) -> String {
        let params: Vec<String> = self
            .params
            .iter()
            .enumerate()
            .map(|(i, p)| if self.variadic == Some(i) { format!("{p}...") } else { p.to_string() })
            .collect();
        format!("{name}({})", params.join(", "))
    }
}

fn bind_argument(
    param: &Param,
    argument: &ArgumentType,
    matching: Matching,
    generics: &mut BTreeMap<char, SqlType>,
) -> Option<Option<SqlType>> {
    match (param, argument) {
        (Param::Unit, ArgumentType::Unit) => Some(None),
        (Param::Unit, _) | (_, ArgumentType::Unit) => None,
        (Param::Lambda { inputs, output }, ArgumentType::Lambda { arity, returns }) => {
            if inputs.len() != *arity {
                return None;
            }
            if let Some(returns) = returns
                && !unify(output, returns, generics)
            {
                return None;
            }
            Some(None)
        }
        (Param::Lambda { .. }, _) | (_, ArgumentType::Lambda { .. }) => None,
        (_, ArgumentType::Null) => Some(None),
        (_, ArgumentType::Value(sql_type)) => {
            if unify(param, sql_type, generics) {
                return Some(Some(sql_type.clone()));
            }
            match matching {
                Matching::Exact => None,
                Matching::ImplicitCasts => implicit_cast(sql_type, param).map(Some),
            }
        }
    }
}

/// True if the type is one that the parameter takes as it is; generics are bound on the way.
fn unify(param: &Param, sql_type: &SqlType, generics: &mut BTreeMap<char, SqlType>) -> bool {
    match (param, sql_type) {
        (Param::Exact(expected), _) => expected == sql_type,
        (Param::Decimal, SqlType::Decimal { .. }) | (Param::Any, _) => true,
        (Param::Generic(name), _) => match generics.get(name) {
            Some(bound) => bound == sql_type,
            None => {
                generics.insert(*name, sql_type.clone());
                true
            }
        },
        (Param::Array(element), SqlType::Array(actual)) => unify(element, actual, generics),
        (Param::Map(key, value), SqlType::Map(actual_key, actual_value)) => {
            unify(key, actual_key, generics) && unify(value, actual_value, generics)
        }
        (Param::Decimal | Param::Array(_) | Param::Map(..) | Param::Unit | Param::Lambda { .. }, _) => false,
    }
}

/// INTEGER to BIGINT to DECIMAL to DOUBLE, and STRING to times and BYTES.
fn implicit_cast(from: &SqlType, to: &Param) -> Option<SqlType> {
    let exact = |to: &SqlType| Some(to.clone());
    match (from, to) {
        (SqlType::Integer, Param::Exact(t @ (SqlType::Bigint | SqlType::Double)))
        | (SqlType::Bigint | SqlType::Decimal { .. }, Param::Exact(t @ SqlType::Double))
        | (
            SqlType::String,
            Param::Exact(t @ (SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::Bytes)),
        ) => exact(t),
        (SqlType::Integer, Param::Decimal) => Some(SqlType::decimal(10, 0)),
        (SqlType::Bigint, Param::Decimal) => Some(SqlType::decimal(19, 0)),
        _ => None,
    }
}

/// The type a parameter stands for; None if it is still open.
pub(crate) fn substitute(param: &Param, generics: &BTreeMap<char, SqlType>) -> Option<SqlType> {
    match param {
        Param::Exact(sql_type) => Some(sql_type.clone()),
        Param::Decimal => Some(SqlType::decimal(1, 0)),
        Param::Generic(name) => generics.get(name).cloned(),
        Param::Array(element) => Some(SqlType::array(substitute(element, generics)?)),
        Param::Map(key, value) => {
            Some(SqlType::map(substitute(key, generics)?, substitute(value, generics)?))
        }
        Param::Any => Some(SqlType::String),
        Param::Unit | Param::Lambda { .. } => None,
    }
}

impl Param {
    fn generics_count(&self) -> usize {
        match self {
            Param::Generic(_) | Param::Any => 1,
            Param::Array(element) => element.generics_count(),
            Param::Map(key, value) => key.generics_count() + value.generics_count(),
            Param::Exact(_) | Param::Decimal | Param::Unit | Param::Lambda { .. } => 0,
        }
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Param::Exact(SqlType::Integer) => f.write_str("INT"),
            Param::Exact(SqlType::String) => f.write_str("VARCHAR"),
            Param::Exact(sql_type) => write!(f, "{sql_type}"),
            Param::Decimal => f.write_str("DECIMAL"),
            Param::Unit => f.write_str("INTERVALUNIT"),
            Param::Generic(name) => write!(f, "{name}"),
            Param::Any => f.write_str("ANY"),
            Param::Array(element) => write!(f, "ARRAY<{element}>"),
            Param::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Param::Lambda { inputs, output } => {
                let inputs: Vec<String> = inputs.iter().map(ToString::to_string).collect();
                write!(f, "LAMBDA ({}) => {output}", inputs.join(", "))
            }
        }
    }
}

/// A cursor over the text of a signature.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "expected {token} in a signature before {}", self.rest);
    }

    fn list(&mut self) -> Vec<Param> {
        self.expect("<");
        let mut items = vec![self.param()];
        while self.take(",") {
            items.push(self.param());
        }
        self.expect(">");
        items
    }

    fn param(&mut self) -> Param {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "BOOLEAN" => Param::Exact(SqlType::Boolean),
            "INT" => Param::Exact(SqlType::Integer),
            "BIGINT" => Param::Exact(SqlType::Bigint),
            "DOUBLE" => Param::Exact(SqlType::Double),
            "STRING" => Param::Exact(SqlType::String),
            "BYTES" => Param::Exact(SqlType::Bytes),
            "DATE" => Param::Exact(SqlType::Date),
            "TIME" => Param::Exact(SqlType::Time),
            "TIMESTAMP" => Param::Exact(SqlType::Timestamp),
            "DECIMAL" => Param::Decimal,
            "UNIT" => Param::Unit,
            "ANY" => Param::Any,
            "ARRAY" => {
                let mut items = self.list();
                Param::Array(Box::new(items.remove(0)))
            }
            "MAP" => {
                let mut items = self.list();
                let value = items.remove(1);
                Param::Map(Box::new(items.remove(0)), Box::new(value))
            }
            "LAMBDA" => {
                let mut inputs = self.list();
                let output = inputs.pop().expect("a list is never empty");
                Param::Lambda { inputs, output: Box::new(output) }
            }
            letter if letter.len() == 1 => Param::Generic(letter.chars().next().expect("one letter")),
            other => panic!("unknown type {other:?} in a signature"),
        }
    }
}
