//! The gateway as a whole: real sockets, a real upstream whose ledger tells what really happened, a real log.
//!
//! Every test says what has to be broken for it to fail.

#![expect(unreachable_pub, reason = "modules of one test program")]

#[cfg(test)]
mod authority;
#[cfg(test)]
mod client;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod world;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod brokered;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod granted;
#[cfg(test)]
mod halt;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod issued;
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod others;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod room;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod said;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod stdio;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tasks;
