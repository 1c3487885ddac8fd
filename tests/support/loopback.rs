//! A small HTTP/1.1 server on a free port of the loopback interface, for fakes: a function from
//! requests to replies, with replies that go wrong on purpose. It ends when it is dropped.

#![allow(dead_code, reason = "no test uses all of it")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A request, read to its end.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Before the answer.
    pub delay: Duration,
    /// The connection is closed when so many bytes of the body have been sent.
    pub break_after: Option<usize>,
    /// The connection is closed instead of the answer.
    pub lost: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("content-type", "application/json")
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

pub struct Loopback {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Each connection and each request waits for `round_trip`, as on a line of that length. The
    /// function that makes the handler is told the address.
    pub fn start<H>(round_trip: Duration, handler: impl FnOnce(SocketAddr) -> H) -> Self
    where
        H: Fn(Asked) -> Reply + Send + Sync + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let handler = Arc::new(handler(address));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, round_trip, handler) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve<H>(listener: TcpListener, round_trip: Duration, handler: Arc<H>)
where
    H: Fn(Asked) -> Reply + Send + Sync + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            tokio::time::sleep(round_trip).await;
            let service = service_fn(|request| answer(request, round_trip, &*handler));
            // An error is a client that went away, or a reply that goes wrong on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

type Body = BoxBody<Bytes, Closed>;

async fn answer(
    request: Request<Incoming>,
    round_trip: Duration,
    handler: impl Fn(Asked) -> Reply,
) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let url = reqwest::Url::parse(&format!("http://x{}", parts.uri)).map_err(|_| Closed)?;
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let reply = handler(Asked {
        method: parts.method.to_string(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers: parts.headers,
        body,
    });
    tokio::time::sleep(round_trip + reply.delay).await;
    if reply.lost {
        return Err(Closed);
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if parts.method == hyper::Method::HEAD {
        let length = reply.body.len();
        let body = Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed();
        return Ok(response.header("content-length", length).body(body).unwrap());
    }
    let body = match reply.break_after {
        None => Full::new(reply.body).map_err(|never: Infallible| match never {}).boxed(),
        Some(limit) => {
            response = response.header("content-length", reply.body.len());
            let sent = reply.body.slice(..limit.min(reply.body.len()));
            let pieces = [Ok(Frame::data(sent)), Err(Closed)];
            let pieces = stream::iter(pieces).then(async |piece| {
                // What was sent must have left before the connection is closed.
                tokio::time::sleep(Duration::from_millis(20)).await;
                piece
            });
            BoxBody::new(StreamBody::new(Box::pin(pieces)))
        }
    };
    Ok(response.body(body).unwrap())
}
