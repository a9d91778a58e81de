//! Searches for bytes that break `remit_hostile::leaf`.

#![no_main]

remit_fuzz::target!(remit_hostile::leaf);
