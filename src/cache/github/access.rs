//! What a job's token lets it do: the scopes of its claim `ac`, and `ACTIONS_CACHE_MODE`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// A branch, tag or pull request whose entries the token reaches. The service looks through them in
/// the token's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Such as `refs/heads/main`.
    pub name: String,
    pub read: bool,
    pub write: bool,
}

/// `ACTIONS_CACHE_MODE`, which a workflow sets with `cache-mode:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    #[default]
    ReadWrite,
    Read,
    WriteOnly,
    None,
}

impl CacheMode {
    /// What is not known is left to the service to judge.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "read" => Self::Read,
            "write-only" => Self::WriteOnly,
            "none" => Self::None,
            _ => Self::ReadWrite,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `None` if the token does not say; the service will.
    pub scopes: Option<Vec<Scope>>,
    pub mode: CacheMode,
}

impl Access {
    /// Reads the token's claim without looking at its signature: the service does that.
    #[must_use]
    pub fn of(token: &str, mode: CacheMode) -> Self {
        Self { scopes: scopes(token), mode }
    }

    /// Why nothing can be read, if that is so.
    #[must_use]
    pub fn read_denial(&self) -> Option<String> {
        match self.mode {
            CacheMode::WriteOnly => Some("the job's cache mode is write-only".to_owned()),
            CacheMode::None => Some("the job's cache mode is none".to_owned()),
            _ if self.some_scope(|scope| scope.read) => None,
            _ => Some("the job's token may read no cache".to_owned()),
        }
    }

    /// Why nothing can be saved, if that is so.
    #[must_use]
    pub fn write_denial(&self) -> Option<String> {
        match self.mode {
            CacheMode::Read => Some("the job's cache mode is read".to_owned()),
            CacheMode::None => Some("the job's cache mode is none".to_owned()),
            _ if self.some_scope(|scope| scope.write) => None,
            _ => Some("the job's token may only read caches".to_owned()),
        }
    }

    /// One scope's answer can hide another's.
    pub(super) fn has_one_scope_to_read(&self) -> bool {
        self.scopes.as_ref().is_some_and(|scopes| scopes.iter().filter(|s| s.read).count() == 1)
    }

    fn some_scope(&self, may: impl Fn(&Scope) -> bool) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(may))
    }
}

#[derive(Deserialize)]
struct Claims {
    /// JSON again, as text.
    ac: String,
}

#[derive(Deserialize)]
struct AccessControl {
    #[serde(rename = "Scope")]
    scope: String,
    /// 1 to read, 2 to write, 3 for both.
    #[serde(rename = "Permission")]
    permission: u32,
}

fn scopes(token: &str) -> Option<Vec<Scope>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let controls: Vec<AccessControl> = serde_json::from_str(&claims.ac).ok()?;
    let scope = |AccessControl { scope: name, permission }| Scope {
        name,
        read: permission & 1 != 0,
        write: permission & 2 != 0,
    };
    Some(controls.into_iter().map(scope).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn access(ac: &str, mode: &str) -> Access {
        let claims = serde_json::json!({ "ac": ac, "exp": 1 }).to_string();
        Access::of(&token(&claims), CacheMode::parse(mode))
    }

    #[test]
    fn scopes_come_from_the_tokens_claim() {
        let ac = r#"[{"Scope":"refs/pull/707/merge","Permission":3},
                     {"Scope":"refs/heads/master","Permission":1}]"#;
        let scope = |name: &str, write| Scope { name: name.to_owned(), read: true, write };
        let expected = vec![scope("refs/pull/707/merge", true), scope("refs/heads/master", false)];
        assert_eq!(access(ac, "").scopes, Some(expected));
    }

    #[test]
    fn a_token_that_says_nothing_is_tried() {
        for bad in ["", "opaque", "a.b.c", &token("{}"), &token(r#"{"ac":"no JSON"}"#)] {
            let access = Access::of(bad, CacheMode::ReadWrite);
            assert_eq!(access.scopes, None, "{bad}");
            assert_eq!((access.read_denial(), access.write_denial()), (None, None), "{bad}");
            assert!(!access.has_one_scope_to_read(), "{bad}");
        }
    }

    #[test]
    fn claim_and_mode_say_what_may_be_done() {
        let both = r#"[{"Scope":"refs/heads/main","Permission":3}]"#;
        let read = r#"[{"Scope":"refs/heads/main","Permission":1}]"#;
        let write = r#"[{"Scope":"","Permission":2}]"#;
        for (ac, mode, may_read, may_write) in [
            (both, "", true, true),
            (both, "write", true, true),
            (both, "new-in-2030", true, true),
            (both, "read", true, false),
            (both, "write-only", false, true),
            (both, "none", false, false),
            (read, "", true, false),
            (read, "write", true, false),
            (write, "", false, true),
            ("[]", "", false, false),
        ] {
            let access = access(ac, mode);
            assert_eq!(access.read_denial().is_none(), may_read, "{ac} {mode}");
            assert_eq!(access.write_denial().is_none(), may_write, "{ac} {mode}");
        }
    }
}
