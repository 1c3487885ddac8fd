//! `--secret id=NAME[,src=FILE|env=VARIABLE]`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::csv;
use super::environment::Environment;
use super::flag::{FlagError, unknown_key};
use crate::context::small;
use crate::request::Secret;

/// BuildKit's limit, 500 KiB: what is larger is no secret but a mistake.
const LIMIT: u64 = 500 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    pub id: String,
    pub source: SecretSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    Variable(String),
    /// Only an id was given: the variable of that name if there is one, else the file.
    ById,
}

pub fn parse(text: &str) -> Result<SecretSpec, FlagError> {
    let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
    for (key, value) in csv::pairs(text)? {
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => source = Some(value),
            "env" => variable = Some(value),
            "type" if matches!(value.as_str(), "file" | "env") => kind = Some(value),
            "type" => {
                return Err(FlagError::new(format!("type is file or env, but found {value:?}")));
            }
            _ => return Err(unknown_key(&key, &["id", "src", "source", "env", "type"])),
        }
    }
    let set = |value: Option<String>| value.filter(|value| !value.is_empty());
    let Some(id) = set(id) else {
        return Err(FlagError::new("id= is missing").hinted("Write id=NAME,src=FILE."));
    };
    let (source, variable) = match (set(source), set(variable)) {
        // `type=env,src=NAME` is another way to write `env=NAME`.
        (source, None) if kind.as_deref() == Some("env") => (None, source),
        both => both,
    };
    // The variable wins over the file, as in BuildKit.
    let source = match (variable, source) {
        (Some(name), _) => SecretSource::Variable(name),
        (None, Some(path)) => SecretSource::File(PathBuf::from(path)),
        (None, None) => SecretSource::ById,
    };
    Ok(SecretSpec { id, source })
}

/// Reads the value. An unset variable is an empty secret, as in BuildKit, but a file must exist.
pub fn load(spec: &SecretSpec, environment: &Environment) -> Result<Secret, FlagError> {
    let variable = |name: &str| environment.get(name).map(|value| value.as_bytes().to_vec());
    let path = match &spec.source {
        SecretSource::Variable(name) => return Ok(Secret(variable(name).unwrap_or_default())),
        SecretSource::ById => match variable(&spec.id) {
            Some(value) => return Ok(Secret(value)),
            None => PathBuf::from(&spec.id),
        },
        SecretSource::File(path) => path.clone(),
    };
    let bytes = small::read(&path, LIMIT).map_err(|error| {
        let error = FlagError::new(format!("can't read {}: {error}", path.display()));
        match spec.source {
            SecretSource::ById => error.hinted(format!(
                "Name the file with src=, or set the environment variable {}.",
                spec.id
            )),
            _ => error,
        }
    })?;
    Ok(Secret(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let file = |path: &str| SecretSource::File(PathBuf::from(path));
        let variable = |name: &str| SecretSource::Variable(name.to_owned());
        for (text, source) in [
            ("id=a", SecretSource::ById),
            ("id=a,src=/f", file("/f")),
            ("type=file,id=a,source=f", file("f")),
            ("id=a,env=B", variable("B")),
            ("id=a,type=env", SecretSource::ById),
            ("id=a,type=env,src=B", variable("B")),
            ("id=a,src=f,env=B", variable("B")),
        ] {
            assert_eq!(parse(text), Ok(SecretSpec { id: "a".to_owned(), source }), "{text}");
        }
        for bad in ["", "a", "src=f", "id=", "id=a,type=x", "id=a,file=f"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_come_from_variables_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "from file").unwrap();
        let environment = Environment::of(&[("token", "by id"), ("OTHER", "from variable")]);
        let value = |text: &str| load(&parse(text).unwrap(), &environment).map(|secret| secret.0);
        assert_eq!(value(&format!("id=token,src={}", path.display())).unwrap(), b"from file");
        assert_eq!(value("id=token").unwrap(), b"by id");
        assert_eq!(value("id=x,env=OTHER").unwrap(), b"from variable");
        assert_eq!(value("id=x,env=UNSET").unwrap(), b"");
        let error = value("id=no-such-file").unwrap_err();
        assert!(error.hint.unwrap().contains("environment variable no-such-file"));
        std::fs::write(&path, vec![0; 500 * 1024 + 1]).unwrap();
        assert!(value(&format!("id=token,src={}", path.display())).is_err());
    }
}
