//! Which commit a folder has the files of, as git says.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::program::{self, Ended};

/// The work tree of a repository, as far as git tells. It is asked as it is set up for this
/// repository, but runs no program that the repository names.
#[derive(Debug)]
pub struct WorkTree<'a> {
    /// It, or a folder in it.
    pub folder: &'a Path,
    /// All of the environment that git gets.
    pub environment: &'a [(OsString, OsString)],
    /// Readable once nobody waits any more.
    pub cancel: BorrowedFd<'a>,
}

/// A commit, and the one that a change begins from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `None` where no branch is checked out.
    pub branch: Option<String>,
    pub commit: String,
    /// There are changes that no commit has.
    pub is_changed: bool,
    /// The repository's main branch: the remote's, or else `main` or `master`.
    pub base_branch: Option<String>,
    /// Where the branch parts from the main one; on the main one itself the commit before, or, with
    /// changes, the commit that they are on.
    pub base_commit: Option<String>,
}

impl WorkTree<'_> {
    /// `None` where this is no work tree with a commit, where git does not trust its owner, and where
    /// there is no git.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let commit = self.commit("HEAD")?;
        let branch = self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"]);
        let status = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"];
        let is_changed = !self.git(&status)?.is_empty();
        let base = self.base();
        let base_commit = base.as_ref().and_then(|(_, full)| {
            let parted = self.git(&["merge-base", "HEAD", full])?;
            match parted == commit && !is_changed {
                true => self.commit("HEAD^"),
                false => Some(parted),
            }
        });
        let base_branch = base.map(|(name, _)| name);
        Some(Position { branch, commit, is_changed, base_branch, base_commit })
    }

    /// The URL that `origin` is fetched from, as it is written; it may have a password.
    #[must_use]
    pub fn remote(&self) -> Option<String> {
        self.git(&["config", "--get", "remote.origin.url"]).filter(|url| !url.is_empty())
    }

    /// The main branch: its name, and the full name of what has it here.
    fn base(&self) -> Option<(String, String)> {
        const REMOTE: &str = "refs/remotes/origin/";
        if let Some(full) = self.git(&["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"])
            && let Some(name) = full.strip_prefix(REMOTE)
        {
            return Some((name.to_owned(), full.clone()));
        }
        ["main", "master"].into_iter().find_map(|name| {
            let places = [REMOTE, "refs/heads/"].map(|place| format!("{place}{name}"));
            let full = places.into_iter().find(|full| self.commit(full).is_some())?;
            Some((name.to_owned(), full))
        })
    }

    fn commit(&self, name: &str) -> Option<String> {
        self.git(&["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")])
    }

    /// What git prints; `None` where it fails.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let safe = ["--no-optional-locks", "-c", "core.fsmonitor=false"];
        let arguments = [&safe[..], arguments].concat();
        match program::run("git", &arguments, self.folder, self.environment, self.cancel) {
            Ok(Ended::Well { stdout }) => Some(String::from_utf8(stdout).ok()?.trim().to_owned()),
            Ok(Ended::Badly { .. } | Ended::Canceled) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet", "--initial-branch=main"]);
            repository
        }

        fn git(&self, arguments: &[&str]) -> String {
            let name = ["-c", "user.name=a", "-c", "user.email=a@b"];
            let output = Command::new("git")
                .args(name.iter().chain(arguments))
                .current_dir(self.0.path())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        fn commit(&self, text: &str) -> String {
            std::fs::write(self.0.path().join("file"), text).unwrap();
            self.git(&["add", "file"]);
            self.git(&["commit", "--quiet", "--message", text]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn position(&self) -> Option<Position> {
            let (cancel, _open) = UnixStream::pair().unwrap();
            let path = std::env::var_os("PATH").unwrap_or_default();
            let environment = [("PATH".into(), path)];
            let folder = self.0.path();
            WorkTree { folder, environment: &environment, cancel: cancel.as_fd() }.position()
        }
    }

    #[test]
    fn a_branch_begins_where_it_parts_from_the_main_one() {
        let repository = Repository::new();
        assert_eq!(repository.position(), None, "there is no commit");
        let first = repository.commit("1");
        let main = |commit: &str, base: Option<&str>| Position {
            branch: Some("main".to_owned()),
            commit: commit.to_owned(),
            is_changed: false,
            base_branch: Some("main".to_owned()),
            base_commit: base.map(str::to_owned),
        };
        assert_eq!(repository.position(), Some(main(&first, None)));
        let second = repository.commit("2");
        assert_eq!(repository.position(), Some(main(&second, Some(&first))));
        repository.git(&["checkout", "--quiet", "-b", "topic"]);
        repository.commit("3");
        let fourth = repository.commit("4");
        let topic = Position { branch: Some("topic".to_owned()), ..main(&fourth, Some(&second)) };
        assert_eq!(repository.position(), Some(topic.clone()));
        repository.git(&["checkout", "--quiet", "--detach"]);
        assert_eq!(repository.position(), Some(Position { branch: None, ..topic }));
        // What is changed on the main branch is compared with what it is changed from.
        repository.git(&["checkout", "--quiet", "main"]);
        std::fs::write(repository.0.path().join("file"), "5").unwrap();
        let changed = Position { is_changed: true, ..main(&second, Some(&second)) };
        assert_eq!(repository.position(), Some(changed));
    }

    #[test]
    fn a_folder_without_git_has_no_position() {
        let folder = Repository(tempfile::tempdir().unwrap());
        assert_eq!(folder.position(), None);
    }

    #[test]
    fn a_program_that_the_repository_names_does_not_run() {
        let repository = Repository::new();
        repository.commit("1");
        let mark = repository.0.path().join("ran");
        repository.git(&["config", "core.fsmonitor", &format!("touch {}", mark.display())]);
        assert!(repository.position().is_some());
        assert!(!mark.exists());
    }
}
