//! Git repositories as contexts and as sources of ADD (L-083, L-146), by the `git` program.
//!
//! A repository is not trusted: git runs without the user's and the system's configuration, without
//! hooks and prompts, and speaks only to other machines, so that no submodule leads into this one.
//! Credentials are in git's environment, never among its arguments.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::dir::{ContextError, DirectoryContext};
use super::program::{self, Ended};
use super::walk::Ownership;
use crate::ignore::{IgnoreError, Patterns};
use crate::url::GitUrl;

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("failed to load {url}: there is no git program")]
    NoProgram { url: String },
    #[error("failed to load {url}: can't run git: {source}")]
    Run { url: String, source: io::Error },
    /// What git said.
    #[error("failed to load {url}: {said}")]
    Failed { url: String, said: String },
    #[error("canceled")]
    Canceled,
    /// The words are BuildKit's, as are those below.
    #[error("failed to load {url}: repository does not contain ref {reference}")]
    NoReference { url: String, reference: String },
    #[error("failed to load {url}: could not find default branch for repository")]
    NoDefaultBranch { url: String },
    #[error("failed to load {url}: expected checksum to match {expected}, got {found}")]
    Checksum { url: String, expected: String, found: String },
    #[error("failed to load {url}: invalid subdir {path}: {reason}")]
    Subdirectory { url: String, path: String, reason: String },
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
}

/// What a URL refers to at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// A commit, or the annotated tag of one.
    pub object: String,
    pub commit: String,
    /// The full reference, unless a commit was asked for.
    pub reference: Option<String>,
}

/// How git is run for one repository.
#[derive(Debug)]
pub struct Git<'a> {
    pub url: &'a GitUrl,
    /// `PATH`, proxies and the like: all of the caller's environment that git gets.
    pub environment: &'a [(OsString, OsString)],
    /// The socket of an agent with keys.
    pub ssh_agent: Option<&'a Path>,
    /// The value of an `Authorization` header for this repository.
    pub authorization: Option<Vec<u8>>,
    /// Readable once the build is to end.
    pub cancel: BorrowedFd<'a>,
}

