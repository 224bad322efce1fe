//! DescribeUserScramCredentials and AlterUserScramCredentials (KIP-554), and users of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::error_map::{Refusal, refusal};
use crate::api::node::Node;
use crate::auth::config::BootstrapUser;
use crate::auth::scram::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_LEN, ScramCredential, ScramMechanism};
use crate::error::{Error, Result as BrokerResult};
use crate::metadata::record::{MetadataRecord, StoredCredential};
use crate::metadata::security::SecurityImage;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use crate::protocol::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

/// Longest user name, in bytes.
const USER_NAME_LEN_MAX: usize = 1_024;
/// Longest salt, in bytes.
const SALT_LEN_MAX: usize = 1_024;

pub(crate) fn describe(
    node: &Node,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let image = node.metadata().image();
    let security = image.security();
    let names: Vec<String> = match request.users {
        Some(users) if !users.is_empty() => users.into_iter().map(|user| user.name).collect(),
        _ => security.users().map(|(name, _)| name.to_owned()).collect(),
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &names {
        *seen.entry(name).or_default() += 1;
    }
    let describe = |(name, count): (&str, usize)| {
        let refused = |error_code, message: &str| DescribeUserScramCredentialsResult {
            user: name.to_owned(),
            error_code,
            error_message: Some(message.to_owned()),
            credential_infos: Vec::new(),
        };
        if count > 1 {
            return refused(ErrorCode::DuplicateResource, "the user is named more than once");
        }
        let Some(credentials) = security.user(name) else {
            return refused(ErrorCode::ResourceNotFound, "the user has no SCRAM credentials");
        };
        let info = |credential: &ScramCredential| CredentialInfo {
            mechanism: credential.mechanism.code(),
            iterations: i32::try_from(credential.iterations).unwrap_or(i32::MAX),
        };
        DescribeUserScramCredentialsResult {
            user: name.to_owned(),
            credential_infos: credentials.values().map(info).collect(),
            ..DescribeUserScramCredentialsResult::default()
        }
    };
    DescribeUserScramCredentialsResponse {
        results: seen.into_iter().map(describe).collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}

/// Changes for one user of a request: all of them happen, or none.
#[derive(Debug, Default)]
struct Plan {
    touched: BTreeSet<ScramMechanism>,
    records: Vec<MetadataRecord>,
    refusal: Option<Refusal>,
}

impl Plan {
    fn add(&mut self, outcome: Result<(ScramMechanism, MetadataRecord), Refusal>) {
        match outcome {
            Ok((mechanism, record)) if self.touched.insert(mechanism) => self.records.push(record),
            Ok(_) => {
                let message = "a credential cannot be changed twice in one request".to_owned();
                self.refusal = Some((ErrorCode::DuplicateResource, message));
            }
            Err(refusal) => drop(self.refusal.get_or_insert(refusal)),
        }
    }
}

pub(crate) async fn alter(
    node: &Node,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let written = node.update_metadata(move |image| {
        let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
        for deletion in request.deletions {
            let outcome = plan_deletion(image.security(), &deletion);
            plans.entry(deletion.name).or_default().add(outcome);
        }
        for upsertion in request.upsertions {
            let outcome = plan_upsertion(&upsertion);
            plans.entry(upsertion.name).or_default().add(outcome);
        }
        let accepted = plans.values_mut().filter(|plan| plan.refusal.is_none());
        let records = accepted.flat_map(|plan| std::mem::take(&mut plan.records)).collect();
        let outcomes: Vec<(String, Option<Refusal>)> =
            plans.into_iter().map(|(user, plan)| (user, plan.refusal)).collect();
        Ok((records, outcomes))
    });
    let result = |(user, refusal): (String, Option<Refusal>)| {
        let (error_code, message) =
            refusal.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text)));
        AlterUserScramCredentialsResult { user, error_code, error_message: message }
    };
    let results = match written.await {
        Ok(outcomes) => outcomes.into_iter().map(result).collect(),
        Err(error) => vec![result((String::new(), Some(refusal(error))))],
    };
    AlterUserScramCredentialsResponse { throttle_time_ms: 0, results }
}

