//! Searches for bytes that break `remit_hostile::issuer`.

#![no_main]

remit_fuzz::target!(remit_hostile::issuer);
