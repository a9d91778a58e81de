//! Searches for bytes that break `remit_hostile::client`.

#![no_main]

remit_fuzz::target!(remit_hostile::client);
