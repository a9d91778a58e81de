//! Searches for bytes that break `remit_hostile::list`.

#![no_main]

remit_fuzz::target!(remit_hostile::list);
