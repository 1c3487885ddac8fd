//! One `--cache-from` or `--cache-to`, as buildx has them: `type=local,src=DIR`,
//! `type=registry,ref=NAME`, `type=gha`.

use std::path::PathBuf;

use super::csv;
use super::environment::Environment;
use super::flag::{FlagError, boolean, unknown_key};
use crate::cache::github::{GithubSettings, NoService};
use crate::dockerfile::suggest::nearest;
use crate::registry::parse_reference;
use crate::request::{CachePlace, CacheTarget};

const TYPES: [&str; 3] = ["gha", "local", "registry"];
const GITHUB_API: &str = "https://api.github.com";
/// Of GitHub's cache; `repository` and `ghtoken` are for those who list and delete.
const GITHUB: [&str; 8] =
    ["scope", "url_v2", "token", "url", "version", "timeout", "repository", "ghtoken"];
/// Keys of buildx that change nothing in a build, whatever the type, and why.
const MEANINGLESS: [(&str, &str); 13] = [
    ("compression", COMPRESSION),
    ("compression-level", COMPRESSION),
    ("force-compression", COMPRESSION),
    ("digest", OWN_NAMES),
    ("tag", OWN_NAMES),
    ("reset", OWN_NAMES),
    ("url", "only version 2 of GitHub's service is spoken"),
    ("version", "only version 2 of GitHub's service is spoken"),
    ("timeout", "a build that has ended waits for a minute at most"),
    ("repository", "a build asks nothing of GitHub's API"),
    ("ghtoken", "a build asks nothing of GitHub's API"),
    ("url_v2", "it is for type=gha"),
    ("token", "it is for type=gha"),
];
const COMPRESSION: &str = "entries are compressed as the layers of the image are";
const OWN_NAMES: &str = "entries have names of their own";
const INSECURE: &str = "registry.insecure";
/// What the tags of entries begin with where the reference has no tag.
const DEFAULT_TAG: &str = "buildcache";

/// What one text says.
#[derive(Debug)]
pub struct Taken<T> {
    /// The error: there is no such service here, which is no mistake of the user.
    pub place: Result<T, NoService>,
    /// The registry of the cache, if it is without verified TLS.
    pub insecure: Option<String>,
    /// Which keys do nothing here, and why.
    pub notices: Vec<String>,
}

