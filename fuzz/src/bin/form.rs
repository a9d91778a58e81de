//! Searches for bytes that break `remit_hostile::form`.

#![no_main]

remit_fuzz::target!(remit_hostile::form);
