//! `agent.toml`: what is read keeps its rules, and reads back from TOML and from JSON.

use remit_core::manifest::{GRANT_SECONDS_MAX, Manifest, NEEDS_MAX};

/// A file's text.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    assert!(manifest.needs.len() <= NEEDS_MAX);
    for need in &manifest.needs {
        assert!((1..=GRANT_SECONDS_MAX).contains(&need.longest_s()), "{}", need.longest);
        assert!(!need.reason.trim().is_empty() && need.wildcard == need.target.is_wildcard());
        let found = manifest.need(&need.target);
        assert!(found.is_some_and(|found| found.target.covers(&need.target)), "a need that is not found");
    }
    let toml = toml::to_string(&manifest).unwrap_or_default();
    assert_eq!(Manifest::parse(&toml).as_ref(), Ok(&manifest), "{toml}");
    let json = serde_json::to_string(&manifest).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Manifest>(&json).ok().as_ref(), Some(&manifest), "{json}");
}
