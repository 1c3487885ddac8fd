//! What comes from other machines besides images: files of the web and git repositories, for ADD
//! and for contexts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::runtime::Runtime;

use super::agents::Agents;
use super::progress::{Progress, Running};
use crate::cache::{DownloadRecord, Store};
use crate::context::git::{Git, GitError, Revision};
use crate::context::http::{self as web, Validators};
use crate::context::{DirectoryContext, Fetched, OneFile, Origin, Source, Unpacked};
use crate::digest::{ContentSum, Digest};
use crate::error::Error;
use crate::http::{Clients, RetryPolicy};
use crate::layer;
use crate::request::{RemoteContext, Secret, SshSource};
use crate::sandbox::Cancel;
use crate::ui::Event;
use crate::url::{self, GitUrl};

/// What a user has given for reaching other machines.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// By id: `GIT_AUTH_TOKEN`, `HTTP_AUTH_TOKEN_HOST` and the like (L-146, L-147).
    pub secrets: &'a BTreeMap<String, Secret>,
    /// By id; `default` is for git.
    pub ssh: &'a BTreeMap<String, SshSource>,
    /// What git gets of the environment.
    pub git_environment: &'a [(OsString, OsString)],
}

/// Fetches; what is worth keeping is kept in the store.
pub(super) struct Fetcher<'a> {
    pub(super) access: Access<'a>,
    pub(super) agents: &'a Agents,
    pub(super) store: &'a Store,
    pub(super) runtime: &'a Runtime,
    pub(super) clients: &'a Clients,
    pub(super) progress: &'a Progress<'a>,
    pub(super) cancel: &'a Cancel,
}

/// The content of a URL, a blob of the store.
#[derive(Clone, Debug)]
pub(super) struct Download {
    pub(super) digest: Digest,
    /// Seconds since 1970; zero where the server does not say.
    pub(super) modified: i64,
    path: PathBuf,
    /// Bytes.
    size: u64,
}

impl Download {
    /// The file as ADD has it (L-145).
    pub(super) fn file(&self, name: &str) -> OneFile {
        OneFile::download(name, self.modified, self.size, None, self.path.clone())
    }

    /// Its time, where the server says it.
    fn told_time(&self) -> Option<i64> {
        Some(self.modified).filter(|&time| time != 0)
    }

    /// Its time, or that of its newest entry if it is an archive; `directory` is empty.
    pub(super) fn time(&self, directory: PathBuf) -> Result<Option<i64>, Error> {
        if let Some(time) = self.told_time() {
            return Ok(Some(time));
        }
        let (source, is_file) = web_context(self, directory)?;
        Ok((!is_file).then(|| newest(&*source)).flatten())
    }

    /// The same as a context, whose files have digests; its name is BuildKit's.
    pub(super) fn context(&self) -> Result<OneFile, Error> {
        let mut hasher = blake3::Hasher::new();
        let file = File::open(&self.path).map_err(Error::build)?;
        hasher.update_reader(file).map_err(Error::build)?;
        let sum = Some(ContentSum::from(&hasher));
        Ok(OneFile::download(REMOTE_FILE, self.modified, self.size, sum, self.path.clone()))
    }
}

