//! COPY and ADD: from a tree to a layer. No file system is mounted, and a file's bytes are read when
//! its layer is written.

use std::io::{self, Read};
use std::sync::Arc;

use super::files::{Files, FilesReader};
use super::inputs::{Remote, Selection, copy_options};
use super::layers::StageLayer;
use super::progress::Running;
use super::stage::Work;
use crate::context::{self, OneFile, Unpacked};
use crate::digest::Digest;
use crate::error::Error;
use crate::layer;
use crate::plan::{CopyFrom, CopyOp, CopySource as Named, Unpack};
use crate::tree::{
    self, Copied, CopySource, Kind, MAX_ACCOUNT_FILE, Owner, Tree, TreePath, User, UserError, What,
    clean_path,
};

/// A source whose files can be opened.
struct Source {
    tree: Tree,
    what: What,
    opener: Opener,
}

impl Source {
    fn of(source: Arc<dyn context::Source>, what: What) -> Self {
        Self { tree: source.tree().clone(), what, opener: Opener::Context(source) }
    }

    fn of_file(file: OneFile) -> Self {
        let what = What::Path(file.path().clone());
        Self::of(Arc::new(file), what)
    }
}

#[derive(Clone)]
enum Opener {
    Context(Arc<dyn context::Source>),
    Files(Arc<Files>),
    Ready(FilesReader),
}

impl Opener {
    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Context(context) => context.open(path),
            Self::Ready(reader) => reader.open(path),
            Self::Files(_) => Err(io::Error::other("these files have not been made ready")),
        }
    }
}

/// Does a COPY or ADD on top of `files`.
pub(super) fn copy(
    work: &Work<'_, '_>,
    op: &CopyOp,
    files: &Files,
    running: &Running<'_>,
) -> Result<StageLayer, Error> {
    let mut options = copy_options(op)?;
    options.created_mtime = work.session.time();
    if let Some(chown) = &op.chown {
        options.chown = Some(owner(work, files, chown)?);
    }
    let sources = sources(work, op, running)?;
    layer_of(work, files, sources, &options)
}

/// The layer that is all of what a selection names: a stage made of a context, a bind mount.
pub(super) fn context_layer(
    work: &Work<'_, '_>,
    selection: &Selection<'_>,
) -> Result<StageLayer, Error> {
    let source = path_source(work, selection.from, selection.what.clone())?;
    layer_of(work, &Files::empty(), vec![source], &selection.options)
}

fn layer_of(
    work: &Work<'_, '_>,
    files: &Files,
    mut sources: Vec<Source>,
    options: &tree::CopyOptions,
) -> Result<StageLayer, Error> {
    let described: Vec<CopySource<'_>> =
        sources.iter().map(|s| CopySource { tree: &s.tree, what: s.what.clone() }).collect();
    let Copied { changes, sources: places } =
        tree::copy(&files.tree, &described, options).map_err(Error::build)?;
    for (position, source) in sources.iter_mut().enumerate() {
        if let Opener::Files(files) = &source.opener {
            let paths = places.iter().flatten().filter(|(s, _)| *s == position).map(|(_, p)| p);
            source.opener = Opener::Ready(files.reader(work.session, work.images, paths)?);
        }
    }
    let openers: Vec<Opener> = sources.into_iter().map(|source| source.opener).collect();
    let open = move |position: usize| match places.get(position).and_then(Option::as_ref) {
        Some((source, path)) => openers[*source].open(path),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    Ok(StageLayer::built(Arc::new(changes), Arc::new(open), None, work.session.time()))
}

/// The sources of a COPY or ADD in the order in which they are copied (L-149).
fn sources(work: &Work<'_, '_>, op: &CopyOp, running: &Running<'_>) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for named in &op.sources {
        let source = match named {
            Named::Path(path) => path_source(work, &op.from, What::Pattern(path.clone()))?,
            Named::Http { .. } | Named::Git { .. } => remote_source(work, named, running)?,
        };
        let may_unpack = match named {
            Named::Path(_) => op.unpack != Unpack::Never,
            Named::Http { .. } => op.unpack == Unpack::Always,
            Named::Git { .. } => false,
        };
        if may_unpack {
            add_source(work, op, source, &mut sources)?;
        } else {
            sources.push(source);
        }
    }
    let heredocs = op.inline.iter().map(|file| OneFile::heredoc(&file.name, &file.content));
    sources.extend(heredocs.map(Source::of_file));
    Ok(sources)
}

