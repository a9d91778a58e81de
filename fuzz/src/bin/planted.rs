//! Searches for the mistake that `REMIT_PLANTED` names: a search that does not find it proves nothing.

#![no_main]

use std::sync::LazyLock;

use remit_hostile::{Mistake, planted};

static MISTAKE: LazyLock<Mistake> = LazyLock::new(|| {
    let name = std::env::var("REMIT_PLANTED").unwrap_or_default();
    Mistake::named(&name).expect("REMIT_PLANTED is twice, slow or large")
});

remit_fuzz::target!(|bytes: &[u8]| planted(*MISTAKE, bytes));