impl Fetcher<'_> {
    /// The file that a URL names. With a checksum, what is in the store will do; else the server is
    /// asked whether there is another one.
    pub(super) fn download(
        &self,
        url: &str,
        checksum: Option<Digest>,
        running: &Running<'_>,
    ) -> Result<Download, Error> {
        let here = |record: DownloadRecord| {
            let blob = self.store.blob(&record.digest)?;
            let DownloadRecord { digest, etag, last_modified } = record;
            let validators = Validators { etag, last_modified };
            let modified = validators.modified().unwrap_or(0);
            let download = Download { digest, modified, path: blob.path, size: blob.size };
            Some((validators, download))
        };
        let known = self.store.download(url).and_then(here);
        if let (Some(checksum), Some((_, download))) = (checksum, &known)
            && download.digest == checksum
        {
            return Ok(download.clone());
        }
        let spool = self.store.spool()?;
        let authorization = self.web_authorization(url);
        let request = web::Request {
            url,
            authorization: authorization.as_deref(),
            // What must be something else than what is known is asked for without conditions.
            known: known.as_ref().map(|(v, _)| v).filter(|_| checksum.is_none()),
            checksum,
        };
        let policy = RetryPolicy::default();
        let progress = |done, total| running.progress("downloaded", done, total);
        let answer = self.unless_canceled(async {
            web::download(self.clients, &policy, &request, spool.file(), &progress).await
        })?;
        for notice in self.clients.take_notices() {
            self.progress.notice(notice);
        }
        let downloaded = match (answer.map_err(|e| web_error(e, url))?, known) {
            (Some(downloaded), _) => downloaded,
            (None, Some((_, known))) => return Ok(known),
            (None, None) => {
                return Err(Error::build("a server says that nothing has not changed"));
            }
        };
        let web::Downloaded { validators, digest, .. } = downloaded;
        let modified = validators.modified().unwrap_or(0);
        let blob = self.store.keep_blob(spool, &digest)?;
        let Validators { etag, last_modified } = validators;
        let record = DownloadRecord { digest, etag, last_modified };
        if let Err(fault) = self.store.keep_download(url, &record) {
            self.progress.notice(fault.to_string());
        }
        Ok(Download { digest, modified, path: blob.path, size: blob.size })
    }

    /// The commit that a repository's URL refers to now.
    pub(super) fn revision(&self, url: &GitUrl, directory: &Path) -> Result<Revision, Error> {
        let agent = self.agent(url)?;
        self.git(url, agent.as_deref()).revision(directory).map_err(git_error)
    }

    /// The files of that commit, in an empty directory.
    pub(super) fn checkout(
        &self,
        url: &GitUrl,
        revision: &Revision,
        directory: &Path,
    ) -> Result<DirectoryContext, Error> {
        let agent = self.agent(url)?;
        self.git(url, agent.as_deref()).checkout(revision, directory).map_err(git_error)
    }

    /// The agent for git. A repository of the web needs one for submodules at most, so that there it
    /// is no fault that none can be started.
    fn agent(&self, url: &GitUrl) -> Result<Option<PathBuf>, Error> {
        match self.agents.socket("default", self.access) {
            Err(_) if url::is_http(&url.remote) => Ok(None),
            result => result,
        }
    }

    fn git<'g>(&'g self, url: &'g GitUrl, ssh_agent: Option<&'g Path>) -> Git<'g> {
        Git {
            url,
            environment: self.access.git_environment,
            ssh_agent,
            authorization: self.git_authorization(url),
            cancel: self.cancel.as_fd(),
        }
    }

    /// When a commit was made; `directory` is empty.
    pub(super) fn commit_time(
        &self,
        url: &GitUrl,
        revision: &Revision,
        directory: &Path,
    ) -> Result<Option<i64>, Error> {
        let agent = self.agent(url)?;
        let git = self.git(url, agent.as_deref());
        git.obtain(revision, directory).map_err(git_error)?;
        git.commit_time(&revision.commit, directory).map_err(git_error)
    }

    fn secret(&self, id: &str) -> Option<&[u8]> {
        let Secret(bytes) = self.access.secrets.get(id)?;
        Some(bytes.trim_ascii_end())
    }

    /// `HTTP_AUTH_TOKEN_<host>` or `HTTP_AUTH_HEADER_<host>` (L-147).
    fn web_authorization(&self, url: &str) -> Option<Vec<u8>> {
        let host = url::host(url);
        match self.secret(&format!("HTTP_AUTH_TOKEN_{host}")) {
            Some(token) => Some([b"Bearer ", token].concat()),
            None => self.secret(&format!("HTTP_AUTH_HEADER_{host}")).map(<[u8]>::to_vec),
        }
    }

    /// `GIT_AUTH_HEADER` or `GIT_AUTH_TOKEN`, first with the host, or what the URL has (L-146).
    fn git_authorization(&self, url: &GitUrl) -> Option<Vec<u8>> {
        if !url::is_http(&url.remote) {
            return None;
        }
        let basic = |credentials: &[u8]| format!("basic {}", BASE64.encode(credentials)).into();
        let token = |token: &[u8]| basic(&[b"x-access-token:", token].concat());
        let host = url::authority(&url.remote);
        self.secret(&format!("GIT_AUTH_HEADER.{host}"))
            .map(<[u8]>::to_vec)
            .or_else(|| self.secret(&format!("GIT_AUTH_TOKEN.{host}")).map(token))
            .or_else(|| self.secret("GIT_AUTH_HEADER").map(<[u8]>::to_vec))
            .or_else(|| self.secret("GIT_AUTH_TOKEN").map(token))
            .or_else(|| url.credentials().map(|(_, credentials)| basic(credentials.as_bytes())))
    }

    fn unless_canceled<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                result = work => Ok(result),
                () = super::session::canceled(self.cancel) => Err(Error::canceled()),
            }
        })
    }
}

fn web_error(error: web::Error, url: &str) -> Error {
    let result = Error::build(&error);
    match error {
        web::Error::Status { status: 401 | 403, .. } => {
            let host = url::host(url);
            result.hinted(format!("Give a token with --secret id=HTTP_AUTH_TOKEN_{host},env=NAME."))
        }
        web::Error::Checksum { .. } => {
            result.hinted("The file has changed, or --checksum is that of another one.")
        }
        _ => result,
    }
}

