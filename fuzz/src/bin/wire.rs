//! Searches for bytes that break `remit_hostile::wire`.

#![no_main]

remit_fuzz::target!(remit_hostile::wire);
