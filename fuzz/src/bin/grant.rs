//! Searches for bytes that break `remit_hostile::grant`.

#![no_main]

remit_fuzz::target!(remit_hostile::grant);
