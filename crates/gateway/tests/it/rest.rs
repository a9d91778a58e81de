//! What lies on the disk belongs to the gateway's own user alone, and a key that others could read is none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remit_gateway::{Gateway, OpenError};

use crate::world::{World, files};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Every directory below this one.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).flat_map(|path| [directories(&path), vec![path]].concat()).collect()
}

async fn used() -> World {
    let mut world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{}}"#);
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    world.stop(true).await;
    world
}

/// Break: make a file or a directory with the mode that the process happens to have.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_read_anything() {
    let world = used().await;
    let home = world.home.path();
    for name in ["keys/log", "keys/vault", "bundles/last.note", "log.head"] {
        assert!(home.join(name).exists(), "{name}");
    }
    for file in files(home) {
        assert_eq!(mode(&file) & 0o077, 0, "{} {:o}", file.display(), mode(&file));
    }
    let all = directories(home);
    assert!(all.len() > 5, "{all:?}");
    for dir in all {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
    }
}

/// Break: start with a key that others had in their hands.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_refused() {
    let mut world = used().await;
    for name in ["keys/log", "keys/vault"] {
        let path = world.home.path().join(name);
        for exposed in [0o640, 0o604, 0o620] {
            set(&path, exposed);
            let opened = Gateway::open(world.config.clone(), world.clock.clone()).await;
            assert!(matches!(opened.err(), Some(OpenError::Key(_))), "{name} {exposed:o}");
        }
        set(&path, 0o600);
    }
    world.restart().await;
}
