//! Searches for bytes that break `remit_hostile::tile`.

#![no_main]

remit_fuzz::target!(remit_hostile::tile);
