//! What COPY, ADD and bind mounts read from outside of the build: contexts are walked once, and only
//! the files that a step selects are read (L-194). Servers are asked what URLs and git references
//! stand for now.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fetch::Download;
use super::images::guessed_plan;
use super::session::Session;
use crate::context::git::Revision;
use crate::context::{DirectoryContext, Origin, Ownership, Source, small};
use crate::digest::Sha256Sum;
use crate::dockerfile::Dockerfile;
use crate::error::{Error, Location};
use crate::ignore::Patterns;
use crate::plan::{
    CopyFrom, CopyOp, CopySource as Named, Input, MountKind, Op, Plan, StageFrom, Step,
};
use crate::request::{MainContext, NamedContext, RemoteContext};
use crate::tree::{
    Chmod, CopyOptions, CopySource, Tree, TreePath, What, clean_path, content_key, select,
};
use crate::url::{self, GitUrl};

/// The contexts that the plan's steps use; the files that steps select have their digests.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    main: Option<Arc<dyn Source>>,
    /// The same, where it is a directory.
    walked: Option<Arc<DirectoryContext>>,
    named: BTreeMap<String, Arc<dyn Source>>,
    remote: BTreeMap<Named, Remote>,
    /// Of the named contexts that are on other machines.
    origins: BTreeMap<String, Origin>,
}

/// What is known of a URL before the step that wants it runs.
#[derive(Clone, Debug)]
pub(super) enum Remote {
    Download(Download),
    /// The checksum is given, so nobody was asked.
    Pinned(Sha256Sum),
    Revision(Revision),
}

impl Inputs {
    /// The main context as far as it has been read, for another platform.
    pub(super) fn walked(&self) -> Option<DirectoryContext> {
        self.walked.as_deref().cloned()
    }

    /// The context that a step reads from, where it is one.
    pub(super) fn context(&self, from: &CopyFrom) -> Option<&Arc<dyn Source>> {
        match from {
            CopyFrom::Context => self.main.as_ref(),
            CopyFrom::Named(name) => self.named.get(name),
            CopyFrom::Stage(_) | CopyFrom::Image(_) | CopyFrom::Empty => None,
        }
    }

    /// Those that steps read from: the main one, `None`, and named ones.
    pub(super) fn used(&self) -> impl Iterator<Item = Option<&str>> {
        let named = self.named.keys().map(|name| Some(name.as_str()));
        self.main.iter().map(|_| None).chain(named)
    }

    /// Where a named context came from, if not from here.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(name)
    }

    /// All URLs and repositories that steps read.
    pub(super) fn remotes(&self) -> impl Iterator<Item = (&Named, &Remote)> {
        self.remote.iter()
    }

    /// What was found out of a URL or repository.
    pub(super) fn remote(&self, source: &Named) -> Result<&Remote, Error> {
        let unknown = || Error::build(format!("{} has not been asked after", source.text()));
        self.remote.get(source).ok_or_else(unknown)
    }

    /// The input of a step's key for what it reads of a context, of which the plan knows nothing.
    pub(super) fn content(&self, selection: &Selection<'_>) -> Result<Input, Error> {
        let context = self.context(selection.from).ok_or_else(|| {
            Error::build(format!("the context {:?} has not been walked", selection.from))
        })?;
        let source = CopySource { tree: context.tree(), what: selection.what.clone() };
        content_key(&source, &selection.options).map(Input::Content).map_err(Error::build)
    }

    /// The input of a step's key for what it reads of a URL or a repository (K-07).
    pub(super) fn remote_content(&self, source: &Named) -> Result<Input, Error> {
        let parts = match (self.remote(source)?, source) {
            (Remote::Download(download), _) => {
                vec!["http".to_owned(), download.digest.hex(), download.modified.to_string()]
            }
            (Remote::Pinned(sum), _) => vec!["http".to_owned(), sum.hex()],
            (Remote::Revision(revision), Named::Git { url, .. }) => revision_parts(revision, url),
            (Remote::Revision(revision), _) => vec![revision.commit.clone()],
        };
        Ok(Input::Content(Sha256Sum::of(parts.join("\0").as_bytes())))
    }
}

/// All that decides what a checkout has: of a reference only its commit, unless `.git` is kept,
/// which names it.
fn revision_parts(revision: &Revision, url: &GitUrl) -> Vec<String> {
    let mut parts = vec!["git".to_owned(), revision.commit.clone(), url.subdirectory.clone()];
    if url.keep_git_dir == Some(true) {
        parts.extend([url.shown(), revision.object.clone()]);
        parts.extend(revision.reference.clone());
    }
    parts.extend([url.skip_submodules, url.commit_times].map(|flag| flag.to_string()));
    parts
}

/// One thing that a step reads.
#[derive(Debug)]
pub(super) enum Reading<'a> {
    Files(Selection<'a>),
    /// A URL or a repository.
    Remote(&'a Named),
}

/// What one step selects of one source.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) from: &'a CopyFrom,
    pub(super) what: What,
    pub(super) options: CopyOptions,
}

