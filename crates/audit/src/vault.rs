//! The vault: seals bytes under a key per subject, and destroys a subject's key so that nobody reads them again.
//!
//! A key is 32 random bytes in a file of its own, wrapped under the key-encryption key; the file's name is a keyed hash
//! of the subject, so the directory names nobody. Keys are never in the log. **Invariant:** a key is durable before
//! anything is sealed under it, and a destroyed key leaves a durable tombstone before its file is gone, so that a key
//! file that comes back with a backup is destroyed again.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac, rand,
};
use zeroize::Zeroizing;

use crate::{
    disk::{Disk, Posix, ensure_dir, remove_if_there, replace},
    durable,
    key::{KeyError, load_or_create},
};

/// Subjects whose keys are kept unwrapped in memory at most.
pub const KEYS_CACHED_MAX: usize = 4096;
/// Longest subject name.
pub const SUBJECT_BYTES_MAX: usize = 1024;

const KEK_HEADER: &str = "remit-vault-kek-v1 ";
const BLOB_VERSION: u8 = 1;
const FILE_VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const BLOB_HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The subject's key was destroyed; the bytes are gone for good.
    #[error("the key was destroyed: the content is erased")]
    Erased,
    /// The key is not there and no tombstone says why.
    #[error("the key is missing")]
    KeyMissing,
    /// Blob, associated data, subject and key do not belong together.
    #[error("the sealed content does not open")]
    Corrupt,
    /// The subject's name is empty or too long.
    #[error("the subject is empty or longer than {SUBJECT_BYTES_MAX} bytes")]
    Subject,
    /// The system gives no random bytes, or the cipher failed.
    #[error("no randomness")]
    NoRandomness,
    /// The file system failed.
    #[error("vault: {0}")]
    Io(#[from] io::Error),
}

/// The key-encryption key, under which the subjects' keys lie on disk. No `Debug`.
pub struct Kek(Zeroizing<[u8; 32]>);

impl Kek {
    /// Reads it from a file that only the owner can read, or makes one.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        load_or_create(path, KEK_HEADER).map(Self)
    }

    /// From bytes that a key service gave.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

type KeyId = [u8; KEY_ID_BYTES];

struct SubjectKey {
    id: KeyId,
    key: LessSafeKey,
}

/// An open vault. One process has it, the one that has the log beside it.
pub struct Vault<D: Disk = Posix> {
    disk: D,
    dir: PathBuf,
    wrap: LessSafeKey,
    names: hmac::Key,
    keys: Mutex<BTreeMap<String, Arc<SubjectKey>>>,
    /// Set while a name of a key may not be durable, because making one has failed.
    unsure: AtomicBool,
}

impl Vault {
    /// Opens the vault in this directory, and finishes destructions that a crash has interrupted.
    pub fn open(dir: &Path, kek: Kek) -> Result<Self, VaultError> {
        durable::create_dir(dir)?;
        Self::open_on(Posix, dir, kek)
    }
}

