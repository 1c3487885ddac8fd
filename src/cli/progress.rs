//! `--progress` and `--quiet`: the form of what is printed.

use std::hash::{BuildHasher as _, RandomState};

use super::args::{BuildArgs, ProgressMode};
use super::environment::Environment;
use crate::error::Error;
use crate::ui::Form;

/// # Errors
/// The flags contradict each other, or a terminal was asked for where there is none.
pub fn form(args: &BuildArgs, environment: &Environment) -> Result<Form, Error> {
    if is_quiet(args) {
        return match args.progress {
            ProgressMode::Auto | ProgressMode::Quiet => Ok(Form::Quiet),
            ProgressMode::Plain | ProgressMode::Tty | ProgressMode::Json => {
                Err(Error::usage("--progress and --quiet can't be used together")
                    .hinted("Leave one of them out."))
            }
        };
    }
    match args.progress {
        ProgressMode::Json => Ok(Form::Json),
        ProgressMode::Tty if !environment.stderr_is_terminal => {
            Err(Error::usage("--progress tty: standard error is not a terminal")
                .hinted("Use --progress plain, or leave it out."))
        }
        ProgressMode::Tty => Ok(Form::Terminal),
        // A runner's log is no terminal, and its commands must be kept from the steps in any case.
        _ if environment.is_true("GITHUB_ACTIONS") => {
            Ok(Form::Groups { token: token(), annotate: true })
        }
        ProgressMode::Auto if environment.stderr_is_terminal => Ok(Form::Terminal),
        ProgressMode::Auto | ProgressMode::Plain | ProgressMode::Quiet => Ok(Form::Plain),
    }
}

pub fn is_quiet(args: &BuildArgs) -> bool {
    args.quiet || args.progress == ProgressMode::Quiet
}

/// A word that no step can guess: the standard library's hashers have keys from the system's source
/// of randomness.
pub fn token() -> String {
    let word = || RandomState::new().hash_one(());
    format!("plimsoll-{:016x}{:016x}", word(), word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let plain = Environment::of(&[]);
        let mut terminal = plain.clone();
        terminal.stderr_is_terminal = true;
        let runner = Environment::of(&[("GITHUB_ACTIONS", "true")]);
        let form = |progress, quiet, environment: &Environment| {
            form(&BuildArgs { progress, quiet, ..BuildArgs::default() }, environment)
        };
        use ProgressMode::{Auto, Json, Plain, Quiet, Tty};
        for (progress, quiet, environment, expected) in [
            (Auto, false, &plain, Form::Plain),
            (Auto, false, &terminal, Form::Terminal),
            (Plain, false, &terminal, Form::Plain),
            (Tty, false, &terminal, Form::Terminal),
            (Json, false, &runner, Form::Json),
            (Quiet, false, &runner, Form::Quiet),
            (Auto, true, &terminal, Form::Quiet),
        ] {
            assert_eq!(form(progress, quiet, environment), Ok(expected), "{progress:?}");
        }
        assert!(matches!(form(Auto, false, &runner), Ok(Form::Groups { .. })));
        assert!(matches!(form(Plain, false, &runner), Ok(Form::Groups { .. })));
        assert!(form(Tty, false, &plain).is_err());
        assert!(form(Plain, true, &plain).is_err());
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token(), token());
    }
}