/// What a step reads, in the order that its key has it: the sources of a COPY, the mounts of a RUN.
pub(super) fn readings(step: &Step) -> Result<Vec<Reading<'_>>, Error> {
    match &step.op {
        Op::Copy(copy) => {
            let options = copy_options(copy)?;
            let read = copy.sources.iter().map(|source| match source {
                Named::Path(path) => Reading::Files(Selection {
                    from: &copy.from,
                    what: What::Pattern(path.clone()),
                    options: options.clone(),
                }),
                Named::Http { .. } | Named::Git { .. } => Reading::Remote(source),
            });
            Ok(read.collect())
        }
        Op::Run(run) => Ok(run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, source, .. }
                | MountKind::Cache { seed: Some((from, source)), .. } => {
                    Some(Reading::Files(Selection {
                        from,
                        what: What::Path(clean_path(source.as_bytes())),
                        options: CopyOptions::default(),
                    }))
                }
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

/// What a plan reads from outside.
#[derive(Default)]
struct Wanted<'a> {
    /// By context, `None` for the main one.
    contexts: BTreeMap<Option<&'a str>, Vec<(What, CopyOptions)>>,
    remotes: BTreeMap<&'a Named, Location>,
}

fn wanted(plan: &Plan) -> Result<Wanted<'_>, Error> {
    let Wanted { mut contexts, mut remotes } = Wanted::default();
    for stage in &plan.stages {
        if let StageFrom::Context(name) = &stage.from {
            let all = (What::Whole, CopyOptions::default());
            contexts.entry(Some(name.as_str())).or_default().push(all);
        }
        for step in &stage.steps {
            let location = Location::from(step.lines);
            for reading in readings(step).map_err(|e| e.at(location.clone()))? {
                let selection = match reading {
                    Reading::Files(selection) => selection,
                    Reading::Remote(source) => {
                        remotes.entry(source).or_insert_with(|| location.clone());
                        continue;
                    }
                };
                let name = match selection.from {
                    CopyFrom::Context => None,
                    CopyFrom::Named(name) => Some(name.as_str()),
                    CopyFrom::Stage(_) | CopyFrom::Image(_) | CopyFrom::Empty => continue,
                };
                contexts.entry(name).or_default().push((selection.what, selection.options));
            }
        }
    }
    Ok(Wanted { contexts, remotes })
}

/// Walks the main context and hashes what steps are likely to select, before the bases are known,
/// which rarely decide it. `None` where that can't be done; why is told when it has to be.
pub(super) fn walk_early(session: &Session<'_>, file: &Dockerfile) -> Option<DirectoryContext> {
    let MainContext::Directory(path) = &session.request.context else { return None };
    let plan = guessed_plan(session, file)?;
    let selections = wanted(&plan).ok()?.contexts.remove(&None)?;
    let mut context = DirectoryContext::open(path, &session.ignore, Ownership::Root).ok()?;
    hash(session, &mut context, &selections).ok()?;
    Some(context)
}

/// Walks the contexts that `plan` needs, hashes what its steps select, and asks after its URLs.
/// `early` is what [`walk_early`] gave, once it is needed.
pub(super) fn gather(
    session: &Session<'_>,
    plan: &Plan,
    early: impl FnOnce() -> Option<DirectoryContext>,
) -> Result<Inputs, Error> {
    let Wanted { contexts, remotes } = wanted(plan)?;
    let mut early = Some(early);
    let mut inputs = Inputs::default();
    for (name, selections) in contexts {
        let Some(name) = name else {
            let early = || early.take().and_then(|early| early());
            let (main, walked) = main_context(session, &selections, early)?;
            (inputs.main, inputs.walked) = (Some(main), walked);
            continue;
        };
        let (files, origin) = context(session, name, &selections)?;
        inputs.named.insert(name.to_owned(), files);
        inputs.origins.extend(origin.map(|origin| (name.to_owned(), origin)));
    }
    let remotes: Vec<(&Named, Location)> = remotes.into_iter().collect();
    let found = super::in_parallel(REMOTES_AT_ONCE, &remotes, |(source, location)| {
        remote(session, source).map_err(|e| e.at(location.clone()))
    })?;
    for ((source, _), remote) in remotes.into_iter().zip(found) {
        inputs.remote.extend(remote.map(|remote| (source.clone(), remote)));
    }
    Ok(inputs)
}

/// Servers mostly let one wait.
const REMOTES_AT_ONCE: usize = 4;

