//! A system without CA certificates.

use std::process::Command;

use plimsoll::http::{Clients, Peer};

/// Set in the child, whose environment is the only one that a test may change.
const CHILD: &str = "TEST_WITHOUT_ROOTS";

#[test]
fn mozillas_roots_stand_in_where_the_system_has_none() {
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "roots::mozillas_roots_stand_in_where_the_system_has_none"])
            .env(CHILD, "1")
            .envs([("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = Clients::new(Vec::new());
    assert!(runtime.block_on(clients.client(Peer::Verified)).is_ok());
    let notices = clients.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("no CA certificates"), "{notices:?}");
    assert!(clients.take_notices().is_empty(), "told once");
}
