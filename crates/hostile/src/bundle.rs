//! The two signed texts that gateways follow: what is read is written back the same, and a feed has no gaps.

use remit_core::bundle::{BundleError, FEED_PAGE_MAX, FeedPage, Versioned};
use remit_core::hash::{sha256, sha256_text};
use remit_core::policy::compile;
use remit_core::revoked::Revoked;

use crate::fixed::{DOMAIN, NOW, domain};
use crate::parts::choice;

/// The first byte chooses: a text as it is, or the content of a bundle or of a page of the feed below its header.
pub fn bundle(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let digest = sha256_text(&sha256(&[text.as_bytes()]));
    let text = match first % 3 {
        0 => text.to_owned(),
        1 => {
            let digest = digest.trim_start_matches("sha256:");
            format!("remit.bundle/v1 {DOMAIN}\nversion 7\nnot_after {NOW}\nsha256 {digest}\n{text}\n")
        }
        _ => format!("remit.feed/v1 {DOMAIN}\nseq 9\nat {NOW}\n{text}\n"),
    };
    issued(&text);
    page(&text);
}

fn issued(text: &str) {
    let Some(domain) = domain() else { return };
    let Ok(read) = Versioned::read(text, &domain) else { return };
    let written = Versioned::write(&domain, read.version, read.not_after, &read.bundle).unwrap_or_default();
    let again = Versioned::read(&written, &domain);
    // The digest is that of the text, which may have been written otherwise.
    assert_eq!(again, Ok(Versioned { digest: again.as_ref().map_or([0; 32], |read| read.digest), ..read.clone() }));
    let other = text.replacen("\nversion ", "\nversion 1", 1);
    assert_ne!(
        Versioned::read(&other, &domain).map(|read| read.version),
        Ok(read.version),
        "the version does not count"
    );
    for (at, byte) in text.bytes().enumerate().skip(text.find('{').unwrap_or(0)).step_by(97) {
        let mut changed = text.to_owned().into_bytes();
        changed.splice(at..=at, [byte ^ 1]);
        let changed = String::from_utf8(changed).unwrap_or_default();
        let refused = matches!(Versioned::read(&changed, &domain), Err(BundleError::Digest | BundleError::Header(_)));
        assert!(refused, "byte {at} does not count");
    }
    let _ready = compile(read, domain);
}

fn page(text: &str) {
    let Some(domain) = domain() else { return };
    let Ok(page) = FeedPage::read(text, &domain) else { return };
    assert!(page.entries.len() <= FEED_PAGE_MAX);
    let written = page.write(&domain).unwrap_or_default();
    assert_eq!(FeedPage::read(&written, &domain).as_ref(), Ok(&page));
    let mut revoked = Revoked::default();
    for entry in page.entries {
        let (before, seq) = (revoked.seq(), entry.seq);
        assert_eq!(revoked.apply(entry).is_ok(), seq == before + 1, "a gap");
        assert!(revoked.seq() == before || revoked.seq() == seq);
    }
    assert!(revoked.seq() <= page.seq);
}
