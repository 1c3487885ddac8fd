//! The inputs and outputs of the action: one table for the program, `action.yml` and the README.

use std::collections::BTreeMap;

use super::event::Variables;
use super::list::{ListRules, list};

/// One input as `action.yml` declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    pub name: &'static str,
    pub default: &'static str,
    /// One sentence or two, for README and `action.yml`.
    pub about: &'static str,
}

/// One output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    pub name: &'static str,
    pub about: &'static str,
}

const fn input(name: &'static str, default: &'static str, about: &'static str) -> Input {
    Input { name, default, about }
}

/// Every input, in the order of the README.
pub const INPUTS: &[Input] = &[
    // What to build.
    input(
        "context",
        "",
        "Folder or URL of the build context; the workspace, or the repository by git where nothing is checked out",
    ),
    input("file", "", "Path of the Dockerfile; `Dockerfile` in the context"),
    input("target", "", "Stage to build; the last one"),
    input("build-args", "", "List of `NAME=VALUE`, one a line"),
    input("build-contexts", "", "List of named contexts, `NAME=SOURCE`"),
    input(
        "platforms",
        "",
        "List of platforms of the image, such as `linux/amd64,linux/arm64`; of several there is an index",
    ),
    input("network", "", "Network of RUN: `default`, `none` or `host`"),
    input("add-hosts", "", "List of `HOST:ADDRESS` for RUN"),
    input("dns", "", "List of name servers for RUN, in place of the runner's"),
    input("shm-size", "", "Size of /dev/shm for RUN"),
    input("cgroup-parent", "", "Control group that those of RUN are made below, for its limits"),
    input("ulimit", "", "List of limits for RUN, such as `nofile=1024:1024`"),
    input("allow", "", "List of what a RUN may do more: `security.insecure`, `network.host`"),
    input("secrets", "", "List of secrets, `ID=VALUE`; a value in quotes may have several lines"),
    input("secret-envs", "", "List of secrets from variables, `ID=VARIABLE`"),
    input("secret-files", "", "List of secrets from files, `ID=PATH`"),
    input("ssh", "", "List of SSH agents, `default` or `ID=SOCKET`, and of keys, `ID=FILE,FILE`"),
    input(
        "call",
        "build",
        "`build`; `check`, the checks of the Dockerfile alone; `outline`, what the target takes; `targets`, the stages; with `,format=json` too",
    ),
    input("no-cache", "false", "Run every step, even where its result is known"),
    input("no-cache-filters", "", "List of stages to run, even where their results are known"),
    input("pull", "false", "Ask for the bases anew, even where the local store knows them"),
    // What it is called, and where it goes.
    input(
        "images",
        "",
        "List of image names that tags are made for; `ghcr.io/OWNER/REPOSITORY` where there are no tags either",
    ),
    input(
        "tags",
        "",
        "List of whole image names, or of metadata-action's rules such as `type=semver,pattern={{version}}`; with `images`, a line without `type=` is a tag unless it names one of them",
    ),
    input(
        "sep-tags",
        "",
        "What is between the names in the output `tags`; a line's end unless said",
    ),
    input("sep-labels", "", "What is between the labels in the output `labels`, likewise"),
    input("sep-annotations", "", "What is between those in the output `annotations`, likewise"),
    input(
        "bake-target",
        "",
        "Target of the files that the outputs `bake-file…` name; `docker-metadata-action` unless said",
    ),
    input("flavor", "", "What all tags have in common: `latest=`, `prefix=`, `suffix=`"),
    input(
        "labels",
        "",
        "List of labels, besides those that the event gives; these come before the Dockerfile's, those only with `images`",
    ),
    input(
        "annotations",
        "",
        "List of annotations, besides those that the event gives: `NAME=VALUE` of the manifest, or `LEVEL:NAME=VALUE` with `manifest[PLATFORM]`, `index`, `manifest-descriptor` or `index-descriptor`",
    ),
    input(
        "push",
        "auto",
        "Push the image: `true`, `false`, or `auto`: on branches and tags, where there are credentials \
         and neither `outputs` nor `load` says otherwise",
    ),
    input("outputs", "", "List of outputs, such as `type=oci,dest=image.tar`"),
    input(
        "provenance",
        "",
        "Say beside the image how it was made: `true`, or keys such as `mode=min,builder-id=URI`; `false` unless given",
    ),
    input(
        "attests",
        "",
        "List of attestations, `type=provenance,mode=max` and `type=sbom`; `provenance` and `sbom` come first",
    ),
    input(
        "sbom",
        "",
        "List the packages of the image beside it: `true` or `false`; `false` unless given",
    ),
    input("load", "false", "Load the image into the runner's Docker, where there is one"),
    input("push-retries", "5", "How often a request to a registry is tried"),
    input("reproducible", "true", "Give new files and the image the time of the commit"),
    // Who may.
    input("registry", "", "Registry of `username` and `password`; that of the images"),
    input(
        "username",
        "",
        "User of the registry; for ghcr.io, who started the workflow; for Amazon's, the id of a key",
    ),
    input(
        "password",
        "",
        "Password or token; for ghcr.io, the job's token; for Amazon's, the secret of the key",
    ),
    input(
        "ecr",
        "auto",
        "The registry is Amazon's: `auto`, by its name; `true`; `false`. Without a key that of the environment counts",
    ),
    input(
        "scope",
        "",
        "What these credentials are for alone: `REPOSITORY`, `REPOSITORY@push` or `@push`",
    ),
    input(
        "registry-auth",
        "",
        "YAML list of `registry`, `username`, `password`, `ecr` and `scope`, in place of these inputs",
    ),
    input("registry-mirrors", "", "List of mirrors, `HOST=URL` or `HOST=MIRROR/PATH`"),
    input("insecure-registries", "", "List of registries without verified TLS"),
    input("ca-certs", "", "List of files with certificates to trust"),
    input("github-token", "${{ github.token }}", "Token for the comment, the check and ghcr.io"),
    // What is kept.
    input(
        "cache",
        "auto",
        "`auto`: keep stages in the Actions cache; `read`: use it, but save nothing; `off`",
    ),
    input(
        "cache-from",
        "",
        "List of caches to read, `type=gha|registry|local`, instead of the Actions cache",
    ),
    input("cache-to", "", "List of caches to write, likewise"),
    input(
        "cache-mounts",
        "auto",
        "Cache mounts of RUN to keep: `auto`, `off` or a list of their ids",
    ),
    input(
        "cache-budget",
        "",
        "What cache mounts may hold, unpacked: `EACH[,ALL]`; `1g,4g` unless said",
    ),
    // What it weighs.
    input(
        "size-baseline",
        "auto",
        "What sizes are compared with: `auto`, the base commit or what is nearest to it; an image, a \
         weight file as `weight:FILE`, or `none`",
    ),
    input("size-budget", "", "Limits such as `250MB`, `+10MB` or `+5%`, on top of `.plimsoll.yml`"),
    input("size-gate", "fail", "What a broken limit does: `fail`, `warn` or `off`"),
    input(
        "size-override-label",
        "size-accepted",
        "Label of a pull request that waives the limits; none if it is empty",
    ),
    input(
        "comment",
        "auto",
        "Comment on the pull request: `auto`, folded where sizes did not change; `changed`, only while they differ; `always`, from pushes to its branch too; `never`",
    ),
    input("comment-key", "", "Tells comments of several images apart; the image's name"),
    input("summary", "true", "Write the job summary"),
    input("annotate", "true", "Show warnings and errors as annotations"),
    input(
        "fork-mode",
        "auto",
        "On a pull request from a fork: `auto` builds and reports without pushing, `skip` does nothing",
    ),
    input(
        "comment-from",
        "",
        "Folder of a report from another run to comment with, in place of a build; for `workflow_run`",
    ),
    // How it runs.
    input(
        "max-parallelism",
        "",
        "How many RUNs go on at once, and how many threads compress and hash",
    ),
    input("binary", "", "Path of the program; the one that came with the action"),
];

