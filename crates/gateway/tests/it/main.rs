//! The gateway as a whole: real sockets, a real upstream whose ledger tells what really happened, a real log.
//!
//! Every test says what has to be broken for it to fail.

#![expect(unreachable_pub, reason = "modules of one test program")]

mod authority;
mod client;
mod stub;
mod world;

mod bytes;
mod calls;
mod hostile;
mod identity;
mod legacy;
mod limits;
mod lists;
mod outage;
mod refused;
mod restart;
mod revoke;
mod secrets;
mod stdio;
mod streams;
