//! Which paths of a source a COPY takes.

use super::copy::{CopyError, CopyOptions, shown};
use super::entry::{Entry, Kind, TreePath};
use super::resolve::clean_path;
use super::tree::{Tree, join, split};
use crate::ignore::{Glob, Matched, Patterns};

/// One source of a COPY or ADD.
#[derive(Clone, Debug)]
pub struct CopySource<'a> {
    pub tree: &'a Tree,
    pub what: What,
}

/// What is taken of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A path or pattern, as written (L-132, L-133). Of a directory the contents are taken.
    Pattern(String),
    /// One path by its own name: a heredoc, a download, the source of a bind mount.
    Path(TreePath),
    /// All of it, laid over the destination directory: an archive (L-144).
    Whole,
}

/// Something a source names: a directory, of which the contents are taken, or anything else.
pub(super) struct Root<'a> {
    /// The last component as named, before links were followed.
    pub name: Vec<u8>,
    /// Where it really is.
    pub path: TreePath,
    pub entry: &'a Entry,
    /// Of a directory: what is taken of it, parents before children. Otherwise empty.
    pub picks: Vec<Pick<'a>>,
}

pub(super) struct Pick<'a> {
    pub path: &'a TreePath,
    pub entry: &'a Entry,
    /// A directory that is not taken itself, but something below it is.
    pub only_parent: bool,
}

impl Root<'_> {
    pub fn is_directory(&self) -> bool {
        self.entry.kind == Kind::Directory
    }

    /// Where `path`, which is below, stands in the directory.
    pub fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        if self.path.is_empty() { path } else { &path[self.path.len() + 1..] }
    }
}

/// The paths that a source names, links followed: the files and directories that a pattern matches,
/// not what is in them.
///
/// # Errors
/// As [`super::copy()`] for a source that is missing.
pub fn named_paths(
    source: &CopySource<'_>,
    options: &CopyOptions,
) -> Result<Vec<TreePath>, CopyError> {
    Ok(roots(source, options)?.into_iter().map(|root| root.path).collect())
}

/// What the source names, in the order of the tree for a pattern.
pub(super) fn roots<'a>(
    source: &CopySource<'a>,
    options: &CopyOptions,
) -> Result<Vec<Root<'a>>, CopyError> {
    let tree = source.tree;
    match &source.what {
        What::Whole => Ok(vec![Root {
            name: Vec::new(),
            path: TreePath::from(&b""[..]),
            entry: tree.get(b"").ok_or_else(|| not_found(b""))?,
            picks: pick(tree, b"", None, &Patterns::default()),
        }]),
        What::Path(path) => Ok(vec![root(tree, path, None, &options.exclude)?]),
        What::Pattern(text) if options.parents => roots_with_parents(tree, text, options),
        // What a wildcard found is as good as named: only what is in it can be excluded (L-139).
        What::Pattern(text) => {
            let named = named(tree, text)?;
            named.paths.iter().map(|path| root(tree, path, None, &options.exclude)).collect()
        }
    }
}

/// `--parents`: what stands before `/./` is a directory (or a pattern of directories), and the
/// rest a pattern of what is taken below it (L-138).
fn roots_with_parents<'a>(
    tree: &'a Tree,
    text: &str,
    options: &CopyOptions,
) -> Result<Vec<Root<'a>>, CopyError> {
    let (pivot, pattern) = text.split_once("/./").unwrap_or(("", text));
    let pattern = String::from_utf8_lossy(&clean_path(pattern.as_bytes())).into_owned();
    let include = match pattern.as_str() {
        "" => None,
        pattern => Some(Patterns::from_flags(&[pattern]).map_err(CopyError::Parents)?),
    };
    let named = named(tree, pivot)?;
    let mut roots = Vec::with_capacity(named.paths.len());
    for path in &named.paths {
        let root = root(tree, path, include.as_ref(), &options.exclude)?;
        if root.is_directory() {
            roots.push(root);
        }
    }
    let required = !named.by_wildcard && !has_wildcard(&pattern);
    let found = |root: &Root<'_>| root.picks.iter().any(|pick| !pick.only_parent);
    let all_excluded = |root: &Root<'_>| tree.get(&join(&root.path, pattern.as_bytes())).is_some();
    if required && include.is_some() && !roots.iter().any(|root| found(root) || all_excluded(root))
    {
        return Err(not_found(&clean_path(text.as_bytes())));
    }
    Ok(roots)
}

