//! Calls of scalar functions, with lambdas.

use crate::analyzer::typing::{Typer, cast_to, null_of};
use crate::ast;
use crate::ast::expr::Argument as AstArgument;
use crate::ast::ident::Ident;
use crate::error::{Result, SqlError};
use crate::expr::ir::{Argument, Expr, ExprKind, Lambda};
use crate::functions::error::FunctionError;
use crate::functions::foreign::unknown_function_hint;
use crate::functions::registry::{FunctionKind, ResolvedScalar};
use crate::functions::scalar::regex::compile;
use crate::functions::signature::ArgumentType;
use crate::span::Span;
use crate::types::SqlType;
use crate::value::SqlValue;

/// An argument before the overload is known.
enum Typed<'e> {
    Value(Expr),
    Null,
    Lambda(&'e ast::expr::Lambda),
    Unit(crate::expr::ir::TimeUnit),
}

impl Typer<'_> {
    pub(super) fn call(
        &self,
        whole: &ast::expr::Expr,
        function: &Ident,
        arguments: &[AstArgument],
    ) -> Result<Expr> {
        self.refuse_other_kinds(whole, function)?;
        check_pattern(function, arguments)?;
        let as_units = self.arguments(arguments, true)?;
        match self.resolve(function, as_units, whole.span()) {
            Err(error) if has_column_words(arguments) => {
                let as_columns = self.arguments(arguments, false)?;
                self.resolve(function, as_columns, whole.span()).map_err(|_| error)
            }
            other => other,
        }
    }

    pub(super) fn concat(
        &self,
        whole: &ast::expr::Expr,
        left: &ast::expr::Expr,
        right: &ast::expr::Expr,
    ) -> Result<Expr> {
        let side = |e: &ast::expr::Expr| Ok(self.infer(e)?.map_or(Typed::Null, Typed::Value));
        let arguments = vec![side(left)?, side(right)?];
        self.resolve(&Ident::new("CONCAT", whole.span()), arguments, whole.span())
    }

    /// Aggregates and table functions that are legal here were replaced before.
    fn refuse_other_kinds(&self, whole: &ast::expr::Expr, function: &Ident) -> Result<()> {
        let what = match self.functions().kind(&function.name) {
            Some(FunctionKind::Scalar) => return Ok(()),
            Some(FunctionKind::Aggregate) => "aggregate",
            Some(FunctionKind::Table) => "table",
            None => {
                let error = FunctionError::Unknown { name: function.name.clone() };
                let error = function_error(error, function.span());
                return Err(match unknown_function_hint(self.functions(), &function.name) {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                });
            }
        };
        Err(SqlError::analysis(
            format!(
                "{} does not support {what} functions: {} is {} {what} function. Got {}",
                self.clause,
                function.name,
                if what == "aggregate" { "an" } else { "a" },
                self.show(whole)
            ),
            whole.span(),
        ))
    }

    fn arguments<'e>(&self, arguments: &'e [AstArgument], units: bool) -> Result<Vec<Typed<'e>>> {
        arguments
            .iter()
            .map(|argument| {
                Ok(match argument {
                    AstArgument::Expr(e) => self.infer(e)?.map_or(Typed::Null, Typed::Value),
                    AstArgument::Lambda(lambda) => Typed::Lambda(lambda),
                    AstArgument::Unit(word) => match &word.column {
                        Some(name) if !units => Typed::Value(self.resolver.column(None, name)?),
                        _ => Typed::Unit(word.unit),
                    },
                })
            })
            .collect()
    }

    fn resolve(&self, function: &Ident, arguments: Vec<Typed<'_>>, span: Span) -> Result<Expr> {
        let mut types: Vec<ArgumentType> = arguments
            .iter()
            .map(|argument| match argument {
                Typed::Value(e) => ArgumentType::Value(e.sql_type.clone()),
                Typed::Null => ArgumentType::Null,
                Typed::Lambda(lambda) => {
                    ArgumentType::Lambda { arity: lambda.parameters.len(), returns: None }
                }
                Typed::Unit(_) => ArgumentType::Unit,
            })
            .collect();
        let lambdas = self.lambdas(function, &arguments, &mut types, span)?;
        let ResolvedScalar { argument_types, return_type, .. } = self
            .functions()
            .resolve_scalar(&function.name, &types)
            .map_err(|error| function_error(error, span))?;
        let mut lambdas = lambdas.into_iter();
        let arguments = arguments
            .into_iter()
            .zip(argument_types)
            .filter_map(|(argument, wanted)| {
                Some(match (argument, wanted) {
                    (Typed::Value(e), Some(wanted)) => Argument::Value(cast_to(e, &wanted)),
                    (Typed::Value(e), None) => Argument::Value(e),
                    (Typed::Null, Some(wanted)) => Argument::Value(null_of(wanted)),
                    (Typed::Null, None) => Argument::Null,
                    (Typed::Lambda(_), _) => Argument::Lambda(lambdas.next()?),
                    (Typed::Unit(unit), _) => Argument::Unit(unit),
                })
            })
            .collect();
        let call = ExprKind::Call { function: function.name.to_ascii_uppercase(), arguments };
        Ok(Expr::new(call, return_type))
    }

    /// Types the bodies of lambdas from the other arguments, and notes their results in `types`.
    fn lambdas(
        &self,
        function: &Ident,
        arguments: &[Typed<'_>],
        types: &mut [ArgumentType],
        span: Span,
    ) -> Result<Vec<Lambda>> {
        let places: Vec<(usize, &ast::expr::Lambda)> = arguments
            .iter()
            .enumerate()
            .filter_map(|(i, argument)| match argument {
                Typed::Lambda(lambda) => Some((i, *lambda)),
                _ => None,
            })
            .collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let parameters = self
            .functions()
            .lambda_parameters(&function.name, types)
            .map_err(|error| function_error(error, span))?;
        let mut out = Vec::with_capacity(places.len());
        for ((i, lambda), parameter_types) in places.into_iter().zip(parameters) {
            let typed = self.lambda(lambda, parameter_types)?;
            if let ArgumentType::Lambda { returns, .. } = &mut types[i] {
                *returns = Some(typed.body.sql_type.clone());
            }
            out.push(typed);
        }
        Ok(out)
    }

    fn lambda(&self, lambda: &ast::expr::Lambda, types: Vec<SqlType>) -> Result<Lambda> {
        let parameters: Vec<(String, SqlType)> =
            lambda.parameters.iter().map(|p| p.name.clone()).zip(types).collect();
        let outer = self.lambda_parameters.borrow().len();
        for (ident, (name, sql_type)) in lambda.parameters.iter().zip(&parameters) {
            if self.lambda_parameters.borrow().iter().any(|(known, _)| known == name) {
                return Err(SqlError::analysis(
                    format!("Reusing lambda arguments in nested lambda is not allowed: {name}"),
                    ident.span(),
                ));
            }
            self.lambda_parameters.borrow_mut().push((name.clone(), sql_type.clone()));
        }
        let body = self.value(&lambda.body);
        self.lambda_parameters.borrow_mut().truncate(outer);
        Ok(Lambda { parameters, body: Box::new(body?) })
    }
}