/// Inputs of the actions that this one replaces that mean nothing here: said in a notice.
pub const IGNORED: &[(&str, &str)] = &[
    ("builder", "there is no builder to choose"),
    ("logout", "credentials live no longer than the step"),
];

const fn output(name: &'static str, about: &'static str) -> Output {
    Output { name, about }
}

/// Every output.
pub const OUTPUTS: &[Output] = &[
    output(
        "digest",
        "Digest of the manifest, or of the index of several platforms or with attestations",
    ),
    output("imageid", "Digest of the config; of an index as `digest`"),
    output("metadata", "What was built, as JSON with the keys of buildx"),
    output("tags", "Names of the image, one a line"),
    output("labels", "Labels that the inputs and the event give, one a line"),
    output("tag-names", "Tags that rules gave, without the image, one a line"),
    output("annotations", "Annotations of the image with their levels, one a line"),
    output("json", "Names, labels and annotations, as JSON with the keys of metadata-action"),
    output("version", "The first tag by priority"),
    output("bake-file", "Path of a file for `docker buildx bake` with the tags and labels"),
    output("bake-file-tags", "The same with the tags alone"),
    output("bake-file-labels", "The same with the labels alone"),
    output("bake-file-annotations", "The same with the annotations alone"),
    output("pushed", "`true` where the image was pushed"),
    output(
        "size-compressed",
        "Bytes of all layers as they are pulled; of several platforms, the first's",
    ),
    output("size-unpacked", "Bytes of all layers unpacked, likewise"),
    output(
        "size-delta",
        "Change of the compressed size in bytes, likewise; empty without a baseline",
    ),
    output("size-report", "Path of the whole report, as Markdown"),
    output(
        "size-verdict",
        "`pass`, `warn`, `fail` or `waived`, the worst of several; empty without limits",
    ),
    output("cache-hit-ratio", "Share of the steps that were cached, from 0 to 1"),
    output("comment-url", "Address of the comment"),
    output("warnings-count", "How many warnings the build gave"),
];

