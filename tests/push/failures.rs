//! What a user meets when a registry does not play along, and that nothing half-made stays.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::docker_registry::{DockerRegistry, Options};
use super::fake::{self, FakeRegistry, Fault, FaultKind};
use super::program::{Home, stderr, with_busybox};

fn cargo() -> Home {
    let home = Home::new("FROM scratch\nCOPY cargo /\n");
    home.write("context/cargo", "cargo");
    home
}

#[test]
fn a_registry_that_is_not_there_is_one_message() {
    let Some(mut registry) = DockerRegistry::start(Options::default()) else { return };
    registry.stop();
    let home = cargo();
    let name = format!("{}/app:1", registry.host());
    let output = home.build(&["-t", &name, "--push"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("\nERROR: ").count(), 1, "{said}");
    assert!(said.contains(&format!("can't push {name}: ")), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(said.contains(&format!("Check that {} can be reached", registry.host())), "{said}");

    registry.resume();
    assert!(!registry.has_tag("app", "1"));
    assert!(home.built(&["-t", &name, "--push"]).contains("CACHED"));
    assert!(registry.has_tag("app", "1"));
}

#[test]
fn a_registry_that_refuses_a_layer_gets_no_tag() {
    let server = FakeRegistry::start(fake::Options::default());
    let refuse = FaultKind::Code(403, "DENIED");
    server.fault(Fault { method: "PUT", path: "/uploads/", skip: 0, times: 99, kind: refuse });
    let home = cargo();
    let name = format!("{}/app:1", server.host());
    let output = home.build(&["-t", &name, "--push"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("403 Forbidden: DENIED"), "{said}");
    assert!(!said.contains("_state"), "{said}");
    assert_eq!(server.count("PUT", "/manifests/"), 0);
}

#[test]
fn a_base_that_does_not_exist_is_shown_in_the_dockerfile() {
    let Some(registry) = DockerRegistry::start(Options::default()) else { return };
    let base = format!("{}/no/base:7", registry.host());
    let home = Home::new(&format!("FROM scratch AS first\n\n# the base\nFROM {base}\nENV A=b\n"));
    let output = home.build(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in [
        format!("can't resolve {base}: "),
        "404 Not Found: MANIFEST_UNKNOWN".to_owned(),
        "Dockerfile:4".to_owned(),
        format!(">>> FROM {base}"),
        "Check the image's name and tag.".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
}

#[test]
fn a_base_that_breaks_off_is_shown_in_the_dockerfile() {
    let server = FakeRegistry::start(fake::Options::default());
    let base = format!("{}/base:1", server.host());
    let layer = server.add_blob("base", b"no layer at all".to_vec());
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{}},
        "rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#,
        plimsoll::platform::Platform::host().architecture
    );
    let digest = server.add_blob("base", config.clone());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}",
        "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}",
        "size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",
        "digest":"{layer}","size":15}}]}}"#,
        config.len(),
        kind = "application/vnd.oci.image.manifest.v1+json"
    );
    server.add_manifest("base", "1", "application/vnd.oci.image.manifest.v1+json", manifest);
    let home = Home::new(&format!("FROM scratch\nFROM {base}\nWORKDIR /a\n"));
    let output = home.build(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{base}: layer {layer}: ")), "{said}");
    assert!(said.contains(&format!(">>> FROM {base}")), "{said}");
}

#[test]
fn a_signal_ends_uploads_at_once() {
    let server = FakeRegistry::start(fake::Options::default());
    let hour = FaultKind::Slow(3_600_000);
    server.fault(Fault { method: "PUT", path: "/uploads/", skip: 0, times: 99, kind: hour });
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = format!("RUN wget -q -O /answer http://{}/\n", gate.local_addr().unwrap());
    // Once while the upload is waited for, once while a step runs beside it.
    for (last, waits_for_step) in [("", false), (run.as_str(), true)] {
        let home = Home::new(&format!("FROM busybox\nCOPY cargo /\n{last}"));
        home.write("context/cargo", "cargo");
        let name = format!("{}/app:1", server.host());
        server.forget_log();
        let build = home.start(&[&with_busybox(), "-t", &name, "--push"]);
        let _asking = waits_for_step.then(|| gate.accept().unwrap());
        let begun = Instant::now();
        while server.count("POST", "/uploads/") < 2 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(server.count("POST", "/uploads/") >= 2, "no upload was begun");
        let id = i32::try_from(build.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.unwrap(), rustix::process::Signal::INT).unwrap();
        // It would last an hour.
        let output = build.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert_eq!(server.count("PUT", "/manifests/"), 0);
    }
}
