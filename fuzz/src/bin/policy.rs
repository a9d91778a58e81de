//! Searches for bytes that break `remit_hostile::policy`.

#![no_main]

remit_fuzz::target!(remit_hostile::policy);
