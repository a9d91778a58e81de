//! Searches for bytes that break `remit_hostile::token`.

#![no_main]

remit_fuzz::target!(remit_hostile::token);
