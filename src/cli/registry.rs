//! `--registry-mirror`, `--insecure-registry` and `--ca-cert`.

use super::args::RegistryArgs;
use super::file;
use super::flag::{FlagError, each};
use crate::error::Error;
use crate::registry::DockerConfig;
use crate::request::RegistryOptions;

const CERTIFICATES_LIMIT: u64 = 16 << 20;

/// The flags, and what Docker's configuration file says.
pub fn options(args: &RegistryArgs, config: DockerConfig) -> Result<RegistryOptions, Error> {
    let mut ca_certificates = Vec::new();
    for path in &args.ca_certificates {
        let fault = |what: &dyn std::fmt::Display| {
            Error::usage(format!("--ca-cert: can't use {}: {what}", path.display()))
        };
        let bytes = file::read(path, CERTIFICATES_LIMIT).map_err(|error| fault(&error))?;
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
    Ok(RegistryOptions {
        mirrors: each("--registry-mirror", &args.mirrors, mirror)?,
        insecure: each("--insecure-registry", &args.insecure, host)?,
        ca_certificates,
        credentials: config.credentials,
        credential_helpers: config.credential_helpers,
        credential_store: config.credential_store,
    })
}

fn mirror(text: &str) -> Result<(String, String), FlagError> {
    let Some((name, url)) = text.split_once('=') else {
        return Err(FlagError::new("expected HOST=URL")
            .hinted("Name the registry that is mirrored too: docker.io=https://mirror.example."));
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
            Ok((host(name)?, url.trim_end_matches('/').to_owned()))
        }
        _ => Err(FlagError::new(format!("expected an http:// or https:// URL but found {url:?}"))),
    }
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
    fn hosts_and_mirrors() {
        assert_eq!(host("Localhost:5000").unwrap(), "localhost:5000");
        assert_eq!(host("index.docker.io").unwrap(), "docker.io");
        assert_eq!(
            mirror("docker.io=http://localhost:5000/").unwrap(),
            ("docker.io".to_owned(), "http://localhost:5000".to_owned())
        );
        for bad in
            ["docker.io", "docker.io=localhost:5000", "=http://a", "a/b=http://a", "a=http://"]
        {
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
