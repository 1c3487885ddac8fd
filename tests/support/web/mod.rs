//! A small web server of the test's own process: pages with validators, redirects, faults, and git
//! repositories through `git http-backend`. It keeps a log of requests, so that a test can count
//! what was transferred.
//!
//! It listens on a free port of the loopback interface until it is dropped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub content: Vec<u8>,
    pub etag: Option<&'static str>,
    pub last_modified: Option<&'static str>,
    /// Answered with instead of 200.
    pub status: Option<u16>,
    /// Where a redirect leads to.
    pub location: Option<String>,
    /// The value that `Authorization` must have; else 401.
    pub authorization: Option<&'static str>,
    /// The next so many answers break off in the middle.
    pub broken: usize,
}

impl Page {
    pub fn of(content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }
}

/// One request, as answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub path: String,
    pub status: u16,
    pub authorization: Option<String>,
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<String, Page>,
    repositories: Option<PathBuf>,
    /// That repositories want.
    authorization: Option<String>,
    log: Vec<Logged>,
}

pub struct WebServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (Arc::clone(&state), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                // A client that goes away is no failure of the test.
                thread::spawn(move || stream.and_then(|stream| answer(stream, &state)));
            }
        });
        Self { address, state, stopped, thread: Some(thread) }
    }

    /// Serves the repositories below `folder` as `/git/NAME`.
    pub fn serve_repositories(&self, folder: &Path, authorization: Option<&str>) {
        let mut state = self.state();
        state.repositories = Some(folder.to_owned());
        state.authorization = authorization.map(str::to_owned);
    }

    pub fn put(&self, path: &str, page: Page) {
        self.state().pages.insert(path.to_owned(), page);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests since the last call.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.state().log)
    }

    /// The statuses of those for `path`.
    pub fn take_statuses(&self, path: &str) -> Vec<u16> {
        let log = self.take_log();
        log.iter().filter(|logged| logged.path == path).map(|logged| logged.status).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        Ok(Self { method, path, query, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = Request::read(&stream)?;
    let log = |status| {
        state.lock().unwrap().log.push(Logged {
            path: request.path.clone(),
            status,
            authorization: request.header("authorization").map(str::to_owned),
            range: request.header("range").map(str::to_owned),
        });
    };
    if let Some(path) = request.path.strip_prefix("/git") {
        let (folder, wanted) = {
            let state = state.lock().unwrap();
            (state.repositories.clone().unwrap(), state.authorization.clone())
        };
        if wanted.is_some() && request.header("authorization") != wanted.as_deref() {
            log(401);
            let headers = "WWW-Authenticate: Basic realm=\"test\"\r\n";
            return send(&stream, 401, headers, 0, b"");
        }
        log(200);
        return git(&stream, &request, path, &folder);
    }
    let (page, is_broken) = {
        let mut state = state.lock().unwrap();
        match state.pages.get_mut(&request.path) {
            Some(page) => {
                let is_broken = page.broken > 0;
                page.broken = page.broken.saturating_sub(1);
                (page.clone(), is_broken)
            }
            None => (Page { status: Some(404), ..Page::default() }, false),
        }
    };
    let mut headers = String::new();
    for (name, value) in [("ETag", page.etag), ("Last-Modified", page.last_modified)] {
        headers.extend(value.map(|value| format!("{name}: {value}\r\n")));
    }
    headers.extend(page.location.map(|to| format!("Location: {to}\r\n")));
    let is_known = |name, value: Option<&str>| value.is_some() && request.header(name) == value;
    let is_same = is_known("if-none-match", page.etag)
        || page.etag.is_none() && is_known("if-modified-since", page.last_modified);
    let start = request
        .header("range")
        .filter(|_| request.header("if-range") == page.etag)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let status = match (page.status, page.authorization) {
        (Some(status), _) => status,
        (None, Some(wanted)) if request.header("authorization") != Some(wanted) => 401,
        _ if is_same => 304,
        _ if start.is_some() => 206,
        _ => 200,
    };
    log(status);
    let mut content = &page.content[..];
    if let (206, Some(start)) = (status, start) {
        let last = content.len() - 1;
        headers += &format!("Content-Range: bytes {start}-{last}/{}\r\n", content.len());
        content = &content[start..];
    }
    if !matches!(status, 200 | 206) {
        content = b"";
    }
    let sent = if is_broken { &content[..content.len() / 2] } else { content };
    send(&stream, status, &headers, content.len(), sent)
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    headers: &str,
    length: usize,
    content: &[u8],
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(content)?;
    stream.flush()
}

/// A program of the Common Gateway Interface (RFC 3875): the request in its environment and on its
/// standard input, the answer on its standard output.
fn git(
    mut stream: &TcpStream,
    request: &Request,
    path: &str,
    folder: &Path,
) -> std::io::Result<()> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", request.header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().unwrap().write_all(&request.body)?;
    let output = child.wait_with_output()?.stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
    let headers = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&output[(end + 4).min(output.len())..])?;
    stream.flush()
}
