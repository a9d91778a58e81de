//! Searches for bytes that break `remit_hostile::schema`.

#![no_main]

remit_fuzz::target!(remit_hostile::schema);
