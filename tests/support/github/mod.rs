//! GitHub's REST API in this process, as far as the report uses it: comments of a pull request in
//! pages, check runs, the pull requests of a commit, and faults on request.
//!
//! Use it with `#[path = "support/github/mod.rs"] mod github;`. It listens on a free port of the
//! loopback interface until it is dropped.

#![allow(dead_code, reason = "no test uses all of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Write,
    /// As on a pull request from a fork.
    Read,
}

/// What goes wrong with the next requests that match.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: &'static str,
    /// Part of the path.
    pub path: &'static str,
    pub times: usize,
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub pull: u64,
    pub login: String,
    pub body: String,
}

#[derive(Default)]
pub struct State {
    /// What links in answers begin with, where another server stands in front.
    pub public: Option<String>,
    pub host: String,
    pub access: Access,
    /// Whom the token belongs to; that of a job may not ask.
    pub login: Option<String>,
    /// Only GraphQL says whom the token of an app belongs to.
    pub app: Option<String>,
    pub comments: Vec<Comment>,
    pub checks: Vec<Value>,
    /// Pull requests by the commit that they are of.
    pub pulls: Vec<(String, Value)>,
    /// Of all pull requests.
    pub labels: Vec<String>,
    /// What all commits say.
    pub message: String,
    pub faults: Vec<Fault>,
    /// `METHOD PATH`
    pub log: Vec<String>,
    next: u64,
}

pub struct FakeGithub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeGithub {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { host: format!("http://{address}"), next: 1, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve(listener, &shared, stopped));
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// As in `GITHUB_API_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn comment(&self, pull: u64, login: &str, body: &str) -> u64 {
        self.state().add(pull, login, body)
    }

    pub fn bodies(&self, pull: u64) -> Vec<String> {
        let state = self.state();
        state.comments.iter().filter(|c| c.pull == pull).map(|c| c.body.clone()).collect()
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: std::net::TcpListener, state: &Arc<Mutex<State>>, stop: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        let accept = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stop => {}
        }
    });
}

type Answer = Response<Full<Bytes>>;

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap();
    state.log.push(format!("{} {path}", parts.method));
    Ok(state.respond(parts.method.as_str(), &path, &query, &body))
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap()
}

fn refusal(status: u16, message: &str) -> Answer {
    let documentation = "https://docs.github.com/rest";
    let status_text = status.to_string();
    json_answer(
        status,
        &json!({ "message": message, "documentation_url": documentation, "status": status_text }),
    )
}

impl State {
    fn add(&mut self, pull: u64, login: &str, body: &str) -> u64 {
        let id = self.next;
        self.next += 1;
        self.comments.push(Comment { id, pull, login: login.to_owned(), body: body.to_owned() });
        id
    }

    fn respond(&mut self, method: &str, path: &str, query: &str, body: &Value) -> Answer {
        let matches = |f: &&mut Fault| f.times > 0 && f.method == method && path.contains(f.path);
        if let Some(fault) = self.faults.iter_mut().find(matches) {
            fault.times -= 1;
            let mut answer = refusal(fault.status, "a fault on request");
            if let Some(seconds) = fault.retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            return answer;
        }
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let writes = method != "GET";
        if writes && self.access == Access::Read {
            return refusal(403, "Resource not accessible by integration");
        }
        let too_long = body["body"].as_str().is_some_and(|text| text.chars().count() > 65_536);
        if too_long {
            return refusal(422, "Validation Failed");
        }
        match (method, segments.as_slice()) {
            ("GET", ["user"]) => match &self.login {
                Some(login) => json_answer(200, &own_account(login)),
                None => refusal(403, "Resource not accessible by integration"),
            },
            ("POST", ["graphql"]) => match &self.app {
                Some(app) => json_answer(200, &json!({"data": {"viewer": {"login": app}}})),
                None => refusal(403, "Resource not accessible by integration"),
            },
            ("GET", ["repos", _, _, "issues", pull, "comments"]) => {
                self.list(path, query, pull.parse().unwrap())
            }
            ("POST", ["repos", _, _, "issues", pull, "comments"]) => {
                let login = self.login.clone().or(self.app.clone());
                let login = login.unwrap_or("github-actions[bot]".to_owned());
                let text = body["body"].as_str().unwrap_or_default();
                let id = self.add(pull.parse().unwrap(), &login, text);
                json_answer(201, &self.shown(id))
            }
            ("PATCH", ["repos", _, _, "issues", "comments", id]) => {
                let id = id.parse().unwrap();
                match self.comments.iter_mut().find(|c| c.id == id) {
                    Some(comment) => {
                        comment.body = body["body"].as_str().unwrap_or_default().to_owned();
                        json_answer(200, &self.shown(id))
                    }
                    None => refusal(404, "Not Found"),
                }
            }
            ("DELETE", ["repos", _, _, "issues", "comments", id]) => {
                let id: u64 = id.parse().unwrap();
                let before = self.comments.len();
                self.comments.retain(|comment| comment.id != id);
                if self.comments.len() == before {
                    return refusal(404, "Not Found");
                }
                Response::builder().status(204).body(Full::default()).unwrap()
            }
            ("POST", ["repos", _, _, "check-runs"]) => {
                self.checks.push(body.clone());
                json_answer(201, &check_run(self.checks.len(), body))
            }
            ("GET", ["repos", _, _, "issues", _, "labels"]) => {
                let label = |(id, name): (usize, &String)| {
                    json!({
                        "id": id, "node_id": format!("L_{id}"), "name": name, "color": "ededed",
                        "url": format!("{}/repos/acme/boat/labels/{name}", self.host),
                        "default": false, "description": null,
                    })
                };
                let labels: Vec<Value> = self.labels.iter().enumerate().map(label).collect();
                json_answer(200, &json!(labels))
            }
            ("GET", ["repos", _, _, "pulls"]) => {
                let head = query.split('&').find_map(|pair| pair.strip_prefix("head="));
                let head = head.unwrap_or_default().replace("%3A", ":");
                let pulls = self.pulls.iter().map(|(_, pull)| pull);
                let pulls: Vec<&Value> = pulls.filter(|p| p["head"]["label"] == head).collect();
                json_answer(200, &json!(pulls))
            }
            ("GET", ["repos", _, _]) => json_answer(
                200,
                &json!({
                    "description": "It floats", "html_url": "https://github.com/acme/boat",
                    "default_branch": "main", "license": { "spdx_id": "MIT" },
                }),
            ),
            ("GET", ["repos", _, _, "commits", sha]) => json_answer(200, &self.commit(sha)),
            ("GET", ["repos", _, _, "commits", sha, "pulls"]) => {
                let pulls: Vec<&Value> =
                    self.pulls.iter().filter(|(s, _)| s == sha).map(|(_, pull)| pull).collect();
                json_answer(200, &json!(pulls))
            }
            _ => refusal(404, "Not Found"),
        }
    }

