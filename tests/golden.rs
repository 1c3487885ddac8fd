//! Every case of `tests/golden`, compared with what BuildKit made of it.

use std::process::Command;

/// The reader of images is not ours on purpose: what Plimsoll writes wrongly it might read wrongly.
#[test]
fn cases_are_built_as_buildkit_builds_them() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|python| python.status.success()) {
        eprintln!("skipped: there is no python3 to run tests/golden/check");
        return;
    }
    let check = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/check"))
        .arg(env!("CARGO_BIN_EXE_plimsoll"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    eprintln!("{}", String::from_utf8_lossy(&check.stderr));
    assert!(check.status.success(), "{said}");
}
