//! Searches for bytes that break `remit_hostile::segment`.

#![no_main]

remit_fuzz::target!(remit_hostile::segment);
