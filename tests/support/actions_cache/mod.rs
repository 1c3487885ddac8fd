//! The cache service of GitHub Actions, version 2, in this process: the three calls, and a blob
//! store behind signed URLs as Azure has it. It refuses what GitHub refuses, goes wrong on request,
//! and keeps a log of requests, so that a test can count them.
//!
//! Use it with `#[path = "support/actions_cache/mod.rs"] mod actions_cache;`, beside
//! `#[path = "support/loopback.rs"] mod loopback;`. The official client proves it (see
//! `tests/actions_cache/official.rs`).

#![allow(dead_code, reason = "no test uses all of it")]

mod blobs;
mod calls;
pub mod programs;
pub mod rest;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::json;

use super::loopback::{Asked, Loopback, Reply};
use blobs::Blob;

/// The last part of every token; it must never show up anywhere.
pub const TOKEN_CANARY: &str = "token-canary-5xAeQ";
/// A part of every signature; it must never show up anywhere.
pub const SIGNATURE_CANARY: &str = "signature+canary/7";

pub const CREATE: &str = "CreateCacheEntry";
pub const FINALIZE: &str = "FinalizeCacheEntryUpload";
pub const LOOKUP: &str = "GetCacheEntryDownloadURL";
pub const PUT_BLOB: &str = "Put Blob";
pub const PUT_BLOCK: &str = "Put Block";
pub const PUT_BLOCK_LIST: &str = "Put Block List";
pub const GET_BLOB: &str = "Get Blob";
pub const BLOB_PROPERTIES: &str = "Get Blob Properties";
/// Whatever is asked of the REST API.
pub const REST: &str = "REST";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What each connection and each request costs.
    pub round_trip: Duration,
    /// Requests after which a signed URL has expired.
    pub url_uses: Option<u32>,
    /// Bytes; when more are saved, what was not used for longest is evicted.
    pub quota: Option<u64>,
    /// `key` is not taken for a prefix, only `restore_keys` are.
    pub exact_key: bool,
    /// All of a blob is the answer to any range.
    pub ignore_ranges: bool,
    /// Signed URLs have a host of Azure's, which the client must resolve to this machine.
    pub azure_host: bool,
    /// Signed URLs of another store: to upload, and to download in turn.
    pub elsewhere: Option<(String, Vec<String>)>,
}

/// What goes wrong with the next requests of an operation.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Requests that are answered well before.
    pub skip: usize,
    /// Requests that it happens to.
    pub times: usize,
    pub kind: FaultKind,
}

#[derive(Clone, Debug)]
pub enum FaultKind {
    Status(u16),
    /// With `Retry-After` in seconds.
    StatusAfter(u16, u64),
    /// A proxy's page, which repeats the request's URL and authorization.
    Html(u16),
    /// A Twirp error, whose message repeats the request's authorization.
    Twirp(u16, &'static str),
    /// `{"ok":false}` with a message.
    NotOk(&'static str),
    /// All is done as asked, but the answer never leaves.
    LoseAnswer,
    /// The answer's body breaks off after so many bytes.
    BreakAfterSending(usize),
    /// The signed URLs expire, this one included.
    ExpireUrls,
    /// A pause before the answer, in milliseconds.
    Slow(u64),
}

/// One request, as answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub operation: &'static str,
    /// The keys of a lookup, the key of another call.
    pub keys: Vec<String>,
    pub range: String,
    /// Bytes of the bodies.
    pub received: usize,
    pub sent: usize,
    pub status: u16,
}

/// An entry; `size` is `None` while it is not finalized.
struct Entry {
    id: u64,
    key: String,
    version: String,
    scope: String,
    size: Option<u64>,
    blob: Blob,
    created: u64,
    used: u64,
}

struct SignedUrl {
    entry: u64,
    may_write: bool,
    uses: u32,
}

struct State {
    address: SocketAddr,
    options: Options,
    faults: Vec<(&'static str, Fault)>,
    entries: Vec<Entry>,
    /// Of branches that were deleted and pull requests that were closed.
    scopes_over: BTreeSet<String>,
    /// By signature.
    urls: HashMap<String, SignedUrl>,
    /// Counts what happens: ids, ages.
    clock: u64,
    log: Vec<Logged>,
    received: Vec<(String, Bytes)>,
}

pub struct FakeActionsCache {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

/// A token of the service, as the runner hands it to a job: scopes in the order in which they are
/// searched, each with 1 to read, 2 to write, 3 for both.
pub fn token(scopes: &[(&str, u32)]) -> String {
    let scopes: Vec<_> = scopes
        .iter()
        .map(|(scope, permission)| json!({ "Scope": scope, "Permission": permission }))
        .collect();
    let claims = json!({
        "ac": serde_json::Value::from(scopes).to_string(),
        "exp": 4_102_444_800_u64,
        "repository_id": "1",
    });
    let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{TOKEN_CANARY}", part(&json!({ "alg": "none" })), part(&claims))
}

impl FakeActionsCache {
    pub fn start(options: Options) -> Self {
        let mut shared = None;
        let server = Loopback::start(options.round_trip, |address| {
            let state = Arc::new(Mutex::new(State {
                address,
                options,
                faults: Vec::new(),
                entries: Vec::new(),
                scopes_over: BTreeSet::new(),
                urls: HashMap::new(),
                clock: 0,
                log: Vec::new(),
                received: Vec::new(),
            }));
            shared = Some(Arc::clone(&state));
            move |asked| match asked.path.as_str() {
                "/requests" => state.lock().unwrap().requests(),
                _ => state.lock().unwrap().answer(&asked),
            }
        });
        Self { server, state: shared.unwrap() }
    }

