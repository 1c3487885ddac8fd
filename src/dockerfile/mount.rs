//! The value of `RUN --mount` (L-106 to L-112).

use std::convert::Infallible;

use thiserror::Error;

use super::csv::{self, CsvError};
use super::size::parse_size;
use super::suggest;

/// What one `--mount` says; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFlag {
    pub kind: MountType,
    pub from: Option<String>,
    pub source: Option<String>,
    pub target: Option<String>,
    /// As written, or the type's default: a cache and a tmpfs can be written, all else not.
    pub readonly: bool,
    pub id: Option<String>,
    /// `cache` only.
    pub sharing: Option<CacheSharing>,
    /// `secret` and `ssh` only.
    pub required: bool,
    /// `tmpfs` only; bytes.
    pub size: Option<u64>,
    /// Permission bits; `secret`, `ssh` and `cache` only, as `uid` and `gid`.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// The variable that holds a secret.
    pub env: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountType {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSharing {
    Shared,
    Private,
    Locked,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MountError {
    #[error("failed to parse csv mounts: {0}")]
    Csv(#[from] CsvError),
    #[error("invalid field '{0}' must be a key=value pair")]
    NotAPair(String),
    #[error("unexpected key '{key}' in '{field}'{}", suggest::tail(.suggestion.as_ref()))]
    UnknownKey { key: String, field: String, suggestion: Option<String> },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    KeyOfAnotherType { key: &'static str, kind: &'static str },
    #[error("unsupported mount type {value:?}{}", suggest::tail(.suggestion.as_ref()))]
    UnknownType { value: String, suggestion: Option<String> },
    #[error("unsupported sharing value {value:?}{}", suggest::tail(.suggestion.as_ref()))]
    UnknownSharing { value: String, suggestion: Option<String> },
    #[error("invalid value for {key}: {value}")]
    InvalidValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    InvalidNumber { key: &'static str, value: String },
    #[error("{key} not allowed for \"{kind}\" type mounts")]
    OwnerOfAnotherType { key: &'static str, kind: &'static str },
    #[error("invalid cache sharing set for {0} mount")]
    SharingOfAnotherType(&'static str),
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("secret mount should not define sharing")]
    SecretSharing,
    #[error("invalid secret mount. one of source, target required")]
    SecretWithoutName,
    #[error("both source and id can't be set")]
    SourceAndId,
    #[error("ssh does not support source")]
    SshSource,
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    VariableInFrom,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

const TYPES: [(&str, MountType); 5] = [
    ("bind", MountType::Bind),
    ("cache", MountType::Cache),
    ("tmpfs", MountType::Tmpfs),
    ("secret", MountType::Secret),
    ("ssh", MountType::Ssh),
];

const SHARINGS: [(&str, CacheSharing); 3] = [
    ("shared", CacheSharing::Shared),
    ("private", CacheSharing::Private),
    ("locked", CacheSharing::Locked),
];

impl MountType {
    /// As `type=` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        // In the order of the variants.
        TYPES[self as usize].0
    }
}

/// Reads a value in which nothing is left to expand.
///
/// # Errors
/// Not CSV, a key or value that does not exist, or keys that do not go together.
pub fn parse_mount(value: &str) -> Result<MountFlag, MountError> {
    expand_mount(value, |text| Ok::<_, Infallible>(text.to_owned())).map_err(|error| match error {
        ExpandMountError::Mount(error) => error,
        ExpandMountError::Expand(never) => match never {},
    })
}

/// Either the mount is wrong, or a variable in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpandMountError<E> {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{0}")]
    Expand(E),
}

/// Reads a value as written, expanding what stands behind each `=`: so a comma in a variable's
/// value does not begin another key.
///
/// # Errors
/// As [`parse_mount`], and those of `expand`.
pub fn expand_mount<E>(
    value: &str,
    mut expand: impl FnMut(&str) -> Result<String, E>,
) -> Result<MountFlag, ExpandMountError<E>> {
    let mut mount = MountFlag::default();
    let mut readonly = None;
    for field in csv::fields(value).map_err(MountError::from)? {
        match field.split_once('=') {
            None => mount.set_bare(&field, &mut readonly)?,
            Some((key, value)) => {
                let value = expand(value).map_err(ExpandMountError::Expand)?;
                mount.set(&key.to_lowercase(), value, &field, &mut readonly)?;
            }
        }
    }
    mount.readonly = readonly.unwrap_or(!matches!(mount.kind, MountType::Cache | MountType::Tmpfs));
    mount.check()?;
    Ok(mount)
}

/// What can be said of a value before its variables are known: it is CSV, and `from` has none,
/// since stages must be known before any value is. A `$` at the very end is no variable.
pub(super) fn check_unexpanded(value: &str) -> Result<(), MountError> {
    for field in csv::fields(value)? {
        if let Some((key, value)) = field.split_once('=')
            && key.eq_ignore_ascii_case("from")
            && value.find('$').is_some_and(|at| at + 1 != value.len())
        {
            return Err(MountError::VariableInFrom);
        }
    }
    Ok(())
}

/// The `from` of a value as written, which is known before any variable is.
///
/// # Errors
/// Not CSV.
pub fn mount_from(value: &str) -> Result<Option<String>, MountError> {
    let fields = csv::fields(value)?;
    let last = fields.iter().rev().find_map(|field| {
        field.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("from"))
    });
    Ok(last.and_then(|(_, from)| present(from.to_owned())))
}

impl MountFlag {
    /// A key without a value.
    fn set_bare(&mut self, field: &str, readonly: &mut Option<bool>) -> Result<(), MountError> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => *readonly = Some(true),
            "readwrite" | "rw" => *readonly = Some(false),
            "required" => {
                self.only_for("required", &[MountType::Secret, MountType::Ssh])?;
                self.required = true;
            }
            _ => return Err(MountError::NotAPair(field.to_owned())),
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: &str,
        value: String,
        field: &str,
        readonly: &mut Option<bool>,
    ) -> Result<(), MountError> {
        match key {
            "type" => {
                self.kind = lookup(&TYPES, &value).map_err(|suggestion| {
                    MountError::UnknownType { value: value.clone(), suggestion }
                })?;
            }
            "from" => self.from = present(value),
            "source" | "src" => self.source = present(value),
            "target" | "dst" | "destination" => self.target = present(value),
            "readonly" | "ro" => *readonly = Some(boolean(key, &value)?),
            "readwrite" | "rw" => *readonly = Some(!boolean(key, &value)?),
            "required" => {
                self.only_for("required", &[MountType::Secret, MountType::Ssh])?;
                self.required = boolean(key, &value)?;
            }
            "size" => {
                self.only_for("size", &[MountType::Tmpfs])?;
                let size = parse_size(&value).ok_or_else(|| MountError::InvalidValue {
                    key: key.to_owned(),
                    value: value.clone(),
                })?;
                self.size = Some(size);
            }
            "id" => self.id = present(value),
            "sharing" => {
                let sharing = lookup(&SHARINGS, &value).map_err(|suggestion| {
                    MountError::UnknownSharing { value: value.clone(), suggestion }
                })?;
                self.sharing = Some(sharing);
            }
            "mode" => self.mode = Some(number("mode", &value, 8)?),
            "uid" => self.uid = Some(number("uid", &value, 10)?),
            "gid" => self.gid = Some(number("gid", &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                return Err(MountError::UnknownKey {
                    key: key.to_owned(),
                    field: field.to_owned(),
                    suggestion: suggest::nearest(key, KEYS).map(str::to_owned),
                });
            }
        }
        Ok(())
    }

    /// The type counts as written so far: `type` has to come before keys of one type.
    fn only_for(&self, key: &'static str, kinds: &[MountType]) -> Result<(), MountError> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        Err(MountError::KeyOfAnotherType { key, kind: self.kind.name() })
    }

    /// Which keys go together (L-112).
    fn check(&self) -> Result<(), MountError> {
        let kind = self.kind.name();
        if matches!(self.kind, MountType::Bind | MountType::Tmpfs) {
            for (key, value) in [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)] {
                if value.is_some() {
                    return Err(MountError::OwnerOfAnotherType { key, kind });
                }
            }
        }
        if self.kind == MountType::Secret {
            if self.from.is_some() {
                return Err(MountError::SecretFrom);
            }
            if self.sharing.is_some() {
                return Err(MountError::SecretSharing);
            }
            if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                return Err(MountError::SecretWithoutName);
            }
            if self.source.is_some() && self.id.is_some() {
                return Err(MountError::SourceAndId);
            }
        }
        if self.kind == MountType::Ssh && self.source.is_some() {
            return Err(MountError::SshSource);
        }
        if self.kind != MountType::Cache && self.sharing.is_some() {
            return Err(MountError::SharingOfAnotherType(kind));
        }
        Ok(())
    }
}

