//! Searches for bytes that break `remit_hostile::chain`.

#![no_main]

remit_fuzz::target!(remit_hostile::chain);
