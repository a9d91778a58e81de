//! Searches for bytes that break `remit_hostile::manifest`.

#![no_main]

remit_fuzz::target!(remit_hostile::manifest);
