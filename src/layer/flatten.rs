//! The merged files of all layers, out of one pass over each: `type=tar` and `type=local`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fchmod, futimens, linkat, mkdirat, mknodat, openat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::contents::Dialect;
use super::error::{LayerError, Result, shown};
use super::inside::Inside;
use super::pieces::Pieces;
use super::scan::{self, Content, Destination};
use super::tar::TarWriter;
use super::unpack::times;
use super::write::{copy, header};
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath};

/// Opens the uncompressed tar of a layer, by its index from the lowest.
pub type OpenLayer<'a> = dyn FnMut(usize) -> Result<Box<dyn Read>> + 'a;

/// Where the files of an image go. Parents come before what is in them, and a file before its hard
/// links.
pub trait Output {
    /// A directory, link, device or FIFO.
    fn node(&mut self, path: &TreePath, entry: &Entry) -> Result<()>;
    fn file(&mut self, path: &TreePath, entry: &Entry, content: &mut dyn Read) -> Result<()>;
    fn hard_link(&mut self, path: &TreePath, target: &TreePath, entry: &Entry) -> Result<()>;
}

/// Where the content of a file stands that is a hard link to one of a lower layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index from the lowest.
    pub layer: u32,
    pub path: TreePath,
    /// The file's [`FileInfo::link`] in that layer.
    pub link: Option<u64>,
}

/// Gives `output` the files of `tree`, the merged tree sorted by path without its root, whose
/// [`Entry::layer`] counts in `layers`; `origin` says which are links to lower files. First comes all that has no content; then each layer is
/// read once, if a file of it is left. Every time becomes `mtime` if that is given, as BuildKit has
/// it for `SOURCE_DATE_EPOCH` (L-056).
pub fn flatten<'t>(
    tree: impl IntoIterator<Item = (&'t TreePath, &'t Entry)>,
    layers: &[&Changes],
    origin: &dyn Fn(&TreePath) -> Option<Origin>,
    open: &mut OpenLayer,
    mtime: Option<i64>,
    output: &mut dyn Output,
) -> Result<()> {
    let mut files: BTreeMap<u32, Vec<Named>> = BTreeMap::new();
    for (path, entry) in tree {
        let mut entry = entry.clone();
        entry.mtime = mtime.unwrap_or(entry.mtime);
        match entry.kind {
            Kind::File(FileInfo { link, .. }) => {
                let own = || Origin { layer: entry.layer, path: path.clone(), link };
                let origin = origin(path).unwrap_or_else(own);
                let named = Named { path: path.clone(), entry, origin };
                files.entry(named.origin.layer).or_default().push(named);
            }
            Kind::Socket => {}
            _ => output.node(path, &entry)?,
        }
    }
    for (index, files) in files {
        let index = index as usize;
        let contents =
            layers.get(index).copied().unwrap_or(const { &Changes { changes: Vec::new() } });
        let mut owned = Owned::new(contents, files, output);
        scan::read(open(index)?, Dialect::Layer, &mut owned)?;
        if let Some(path) = owned.missing() {
            return Err(LayerError::NotInLayer { path: shown(&path) });
        }
    }
    Ok(())
}

struct Named {
    path: TreePath,
    entry: Entry,
    origin: Origin,
}

/// What is left of one layer, while it is read.
struct Owned<'a> {
    /// Names that are left of the file whose content stands at a path of the layer. That path may
    /// be gone itself, covered by a higher layer.
    names: HashMap<TreePath, usize>,
    groups: Vec<Group>,
    output: &'a mut dyn Output,
}

struct Group {
    names: Vec<(TreePath, Entry)>,
    done: bool,
}