    /// `ACTIONS_RESULTS_URL`
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// For the next `times` requests of `operation`.
    pub fn fault(&self, operation: &'static str, times: usize, kind: FaultKind) {
        self.fault_later(operation, 0, times, kind);
    }

    pub fn fault_later(&self, operation: &'static str, skip: usize, times: usize, kind: FaultKind) {
        self.state().faults.push((operation, Fault { skip, times, kind }));
    }

    pub fn stop_faults(&self) {
        self.state().faults.clear();
    }

    pub fn expire_urls(&self) {
        self.state().urls.clear();
    }

    /// Keys of all entries that can be found, with their scopes, oldest first.
    pub fn entries(&self) -> Vec<(String, String)> {
        let state = self.state();
        let saved = state.entries.iter().filter(|entry| entry.size.is_some());
        saved.map(|entry| (entry.scope.clone(), entry.key.clone())).collect()
    }

    /// An entry's bytes, whatever its scope.
    pub fn content(&self, key: &str) -> Option<Bytes> {
        let state = self.state();
        state.entries.iter().find(|entry| entry.key == key)?.blob.content.clone()
    }

    /// Puts other bytes in the place of an entry's.
    pub fn replace(&self, key: &str, content: impl Into<Bytes>) {
        let mut state = self.state();
        let entry = state.entries.iter_mut().find(|entry| entry.key == key);
        entry.expect("no such entry").blob.content = Some(content.into());
    }

    /// Deletes a branch, or closes a pull request.
    pub fn end_scope(&self, scope: &str) {
        self.state().scopes_over.insert(scope.to_owned());
    }

    /// Signed URLs are those of a proxy from now on.
    pub fn behind(&self, proxy: SocketAddr) {
        self.state().address = proxy;
    }

    pub fn evict_all(&self) {
        self.state().entries.clear();
    }

