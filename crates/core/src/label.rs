//! Labels: how far a value can be trusted and how sensitive it is. They only rise.

use serde::{Deserialize, Serialize};

/// Where a value came from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The user's own words, the grant, or a system of record.
    Verified,
    /// Written inside the organization.
    Internal,
    /// Anybody may have written it. What is unknown is this.
    Untrusted,
}

/// What harm reading a value by the wrong eyes would do, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Published.
    Public,
    /// For the organization.
    Internal,
    /// For those who need it.
    Confidential,
    /// Under a law or a contract. What is unknown is this.
    Regulated,
}

impl Trust {
    /// The level as policies compare it: 0 verified, 1 internal, 2 untrusted.
    pub fn level(self) -> i64 {
        match self {
            Trust::Verified => 0,
            Trust::Internal => 1,
            Trust::Untrusted => 2,
        }
    }

    /// The level's name, as events and errors write it.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Verified => "verified",
            Trust::Internal => "internal",
            Trust::Untrusted => "untrusted",
        }
    }
}

impl Sensitivity {
    /// The level as policies compare it: 0 public to 3 regulated.
    pub fn level(self) -> i64 {
        match self {
            Sensitivity::Public => 0,
            Sensitivity::Internal => 1,
            Sensitivity::Confidential => 2,
            Sensitivity::Regulated => 3,
        }
    }

    /// The level's name, as events and errors write it.
    pub fn name(self) -> &'static str {
        match self {
            Sensitivity::Public => "public",
            Sensitivity::Internal => "internal",
            Sensitivity::Confidential => "confidential",
            Sensitivity::Regulated => "regulated",
        }
    }
}

/// The label of a value, or the high-water mark of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// How far it can be trusted.
    pub trust: Trust,
    /// How sensitive it is.
    pub sensitivity: Sensitivity,
}

impl Label {
    /// The label of a run that has read nothing yet.
    pub const FRESH: Label = Label { trust: Trust::Verified, sensitivity: Sensitivity::Public };
    /// The most restricted label: that of whatever is not known.
    pub const UNKNOWN: Label = Label { trust: Trust::Untrusted, sensitivity: Sensitivity::Regulated };
}

/// The label of a root after a value labelled `value` reached it: never lower than `before` on either axis.
///
/// This is the only function that combines labels; there is none that lowers one.
#[must_use]
pub fn label(before: Label, value: Label) -> Label {
    Label { trust: before.trust.max(value.trust), sensitivity: before.sensitivity.max(value.sensitivity) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_label() -> impl Strategy<Value = Label> {
        let trust = prop_oneof![Just(Trust::Verified), Just(Trust::Internal), Just(Trust::Untrusted)];
        let sensitivity = prop_oneof![
            Just(Sensitivity::Public),
            Just(Sensitivity::Internal),
            Just(Sensitivity::Confidential),
            Just(Sensitivity::Regulated)
        ];
        (trust, sensitivity).prop_map(|(trust, sensitivity)| Label { trust, sensitivity })
    }

    proptest! {
        #[test]
        fn labels_only_rise_and_order_does_not_matter(a in any_label(), b in any_label(), c in any_label()) {
            let ab = label(a, b);
            prop_assert!(ab.trust >= a.trust && ab.sensitivity >= a.sensitivity);
            prop_assert_eq!(ab, label(b, a));
            prop_assert_eq!(label(ab, c), label(a, label(b, c)));
            prop_assert_eq!(label(ab, b), ab);
            prop_assert_eq!(label(a, Label::UNKNOWN), Label::UNKNOWN);
            prop_assert_eq!(label(Label::FRESH, a), a);
        }
    }
}
