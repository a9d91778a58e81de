//! Searches for bytes that break `remit_hostile::sse`.

#![no_main]

remit_fuzz::target!(remit_hostile::sse);
