//! `--ci-config`: the file that `dive --ci` reads.

use std::path::Path;

use serde::Deserialize;

use super::flag::FlagError;
use crate::context::small;
use crate::error::Error;
use crate::weight::DiveRules;

const LIMIT: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
struct Config {
    rules: Option<Rules>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rules {
    // Since dive 0.13 rules are written with hyphens; it still takes the names of before.
    #[serde(alias = "lowest-efficiency")]
    lowest_efficiency: Option<Value>,
    #[serde(alias = "highest-wasted-bytes")]
    highest_wasted_bytes: Option<Value>,
    #[serde(alias = "highest-user-wasted-percent")]
    highest_user_wasted_percent: Option<Value>,
}

/// dive takes a number with and without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

pub fn read(path: &Path) -> Result<DiveRules, Error> {
    let fault = |what: &dyn std::fmt::Display| {
        Error::usage(format!("--ci-config: can't use {}: {what}", path.display()))
    };
    let bytes = small::read(path, LIMIT).map_err(|error| fault(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| fault(&error))?;
    parse(&text).map_err(|error| fault(&error.message))
}

fn parse(text: &str) -> Result<DiveRules, FlagError> {
    let config: Config = serde_yaml::from_str(text).map_err(FlagError::new)?;
    let rules = config.rules.unwrap_or_default();
    let default = DiveRules::default();
    Ok(DiveRules {
        lowest_efficiency: rule("lowestEfficiency", rules.lowest_efficiency, part)?
            .unwrap_or(default.lowest_efficiency),
        highest_wasted_bytes: rule("highestWastedBytes", rules.highest_wasted_bytes, bytes)?
            .unwrap_or(default.highest_wasted_bytes),
        highest_user_wasted: rule(
            "highestUserWastedPercent",
            rules.highest_user_wasted_percent,
            part,
        )?
        .unwrap_or(default.highest_user_wasted),
    })
}

/// `None` where the file has no such rule, `Some(None)` where it disables it.
fn rule<T>(
    name: &str,
    value: Option<Value>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Option<T>>, FlagError> {
    let text = match value {
        None => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Text(text)) => text.trim().to_owned(),
    };
    if text == "disabled" {
        return Ok(Some(None));
    }
    match parse(&text) {
        Some(value) => Ok(Some(Some(value))),
        None => Err(FlagError::new(format!("{name}: can't understand {text:?}"))),
    }
}

fn part(text: &str) -> Option<f64> {
    text.parse().ok().filter(|part| (0.0..=1.0).contains(part))
}

/// `20MB` is 20,000,000 and `20MiB` 20 × 2²⁰, as dive's library has it.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let letter = unit.chars().next().filter(|letter| *letter != 'b');
    let power = letter.map_or(Some(0), |letter| "kmgtpe".find(letter).map(|at| at as i32 + 1))?;
    let base = match unit.get(usize::from(letter.is_some())..)? {
        "" | "b" => 1000.0_f64,
        "i" | "ib" => 1024.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * base.powi(power);
    // The largest that a float holds exactly is far more than any image.
    (bytes < 9e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_dive_s_readme() {
        let text = "rules:\n  # If the efficiency is measured below X%, mark as failed.\n  \
                    lowestEfficiency: 0.95\n  highestWastedBytes: 20MB\n  \
                    highestUserWastedPercent: 0.20\n";
        let expected = DiveRules {
            lowest_efficiency: Some(0.95),
            highest_wasted_bytes: Some(20_000_000),
            highest_user_wasted: Some(0.2),
        };
        assert_eq!(parse(text), Ok(expected));
        let hyphens = text
            .replace("lowestE", "lowest-e")
            .replace("highestWastedB", "highest-wasted-b")
            .replace("highestUserWastedP", "highest-user-wasted-p");
        assert_eq!(parse(&hyphens), Ok(expected));
        assert_eq!(parse("rules:\n"), Ok(DiveRules::default()));
        let text =
            "rules:\n  lowestEfficiency: \"disabled\"\n  highestUserWastedPercent: \"0.3\"\n";
        let expected = DiveRules {
            lowest_efficiency: None,
            highest_user_wasted: Some(0.3),
            ..DiveRules::default()
        };
        assert_eq!(parse(text), Ok(expected));
        for bad in
            ["rules:\n  lowestEfficiency: much", "rules:\n  lowestEfficiency: 95", "rules: ["]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_humanize_s() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("1kB", Some(1000)),
            ("1.5 MB", Some(1_500_000)),
            ("2MiB", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("4b", Some(4)),
            ("five", None),
            ("5XB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
