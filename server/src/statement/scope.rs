//! The scope that the statements of a request share: properties, variables, session and the client.

use indexmap::IndexMap;
use weir_sql::ast::statement::SetProperty;
use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::session::Session;

use crate::auth::caller::Caller;
use crate::error::{ApiError, ErrorCode};
use crate::statement::properties;
use crate::statement::script::{Place, Variables};

/// State that a request carries into each of its statements; SET and DEFINE change it on the way.
#[derive(Clone, Debug)]
pub struct RequestScope {
    pub properties: IndexMap<String, String>,
    pub variables: Variables,
    pub session: Session,
    /// The client whose rights are checked.
    pub caller: Caller,
}

impl RequestScope {
    /// Errors: a property that is unknown, may not be set, or cannot have the value.
    pub fn new(
        caller: &Caller,
        base: &Session,
        properties: IndexMap<String, String>,
        variables: Variables,
    ) -> Result<RequestScope, ApiError> {
        let mut session = base.clone();
        for (name, value) in &properties {
            properties::check_value(name, value)?;
            session.set(name, value).map_err(|e| ApiError::bad_request(e.message))?;
        }
        let shown = |(name, value): (String, String)| {
            let value = properties::shown(&name, value);
            (name, value)
        };
        let properties = properties.into_iter().map(shown).collect();
        Ok(RequestScope { properties, variables, session, caller: caller.clone() })
    }

    /// SET. Errors: as [`properties::check_value`].
    pub fn set(&mut self, set: &SetProperty) -> Result<(), ApiError> {
        properties::check_value(&set.name, &set.value)?;
        self.session.set(&set.name, &set.value).map_err(|e| ApiError::bad_request(e.message))?;
        self.properties.insert(set.name.clone(), properties::shown(&set.name, set.value.clone()));
        Ok(())
    }

    /// UNSET: back to the value of `base`, the server's session.
    pub fn unset(&mut self, base: &Session, name: &str) -> Result<(), ApiError> {
        self.properties.shift_remove(name);
        let remaining = self.properties.clone();
        *self = RequestScope::new(&self.caller.clone(), base, remaining, self.variables.clone())?;
        Ok(())
    }
}

/// The error of a statement with its place, as the answer carries it.
pub fn sql_error(error: &SqlError, place: &Place, statement: &str) -> ApiError {
    let message = place.render(error);
    match error.kind {
        ErrorKind::Syntax | ErrorKind::Analysis | ErrorKind::Unsupported => {
            ApiError::statement(message, statement)
        }
        ErrorKind::Missing => ApiError::bad_request(message),
        ErrorKind::NoSchemaRegistry => ApiError::new(ErrorCode::NoSchemaRegistry, message),
    }
}
