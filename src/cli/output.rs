//! `-o`: `DIR`, `-`, or `type=…,key=value,…`.

use std::path::PathBuf;

use super::csv;
use super::flag::{FlagError, boolean, unknown_key};
use super::reference;
use crate::dockerfile::suggest::nearest;
use crate::request::{Compression, Destination, Output, OutputKind};

const TYPES: [&str; 7] = ["registry", "image", "oci", "docker", "local", "tar", "cacheonly"];

const KEYS: [&str; 12] = [
    "type",
    "dest",
    "name",
    "push",
    "push-by-digest",
    "tar",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
    "platform-split",
];

/// What an image without a name is called in the store of a daemon.
const DANGLING: &str = "dangling-name-prefix";

/// The keys as typed; `None` where one was not.
#[derive(Debug, Default)]
struct Keys {
    kind: String,
    destination: Option<String>,
    names: Vec<String>,
    push: Option<bool>,
    by_digest: bool,
    tar: Option<bool>,
    compression: Option<String>,
    level: Option<String>,
    force_compression: bool,
    oci_media_types: Option<bool>,
    rewrite_timestamp: bool,
    platform_split: Option<bool>,
}

/// One `-o`. `None` where nothing leaves the store: `type=image` that is not pushed, and
/// `type=cacheonly`. `tags` are the names of `-t`, which win over `name=`, as in buildx; `push` is
/// `--push`, which `type=image` heeds.
pub fn parse(text: &str, tags: &[String], push: bool) -> Result<Option<Output>, FlagError> {
    if text == "-" {
        return keys("type=tar,dest=-")?.output(tags, push);
    }
    match csv::fields(text)?.as_slice() {
        // A lone word that is not `type=…` is a folder.
        [field] if field == text && !text.starts_with("type=") => {
            let kind = OutputKind::Local { directory: PathBuf::from(text) };
            Ok(Some(Output::new(kind)))
        }
        _ => keys(text)?.output(tags, push),
    }
}

/// What to tell of keys that buildx has and that do nothing here.
pub fn notice(text: &str) -> Option<String> {
    let pairs = csv::pairs(text).unwrap_or_default();
    pairs.iter().any(|(key, _)| key == DANGLING).then(|| {
        format!(
            "the output key {DANGLING} does nothing here: there is no image store of a daemon, where an \
             image without a name would need one"
        )
    })
}

/// Whether the output has a `name=` of its own.
pub fn is_named(text: &str) -> bool {
    let names = |(key, value): &(String, String)| key == "name" && !value.is_empty();
    csv::pairs(text).is_ok_and(|pairs| pairs.iter().any(names))
}

fn keys(text: &str) -> Result<Keys, FlagError> {
    let mut keys = Keys::default();
    for (key, value) in csv::pairs(text)? {
        match key.as_str() {
            "type" => keys.kind = value,
            "dest" => keys.destination = Some(value),
            "name" => {
                keys.names = value.split(',').map(reference::tag).collect::<Result<_, _>>()?;
            }
            "push" => keys.push = Some(boolean(&key, &value)?),
            "push-by-digest" => keys.by_digest = boolean(&key, &value)?,
            // What the name is in the store of a daemon, of which there is none.
            "name-canonical" | "unpack" | "store" => _ = boolean(&key, &value)?,
            "oci-artifact" => _ = boolean(&key, &value)?,
            DANGLING => {}
            "platform-split" => keys.platform_split = Some(boolean(&key, &value)?),
            // BuildKit's default: what is there and not in the result stays.
            "mode" if value == "copy" => {}
            "mode" => {
                return Err(FlagError::new(format!("mode={value} is not supported"))
                    .hinted("Empty the folder before the build, and leave mode= out."));
            }
            "tar" => keys.tar = Some(boolean(&key, &value)?),
            "compression" => keys.compression = Some(value),
            "compression-level" => keys.level = Some(value),
            "force-compression" => keys.force_compression = boolean(&key, &value)?,
            "oci-mediatypes" => keys.oci_media_types = Some(boolean(&key, &value)?),
            "rewrite-timestamp" => keys.rewrite_timestamp = boolean(&key, &value)?,
            _ => return Err(unsupported_key(&key)),
        }
    }
    Ok(keys)
}

