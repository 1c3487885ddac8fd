//! What Docker's configuration knows: credentials for registries, and proxies for builds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
use crate::context::small;
use crate::error::Error;
use crate::registry::{DockerConfig, parse_docker_config};

const LIMIT: u64 = 4 << 20;

#[derive(Debug, Default)]
pub struct ClientConfig {
    pub registries: DockerConfig,
    /// Build arguments, `HTTP_PROXY` and its kin (L-055).
    pub proxies: BTreeMap<String, String>,
}

/// Reads Docker's file, or podman's where Docker has none. A file that isn't there is no fault.
///
/// # Errors
/// A file is there but can't be read; the message repeats nothing of it.
pub fn load(environment: &Environment) -> Result<ClientConfig, Error> {
    for path in candidates(environment) {
        let bytes = match small::read(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let registries = parse_docker_config(&bytes).map_err(|error| unreadable(&path, &error))?;
        return Ok(ClientConfig { registries, proxies: proxies(&bytes) });
    }
    Ok(ClientConfig::default())
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::usage(format!("can't read {}: {error}", path.display()))
        .hinted("Repair it, or name another folder with DOCKER_CONFIG.")
}

/// The first that exists counts. `$DOCKER_CONFIG` and `$REGISTRY_AUTH_FILE` are the user's word, so
/// nothing else is looked at where one of them is set.
fn candidates(environment: &Environment) -> Vec<PathBuf> {
    if let Some(folder) = environment.path("DOCKER_CONFIG") {
        return vec![folder.join("config.json")];
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
}
