//! The three calls: reserve, finalize, look up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Asked, Blob, CREATE, Entry, FINALIZE, Reply, State, TOKEN_CANARY};

const LONGEST_KEY: usize = 512;
const MOST_KEYS: usize = 10;

pub fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "code": code, "msg": message }))
}

/// The keys that a call names.
pub fn keys(asked: &Asked) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&asked.body) else { return Vec::new() };
    let restore = body["restore_keys"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    [body["key"].clone()].iter().chain(&restore).filter_map(text).collect()
}

/// Scope and permission, from the token.
fn scopes(asked: &Asked) -> Option<Vec<(String, u64)>> {
    let token = asked.header("authorization").strip_prefix("Bearer ")?;
    let mut parts = token.split('.').skip(1);
    let claims = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    if parts.next() != Some(TOKEN_CANARY) {
        return None;
    }
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes: Value = serde_json::from_str(claims["ac"].as_str()?).ok()?;
    let scope =
        |scope: &Value| Some((scope["Scope"].as_str()?.to_owned(), scope["Permission"].as_u64()?));
    scopes.as_array()?.iter().map(scope).collect()
}

impl State {
    pub fn call(&mut self, call: &str, asked: &Asked) -> Reply {
        let Some(scopes) = scopes(asked) else {
            return error(401, "unauthenticated", "invalid token");
        };
        let Ok(request) = serde_json::from_slice::<Value>(&asked.body) else {
            return error(400, "malformed", "the json request could not be decoded");
        };
        let keys = keys(asked);
        let bad = |key: &String| key.is_empty() || key.len() > LONGEST_KEY || key.contains(',');
        // The key and nine more; a repeated one is not counted twice.
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        let version = request["version"].as_str().unwrap_or_default();
        if keys.iter().any(bad) || distinct.len() > MOST_KEYS || keys.is_empty() {
            return error(400, "invalid_argument", "key");
        }
        if version.len() != 64 || !version.bytes().all(|b| b.is_ascii_hexdigit()) {
            return error(400, "invalid_argument", "version");
        }
        match call {
            CREATE => self.create(&keys[0], version, &scopes),
            FINALIZE => self.finalize(&keys[0], version, &request["size_bytes"], &scopes),
            _ => self.look_up(&keys[0], &keys[1..], version, &scopes),
        }
    }

    fn create(&mut self, key: &str, version: &str, scopes: &[(String, u64)]) -> Reply {
        let Some(scope) = writable(scopes) else {
            let message = "cache write denied: token has no writable scopes";
            return Reply::json(200, &json!({ "ok": false, "message": message }));
        };
        if self.entry(key, version, scope).is_some() {
            let message = "cache entry with the same key, version, and scope already exists";
            return error(409, "already_exists", message);
        }
        let id = self.tick();
        self.entries.push(Entry {
            id,
            key: key.to_owned(),
            version: version.to_owned(),
            scope: scope.to_owned(),
            size: None,
            blob: Blob::default(),
            created: id,
            used: id,
        });
        let url = self.sign(id, true);
        Reply::json(200, &json!({ "ok": true, "signed_upload_url": url, "message": "" }))
    }

    fn finalize(
        &mut self,
        key: &str,
        version: &str,
        size: &Value,
        scopes: &[(String, u64)],
    ) -> Reply {
        let elsewhere = self.options.elsewhere.is_some();
        let now = self.tick();
        let entry = writable(scopes).and_then(|scope| self.entry(key, version, scope));
        let Some(entry) = entry.filter(|entry| entry.size.is_none()) else {
            return error(404, "not_found", "no reservation of that key, version and scope");
        };
        // The protocol's numbers of 64 bits are text in JSON; a number is taken too.
        let size = size.as_u64().or_else(|| size.as_str()?.parse().ok());
        let found = entry.blob.content.as_ref().map(|content| content.len() as u64);
        if size.is_none() || (size != found && !elsewhere) {
            return error(400, "invalid_argument", "size_bytes is not the size of the blob");
        }
        entry.size = size;
        entry.created = now;
        entry.used = now;
        let id = entry.id.to_string();
        self.make_room();
        Reply::json(200, &json!({ "ok": true, "entry_id": id, "message": "" }))
    }

    fn look_up(
        &mut self,
        key: &str,
        restore_keys: &[String],
        version: &str,
        scopes: &[(String, u64)],
    ) -> Reply {
        let readable: Vec<_> =
            scopes.iter().filter(|(_, permission)| permission & 1 != 0).collect();
        if readable.is_empty() {
            let message = "cache read denied: token has no readable scopes";
            return error(403, "permission_denied", message);
        }
        let mut wanted = vec![(key, !self.options.exact_key)];
        wanted.extend(restore_keys.iter().map(|key| (key.as_str(), true)));
        // The order of scopes comes before the order of keys.
        let found = readable.iter().find_map(|(scope, _)| {
            wanted.iter().find_map(|(key, prefix)| self.best(key, *prefix, version, scope))
        });
        let Some(id) = found else {
            let nothing = json!({ "ok": false, "signed_download_url": "", "matched_key": "" });
            return Reply::json(200, &nothing);
        };
        let now = self.tick();
        let url = self.sign(id, false);
        let entry = self.entries.iter_mut().find(|entry| entry.id == id).unwrap();
        entry.used = now;
        let found =
            json!({ "ok": true, "signed_download_url": url, "matched_key": entry.key.clone() });
        Reply::json(200, &found)
    }

    /// An entry of exactly that key, else the newest whose key begins with it.
    fn best(&self, key: &str, prefix: bool, version: &str, scope: &str) -> Option<u64> {
        let in_scope = |entry: &&Entry| {
            entry.size.is_some() && entry.version == version && entry.scope == scope
        };
        let saved = || self.entries.iter().filter(in_scope);
        let exact = saved().find(|entry| entry.key == key);
        let newest = || saved().filter(|e| e.key.starts_with(key)).max_by_key(|e| e.created);
        exact.or_else(|| if prefix { newest() } else { None }).map(|entry| entry.id)
    }

    fn entry(&mut self, key: &str, version: &str, scope: &str) -> Option<&mut Entry> {
        let is = |e: &&mut Entry| e.key == key && e.version == version && e.scope == scope;
        self.entries.iter_mut().find(is)
    }

    fn make_room(&mut self) {
        let Some(quota) = self.options.quota else { return };
        while self.entries.iter().filter_map(|entry| entry.size).sum::<u64>() > quota {
            let saved = self.entries.iter().filter(|entry| entry.size.is_some());
            let oldest = saved.min_by_key(|entry| entry.used).unwrap().id;
            self.entries.retain(|entry| entry.id != oldest);
        }
    }
}

/// Where the token writes: its first scope that it may write.
fn writable(scopes: &[(String, u64)]) -> Option<&str> {
    scopes.iter().find(|(_, permission)| permission & 2 != 0).map(|(scope, _)| scope.as_str())
}
