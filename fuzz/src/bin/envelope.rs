//! Searches for bytes that break `remit_hostile::envelope`.

#![no_main]

remit_fuzz::target!(remit_hostile::envelope);
