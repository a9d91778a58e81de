//! When a policy of the naive model applies, in the words of its condition. It shares no code with `remit_core`, either.

use crate::value::{CENT, UNIT, exact, text};
use crate::world::{Asked, Token, When, World};

/// The argument that the condition reads in a way that needs it exactly.
pub fn reads(when: When) -> &'static str {
    match when {
        When::AmountOver(_) => "amount",
        When::IdOverflows => "id",
        _ => "",
    }
}

/// Whether the condition holds; `None` where it cannot be evaluated.
pub fn applies(when: When, world: &World, token: &Token) -> Option<bool> {
    let amount = world.value("amount").and_then(exact);
    let tier = world.tool().map_or(0, |tool| tool.tier);
    let environment = world.server().map_or("", |server| server.1);
    Some(match when {
        When::Always => true,
        When::AmountOver(most) => amount.is_some_and(|n| n > i128::from(most) * CENT),
        When::To(whom) => world.value("to").and_then(text) == Some(whom),
        When::TierFrom(least) => tier >= least,
        When::UntrustedAndTierFrom(least) => world.trust == 2 && tier >= least,
        When::SensitivityFrom(least) => world.sensitivity >= least,
        When::Unproven => world.trust > 0 && !world.given().is_empty(),
        When::AmountTrustFrom(level) => world.value("amount").is_some() && world.trust >= level,
        When::Bearer => token.bearer,
        When::OtherEnvironment => environment != token.who().environment,
        When::Spawned => token.depth > 0,
        When::IdOverflows => i64::try_from((exact(world.value("id")?)? / UNIT) << 62).ok()? > 0,
        When::UriBelow(top) => matches!(world.asked, Asked::Resource(uri) if uri.starts_with(top)),
        When::CallsOver(n) => world.counts[0] > n,
    })
}
