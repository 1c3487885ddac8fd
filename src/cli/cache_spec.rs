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
/// `url`, `version`: of the service's version 1. `timeout`: a build waits for a minute at most.
/// `repository`, `ghtoken`: a build asks nothing of the REST API.
const GITHUB_SOURCE: [&str; 8] =
    ["scope", "url_v2", "token", "url", "version", "timeout", "repository", "ghtoken"];
/// Of where buildx finds its one index: entries have their own keys.
const LOCAL_SOURCE: [&str; 3] = ["src", "digest", "tag"];
/// How blobs are compressed says the image that they may be pushed with.
const COMPRESSION: [&str; 3] = ["compression", "compression-level", "force-compression"];
/// What the tags of entries begin with where the reference has no tag.
const DEFAULT_TAG: &str = "buildcache";

/// `--cache-from`. The inner error: there is no such service here, which is no mistake of the user.
pub fn source(
    text: &str,
    environment: &Environment,
) -> Result<Result<CachePlace, NoService>, FlagError> {
    let mut spec = Spec::parse(text)?;
    spec.known(&[("gha", &GITHUB_SOURCE), ("local", &LOCAL_SOURCE), ("registry", &["ref"])])?;
    spec.place("src", environment)
}

/// `--cache-to`, as [`source`].
pub fn target(
    text: &str,
    environment: &Environment,
) -> Result<Result<CacheTarget, NoService>, FlagError> {
    let mut spec = Spec::parse(text)?;
    let all = ["mode", "ignore-error"];
    let manifest = ["image-manifest", "oci-mediatypes"];
    let registry = [&["ref"][..], &all, &manifest, &COMPRESSION].concat();
    let local = [&["dest"][..], &all, &["tag"], &manifest, &COMPRESSION].concat();
    let github = [&all[..], &GITHUB_SOURCE].concat();
    spec.known(&[("gha", &github), ("local", &local), ("registry", &registry)])?;
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
        return Err(FlagError::new("ignore-error=false is not supported")
            .hinted("A cache that fails is told, and the build goes on: leave it out."));
    }
    for key in ["image-manifest", "oci-mediatypes"] {
        if let Some(value) = spec.take(key)
            && !boolean(key, &value)?
        {
            return Err(FlagError::new(format!("{key}=false is not supported"))
                .hinted("Entries are OCI artifacts: leave it out."));
        }
    }
    let place = spec.place("dest", environment)?;
    Ok(place.map(|place| CacheTarget { place, only_result }))
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
    spec.known(&[("gha", &GITHUB_SOURCE)])?;
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
}

impl Spec {
    /// A bare name is short for a registry.
    fn parse(text: &str) -> Result<Self, FlagError> {
        if !text.contains('=') {
            let pairs = vec![("ref".to_owned(), text.to_owned())];
            return Ok(Self { kind: "registry".to_owned(), pairs });
        }
        let mut pairs = csv::pairs(text)?;
        let Some(position) = pairs.iter().position(|(key, _)| key == "type") else {
            return Err(FlagError::new("type= is missing").hinted(types_hint("")));
        };
        let (_, kind) = pairs.remove(position);
        if !TYPES.contains(&kind.as_str()) {
            return Err(FlagError::new(format!("unknown type {kind:?}")).hinted(types_hint(&kind)));
        }
        Ok(Self { kind, pairs })
    }

    /// Refuses keys that a type does not have.
    fn known(&self, keys: &[(&str, &[&str])]) -> Result<(), FlagError> {
        let keys = keys.iter().find(|(kind, _)| *kind == self.kind).map_or(&[][..], |(_, k)| k);
        match self.pairs.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, _)) => Err(unknown_key(key, keys)),
            None => Ok(()),
        }
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
        super::source(text, &runner()).map(|place| place.expect("a service"))
    }

    fn target(text: &str) -> Result<CacheTarget, FlagError> {
        super::target(text, &runner()).map(|target| target.expect("a service"))
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
        assert!(matches!(super::source("type=gha", &nowhere), Ok(Err(NoService::Missing(_)))));
        assert!(matches!(super::target("type=gha", &nowhere), Ok(Err(NoService::Missing(_)))));
        let typed = "type=gha,url_v2=https://results.example,token=x";
        assert!(matches!(super::source(typed, &nowhere), Ok(Ok(_))));
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
            ("type=gha,mode=max", "unknown key \"mode\""),
            ("type=local,/a", "expected key=value but found \"/a\""),
        ] {
            assert_eq!(source(text).unwrap_err().message, message, "{text}");
        }
        for (text, message) in [
            ("type=local,dest=a,mode=most", "mode is min or max, but found \"most\""),
            ("type=local,dest=a,ignore-error=false", "ignore-error=false is not supported"),
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
