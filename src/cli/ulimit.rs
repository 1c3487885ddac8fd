//! `--ulimit NAME=SOFT[:HARD]`.

use super::flag::FlagError;
use crate::dockerfile::suggest::nearest;
use crate::request::Ulimit;

/// The names that Docker knows, which are those of setrlimit(2) without `RLIMIT_`.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub fn parse(text: &str) -> Result<Ulimit, FlagError> {
    let Some((name, limits)) = text.split_once('=') else {
        return Err(FlagError::new("expected NAME=SOFT[:HARD]"));
    };
    if !NAMES.contains(&name) {
        let error = FlagError::new(format!("unknown limit {name:?}"));
        return Err(match nearest(name, NAMES) {
            Some(near) => error.hinted(format!("Did you mean {near:?}?")),
            None => error.hinted(format!("The limits are {}.", NAMES.join(", "))),
        });
    }
    let number = |text: &str| match text.parse::<i64>() {
        Ok(value) if value >= -1 => Ok(value),
        _ => {
            Err(FlagError::new(format!("expected a number from -1 (unlimited) but found {text:?}")))
        }
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(FlagError::new(format!(
            "the soft limit {soft} is above the hard limit {hard} (-1 is unlimited)"
        )));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, soft, hard) in [
            ("nofile=1024", 1024, 1024),
            ("nofile=1024:2048", 1024, 2048),
            ("nofile=-1", -1, -1),
            ("nofile=5:-1", 5, -1),
        ] {
            let expected = Ulimit { name: "nofile".to_owned(), soft, hard };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for bad in
            ["nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "nofile=-2", "files=1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("nofiles=1").unwrap_err().hint.unwrap(), "Did you mean \"nofile\"?");
    }
}