impl<'a> Owned<'a> {
    fn new(contents: &Changes, files: Vec<Named>, output: &'a mut dyn Output) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut linked: HashMap<u64, usize> = HashMap::new();
        let mut names: HashMap<TreePath, usize> = HashMap::new();
        for Named { path, entry, origin } in files {
            let group = match origin.link {
                Some(link) => *linked.entry(link).or_insert(groups.len()),
                None => names.get(&origin.path).copied().unwrap_or(groups.len()),
            };
            if group == groups.len() {
                groups.push(Group { names: Vec::new(), done: false });
            }
            names.insert(origin.path, group);
            groups[group].names.push((path, entry));
        }
        for (path, change) in &contents.changes {
            if let Change::Set(Entry { kind: Kind::File(file), .. }) = change
                && let Some(group) = file.link.and_then(|link| linked.get(&link))
            {
                names.insert(path.clone(), *group);
            }
        }
        Self { names, groups, output }
    }

    fn missing(&self) -> Option<TreePath> {
        let group = self.groups.iter().find(|group| !group.done)?;
        group.names.first().map(|(path, _)| path.clone())
    }
}

impl Destination for Owned<'_> {
    fn implied(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn clear(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, path: &TreePath, entry: &Entry, content: &mut Content) -> Result<()> {
        let (Kind::File(file), Some(group)) = (&entry.kind, self.names.get(path)) else {
            return Ok(());
        };
        let group = &mut self.groups[*group];
        let mut names = group.names.iter_mut();
        let Some((target, first)) = names.next() else { return Ok(()) };
        if let Kind::File(wanted) = &mut first.kind
            && wanted.size != file.size
        {
            // An earlier entry of the same path; the one that counts is still to come.
            return Ok(());
        }
        self.output.file(target, first, content)?;
        for (path, entry) in names {
            self.output.hard_link(path, target, entry)?;
        }
        group.done = true;
        Ok(())
    }

    fn hard_link(&mut self, _: &TreePath, _: &TreePath, _: &Entry) -> Result<()> {
        Ok(())
    }
}

/// One tar of the whole root file system.
pub struct TarOutput<W: Write> {
    tar: TarWriter<W>,
    pieces: Pieces,
}

impl<W: Write> TarOutput<W> {
    pub fn new(output: W) -> Self {
        Self { tar: TarWriter::new(output), pieces: Pieces::new() }
    }

    /// Writes the end of the archive.
    pub fn finish(self) -> Result<W> {
        Ok(self.tar.finish()?)
    }
}

impl<W: Write> Output for TarOutput<W> {
    fn node(&mut self, path: &TreePath, entry: &Entry) -> Result<()> {
        Ok(self.tar.entry(&header(path, entry, None))?)
    }

    fn file(&mut self, path: &TreePath, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let Kind::File(file) = &entry.kind else { return self.node(path, entry) };
        self.tar.entry(&header(path, entry, None))?;
        copy(path, file, content, &mut self.pieces, &mut |_| {}, self.tar.body())?;
        Ok(self.tar.end_body()?)
    }

    fn hard_link(&mut self, path: &TreePath, target: &TreePath, entry: &Entry) -> Result<()> {
        Ok(self.tar.entry(&header(path, entry, Some(target)))?)
    }
}

/// A directory of another output.
pub struct Below<'o> {
    output: &'o mut dyn Output,
    /// Ends with a slash.
    directory: Vec<u8>,
}

impl<'o> Below<'o> {
    /// Makes `directory`, too.
    pub fn new(output: &'o mut dyn Output, directory: &str, mtime: i64) -> Result<Self> {
        let entry = Entry { mtime, ..Entry::directory(0) };
        output.node(&directory.as_bytes().to_vec().into(), &entry)?;
        Ok(Self { output, directory: format!("{directory}/").into_bytes() })
    }

    fn path(&self, path: &TreePath) -> TreePath {
        [&self.directory[..], path].concat().into()
    }
}

impl Output for Below<'_> {
    fn node(&mut self, path: &TreePath, entry: &Entry) -> Result<()> {
        self.output.node(&self.path(path), entry)
    }

    fn file(&mut self, path: &TreePath, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        self.output.file(&self.path(path), entry, content)
    }

    fn hard_link(&mut self, path: &TreePath, target: &TreePath, entry: &Entry) -> Result<()> {
        self.output.hard_link(&self.path(path), &self.path(target), entry)
    }
}