impl<D: Disk> Vault<D> {
    /// The same on any disk; the directory must be there.
    #[expect(clippy::needless_pass_by_value, reason = "the vault takes the key over, and wipes it")]
    pub fn open_on(disk: D, dir: &Path, kek: Kek) -> Result<Self, VaultError> {
        let derive = |label: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, kek.0.as_ref()), label);
        let vault = Self {
            disk,
            dir: dir.to_owned(),
            wrap: aead_key(derive(b"remit-vault wrap").as_ref())?,
            names: hmac::Key::new(hmac::HMAC_SHA256, derive(b"remit-vault name").as_ref()),
            keys: Mutex::default(),
            unsure: true.into(),
        };
        let erased = vault.dir.join("erased");
        for dir in [&vault.dir.join("keys"), &erased] {
            ensure_dir(&vault.disk, dir)?;
        }
        // Also where they are there: whoever made them may have ended before their names were durable.
        vault.disk.sync_dir(&vault.dir)?;
        vault.disk.sync_dir(&erased)?;
        for tombstone in vault.disk.list(&erased)? {
            let name = vault.disk.read(&erased.join(tombstone.name))?;
            vault.finish_destruction(&String::from_utf8_lossy(&name))?;
        }
        Ok(vault)
    }

    /// Seals bytes for a subject, under a key that is made durable first if there is none.
    /// The blob is version, key id, nonce, ciphertext with its tag.
    pub fn seal(&self, subject: &str, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let name = self.name(subject)?;
        let key = self.key(&name, true)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let mut blob = Vec::with_capacity(BLOB_HEADER_BYTES + plain.len() + TAG_BYTES);
        blob.push(BLOB_VERSION);
        blob.extend_from_slice(&key.id);
        blob.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        let aad = bind(&blob, &name, aad);
        key.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
            .map_err(|_| VaultError::NoRandomness)?;
        blob.extend_from_slice(&body);
        Ok(blob)
    }

    /// Opens what was sealed for this subject with this associated data.
    pub fn open_sealed(&self, subject: &str, aad: &[u8], blob: &[u8]) -> Result<Vec<u8>, VaultError> {
        let name = self.name(subject)?;
        let (header, body) = blob.split_at_checked(BLOB_HEADER_BYTES).ok_or(VaultError::Corrupt)?;
        let (id, nonce) = parse_header(header).ok_or(VaultError::Corrupt)?;
        if self.is_there(&self.tombstone(&id))? {
            return Err(VaultError::Erased);
        }
        let key = self.key(&name, false)?;
        if key.id != id {
            return Err(VaultError::KeyMissing);
        }
        let mut body = body.to_vec();
        let aad = Aad::from(bind(header, &name, aad));
        let opened = key.key.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut body);
        let len = opened.map_err(|_| VaultError::Corrupt)?.len();
        body.truncate(len);
        Ok(body)
    }

    /// Destroys the subject's key. What was sealed under it is erased; what is sealed later has a new key.
    /// Destroying what is not there is done already.
    pub fn destroy(&self, subject: &str) -> Result<(), VaultError> {
        let name = self.name(subject)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match self.read_key(&name) {
            Ok(Some(key)) => key.id,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error),
        };
        // First: if what follows fails, it is not known which of the two holds, and nothing more is sealed under it.
        keys.remove(&name);
        self.write(&self.tombstone(&id), name.as_bytes())?;
        self.finish_destruction(&name)
    }

    fn key(&self, name: &str, make: bool) -> Result<Arc<SubjectKey>, VaultError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(name) {
            return Ok(Arc::clone(key));
        }
        if make {
            // A destruction that failed half-way: nothing is sealed under what may be gone tomorrow.
            self.finish_destruction(name)?;
            if self.unsure.load(Ordering::SeqCst) {
                self.disk.sync_dir(&self.dir.join("keys"))?;
                self.unsure.store(false, Ordering::SeqCst);
            }
        }
        let key = match self.read_key(name)? {
            Some(key) => key,
            None if make => self.make_key(name)?,
            None => return Err(VaultError::KeyMissing),
        };
        if keys.len() >= KEYS_CACHED_MAX {
            // Any will do: it is read again from its file.
            keys.pop_first();
        }
        let key = Arc::new(key);
        keys.insert(name.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// A key file is version, key id, nonce, wrapped key with its tag.
    fn make_key(&self, name: &str) -> Result<SubjectKey, VaultError> {
        let mut secret = Zeroizing::new([0; 32]);
        let (mut id, mut nonce): (KeyId, _) = ([0; KEY_ID_BYTES], [0; NONCE_LEN]);
        for bytes in [secret.as_mut_slice(), &mut id, &mut nonce] {
            rand::fill(bytes).map_err(|_| VaultError::NoRandomness)?;
        }
        let mut file = vec![FILE_VERSION];
        file.extend_from_slice(&id);
        file.extend_from_slice(&nonce);
        let aad = Aad::from(bind(&file, name, b""));
        let mut wrapped = *secret;
        let tag = self.wrap.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut wrapped);
        let tag = tag.map_err(|_| VaultError::NoRandomness)?;
        file.extend_from_slice(&wrapped);
        file.extend_from_slice(tag.as_ref());
        self.unsure.store(true, Ordering::SeqCst);
        self.write(&self.key_file(name), &file)?;
        self.unsure.store(false, Ordering::SeqCst);
        Ok(SubjectKey { id, key: aead_key(secret.as_ref())? })
    }

    fn read_key(&self, name: &str) -> Result<Option<SubjectKey>, VaultError> {
        let file = match self.disk.read(&self.key_file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let (header, body) = file.split_at_checked(BLOB_HEADER_BYTES).ok_or(VaultError::Corrupt)?;
        let (id, nonce) = parse_header(header).ok_or(VaultError::Corrupt)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(bind(header, name, b""));
        let secret = self.wrap.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut body);
        let secret = secret.map_err(|_| VaultError::Corrupt)?;
        Ok(Some(SubjectKey { id, key: aead_key(secret)? }))
    }

    /// Overwrites and removes a key whose tombstone is durable. A key made after that destruction stays.
    fn finish_destruction(&self, name: &str) -> Result<(), VaultError> {
        let path = self.key_file(name);
        let file = match self.disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        };
        // By the header alone: whoever is here with another key-encryption key must not destroy, nor fail to.
        let header = file.get(..BLOB_HEADER_BYTES).and_then(parse_header);
        let destroyed = match header {
            Some((id, _)) => self.is_there(&self.tombstone(&id))?,
            // Overwritten, and not removed yet when the process ended.
            None => file.iter().all(|byte| *byte == 0),
        };
        if !destroyed {
            return Ok(());
        }
        // A tombstone that is seen need not be durable yet.
        self.disk.sync_dir(&self.dir.join("erased"))?;
        let file = self.disk.open(&path, true)?;
        self.disk.write_at(&file, &[0; BLOB_HEADER_BYTES + 32 + TAG_BYTES], 0)?;
        self.disk.sync(&file)?;
        remove_if_there(&self.disk, &path)?;
        Ok(self.disk.sync_dir(&self.dir.join("keys"))?)
    }

    /// Writes a whole file, name and all. One at a time, under the lock of the keys.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        replace(&self.disk, path, &self.dir.join("unfinished"), bytes)?;
        Ok(self.disk.sync_dir(path.parent().unwrap_or(path))?)
    }

    fn is_there(&self, path: &Path) -> Result<bool, VaultError> {
        match self.disk.open(path, false) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn name(&self, subject: &str) -> Result<String, VaultError> {
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
            return Err(VaultError::Subject);
        }
        Ok(hex(hmac::sign(&self.names, subject.as_bytes()).as_ref()))
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(name)
    }

    fn tombstone(&self, id: &KeyId) -> PathBuf {
        self.dir.join("erased").join(hex(id))
    }
}

