//! Searches for bytes that break `remit_hostile::names`.

#![no_main]

remit_fuzz::target!(remit_hostile::names);