/// The files in a directory of the user's, as BuildKit's local exporter leaves them: owned by the
/// user, merged with what is there. Devices are left out. A link that is there already is
/// replaced, never followed; a directory is never removed.
pub struct DirectoryOutput {
    inside: Inside,
    /// Modes and times are set when all is in them.
    directories: Vec<(TreePath, u32, i64)>,
    pieces: Pieces,
}

impl DirectoryOutput {
    /// Into `directory`, which has to exist.
    pub fn new(directory: &Path) -> Result<Self> {
        Ok(Self { inside: Inside::new(directory)?, directories: Vec::new(), pieces: Pieces::new() })
    }

    /// Gives the directories their modes and times.
    pub fn finish(self) -> Result<()> {
        for (path, mode, mtime) in self.directories.iter().rev() {
            let fail = |source: io::Error| self.inside.error("set the metadata of", path, source);
            let directory =
                self.inside.open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
            fchmod(&directory, Mode::from_raw_mode(*mode))
                .and_then(|()| futimens(&directory, &times(*mtime)))
                .map_err(|source| fail(source.into()))?;
        }
        Ok(())
    }

    /// The directory of `path` and the name in it, where nothing but a directory is any more.
    fn room(&mut self, path: &TreePath) -> Result<(OwnedFd, Box<[u8]>)> {
        let room = self.inside.parent(path).and_then(|(parent, name)| {
            match unlinkat(parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            Ok((parent.try_clone_to_owned()?, name.into()))
        });
        room.map_err(|source| self.inside.error("replace", path, source))
    }

    fn directory(&mut self, path: &TreePath, entry: &Entry) -> Result<()> {
        self.inside.forget();
        let made = self.inside.parent(path).and_then(|(parent, name)| {
            match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    return Ok(());
                }
                Ok(_) => unlinkat(parent, name, AtFlags::empty())?,
                Err(_) => {}
            }
            Ok(mkdirat(parent, name, Mode::RWXU)?)
        });
        made.map_err(|source| self.inside.error("create", path, source))?;
        self.directories.push((path.clone(), entry.mode, entry.mtime));
        Ok(())
    }
}

impl Output for DirectoryOutput {
    fn node(&mut self, path: &TreePath, entry: &Entry) -> Result<()> {
        if entry.kind == Kind::Directory {
            return self.directory(path, entry);
        }
        if matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }) {
            return Ok(());
        }
        let (parent, name) = self.room(path)?;
        let made = match &entry.kind {
            Kind::Symlink(target) => symlinkat(&**target, &parent, &*name),
            _ => mknodat(&parent, &*name, FileType::Fifo, Mode::from_raw_mode(entry.mode), 0),
        };
        made.and_then(|()| {
            utimensat(&parent, &*name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
        })
        .map_err(|source| self.inside.error("create", path, source))
    }

    fn file(&mut self, path: &TreePath, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let Kind::File(file) = &entry.kind else { return self.node(path, entry) };
        let (parent, name) = self.room(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fail = |source: Errno| self.inside.error("create", path, source);
        let created = openat(&parent, &*name, flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        let mut created = File::from(created);
        let written = copy(path, file, content, &mut self.pieces, &mut |_| {}, &mut created);
        written.map_err(|error| match error {
            LayerError::Io(source) => self.inside.error("write", path, source),
            error => error,
        })?;
        fchmod(created.as_fd(), Mode::from_raw_mode(entry.mode))
            .and_then(|()| futimens(created.as_fd(), &times(entry.mtime)))
            .map_err(|source| self.inside.error("set the metadata of", path, source))
    }

    fn hard_link(&mut self, path: &TreePath, target: &TreePath, _: &Entry) -> Result<()> {
        let (parent, name) = self.room(path)?;
        let linked = self.inside.parent(target).and_then(|(from, target)| {
            Ok(linkat(from, target, &parent, &*name, AtFlags::empty())?)
        });
        linked.map_err(|source| self.inside.error("link", path, source))
    }
}
