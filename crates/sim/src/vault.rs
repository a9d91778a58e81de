//! The life of a vault on a disk that fails: what was sealed opens after any crash, unless its subject was forgotten;
//! what was forgotten stays so, and the vault always opens again.

use std::collections::BTreeMap;
use std::path::Path;

use remit_audit::vault::{Kek, Vault, VaultError};

use crate::disk::{Failure, Lie, Plan, SimDisk};
use crate::random::Random;

const SUBJECTS: u64 = 4;
const AAD: &[u8] = b"sim";

/// What may have become of what was sealed for a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// A destruction was under way when the disk failed.
    Either,
    Erased,
}

struct Oracle {
    random: Random,
    disk: SimDisk,
    /// Every frame that was sealed, by subject, and what is known of it.
    frames: BTreeMap<String, Vec<(Vec<u8>, Fate)>>,
}

/// Lives one seed through; an error says what was lost. The number is that of frames that were looked at.
pub fn run(seed: u64, lie: Lie) -> Result<u64, String> {
    let mut oracle =
        Oracle { random: Random::new(seed ^ 0x0a01), disk: SimDisk::new(seed, lie), frames: BTreeMap::new() };
    let mut looked = 0;
    for _ in 0..3 + oracle.random.up_to(4) {
        let plan = oracle.faults();
        oracle.disk.plan(plan);
        if let Ok(vault) = oracle.open() {
            oracle.work(&vault);
        }
        let power_cut = !oracle.random.once_in(4);
        oracle.disk.reboot(power_cut);
        let vault = oracle.open().map_err(|error| format!("it does not open again: {error}"))?;
        looked += oracle.check(&vault)?;
    }
    Ok(looked)
}

impl Oracle {
    fn open(&self) -> Result<Vault<SimDisk>, VaultError> {
        Vault::open_on(self.disk.clone(), Path::new("/"), Kek::from_bytes([5; 32]))
    }

    fn faults(&mut self) -> Plan {
        let failure = self.random.pick(&[Failure::Lost, Failure::Kept, Failure::Torn]);
        Plan {
            crash_at: (!self.random.once_in(4)).then(|| 1 + self.random.up_to(40)),
            fail_at: self.random.once_in(4).then(|| (1 + self.random.up_to(30), failure)),
            capacity: None,
        }
    }

    fn work(&mut self, vault: &Vault<SimDisk>) {
        for _ in 0..self.random.up_to(12) {
            let subject = format!("person {}", self.random.up_to(SUBJECTS));
            let frames = self.frames.entry(subject.clone()).or_default();
            if self.random.once_in(4) {
                let fate = if vault.destroy(&subject).is_ok() { Fate::Erased } else { Fate::Either };
                let known = frames.iter_mut().filter(|(_, known)| *known != Fate::Erased);
                known.for_each(|(_, known)| *known = fate);
            } else if let Ok(blob) = vault.seal(&subject, AAD, subject.as_bytes()) {
                frames.push((blob, Fate::Kept));
            }
            if self.disk.is_down() {
                return;
            }
        }
    }

    fn check(&mut self, vault: &Vault<SimDisk>) -> Result<u64, String> {
        let mut looked = 0;
        for (subject, frames) in &mut self.frames {
            for (blob, fate) in frames {
                let found = match vault.open_sealed(subject, AAD, blob) {
                    Ok(plain) if plain == subject.as_bytes() => Fate::Kept,
                    Err(VaultError::Erased) => Fate::Erased,
                    Ok(_) => return Err(format!("{subject}: it opens to something else")),
                    Err(error) => return Err(format!("{subject}, {fate:?}: {error}")),
                };
                if *fate != Fate::Either && *fate != found {
                    return Err(format!("{subject}: {fate:?} became {found:?}"));
                }
                *fate = found;
                looked += 1;
            }
        }
        Ok(looked)
    }
}