/// A download (L-145), or the files of a repository (L-146).
fn remote_source(
    work: &Work<'_, '_>,
    named: &Named,
    running: &Running<'_>,
) -> Result<Source, Error> {
    let fetcher = work.session.fetcher();
    let download = match (work.inputs.remote(named)?, named) {
        (Remote::Revision(revision), Named::Git { url, .. }) => {
            let files = work.session.scratch_directory()?;
            let checkout = fetcher.checkout(url, revision, &files)?;
            // A directory like any other, with --chmod and --exclude.
            return Ok(Source::of(Arc::new(checkout), What::Path(clean_path(b"/"))));
        }
        (Remote::Download(download), _) => download.clone(),
        (Remote::Pinned(sum), Named::Http { url, .. }) => {
            fetcher.download(url, Some(Digest(*sum)), running)?
        }
        _ => return Err(Error::build(format!("{} is not what it was", named.text()))),
    };
    Ok(Source::of_file(download.file(&named.file_name())))
}

/// A path or pattern of a context, a stage or an image.
fn path_source(work: &Work<'_, '_>, from: &CopyFrom, what: What) -> Result<Source, Error> {
    let of_files = |files: Arc<Files>, what| Source {
        tree: files.tree.clone(),
        what,
        opener: Opener::Files(files),
    };
    match from {
        CopyFrom::Context | CopyFrom::Named(_) => {
            let context = work
                .inputs
                .context(from)
                .ok_or_else(|| Error::build("this context has not been walked"))?;
            Ok(Source::of(Arc::clone(context), what))
        }
        CopyFrom::Stage(stage) => Ok(of_files(work.files_of(*stage)?, what)),
        CopyFrom::Image(image) => {
            let files = Files::of_image(work.session, work.images, *image)?;
            Ok(of_files(Arc::new(files), what))
        }
        CopyFrom::Empty => Err(Error::build("a path, but nothing to read it from")),
    }
}

/// A source of ADD: files that are archives, by their content, are unpacked (L-144).
fn add_source(
    work: &Work<'_, '_>,
    op: &CopyOp,
    source: Source,
    sources: &mut Vec<Source>,
) -> Result<(), Error> {
    let options = copy_options(op)?;
    let described = CopySource { tree: &source.tree, what: source.what.clone() };
    let named = tree::named_paths(&described, &options).map_err(Error::build)?;
    let mut archives = Vec::new();
    for path in &named {
        let is_file = source.tree.get(path).is_some_and(|e| matches!(e.kind, Kind::File(_)));
        if !is_file {
            continue;
        }
        let mut head = Vec::new();
        source
            .opener
            .open(path)
            .and_then(|file| file.take(layer::ARCHIVE_HEAD).read_to_end(&mut head))
            .map_err(|e| Error::build(format!("/{}: {e}", String::from_utf8_lossy(path))))?;
        if layer::is_archive(&head) {
            archives.push(path.clone());
        }
    }
    if archives.is_empty() {
        sources.push(source);
        return Ok(());
    }
    for path in named {
        if !archives.contains(&path) {
            let (tree, opener) = (source.tree.clone(), source.opener.clone());
            sources.push(Source { tree, what: What::Path(path), opener });
            continue;
        }
        let archive = source.opener.open(&path).map_err(Error::build)?;
        sources.push(unpacked(work, archive)?);
    }
    Ok(())
}

/// The files of an archive, in a directory of their own until their layer is written.
fn unpacked(work: &Work<'_, '_>, archive: Box<dyn Read + Send>) -> Result<Source, Error> {
    let files = Unpacked::new(archive, work.session.scratch_directory()?)?;
    Ok(Source::of(Arc::new(files), What::Whole))
}

/// The ids of `--chown` (L-135).
fn owner(work: &Work<'_, '_>, files: &Files, text: &str) -> Result<(u32, u32), Error> {
    find_owner(work, files, text)?.map_err(|e| Error::build(format!("--chown={text}: {e}")))
}

/// Whose a directory is that WORKDIR makes; root's, where `USER` names nobody yet (L-165).
pub(super) fn workdir_owner(
    work: &Work<'_, '_>,
    files: &Files,
    user: &str,
) -> Result<(u32, u32), Error> {
    Ok(find_owner(work, files, user)?.unwrap_or_default())
}

/// By the stage's own files.
fn find_owner(
    work: &Work<'_, '_>,
    files: &Files,
    text: &str,
) -> Result<Result<(u32, u32), UserError>, Error> {
    let owner = Owner::parse(text);
    let (passwd, group) =
        if owner.needs_files() { accounts(work, files)? } else { (Vec::new(), Vec::new()) };
    Ok(owner.find(&passwd, &group))
}

/// Who `USER` is, by the stage's own files (L-101).
pub(super) fn user(work: &Work<'_, '_>, files: &Files, text: &str) -> Result<User, Error> {
    let (passwd, group) = accounts(work, files)?;
    User::find(text, &passwd, &group).map_err(Error::build)
}

fn accounts(work: &Work<'_, '_>, files: &Files) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let read = |path| files.small_file(work.session, work.images, path, MAX_ACCOUNT_FILE);
    Ok((read("etc/passwd")?, read("etc/group")?))
}
