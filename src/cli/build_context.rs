//! `--build-context NAME=SOURCE` and the main context (L-082, L-083).

use std::path::{Path, PathBuf};

use super::flag::FlagError;
use super::reference;
use crate::request::{NamedContext, RemoteContext};
use crate::url::{self, GitUrl};

/// The name in its shortest form, and where its files come from.
pub fn parse(text: &str) -> Result<(String, NamedContext), FlagError> {
    let Some((name, source)) = text.split_once('=') else {
        return Err(FlagError::new("expected NAME=SOURCE"));
    };
    let name = reference::familiar(name)?;
    let context = if let Some(image) = source.strip_prefix("docker-image://") {
        NamedContext::Image(reference::normalized(image)?)
    } else if let Some(layout) = source.strip_prefix("oci-layout://") {
        layout_context(layout)?
    } else {
        match of_text(source)? {
            Place::Directory(path) => NamedContext::Directory(path),
            Place::Remote(remote) => NamedContext::Remote(remote),
        }
    };
    Ok((name, context))
}

/// `PATH[:TAG][@DIGEST]`
fn layout_context(text: &str) -> Result<NamedContext, FlagError> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            digest.parse::<crate::digest::Digest>().map_err(FlagError::new)?;
            (rest, Some(digest.to_owned()))
        }
        None => (text, None),
    };
    // A colon before the last slash belongs to the path.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
        _ => (rest, None),
    };
    let path = PathBuf::from(path);
    check_directory(&path)?;
    if !path.join("index.json").exists() {
        return Err(FlagError::new(format!(
            "{} is not an OCI layout: it has no index.json",
            path.display()
        )));
    }
    Ok(NamedContext::Layout { path, tag, digest })
}

/// Where files come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Directory(PathBuf),
    Remote(RemoteContext),
}

/// Where a text says that files come from: a folder, if there is one of this name.
pub fn of_text(source: &str) -> Result<Place, FlagError> {
    let path = PathBuf::from(source);
    if path.is_dir() {
        return Ok(Place::Directory(path));
    }
    if let Some(url) = GitUrl::parse_context(source) {
        return Ok(Place::Remote(RemoteContext::Git(url.map_err(FlagError::new)?)));
    }
    if url::is_http(source) {
        return Ok(Place::Remote(RemoteContext::Http(source.to_owned())));
    }
    match source.split_once("://") {
        Some((scheme, _)) => Err(FlagError::new(format!("unknown kind of context {scheme:?}"))
            .hinted(
                "A context is a folder, a git repository or an http URL; a named one may be \
                 docker-image:// or oci-layout:// too.",
            )),
        None => check_directory(&path).map(|()| Place::Directory(path)),
    }
}

/// Says what is wrong with a path that should be a folder.
fn check_directory(path: &Path) -> Result<(), FlagError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(FlagError::new(format!("{} is not a directory", path.display()))),
        Err(error) => Err(FlagError::new(format!("can't use {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_layouts() {
        assert_eq!(
            parse("alpine=docker-image://golang:1.12").unwrap(),
            ("alpine".to_owned(), NamedContext::Image("docker.io/library/golang:1.12".to_owned()))
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("with:colon/layout");
        std::fs::create_dir_all(&path).unwrap();
        let typed = path.display();
        assert!(parse(&format!("a=oci-layout://{typed}")).is_err(), "it has no index.json");
        std::fs::write(path.join("index.json"), "{}").unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        for (suffix, tag, sum) in [
            (String::new(), None, None),
            (":1.12".to_owned(), Some("1.12"), None),
            (format!("@{digest}"), None, Some(&digest)),
            (format!(":v1@{digest}"), Some("v1"), Some(&digest)),
        ] {
            let (name, context) =
                parse(&format!("golang:1.12=oci-layout://{typed}{suffix}")).unwrap();
            assert_eq!(name, "golang:1.12");
            let expected = NamedContext::Layout {
                path: path.clone(),
                tag: tag.map(str::to_owned),
                digest: sum.cloned(),
            };
            assert_eq!(context, expected, "{suffix}");
        }
        assert!(parse(&format!("a=oci-layout://{typed}@sha256:1")).is_err());
    }

    #[test]
    fn folders_must_exist() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        assert_eq!(
            parse(&format!("docker.io/library/src:latest={}", path.display())).unwrap(),
            ("src".to_owned(), NamedContext::Directory(path))
        );
        for bad in ["src", "src=/no/such", "src=", "Src=.", "=."] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn remote_contexts_are_known_by_their_form() {
        let git = ["https://host/a.git#main", "git@github.com:a/b.git", "github.com/a/b"];
        for source in git {
            let place = of_text(source).unwrap();
            assert!(matches!(place, Place::Remote(RemoteContext::Git(_))), "{source}");
        }
        let source = "https://host/a.tar.gz";
        let expected = Place::Remote(RemoteContext::Http(source.to_owned()));
        assert_eq!(of_text(source), Ok(expected));
        for (source, message) in [
            ("s3://a/b", "unknown kind of context \"s3\""),
            ("https://host/a.git?depth=1", "unexpected query \"depth\""),
        ] {
            assert_eq!(of_text(source).unwrap_err().message, message);
        }
        assert_eq!(of_text("."), Ok(Place::Directory(".".into())));
    }
}
