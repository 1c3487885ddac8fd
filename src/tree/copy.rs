//! What COPY and ADD do to a tree (L-130 to L-149).
//!
//! The result holds resolved paths only, and no parent that exists already: a layer with `bin/x`
//! over one in which `bin` is a link would replace the link, and one that lists a parent would
//! reset its mode and owner.

use std::collections::HashMap;

use super::chmod::Chmod;
use super::draft::{Draft, MadeDirectory};
use super::entry::{Changes, Entry, Kind, TreePath};
use super::pick::{CopySource, Pick, Root, What, roots};
use super::resolve::{ResolveError, clean_path};
use super::tree::{Tree, join, split};
use crate::ignore::{BadPattern, IgnoreError, Patterns};

/// The flags of one COPY or ADD. Owners are those of the sources unless `chown` says otherwise
/// (L-134): a context is walked with all files owned by root.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// As written after expansion.
    pub destination: String,
    /// What a relative destination is relative to.
    pub cwd: String,
    /// User and group (L-135).
    pub chown: Option<(u32, u32)>,
    pub chmod: Option<Chmod>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Patterns,
    /// Of directories that have no source; seconds since 1970.
    pub created_mtime: i64,
}

impl CopyOptions {
    /// Whether the result depends on the sources alone: `--link`, but not with `--chmod`, with
    /// which BuildKit copies as without `--link` (L-137).
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.link && self.chmod.is_none()
    }
}

