//! Paths as a process inside the image would see them.

use super::entry::{Kind, TreePath};
use super::tree::{Tree, join, split};

/// As many as BuildKit follows.
const MAX_LINKS: usize = 255;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolveError {
    #[error("too many symbolic links in {path:?}")]
    TooManyLinks { path: String },
}

impl Tree {
    /// Where `path` really is: without symbolic links, `.` and `..`, and never outside the root.
    /// Where something on the way does not exist, the rest is taken as written. The last component
    /// is only followed with `follow_last`.
    ///
    /// # Errors
    /// When more than 255 links are met.
    pub fn resolve(&self, path: &[u8], follow_last: bool) -> Result<TreePath, ResolveError> {
        let mut real = TreePath::from(&b""[..]);
        // What is still to walk, the next component last.
        let mut ahead: Vec<&[u8]> = components(path).rev().collect();
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            if component == b".." {
                real = split(&real).map_or_else(|| real.clone(), |(parent, _)| parent.into());
                continue;
            }
            let next = join(&real, component);
            match self.get(&next).map(|entry| &entry.kind) {
                Some(Kind::Symlink(target)) if follow_last || !ahead.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        let path = String::from_utf8_lossy(path).into_owned();
                        return Err(ResolveError::TooManyLinks { path });
                    }
                    if target.starts_with(b"/") {
                        real = TreePath::from(&b""[..]);
                    }
                    ahead.extend(components(target).rev());
                }
                _ => real = next,
            }
        }
        Ok(real)
    }
}

/// The components of a path as written, without empty ones and `.`.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !matches!(component, [] | [b'.']))
}

/// `path` without `.`, `..` and double slashes, by text alone; `..` stops at the root.
#[must_use]
pub fn clean_path(path: &[u8]) -> TreePath {
    let mut clean: Vec<&[u8]> = Vec::new();
    for component in components(path) {
        if component == b".." {
            clean.pop();
        } else {
            clean.push(component);
        }
    }
    TreePath::from(clean.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    fn tree(links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new();
        for (path, target) in links {
            let kind = Kind::Symlink(target.as_bytes().into());
            tree.insert(&path.as_bytes().into(), Entry { kind, ..Entry::directory(0) });
        }
        tree.insert(&b"usr/bin"[..].into(), Entry::directory(0));
        tree
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let tree = tree(&[
            ("bin", "usr/bin"),
            ("abs", "/usr"),
            ("up", "../../../usr"),
            ("usr/back", ".."),
            ("chain", "abs/bin"),
            ("dangling", "nowhere/else"),
            ("usr/dot", "./bin/"),
            ("usr/here", "/bin/../lib"),
        ]);
        for (path, followed, not_followed) in [
            ("", "", ""),
            ("/", "", ""),
            ("bin", "usr/bin", "bin"),
            ("/bin/", "usr/bin", "bin"),
            ("bin/x/y", "usr/bin/x/y", "usr/bin/x/y"),
            ("abs/bin", "usr/bin", "usr/bin"),
            ("up/bin/ls", "usr/bin/ls", "usr/bin/ls"),
            ("usr/back/usr/back", "", "usr/back"),
            ("chain/../x", "usr/x", "usr/x"),
            ("dangling", "nowhere/else", "dangling"),
            ("dangling/x", "nowhere/else/x", "nowhere/else/x"),
            ("usr/dot/z", "usr/bin/z", "usr/bin/z"),
            ("usr/here", "usr/lib", "usr/here"),
            ("../../etc", "etc", "etc"),
            ("no/../such", "such", "such"),
        ] {
            let resolve = |follow| {
                let real = tree.resolve(path.as_bytes(), follow).expect("no loop");
                String::from_utf8(real.to_vec()).expect("ASCII")
            };
            assert_eq!(resolve(true), followed, "{path}");
            assert_eq!(resolve(false), not_followed, "{path}");
        }
    }

    #[test]
    fn a_loop_ends() {
        let tree = tree(&[("a", "b"), ("b", "a"), ("self", "self/x")]);
        for path in ["a", "b/c", "self"] {
            assert_eq!(
                tree.resolve(path.as_bytes(), true),
                Err(ResolveError::TooManyLinks { path: path.to_owned() })
            );
        }
        assert!(tree.resolve(b"a", false).is_ok());
    }

    #[test]
    fn a_path_is_cleaned_by_text() {
        for (path, clean) in [
            ("/", ""),
            ("", ""),
            (".", ""),
            ("/a//b/./c/", "a/b/c"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("a/..", ""),
        ] {
            assert_eq!(&*clean_path(path.as_bytes()), clean.as_bytes(), "{path}");
        }
    }
}
