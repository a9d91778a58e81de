//! The real binary, as its users and their scripts see it.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

#[cfg(test)]
mod adopt;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod apart;
#[cfg(test)]
mod asks;
#[cfg(test)]
mod brokered;
#[cfg(test)]
mod confirmed;
#[cfg(test)]
#[cfg(feature = "demo")]
mod demo;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod help;
#[cfg(test)]
mod log_verify;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod pin;
#[cfg(test)]
mod program;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod remit;
#[cfg(test)]
#[cfg(feature = "demo")]
mod replay;
#[cfg(test)]
mod spawn;
#[cfg(test)]
mod teams;
#[cfg(test)]
mod up;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod words;