/// The caches of one text: bare names may stand there in a row, as `a:1,b:2`.
pub fn split(text: &str) -> Result<Vec<String>, FlagError> {
    if text.contains('=') {
        return Ok(vec![text.to_owned()]);
    }
    let names = csv::fields(text)?.into_iter().map(|name| name.trim().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// `--cache-from`. `lenient`: unknown keys are told, not refused.
pub fn source(
    text: &str,
    environment: &Environment,
    lenient: bool,
) -> Result<Taken<CachePlace>, FlagError> {
    let mut spec = Spec::parse(text)?;
    for key in ["mode", "ignore-error"] {
        if spec.take(key).is_some() {
            spec.meaningless(key, "it is for cache-to");
        }
    }
    spec.take_manifest()?;
    spec.finish("src", environment, lenient)
}

/// `--cache-to`, as [`source`].
pub fn target(
    text: &str,
    environment: &Environment,
    lenient: bool,
) -> Result<Taken<CacheTarget>, FlagError> {
    let mut spec = Spec::parse(text)?;
    let only_result = match spec.take("mode").as_deref() {
        Some("min") => true,
        // buildx takes min where none is named; what a stage costs is what a cache is for.
        None | Some("max") => false,
        Some(other) => {
            return Err(FlagError::new(format!("mode is min or max, but found {other:?}")));
        }
    };
    if let Some(value) = spec.take("ignore-error")
        && !boolean("ignore-error", &value)?
    {
        spec.meaningless("ignore-error=false", "a cache that fails never fails a build");
    }
    spec.take_manifest()?;
    let Taken { place, insecure, notices } = spec.finish("dest", environment, lenient)?;
    let place = place.map(|place| CacheTarget { place, only_result });
    Ok(Taken { place, insecure, notices })
}

/// Whose caches GitHub's REST API is asked for, and by whom.
pub struct GithubRepository {
    pub api: String,
    /// `OWNER/NAME`
    pub name: String,
    pub token: String,
}

/// The repository that `type=gha` means for those who list and delete; `None` for other types.
pub fn github_repository(
    text: &str,
    environment: &Environment,
) -> Result<Option<GithubRepository>, FlagError> {
    let mut spec = Spec::parse(text)?;
    if spec.kind != "gha" {
        return Ok(None);
    }
    spec.known(&GITHUB)?;
    let variable = |name: &str| Some(environment.get(name)?.to_str()?.to_owned());
    let set = |value: Option<String>| value.filter(|value| !value.is_empty());
    let mut needed = |key: &str, name: &str| {
        set(spec.take(key)).or_else(|| set(variable(name))).ok_or_else(|| {
            FlagError::new(format!("{key}= is missing, and {name} is not set"))
                .hinted("In a workflow: `env: GITHUB_TOKEN: ${{ github.token }}`.")
        })
    };
    let (name, token) =
        (needed("repository", "GITHUB_REPOSITORY")?, needed("ghtoken", "GITHUB_TOKEN")?);
    let api = set(variable("GITHUB_API_URL")).unwrap_or_else(|| GITHUB_API.to_owned());
    Ok(Some(GithubRepository { api, name, token }))
}

struct Spec {
    kind: String,
    pairs: Vec<(String, String)>,
    notices: Vec<String>,
}

impl Spec {
    /// A bare name is short for a registry.
    fn parse(text: &str) -> Result<Self, FlagError> {
        if !text.contains('=') {
            let pairs = vec![("ref".to_owned(), text.to_owned())];
            return Ok(Self { kind: "registry".to_owned(), pairs, notices: Vec::new() });
        }
        let mut pairs = csv::pairs(text)?;
        let Some(position) = pairs.iter().position(|(key, _)| key == "type") else {
            return Err(FlagError::new("type= is missing").hinted(types_hint("")));
        };
        let (_, kind) = pairs.remove(position);
        if !TYPES.contains(&kind.as_str()) {
            return Err(FlagError::new(format!("unknown type {kind:?}")).hinted(types_hint(&kind)));
        }
        Ok(Self { kind, pairs, notices: Vec::new() })
    }

    /// Refuses other keys than these.
    fn known(&self, keys: &[&str]) -> Result<(), FlagError> {
        match self.pairs.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, _)) => Err(unknown_key(key, keys)),
            None => Ok(()),
        }
    }

    fn meaningless(&mut self, key: &str, why: &str) {
        self.notices.push(format!("the cache key {key} does nothing here: {why}"));
    }

    fn take_manifest(&mut self) -> Result<(), FlagError> {
        for key in ["image-manifest", "oci-mediatypes"] {
            if let Some(value) = self.take(key)
                && !boolean(key, &value)?
            {
                self.meaningless(&format!("{key}=false"), "entries are OCI artifacts");
            }
        }
        Ok(())
    }

    /// Reads the rest, whose path is the value of the key `path`.
    fn finish(
        mut self,
        path: &str,
        environment: &Environment,
        lenient: bool,
    ) -> Result<Taken<CachePlace>, FlagError> {
        let keys: &[&str] = match self.kind.as_str() {
            "gha" => &["scope", "url_v2", "token"],
            "registry" => &["ref"],
            _ => &[path],
        };
        for (key, why) in MEANINGLESS {
            if !keys.contains(&key) && self.take(key).is_some() {
                self.meaningless(key, why);
            }
        }
        let insecure = self.take(INSECURE).map_or(Ok(false), |value| boolean(INSECURE, &value))?;
        if !lenient {
            self.known(keys)?;
        }
        let others = self.pairs.iter().map(|(key, _)| key.clone());
        let others: Vec<String> = others.filter(|key| !keys.contains(&&**key)).collect();
        for key in others {
            let why = format!("type={} has no such key", self.kind);
            self.meaningless(&key, &why);
        }
        let place = self.place(path, environment)?;
        let insecure = match &place {
            Ok(CachePlace::Registry(name)) if insecure => parse_reference(name).ok(),
            _ => None,
        };
        let insecure = insecure.map(|reference| reference.registry().to_owned());
        Ok(Taken { place, insecure, notices: self.notices })
    }

    /// The last value of a key.
    fn take(&mut self, key: &str) -> Option<String> {
        let mut value = None;
        for (_, found) in self.pairs.extract_if(.., |(known, _)| known == key) {
            value = Some(found);
        }
        value
    }

    /// The last value of a key, which must be there.
    fn needed(&mut self, key: &str) -> Result<String, FlagError> {
        let value = self.take(key).filter(|text| !text.is_empty());
        value.ok_or_else(|| FlagError::new(format!("{key}= is missing")))
    }

    fn place(
        &mut self,
        path: &str,
        environment: &Environment,
    ) -> Result<Result<CachePlace, NoService>, FlagError> {
        Ok(match self.kind.as_str() {
            "gha" => self.github(environment),
            "registry" => Ok(CachePlace::Registry(repository(&self.needed("ref")?)?)),
            _ => Ok(CachePlace::Local(PathBuf::from(self.needed(path)?))),
        })
    }

    /// What is typed comes before the runner's variables.
    fn github(&mut self, environment: &Environment) -> Result<CachePlace, NoService> {
        let typed = [
            ("ACTIONS_RESULTS_URL", self.take("url_v2")),
            ("ACTIONS_RUNTIME_TOKEN", self.take("token")),
        ];
        let settings = GithubSettings::from_variables(|name| {
            let typed = typed.iter().find(|(known, _)| *known == name);
            let typed = typed.and_then(|(_, value)| value.clone()).filter(|v| !v.is_empty());
            typed.or_else(|| Some(environment.get(name)?.to_str()?.to_owned()))
        })?;
        let scope = self.take("scope").filter(|scope| !scope.is_empty());
        Ok(CachePlace::Github { settings, scope })
    }
}