/// Follows links to `path` and gathers what is taken there.
fn root<'a>(
    tree: &'a Tree,
    path: &[u8],
    include: Option<&Patterns>,
    exclude: &Patterns,
) -> Result<Root<'a>, CopyError> {
    let real = tree.resolve(path, true)?;
    let entry = tree.get(&real).ok_or_else(|| not_found(path))?;
    let name = split(path).map_or(&b""[..], |(_, name)| name).to_vec();
    let picks = pick(tree, &real, include, exclude);
    Ok(Root { name, path: real, entry, picks })
}

struct Named {
    paths: Vec<TreePath>,
    by_wildcard: bool,
}

/// The paths that a source text stands for. Links are followed in the part before the first
/// wildcard, but not by a wildcard.
fn named(tree: &Tree, text: &str) -> Result<Named, CopyError> {
    let clean = clean_path(text.as_bytes());
    let text = String::from_utf8_lossy(&clean);
    let parts: Vec<&str> = text.split('/').collect();
    let literal = parts.iter().take_while(|part| !has_wildcard(part)).count();
    let mut prefix = Vec::with_capacity(literal);
    for part in &parts[..literal] {
        // Without a wildcard all that is left of a pattern are escaped characters.
        prefix.push(Glob::new(part)?.as_literal().unwrap_or_else(|| part.as_bytes().to_vec()));
    }
    let prefix = TreePath::from(prefix.join(&b'/'));
    if literal == parts.len() {
        return Ok(Named { paths: vec![prefix], by_wildcard: false });
    }
    let directory = tree.resolve(&prefix, true)?;
    if tree.get(&directory).is_none() {
        return Err(not_found(&clean));
    }
    let glob = Glob::new(&parts[literal..].join("/"))?;
    let mut paths = Vec::new();
    let mut descend = vec![directory.clone()];
    while let Some(parent) = descend.pop() {
        for (path, entry) in tree.children(&parent) {
            let relative = if directory.is_empty() { path } else { &path[directory.len() + 1..] };
            if glob.matches(relative) {
                paths.push(join(&prefix, relative));
            } else if entry.kind == Kind::Directory {
                descend.push(path.clone());
            }
        }
    }
    // The order of a depth-first walk.
    paths.sort_by(|a, b| a.split(|byte| *byte == b'/').cmp(b.split(|byte| *byte == b'/')));
    Ok(Named { paths, by_wildcard: true })
}

/// Whether Go's rules see a wildcard; an escaped one is none.
fn has_wildcard(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' => return true,
            '\\' => _ = characters.next(),
            _ => {}
        }
    }
    false
}

fn pick<'a>(
    tree: &'a Tree,
    root: &[u8],
    include: Option<&Patterns>,
    exclude: &Patterns,
) -> Vec<Pick<'a>> {
    let whole = |(path, entry)| Pick { path, entry, only_parent: false };
    if include.is_none() && exclude.is_empty() {
        return tree.below(root).map(whole).collect();
    }
    let mut filter =
        Filter { tree, root, include, exclude, parents: Vec::new(), picks: Vec::new() };
    filter.directory(root, &Matched::default(), &Matched::default());
    filter.picks
}

struct Filter<'a, 'p> {
    tree: &'a Tree,
    root: &'p [u8],
    include: Option<&'p Patterns>,
    exclude: &'p Patterns,
    /// Directories on the way that are not taken so far.
    parents: Vec<(&'a TreePath, &'a Entry)>,
    picks: Vec<Pick<'a>>,
}

impl Filter<'_, '_> {
    fn directory(&mut self, directory: &[u8], included: &Matched, excluded: &Matched) {
        for (path, entry) in self.tree.children(directory) {
            let relative = if self.root.is_empty() { path } else { &path[self.root.len() + 1..] };
            let included = self.include.map(|patterns| patterns.step(included, relative));
            let excluded = self.exclude.step(excluded, relative);
            let taken = included.as_ref().is_none_or(|i| i.matched) && !excluded.matched;
            if taken {
                let parents = self.parents.drain(..);
                self.picks.extend(parents.map(|(path, entry)| Pick {
                    path,
                    entry,
                    only_parent: true,
                }));
                self.picks.push(Pick { path, entry, only_parent: false });
            }
            let nothing_below = excluded.matched && !self.exclude.has_exceptions();
            if entry.kind == Kind::Directory && !nothing_below {
                if !taken {
                    self.parents.push((path, entry));
                }
                self.directory(path, &included.unwrap_or_default(), &excluded);
                // Still there if nothing below was taken.
                self.parents.pop_if(|(last, _)| *last == path);
            }
        }
    }
}

fn not_found(path: &[u8]) -> CopyError {
    CopyError::NotFound { path: shown(path) }
}
