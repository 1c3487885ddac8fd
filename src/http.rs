//! The HTTP client that registries and downloads share: roots, proxies, time limits, retries.

mod reader;
mod retry;

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, Url};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

pub use reader::StreamReader;
pub(crate) use retry::jitter;
pub use retry::{Outcome, RetryPolicy, retry_after};

/// How long opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Bytes that a server may send on an HTTP/2 stream before it has to hear from us: at 50 ms away,
/// 160 MB/s. The default of 2 MiB would be 40.
const STREAM_WINDOW: u32 = 8 << 20;
/// The same for all streams of a connection together, which is also what may lie unread in memory.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// How long a peer may be silent in the middle of an answer, or take none of what we send. There is
/// no limit on a whole transfer: a slow line is not a fault.
pub const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long a peer may think once it has all of a request; a registry hashes a whole layer here.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// A request got no answer, or an answer ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent: no name, no route, no listener, no trust.
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("no byte for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("too many redirects")]
    Redirects,
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

impl Failure {
    /// What a [`RetryPolicy`] has to know of it; `None` if another attempt changes nothing.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Connect(_) if self.is_distrust() => None,
            Self::Connect(_) => Some(Outcome::Unsent),
            Self::Broken(_) | Self::Idle(_) => Some(Outcome::Broken),
            Self::Redirects | Self::Setup(_) => None,
        }
    }

    /// The peer's certificate was refused.
    #[must_use]
    pub fn is_distrust(&self) -> bool {
        matches!(self, Self::Connect(text) if text.contains("certificate"))
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_redirect() {
            return Self::Redirects;
        }
        let connect = error.is_connect();
        let text = innermost(&error.without_url());
        if connect { Self::Connect(text) } else { Self::Broken(text) }
    }
}

/// The cause that says most; the layers above it only repeat that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Whom a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its certificate must be good.
    Verified,
    /// The user declared it insecure: any certificate will do.
    Insecure,
    /// This machine: any certificate will do, and no proxy stands between.
    Loopback,
}

impl Peer {
    /// `insecure` is what the user says of the host.
    #[must_use]
    pub fn of(url: &Url, insecure: bool) -> Self {
        match url.host_str() {
            Some(host) if is_loopback(host) => Self::Loopback,
            _ if insecure => Self::Insecure,
            _ => Self::Verified,
        }
    }
}

/// Without port: `localhost`, `127.0.0.1`, `[::1]`.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Makes the clients when they are first needed: loading the roots costs milliseconds that a build
/// out of the cache does not have to pay.
#[derive(Debug, Default)]
pub struct Clients {
    ca_certificates: Vec<Vec<u8>>,
    verified: OnceCell<Client>,
    insecure: OnceCell<Client>,
    loopback: OnceCell<Client>,
    notices: Mutex<Vec<String>>,
}

impl Clients {
    /// `ca_certificates` are PEM bundles trusted beside the system's roots. Where those are is the
    /// TLS library's business (`SSL_CERT_FILE` and `SSL_CERT_DIR` included), as is the proxy.
    #[must_use]
    pub fn new(ca_certificates: Vec<Vec<u8>>) -> Self {
        Self { ca_certificates, ..Self::default() }
    }

    /// The client for such a peer.
    ///
    /// # Errors
    /// [`Failure::Setup`] when a given certificate can't be read.
    pub async fn client(&self, peer: Peer) -> Result<&Client, Failure> {
        let trusting = || builder().tls_danger_accept_invalid_certs(true);
        match peer {
            Peer::Verified => self.verified.get_or_try_init(async || self.verified_client()).await,
            Peer::Insecure => self.insecure.get_or_try_init(async || build(trusting())).await,
            Peer::Loopback => {
                self.loopback.get_or_try_init(async || build(trusting().no_proxy())).await
            }
        }
    }

    /// What a user should know, each told once.
    #[must_use]
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn notice(&self, text: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&text) {
            notices.push(text);
        }
    }

    fn verified_client(&self) -> Result<Client, Failure> {
        let mut extra = Vec::new();
        for pem in &self.ca_certificates {
            let found = Certificate::from_pem_bundle(pem).map_err(setup)?;
            if found.is_empty() {
                return Err(Failure::Setup("no certificate in the given PEM file".to_owned()));
            }
            extra.extend(found);
        }
        // Alone, so that a system without roots is noticed: with extra ones it would pass, and
        // trust nothing else.
        match build(builder()) {
            Ok(client) if extra.is_empty() => Ok(client),
            Ok(_) => build(builder().tls_certs_merge(extra)),
            Err(_) => {
                self.notice(
                    "this system has no CA certificates (package ca-certificates); \
                     Mozilla's, built into this program, are used"
                        .to_owned(),
                );
                let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
                    .iter()
                    .map(|der| Certificate::from_der(der).map_err(setup))
                    .collect::<Result<Vec<_>, _>>()?;
                build(builder().tls_certs_only(roots.into_iter().chain(extra)))
            }
        }
    }
}

fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
}

fn build(builder: ClientBuilder) -> Result<Client, Failure> {
    builder.build().map_err(setup)
}

fn setup(error: reqwest::Error) -> Failure {
    Failure::Setup(innermost(&error.without_url()))
}

/// Sends a request without a body, or with a small one.
///
/// # Errors
/// A [`Failure`]; any status is an answer.
pub async fn send(request: RequestBuilder) -> Result<Response, Failure> {
    match tokio::time::timeout(IDLE_LIMIT, request.send()).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Idle(IDLE_LIMIT)),
    }
}

/// Sends a request whose body counts the bytes that have left in `sent`, of `length`. `progress` is
/// called with that count while it grows.
///
/// The client library's own idle limit runs while a body is sent, progress or not; hence this one.
///
/// # Errors
/// A [`Failure`]; any status is an answer.
pub async fn send_counted(
    request: RequestBuilder,
    sent: &AtomicU64,
    length: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Response, Failure> {
    const TICK: Duration = Duration::from_millis(100);
    let mut answer = std::pin::pin!(request.send());
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        tokio::select! {
            answer = &mut answer => {
                progress(sent.load(Ordering::Relaxed));
                return Ok(answer?);
            }
            () = tokio::time::sleep(TICK) => {}
        }
        let now = sent.load(Ordering::Relaxed);
        let limit = if now >= length { ANSWER_LIMIT } else { IDLE_LIMIT };
        if now != seen {
            (seen, since) = (now, Instant::now());
            progress(now);
        } else if since.elapsed() > limit {
            return Err(Failure::Idle(limit));
        }
    }
}

/// The body of an answer, piece by piece, with the limit on silence.
pub fn body(response: Response) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    let pieces = Box::pin(response.bytes_stream());
    stream::unfold(pieces, |mut pieces| async {
        let piece = match tokio::time::timeout(IDLE_LIMIT, pieces.next()).await {
            Ok(piece) => piece?.map_err(Failure::from),
            Err(_) => Err(Failure::Idle(IDLE_LIMIT)),
        };
        Some((piece, pieces))
    })
}

/// The body of an answer up to `limit` bytes; `None` if it is longer.
///
/// # Errors
/// A [`Failure`] in the middle of it.
pub async fn small_body(response: Response, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut pieces = std::pin::pin!(body(response));
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > limit {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// What is read of a file at once.
const FILE_PIECE: usize = 256 * 1024;

/// `length` bytes of a file from `start`, for the body of a request; fewer if the file is shorter.
#[must_use]
pub fn file_pieces(
    path: PathBuf,
    start: u64,
    length: u64,
) -> BoxStream<'static, io::Result<Bytes>> {
    let open = async move {
        let mut file = tokio::fs::File::open(&path).await?;
        file.seek(io::SeekFrom::Start(start)).await?;
        Ok::<_, io::Error>(ReaderStream::with_capacity(file.take(length), FILE_PIECE))
    };
    stream::once(open).try_flatten().boxed()
}

/// A URL as errors may show it: no user, no query, no fragment; either may hold a secret.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        let _ = write!(text, ":{port}");
    }
    text.push_str(url.path());
    text
}

/// Seconds since 1970 of an HTTP date.
#[must_use]
pub fn http_date(text: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_neither_user_nor_query() {
        for (url, expected) in [
            ("https://a:b@host/v2/x?token=1#f", "https://host/v2/x"),
            ("http://host:5000/", "http://host:5000/"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("yesterday"), None);
    }

    #[tokio::test]
    async fn a_certificate_that_is_none_is_an_error() {
        let clients = Clients::new(vec![b"not PEM".to_vec()]);
        assert!(matches!(clients.client(Peer::Verified).await, Err(Failure::Setup(_))));
        assert!(clients.client(Peer::Insecure).await.is_ok());
    }

    #[test]
    fn this_machine_needs_no_certificate() {
        for (url, insecure, expected) in [
            ("https://localhost:5000/", false, Peer::Loopback),
            ("http://127.8.0.1/", false, Peer::Loopback),
            ("http://[::1]:1/", true, Peer::Loopback),
            ("https://registry.lan/", true, Peer::Insecure),
            ("https://localhost.example/", false, Peer::Verified),
        ] {
            assert_eq!(Peer::of(&url.parse().unwrap(), insecure), expected, "{url}");
        }
    }
}
