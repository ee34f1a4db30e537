//! Who may know and change what, where the compiler does not say it.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources in a folder of the crate, with their names below it.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources are readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("it is below").to_path_buf();
                found.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    found
}

/// The files that hold a text, in order.
fn that_hold(folder: &str, text: &str) -> Vec<String> {
    let files = sources(folder);
    assert!(!files.is_empty(), "{folder}");
    let holds = |(name, source): &(PathBuf, String)| {
        let source: String = source.split_whitespace().collect();
        source.contains(text).then(|| name.display().to_string())
    };
    let mut names: Vec<_> = files.iter().filter_map(holds).collect();
    names.sort();
    names
}

#[test]
fn three_files_change_the_state_of_the_connection() {
    assert_eq!(that_hold("engine/flow", "connection.change("), ["close.rs", "handshake.rs", "reconnect.rs"]);
    assert_eq!(that_hold("engine/flow", "self.connection="), [""; 0]);
}

#[test]
fn what_an_event_means_for_the_connection_is_acted_on_at_its_end() {
    assert_eq!(that_hold("engine/flow", "self.recover("), ["reconnect.rs"]);
    // A step of the handshake that fails is itself what happens: nothing that arrives after it may belong to that handshake.
    assert_eq!(that_hold("engine/flow", "self.attempt_failed("), ["handshake.rs", "reconnect.rs"]);
    for act in ["self.unresponsive(", "self.pause(", "self.on_unauthorized(", "self.probe_soon(", "self.ping_soon("] {
        let allowed = ["heartbeat.rs", "own_requests.rs", "reconnect.rs"];
        let found = that_hold("engine/flow", act);
        assert!(found.iter().all(|name| allowed.contains(&name.as_str())), "{act} in {found:?}");
    }
}

#[test]
fn what_reads_the_wire_and_the_tables_know_nothing_above_them() {
    for folder in ["wire", "policy"] {
        for above in ["crate::engine", "crate::diagnosis", "crate::oauth", "crate::recovery"] {
            assert_eq!(that_hold(folder, above), [""; 0], "{folder} uses {above}");
        }
    }
    assert_eq!(that_hold("wire", "crate::policy"), [""; 0]);
}
