//! The log: entries become durable in a signed Merkle log that an outsider verifies with public tools.
//!
//! It knows bytes, not events. A log is a directory per epoch in the layout of c2sp.org/tlog-tiles, with the bytes that
//! must not be in the tree beside it in a sealed store, and a write-ahead log of segments while it is open:
//! `<dir>/<epoch>/{vkey,checkpoint,tile/…,sealed/…,marker,wal/…}`.
//!
//! **Invariant:** a [`Receipt`] exists only for an entry whose leaf and sealed bytes are both on disk.

pub mod checkpoint;
pub(crate) mod commit;
pub mod disk;
pub mod durable;
mod entries;
mod entry;
mod epoch;
mod error;
pub mod fsck;
pub mod head;
mod key;
pub mod letter;
pub mod log;
pub mod note;
pub mod open;
mod pool;
pub mod proof;
mod prove;
mod publish;
pub mod receipt;
mod recover;
mod sealed;
mod store;
mod surplus;
mod sweep;
pub mod threads;
pub mod tile;
pub mod tree;
pub mod vault;
pub mod verify;
pub mod wal;
mod writer;

pub use entry::{Entry, Hashed, LEAF_BYTES_MAX, Receipt, SEALED_BYTES_MAX};
pub use epoch::{MARKER, epochs};
pub use error::{Damage, ReadError};
pub use key::{KeyError, LogKey, Seed};
pub use log::{CloseError, Commit, Config, Log, OpenError, Unavailable};
pub use open::Opened;
pub use prove::{prove_consistency_dir, prove_dir};
pub use publish::Publisher;
pub use writer::{WriteError, Writer};
