//! Which process is at the other end of a connection on this machine.
//!
//! The kernel tells no peer's process for TCP, but it lists each connection with the number of its socket and its user
//! (`/proc/net/tcp`), and what each process has open (`/proc/PID/fd`). **Invariant:** what cannot be found is nobody: a
//! process that is gone, of another user, or whose files nobody may see.
//!
//! A socket that several processes have is that of the first one that is found: whoever handed it on could as well have
//! passed on what is said on it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kernel's lists of connections: a client may have a socket of either family.
const LISTS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// Longest list that is read, in bytes: some hundred thousand connections.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// Most files of one process that are looked at.
const FILES_MAX: usize = 4_096;
/// Longest search, so that nobody's many processes hold up the others.
const SEARCH_TIME_MAX: Duration = Duration::from_millis(250);
/// Processes that came last. They are asked first, and most connections are theirs.
const RECENT_MAX: usize = 16;

/// The processes whose connections were found last, the newest first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<i32>>);

impl Recent {
    fn pids(&self) -> Vec<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn seen(&self, pid: i32) {
        let mut pids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pids.retain(|other| *other != pid);
        pids.push_front(pid);
        pids.truncate(RECENT_MAX);
    }

    /// The process of our own user that has the other end of a connection from `peer` to `own`.
    pub(super) fn caller(&self, peer: SocketAddr, own: SocketAddr) -> Option<i32> {
        let user = rustix::process::geteuid().as_raw();
        let inode = LISTS.iter().find_map(|list| socket(Path::new(list), peer, own, user))?;
        let wanted = format!("socket:[{inode}]");
        let until = Instant::now().checked_add(SEARCH_TIME_MAX)?;
        let recent = self.pids();
        // All are listed only where it is none of these.
        let others = std::iter::once_with(|| processes(user)).flatten().filter(|pid| !recent.contains(pid));
        let all = recent.iter().copied().chain(others);
        let found = all.take_while(|_| Instant::now() < until).find(|pid| has(*pid, &wanted))?;
        self.seen(found);
        Some(found)
    }
}

/// The number of the socket at the other end, where it is this user's.
fn socket(list: &Path, peer: SocketAddr, own: SocketAddr, user: u32) -> Option<u64> {
    let lines = BufReader::new(fs::File::open(list).ok()?.take(LIST_BYTES_MAX)).lines();
    lines.skip(1).map_while(Result::ok).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, remote) = (address(fields.nth(1)?)?, address(fields.next()?)?);
        let owner: u32 = fields.nth(4)?.parse().ok()?;
        let inode: u64 = fields.nth(1)?.parse().ok()?;
        let same = (local, remote) == (plain(peer), plain(own));
        (same && owner == user && inode != 0).then_some(inode)
    })
}

/// An address of IPv4 that is written as one of IPv6 is the same place.
fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: words of the address as this machine has them in memory, and the port as people write it.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at.checked_add(8)?)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

/// Processes of a user, the newest numbers first: a client is younger than what the machine began with.
fn processes(user: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (entry.metadata().ok()?.uid() == user).then_some(pid)
    };
    let mut pids: Vec<i32> = entries.filter_map(Result::ok).filter_map(own).collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids
}

fn has(pid: i32, wanted: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut links = files.take(FILES_MAX).filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    links.any(|link| link.as_os_str() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let check = |text: &str, expected: &str| {
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(address(text), Some((expected.ip(), expected.port())), "{text}");
        };
        check("0100007F:1F90", "127.0.0.1:8080");
        check("00000000000000000000000001000000:0050", "[::1]:80");
        check("0000000000000000FFFF00000100007F:1D27", "127.0.0.1:7463");
        for none in ["", "0100007F", "0100007:1F90", "0100007F:1F90F", "X100007F:1F90", "é00007F:1F90"] {
            assert_eq!(address(none), None, "{none}");
        }
    }

    /// Break: find by the port alone, or the wrong end.
    #[test]
    fn the_other_end_of_a_connection_is_found_and_nobody_elses() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(loopback) else { continue };
            let own = listener.local_addr().unwrap();
            let client = TcpStream::connect(own).unwrap();
            let peer = client.local_addr().unwrap();
            let recent = Recent::default();
            let pid = Some(i32::try_from(std::process::id()).unwrap());
            assert_eq!(recent.caller(peer, own), pid);
            assert_eq!((recent.pids(), recent.caller(peer, own)), (pid.into_iter().collect(), pid));
            let user = rustix::process::geteuid().as_raw();
            let found = |peer, own, user| LISTS.iter().find_map(|list| socket(Path::new(list), peer, own, user));
            assert!(found(peer, own, user).is_some());
            assert_eq!(found(peer, own, user.wrapping_add(1)), None, "another user's");
            let other = SocketAddr::new(own.ip(), own.port().wrapping_add(1));
            assert_eq!((found(peer, other, user), found(other, own, user)), (None, None));
            drop(client);
            drop(listener);
        }
    }

    #[test]
    fn processes_that_came_last_are_few() {
        let recent = Recent::default();
        for pid in (0..40).chain([38]) {
            recent.seen(pid);
        }
        assert_eq!((recent.pids().len(), recent.pids().first().copied()), (16, Some(38)));
    }
}