fn mechanism(code: i8) -> Result<ScramMechanism, Refusal> {
    let unknown = || (ErrorCode::UnsupportedSaslMechanism, format!("SCRAM mechanism {code} is not known"));
    ScramMechanism::from_code(code).ok_or_else(unknown)
}

fn unacceptable(message: String) -> Refusal {
    (ErrorCode::UnacceptableCredential, message)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if (1..=USER_NAME_LEN_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(unacceptable(format!("a user name has 1 to {USER_NAME_LEN_MAX} bytes")))
}

fn plan_deletion(
    security: &SecurityImage,
    deletion: &ScramCredentialDeletion,
) -> Result<(ScramMechanism, MetadataRecord), Refusal> {
    check_name(&deletion.name)?;
    let mechanism = mechanism(deletion.mechanism)?;
    if security.credential(&deletion.name, mechanism).is_none() {
        return Err((ErrorCode::ResourceNotFound, format!("the user has no {mechanism} credential")));
    }
    Ok((mechanism, MetadataRecord::CredentialRemoved { user: deletion.name.clone(), mechanism }))
}

fn plan_upsertion(upsertion: &ScramCredentialUpsertion) -> Result<(ScramMechanism, MetadataRecord), Refusal> {
    check_name(&upsertion.name)?;
    let mechanism = mechanism(upsertion.mechanism)?;
    let iterations = u32::try_from(upsertion.iterations).unwrap_or(0);
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Err(unacceptable(format!(
            "iterations must be between {ITERATIONS_MIN} and {ITERATIONS_MAX}"
        )));
    }
    if !(1..=SALT_LEN_MAX).contains(&upsertion.salt.len()) {
        return Err(unacceptable(format!("a salt has 1 to {SALT_LEN_MAX} bytes")));
    }
    if upsertion.salted_password.len() != mechanism.key_len() {
        return Err(unacceptable(format!(
            "a password salted for {mechanism} has {} bytes",
            mechanism.key_len()
        )));
    }
    let salt = upsertion.salt.to_vec();
    let credential =
        ScramCredential::from_salted_password(mechanism, &upsertion.salted_password, salt, iterations);
    let record = MetadataRecord::CredentialSet {
        user: upsertion.name.clone(),
        credential: StoredCredential::from(&credential),
    };
    Ok((mechanism, record))
}

/// Brings the users of the configuration about: what the configuration says of them holds from every start on.
pub(crate) async fn set_configured(node: &Node) -> BrokerResult<()> {
    let users = node.config().security.users.clone();
    if users.is_empty() {
        return Ok(());
    }
    let image = node.metadata().image();
    let mut salts: Vec<Vec<u8>> = Vec::new();
    salts.resize_with(users.len() * ScramMechanism::ALL.len(), || {
        let mut salt = vec![0; SALT_LEN];
        node.rng().fill_bytes(&mut salt);
        salt
    });
    let salting = tokio::task::spawn_blocking(move || {
        let mut salts = salts.into_iter();
        let mut records = Vec::new();
        for user in users.iter().filter(|user| !is_set(image.security(), user)) {
            for (mechanism, salt) in ScramMechanism::ALL.into_iter().zip(salts.by_ref()) {
                let password = user.password.reveal();
                let credential = ScramCredential::derive(mechanism, password, salt, ITERATIONS_MIN);
                let credential = StoredCredential::from(&credential);
                records.push(MetadataRecord::CredentialSet { user: user.name.clone(), credential });
            }
        }
        records
    });
    let records = salting.await.map_err(|_| Error::Interrupted { action: "set passwords" })?;
    node.update_metadata(move |_| Ok((records, ()))).await
}

/// Is the user's password what the configuration says, under every mechanism?
fn is_set(security: &SecurityImage, user: &BootstrapUser) -> bool {
    ScramMechanism::ALL.into_iter().all(|mechanism| {
        let stored = security.credential(&user.name, mechanism);
        stored.is_some_and(|stored| stored.verifies(user.password.reveal()))
    })
}
