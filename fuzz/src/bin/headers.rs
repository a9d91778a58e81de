//! Searches for bytes that break `remit_hostile::headers`.

#![no_main]

remit_fuzz::target!(remit_hostile::headers);
