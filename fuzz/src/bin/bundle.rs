//! Searches for bytes that break `remit_hostile::bundle`.

#![no_main]

remit_fuzz::target!(remit_hostile::bundle);
