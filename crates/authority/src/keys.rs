//! The keys that sign tokens: which one signs now, which ones gateways still accept, and when one is forgotten.
//!
//! The root key, which signs bundles and the feed, is another one and never signs a token.

use std::path::PathBuf;

use remit_audit::note::Signer;
use remit_core::jws::Jwk;

use crate::change::KeyRecord;
use crate::config::{Home, TOKEN_SECONDS_MAX};
use crate::error::AuthorityError;
use crate::signing::{PrivateKey, read_seed, write_seed};

/// A new key signs only after this time, in seconds, so that every gateway has heard of it.
pub(crate) const ROTATION_LEAD_S: i64 = 10;

/// The signing keys that are not retired, by age. No `Debug`.
pub(crate) struct Keys {
    keys: Vec<(KeyRecord, PrivateKey)>,
}

impl Keys {
    /// Reads the private halves of the recorded keys.
    pub(crate) fn load(home: &Home, records: Vec<KeyRecord>) -> Result<Self, AuthorityError> {
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            let path = file(home, &record.key);
            let private = PrivateKey::load(&path)?
                .ok_or_else(|| AuthorityError::at(&path)(std::io::ErrorKind::NotFound.into()))?;
            if private.public().x != record.key.x {
                return Err(remit_audit::KeyError::Malformed.into());
            }
            keys.push((record, private));
        }
        Ok(Self { keys })
    }

    /// Makes a key and writes its private half; it counts only once its record is in the log.
    pub(crate) fn make(&self, home: &Home, now: i64) -> Result<KeyRecord, AuthorityError> {
        let (private, seed) = PrivateKey::generate()?;
        let mut key = private.public().clone();
        let thumbprint = key.thumbprint();
        key.kid = Some(thumbprint.chars().take(16).collect());
        key.alg = Some("EdDSA".into());
        key.usage = Some("sig".into());
        write_seed(&file(home, &key), &seed)?;
        // Nobody waits for the first key to be replaced.
        let lead = if self.keys.is_empty() { 0 } else { ROTATION_LEAD_S };
        Ok(KeyRecord { key, signs_from: now.saturating_add(lead), at: now })
    }

    /// The newest key whose time has come.
    pub(crate) fn signer(&self, now: i64) -> Option<(&Jwk, &PrivateKey)> {
        let due = |(record, _): &&(KeyRecord, PrivateKey)| record.signs_from <= now;
        let (record, private) = self.keys.iter().rev().find(due).or(self.keys.first())?;
        Some((&record.key, private))
    }

    /// The public halves.
    pub(crate) fn public(&self) -> Vec<Jwk> {
        self.keys.iter().map(|(record, _)| record.key.clone()).collect()
    }

    /// Keys whose last token has expired, because a newer one has been signing for longer than a token lives.
    pub(crate) fn retirable(&self, now: i64) -> Vec<Jwk> {
        let newer = self.keys.iter().skip(1).map(|(record, _)| record.signs_from);
        self.keys
            .iter()
            .zip(newer)
            .filter(|(_, since)| since.saturating_add(TOKEN_SECONDS_MAX) < now)
            .map(|((record, _), _)| record.key.clone())
            .collect()
    }
}

/// The private half's file.
pub(crate) fn file(home: &Home, key: &Jwk) -> PathBuf {
    let kid = key.kid.as_deref().unwrap_or("unnamed");
    home.keys().join(format!("token-{kid}.key"))
}

/// The root key, made where there is none. Its name is `<trust domain>/root`.
pub(crate) fn root(home: &Home, trust_domain: &str) -> Result<Signer, AuthorityError> {
    let path = home.keys().join("root.key");
    let seed = if let Some(seed) = read_seed(&path)? {
        seed
    } else {
        let (_, seed) = PrivateKey::generate()?;
        write_seed(&path, &seed)?;
        seed
    };
    Signer::from_seed(&format!("{trust_domain}/root"), &seed).map_err(|_| AuthorityError::Crypto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_known_before_it_signs_and_an_old_one_until_its_last_token_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        remit_audit::durable::create_dir(&home.keys()).unwrap();
        let mut keys = Keys::load(&home, vec![]).unwrap();
        let first = keys.make(&home, 1_000).unwrap();
        assert_eq!(first.signs_from, 1_000);
        keys = Keys::load(&home, vec![first.clone()]).unwrap();
        let second = keys.make(&home, 2_000).unwrap();
        keys = Keys::load(&home, vec![first.clone(), second.clone()]).unwrap();
        let signs = |now| keys.signer(now).unwrap().0.kid.clone();
        let takes_over = 2_000 + ROTATION_LEAD_S;
        assert_eq!((signs(takes_over - 1), signs(takes_over)), (first.key.kid.clone(), second.key.kid));
        assert_eq!(keys.public().len(), 2);
        // The last token of the first key was minted the moment before.
        assert_eq!(keys.retirable(takes_over + TOKEN_SECONDS_MAX), []);
        assert_eq!(keys.retirable(takes_over + TOKEN_SECONDS_MAX + 1), [first.key]);
    }
}