/// A normalized reference with a tag.
fn repository(name: &str) -> Result<String, FlagError> {
    let parsed = parse_reference(name).map_err(FlagError::new)?;
    if parsed.digest().is_some() {
        return Err(FlagError::new("ref= has a digest, but a cache grows"));
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = parsed.tag().filter(|_| last.contains(':')).unwrap_or(DEFAULT_TAG);
    Ok(format!("{}/{}:{tag}", parsed.registry(), parsed.repository()))
}

fn types_hint(kind: &str) -> String {
    match nearest(kind, TYPES) {
        Some(near) => format!("Did you mean type={near}?"),
        None => format!("The types are {}.", TYPES.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the service is.
    fn runner() -> Environment {
        Environment::of(&[
            ("ACTIONS_RESULTS_URL", "https://results.example/"),
            ("ACTIONS_RUNTIME_TOKEN", "canary"),
        ])
    }

    fn source(text: &str) -> Result<CachePlace, FlagError> {
        super::source(text, &runner(), false).map(|taken| taken.place.expect("a service"))
    }

    fn target(text: &str) -> Result<CacheTarget, FlagError> {
        super::target(text, &runner(), false).map(|taken| taken.place.expect("a service"))
    }

    fn local(path: &str) -> CachePlace {
        CachePlace::Local(PathBuf::from(path))
    }

    #[test]
    fn folders() {
        assert_eq!(source("type=local,src=/a"), Ok(local("/a")));
        assert_eq!(source("type=local,src=/a,tag=t,digest=sha256:0"), Ok(local("/a")));
        for (text, path, only_result) in [
            ("type=local,dest=b,mode=max", "b", false),
            (r#"dest=b,type=local,mode=min"#, "b", true),
            (r#"type=local,"dest=a,b",ignore-error=true"#, "a,b", false),
            ("type=local,dest=b,tag=t,oci-mediatypes=true,compression=zstd", "b", false),
        ] {
            let place = local(path);
            assert_eq!(target(text), Ok(CacheTarget { place, only_result }), "{text}");
        }
    }

    #[test]
    fn repositories() {
        let registry = |name: &str| CachePlace::Registry(name.to_owned());
        for (text, name) in [
            ("type=registry,ref=ghcr.io/a/b:cache", "ghcr.io/a/b:cache"),
            ("type=registry,ref=localhost:5000/a", "localhost:5000/a:buildcache"),
            ("user/app:cache", "docker.io/user/app:cache"),
        ] {
            assert_eq!(source(text), Ok(registry(name)), "{text}");
        }
        let target = target("type=registry,ref=ghcr.io/a/b,mode=max,image-manifest=true").unwrap();
        assert_eq!(target.place, registry("ghcr.io/a/b:buildcache"));
    }

    fn github(text: &str) -> (GithubSettings, Option<String>) {
        match source(text) {
            Ok(CachePlace::Github { settings, scope }) => (settings, scope),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn github_s_cache() {
        let (settings, scope) = github("type=gha");
        assert_eq!(scope, None);
        assert_eq!(github("type=gha,scope=").0, settings);
        assert_eq!(github("type=gha,scope=app").1.unwrap(), "app");
        for ignored in ["timeout=10m", "url=https://v1", "version=2", "repository=a/b", "ghtoken=x"]
        {
            assert_eq!(github(&format!("type=gha,{ignored}")), (settings.clone(), None));
        }
        for typed in ["url_v2=https://other.example", "token=other"] {
            assert_ne!(github(&format!("type=gha,{typed}")).0, settings, "{typed}");
        }
        let to = target("type=gha,mode=min,scope=app,ignore-error=true,timeout=1m").unwrap();
        let scope = Some("app".to_owned());
        let place = CachePlace::Github { settings, scope };
        assert_eq!(to, CacheTarget { place, only_result: true });
    }

    #[test]
    fn where_github_is_not_there_is_no_mistake() {
        let nowhere = Environment::default();
        let source = |text: &str| super::source(text, &nowhere, false).unwrap().place;
        assert!(matches!(source("type=gha"), Err(NoService::Missing(_))));
        let target = super::target("type=gha", &nowhere, false).unwrap().place;
        assert!(matches!(target, Err(NoService::Missing(_))));
        assert!(source("type=gha,url_v2=https://results.example,token=x").is_ok());
    }

    #[test]
    fn keys_of_buildx_that_do_nothing_are_told() {
        let from = |text| super::source(text, &runner(), false).unwrap().notices;
        let to = |text| super::target(text, &runner(), false).unwrap().notices;
        for (notices, keys) in [
            (from("type=gha,scope=a,mode=max"), &["mode"][..]),
            (from("type=registry,ref=a,mode=max,ignore-error=true"), &["mode", "ignore-error"]),
            (from("type=registry,ref=a,timeout=1m,token=t"), &["timeout", "token"]),
            (from("type=gha,token=t,url_v2=u,url=u,version=2"), &["url", "version"]),
            (
                from("type=local,src=a,digest=d,tag=t,compression=zstd"),
                &["compression", "digest", "tag"],
            ),
            (
                to("type=gha,ignore-error=false,ghtoken=t,repository=r"),
                &["ignore-error=false", "repository", "ghtoken"],
            ),
            (to("type=gha,ignore-error=true,image-manifest=true,oci-mediatypes="), &[]),
            (
                to("type=registry,ref=a,image-manifest=false,oci-mediatypes=0"),
                &["image-manifest=false", "oci-mediatypes=false"],
            ),
            (
                to("type=local,dest=a,force-compression=true,compression-level=3"),
                &["compression-level", "force-compression"],
            ),
        ] {
            let found: Vec<&str> =
                notices.iter().map(|text| text.split(' ').nth(3).unwrap()).collect();
            assert_eq!(found, keys, "{notices:?}");
        }
        let notices = super::source("type=gha,ref=a,nonsense=1", &runner(), true).unwrap().notices;
        assert_eq!(
            notices,
            [
                "the cache key ref does nothing here: type=gha has no such key",
                "the cache key nonsense does nothing here: type=gha has no such key"
            ]
        );
    }

    #[test]
    fn a_registry_without_tls_is_named() {
        let insecure = |text: &str| super::source(text, &runner(), false).unwrap().insecure;
        let text = "type=registry,ref=reg:5000/a,registry.insecure=";
        assert_eq!(insecure(&format!("{text}true")).unwrap(), "reg:5000");
        assert_eq!(insecure(&format!("{text}false")), None);
    }

    #[test]
    fn bare_names_stand_in_a_row() {
        assert_eq!(split("a:1, b:2,").unwrap(), ["a:1", "b:2"]);
        assert_eq!(split("type=registry,ref=a").unwrap(), ["type=registry,ref=a"]);
    }

    #[test]
    fn the_rest_is_refused_by_name() {
        for (text, message) in [
            ("type=s3,bucket=b", "unknown type \"s3\""),
            ("src=/a", "type= is missing"),
            ("type=local", "src= is missing"),
            ("type=local,src=", "src= is missing"),
            ("type=local,dest=/a", "unknown key \"dest\""),
            ("type=registry", "ref= is missing"),
            ("type=registry,src=a", "unknown key \"src\""),
            ("type=gha,modes=max", "unknown key \"modes\""),
            (
                "type=registry,ref=a,image-manifest=x",
                "image-manifest is true or false, but found \"x\"",
            ),
            ("type=local,/a", "expected key=value but found \"/a\""),
        ] {
            assert_eq!(source(text).unwrap_err().message, message, "{text}");
        }
        for (text, message) in [
            ("type=local,dest=a,mode=most", "mode is min or max, but found \"most\""),
            ("type=local,src=a", "unknown key \"src\""),
            ("type=gha,mode=most", "mode is min or max, but found \"most\""),
            ("type=gha,ref=a", "unknown key \"ref\""),
        ] {
            assert_eq!(target(text).unwrap_err().message, message, "{text}");
        }
        let hint = source("type=s3").unwrap_err().hint.unwrap();
        assert_eq!(hint, "The types are gha, local, registry.");
        assert_eq!(source("type=locl").unwrap_err().hint.unwrap(), "Did you mean type=local?");
    }
}
