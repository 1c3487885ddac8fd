//! Registries that a workflow logs in to, and those that stand in for others.

use std::process::Command;

use super::docker_registry::{DockerRegistry, USER};
use super::program::busybox;
use super::{Ended, World, has_no_secret, succeeded};

/// A password that no registry takes.
const WRONG: &str = "wrong-canary";

/// A workflow's inputs: one login for a part of the registry, and one that is wrong for all else there.
fn logins(image: &str, scope: &str) -> Vec<String> {
    let (user, _) = USER;
    let text = format!(
        "images: <registry>/{image}\n\
         size-baseline: none\n\
         registry-auth: |\n  \
           - registry: <registry>\n    \
             username: {user}\n    \
             password: ${{{{ secrets.REGISTRY_PASSWORD }}}}\n    \
             scope: {scope}\n  \
           - registry: <registry>\n    \
             username: {user}\n    \
             password: {WRONG}"
    );
    text.lines().map(str::to_owned).collect()
}

fn lines(inputs: &[String]) -> Vec<&str> {
    inputs.iter().map(String::as_str).collect()
}

#[test]
fn a_login_with_a_scope_is_for_that_repository_alone() {
    let Some(world) = World::with(&[], &lines(&logins("acme/boat", "acme/boat"))) else { return };
    world.runner.write("Dockerfile", "FROM scratch\nCOPY data /data\n");
    world.runner.commit();
    let change = |image: &str, scope: &str| world.change(&[], &lines(&logins(image, scope)));
    let pushed = |ended: &Ended| {
        succeeded(ended);
        assert!(!ended.log.contains(WRONG), "{}", ended.log);
        ended.said("pushed").to_owned()
    };
    assert_eq!(pushed(&world.runner.push()), "true");
    assert!(world.registry.has_tag("acme/boat", "main"));

    // Whoever may push there pulls there, too.
    let above = format!("FROM {}/acme/boat:main\nCOPY busybox /\n", world.registry.host);
    world.runner.write("Dockerfile", above);
    world.runner.commit();
    assert_eq!(pushed(&world.runner.push()), "true");

    // Another repository gets the other login, which the registry refuses.
    change("acme/other", "acme/boat");
    let ended = world.runner.push();
    assert_eq!(pushed(&ended), "false");
    assert!(ended.log.contains("the image is not pushed: "), "{}", ended.log);
    assert!(!world.registry.has_tag("acme/other", "main"));

    // And so does a base, where the right one is for pushing alone.
    change("acme/boat", "acme/boat@push");
    let ended = world.runner.push();
    assert!(!ended.succeeded, "{}", ended.log);
    has_no_secret(&ended);
    assert!(ended.log.contains("::error file=Dockerfile,line=1"), "{}", ended.log);
    let refused = format!("The credentials for {} do not allow this", world.registry.host);
    assert!(ended.log.contains(&refused), "the wrong login was tried: {}", ended.log);

    // The same without a base, in the inputs for one login.
    world.runner.write("Dockerfile", "FROM scratch\nCOPY busybox /other\n");
    let user = format!("username: {}", USER.0);
    let password = "password: ${{ secrets.REGISTRY_PASSWORD }}";
    for (repository, expected) in [("acme/boat", "true"), ("acme/other", "false")] {
        let image = format!("images: <registry>/{repository}");
        world.change(&[], &[&image, &user, password, "scope: acme/boat@push"]);
        assert_eq!(pushed(&world.runner.push()), expected);
    }
    assert!(!world.registry.has_tag("acme/other", "main"));
}

/// With busybox as `hub/acme/base:1`, and a certificate of its own. `None`, and the reason on the log,
/// where something for it is missing.
fn mirror() -> Option<DockerRegistry> {
    let mirror = DockerRegistry::with_tls()?;
    let copy = Command::new("skopeo")
        .args(["copy", "-q", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:latest", busybox().display()))
        .arg(format!("docker://{}/hub/acme/base:1", mirror.host))
        .output();
    let Ok(copy) = copy else {
        eprintln!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return None;
    };
    assert!(copy.status.success(), "{}", String::from_utf8_lossy(&copy.stderr));
    mirror.forget_requests();
    Some(mirror)
}

#[test]
fn a_base_comes_from_a_mirror_with_a_certificate_of_its_own() {
    let Some(mirror) = mirror() else { return };
    let host = mirror.distant_host();
    let run = |base: &str, inputs: &[&str]| {
        let world = World::new(inputs)?;
        let builder = format!("FROM {base} AS builder\nRUN echo built > /built\n");
        let image = "FROM scratch\nCOPY --from=builder /built /\n";
        world.runner.write("Dockerfile", builder + image);
        world.runner.commit();
        mirror.forget_requests();
        let ended = world.runner.push();
        assert_eq!(world.registry.has_tag("acme/boat", "main"), ended.succeeded, "{}", ended.log);
        Some(ended)
    };
    let mirrors = format!("registry-mirrors: docker.io={host}/hub");
    let insecure = format!("insecure-registries: {host}");
    let certificate = format!("ca-certs: {}", mirror.certificate().display());
    for trusted in [&insecure, &certificate] {
        let Some(ended) = run("acme/base:1", &[&mirrors, trusted]) else { return };
        succeeded(&ended);
        let blobs = mirror.count("GET", "/v2/hub/acme/base/blobs/");
        assert_eq!(blobs, 2, "a configuration and a layer: {:?}", mirror.requests());
    }
    // By its own name, since docker.io would be asked where the mirror can't be.
    let Some(ended) = run(&format!("{host}/hub/acme/base:1"), &[]) else { return };
    assert!(!ended.succeeded, "{}", ended.log);
    has_no_secret(&ended);
    assert!(ended.log.contains("invalid peer certificate: UnknownIssuer"), "{}", ended.log);
    assert_eq!(mirror.requests(), []);
}