/// An empty value says as much as none.
fn present(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

/// The value with that name, or the name that was perhaps meant.
fn lookup<T: Copy>(table: &[(&str, T)], value: &str) -> Result<T, Option<String>> {
    let lower = value.to_lowercase();
    table.iter().find(|(name, _)| *name == lower).map(|(_, found)| *found).ok_or_else(|| {
        suggest::nearest(value, table.iter().map(|(name, _)| *name)).map(str::to_owned)
    })
}

/// The spellings of Go's `strconv.ParseBool`.
fn boolean(key: &str, value: &str) -> Result<bool, MountError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(MountError::InvalidValue { key: key.to_owned(), value: value.to_owned() }),
    }
}

fn number(key: &'static str, value: &str, radix: u32) -> Result<u32, MountError> {
    // Rust takes a sign, Go does not.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| u32::from_str_radix(value, radix).ok())
        .flatten()
        .ok_or_else(|| MountError::InvalidNumber { key, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let text = |text: &str| Some(text.to_owned());
        let readonly = MountFlag { readonly: true, ..MountFlag::default() };
        for (value, expected) in [
            ("target=/x", MountFlag { target: text("/x"), ..readonly.clone() }),
            (
                "type=bind,from=a,src=b,dst=/c,rw",
                MountFlag {
                    from: text("a"),
                    source: text("b"),
                    target: text("/c"),
                    ..MountFlag::default()
                },
            ),
            (
                "TYPE=Cache,ID=a,target=/c,sharing=Locked,mode=0700,uid=1,gid=2",
                MountFlag {
                    kind: MountType::Cache,
                    id: text("a"),
                    target: text("/c"),
                    sharing: Some(CacheSharing::Locked),
                    mode: Some(0o700),
                    uid: Some(1),
                    gid: Some(2),
                    ..MountFlag::default()
                },
            ),
            (
                "type=cache,target=/c,readonly=true",
                MountFlag { kind: MountType::Cache, target: text("/c"), ..readonly.clone() },
            ),
            (
                "type=tmpfs,target=/c,size=64m",
                MountFlag {
                    kind: MountType::Tmpfs,
                    target: text("/c"),
                    size: Some(64 << 20),
                    ..MountFlag::default()
                },
            ),
            (
                "type=secret,id=a,env=TOKEN,required",
                MountFlag {
                    kind: MountType::Secret,
                    id: text("a"),
                    env: text("TOKEN"),
                    required: true,
                    ..readonly.clone()
                },
            ),
            ("type=ssh,required=false", MountFlag { kind: MountType::Ssh, ..readonly.clone() }),
            (
                r#"type=bind,"source=a,b",target=/x"#,
                MountFlag { source: text("a,b"), target: text("/x"), ..readonly.clone() },
            ),
        ] {
            assert_eq!(parse_mount(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn mistakes() {
        for (value, message) in [
            ("", "failed to parse csv mounts: it is empty"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("tagret=/x", "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"),
            ("type=volume", "unsupported mount type \"volume\""),
            ("type=cahce", "unsupported mount type \"cahce\" (did you mean cache?)"),
            (
                "type=cache,sharing=share",
                "unsupported sharing value \"share\" (did you mean shared?)",
            ),
            ("type=cache,target=/x,ro=maybe", "invalid value for ro: maybe"),
            ("type=cache,required=true", "unexpected key 'required' for mount type 'cache'"),
            ("required,type=secret", "unexpected key 'required' for mount type 'bind'"),
            ("type=cache,size=1", "unexpected key 'size' for mount type 'cache'"),
            ("type=tmpfs,size=big", "invalid value for size: big"),
            ("type=cache,mode=999", "invalid value 999 for mode"),
            ("type=cache,uid=+1", "invalid value +1 for uid"),
            ("target=/x,mode=0700", "mode not allowed for \"bind\" type mounts"),
            ("type=tmpfs,uid=1", "uid not allowed for \"tmpfs\" type mounts"),
            ("type=secret,id=a,from=b", "secret mount should not have a from"),
            ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,src=b", "both source and id can't be set"),
            ("type=ssh,src=b", "ssh does not support source"),
            ("target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
        ] {
            let error = parse_mount(value).map_err(|error| error.to_string());
            assert_eq!(error, Err(message.to_owned()), "{value}");
        }
    }

    #[test]
    fn values_are_expanded_one_by_one() {
        let expand = |text: &str| match text {
            "$A" => Ok("/a,ro".to_owned()),
            "$B" => Err("no B"),
            text => Ok(text.to_owned()),
        };
        let mount = expand_mount("type=cache,target=$A", expand).map(|mount| mount.target);
        assert_eq!(mount, Ok(Some("/a,ro".to_owned())));
        assert_eq!(expand_mount("target=$B", expand), Err(ExpandMountError::Expand("no B")));
    }

    #[test]
    fn from_has_no_variables() {
        assert_eq!(check_unexpanded("from=$a,target=/x"), Err(MountError::VariableInFrom));
        for value in ["from=a$,target=$b", "$type", "unknown=1"] {
            assert_eq!(check_unexpanded(value), Ok(()), "{value}");
        }
    }
}
