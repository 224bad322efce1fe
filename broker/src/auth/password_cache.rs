//! Passwords that were checked before. HTTP clients send theirs with every request, and a check takes milliseconds.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;
use ring::hmac;

use super::scram::ScramCredential;

/// Users that are remembered; when there are more, all are checked anew.
const USERS_MAX: usize = 1_024;

/// Keyed digests of passwords, each with the credential that it was verified against.
pub struct PasswordCache {
    /// Random, of this process.
    key: hmac::Key,
    by_user: Mutex<HashMap<String, (hmac::Tag, ScramCredential)>>,
}

impl fmt::Debug for PasswordCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordCache").finish_non_exhaustive()
    }
}

impl PasswordCache {
    /// `key`: random bytes.
    pub fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), by_user: Mutex::default() }
    }

    /// The credential that this password of the user was verified against, if it was.
    pub fn find(&self, user: &str, password: &str) -> Option<ScramCredential> {
        let by_user = self.by_user.lock();
        let (tag, credential) = by_user.get(user)?;
        // In constant time.
        hmac::verify(&self.key, password.as_bytes(), tag.as_ref()).ok()?;
        Some(credential.clone())
    }

    pub fn remember(&self, user: &str, password: &str, credential: ScramCredential) {
        let tag = hmac::sign(&self.key, password.as_bytes());
        let mut by_user = self.by_user.lock();
        if by_user.len() >= USERS_MAX && !by_user.contains_key(user) {
            by_user.clear();
        }
        by_user.insert(user.to_owned(), (tag, credential));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::{ITERATIONS_MIN, ScramMechanism};

    #[test]
    fn a_password_is_found_by_itself_only() {
        let cache = PasswordCache::new(&[7; 32]);
        let credential = ScramCredential::derive(ScramMechanism::Sha256, "a", vec![1; 16], ITERATIONS_MIN);
        assert_eq!(cache.find("ada", "a"), None);
        cache.remember("ada", "a", credential.clone());
        assert_eq!(cache.find("ada", "a"), Some(credential.clone()));
        assert_eq!(cache.find("ada", "b"), None);
        assert_eq!(cache.find("bob", "a"), None);
        for n in 0..2 * USERS_MAX {
            cache.remember(&n.to_string(), "a", credential.clone());
        }
        assert!(cache.by_user.lock().len() <= USERS_MAX);
    }
}
