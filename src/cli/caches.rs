//! All of `--cache-from` and `--cache-to`, and what they are where neither was typed.

use super::args::BuildArgs;
use super::cache_spec::{self, Taken};
use super::environment::Environment;
use super::flag::FlagError;
use crate::error::Error;
use crate::request::{CachePlace, CacheTarget};

#[derive(Debug, Default)]
pub struct Caches {
    pub from: Vec<CachePlace>,
    pub to: Vec<CacheTarget>,
    /// Registries without verified TLS.
    pub insecure: Vec<String>,
    /// What to tell, each once: of caches that are not here, and of keys that do nothing.
    pub notices: Vec<String>,
}

impl Caches {
    /// In GitHub Actions, where the service is within reach, it is the default for both.
    pub fn of(args: &BuildArgs, environment: &Environment) -> Result<Self, Error> {
        let typed = |values: &[String]| values.iter().any(|value| !value.is_empty());
        let none_typed = !typed(&args.cache_from) && !typed(&args.cache_to);
        if none_typed && environment.is_true("GITHUB_ACTIONS") {
            let default = ["type=gha".to_owned()];
            let caches = Self::parse(&default, &default, environment, false)?;
            return Ok(Self { notices: Vec::new(), ..caches });
        }
        Self::parse(&args.cache_from, &args.cache_to, environment, args.lenient)
    }

    fn parse(
        from: &[String],
        to: &[String],
        environment: &Environment,
        lenient: bool,
    ) -> Result<Self, Error> {
        let mut caches = Self::default();
        let source = |text: &str| cache_spec::source(text, environment, lenient);
        caches.from = caches.present(each("--cache-from", from, source)?);
        let target = |text: &str| cache_spec::target(text, environment, lenient);
        caches.to = caches.present(each("--cache-to", to, target)?);
        Ok(caches)
    }

    fn present<T>(&mut self, all: Vec<Taken<T>>) -> Vec<T> {
        let mut present = Vec::new();
        for Taken { place, insecure, notices } in all {
            self.insecure.extend(insecure);
            notices.into_iter().for_each(|text| self.tell(text));
            match place {
                Ok(place) => present.push(place),
                Err(why) => self.tell(format!("the cache gha is not used: {why}")),
            }
        }
        present
    }

    fn tell(&mut self, text: String) {
        if !self.notices.contains(&text) {
            self.notices.push(text);
        }
    }
}

/// As [`super::flag::each`], of every cache that is named, but a token that was typed is not told.
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
    let mut all = Vec::new();
    for text in typed {
        for one in cache_spec::split(text).map_err(|error| fail(error, text))? {
            all.push(parse(&one).map_err(|error| fail(error, text))?);
        }
    }
    Ok(all)
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
            (&["a:1,b:2"], &["a:1,b:2"], &SERVICE, (2, 2)),
        ] {
            let caches = caches(from, to, variables).unwrap();
            assert_eq!((caches.from.len(), caches.to.len()), places, "{from:?} {to:?}");
            assert_eq!(caches.notices, [""; 0], "nothing that nobody asked for is told");
        }
    }

    #[test]
    fn a_service_that_is_not_there_is_told_once() {
        let notices = caches(&["type=gha"], &["type=gha,mode=max"], &SERVICE[..1]).unwrap().notices;
        let [notice] = &notices[..] else { panic!("{notices:?}") };
        assert!(notice.starts_with("the cache gha is not used: ACTIONS_RESULTS_URL"), "{notice}");
    }

    #[test]
    fn a_key_that_does_nothing_is_told_once() {
        let text = "type=gha,timeout=1m";
        let notices = caches(&[text, text], &[text], &SERVICE).unwrap().notices;
        assert_eq!(
            notices,
            ["the cache key timeout does nothing here: a build that has ended waits for a minute \
                 at most"]
        );
    }

    #[test]
    fn a_registry_may_be_without_tls_for_its_cache() {
        let text = "type=registry,ref=reg:5000/a,registry.insecure=true";
        assert_eq!(caches(&[text], &[], &SERVICE).unwrap().insecure, ["reg:5000"]);
    }

    #[test]
    fn a_typed_token_is_in_no_error() {
        let error = caches(&["type=gha,token=canary,x=y"], &[], &SERVICE).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