/// Checks a regular expression that is a literal.
///
/// Errors: a pattern that no row could be matched with.
fn check_pattern(function: &Ident, arguments: &[AstArgument]) -> Result<()> {
    let place = match function.name.to_ascii_uppercase().as_str() {
        "REGEXP_EXTRACT" | "REGEXP_EXTRACT_ALL" => 0,
        "REGEXP_REPLACE" | "REGEXP_SPLIT_TO_ARRAY" => 1,
        _ => return Ok(()),
    };
    let Some(AstArgument::Expr(argument)) = arguments.get(place) else { return Ok(()) };
    let ast::expr::ExprKind::Literal(literal) = &argument.kind else { return Ok(()) };
    let SqlValue::String(pattern) = &literal.value else { return Ok(()) };
    match compile(pattern) {
        Ok(_) => Ok(()),
        Err(message) => Err(SqlError::analysis(message, argument.span()).with_hint(
            "Patterns are those of java.util.regex, without look-around, back-references and possessive quantifiers.",
        )),
    }
}

fn has_column_words(arguments: &[AstArgument]) -> bool {
    arguments.iter().any(|a| matches!(a, AstArgument::Unit(word) if word.column.is_some()))
}

/// A call that the registry refuses, as a statement error.
pub(crate) fn function_error(error: FunctionError, span: Span) -> SqlError {
    SqlError::analysis(error.to_string(), span)
}
