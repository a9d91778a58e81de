//! Entries as the commands read them: from a verified log with their sealed frames, or quickly from published bundles.

use std::path::Path;

use remit_audit::checkpoint::Checkpoint;
use remit_audit::note::Verifier;
use remit_audit::tile::{TILE_WIDTH, Tile, leaves, width_at};
use remit_audit::vault::{Kek, Vault, VaultError};
use remit_audit::verify::{Report, verify_dir};
use remit_core::event::canon::Node;
use remit_core::event::{Kind, check_entry, read};

use super::places::Epoch;
use crate::context::Context;
use crate::error::CliError;

/// One entry.
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) leaf: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// Verifies an epoch and gives the entries of a range.
pub(super) fn verified(epoch: &Epoch, wanted: impl Fn(u64) -> bool) -> Result<(Vec<Entry>, Report), CliError> {
    let mut entries = Vec::new();
    let report = verify_dir(&epoch.dir, None, None, &mut |index, leaf, sealed| {
        check_entry(leaf, sealed).map_err(|error| error.to_string())?;
        if wanted(index) {
            entries.push(Entry { index, leaf: leaf.to_vec(), sealed: sealed.to_vec() });
        }
        Ok(())
    });
    let report = report.map_err(|error| {
        CliError::finding(error, format!("see all that is wrong with it: remit log verify {}", epoch.dir.display()))
    })?;
    Ok((entries, report))
}

/// The one entry of that index.
pub(super) fn one(epoch: &Epoch, index: u64) -> Result<Entry, CliError> {
    let (entries, report) = verified(epoch, |at| at == index)?;
    entries.into_iter().next().ok_or_else(|| {
        CliError::unevaluated(
            format!("there is no entry {index}: {} has {} entries", report.origin, report.size),
            "see which there are: remit log tail",
        )
    })
}

/// The published size of an epoch, by its signed checkpoint.
pub(super) fn published(epoch: &Epoch) -> Result<u64, CliError> {
    let path = epoch.dir.join("checkpoint");
    let broken = |why: &dyn std::fmt::Display| {
        CliError::finding(
            format!("{}: {why}", path.display()),
            format!("see what is wrong: remit log verify {}", epoch.dir.display()),
        )
    };
    let key = Verifier::parse(&epoch.vkey).map_err(|error| broken(&error))?;
    let note = std::fs::read_to_string(&path).map_err(|error| broken(&error))?;
    Checkpoint::open(&note, &key).map(|checkpoint| checkpoint.size).map_err(|error| broken(&error))
}

/// Leaves of a published range, unverified: for looking, not for proving.
pub(super) fn leaves_of(dir: &Path, from: u64, size: u64) -> Result<Vec<(u64, Vec<u8>)>, CliError> {
    let mut found = Vec::new();
    for index in from / TILE_WIDTH..size.div_ceil(TILE_WIDTH) {
        let tile = Tile { level: None, index, width: width_at(0, index, size) };
        let path = dir.join(tile.path());
        let bytes = std::fs::read(&path).map_err(|error| {
            CliError::finding(
                format!("{}: {error}", path.display()),
                format!("see what is wrong: remit log verify {}", dir.display()),
            )
        })?;
        let numbered = (index * TILE_WIDTH..).zip(leaves(&bytes).unwrap_or_default());
        found.extend(numbered.filter(|(at, _)| *at >= from).map(|(at, leaf)| (at, leaf.to_vec())));
    }
    Ok(found)
}

/// The checkpoint of the epoch before, where this is the leaf that begins one.
pub(super) fn previous(leaf: &[u8]) -> Option<String> {
    let (kind, node) = read(leaf)?;
    let checkpoint = node.text(&["unmapped", "remit", "previous"])?;
    (kind == Kind::Epoch).then(|| checkpoint.to_owned())
}

/// Whose frame it is, and the event's id, to which the frame is bound.
pub(super) fn frame_of(node: &Node) -> Option<(&str, &str)> {
    let subject = node.text(&["unmapped", "remit", "sealed", "subject"])?;
    Some((subject, node.text(&["metadata", "uid"])?))
}

/// The gateway's vault. It is opened, never made.
pub(super) fn vault(context: &Context) -> Result<Vault, CliError> {
    let (dir, key) = (context.home.gateway_vault(), context.home.gateway_vault_key());
    if !dir.is_dir() || !key.is_file() {
        return Err(CliError::unevaluated(
            format!("there is no vault in {}", dir.display()),
            "name the gateway's home: remit --home DIR log …",
        ));
    }
    let failed = |error: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("{}: {error}", dir.display()), "see what is wrong: remit doctor")
    };
    let kek = Kek::load_or_create(&key).map_err(|error| failed(&error))?;
    Vault::open(&dir, kek).map_err(|error| failed(&error))
}

/// Opens the sealed frame of an entry.
pub(super) fn unseal(vault: &Vault, node: &Node, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (subject, uid) = frame_of(node).ok_or(VaultError::Corrupt)?;
    vault.open_sealed(subject, uid.as_bytes(), sealed)
}