fn unsupported_key(key: &str) -> FlagError {
    let known = |hint: &str| FlagError::new(format!("{key} is not supported yet")).hinted(hint);
    match key {
        "registry.insecure" => known("Use --insecure-registry HOST."),
        _ if key.starts_with("annotation") => known("Use --annotation NAME=VALUE."),
        _ => unknown_key(key, &KEYS),
    }
}

impl Keys {
    fn output(self, tags: &[String], push: bool) -> Result<Option<Output>, FlagError> {
        let names = if tags.is_empty() { self.names.clone() } else { tags.to_vec() };
        let is_image = matches!(self.kind.as_str(), "registry" | "image" | "oci" | "docker");
        self.check_meaning(is_image)?;
        let kind = match self.kind.as_str() {
            "registry" | "image" => {
                if self.destination.is_some() {
                    return Err(FlagError::new(format!(
                        "dest= has no meaning for type={}",
                        self.kind
                    )));
                }
                // `registry` is `image` with `push=true`.
                if !self.push.unwrap_or(push || self.kind == "registry") {
                    return Ok(None);
                }
                if names.is_empty() {
                    return Err(FlagError::new("a name is needed to push to")
                        .hinted("Name the image with -t REGISTRY/REPOSITORY:TAG."));
                }
                OutputKind::Registry { names }
            }
            "oci" => OutputKind::Oci { destination: self.destination()?, names },
            "docker" => OutputKind::Docker { destination: self.docker_destination()?, names },
            "local" => match self.destination.as_deref() {
                None | Some("" | "-") => {
                    return Err(FlagError::new("dest= is missing: type=local writes a folder"));
                }
                Some(path) => OutputKind::Local { directory: PathBuf::from(path) },
            },
            "tar" => OutputKind::Tar { destination: self.destination()? },
            "cacheonly" => return Ok(None),
            "" => return Err(FlagError::new("type= is missing").hinted(types_hint(""))),
            other => {
                return Err(
                    FlagError::new(format!("unknown type {other:?}")).hinted(types_hint(other))
                );
            }
        };
        let compression = self.compression()?;
        // Docker's media types have no zstd that Docker itself would read.
        let zstd = matches!(compression, Compression::Zstd(_));
        if zstd && self.oci_media_types == Some(false) {
            return Err(FlagError::new("compression=zstd conflicts with oci-mediatypes=false"));
        }
        let mut output = Output::new(kind);
        output.oci_media_types = self.oci_media_types.unwrap_or(output.oci_media_types || zstd);
        output.compression = compression;
        output.by_digest = self.by_digest;
        output.force_compression = self.force_compression;
        output.rewrite_timestamp = self.rewrite_timestamp;
        output.platform_split = self.platform_split;
        Ok(Some(output))
    }

    /// Refuses keys that this type would silently ignore.
    fn check_meaning(&self, is_image: bool) -> Result<(), FlagError> {
        let meaningless = [
            ("name", !self.names.is_empty() && !is_image),
            ("compression", self.compression.is_some() && !is_image),
            ("compression-level", self.level.is_some() && !is_image),
            ("force-compression", self.force_compression && !is_image),
            ("oci-mediatypes", self.oci_media_types.is_some() && !is_image),
            ("rewrite-timestamp", self.rewrite_timestamp && !is_image),
            (
                "push-by-digest",
                self.by_digest && !matches!(self.kind.as_str(), "image" | "registry"),
            ),
            ("push", self.push.is_some() && !matches!(self.kind.as_str(), "image" | "registry")),
            ("tar", self.tar.is_some() && !matches!(self.kind.as_str(), "oci" | "docker")),
        ];
        match meaningless.iter().find(|(_, is)| *is) {
            Some((key, _)) if TYPES.contains(&self.kind.as_str()) => {
                Err(FlagError::new(format!("{key}= has no meaning for type={}", self.kind)))
            }
            _ => Ok(()),
        }
    }

