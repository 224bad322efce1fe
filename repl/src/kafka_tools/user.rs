//! `weir user list | create | delete`: SCRAM credentials (KIP-554).

use std::io::{BufRead, IsTerminal};

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use weir_broker::auth::scram::{SALT_LEN, ScramMechanism};
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use weir_broker::protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};

use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::output::OutputArgs;

/// Rounds of hashing, unless said otherwise.
pub const ITERATIONS: i32 = 4_096;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo 's3cret' | weir user create ada                SCRAM-SHA-256 and SCRAM-SHA-512
  weir user create ada --password s3cret --mechanism sha-512 --iterations 8192
  weir user list
  weir user delete ada")]
pub struct UserArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: UserCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MechanismArg {
    #[value(name = "sha-256", alias = "SCRAM-SHA-256")]
    Sha256,
    #[value(name = "sha-512", alias = "SCRAM-SHA-512")]
    Sha512,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Show users and their mechanisms
    #[command(visible_alias = "ls")]
    List {
        /// Only these
        users: Vec<String>,
    },
    /// Make a user, or change the password
    Create {
        user: String,
        /// Password, which other users of this machine can see here; default: the first line of standard input
        #[arg(long, short = 'p', env = "WEIR_USER_PASSWORD", hide_env_values = true)]
        password: Option<String>,
        /// Mechanism; default: both
        #[arg(long, value_enum)]
        mechanism: Option<MechanismArg>,
        /// Rounds of hashing
        #[arg(long, default_value_t = ITERATIONS)]
        iterations: i32,
    },
    /// Delete a user
    #[command(visible_alias = "rm")]
    Delete {
        user: String,
        /// Only the credential of this mechanism
        #[arg(long, value_enum)]
        mechanism: Option<MechanismArg>,
    },
}

impl MechanismArg {
    fn scram(self) -> ScramMechanism {
        match self {
            MechanismArg::Sha256 => ScramMechanism::Sha256,
            MechanismArg::Sha512 => ScramMechanism::Sha512,
        }
    }
}

pub async fn run(args: UserArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    match args.command {
        UserCommand::List { users } => {
            let mut rows = Vec::new();
            for (user, mechanism, iterations) in credentials(&connection, &users).await? {
                rows.push(vec![user.into(), Value::from(mechanism), iterations.into()]);
            }
            args.output.show(&["user", "mechanism", "iterations"], &rows);
            Ok(())
        }
        UserCommand::Create { user, password, mechanism, iterations } => {
            let password = match password {
                Some(password) => password,
                None => read_password(&user)?,
            };
            let mechanisms =
                mechanism.map_or(ScramMechanism::ALL.to_vec(), |mechanism| vec![mechanism.scram()]);
            create(&connection, &user, &password, &mechanisms, iterations).await?;
            args.output.say(&format!("Stored user {user}"));
            Ok(())
        }
        UserCommand::Delete { user, mechanism } => {
            let known = credentials(&connection, std::slice::from_ref(&user)).await?;
            let wanted = |name: &str| mechanism.is_none_or(|m| m.scram().name() == name);
            let deletions: Vec<ScramCredentialDeletion> = ScramMechanism::ALL
                .into_iter()
                .filter(|m| wanted(m.name()) && known.iter().any(|(_, name, _)| *name == m.name()))
                .map(|m| ScramCredentialDeletion { name: user.clone(), mechanism: m.code() })
                .collect();
            if deletions.is_empty() {
                let message = "there is no such credential".to_owned();
                return Err(ToolError::Input { place: format!("user \"{user}\""), message });
            }
            let request = AlterUserScramCredentialsRequest { deletions, upsertions: Vec::new() };
            alter(&connection, "deleting", request).await?;
            args.output.say(&format!("Deleted user {user}"));
            Ok(())
        }
    }
}

/// (user, mechanism, iterations) of the users, or of all.
pub async fn credentials(
    connection: &Connection,
    users: &[String],
) -> Result<Vec<(String, &'static str, i32)>> {
    let users = users.iter().map(|name| UserName { name: name.clone() }).collect();
    let request = DescribeUserScramCredentialsRequest { users: Some(users) };
    let answer = ask!(connection, DescribeUserScramCredentials, request)?;
    check(|| "listing users".to_owned(), answer.error_code, answer.error_message)?;
    let mut found = Vec::new();
    for result in answer.results {
        // A user that was asked for and does not exist has no credentials.
        if result.error_code != weir_broker::protocol::error_code::ErrorCode::ResourceNotFound {
            check(
                || format!("describing user \"{}\"", result.user),
                result.error_code,
                result.error_message,
            )?;
        }
        found.extend(result.credential_infos.into_iter().map(|info| {
            let mechanism = ScramMechanism::from_code(info.mechanism).map_or("unknown", ScramMechanism::name);
            (result.user.clone(), mechanism, info.iterations)
        }));
    }
    found.sort();
    Ok(found)
}

/// Stores the credentials of a user, one for each mechanism.
pub async fn create(
    connection: &Connection,
    user: &str,
    password: &str,
    mechanisms: &[ScramMechanism],
    iterations: i32,
) -> Result<()> {
    let rounds =
        u32::try_from(iterations).map_err(|_| ToolError::Usage("--iterations is negative".to_owned()))?;
    let upsertions = mechanisms
        .iter()
        .map(|mechanism| {
            let salt: [u8; SALT_LEN] = rand::random();
            let salted = mechanism.salted_password(password, &salt, rounds);
            ScramCredentialUpsertion {
                name: user.to_owned(),
                mechanism: mechanism.code(),
                iterations,
                salt: Bytes::copy_from_slice(&salt),
                salted_password: Bytes::from(salted),
            }
        })
        .collect();
    alter(connection, "storing", AlterUserScramCredentialsRequest { deletions: Vec::new(), upsertions }).await
}

/// Sends changes of credentials.
pub async fn alter(
    connection: &Connection,
    doing: &str,
    request: AlterUserScramCredentialsRequest,
) -> Result<()> {
    for result in ask!(connection, AlterUserScramCredentials, request)?.results {
        check(|| format!("{doing} user \"{}\"", result.user), result.error_code, result.error_message)?;
    }
    Ok(())
}

fn read_password(user: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Err(ToolError::Usage(format!(
            "no password: pipe it, as in \"weir user create {user} < file\", or set WEIR_USER_PASSWORD"
        )));
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|source| ToolError::Io { action: "read", path: "standard input".to_owned(), source })?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(ToolError::Usage("the password is empty".to_owned()));
    }
    Ok(password.to_owned())
}
