//! What a user meets when a registry does not play along, and that nothing half-made stays.

use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use plimsoll::digest::Digest;
use plimsoll::image::media_type;
use rustix::process::{Pid, Signal, kill_process};

use super::docker_registry::DockerRegistry;
use super::fake::{self, FakeRegistry, Fault, FaultKind};
use super::program::{Home, stderr, with_busybox};

fn cargo() -> Home {
    let home = Home::new("FROM scratch\nCOPY cargo /\n");
    home.write("context/cargo", "cargo");
    home
}

#[test]
fn a_registry_that_is_not_there_is_one_message() {
    let Some(mut registry) = DockerRegistry::plain() else { return };
    registry.stop();
    let home = cargo();
    let name = format!("{}/app:1", registry.host);
    let output = home.build(&["-t", &name, "--push"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("\nERROR: ").count(), 1, "{said}");
    assert!(said.contains(&format!("can't push {name}: ")), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(said.contains(&format!("Check that {} can be reached", registry.host)), "{said}");

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
    let Some(registry) = DockerRegistry::plain() else { return };
    let base = format!("{}/no/base:7", registry.host);
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
fn a_base_that_is_refused_is_shown_in_the_dockerfile() {
    let private = DockerRegistry::with_password();
    let (Some(private), Some(mut gone)) = (private, DockerRegistry::plain()) else {
        return;
    };
    gone.stop();
    for (host, reason, hint) in [
        (&private.host, "401 Unauthorized", format!("docker login {}", private.host)),
        (&gone.host, "Connection refused", format!("Check that {} can be", gone.host)),
    ] {
        let base = format!("{host}/base:1");
        let output = Home::new(&format!("FROM {base}\n")).build(&[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for expected in
            [&format!("can't resolve {base}: "), reason, &format!(">>> FROM {base}"), &hint]
        {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}

/// Puts an image for `architecture` with one layer into `base`.
fn store_base(server: &FakeRegistry, architecture: &str, layer: &[u8]) -> (Digest, String) {
    let (blob, diff_id) = (server.add_blob("base", layer.to_vec()), Digest::of(layer));
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{}},
        "rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let config_digest = server.add_blob("base", config.clone());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}",
        "digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"{}","digest":"{blob}",
        "size":{}}}]}}"#,
        media_type::OCI_MANIFEST,
        media_type::OCI_CONFIG,
        config.len(),
        media_type::OCI_LAYER,
        layer.len()
    );
    let size = manifest.len();
    let digest = server.add_manifest("base", architecture, media_type::OCI_MANIFEST, manifest);
    let entry = format!(
        r#"{{"mediaType":"{}","digest":"{digest}","size":{size},
        "platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
        media_type::OCI_MANIFEST
    );
    (blob, entry)
}

#[test]
fn the_platform_that_was_asked_for_is_taken_of_an_index() {
    let server = FakeRegistry::start(fake::Options::default());
    // Empty archives, of different lengths.
    let (amd, amd_entry) = store_base(&server, "amd64", &[0; 1024]);
    let (arm, arm_entry) = store_base(&server, "arm64", &[0; 2048]);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{amd_entry},{arm_entry}]}}"#,
        media_type::OCI_INDEX
    );
    server.add_manifest("base", "1", media_type::OCI_INDEX, index);
    let home = Home::new(&format!("FROM {}/base:1\nCOPY cargo /\n", server.host()));
    home.write("context/cargo", "cargo");
    for (architecture, own, other) in [("amd64", amd, arm), ("arm64", arm, amd)] {
        let name = format!("{}/{architecture}:1", server.host());
        let platform = format!("linux/{architecture}");
        home.built(&["--platform", &platform, "-t", &name, "--push"]);
        let manifest = server.manifest(architecture, "1").unwrap();
        let manifest = String::from_utf8(manifest.to_vec()).unwrap();
        assert!(manifest.contains(&own.to_string()), "{manifest}");
        assert!(!manifest.contains(&other.to_string()), "{manifest}");
    }
    let output = home.build(&["--platform", "linux/s390x"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has no image for linux/s390x, only for linux/amd64, linux/arm64"));
    assert!(said.contains(">>> FROM "), "{said}");
}

#[test]
fn a_base_that_breaks_off_is_shown_in_the_dockerfile() {
    let server = FakeRegistry::start(fake::Options::default());
    let host = plimsoll::platform::Platform::host().architecture;
    let (layer, _) = store_base(&server, &host, b"no layer at all");
    let base = format!("{}/base:{host}", server.host());
    let home = Home::new(&format!("FROM scratch\nFROM {base}\nWORKDIR /a\n"));
    let output = home.build(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{base}: layer {layer}: ")), "{said}");
    assert!(said.contains(&format!(">>> FROM {base}")), "{said}");
}

fn wait_until(come: impl Fn() -> bool) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn interrupt(build: &Child) {
    let id = i32::try_from(build.id()).ok().and_then(Pid::from_raw);
    kill_process(id.unwrap(), Signal::INT).unwrap();
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
        wait_until(|| server.count("POST", "/uploads/") >= 2);
        interrupt(&build);
        // It would last an hour.
        let output = build.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(!home.stores("build-"), "what was half made is gone");
        assert_eq!(server.count("PUT", "/manifests/"), 0);
    }
}

#[test]
fn a_signal_ends_the_reading_of_a_base_at_once() {
    let server = FakeRegistry::start(fake::Options::default());
    let host = plimsoll::platform::Platform::host().architecture;
    let (layer, _) = store_base(&server, &host, &[0; 1024]);
    let hour = FaultKind::Slow(3_600_000);
    server.fault(Fault { method: "GET", path: "/blobs/", skip: 1, times: 99, kind: hour });
    let home = Home::new(&format!("FROM {}/base:{host}\nWORKDIR /a\n", server.host()));
    let build = home.start(&[]);
    // The configuration comes first, then the layer is asked for.
    wait_until(|| server.was_asked("GET", &layer.to_string()));
    interrupt(&build);
    let output = build.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(!home.stores("build-"), "what was half made is gone");
}