    fn commit(&self, sha: &str) -> Value {
        let url = format!("{}/repos/acme/boat/commits/{sha}", self.host);
        let person = json!({
            "name": "Ada", "email": "ada@example.com", "date": "2026-01-02T03:04:05Z",
        });
        json!({
            "url": url, "sha": sha, "node_id": "C_1", "html_url": url, "comments_url": url,
            "commit": {
                "url": url, "author": person, "committer": person, "message": self.message,
                "comment_count": 0, "tree": { "sha": sha, "url": url },
            },
            "author": user("ada"), "committer": user("ada"), "parents": [],
        })
    }

    fn list(&self, path: &str, query: &str, pull: u64) -> Answer {
        let number = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let per_page = number("per_page").unwrap_or(30).clamp(1, 100);
        let page: usize = number("page").unwrap_or(1);
        let all: Vec<u64> = self.comments.iter().filter(|c| c.pull == pull).map(|c| c.id).collect();
        let shown: Vec<Value> = all
            .iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .map(|id| self.shown(*id))
            .collect();
        let mut answer = json_answer(200, &json!(shown));
        if page * per_page < all.len() {
            let root = self.public.as_deref().unwrap_or(&self.host);
            let next = page + 1;
            let link = format!("<{root}{path}?per_page={per_page}&page={next}>; rel=\"next\"");
            answer.headers_mut().insert("link", link.parse().unwrap());
        }
        answer
    }

    fn shown(&self, id: u64) -> Value {
        let comment = self.comments.iter().find(|c| c.id == id).unwrap();
        let (root, pull) = (&self.host, comment.pull);
        json!({
            "id": id,
            "node_id": format!("IC_{id}"),
            "url": format!("{root}/repos/acme/boat/issues/comments/{id}"),
            "html_url": format!("https://github.com/acme/boat/pull/{pull}#issuecomment-{id}"),
            "issue_url": format!("{root}/repos/acme/boat/issues/{pull}"),
            "body": comment.body,
            "user": user(&comment.login),
            "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05Z",
            "author_association": "NONE",
        })
    }
}

/// As made from the body of the request.
fn check_run(id: usize, asked: &Value) -> Value {
    let time = "2026-01-02T03:04:05Z";
    let mut check = asked.clone();
    for (name, value) in [
        ("id", json!(id)),
        ("node_id", json!(format!("CR_{id}"))),
        ("external_id", json!("")),
        ("url", json!(format!("https://api.github.com/repos/acme/boat/check-runs/{id}"))),
        ("html_url", json!(format!("https://github.com/acme/boat/runs/{id}"))),
        ("details_url", json!("https://github.com/acme/boat")),
        ("started_at", json!(time)),
        ("completed_at", json!(time)),
        ("check_suite", json!({ "id": 1 })),
        ("app", Value::Null),
        ("pull_requests", json!([])),
    ] {
        check[name] = value;
    }
    check["output"]["text"] = Value::Null;
    check["output"]["annotations_count"] = json!(0);
    check["output"]["annotations_url"] =
        json!(format!("https://api.github.com/repos/acme/boat/check-runs/{id}/annotations"));
    check
}

/// What an account sees of itself, besides what all see of it.
fn own_account(login: &str) -> Value {
    let mut account = user(login);
    for name in ["name", "company", "blog", "location", "email", "hireable", "bio"] {
        account[name] = Value::Null;
    }
    for name in ["public_repos", "public_gists", "followers", "following"] {
        account[name] = json!(0);
    }
    for name in ["created_at", "updated_at"] {
        account[name] = json!("2026-01-02T03:04:05Z");
    }
    account
}

fn user(login: &str) -> Value {
    let name = login.replace('[', "%5B").replace(']', "%5D");
    let url = format!("https://api.github.com/users/{name}");
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let mut user = json!({
        "login": login, "id": 1, "node_id": "U_1", "avatar_url": url, "gravatar_id": "",
        "url": url, "html_url": url, "type": kind, "site_admin": false,
    });
    for list in [
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
        "received_events",
    ] {
        user[format!("{list}_url")] = json!(url);
    }
    user
}