impl Git<'_> {
    /// What the URL refers to now. `directory` is any that is empty.
    ///
    /// # Errors
    /// When the repository can't be reached, has no such reference, or another commit there.
    pub fn revision(&self, directory: &Path) -> Result<Revision, GitError> {
        let url = self.url;
        if let Some(commit) = url.known_commit() {
            let (object, commit) = (commit.to_owned(), commit.to_owned());
            // The name that a kept .git has for it; one without refs/ is taken for a branch.
            let name = url.reference.as_ref().filter(|name| **name != commit);
            let reference = name.map(|name| match name.starts_with("refs/") {
                true => name.clone(),
                false => format!("refs/heads/{name}"),
            });
            return self.checked(Revision { object, commit, reference });
        }
        let remote = self.remote();
        let Some(name) = &url.reference else {
            let listed = self.run(directory, &["ls-remote", "--symref", "--", &remote, "HEAD"])?;
            let revision = default_branch(&listed)
                .ok_or_else(|| GitError::NoDefaultBranch { url: url.shown() })?;
            return self.checked(revision);
        };
        let peeled = format!("{name}^{{}}");
        let listed = self.run(directory, &["ls-remote", "--", &remote, name, &peeled])?;
        let revision = find_reference(name, &listed)
            .ok_or_else(|| GitError::NoReference { url: url.shown(), reference: name.clone() })?;
        self.checked(revision)
    }

    /// Fetches the files of `revision` into `directory`, which is empty and nobody else's, and walks
    /// them.
    ///
    /// # Errors
    /// When the repository can't be reached, or does not have the commit or the subdirectory.
    pub fn checkout(
        &self,
        revision: &Revision,
        directory: &Path,
    ) -> Result<DirectoryContext, GitError> {
        let Revision { object, commit, reference } = revision;
        self.obtain(revision, directory)?;
        if let Some(reference) = reference {
            self.run(directory, &["update-ref", "--no-deref", reference, object])?;
        }
        self.run(directory, &["checkout", "--quiet", "--force", "--detach", object])?;
        if !self.url.skip_submodules && directory.join(".gitmodules").exists() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            self.shallow(directory, &[&update[..], &["--depth=1"]].concat(), &update)?;
        }
        let keeps_git = self.url.keep_git_dir == Some(true) && self.url.subdirectory.is_empty();
        let ignore = if keeps_git {
            let _ = fs::remove_file(directory.join(".git/FETCH_HEAD"));
            Patterns::default()
        } else {
            // No commit can have a file of this name; submodules have one that git made.
            Patterns::from_flags(&["**/.git"])?
        };
        let mut files =
            DirectoryContext::open(&self.subdirectory(directory)?, &ignore, Ownership::Git)?;
        if self.url.commit_times
            && let Some(seconds) = self.commit_time(commit, directory)?
        {
            files.set_times(seconds);
        }
        Ok(files)
    }

    /// Fetches `revision` into `directory`, which is empty, and no files out of it.
    ///
    /// # Errors
    /// When the repository can't be reached, or does not have it.
    pub fn obtain(&self, revision: &Revision, directory: &Path) -> Result<(), GitError> {
        let object = &revision.object;
        let format = format!("--object-format=sha{}", if object.len() == 64 { "256" } else { "1" });
        self.run(directory, &["init", "--quiet", "--template=", &format])?;
        // Submodules may be named relative to it.
        self.run(directory, &["remote", "add", "origin", &self.url.shown()])?;
        self.fetch(directory, object)
    }

    /// When a commit was made that is in `directory`; seconds since 1970.
    ///
    /// # Errors
    /// When it is not there.
    pub fn commit_time(&self, commit: &str, directory: &Path) -> Result<Option<i64>, GitError> {
        let text = self.run(directory, &["log", "-1", "--format=%ct", commit])?;
        Ok(text.trim().parse().ok())
    }

    fn checked(&self, revision: Revision) -> Result<Revision, GitError> {
        let Some(expected) = &self.url.checksum else { return Ok(revision) };
        let Revision { object, commit, .. } = &revision;
        if object.starts_with(expected) || commit.starts_with(expected) {
            return Ok(revision);
        }
        let found = if object == commit { object.clone() } else { format!("{object} or {commit}") };
        let (url, expected) = (self.url.shown(), expected.clone());
        Err(GitError::Checksum { url, expected, found })
    }

    /// One object and what it needs; all of the repository where the server gives no single ones.
    fn fetch(&self, directory: &Path, object: &str) -> Result<(), GitError> {
        let remote = self.remote();
        let start = ["fetch", "--quiet", "--update-head-ok"];
        let one = [&start[..], &["--depth=1", "--no-tags", "--", &remote, object]].concat();
        let heads = "+refs/heads/*:refs/remotes/origin/*";
        let all = [&start[..], &["--tags", "--", &remote, heads]].concat();
        self.shallow(directory, &one, &all)
    }

    /// Runs `first`; where the server can't do as little, `otherwise`.
    fn shallow(
        &self,
        directory: &Path,
        first: &[&str],
        otherwise: &[&str],
    ) -> Result<(), GitError> {
        const REFUSALS: [&str; 5] =
            ["shallow", "--depth", "not our ref", "unadvertised object", "does not support"];
        match self.run(directory, first) {
            Err(GitError::Failed { said, .. }) if REFUSALS.iter().any(|r| said.contains(r)) => {
                self.run(directory, otherwise).map(drop)
            }
            result => result.map(drop),
        }
    }

    /// The place of the subdirectory, which no link leads to.
    fn subdirectory(&self, directory: &Path) -> Result<PathBuf, GitError> {
        let path = &self.url.subdirectory;
        let mut place = directory.to_owned();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            place.push(part);
            let reason = match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() && part != ".git" => continue,
                Ok(_) => "not a directory".to_owned(),
                Err(error) => error.to_string(),
            };
            let (url, path) = (self.url.shown(), path.clone());
            return Err(GitError::Subdirectory { url, path, reason });
        }
        Ok(place)
    }

    /// The remote without what is secret of it.
    fn remote(&self) -> String {
        self.url.shown()
    }

    fn run(&self, directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
        let url = || self.url.shown();
        let environment = self.environment_of(directory);
        match program::run("git", arguments, directory, &environment, self.cancel) {
            Ok(Ended::Well { stdout }) => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            Ok(Ended::Badly { stderr }) => {
                Err(GitError::Failed { url: url(), said: told(&String::from_utf8_lossy(&stderr)) })
            }
            Ok(Ended::Canceled) => Err(GitError::Canceled),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(GitError::NoProgram { url: url() })
            }
            Err(source) => Err(GitError::Run { url: url(), source }),
        }
    }

    fn environment_of(&self, directory: &Path) -> Vec<(OsString, OsString)> {
        let mut environment = self.environment.to_vec();
        let mut set = |name: &str, value: &std::ffi::OsStr| {
            environment.push((name.into(), value.to_owned()));
        };
        for (name, value) in [
            ("LC_ALL", "C"),
            ("HOME", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "https:http:git:ssh"),
            // The keys of hosts that the user knows are checked, those of others remembered.
            (
                "GIT_SSH_COMMAND",
                "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
            ),
        ] {
            set(name, value.as_ref());
        }
        // A repository that this machine happens to have around is none of this one's business.
        if let Some(parent) = directory.parent() {
            set("GIT_CEILING_DIRECTORIES", parent.as_os_str());
        }
        if let Some(agent) = self.ssh_agent {
            set("SSH_AUTH_SOCK", agent.as_os_str());
        }
        let mut settings: Vec<(String, Vec<u8>)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.logAllRefUpdates", "false"),
            ("gc.auto", "0"),
            ("init.defaultBranch", "master"),
            // A server that has fallen silent: bytes a second, seconds.
            ("http.lowSpeedLimit", "1"),
            ("http.lowSpeedTime", "60"),
        ]
        .map(|(key, value)| (key.to_owned(), value.into()))
        .into();
        if let Some(value) = &self.authorization {
            let remote = self.remote();
            let scope = token_scope(&remote);
            let header = [b"Authorization: ", value.as_slice()].concat();
            settings.push((format!("http.{scope}.extraHeader"), header));
        }
        set("GIT_CONFIG_COUNT", settings.len().to_string().as_ref());
        for (number, (key, value)) in settings.into_iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{number}"), key.as_ref());
            set(&format!("GIT_CONFIG_VALUE_{number}"), &OsString::from_vec(value));
        }
        environment
    }
}

