//! What is wrong with the value of a flag, and how a user reads it.

use std::fmt;

use crate::dockerfile::suggest::nearest;
use crate::error::Error;

/// Why one value of a flag can't be used: a lower-case fragment, and perhaps what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagError {
    pub message: String,
    pub hint: Option<String>,
}

impl FlagError {
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None }
    }

    pub fn hinted(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The error of `flag` with the value as typed.
    pub fn of(self, flag: &str, value: &str) -> Error {
        self.of_flag_alone(&format!("{flag} {value}"))
    }

    /// The same without the value, which may be secret.
    pub fn of_flag_alone(self, flag: &str) -> Error {
        let error = Error::usage(format!("{flag}: {}", self.message));
        match self.hint {
            Some(hint) => error.hinted(hint),
            None => error,
        }
    }
}

/// Parses every value of a repeatable flag. Empty values are skipped, as buildx does: a workflow
/// often passes a variable that is not set.
pub fn each<T>(
    flag: &str,
    values: &[String],
    parse: impl Fn(&str) -> Result<T, FlagError>,
) -> Result<Vec<T>, Error> {
    values
        .iter()
        .filter(|value| !value.is_empty())
        .map(|value| parse(value).map_err(|error| error.of(flag, value)))
        .collect()
}

/// Go's `strconv.ParseBool`, and the empty value is true, as in `force-compression=`.
pub fn boolean(key: &str, value: &str) -> Result<bool, FlagError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(FlagError::new(format!("{key} is true or false, but found {value:?}"))),
    }
}

/// The error for a key that is not one of `known`, with the nearest of them.
pub fn unknown_key(key: &str, known: &[&str]) -> FlagError {
    let error = FlagError::new(format!("unknown key {key:?}"));
    match nearest(key, known.iter().copied()) {
        Some(near) => error.hinted(format!("Did you mean {near:?}?")),
        None => error.hinted(format!("The keys are {}.", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_sees_them_all() {
        let keys = ["type", "dest"];
        assert_eq!(unknown_key("dst", &keys).hint.unwrap(), "Did you mean \"dest\"?");
        assert_eq!(unknown_key("source", &keys).hint.unwrap(), "The keys are type, dest.");
    }

    #[test]
    fn booleans_are_go_s() {
        assert_eq!(boolean("push", "T"), Ok(true));
        assert_eq!(boolean("push", "0"), Ok(false));
        assert!(boolean("push", "yes").is_err());
    }
}