fn git_error(error: GitError) -> Error {
    let result = Error::build(&error);
    match error {
        GitError::NoProgram { .. } => result.hinted("Install git."),
        GitError::Failed { said, .. }
            if said.contains("could not read Username") || said.contains("Authentication") =>
        {
            result.hinted("Give a token with --secret id=GIT_AUTH_TOKEN,env=NAME.")
        }
        GitError::Failed { said, .. } if said.contains("Permission denied (publickey") => result
            .hinted(
                "Give an agent or a file with a key for it: --ssh default or --ssh default=FILE.",
            ),
        GitError::Canceled => Error::canceled(),
        _ => result,
    }
}

/// What fetching a main context takes, before there is a build.
pub struct Fetching<'a> {
    pub access: Access<'a>,
    /// The local store.
    pub store: &'a Path,
    /// PEM.
    pub ca_certificates: &'a [Vec<u8>],
    pub threads: usize,
    pub cancel: &'a Cancel,
    pub events: &'a (dyn Fn(Event) + Sync),
}

/// Brings the files of a main context here (L-083).
///
/// # Errors
/// When it can't be reached, or is not what it should be.
pub fn fetch_context(remote: &RemoteContext, fetching: &Fetching<'_>) -> Result<Fetched, Error> {
    let store = Store::open(fetching.store)?;
    let progress = Progress::new(fetching.events, fetching.cancel, 1);
    let clients = Clients::new(fetching.ca_certificates.to_vec());
    let runtime = super::session::runtime(fetching.threads)?;
    let agents = Agents::default();
    let fetcher = Fetcher {
        access: fetching.access,
        agents: &agents,
        store: &store,
        runtime: &runtime,
        clients: &clients,
        progress: &progress,
        cancel: fetching.cancel,
    };
    let files = store.work().directory().map_err(Error::build)?;
    let title = format!("[internal] load build context {}", remote.shown());
    let (source, is_dockerfile, origin, time) = progress.step(title, |running| match remote {
        RemoteContext::Git(url) => {
            let revision = fetcher.revision(url, &files)?;
            let mut checkout = fetcher.checkout(url, &revision, &files)?;
            checkout.hash_all(fetching.threads).map_err(Error::build)?;
            let git = fetcher.git(url, None);
            let time = git.commit_time(&revision.commit, &files).map_err(git_error)?;
            let origin = Origin::Git { url: url.clone(), revision };
            Ok((Arc::new(checkout) as Arc<dyn Source>, false, origin, time))
        }
        RemoteContext::Http(url) => {
            let download = fetcher.download(url, None, running)?;
            let (source, is_dockerfile) = web_context(&download, files)?;
            let newest = || (!is_dockerfile).then(|| newest(&*source)).flatten();
            let time = download.told_time().or_else(newest);
            let origin = Origin::Web { url: url.clone(), digest: download.digest };
            Ok((source, is_dockerfile, origin, time))
        }
    })?;
    Ok(Fetched { source, is_dockerfile, origin, time, folder: Arc::new(store.into_work()) })
}

/// An archive, or a Dockerfile alone; the latter, once more, is all that its context has.
fn web_context(download: &Download, folder: PathBuf) -> Result<(Arc<dyn Source>, bool), Error> {
    let mut file = File::open(&download.path).map_err(Error::build)?;
    let mut head = Vec::new();
    file.by_ref().take(layer::ARCHIVE_HEAD).read_to_end(&mut head).map_err(Error::build)?;
    if layer::is_archive(&head) {
        file.rewind().map_err(Error::build)?;
        return Ok((Arc::new(Unpacked::new(file, folder)?), false));
    }
    let place = folder.join(REMOTE_FILE);
    std::fs::copy(&download.path, &place).map_err(Error::build)?;
    let download = Download { path: place, ..download.clone() };
    Ok((Arc::new(download.context()?), true))
}

/// The time of the newest entry.
fn newest(source: &dyn Source) -> Option<i64> {
    source.tree().iter().map(|(_, entry)| entry.mtime).max()
}

/// What BuildKit calls the one file of a context that is a file.
pub const REMOTE_FILE: &str = "context";

/// Unpacks a main context that came as a tar (L-083).
///
/// # Errors
/// When the tar is damaged, leads out of itself, or doesn't fit the disk.
pub fn unpack_context(
    archive: impl Read + Send,
    fetching: &Fetching<'_>,
) -> Result<Fetched, Error> {
    let folder = Store::open(fetching.store)?.into_work();
    let files = folder.directory().map_err(Error::build)?;
    let title = "[internal] load build context from standard input";
    let source = Progress::new(fetching.events, fetching.cancel, 1)
        .step(title, |_| Ok(Arc::new(Unpacked::new(archive, files)?)))?;
    let origin = Origin::Input;
    Ok(Fetched { source, is_dockerfile: false, origin, time: None, folder: Arc::new(folder) })
}