    /// A file, a folder with `tar=false`, or standard output where none was named.
    fn destination(&self) -> Result<Destination, FlagError> {
        let as_tar = self.tar.unwrap_or(true);
        match self.destination.as_deref() {
            None | Some("" | "-") if as_tar => Ok(Destination::Stdout),
            None | Some("" | "-") => {
                Err(FlagError::new("dest= is missing: tar=false writes a folder"))
            }
            Some(path) if as_tar => Ok(Destination::File(PathBuf::from(path))),
            Some(path) => Ok(Destination::Directory(PathBuf::from(path))),
        }
    }

    fn docker_destination(&self) -> Result<Destination, FlagError> {
        if self.destination.is_none() {
            return Err(FlagError::new("dest= is missing: there is no daemon to load into")
                .hinted(
                    "Write -o type=docker,dest=- and pipe it into `docker load`, or name a file.",
                ));
        }
        self.destination()
    }

    fn compression(&self) -> Result<Compression, FlagError> {
        let level = match &self.level {
            None => None,
            Some(text) => Some(text.parse::<u8>().map_err(|_| {
                FlagError::new(format!("compression-level is a number, but found {text:?}"))
            })?),
        };
        let within =
            |name: &str, level: Option<u8>, default: u8, range: std::ops::RangeInclusive<u8>| {
                let level = level.unwrap_or(default);
                if range.contains(&level) {
                    return Ok(level);
                }
                Err(FlagError::new(format!(
                    "compression-level of {name} is {} to {}, but found {level}",
                    range.start(),
                    range.end()
                )))
            };
        match self.compression.as_deref() {
            None | Some("gzip") => Ok(Compression::Gzip(within("gzip", level, 6, 0..=9)?)),
            Some("zstd") => Ok(Compression::Zstd(within("zstd", level, 3, 1..=22)?)),
            Some("uncompressed" | "none") => Ok(Compression::None),
            Some(other) => Err(FlagError::new(format!("unknown compression {other:?}"))
                .hinted("The compressions are gzip, zstd and uncompressed.")),
        }
    }
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

    fn kind(text: &str) -> OutputKind {
        parse(text, &[], false).unwrap().unwrap().kind
    }

    #[test]
    fn shorthands() {
        assert_eq!(kind("out"), OutputKind::Local { directory: "out".into() });
        assert_eq!(kind("a=b"), OutputKind::Local { directory: "a=b".into() });
        assert_eq!(kind("-"), OutputKind::Tar { destination: Destination::Stdout });
    }

