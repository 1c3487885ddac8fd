//! Who we are to a registry, and why we believe it.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::docker_registry::{DockerRegistry, USER};
use super::program::{Home, stderr};

fn cargo() -> Home {
    let home = Home::new("FROM scratch\nCOPY cargo /\n");
    home.write("context/cargo", "cargo");
    home
}

/// The messages that are errors.
fn errors(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("ERROR")).collect()
}

#[test]
fn credentials_come_from_dockers_configuration() {
    let registry = DockerRegistry::with_password();
    let Some(registry) = registry else { return };
    let home = cargo();
    let name = format!("{}/app:1", registry.host);
    let flags = ["-t", &name, "--push"];
    let auth = |password: &str| {
        let pair = STANDARD.encode(format!("{}:{password}", USER.0));
        format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, registry.host)
    };
    for config in [None, Some(auth("hunter2"))] {
        if let Some(config) = &config {
            home.write(".docker/config.json", config);
        }
        let output = home.build(&flags);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let errors = errors(&said);
        assert_eq!(errors.len(), 1, "{said}");
        assert!(errors[0].contains(&format!("can't push {name}: ")), "{said}");
        assert!(errors[0].contains("401 Unauthorized"), "{said}");
        assert!(said.contains(&format!("docker login {}", registry.host)), "{said}");
        let secret = STANDARD.encode("me:hunter2");
        assert!(!said.contains("hunter2") && !said.contains(&secret), "{said}");
        assert!(!registry.has_tag("app", "1"));
    }
    home.write(".docker/config.json", auth(USER.1));
    let said = home.built(&flags);
    assert!(said.contains("CACHED"), "the steps are not done again: {said}");
    assert!(registry.has_tag("app", "1"));
}

/// Where login-action puts what it is given with a `scope`.
#[test]
fn a_repository_may_have_a_login_of_its_own() {
    let registry = DockerRegistry::with_password();
    let Some(registry) = registry else { return };
    let home = cargo();
    let auth = |password: &str| {
        let pair = STANDARD.encode(format!("{}:{password}", USER.0));
        format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, registry.host)
    };
    home.write(".docker/config.json", auth("hunter2"));
    let of_buildx = format!(".docker/buildx/config/{}", registry.host);
    home.write(&format!("{of_buildx}/acme/boat@push/config.json"), auth(USER.1));
    let built = |name: &str| {
        let name = format!("{}/{name}:1", registry.host);
        home.build(&["-t", &name, "--push"]).status.code()
    };
    assert_eq!(built("acme/ship"), Some(1));
    assert_eq!(built("acme/boat"), Some(0));
    assert!(registry.has_tag("acme/boat", "1") && !registry.has_tag("acme/ship", "1"));
}

#[test]
fn a_login_on_the_command_line_comes_before_dockers_configuration() {
    let registry = DockerRegistry::with_password();
    let Some(registry) = registry else { return };
    let home = cargo();
    let pair = STANDARD.encode("somebody:else");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, registry.host);
    home.write(".docker/config.json", config);
    home.write("context/password", format!("{}\n", USER.1));
    let name = format!("{}/app:1", registry.host);
    let file = home.path().join("context/password");
    let login = format!("--registry-login={}={},{}", registry.host, USER.0, file.display());
    home.built(&["-t", &name, "--push", &login]);
    assert!(registry.has_tag("app", "1"));
}

#[test]
fn a_credential_helper_is_asked() {
    let registry = DockerRegistry::with_password();
    let Some(registry) = registry else { return };
    let mut home = cargo();
    let name = format!("{}/app:1", registry.host);
    let helpers = format!(r#"{{"credHelpers":{{"{}":"test"}}}}"#, registry.host);
    home.write(".docker/config.json", helpers);
    let helper = |password: &str| {
        format!(
            "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {} ] || exit 1\n\
             printf '{{\"Username\":\"{}\",\"Secret\":\"{password}\"}}'\n",
            registry.host, USER.0
        )
    };
    home.write("bin/docker-credential-test", helper(USER.1));
    let program = home.path().join("bin/docker-credential-test");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    home.set("PATH", path);
    home.built(&["-t", &name, "--push"]);
    assert!(registry.has_tag("app", "1"));

    home.write("bin/docker-credential-test", helper("hunter2"));
    let output = home.build(&["-t", &name, "--push"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
}

#[test]
fn a_certificate_has_to_be_trusted() {
    let Some(registry) = DockerRegistry::with_tls() else {
        return;
    };
    let home = cargo();
    let host = registry.distant_host();
    let name = format!("{host}/app:1");
    let output = home.build(&["-t", &name, "--push"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(errors(&said).len(), 1, "{said}");
    assert!(said.contains(&format!("--insecure-registry {host}")), "{said}");
    assert_eq!(registry.requests(), []);

    let certificate = registry.certificate().display().to_string();
    for (flag, value, tag) in
        [("--ca-cert", &certificate, "trusted"), ("--insecure-registry", &host, "insecure")]
    {
        home.built(&["-t", &format!("{host}/app:{tag}"), "--push", flag, value]);
        assert!(registry.has_tag("app", tag), "{flag}");
    }
}

#[test]
fn plain_http_is_for_this_machine_and_what_is_declared_insecure() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let home = cargo();
    let host = registry.distant_host();
    let output = home.build(&["-t", &format!("{host}/app:distant"), "--push"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    home.built(&["-t", &format!("{host}/app:insecure"), "--push", "--insecure-registry", &host]);
    home.built(&["-t", &format!("{}/app:here", registry.host), "--push"]);
    let has = ["distant", "insecure", "here"].map(|tag| registry.has_tag("app", tag));
    assert_eq!(has, [false, true, true]);
}
