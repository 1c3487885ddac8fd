//! What Docker's configuration knows: credentials for registries, and proxies for builds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
use crate::context::small;
use crate::error::Error;
use crate::registry::{DockerConfig, parse_docker_config};

const LIMIT: u64 = 4 << 20;
const CONFIG: &str = "config.json";

#[derive(Debug, Default)]
pub struct ClientConfig {
    pub registries: DockerConfig,
    /// Build arguments, `HTTP_PROXY` and its kin (L-055).
    pub proxies: BTreeMap<String, String>,
}

/// Reads Docker's file, or podman's where Docker has none, and those that buildx has for parts of a
/// registry. A file that isn't there is no fault.
///
/// # Errors
/// A file is there but can't be read; the message repeats nothing of it.
pub fn load(environment: &Environment) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::default();
    for path in candidates(environment) {
        if let Some((registries, bytes)) = read(&path)? {
            config = ClientConfig { registries, proxies: proxies(&bytes) };
            break;
        }
    }
    if let Some(folder) = scoped_folder(environment) {
        for part in scoped_parts(&folder) {
            let path = folder.join(&part).join(CONFIG);
            if let Some((scoped, _)) = read(&path)? {
                config.registries.add_scoped(&part, scoped);
            }
        }
    }
    Ok(config)
}

/// What a file says, and its bytes; `None` where there is none.
fn read(path: &Path) -> Result<Option<(DockerConfig, Vec<u8>)>, Error> {
    let bytes = match small::read(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let config = parse_docker_config(&bytes).map_err(|error| unreadable(path, &error))?;
    Ok(Some((config, bytes)))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::usage(format!("can't read {}: {error}", path.display()))
        .hinted("Repair it, or name another folder with DOCKER_CONFIG.")
}

/// The first that exists counts. `$DOCKER_CONFIG` and `$REGISTRY_AUTH_FILE` are the user's word, so
/// nothing else is looked at where one of them is set.
fn candidates(environment: &Environment) -> Vec<PathBuf> {
    if let Some(folder) = environment.path("DOCKER_CONFIG") {
        return vec![folder.join(CONFIG)];
    }
    if let Some(file) = environment.path("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = environment.path("HOME");
    let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let runtime = environment.path("XDG_RUNTIME_DIR");
    let config = environment.path("XDG_CONFIG_HOME").or_else(|| in_home(".config"));
    [
        in_home(".docker/config.json"),
        runtime.map(|folder| folder.join("containers/auth.json")),
        config.map(|folder| folder.join("containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where buildx looks for a login of one repository, and login-action puts it.
fn scoped_folder(environment: &Environment) -> Option<PathBuf> {
    let buildx = || {
        let docker = match environment.path("DOCKER_CONFIG") {
            Some(folder) => folder,
            None if environment.path("REGISTRY_AUTH_FILE").is_some() => return None,
            None => environment.path("HOME")?.join(".docker"),
        };
        Some(docker.join("buildx"))
    };
    Some(environment.path("BUILDX_CONFIG").or_else(buildx)?.join("config"))
}

/// The folders below `folder` that have a file, by their path from there, sorted. What can't be
/// looked into has none.
fn scoped_parts(folder: &Path) -> Vec<String> {
    let mut parts = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(part) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder.join(&part)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                folders.push(if part.is_empty() { name } else { format!("{part}/{name}") });
            } else if name == CONFIG && !part.is_empty() {
                parts.push(part.clone());
            }
        }
    }
    parts.sort_unstable();
    parts
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    proxies: BTreeMap<String, Proxy>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxy {
    http_proxy: String,
    https_proxy: String,
    ftp_proxy: String,
    no_proxy: String,
    all_proxy: String,
}

/// `proxies.default` of the file. Those of one daemon's address have no meaning without a daemon.
fn proxies(bytes: &[u8]) -> BTreeMap<String, String> {
    let file: File = serde_json::from_slice(bytes).unwrap_or_default();
    let Some(proxy) =
        file.proxies.into_iter().find_map(|(host, proxy)| (host == "default").then_some(proxy))
    else {
        return BTreeMap::new();
    };
    [
        ("HTTP_PROXY", proxy.http_proxy),
        ("HTTPS_PROXY", proxy.https_proxy),
        ("FTP_PROXY", proxy.ftp_proxy),
        ("NO_PROXY", proxy.no_proxy),
        ("ALL_PROXY", proxy.all_proxy),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_word_comes_first() {
        let all = [
            ("DOCKER_CONFIG", "/d"),
            ("REGISTRY_AUTH_FILE", "/auth.json"),
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/run/u"),
        ];
        for (first, expected) in [
            (0, &["/d/config.json"][..]),
            (1, &["/auth.json"]),
            (
                2,
                &[
                    "/h/.docker/config.json",
                    "/run/u/containers/auth.json",
                    "/h/.config/containers/auth.json",
                ],
            ),
        ] {
            let found = candidates(&Environment::of(&all[first..]));
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn proxies_are_the_default_ones() {
        let found = proxies(
            br#"{"proxies": {"default": {"httpProxy": "http://p", "noProxy": "localhost"},
                 "tcp://daemon": {"httpsProxy": "http://other"}}}"#,
        );
        let expected = [("HTTP_PROXY", "http://p"), ("NO_PROXY", "localhost")];
        assert!(found.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
        assert!(proxies(b"{}").is_empty());
    }

    #[test]
    fn a_broken_file_is_an_error_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::of(&[("DOCKER_CONFIG", directory.path().to_str().unwrap())]);
        assert!(load(&environment).unwrap().proxies.is_empty());
        std::fs::write(directory.path().join("config.json"), "{\"auths\": \"hunter2\"").unwrap();
        let error = load(&environment).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn logins_for_a_part_of_a_registry_are_found_where_buildx_has_them() {
        let directory = tempfile::tempdir().unwrap();
        let buildx = directory.path().join("buildx");
        let write = |folder: &str, host: &str, user: &str| {
            let folder = directory.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!(r#"{{"auths": {{"{host}": {{"username": "{user}"}}}}}}"#);
            std::fs::write(folder.join(CONFIG), text).unwrap();
        };
        write(".", "ghcr.io", "all");
        write("buildx/config/ghcr.io/acme/boat", "ghcr.io", "boat");
        write("buildx/config/ghcr.io/acme/boat@push", "ghcr.io", "pusher");
        let hub = "https://index.docker.io/v1/";
        write("buildx/config/registry-1.docker.io@push", hub, "hub");
        let places = |variables: &[(&str, &Path)]| {
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, path)| (*name, path.to_str().unwrap())).collect();
            let DockerConfig { credentials, push_credentials, .. } =
                load(&Environment::of(&variables)).unwrap().registries;
            [credentials, push_credentials].map(|of| of.into_keys().collect::<Vec<_>>())
        };
        let scoped = ["docker.io", "ghcr.io/acme/boat"];
        let found = places(&[("DOCKER_CONFIG", directory.path())]);
        assert_eq!(found, [vec!["ghcr.io", "ghcr.io/acme/boat"], scoped.to_vec()]);
        let empty = tempfile::tempdir().unwrap();
        let found = places(&[("DOCKER_CONFIG", empty.path()), ("BUILDX_CONFIG", &buildx)]);
        assert_eq!(found, [vec!["ghcr.io/acme/boat"], scoped.to_vec()]);
        let auth = empty.path().join("auth.json");
        let found = places(&[("REGISTRY_AUTH_FILE", &auth), ("HOME", directory.path())]);
        assert_eq!(found, [Vec::<String>::new(), Vec::new()]);
    }
}
