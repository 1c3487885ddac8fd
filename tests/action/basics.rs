//! A build from nothing but defaults, and what it leaves.

use super::fake_registry::{FakeRegistry, Options};
use super::runner::{EPOCH, Runner};

#[test]
fn a_push_builds_the_workspace_pushes_it_and_sets_outputs() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = Runner::new();
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "auto");
    let ended = runner.built();
    let name = format!("{}/acme/boat:main", registry.host());
    assert_eq!(ended.output("tags"), name);
    assert_eq!(ended.output("pushed"), "true");
    let manifest = registry.manifest("acme/boat", "main").expect("it is pushed");
    let digest = plimsoll::digest::Digest::of(&manifest).to_string();
    assert_eq!(ended.output("digest"), digest);
    assert!(ended.output("imageid").starts_with("sha256:"));
    assert!(ended.output("metadata").contains(&digest));
    assert!(ended.output("labels").contains("org.opencontainers.image.revision=860c190"));
    assert_eq!(ended.output("size-unpacked"), "10000");
    assert!(ended.output("size-compressed").parse::<u64>().unwrap() > 9_000);
    assert_eq!((ended.output("size-delta"), ended.output("size-verdict")), ("", ""));
    assert_eq!((ended.output("version"), ended.output("warnings-count")), ("main", "0"));
    assert_eq!(ended.output("cache-hit-ratio"), "0.000");
    assert!(ended.summary.contains("### Image size: "), "{}", ended.summary);
    assert!(ended.summary.contains(&format!("Pushed `{name}`")), "{}", ended.summary);
    assert_eq!(ended.notices(), ["::notice::the context is the workspace"]);
    runner.input("sep-labels", "; ");
    let again = runner.built();
    assert!(again.output("labels").contains("; org.opencontainers.image."));
    assert_eq!((again.output("digest"), again.output("cache-hit-ratio")), (&digest[..], "1.000"));
    let config: serde_json::Value = {
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
        serde_json::from_slice(&registry.blob("acme/boat", digest).unwrap()).unwrap()
    };
    assert_eq!(config["created"], "2026-01-02T03:04:05Z", "{EPOCH}: the time of the commit");
}