/// A value that an input can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("input {name}: expected {expected} but found {found:?}")]
pub struct InputError {
    pub name: &'static str,
    pub expected: String,
    pub found: String,
}

/// Variables of build-push-action, and the inputs that they are here.
const OFF_BY_VARIABLE: [(&str, &str); 2] =
    [("DOCKER_BUILD_SUMMARY", "summary"), ("DOCKER_BUILD_CHECKS_ANNOTATIONS", "annotate")];

/// Whether a variable says no, in one of the ways that Docker's actions understand.
pub fn is_off(variables: &Variables, name: &str) -> bool {
    let value = variables.get(name).map(String::as_str);
    matches!(value, Some("0" | "f" | "F" | "false" | "False" | "FALSE"))
}

/// Whether it says yes.
pub fn is_on(variables: &Variables, name: &str) -> bool {
    let value = variables.get(name).map(String::as_str);
    matches!(value, Some("1" | "t" | "T" | "true" | "True" | "TRUE"))
}

/// What the workflow gave.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    given: BTreeMap<String, String>,
}

impl Inputs {
    /// Reads `INPUT_*`: the runner writes names in upper case, and `_` where they have a space.
    pub fn of(variables: &Variables) -> Self {
        let given = variables.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("INPUT_")?;
            Some((name.to_ascii_lowercase(), value.clone()))
        });
        let mut given: BTreeMap<String, String> = given.collect();
        // The runner gives every default as if it had been typed: these can only turn off.
        for (variable, name) in OFF_BY_VARIABLE {
            if is_off(variables, variable) {
                given.insert(name.to_owned(), "false".to_owned());
            }
        }
        Self { given }
    }

    /// The value as it was given, else the default.
    pub fn raw(&self, name: &'static str) -> &str {
        match self.given.get(name) {
            Some(value) if !value.is_empty() => value,
            _ => INPUTS
                .iter()
                .find(|input| input.name == name)
                // Expressions are the runner's to evaluate.
                .map_or(
                    "",
                    |input| if input.default.starts_with("${{") { "" } else { input.default },
                ),
        }
    }

    /// The value without space around it.
    pub fn text(&self, name: &'static str) -> &str {
        self.raw(name).trim()
    }

    /// The value, unless it is empty.
    pub fn some(&self, name: &'static str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// As [`some`](Self::some), but an empty text that was given stands for nothing, not for the default.
    pub fn unless_emptied(&self, name: &'static str) -> Option<&str> {
        let is_emptied = self.given.get(name).is_some_and(|value| value.trim().is_empty());
        self.some(name).filter(|_| !is_emptied)
    }

    pub fn list(&self, name: &'static str, rules: ListRules) -> Vec<String> {
        list(self.raw(name), rules)
    }

    /// A boolean of YAML 1.2, as the runner's toolkit reads it.
    pub fn switch(&self, name: &'static str) -> Result<bool, InputError> {
        match self.text(name) {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" | "" => Ok(false),
            found => Err(InputError {
                name,
                expected: "true or false".to_owned(),
                found: found.to_owned(),
            }),
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<T, InputError> {
        let found = self.text(name);
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(found));
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> =
                choices.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
            InputError { name, expected: words.join(", "), found: found.to_owned() }
        })
    }

    /// A whole number.
    pub fn number(&self, name: &'static str) -> Result<Option<usize>, InputError> {
        let Some(text) = self.some(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| InputError {
            name,
            expected: "a whole number".to_owned(),
            found: text.to_owned(),
        })
    }

    /// Inputs that were given and mean nothing here, with the reason.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let given = |name: &str| {
            let value = self.given.get(name).map_or("", |value| value.trim());
            !value.is_empty() && !value.eq_ignore_ascii_case("false")
        };
        IGNORED.iter().copied().filter(move |(name, _)| given(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(rows: &[(&str, &str)]) -> Inputs {
        Inputs::of(&rows.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn names_are_those_of_the_runner() {
        let inputs = inputs(&[("INPUT_BUILD-ARGS", "A=1"), ("INPUT_FILE", " x "), ("FILE", "y")]);
        assert_eq!((inputs.text("build-args"), inputs.text("file")), ("A=1", "x"));
        assert_eq!((inputs.text("push"), inputs.some("target")), ("auto", None));
        assert_eq!(inputs.text("github-token"), "");
    }

    #[test]
    fn a_default_can_be_turned_off() {
        let label = |rows| inputs(rows).unless_emptied("size-override-label").map(str::to_owned);
        assert_eq!(label(&[]).as_deref(), Some("size-accepted"));
        assert_eq!(label(&[("INPUT_SIZE-OVERRIDE-LABEL", "heavy")]).as_deref(), Some("heavy"));
        assert_eq!(label(&[("INPUT_SIZE-OVERRIDE-LABEL", " ")]), None);
    }

    #[test]
    fn variables_of_build_push_action_turn_inputs_off() {
        let of = |value| {
            let inputs = inputs(&[("INPUT_SUMMARY", "true"), ("DOCKER_BUILD_SUMMARY", value)]);
            inputs.switch("summary").unwrap()
        };
        assert_eq!(["false", "0", "true", ""].map(of), [false, false, true, true]);
    }

    #[test]
    fn values_have_types() {
        let inputs = inputs(&[
            ("INPUT_PULL", "TRUE"),
            ("INPUT_NO-CACHE", "yes"),
            ("INPUT_PUSH", "Never"),
            ("INPUT_COMMENT", "Always"),
            ("INPUT_MAX-PARALLELISM", "many"),
        ]);
        assert_eq!(inputs.switch("pull"), Ok(true));
        let error = inputs.switch("no-cache").unwrap_err().to_string();
        assert_eq!(error, "input no-cache: expected true or false but found \"yes\"");
        let push = [("auto", 0), ("true", 1), ("false", 2)];
        let error = inputs.choice("push", &push).unwrap_err().to_string();
        assert_eq!(error, "input push: expected auto, true, false but found \"Never\"");
        assert_eq!(inputs.choice("comment", &[("auto", 0), ("always", 1)]), Ok(1));
        assert!(inputs.number("max-parallelism").is_err());
        assert_eq!(inputs.number("push-retries"), Ok(Some(5)));
    }

    #[test]
    fn what_means_nothing_here_is_named() {
        let named = |rows| inputs(rows).ignored().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            named(&[("INPUT_BUILDER", "x"), ("INPUT_LOGOUT", "true")]),
            ["builder", "logout"]
        );
        assert!(named(&[("INPUT_BUILDER", ""), ("INPUT_LOGOUT", "false")]).is_empty());
    }

    #[test]
    fn no_name_is_there_twice() {
        let mut names: Vec<&str> = INPUTS.iter().map(|input| input.name).collect();
        names.extend(IGNORED.iter().map(|(name, _)| *name));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
