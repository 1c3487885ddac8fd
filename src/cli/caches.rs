//! All of `--cache-from` and `--cache-to`, and what they are where neither was typed.

use super::args::BuildArgs;
use super::cache_spec;
use super::environment::Environment;
use super::flag::FlagError;
use crate::cache::github::NoService;
use crate::error::Error;
use crate::request::{CachePlace, CacheTarget};

#[derive(Debug, Default)]
pub struct Caches {
    pub from: Vec<CachePlace>,
    pub to: Vec<CacheTarget>,
    /// What to tell of those that are not here, each once.
    pub missing: Vec<String>,
}

impl Caches {
    /// In GitHub Actions, where the service is within reach, it is the default for both.
    pub fn of(args: &BuildArgs, environment: &Environment) -> Result<Self, Error> {
        let typed = |values: &[String]| values.iter().any(|value| !value.is_empty());
        let none_typed = !typed(&args.cache_from) && !typed(&args.cache_to);
        if none_typed && environment.is_true("GITHUB_ACTIONS") {
            let default = ["type=gha".to_owned()];
            let caches = Self::parse(&default, &default, environment)?;
            return Ok(Self { missing: Vec::new(), ..caches });
        }
        Self::parse(&args.cache_from, &args.cache_to, environment)
    }

    fn parse(from: &[String], to: &[String], environment: &Environment) -> Result<Self, Error> {
        let mut caches = Self::default();
        let sources = each("--cache-from", from, |text| cache_spec::source(text, environment))?;
        caches.from = caches.present(sources);
        let targets = each("--cache-to", to, |text| cache_spec::target(text, environment))?;
        caches.to = caches.present(targets);
        Ok(caches)
    }

    fn present<T>(&mut self, places: Vec<Result<T, NoService>>) -> Vec<T> {
        let mut present = Vec::new();
        for place in places {
            match place {
                Ok(place) => present.push(place),
                Err(why) => {
                    let text = format!("the cache gha is not used: {why}");
                    if !self.missing.contains(&text) {
                        self.missing.push(text);
                    }
                }
            }
        }
        present
    }
}

/// As [`super::flag::each`], but a token that was typed is not told.
fn each<T>(
    flag: &str,
    values: &[String],
    parse: impl Fn(&str) -> Result<T, FlagError>,
) -> Result<Vec<T>, Error> {
    let typed = values.iter().filter(|value| !value.is_empty());
    let fail = |error: FlagError, text: &str| match text.contains("token=") {
        true => error.of_flag_alone(flag),
        false => error.of(flag, text),
    };
    typed.map(|text| parse(text).map_err(|error| fail(error, text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: [(&str, &str); 3] = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_RESULTS_URL", "https://results.example/"),
        ("ACTIONS_RUNTIME_TOKEN", "canary"),
    ];

    fn caches(from: &[&str], to: &[&str], variables: &[(&str, &str)]) -> Result<Caches, Error> {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let args = BuildArgs { cache_from: texts(from), cache_to: texts(to), ..Default::default() };
        Caches::of(&args, &Environment::of(variables))
    }

    #[test]
    fn github_s_cache_is_the_default_where_it_is_there() {
        for (from, to, variables, places) in [
            (&[][..], &[][..], &SERVICE[..], (1, 1)),
            (&[""], &[""], &SERVICE, (1, 1)),
            (&[], &[], &SERVICE[1..], (0, 0)),
            (&[], &[], &SERVICE[..1], (0, 0)),
            (&["type=local,src=a"], &[], &SERVICE, (1, 0)),
            (&[], &["type=gha"], &SERVICE, (0, 1)),
        ] {
            let caches = caches(from, to, variables).unwrap();
            assert_eq!((caches.from.len(), caches.to.len()), places, "{from:?} {to:?}");
            assert_eq!(caches.missing, [""; 0], "nothing that nobody asked for is told");
        }
    }

    #[test]
    fn a_service_that_is_not_there_is_told_once() {
        let missing = caches(&["type=gha"], &["type=gha,mode=max"], &SERVICE[..1]).unwrap().missing;
        let [notice] = &missing[..] else { panic!("{missing:?}") };
        assert!(notice.starts_with("the cache gha is not used: ACTIONS_RESULTS_URL"), "{notice}");
    }

    #[test]
    fn a_typed_token_is_in_no_error() {
        let error = caches(&["type=gha,token=canary,x=y"], &[], &SERVICE).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
