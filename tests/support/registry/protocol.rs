//! What the fake registry answers: the distribution-spec's pull and push, and tokens.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use plimsoll::digest::Digest;

use super::{Answer, Asked, Auth, Closed, FaultKind, State};

fn full(bytes: impl Into<Bytes>) -> BoxBody<Bytes, std::io::Error> {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn status(status: u16) -> Answer {
    Response::builder().status(status).body(full("")).unwrap()
}

fn refusal(status: u16, code: &str) -> Answer {
    let text = format!(r#"{{"errors":[{{"code":"{code}","message":"refused by the fake"}}]}}"#);
    Response::builder().status(status).body(full(text)).unwrap()
}

impl State {
    pub fn answer(&mut self, asked: &Asked, fault: Option<FaultKind>) -> Result<Answer, Closed> {
        match fault {
            Some(FaultKind::Status(code)) => return Ok(status(code)),
            Some(FaultKind::StatusAfter(code, seconds)) => {
                let answer = Response::builder().status(code).header("retry-after", seconds);
                return Ok(answer.body(full("")).unwrap());
            }
            Some(FaultKind::Code(status, code)) => return Ok(refusal(status, code)),
            Some(FaultKind::CloseAfterReading(_)) => {
                if let Some(upload) = self.uploads.get_mut(&asked.path) {
                    upload.extend_from_slice(&asked.body);
                }
                return Err(Closed);
            }
            Some(FaultKind::ExpireTokens) => self.tokens.clear(),
            _ => {}
        }
        if self.options.body_limit.is_some_and(|limit| asked.body.len() > limit) {
            return Ok(status(413));
        }
        if asked.path == "/token" {
            return Ok(self.token(asked));
        }
        let answer = match self.refuse(asked) {
            Some(challenge) => challenge,
            None => self.route(asked),
        };
        match fault {
            Some(FaultKind::LoseAnswer) => Err(Closed),
            Some(FaultKind::BreakAfterSending(limit)) => Ok(spoil(answer, Some(limit))),
            Some(FaultKind::Corrupt) => Ok(spoil(answer, None)),
            _ => Ok(answer),
        }
    }

    fn route(&mut self, asked: &Asked) -> Answer {
        let path = asked.path.strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return status(200);
        }
        if let Some((repository, _)) = path.split_once("/blobs/uploads/") {
            return self.upload(asked, repository);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return self.read_blob(asked, repository, digest);
        }
        if let Some((repository, subject)) = path.split_once("/referrers/") {
            return self.referrers(repository, subject);
        }
        match path.split_once("/manifests/") {
            Some((repository, under)) => self.manifest(asked, repository, under),
            None => status(404),
        }
    }

    fn read_blob(&self, asked: &Asked, repository: &str, digest: &str) -> Answer {
        let blob = digest.parse().ok().and_then(|d| self.blobs.get(&(repository.to_owned(), d)));
        let Some(blob) = blob else { return refusal(404, "BLOB_UNKNOWN") };
        if asked.method == "HEAD" {
            let answer = Response::builder().header("content-length", blob.len());
            return answer.body(full("")).unwrap();
        }
        let range = asked.header("range").strip_prefix("bytes=");
        if let Some(range) = range.filter(|_| !self.options.ignore_ranges) {
            let (start, end) = range.split_once('-').unwrap();
            let start: usize = start.parse().unwrap();
            let end = end.parse().map_or(blob.len(), |last: usize| blob.len().min(last + 1));
            return Response::builder()
                .status(206)
                .header("content-range", format!("bytes {start}-{}/{}", end - 1, blob.len()))
                .body(full(blob.slice(start..end)))
                .unwrap();
        }
        Response::new(full(blob.clone()))
    }

    fn upload(&mut self, asked: &Asked, repository: &str) -> Answer {
        let minimum = self.options.chunk_minimum;
        let opened = |location: &str| {
            let answer = Response::builder().status(202).header("location", location);
            answer.header("oci-chunk-min-length", minimum).body(full("")).unwrap()
        };
        let range = |length: usize| format!("0-{}", length.saturating_sub(1));
        if asked.method == "POST" {
            if let (Some(digest), Some(from)) = (asked.query("mount"), asked.query("from"))
                && !self.options.decline_mounts
            {
                let digest: Digest = digest.parse().unwrap();
                if let Some(blob) = self.blobs.get(&(from.to_owned(), digest)).cloned() {
                    self.blobs.insert((repository.to_owned(), digest), blob);
                    return status(201);
                }
            }
            self.next += 1;
            let path = format!("/v2/{repository}/blobs/uploads/{}", self.next);
            self.uploads.insert(path.clone(), Vec::new());
            return opened(&format!("{path}?_state=secret"));
        }
        let Some(upload) = self.uploads.get_mut(&asked.path) else {
            return refusal(404, "BLOB_UPLOAD_UNKNOWN");
        };
        match asked.method.as_str() {
            "GET" => Response::builder()
                .status(204)
                .header("range", range(upload.len()))
                .body(full(""))
                .unwrap(),
            "PATCH" if self.options.refuse_chunks => refusal(405, "UNSUPPORTED"),
            "PATCH" => {
                let start = asked.header("content-range").split('-').next().unwrap_or_default();
                if start != upload.len().to_string() || self.complete.contains(&asked.path) {
                    return status(416);
                }
                if asked.body.len() < minimum {
                    self.complete.insert(asked.path.clone());
                }
                upload.extend_from_slice(&asked.body);
                let length = upload.len();
                let mut answer = opened(&format!("{}?_state=secret{length}", asked.path));
                answer.headers_mut().insert("range", range(length).parse().unwrap());
                answer
            }
            "PUT" => {
                upload.extend_from_slice(&asked.body);
                let bytes = Bytes::from(self.uploads.remove(&asked.path).unwrap());
                let found = Digest::of(&bytes);
                if asked.query("digest") != Some(&found.to_string()) {
                    return refusal(400, "DIGEST_INVALID");
                }
                self.blobs.insert((repository.to_owned(), found), bytes);
                status(201)
            }
            _ => status(405),
        }
    }

    fn manifest(&mut self, asked: &Asked, repository: &str, under: &str) -> Answer {
        let key = (repository.to_owned(), under.to_owned());
        if asked.method == "PUT" {
            let value: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
            let layers = value["layers"].as_array().into_iter().flatten();
            for part in layers.chain(value.get("config")) {
                let digest = part["digest"].as_str().and_then(|text| text.parse().ok()).unwrap();
                if !self.blobs.contains_key(&(repository.to_owned(), digest)) {
                    return refusal(400, "MANIFEST_BLOB_UNKNOWN");
                }
            }
            let digest = Digest::of(&asked.body).to_string();
            let entry = (asked.header("content-type").to_owned(), Bytes::from(asked.body.clone()));
            self.manifests.insert((repository.to_owned(), digest.clone()), entry.clone());
            self.manifests.insert(key, entry);
            let mut answer =
                Response::builder().status(201).header("docker-content-digest", digest);
            let subject = value["subject"]["digest"].as_str();
            if let Some(subject) = subject.filter(|_| self.options.lists_referrers) {
                answer = answer.header("oci-subject", subject);
            }
            return answer.body(full("")).unwrap();
        }
        let Some((media_type, bytes)) = self.manifests.get(&key) else {
            return refusal(404, "MANIFEST_UNKNOWN");
        };
        let mut answer = Response::builder().header("content-type", media_type);
        if !self.options.no_digest_header {
            answer = answer.header("docker-content-digest", Digest::of(bytes).to_string());
        }
        let body = if asked.method == "HEAD" { full("") } else { full(bytes.clone()) };
        answer.body(body).unwrap()
    }

    /// All manifests with this subject, whatever their type: a filter is nobody's duty.
    fn referrers(&self, repository: &str, subject: &str) -> Answer {
        if !self.options.lists_referrers {
            return status(404);
        }
        let listed = self.manifests.iter().filter_map(|((of, under), (media_type, bytes))| {
            let manifest: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            let ours = of == repository && under.contains(':');
            (ours && manifest["subject"]["digest"] == subject).then(|| {
                serde_json::json!({
                    "mediaType": media_type,
                    "digest": under,
                    "size": bytes.len(),
                    "artifactType": manifest["artifactType"],
                    "annotations": manifest["annotations"],
                })
            })
        });
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": listed.collect::<Vec<_>>(),
        });
        let answer =
            Response::builder().header("content-type", "application/vnd.oci.image.index.v1+json");
        answer.body(full(index.to_string())).unwrap()
    }

    /// The challenge for a request that may not go on.
    fn refuse(&self, asked: &Asked) -> Option<Answer> {
        let authorization = asked.header("authorization");
        let challenge = |text: String| {
            let mut answer = refusal(401, "UNAUTHORIZED");
            answer.headers_mut().insert("www-authenticate", text.parse().unwrap());
            Some(answer)
        };
        match &self.options.auth {
            Auth::None => None,
            Auth::Basic { user, password } => {
                let expected = STANDARD.encode(format!("{user}:{password}"));
                if authorization == format!("Basic {expected}") {
                    return None;
                }
                challenge(r#"Basic realm="fake""#.to_owned())
            }
            Auth::Token { .. } => {
                let granted = authorization
                    .strip_prefix("Bearer ")
                    .and_then(|token| self.tokens.get(token))
                    .map_or(&[][..], Vec::as_slice);
                let needed = needed(asked);
                if needed.iter().all(|need| granted.contains(need)) && !authorization.is_empty() {
                    return None;
                }
                let scope = needed.first().cloned().unwrap_or_default();
                let scope = if scope.is_empty() { scope } else { format!(r#",scope="{scope}""#) };
                challenge(format!(
                    r#"Bearer realm="http://{}/token",service="fake"{scope}"#,
                    self.host
                ))
            }
        }
    }

    fn token(&mut self, asked: &Asked) -> Answer {
        let Auth::Token { user, password, identity_token, public } = self.options.auth.clone()
        else {
            return status(404);
        };
        let form = format!("http://x/?{}", String::from_utf8_lossy(&asked.body));
        let form: HashMap<String, String> = reqwest::Url::parse(&form)
            .unwrap()
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let (known, scopes) = if asked.method == "POST" {
            let token = form.get("refresh_token");
            if token.is_none() || token != identity_token.as_ref() {
                return status(401);
            }
            let scopes = form.get("scope").cloned().unwrap_or_default();
            (true, scopes.split(' ').map(str::to_owned).collect())
        } else {
            let given = asked.header("authorization");
            if !given.is_empty() && given != expected {
                let text = r#"{"details":"incorrect username or password"}"#;
                return Response::builder().status(401).body(full(text)).unwrap();
            }
            (!given.is_empty(), asked.query.get("scope").cloned().unwrap_or_default())
        };
        self.token_requests.push(scopes.clone());
        let mut granted = Vec::new();
        for scope in scopes {
            let mut parts = scope.splitn(3, ':').skip(1);
            let (name, actions) = (parts.next().unwrap(), parts.next().unwrap());
            for action in actions.split(',') {
                if known || (action == "pull" && public.iter().any(|open| open == name)) {
                    granted.push(format!("repository:{name}:{action}"));
                }
            }
        }
        self.next += 1;
        let token = format!("token-{}", self.next);
        self.tokens.insert(token.clone(), granted);
        Response::new(full(format!(r#"{{"token":"{token}","expires_in":300}}"#)))
    }
}

/// The scopes that a request needs, one action each.
fn needed(asked: &Asked) -> Vec<String> {
    let path = asked.path.strip_prefix("/v2/").unwrap_or_default();
    let separator =
        ["/blobs/", "/manifests/", "/referrers/"].into_iter().find(|part| path.contains(part));
    let Some((repository, rest)) = separator.and_then(|part| path.split_once(part)) else {
        return Vec::new();
    };
    let reads = matches!(asked.method.as_str(), "GET" | "HEAD") && !rest.starts_with("uploads/");
    let action = if reads { "pull" } else { "push" };
    let mut needed = vec![format!("repository:{repository}:{action}")];
    needed.extend(asked.query("from").map(|from| format!("repository:{from}:pull")));
    needed
}

/// Breaks the body off after `limit` bytes, or changes its first byte.
fn spoil(answer: Answer, limit: Option<usize>) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let bytes = futures_util::FutureExt::now_or_never(body.collect());
    let mut bytes = bytes.expect("a body in memory").unwrap().to_bytes().to_vec();
    let Some(limit) = limit else {
        bytes[0] ^= 1;
        return Response::from_parts(parts, full(bytes));
    };
    parts.headers.insert("content-length", bytes.len().into());
    bytes.truncate(limit);
    let frames = futures_util::stream::unfold(Some(Bytes::from(bytes)), |rest| async {
        match rest {
            Some(bytes) => Some((Ok(Frame::data(bytes)), None)),
            None => {
                // What was sent has to get out before the connection goes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err(std::io::Error::other("broken on purpose")), None))
            }
        }
    });
    Response::from_parts(parts, StreamBody::new(Box::pin(frames)).boxed())
}