/// Where a token may be sent: to this repository, or, of GitHub, to any, since its submodules need
/// the same.
fn token_scope(remote: &str) -> &str {
    let hosts = ["https://github.com/", "https://www.github.com/"];
    hosts.into_iter().find(|host| remote.starts_with(host)).unwrap_or(remote)
}

/// Out of `ref: refs/heads/main` and `0123…`, both followed by a tab and `HEAD`.
fn default_branch(listed: &str) -> Option<Revision> {
    let of_head = |line: &str| Some(line.strip_suffix("\tHEAD")?.to_owned());
    let heads: Vec<String> = listed.lines().filter_map(of_head).collect();
    let reference = heads.iter().find_map(|head| head.strip_prefix("ref: ")).map(str::to_owned);
    let object = heads.iter().find(|head| is_object(head))?.clone();
    Some(Revision { commit: object.clone(), object, reference })
}

/// What `name` is among the lines of `ls-remote`: itself below `refs/`, else a branch, else a tag,
/// as checkout has it.
fn find_reference(name: &str, listed: &str) -> Option<Revision> {
    let find = |wanted: &str| {
        let object = listed.lines().find_map(|line| match line.split_once('\t') {
            Some((object, reference)) if reference == wanted => Some(object),
            _ => None,
        });
        object.filter(|object| is_object(object)).map(str::to_owned)
    };
    let below = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
    ["refs/", "refs/heads/", "refs/tags/"].into_iter().find_map(|prefix| {
        let reference = below(prefix);
        let object = find(&reference)?;
        let commit = find(&format!("{reference}^{{}}")).unwrap_or_else(|| object.clone());
        Some(Revision { object, commit, reference: Some(reference) })
    })
}

/// The server says what it likes; this goes into a command line.
fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What git said, on one line.
fn told(stderr: &str) -> String {
    const LONGEST: usize = 500;
    let mut text = String::new();
    let lines = stderr.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("hint:")) {
        let gap = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{gap}{line}");
    }
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.is_empty() => "git failed without a word".to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_name_is_a_branch_before_it_is_a_tag() {
        let revision = |object: &str, commit: &str, reference: &str| {
            let [object, commit] = [object, commit].map(str::to_owned);
            Some(Revision { object, commit, reference: Some(reference.to_owned()) })
        };
        let both = format!("{A}\trefs/heads/v1\n{B}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n");
        let tag = format!("{B}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n");
        for (name, listed, expected) in [
            ("v1", both.as_str(), revision(A, A, "refs/heads/v1")),
            ("v1", &tag, revision(B, A, "refs/tags/v1")),
            ("refs/tags/v1", &both, revision(B, A, "refs/tags/v1")),
            ("tags/v1", &tag, revision(B, A, "refs/tags/v1")),
            ("1", &both, None),
            ("v1", "--upload-pack=x\trefs/heads/v1", None),
        ] {
            assert_eq!(find_reference(name, listed), expected, "{name} in {listed}");
        }
        let head = format!("ref: refs/heads/main\tHEAD\n{A}\tHEAD\n");
        assert_eq!(default_branch(&head), revision(A, A, "refs/heads/main"));
        assert_eq!(default_branch(""), None);
    }

    #[test]
    fn what_git_said_fits_on_a_line() {
        assert_eq!(told("a: b\n\nhint: c\nfatal: d\n"), "a: b; fatal: d");
        assert_eq!(told(""), "git failed without a word");
        assert_eq!(told(&"ü".repeat(600)).chars().count(), 501);
    }

    #[test]
    fn a_token_goes_to_its_repository_only() {
        assert_eq!(token_scope("https://github.com/a/b.git"), "https://github.com/");
        assert_eq!(token_scope("https://github.com.evil/a"), "https://github.com.evil/a");
    }

    #[test]
    fn credentials_are_in_the_environment_and_nowhere_else() {
        let url = GitUrl::parse("https://u:pass@h/a.git").unwrap().unwrap();
        let cancel = tempfile::tempfile().unwrap();
        let git = Git {
            url: &url,
            environment: &[],
            ssh_agent: None,
            authorization: Some(b"basic c2VjcmV0".to_vec()),
            cancel: std::os::fd::AsFd::as_fd(&cancel),
        };
        let environment = git.environment_of(Path::new("/a/b"));
        let holding: Vec<_> = environment
            .iter()
            .filter(|(_, value)| value.to_string_lossy().contains("c2VjcmV0"))
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        assert_eq!(holding, ["GIT_CONFIG_VALUE_7"]);
        assert_eq!(git.remote(), "https://h/a.git");
    }
}
