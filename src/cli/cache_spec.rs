//! `--cache-from` and `--cache-to`, as buildx has them: `type=local,src=DIR`, `type=registry,ref=NAME`.

use std::path::PathBuf;

use super::csv;
use super::flag::{FlagError, boolean, unknown_key};
use crate::dockerfile::suggest::nearest;
use crate::registry::parse_reference;
use crate::request::{CachePlace, CacheTarget};

const TYPES: [&str; 2] = ["local", "registry"];
/// What the tags of entries begin with where the reference has no tag.
const DEFAULT_TAG: &str = "buildcache";

/// `--cache-from`
pub fn source(text: &str) -> Result<CachePlace, FlagError> {
    let mut spec = Spec::parse(text)?;
    spec.known(&[("local", &["src"]), ("registry", &["ref"])])?;
    spec.place("src")
}

/// `--cache-to`
pub fn target(text: &str) -> Result<CacheTarget, FlagError> {
    let mut spec = Spec::parse(text)?;
    let registry = ["ref", "mode", "ignore-error", "image-manifest", "oci-mediatypes"];
    spec.known(&[("local", &["dest", "mode", "ignore-error"]), ("registry", &registry)])?;
    let only_result = match spec.take("mode").as_deref() {
        Some("min") => true,
        // buildx takes min where none is named; what a stage costs is what a cache is for.
        None | Some("max") => false,
        Some(other) => {
            return Err(FlagError::new(format!("mode is min or max, but found {other:?}")));
        }
    };
    if let Some(value) = spec.take("ignore-error")
        && !boolean("ignore-error", &value)?
    {
        return Err(FlagError::new("ignore-error=false is not supported")
            .hinted("A cache that fails is told, and the build goes on: leave it out."));
    }
    for key in ["image-manifest", "oci-mediatypes"] {
        if let Some(value) = spec.take(key)
            && !boolean(key, &value)?
        {
            return Err(FlagError::new(format!("{key}=false is not supported"))
                .hinted("Entries are OCI artifacts: leave it out."));
        }
    }
    Ok(CacheTarget { place: spec.place("dest")?, only_result })
}

struct Spec {
    kind: String,
    pairs: Vec<(String, String)>,
}

impl Spec {
    /// A bare name is short for a registry.
    fn parse(text: &str) -> Result<Self, FlagError> {
        if !text.contains('=') {
            let pairs = vec![("ref".to_owned(), text.to_owned())];
            return Ok(Self { kind: "registry".to_owned(), pairs });
        }
        let mut pairs = csv::pairs(text)?;
        let Some(position) = pairs.iter().position(|(key, _)| key == "type") else {
            return Err(FlagError::new("type= is missing").hinted(types_hint("")));
        };
        let (_, kind) = pairs.remove(position);
        if !TYPES.contains(&kind.as_str()) {
            return Err(FlagError::new(format!("unknown type {kind:?}")).hinted(types_hint(&kind)));
        }
        Ok(Self { kind, pairs })
    }

    /// Refuses keys that a type does not have.
    fn known(&self, keys: &[(&str, &[&str])]) -> Result<(), FlagError> {
        let keys = keys.iter().find(|(kind, _)| *kind == self.kind).map_or(&[][..], |(_, k)| k);
        match self.pairs.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, _)) => Err(unknown_key(key, keys)),
            None => Ok(()),
        }
    }

    /// The last value of a key.
    fn take(&mut self, key: &str) -> Option<String> {
        let mut value = None;
        for (_, found) in self.pairs.extract_if(.., |(known, _)| known == key) {
            value = Some(found);
        }
        value
    }

    fn place(&mut self, path: &str) -> Result<CachePlace, FlagError> {
        let missing = |key: &str| FlagError::new(format!("{key}= is missing"));
        if self.kind == "registry" {
            let name = self.take("ref").filter(|text| !text.is_empty());
            return repository(&name.ok_or_else(|| missing("ref"))?).map(CachePlace::Registry);
        }
        let folder =
            self.take(path).filter(|text| !text.is_empty()).ok_or_else(|| missing(path))?;
        Ok(CachePlace::Local(PathBuf::from(folder)))
    }
}

/// A normalized reference with a tag.
fn repository(name: &str) -> Result<String, FlagError> {
    let parsed = parse_reference(name).map_err(FlagError::new)?;
    if parsed.digest().is_some() {
        return Err(FlagError::new("ref= has a digest, but a cache grows"));
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = parsed.tag().filter(|_| last.contains(':')).unwrap_or(DEFAULT_TAG);
    Ok(format!("{}/{}:{tag}", parsed.registry(), parsed.repository()))
}

fn types_hint(kind: &str) -> String {
    match nearest(kind, TYPES) {
        Some(near) => format!("Did you mean type={near}?"),
        None => format!("The types are {}.", TYPES.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(path: &str) -> CachePlace {
        CachePlace::Local(PathBuf::from(path))
    }

    #[test]
    fn folders() {
        assert_eq!(source("type=local,src=/a"), Ok(local("/a")));
        for (text, path, only_result) in [
            ("type=local,dest=b,mode=max", "b", false),
            (r#"dest=b,type=local,mode=min"#, "b", true),
            (r#"type=local,"dest=a,b",ignore-error=true"#, "a,b", false),
        ] {
            let place = local(path);
            assert_eq!(target(text), Ok(CacheTarget { place, only_result }), "{text}");
        }
    }

    #[test]
    fn repositories() {
        let registry = |name: &str| CachePlace::Registry(name.to_owned());
        for (text, name) in [
            ("type=registry,ref=ghcr.io/a/b:cache", "ghcr.io/a/b:cache"),
            ("type=registry,ref=localhost:5000/a", "localhost:5000/a:buildcache"),
            ("user/app:cache", "docker.io/user/app:cache"),
        ] {
            assert_eq!(source(text), Ok(registry(name)), "{text}");
        }
        let target = target("type=registry,ref=ghcr.io/a/b,mode=max,image-manifest=true").unwrap();
        assert_eq!(target.place, registry("ghcr.io/a/b:buildcache"));
    }

    #[test]
    fn the_rest_is_refused_by_name() {
        for (text, message) in [
            ("type=s3,bucket=b", "unknown type \"s3\""),
            ("src=/a", "type= is missing"),
            ("type=local", "src= is missing"),
            ("type=local,src=", "src= is missing"),
            ("type=local,dest=/a", "unknown key \"dest\""),
            ("type=registry", "ref= is missing"),
            ("type=registry,src=a", "unknown key \"src\""),
            ("type=local,/a", "expected key=value but found \"/a\""),
        ] {
            assert_eq!(source(text).unwrap_err().message, message, "{text}");
        }
        for (text, message) in [
            ("type=local,dest=a,mode=most", "mode is min or max, but found \"most\""),
            ("type=local,dest=a,ignore-error=false", "ignore-error=false is not supported"),
            ("type=local,src=a", "unknown key \"src\""),
        ] {
            assert_eq!(target(text).unwrap_err().message, message, "{text}");
        }
        assert_eq!(source("type=s3").unwrap_err().hint.unwrap(), "The types are local, registry.");
        assert_eq!(source("type=locl").unwrap_err().hint.unwrap(), "Did you mean type=local?");
    }
}
