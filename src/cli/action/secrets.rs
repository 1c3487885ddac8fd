//! The inputs `secrets`, `secret-envs` and `secret-files`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::github::inputs::Inputs;
use crate::github::list::{ListRules, list, quoted};
use crate::request::Secret;

/// Secrets in variables and files, as `--secret` has them. A file that is not there is left out.
pub fn places(inputs: &Inputs, left_out: &mut Vec<String>) -> Result<Vec<String>, Error> {
    let mut specs = Vec::new();
    for line in inputs.list("secret-envs", ListRules::COMMAS) {
        let (id, variable) = split("secret-envs", &line)?;
        specs.push(spec(id, "env", variable));
    }
    for line in inputs.list("secret-files", ListRules::LINES) {
        let (id, path) = split("secret-files", &line)?;
        if Path::new(path).exists() {
            specs.push(spec(id, "src", path));
        } else {
            left_out.push(format!("the secret {id} is left out: there is no file {path}"));
        }
    }
    Ok(specs)
}

/// The `secrets` input: `ID=VALUE`, values with every space that they have. One without a value is
/// left out: that is what a secret of the repository is to a run of a fork.
pub fn values(
    inputs: &Inputs,
    left_out: &mut Vec<String>,
) -> Result<BTreeMap<String, Secret>, Error> {
    let rules = ListRules { trim: false, ..ListRules::LINES };
    let mut secrets = BTreeMap::new();
    for line in list(inputs.raw("secrets"), rules) {
        let (id, value) = split("secrets", &line)?;
        if value.is_empty() {
            left_out.push(format!("the secret {} is left out: it is empty", id.trim()));
            continue;
        }
        secrets.insert(id.trim().to_owned(), Secret(value.as_bytes().to_vec()));
    }
    Ok(secrets)
}

fn spec(id: &str, key: &str, place: &str) -> String {
    format!("{},{}", quoted(&format!("id={id}")), quoted(&format!("{key}={place}")))
}

fn split<'a>(input: &'static str, line: &'a str) -> Result<(&'a str, &'a str), Error> {
    line.split_once('=').filter(|(id, _)| !id.trim().is_empty()).ok_or_else(|| {
        // What stands there instead may be the secret itself.
        Error::usage(format!("input {input}: expected ID=… in every line"))
    })
}
