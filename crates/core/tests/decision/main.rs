//! Decisions and their records, through the public words of `remit-core` alone.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod chain_of_jose;
#[cfg(test)]
mod common;
#[cfg(test)]
mod context;
#[cfg(test)]
mod evaluate;
#[cfg(test)]
mod features;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod identify;
#[cfg(test)]
mod lineage;
#[cfg(test)]
mod make;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod ocsf;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod secret;
#[cfg(test)]
mod veto;
