//! Searches for bytes that break `remit_hostile::note`.

#![no_main]

remit_fuzz::target!(remit_hostile::note);
