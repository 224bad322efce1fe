//! Credentials and certificates for a server's HTTP API, from flags and variables.

use std::io::IsTerminal;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hyper::header::HeaderValue;
use rustyline::error::ReadlineError;
use weir_broker::auth::config::Secret;
use weir_server::https::HttpsConfig;

use crate::input::password;

/// The variable of a password.
pub const PASSWORD_VARIABLE: &str = "WEIR_PASSWORD";
/// The variable of a bearer token.
pub const TOKEN_VARIABLE: &str = "WEIR_TOKEN";

#[derive(Clone, Debug, Default, Args)]
pub struct ConnectArgs {
    /// User of the server; the password is in WEIR_PASSWORD, or asked for
    #[arg(long, short = 'u', value_name = "NAME", env = "WEIR_USER")]
    pub user: Option<String>,
    /// Password; other users of this machine can see it here, but not in WEIR_PASSWORD
    #[arg(long, value_name = "TEXT", requires = "user")]
    pub password: Option<String>,
    /// Bearer token; other users of this machine can see it here, but not in WEIR_TOKEN
    #[arg(long, value_name = "TEXT", conflicts_with = "user")]
    pub token: Option<String>,
    /// CA certificates for https servers, in PEM form; default: those of this machine
    #[arg(long, value_name = "FILE", env = "WEIR_CACERT")]
    pub cacert: Option<PathBuf>,
    /// Certificate of the client, in PEM form
    #[arg(long, value_name = "FILE", env = "WEIR_CERT", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of the client's certificate, in PEM form
    #[arg(long, value_name = "FILE", env = "WEIR_KEY", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("user \"{user}\" needs a password: set {PASSWORD_VARIABLE}")]
    PasswordMissing { user: String },
    #[error("the password cannot be read")]
    Terminal(#[source] ReadlineError),
    #[error("a token has characters that no header may have")]
    Token,
}

/// Credentials of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    Password { user: String, password: Secret },
    Token(Secret),
}

/// Credentials and certificates of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    pub credentials: Option<Credentials>,
    pub https: HttpsConfig,
}

impl ConnectArgs {
    /// The flags with the variables; asks for a password if a terminal is there.
    pub fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let https = HttpsConfig {
            authorities: self.cacert.clone(),
            certificate: self.cert.clone().zip(self.key.clone()),
        };
        Ok(ConnectOptions { credentials: self.credentials()?, https })
    }

    fn credentials(&self) -> Result<Option<Credentials>, ConnectError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if let Some(user) = &self.user {
            let password = match self.password.clone().or_else(|| variable(PASSWORD_VARIABLE)) {
                Some(password) => password,
                None => ask_password(user)?,
            };
            return Ok(Some(Credentials::Password { user: user.clone(), password: Secret::new(password) }));
        }
        let token = self.token.clone().or_else(|| variable(TOKEN_VARIABLE));
        let token = token.map(|token| token.trim().to_owned());
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            return Err(ConnectError::Token);
        }
        Ok(token.map(|token| Credentials::Token(Secret::new(token))))
    }
}

impl ConnectOptions {
    /// The value of the Authorization header.
    pub fn authorization(&self) -> Option<HeaderValue> {
        let text = match self.credentials.as_ref()? {
            Credentials::Password { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
            }
            Credentials::Token(token) => format!("Bearer {}", token.reveal()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Asks on the terminal, if there is one.
fn ask_password(user: &str) -> Result<String, ConnectError> {
    if !std::io::stdin().is_terminal() {
        return Err(ConnectError::PasswordMissing { user: user.to_owned() });
    }
    password::ask(&format!("Password of {user}: ")).map_err(ConnectError::Terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header_that_is_not_shown() {
        let options = |credentials| ConnectOptions { credentials: Some(credentials), ..Default::default() };
        let password = Credentials::Password { user: "ada".to_owned(), password: Secret::new("a:b c") };
        let basic = options(password);
        let value = basic.authorization().expect("a header");
        assert_eq!(value.as_bytes(), b"Basic YWRhOmE6YiBj");
        assert!(value.is_sensitive());
        assert!(!format!("{basic:?} {value:?}").contains("a:b c"));
        let bearer = options(Credentials::Token(Secret::new("x.y.z"))).authorization().expect("a header");
        assert_eq!(bearer.as_bytes(), b"Bearer x.y.z");
        assert_eq!(ConnectOptions::default().authorization(), None);
    }
}