    #[test]
    fn types_and_destinations() {
        let file = || Destination::File("f".into());
        let directory = || Destination::Directory("d".into());
        let none = Vec::new;
        for (text, expected) in [
            ("type=oci,dest=f", OutputKind::Oci { destination: file(), names: none() }),
            (
                "type=oci,dest=d,tar=false",
                OutputKind::Oci { destination: directory(), names: none() },
            ),
            ("type=oci", OutputKind::Oci { destination: Destination::Stdout, names: none() }),
            ("type=docker,dest=f", OutputKind::Docker { destination: file(), names: none() }),
            ("type=local,dest=d", OutputKind::Local { directory: "d".into() }),
            ("type=local,dest=d,mode=copy", OutputKind::Local { directory: "d".into() }),
            ("type=tar,dest=f", OutputKind::Tar { destination: file() }),
            (
                r#"type=image,"name=a,b:1",push=true"#,
                OutputKind::Registry {
                    names: vec![
                        "docker.io/library/a:latest".to_owned(),
                        "docker.io/library/b:1".to_owned(),
                    ],
                },
            ),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
        assert_eq!(parse("type=image", &[], false), Ok(None));
        assert_eq!(parse("type=cacheonly", &[], false), Ok(None));
        assert_eq!(parse("type=image,dangling-name-prefix=x", &[], false), Ok(None));
        let tags = vec!["docker.io/library/x:latest".to_owned()];
        let pushed = parse("type=registry,name=y", &tags, false).unwrap().unwrap();
        assert_eq!(pushed.kind, OutputKind::Registry { names: tags }, "-t wins");
    }

    #[test]
    fn compression_and_media_types() {
        for (text, compression, oci) in [
            ("type=oci", Compression::Gzip(6), true),
            ("type=oci,compression=gzip,compression-level=9", Compression::Gzip(9), true),
            ("type=oci,compression=zstd", Compression::Zstd(3), true),
            ("type=oci,compression=uncompressed", Compression::None, true),
            ("type=oci,oci-mediatypes=false", Compression::Gzip(6), false),
            ("type=docker,dest=f", Compression::Gzip(6), false),
            ("type=docker,dest=f,compression=zstd", Compression::Zstd(3), true),
        ] {
            let output = parse(text, &[], false).unwrap().unwrap();
            assert_eq!((output.compression, output.oci_media_types), (compression, oci), "{text}");
        }
        let output = parse("type=oci,force-compression=true,rewrite-timestamp=1", &[], false);
        let output = output.unwrap().unwrap();
        assert!(output.force_compression && output.rewrite_timestamp);
        let text = "type=image,name=a,push-by-digest=true,name-canonical=true,push=true";
        let pushed = parse(text, &[], false).unwrap().unwrap();
        let names = vec!["docker.io/library/a:latest".to_owned()];
        assert_eq!((pushed.kind, pushed.by_digest), (OutputKind::Registry { names }, true));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, message) in [
            ("type=registry", "a name is needed to push to"),
            ("type=registry,dest=f", "dest= has no meaning for type=registry"),
            ("type=local", "dest= is missing: type=local writes a folder"),
            ("type=local,dest=d,mode=delete", "mode=delete is not supported"),
            ("type=local,dest=-", "dest= is missing: type=local writes a folder"),
            ("type=local,dest=d,compression=zstd", "compression= has no meaning for type=local"),
            ("type=tar,tar=false,dest=d", "tar= has no meaning for type=tar"),
            ("type=oci,tar=false", "dest= is missing: tar=false writes a folder"),
            ("type=docker", "dest= is missing: there is no daemon to load into"),
            ("type=ocii,dest=f", "unknown type \"ocii\""),
            ("dest=f,tar=true", "type= is missing"),
            ("type=oci,compression=lz4", "unknown compression \"lz4\""),
            ("type=oci,compression-level=10", "compression-level of gzip is 0 to 9, but found 10"),
            (
                "type=oci,compression=zstd,compression-level=0",
                "compression-level of zstd is 1 to 22, but found 0",
            ),
            ("type=oci,compression-level=x", "compression-level is a number, but found \"x\""),
            (
                "type=oci,compression=zstd,oci-mediatypes=0",
                "compression=zstd conflicts with oci-mediatypes=false",
            ),
            ("type=oci,dst=f", "unknown key \"dst\""),
            (
                "type=registry,name=a,registry.insecure=true",
                "registry.insecure is not supported yet",
            ),
            ("type=oci,annotation.a=b", "annotation.a is not supported yet"),
            ("type=oci,tar=maybe", "tar is true or false, but found \"maybe\""),
        ] {
            assert_eq!(parse(text, &[], false).unwrap_err().message, message, "{text}");
        }
        let hint = |text| parse(text, &[], false).unwrap_err().hint.unwrap();
        assert_eq!(hint("type=ocii"), "Did you mean type=oci?");
        assert_eq!(hint("type=oci,dst=f"), "Did you mean \"dest\"?");
    }
}