/// Finds out what a URL or reference stands for; a download without a checksum is downloaded for
/// it, since only its content says whether a step's result is still right.
fn remote(session: &Session<'_>, source: &Named) -> Result<Option<Remote>, Error> {
    match source {
        Named::Path(_) => Ok(None),
        Named::Http { checksum: Some(checksum), .. } => Ok(Some(Remote::Pinned(checksum.0))),
        Named::Http { url, checksum: None } => {
            let title = format!("[internal] load {}", url::shown(url));
            let download = session
                .progress
                .step(title, |running| session.fetcher().download(url, None, running))?;
            Ok(Some(Remote::Download(download)))
        }
        Named::Git { url, .. } => {
            let title = format!("[internal] load metadata for {}", url.shown());
            let revision = session
                .progress
                .step(title, |_| session.fetcher().revision(url, &session.scratch_directory()?))?;
            Ok(Some(Remote::Revision(revision)))
        }
    }
}

/// The main context with the digests of what is selected of it.
fn main_context(
    session: &Session<'_>,
    selections: &[(What, CopyOptions)],
    early: impl FnOnce() -> Option<DirectoryContext>,
) -> Result<(Arc<dyn Source>, Option<Arc<DirectoryContext>>), Error> {
    let path = match &session.request.context {
        MainContext::Directory(path) => path,
        MainContext::Fetched(fetched) => return Ok((Arc::clone(&fetched.source), None)),
        MainContext::Empty => return Ok((Arc::new(Nothing::default()), None)),
    };
    let walked = session.progress.step("[internal] load build context", |_| {
        walk(session, path, &session.ignore, selections, early())
    })?;
    Ok((Arc::clone(&walked) as Arc<dyn Source>, Some(walked)))
}

/// A named context with the digests of what is selected of it, and where it came from, if not from
/// here.
fn context(
    session: &Session<'_>,
    name: &str,
    selections: &[(What, CopyOptions)],
) -> Result<(Arc<dyn Source>, Option<Origin>), Error> {
    let request = session.request;
    let title = format!("[internal] load build context {name}");
    match request.build_contexts.get(name) {
        Some(NamedContext::Directory(path)) => session.progress.step(title, |_| {
            let ignore = ignore_file(path)?;
            Ok((walk(session, path, &ignore, selections, None)? as Arc<dyn Source>, None))
        }),
        Some(NamedContext::Remote(remote)) => session.progress.step(title, |running| {
            let fetcher = session.fetcher();
            Ok(match remote {
                RemoteContext::Git(url) => {
                    let revision = fetcher.revision(url, &session.scratch_directory()?)?;
                    let files = session.scratch_directory()?;
                    let mut checkout = fetcher.checkout(url, &revision, &files)?;
                    hash(session, &mut checkout, selections)?;
                    let origin = Origin::Git { url: url.clone(), revision };
                    (Arc::new(checkout) as Arc<dyn Source>, Some(origin))
                }
                RemoteContext::Http(url) => {
                    let download = fetcher.download(url, None, running)?;
                    let origin = Origin::Web { url: url.clone(), digest: download.digest };
                    (Arc::new(download.context()?) as Arc<dyn Source>, Some(origin))
                }
            })
        }),
        _ => Err(Error::build(format!("{name}: expected a context that has files"))),
    }
}

/// The context of a Dockerfile that came alone.
#[derive(Debug, Default)]
struct Nothing(Tree);

impl Source for Nothing {
    fn tree(&self) -> &Tree {
        &self.0
    }

    fn open(&self, _: &TreePath) -> io::Result<Box<dyn io::Read + Send>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The patterns of a named context's own ignore file; none where there is no such file (L-082).
fn ignore_file(context: &Path) -> Result<Patterns, Error> {
    let path = context.join(".dockerignore");
    let shown = path.display();
    match small::read(&path, small::LIMIT) {
        Ok(bytes) => Patterns::parse(&bytes).map_err(|e| Error::build(format!("{shown}: {e}"))),
        Err(e) if e.is_not_found() => Ok(Patterns::default()),
        Err(e) => Err(Error::build(format!("can't read {shown}: {e}"))),
    }
}

fn walk(
    session: &Session<'_>,
    path: &Path,
    ignore: &Patterns,
    selections: &[(What, CopyOptions)],
    walked: Option<DirectoryContext>,
) -> Result<Arc<DirectoryContext>, Error> {
    let mut context = match walked {
        Some(context) => context,
        None => DirectoryContext::open(path, ignore, Ownership::Root).map_err(Error::build)?,
    };
    hash(session, &mut context, selections)?;
    Ok(Arc::new(context))
}

fn hash(
    session: &Session<'_>,
    context: &mut DirectoryContext,
    selections: &[(What, CopyOptions)],
) -> Result<(), Error> {
    let mut files: BTreeSet<TreePath> = BTreeSet::new();
    for (what, options) in selections {
        // What is missing is told where the step's key is made, with its place.
        let source = CopySource { tree: context.tree(), what: what.clone() };
        files.extend(select(&source, options).unwrap_or_default());
    }
    let files: Vec<TreePath> = files.into_iter().collect();
    context.hash(&files, session.request.threads).map_err(Error::build)
}
