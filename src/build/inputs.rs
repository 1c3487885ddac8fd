//! What COPY, ADD and bind mounts read from outside of the build: contexts are walked once, and only
//! the files that a step selects are read (L-194).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::session::Session;
use crate::context::{DirectoryContext, Ownership, Source as _};
use crate::error::{Error, Location};
use crate::ignore::Patterns;
use crate::plan::{
    CopyFrom, CopyOp, CopySource as Named, Input, MountKind, Op, Plan, StageFrom, Step,
};
use crate::request::NamedContext;
use crate::tree::{
    Chmod, CopyOptions, CopySource, TreePath, What, clean_path, content_key, select,
};

/// The contexts that the plan's steps use; the files that steps select have their digests.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    main: Option<Arc<DirectoryContext>>,
    named: BTreeMap<String, Arc<DirectoryContext>>,
}

impl Inputs {
    /// The context that a step reads from, where it is one.
    pub(super) fn context(&self, from: &CopyFrom) -> Option<&Arc<DirectoryContext>> {
        match from {
            CopyFrom::Context => self.main.as_ref(),
            CopyFrom::Named(name) => self.named.get(name),
            CopyFrom::Stage(_) | CopyFrom::Image(_) | CopyFrom::Empty => None,
        }
    }

    /// The input of a step's key for what it reads of a context, of which the plan knows nothing.
    pub(super) fn content(&self, selection: &Selection<'_>) -> Result<Input, Error> {
        let context = self.context(selection.from).ok_or_else(|| {
            Error::build(format!("the context {:?} has not been walked", selection.from))
        })?;
        let source = CopySource { tree: context.tree(), what: selection.what.clone() };
        // The words that BuildKit has for it, which people search for (L-132).
        let sum = content_key(&source, &selection.options)
            .map_err(|e| Error::build(format!("failed to compute cache key: {e}")))?;
        Ok(Input::Content(sum))
    }
}

/// What one step selects of one source.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) from: &'a CopyFrom,
    pub(super) what: What,
    pub(super) options: CopyOptions,
}

/// What a step reads, in the order that its key has it: the sources of a COPY, the mounts of a RUN.
/// URLs are not among them.
pub(super) fn selections(step: &Step) -> Result<Vec<Selection<'_>>, Error> {
    match &step.op {
        Op::Copy(copy) => {
            let options = copy_options(copy)?;
            let paths = copy.sources.iter().filter_map(|source| match source {
                Named::Path(path) => Some(path.clone()),
                Named::Http(_) => None,
            });
            Ok(paths
                .map(|path| Selection {
                    from: &copy.from,
                    what: What::Pattern(path),
                    options: options.clone(),
                })
                .collect())
        }
        Op::Run(run) => Ok(run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, source, .. }
                | MountKind::Cache { seed: Some((from, source)), .. } => Some(Selection {
                    from,
                    what: What::Path(clean_path(source.as_bytes())),
                    options: CopyOptions::default(),
                }),
                MountKind::Cache { seed: None, .. }
                | MountKind::Tmpfs { .. }
                | MountKind::Secret { .. }
                | MountKind::Ssh { .. } => None,
            })
            .collect()),
        Op::Workdir(_) | Op::Config => Ok(Vec::new()),
    }
}

/// The flags of a COPY or ADD. The owner is there only to say that one is given: who it is depends
/// on the stage's files.
pub(super) fn copy_options(copy: &CopyOp) -> Result<CopyOptions, Error> {
    let chmod = copy.chmod.as_deref().map(Chmod::parse).transpose().map_err(Error::build)?;
    let exclude = Patterns::from_flags(&copy.exclude)
        .map_err(|e| Error::build(format!("invalid pattern of --exclude: {e}")))?;
    Ok(CopyOptions {
        destination: copy.destination.clone(),
        cwd: copy.cwd.clone(),
        chown: copy.chown.as_ref().map(|_| (0, 0)),
        chmod,
        link: copy.link,
        parents: copy.parents,
        exclude,
        created_mtime: 0,
    })
}

/// Everything of a context: `FROM` a directory.
pub(super) fn whole(from: &CopyFrom) -> Selection<'_> {
    Selection { from, what: What::Whole, options: CopyOptions::default() }
}

/// Walks the contexts that `plan` needs, hashes what its steps select, and asks after its URLs.
pub(super) fn gather(session: &Session<'_>, plan: &Plan) -> Result<Inputs, Error> {
    // By context, `None` for the main one.
    let mut wanted: BTreeMap<Option<&str>, Vec<(What, CopyOptions)>> = BTreeMap::new();
    for stage in &plan.stages {
        if let StageFrom::Context(name) = &stage.from {
            let all = (What::Whole, CopyOptions::default());
            wanted.entry(Some(name)).or_default().push(all);
        }
        for step in &stage.steps {
            let location = Location::from(step.lines);
            for selection in selections(step).map_err(|e| e.at(location.clone()))? {
                let name = match selection.from {
                    CopyFrom::Context => None,
                    CopyFrom::Named(name) => Some(name.as_str()),
                    CopyFrom::Stage(_) | CopyFrom::Image(_) | CopyFrom::Empty => continue,
                };
                wanted.entry(name).or_default().push((selection.what, selection.options));
            }
        }
    }
    let mut inputs = Inputs::default();
    for (name, selections) in wanted {
        let (title, path, ignore) = place(session, name)?;
        let context = session.progress.step(format!("[internal] load {title}"), |_| {
            walk(session, path, &ignore, &selections)
        })?;
        match name {
            None => inputs.main = Some(context),
            Some(name) => {
                inputs.named.insert(name.to_owned(), context);
            }
        }
    }
    Ok(inputs)
}

/// Where a context is, and what of it is ignored.
fn place<'s>(
    session: &'s Session<'_>,
    name: Option<&str>,
) -> Result<(String, &'s Path, Patterns), Error> {
    let request = session.request;
    let Some(name) = name else {
        return Ok(("build context".to_owned(), &request.context, session.ignore.clone()));
    };
    match request.build_contexts.get(name) {
        Some(NamedContext::Directory(path)) => {
            let ignore = ignore_file(&path.join(".dockerignore"))?;
            Ok((format!("build context {name}"), path, ignore))
        }
        _ => Err(Error::build(format!("{name}: expected a context that is a directory"))),
    }
}

/// The patterns of a named context's own ignore file; none where there is no such file (L-082).
fn ignore_file(path: &Path) -> Result<Patterns, Error> {
    let shown = path.display();
    let bytes = match read_small(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Patterns::default()),
        Err(e) => return Err(Error::build(format!("can't read {shown}: {e}"))),
    };
    Patterns::parse(&bytes).map_err(|e| Error::build(format!("{shown}: {e}")))
}

/// A regular file of at most 1 MiB; a pipe or device is refused without reading it.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    const LIMIT: u64 = 1 << 20;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(bytes)
}

fn walk(
    session: &Session<'_>,
    path: &Path,
    ignore: &Patterns,
    selections: &[(What, CopyOptions)],
) -> Result<Arc<DirectoryContext>, Error> {
    let mut context =
        DirectoryContext::open(path, ignore, Ownership::Root).map_err(Error::build)?;
    let mut files: BTreeSet<TreePath> = BTreeSet::new();
    for (what, options) in selections {
        // What is missing is told where the step's key is made, with its place.
        let source = CopySource { tree: context.tree(), what: what.clone() };
        files.extend(select(&source, options).unwrap_or_default());
    }
    let files: Vec<TreePath> = files.into_iter().collect();
    context.hash(&files, session.request.threads).map_err(Error::build)?;
    Ok(Arc::new(context))
}
