//! Searches for bytes that break `remit_hostile::json`.

#![no_main]

remit_fuzz::target!(remit_hostile::json);
