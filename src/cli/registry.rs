//! `--registry-mirror`, `--insecure-registry`, `--registry-login` and `--ca-cert`.

use std::path::Path;

use super::args::RegistryArgs;
use super::flag::{FlagError, each};
use crate::context::small;
use crate::error::Error;
use crate::registry::DockerConfig;
use crate::request::{Credential, RegistryOptions, Secret};

const CERTIFICATES_LIMIT: u64 = 16 << 20;
const PASSWORD_LIMIT: u64 = 64 << 10;

/// The flags, and what Docker's configuration file says.
pub fn options(args: &RegistryArgs, config: DockerConfig) -> Result<RegistryOptions, Error> {
    let mut ca_certificates = Vec::new();
    for path in &args.ca_certificates {
        let fault = |what: &dyn std::fmt::Display| {
            Error::usage(format!("--ca-cert: can't use {}: {what}", path.display()))
        };
        let bytes = small::read(path, CERTIFICATES_LIMIT).map_err(|error| fault(&error))?;
        let begin = b"-----BEGIN CERTIFICATE-----";
        if !bytes.windows(begin.len()).any(|window| window == begin) {
            return Err(fault(&"it holds no certificate in PEM form"));
        }
        ca_certificates.push(bytes);
    }
    if args.mirrors.iter().any(|mirror| mirror.contains('@')) {
        // Without the value, which may be secret.
        return Err(FlagError::new("a mirror's URL holds no user and no password")
            .hinted("Log in to the mirror with `docker login`.")
            .of_flag_alone("--registry-mirror"));
    }
    let mut credentials = config.credentials;
    let mut push_credentials = config.push_credentials;
    for (host, credential) in each("--registry-login", &args.logins, login)? {
        push_credentials.remove(&host);
        credentials.insert(host, credential);
    }
    Ok(RegistryOptions {
        mirrors: each("--registry-mirror", &args.mirrors, mirror)?,
        insecure: each("--insecure-registry", &args.insecure, host)?,
        ca_certificates,
        credentials,
        push_credentials,
        credential_helpers: config.credential_helpers,
        credential_store: config.credential_store,
        attempts: None,
    })
}

/// `HOST=USER,FILE`: the password is in a file, since everybody can read arguments.
fn login(text: &str) -> Result<(String, Credential), FlagError> {
    let parts = text.split_once('=').and_then(|(h, rest)| Some((h, rest.split_once(',')?)));
    let Some((name, (user, file))) = parts.filter(|(_, (user, _))| !user.is_empty()) else {
        return Err(FlagError::new("expected HOST=USER,FILE")
            .hinted("Write the password into FILE; it is not read from the command line."));
    };
    let bytes = small::read(Path::new(file), PASSWORD_LIMIT)
        .map_err(|error| FlagError::new(format!("can't read {file}: {error}")))?;
    let password = Secret(bytes.trim_ascii_end().to_vec());
    Ok((host(name)?, Credential::Basic { user: user.to_owned(), password }))
}

/// As in `buildkitd.toml`, the place of a mirror may be a host, with a path or without.
fn mirror(text: &str) -> Result<(String, String), FlagError> {
    let Some((name, url)) = text.split_once('=') else {
        return Err(FlagError::new("expected HOST=URL")
            .hinted("Name the registry that is mirrored too: docker.io=mirror.example."));
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    let is_place = !rest.is_empty()
        && !rest.starts_with('/')
        && !rest.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#'))
        && !rest.contains("://");
    if !is_place {
        return Err(FlagError::new(format!(
            "expected HOST[/PATH] or an http:// or https:// URL but found {url:?}"
        )));
    }
    Ok((host(name)?, url.trim_end_matches('/').to_owned()))
}

/// `HOST[:PORT]`, under the name that image names have for Docker's registry.
fn host(text: &str) -> Result<String, FlagError> {
    let bare = !text.is_empty() && !text.contains(['/', '=', '@', ' ']);
    match text {
        _ if !bare => Err(FlagError::new(format!("expected HOST or HOST:PORT but found {text:?}"))),
        "index.docker.io" | "registry-1.docker.io" => Ok("docker.io".to_owned()),
        _ => Ok(text.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let (host, credential) = login(&format!("index.docker.io=ada,{}", file.display())).unwrap();
        let password = Secret(b"hunter2".to_vec());
        let expected = Credential::Basic { user: "ada".to_owned(), password };
        assert_eq!((host.as_str(), credential), ("docker.io", expected));
        for bad in ["quay.io", "quay.io=ada", "quay.io=,/x", "quay.io=ada,/nowhere", "a/b=c,/x"] {
            assert!(login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_and_mirrors() {
        assert_eq!(host("Localhost:5000").unwrap(), "localhost:5000");
        assert_eq!(host("index.docker.io").unwrap(), "docker.io");
        for (typed, place) in [
            ("http://localhost:5000/", "http://localhost:5000"),
            ("mirror.gcr.io", "mirror.gcr.io"),
            ("harbor.example:5000/hub", "harbor.example:5000/hub"),
        ] {
            let expected = ("docker.io".to_owned(), place.to_owned());
            assert_eq!(mirror(&format!("docker.io={typed}")).unwrap(), expected);
        }
        for bad in [
            "docker.io",
            "docker.io=",
            "docker.io=/hub",
            "docker.io=ftp://a",
            "docker.io=a b",
            "=http://a",
            "a/b=http://a",
            "a=http://",
        ] {
            assert!(mirror(bad).is_err(), "{bad}");
        }
        for bad in ["", "http://a", "a/b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn certificates_are_pem_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let args = RegistryArgs { ca_certificates: vec![path.clone()], ..RegistryArgs::default() };
        let load = || options(&args, DockerConfig::default());
        assert!(load().is_err(), "missing");
        std::fs::write(&path, "nothing").unwrap();
        assert!(load().unwrap_err().message.ends_with("it holds no certificate in PEM form"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_eq!(load().unwrap().ca_certificates.len(), 1);
    }
}