/// Associated data: everything that must not be exchanged without the key noticing.
fn bind(header: &[u8], name: &str, aad: &[u8]) -> Vec<u8> {
    [header, name.as_bytes(), aad].concat()
}

fn parse_header(header: &[u8]) -> Option<(KeyId, [u8; NONCE_LEN])> {
    let (&version, rest) = header.split_first()?;
    let (id, nonce) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
    (version == BLOB_VERSION).then_some((*id, nonce.try_into().ok()?))
}

fn aead_key(bytes: &[u8]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| VaultError::Corrupt)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn vault(dir: &Path) -> Vault {
        Vault::open(dir, Kek::from_bytes([5; 32])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_subject_and_data_alone_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let blob = vault(dir.path()).seal("alice", b"entry 1", b"secret").unwrap();
        let vault = vault(dir.path());
        assert_eq!(vault.open_sealed("alice", b"entry 1", &blob).unwrap(), b"secret");
        assert!(matches!(vault.open_sealed("alice", b"entry 2", &blob), Err(VaultError::Corrupt)));
        assert!(matches!(vault.open_sealed("bob", b"entry 1", &blob), Err(VaultError::KeyMissing)));
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(vault.open_sealed("alice", b"entry 1", &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_destroyed_key_erases_what_was_sealed_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let before = vault.seal("alice", b"", b"before").unwrap();
        let others = vault.seal("bob", b"", b"other").unwrap();
        vault.destroy("alice").unwrap();
        vault.destroy("alice").unwrap();
        assert!(matches!(vault.open_sealed("alice", b"", &before), Err(VaultError::Erased)));
        let after = vault.seal("alice", b"", b"after").unwrap();
        assert_eq!(vault.open_sealed("alice", b"", &after).unwrap(), b"after");
        assert!(matches!(vault.open_sealed("alice", b"", &before), Err(VaultError::Erased)));
        assert_eq!(vault.open_sealed("bob", b"", &others).unwrap(), b"other");
    }

    #[test]
    fn a_key_file_that_comes_back_is_destroyed_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = vault(dir.path());
        let blob = first.seal("alice", b"", b"x").unwrap();
        let file = first.key_file(&first.name("alice").unwrap());
        let kept = fs::read(&file).unwrap();
        first.destroy("alice").unwrap();
        durable::write(&file, &kept, 0o600).unwrap();
        let second = vault(dir.path());
        assert!(!file.exists());
        assert!(matches!(second.open_sealed("alice", b"", &blob), Err(VaultError::Erased)));
    }

    #[test]
    fn neither_names_nor_keys_are_readable_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        vault.seal("alice@example.org", b"", b"x").unwrap();
        let name = fs::read_dir(dir.path().join("keys")).unwrap().next().unwrap().unwrap().file_name();
        assert!(!name.to_string_lossy().contains("alice"));
        assert!(
            Vault::open(dir.path(), Kek::from_bytes([6; 32])).unwrap().seal("alice@example.org", b"", b"x").is_ok()
        );
    }
}
