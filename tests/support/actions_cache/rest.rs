//! GitHub's REST API on caches, for the repository `acme/app` and the token [`REST_TOKEN`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Asked, Entry, Reply, State};

pub const REST_TOKEN: &str = "rest-token-canary-9dKw";
/// May list, but neither delete nor see pull requests.
pub const READ_TOKEN: &str = "read-token-canary-3cTz";
const REPOSITORY: &str = "/repos/acme/app/";

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message, "status": status.to_string() }))
}

/// A time for each tick of the fake's clock.
fn time(tick: u64) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", tick / 3600, tick / 60 % 60, tick % 60)
}

fn listed(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "ref": entry.scope,
        "key": entry.key,
        "version": entry.version,
        "last_accessed_at": time(entry.used),
        "created_at": time(entry.created),
        "size_in_bytes": entry.size,
    })
}

impl State {
    pub fn rest(&mut self, asked: &Asked) -> Reply {
        let is = |token: &str| asked.header("authorization") == format!("Bearer {token}");
        if !is(REST_TOKEN) && !is(READ_TOKEN) {
            return error(401, "Bad credentials");
        }
        let Some(path) = asked.path.strip_prefix(REPOSITORY) else {
            return error(404, "Not Found");
        };
        if is(READ_TOKEN) && (asked.method != "GET" || path.starts_with("pulls/")) {
            return error(403, "Resource not accessible by integration");
        }
        if let Some(number) = path.strip_prefix("pulls/") {
            let scope = format!("refs/pull/{number}/merge");
            let state = if self.scopes_over.contains(&scope) { "closed" } else { "open" };
            return Reply::json(200, &json!({ "number": number, "state": state }));
        }
        if let Some(name) = path.strip_prefix("git/matching-refs/") {
            let begins = format!("refs/{name}");
            let scopes = self.entries.iter().map(|entry| &entry.scope);
            let there = scopes.filter(|s| s.starts_with(&begins) && !self.scopes_over.contains(*s));
            let there: BTreeSet<&String> = there.collect();
            let refs: Vec<Value> = there.iter().map(|name| json!({ "ref": name })).collect();
            return Reply::json(200, &refs.into());
        }
        let Some(path) = path.strip_prefix("actions/") else {
            return error(404, "Not Found");
        };
        match (asked.method.as_str(), path.split_once('/')) {
            ("GET", Some(("cache", "usage"))) => {
                let sizes: Vec<u64> = self.entries.iter().filter_map(|entry| entry.size).collect();
                Reply::json(
                    200,
                    &json!({
                        "full_name": "acme/app",
                        "active_caches_size_in_bytes": sizes.iter().sum::<u64>(),
                        "active_caches_count": sizes.len(),
                    }),
                )
            }
            ("GET", None) if path == "caches" => self.list(asked),
            ("DELETE", Some(("caches", id))) => {
                let before = self.entries.len();
                self.entries.retain(|entry| entry.id.to_string() != id);
                if self.entries.len() == before {
                    return error(404, "Not Found");
                }
                Reply::new(204, "")
            }
            _ => error(404, "Not Found"),
        }
    }

    fn list(&self, asked: &Asked) -> Reply {
        let scope = asked.query("ref");
        let mut found: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.size.is_some() && entry.key.starts_with(asked.query("key")))
            .filter(|entry| scope.is_empty() || entry.scope == scope)
            .collect();
        // GitHub's own order: the newest use first.
        found.sort_by_key(|entry| match asked.query("sort") {
            "created_at" => entry.created,
            _ => entry.used,
        });
        if asked.query("direction") != "asc" {
            found.reverse();
        }
        let size = asked.query("per_page").parse().unwrap_or(30).min(100);
        let page: usize = asked.query("page").parse().unwrap_or(1);
        let on_page = found.iter().skip((page - 1) * size).take(size);
        let caches: Vec<Value> = on_page.map(|entry| listed(entry)).collect();
        Reply::json(200, &json!({ "total_count": found.len(), "actions_caches": caches }))
    }
}
