//! The inputs `secrets`, `secret-envs` and `secret-files`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::github::inputs::Inputs;
use crate::github::list::{ListRules, list, quoted};
use crate::request::Secret;

/// The inputs, taken apart.
#[derive(Debug, Default)]
pub struct Secrets {
    /// In variables and files, as `--secret` has them.
    pub places: Vec<String>,
    /// By id; values with every space that they have.
    pub values: BTreeMap<String, Secret>,
    /// What is no `ID=VALUE`, and may be a secret itself.
    pub masked: Vec<String>,
    /// What is left out, and why.
    pub left_out: Vec<String>,
}

impl Secrets {
    /// A file that is not there is left out, and so is a secret without a value: that is what one of
    /// the repository is to a run of a fork.
    pub fn of(inputs: &Inputs) -> Self {
        let mut secrets = Self::default();
        let lines = inputs.list("secret-envs", ListRules::COMMAS);
        for (id, variable) in secrets.pairs("secret-envs", "ID=VARIABLE", lines) {
            secrets.places.push(spec(&id, "env", &variable));
        }
        let lines = inputs.list("secret-files", ListRules::LINES);
        for (id, path) in secrets.pairs("secret-files", "ID=PATH", lines) {
            if Path::new(&path).exists() {
                secrets.places.push(spec(&id, "src", &path));
            } else {
                let text = format!("the secret {id} is left out: there is no file {path}");
                secrets.left_out.push(text);
            }
        }
        let rules = ListRules { trim: false, ..ListRules::LINES };
        let lines = list(inputs.raw("secrets"), rules);
        for (id, value) in secrets.pairs("secrets", "ID=VALUE", lines) {
            let id = id.trim();
            if value.is_empty() {
                secrets.left_out.push(format!("the secret {id} is left out: it is empty"));
            } else {
                secrets.values.insert(id.to_owned(), Secret(value.into_bytes()));
            }
        }
        secrets
    }

    /// Ids, and what stands behind them. Entries that have no id are left out, and where a place
    /// should be, those that have none.
    fn pairs(&mut self, input: &str, form: &str, lines: Vec<String>) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (at, line) in lines.into_iter().enumerate() {
            match line.split_once('=') {
                Some((id, value))
                    if !id.trim().is_empty() && (input == "secrets" || !value.is_empty()) =>
                {
                    pairs.push((id.to_owned(), value.to_owned()));
                }
                _ => {
                    // What stands there instead may be the secret itself.
                    let at = at + 1;
                    let text =
                        format!("entry {at} of the input {input} is left out: it is no {form}");
                    self.left_out.push(text);
                    self.masked.push(line.trim_start_matches('=').to_owned());
                }
            }
        }
        pairs
    }
}

fn spec(id: &str, key: &str, place: &str) -> String {
    format!("{},{}", quoted(&format!("id={id}")), quoted(&format!("{key}={place}")))
}