    pub fn evict(&self, key: &str) {
        self.state().entries.retain(|entry| entry.key != key);
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Logged> {
        self.state().log.clone()
    }

    /// All that was sent here, with what it was, less the token where it belongs: paths, headers,
    /// bodies.
    pub fn received(&self) -> Vec<(String, Bytes)> {
        self.state().received.clone()
    }

    pub fn forget_log(&self) {
        self.state().log.clear();
    }

    pub fn count(&self, operation: &str) -> usize {
        self.state().log.iter().filter(|logged| logged.operation == operation).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// What was asked so far, for those in other processes: for each operation how often, and the
    /// bytes of its bodies.
    fn requests(&self) -> Reply {
        let mut sums = BTreeMap::<_, [usize; 3]>::new();
        for Logged { operation, received, sent, .. } in &self.log {
            let sum = sums.entry(*operation).or_default();
            *sum = [sum[0] + 1, sum[1] + received, sum[2] + sent];
        }
        let sums = sums.into_iter().map(|(operation, [count, received, sent])| {
            let sum = json!({ "count": count, "received": received, "sent": sent });
            (operation.to_owned(), sum)
        });
        Reply::json(200, &sums.collect::<serde_json::Map<_, _>>().into())
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        let operation = operation(asked);
        let fault = self.take_fault(operation);
        let reply = match &fault {
            Some(FaultKind::Status(status)) => Reply::new(*status, ""),
            Some(FaultKind::StatusAfter(status, seconds)) => {
                Reply::new(*status, "").header("retry-after", seconds)
            }
            Some(FaultKind::Html(status)) => {
                let authorization = asked.header("authorization");
                let page = format!("<html>{}?{:?} {authorization}</html>", asked.path, asked.query);
                Reply::new(*status, page).header("content-type", "text/html")
            }
            Some(FaultKind::Twirp(status, code)) => {
                let message = format!("{code}: refused to {}", asked.header("authorization"));
                calls::error(*status, code, &message)
            }
            Some(FaultKind::NotOk(message)) => {
                Reply::json(200, &json!({ "ok": false, "message": message }))
            }
            Some(FaultKind::ExpireUrls) => {
                self.urls.clear();
                self.route(operation, asked)
            }
            _ => self.route(operation, asked),
        };
        let reply = match fault {
            Some(FaultKind::LoseAnswer) => Reply { lost: true, ..reply },
            Some(FaultKind::BreakAfterSending(limit)) => {
                Reply { break_after: Some(limit), ..reply }
            }
            Some(FaultKind::Slow(pause)) => Reply { delay: Duration::from_millis(pause), ..reply },
            _ => reply,
        };
        let mut headers = asked.headers.clone();
        headers.remove("authorization");
        let text = format!("{} {:?} {headers:?}", asked.path, asked.query);
        self.received.push((format!("the head of {operation}"), text.into()));
        self.received.push((format!("the body of {operation}"), asked.body.clone()));
        self.log.push(Logged {
            operation,
            keys: calls::keys(asked),
            range: blobs::range_header(asked).to_owned(),
            received: asked.body.len(),
            sent: reply.break_after.unwrap_or(reply.body.len()),
            status: if reply.lost { 0 } else { reply.status },
        });
        reply
    }

    fn route(&mut self, operation: &str, asked: &Asked) -> Reply {
        match operation {
            CREATE | FINALIZE | LOOKUP => self.call(operation, asked),
            REST => self.rest(asked),
            "" => Reply::new(404, "404 page not found"),
            _ => self.blob(operation, asked),
        }
    }

    fn take_fault(&mut self, operation: &str) -> Option<FaultKind> {
        for (_, fault) in self.faults.iter_mut().filter(|(of, _)| *of == operation) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                return Some(fault.kind.clone());
            }
        }
        None
    }

    /// A URL under which an entry's blob is written or read.
    fn sign(&mut self, entry: u64, may_write: bool) -> String {
        let number = self.tick();
        if let Some((upload, download)) = &mut self.options.elsewhere {
            return match may_write {
                true => upload.clone(),
                false if download.len() > 1 => download.remove(0),
                false => download[0].clone(),
            };
        }
        let signature = format!("{SIGNATURE_CANARY}{}", STANDARD.encode(number.to_be_bytes()));
        self.urls.insert(signature.clone(), SignedUrl { entry, may_write, uses: 0 });
        let port = self.address.port();
        let place = match self.options.azure_host {
            true => format!("productionresultssa0.blob.core.windows.net:{port}/actions-cache"),
            false => format!("127.0.0.1:{port}/devstoreaccount1/actions-cache"),
        };
        let mut url = reqwest::Url::parse(&format!("http://{place}/{entry:016x}")).unwrap();
        url.query_pairs_mut()
            .append_pair("se", "2030-01-01T00:00:00Z")
            .append_pair("sig", &signature)
            .append_pair("sp", if may_write { "cw" } else { "r" })
            .append_pair("sv", "2025-11-05");
        url.into()
    }
}

/// The name of what is asked, in the protocol's words; empty if it is nothing that we know.
fn operation(asked: &Asked) -> &'static str {
    let call = asked.path.strip_prefix("/twirp/github.actions.results.api.v1.CacheService/");
    if let Some(call) = call {
        let known = [CREATE, FINALIZE, LOOKUP];
        return known.into_iter().find(|known| *known == call).unwrap_or_default();
    }
    if asked.path.starts_with("/repos/") {
        return REST;
    }
    if !asked.path.contains("/actions-cache/") {
        return "";
    }
    match (asked.method.as_str(), asked.query("comp")) {
        ("PUT", "") => PUT_BLOB,
        ("PUT", "block") => PUT_BLOCK,
        ("PUT", "blocklist") => PUT_BLOCK_LIST,
        ("GET", "") => GET_BLOB,
        ("HEAD", "") => BLOB_PROPERTIES,
        _ => "",
    }
}
