//! Whether the image is pushed, with whose credentials, and the cache beside it.

use std::fs;

use base64::Engine as _;

use super::actions_cache::{FakeActionsCache, Options as CacheOptions, TOKEN_CANARY, token};
use super::fake_registry::{Auth, FakeRegistry, Options};
use super::runner::Runner;

fn locked() -> FakeRegistry {
    let auth = Auth::Token {
        user: "ada".to_owned(),
        password: "hunter2".to_owned(),
        identity_token: None,
        public: Vec::new(),
    };
    FakeRegistry::start(Options { auth, ..Options::default() })
}

fn runner(registry: &FakeRegistry) -> Runner {
    let mut runner = Runner::new();
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "auto");
    runner
}

#[test]
fn without_credentials_auto_does_not_push_and_says_so() {
    let registry = locked();
    let mut runner = runner(&registry);
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "false");
    let notices = ended.notices().join("\n");
    assert!(notices.contains("the image is not pushed: 127.0.0.1:"), "{notices}");
    runner.input("push", "true");
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    // An output that says so itself is no trial either.
    runner.input("push", "auto");
    for (output, code) in
        [("type=image,push-by-digest=true,push=true", 1), ("type=registry", 1), ("type=image", 0)]
    {
        runner.input("outputs", output);
        let ended = runner.run();
        assert_eq!(ended.code, code, "{output}: {}", ended.log);
    }
}

#[test]
fn credentials_come_from_inputs_or_an_earlier_login() {
    let registry = locked();
    let mut runner = runner(&registry);
    runner.input("username", "ada");
    runner.input("password", "hunter2");
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "true");
    assert_eq!(ended.commands("::add-mask::hunter2").len(), 1);
    assert!(registry.was_asked("DELETE", "/uploads/"), "the upload of the trial is given up");
    let said = format!("username is taken for {}, the registry of the images", registry.host());
    assert!(ended.notices().join("\n").contains(&said), "{}", ended.log);
    assert_eq!(ended.commands("::warning"), [""; 0]);

    let registry = locked();
    let mut runner = self::runner(&registry);
    let auth = base64::engine::general_purpose::STANDARD.encode("ada:hunter2");
    let config = serde_json::json!({"auths": {registry.host(): {"auth": auth}}});
    fs::create_dir(runner.path("docker")).unwrap();
    fs::write(runner.path("docker/config.json"), config.to_string()).unwrap();
    let folder = runner.path("docker");
    runner.set("DOCKER_CONFIG", folder.to_str().unwrap());
    assert_eq!(runner.built().output("pushed"), "true");
}

#[test]
fn credentials_of_a_scope_are_for_nothing_else() {
    let registry = FakeRegistry::start(Options {
        auth: Auth::Token {
            user: "ada".to_owned(),
            password: "hunter2".to_owned(),
            identity_token: None,
            public: vec!["acme/base".to_owned()],
        },
        ..Options::default()
    });
    let mut runner = runner(&registry);
    runner.input("username", "ada");
    runner.input("password", "hunter2");
    runner.input("images", &format!("{}/acme/base", registry.host()));
    assert_eq!(runner.built().output("pushed"), "true");

    fs::remove_dir_all(runner.path("store")).unwrap();
    registry.forget_log();
    runner.write("Dockerfile", format!("FROM {}/acme/base:main\nCOPY data /\n", registry.host()));
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("scope", "acme/boat@push");
    assert_eq!(runner.built().output("pushed"), "true");
    let log = registry.log();
    let tokens: Vec<_> = log.iter().filter(|asked| asked.path == "/token").collect();
    let are_for = |query: &str, authorized| {
        tokens.iter().any(|asked| asked.query.contains(query) && asked.authorized == authorized)
    };
    assert!(are_for("acme%2Fboat%3Apull%2Cpush", true), "{tokens:?}");
    assert!(are_for("scope=repository%3Aacme%2Fbase%3Apull", false), "{tokens:?}");
    let pulls = tokens.iter().filter(|asked| !asked.query.contains("push"));
    assert!(pulls.clone().all(|asked| !asked.authorized), "{tokens:?}");

    runner.input("scope", "acme/other");
    let notices = runner.built().notices().join("\n");
    assert!(notices.contains("the image is not pushed: 127.0.0.1:"), "{notices}");
}

#[test]
fn only_branches_and_tags_are_pushed_by_themselves() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = runner(&registry);
    runner.push("refs/tags/v1.2.3");
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "true");
    assert!(registry.manifest("acme/boat", "v1.2.3").is_some());
    assert!(registry.manifest("acme/boat", "latest").is_some());
    runner.pull_request("acme/boat", &[]);
    assert_eq!(runner.built().output("pushed"), "false");
    assert!(registry.manifest("acme/boat", "pr-7").is_none());
    runner.input("push", "true");
    assert_eq!(runner.built().output("pushed"), "true");
    assert!(registry.manifest("acme/boat", "pr-7").is_some());
}

#[test]
fn an_event_that_no_rule_fits_is_built_and_not_pushed() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = runner(&registry);
    runner.input("tags", "type=semver,pattern={{version}}\ntype=ref,event=pr");
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "false");
    let notices = ended.notices().join("\n");
    assert!(notices.contains("no rule of the input tags makes a name of this event"), "{notices}");
    runner.input("push", "true");
    let ended = runner.run();
    assert_eq!(ended.code, 2, "{}", ended.log);
    assert!(ended.log.contains("input push: the image can't be pushed"), "{}", ended.log);
}

#[test]
fn stages_are_kept_in_github_s_cache() {
    let service = FakeActionsCache::start(CacheOptions::default());
    let mut runner = Runner::new();
    runner.input("cache", "auto");
    runner.set("ACTIONS_RESULTS_URL", &service.url());
    runner.set("ACTIONS_RUNTIME_TOKEN", &token(&[("refs/heads/main", 3)]));
    let ended = runner.built();
    let masked = ended.log.lines().filter(|line| !line.starts_with("::add-mask::"));
    assert!(!masked.clone().any(|line| line.contains(TOKEN_CANARY)), "{}", ended.log);
    assert!(!service.entries().is_empty());
    fs::remove_dir_all(runner.path("store")).unwrap();
    assert_eq!(runner.built().output("cache-hit-ratio"), "1.000");

    let before = service.entries();
    fs::remove_dir_all(runner.path("store")).unwrap();
    runner.input("cache", "read");
    runner.data(20_000);
    runner.built();
    assert_eq!(service.entries(), before, "read writes nothing");
    runner.input("cache", "off");
    service.forget_log();
    runner.built();
    assert!(service.log().is_empty());
}

#[test]
fn a_service_that_a_run_step_does_not_see_is_a_notice() {
    let mut runner = Runner::new();
    runner.input("cache", "auto");
    let notices = runner.built().notices().join("\n");
    assert!(notices.contains("the cache gha is not used: ACTIONS_RESULTS_URL"), "{notices}");
}
