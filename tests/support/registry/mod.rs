//! A registry in this process: blobs, uploads, mounts, manifests, a token server, and faults on
//! request. It keeps a log of requests, so that a test can count what was transferred.
//!
//! Use it with `#[path = "support/registry/mod.rs"] mod fake;`. It listens on a free port of the
//! loopback interface until it is dropped.

#![allow(dead_code, reason = "no test uses all of it")]

mod protocol;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use plimsoll::digest::Digest;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub auth: Auth,
    pub faults: Vec<Fault>,
    /// A mount is answered with an upload instead.
    pub decline_mounts: bool,
    /// PATCH is answered with 405.
    pub refuse_chunks: bool,
    /// Smaller pieces of an upload, but for its last, are answered with 416; bytes.
    pub chunk_minimum: usize,
    /// Larger bodies of one request are answered with 413; bytes.
    pub body_limit: Option<usize>,
    /// A blob's GET with a Range is answered with all of it.
    pub ignore_ranges: bool,
    /// No `Docker-Content-Digest`.
    pub no_digest_header: bool,
    /// It lists the manifests that have a subject.
    pub lists_referrers: bool,
}

#[derive(Clone, Debug, Default)]
pub enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: String,
    },
    /// Who has the password (or the identity token) may all; others may pull what is in `public`.
    Token {
        user: String,
        password: String,
        identity_token: Option<String>,
        public: Vec<String>,
    },
}

/// What goes wrong with the next requests that match.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: &'static str,
    /// Part of the path.
    pub path: &'static str,
    /// Matching requests that are answered well before.
    pub skip: usize,
    /// Requests that it happens to.
    pub times: usize,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    Status(u16),
    /// With `Retry-After` in seconds.
    StatusAfter(u16, u64),
    /// An error code of the distribution-spec.
    Code(u16, &'static str),
    /// The connection is closed when so many bytes of the request's body have been read; an upload
    /// keeps them.
    CloseAfterReading(usize),
    /// All is done as asked, but the answer never leaves.
    LoseAnswer,
    /// The answer's body breaks off after so many bytes.
    BreakAfterSending(usize),
    /// The first byte of the answer's body is another.
    Corrupt,
    /// All tokens expire before the request is looked at.
    ExpireTokens,
    /// A pause before the answer, in milliseconds.
    Slow(u64),
}

/// One request, as answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub path: String,
    pub query: String,
    pub range: Option<String>,
    pub authorized: bool,
    /// Bytes of the body that were read.
    pub received: usize,
    /// 0 for a closed connection.
    pub status: u16,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

#[derive(Default)]
struct State {
    host: String,
    options: Options,
    blobs: HashMap<(String, Digest), Bytes>,
    manifests: HashMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, Vec<u8>>,
    /// Uploads that have had a piece smaller than the minimum, which must have been the last.
    complete: HashSet<String>,
    tokens: HashMap<String, Vec<String>>,
    token_requests: Vec<Vec<String>>,
    next: u64,
    log: Vec<Logged>,
    /// Methods and paths of the requests that have come.
    asked: Vec<(String, String)>,
}

pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeRegistry {
    pub fn start(options: Options) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(Mutex::new(State { host: address.to_string(), options, ..State::default() }));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`, as it stands in references.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn add_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.state().blobs.insert((repository.to_owned(), digest), bytes);
        digest
    }

    /// Stores it under its digest, and under `tag` unless that is empty.
    pub fn add_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let mut state = self.state();
        for under in [tag.to_owned(), digest.to_string()] {
            if !under.is_empty() {
                let entry = (media_type.to_owned(), bytes.clone());
                state.manifests.insert((repository.to_owned(), under), entry);
            }
        }
        digest
    }

    pub fn blob(&self, repository: &str, digest: Digest) -> Option<Bytes> {
        self.state().blobs.get(&(repository.to_owned(), digest)).cloned()
    }

    /// All blobs and manifests, with what they are.
    pub fn received(&self) -> Vec<(String, Bytes)> {
        let state = self.state();
        let blobs = state.blobs.iter().map(|((_, digest), bytes)| (digest.to_string(), bytes));
        let manifests = state.manifests.iter();
        let manifests = manifests.map(|((_, under), (_, bytes))| (under.clone(), bytes));
        blobs.chain(manifests).map(|(what, bytes)| (what, bytes.clone())).collect()
    }

    /// By tag or digest.
    pub fn manifest(&self, repository: &str, under: &str) -> Option<Bytes> {
        let key = (repository.to_owned(), under.to_owned());
        self.state().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    pub fn fault(&self, fault: Fault) {
        self.state().options.faults.push(fault);
    }

    pub fn expire_tokens(&self) {
        self.state().tokens.clear();
    }

    /// All requests so far, those of the token server included.
    pub fn log(&self) -> Vec<Logged> {
        self.state().log.clone()
    }

    pub fn forget_log(&self) {
        let mut state = self.state();
        state.log.clear();
        state.token_requests.clear();
    }

    /// Answered requests with the method and with `part` in their path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let log = self.log();
        log.iter().filter(|entry| entry.method == method && entry.path.contains(part)).count()
    }

    /// A request with the method, and with `part` in its path, has come, answered or not.
    pub fn was_asked(&self, method: &str, part: &str) -> bool {
        self.state().asked.iter().any(|(m, path)| m == method && path.contains(part))
    }

    /// Bytes of all bodies of PUT and PATCH to uploads, repeated ones included.
    pub fn uploaded(&self) -> usize {
        let log = self.log();
        log.iter().filter(|e| e.path.contains("/uploads/")).map(|entry| entry.received).sum()
    }

    /// The scopes of each request for a token.
    pub fn token_requests(&self) -> Vec<Vec<String>> {
        self.state().token_requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            // An error is a client that went away, or a fault that was asked for.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

/// What is left of a request once its body was read.
struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, Vec<String>>,
    headers: hyper::HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)?.first().map(String::as_str)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Answer, Closed> {
    let (parts, mut body) = request.into_parts();
    let url = reqwest::Url::parse(&format!("http://x{}", parts.uri)).unwrap();
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        query.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let method = parts.method.to_string();
    let path = url.path().to_owned();
    state.lock().unwrap().asked.push((method.clone(), path.clone()));
    let fault = take_fault(&mut state.lock().unwrap().options.faults, &method, &path);
    let close_after = match fault {
        Some(FaultKind::CloseAfterReading(limit)) => Some(limit),
        _ => None,
    };
    let mut asked = Asked { method, path, query, headers: parts.headers, body: Vec::new() };
    while close_after.is_none_or(|limit| asked.body.len() < limit) {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Ok(data) = frame.into_data() {
            asked.body.extend_from_slice(&data);
        }
    }
    if let Some(FaultKind::Slow(pause)) = fault {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let mut state = state.lock().unwrap();
    let answer = state.answer(&asked, fault);
    state.log.push(Logged {
        status: answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
        range: Some(asked.header("range").to_owned()).filter(|range| !range.is_empty()),
        authorized: asked.headers.contains_key("authorization"),
        received: asked.body.len(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: asked.method,
        path: asked.path,
    });
    answer
}

fn take_fault(faults: &mut [Fault], method: &str, path: &str) -> Option<FaultKind> {
    for fault in faults {
        if fault.method != method || !path.contains(fault.path) {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if fault.times > 0 {
            fault.times -= 1;
            return Some(fault.kind);
        }
    }
    None
}