/// The layer of a COPY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub changes: Changes,
    /// For each change the index of its source and the path there; `None` for a directory made on
    /// the way.
    pub sources: Vec<Option<(usize, TreePath)>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CopyError {
    // People and scripts look for BuildKit's words (L-132).
    #[error(
        "failed to compute cache key: failed to calculate checksum of ref: \"{path}\": not found"
    )]
    NotFound { path: String },
    #[error("cannot copy to non-directory: {path}")]
    NotDirectory { path: String },
    #[error("cannot replace to directory {path} with file")]
    ReplacesDirectory { path: String },
    #[error("mkdir {path}: not a directory")]
    ParentNotDirectory { path: String },
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    #[error("invalid pattern of --parents: {0}")]
    Parents(#[source] IgnoreError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// A path for a message.
pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// Copies `sources`, in order, onto `parent`, each as if it were alone: of several files the last
/// one wins where the destination is no directory. The two lists of the result are sorted by path.
///
/// # Errors
/// When a source is missing, a pattern is wrong, or a file and a directory meet.
pub fn copy(
    parent: &Tree,
    sources: &[CopySource<'_>],
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    let empty = Tree::new();
    let parent = if options.is_detached() { &empty } else { parent };
    let mut copier = Copier {
        draft: Draft::new(parent),
        options,
        destination: destination(options),
        links: HashMap::new(),
        next_link: 0,
    };
    for (index, source) in sources.iter().enumerate() {
        let roots = roots(source, options)?;
        if source.what == What::Whole {
            copier.unpack(index, &roots)?;
            continue;
        }
        for root in &roots {
            copier.copy_root(index, root)?;
        }
    }
    Ok(copier.draft.finish())
}

struct Destination {
    path: TreePath,
    /// Written with a slash at its end, or as `.`: a directory even where nothing is there yet.
    is_directory: bool,
}

fn destination(options: &CopyOptions) -> Destination {
    let text = options.destination.as_str();
    let path = if text.starts_with('/') {
        clean_path(text.as_bytes())
    } else {
        clean_path(format!("{}/{text}", options.cwd).as_bytes())
    };
    let is_directory = matches!(text, "" | ".") || text.ends_with('/') || text.ends_with("/.");
    Destination { path, is_directory }
}

struct Copier<'o> {
    draft: Draft,
    options: &'o CopyOptions,
    destination: Destination,
    /// The new number of a group of hard links: by layer and number in what is being copied. As with
    /// BuildKit, each file or directory that a wildcard finds is copied by itself.
    links: HashMap<(u32, u64), u64>,
    next_link: u64,
}

impl Copier<'_> {
    fn copy_root(&mut self, index: usize, root: &Root<'_>) -> Result<(), CopyError> {
        self.links.clear();
        let new = self.made_directory();
        let destination = self.destination.path.clone();
        let destination = if self.destination.is_directory {
            let real = self.draft.tree.resolve(&destination, true)?;
            self.draft.make_directories(&real, new)?;
            real
        } else {
            let parent = split(&destination).map_or(&b""[..], |(parent, _)| parent);
            let parent = self.draft.tree.resolve(parent, true)?;
            self.draft.make_directories(&parent, new)?;
            self.draft.tree.resolve(&destination, true)?
        };
        let found = self.draft.tree.get(&destination).map(|entry| &entry.kind);
        if !root.is_directory() {
            let target = match found {
                Some(Kind::Directory) => join(&destination, &root.name),
                _ => destination,
            };
            return self.copy_one(index, &root.path, root.entry, target);
        }
        match found {
            Some(Kind::Directory) => {}
            Some(_) => return Err(CopyError::NotDirectory { path: shown(&destination) }),
            None => self.draft.make_directories(&destination, new)?,
        }
        // A directory that was there keeps all it has; a new one takes the time of its source.
        if self.draft.made(&destination)
            && let Some(entry) = self.draft.tree.get_mut(&destination)
        {
            entry.mtime = root.entry.mtime;
        }
        for pick in &root.picks {
            let target = join(&destination, root.relative(pick.path));
            self.copy_pick(index, pick, target)?;
        }
        Ok(())
    }

    fn copy_pick(
        &mut self,
        index: usize,
        pick: &Pick<'_>,
        target: TreePath,
    ) -> Result<(), CopyError> {
        if pick.entry.kind != Kind::Directory {
            return self.copy_one(index, pick.path, pick.entry, target);
        }
        let source = Some((index, pick.path.clone()));
        match self.draft.tree.get(&target) {
            None => {
                let entry = self.changed(pick.entry);
                self.draft.write(target, entry, source);
            }
            Some(there) if there.kind != Kind::Directory => {
                return Err(CopyError::NotDirectory { path: shown(&target) });
            }
            // A directory that is only passed gives its mode to the one that is there.
            Some(there) if pick.only_parent => {
                if there.mode != pick.entry.mode {
                    let entry = Entry { mode: pick.entry.mode, ..there.clone() };
                    self.draft.write(target, entry, source);
                }
            }
            Some(there) => {
                let mut xattrs = there.xattrs.clone();
                let mut entry = self.changed(pick.entry);
                xattrs.append(&mut entry.xattrs);
                self.draft.write(target, Entry { xattrs, ..entry }, source);
            }
        }
        Ok(())
    }

    /// Anything but a directory.
    fn copy_one(
        &mut self,
        index: usize,
        path: &TreePath,
        entry: &Entry,
        target: TreePath,
    ) -> Result<(), CopyError> {
        if let Some(there) = self.draft.tree.get(&target)
            && there.kind == Kind::Directory
        {
            return Err(CopyError::ReplacesDirectory { path: shown(&target) });
        }
        if let Some((parent, _)) = split(&target) {
            self.draft.make_directories(parent, self.made_directory())?;
        }
        let entry = self.changed(entry);
        self.draft.write(target, entry, Some((index, path.clone())));
        Ok(())
    }

    /// Lays an archive over the destination, which is a directory in any case. As with tar, the
    /// archive wins over what is there, whatever it is; only two directories become one.
    fn unpack(&mut self, index: usize, roots: &[Root<'_>]) -> Result<(), CopyError> {
        self.links.clear();
        let destination = self.draft.tree.resolve(&self.destination.path, true)?;
        let new = MadeDirectory { mode: 0o755, ..self.made_directory() };
        self.draft.make_directories(&destination, new)?;
        for pick in roots.iter().flat_map(|root| &root.picks) {
            let entry = Entry { mode: pick.entry.mode, ..self.changed(pick.entry) };
            let target = join(&destination, pick.path);
            self.draft.write(target, entry, Some((index, pick.path.clone())));
        }
        Ok(())
    }

    fn made_directory(&self) -> MadeDirectory {
        MadeDirectory {
            mode: self.options.chmod.as_ref().map_or(0o755, Chmod::of_made_directory),
            owner: self.options.chown.unwrap_or((0, 0)),
            mtime: self.options.created_mtime,
        }
    }

    /// An entry of a source as it is in the image.
    fn changed(&mut self, entry: &Entry) -> Entry {
        let mut changed = entry.clone();
        changed.layer = 0;
        if let Some((uid, gid)) = self.options.chown {
            (changed.uid, changed.gid) = (uid, gid);
        }
        if let Some(chmod) = &self.options.chmod
            && !matches!(entry.kind, Kind::Symlink(_))
        {
            changed.mode = chmod.apply(entry.mode, entry.kind == Kind::Directory);
        }
        if let Kind::File(file) = &mut changed.kind
            && let Some(link) = file.link
        {
            let number = self.links.entry((entry.layer, link)).or_insert_with(|| {
                self.next_link += 1;
                self.next_link
            });
            file.link = Some(*number);
        }
        changed
    }
}

#[cfg(test)]
pub(super) mod tests;
