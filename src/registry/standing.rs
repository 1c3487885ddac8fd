//! What the names of an image lead to before it is pushed, asked while it is built: a name that leads
//! to it already needs nothing more.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use reqwest::Method;
use tokio::runtime::Handle;

use super::auth::Scope;
use super::endpoint::Call;
use super::push::same_repository;
use super::resolve::{DIGEST_HEADER, accept_any};
use super::upload::own;
use super::{Error, Reference, Registry};
use crate::digest::Digest;

/// After this, somebody else may have moved the name.
const FRESH: Duration = Duration::from_secs(10);

/// What names led to; the answers come by and by.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    asked: Option<Instant>,
    answers: Vec<(Reference, Shared<BoxFuture<'static, Option<Digest>>>)>,
}

impl Registry {
    /// Begins to ask what `names` lead to, on `runtime`.
    #[must_use]
    pub fn standing(&self, names: Vec<Reference>, runtime: &Handle) -> Standing {
        let ask = |name: Reference| {
            let (registry, asked) = (self.clone(), name.clone());
            let task = runtime.spawn(async move { registry.named(&asked).await.ok().flatten() });
            (name, task.map(|answer| answer.ok().flatten()).boxed().shared())
        };
        Standing { asked: Some(Instant::now()), answers: names.into_iter().map(ask).collect() }
    }

    /// What the registry itself has under a name, if its answer says so.
    async fn named(&self, name: &Reference) -> Result<Option<Digest>, Error> {
        let Some(tag) = name.tag() else { return Ok(None) };
        let endpoints = self.endpoints(name.registry())?;
        let endpoint = own(&endpoints);
        let url = endpoint.url(name.repository(), &format!("manifests/{tag}"))?;
        // As the push will need it, so that one token does for both.
        let scopes = [Scope::push(name.repository())];
        let answer =
            endpoint.send(&accept_any(Call::new(Method::HEAD, url, &scopes).once())).await?;
        let header = answer.headers().get(DIGEST_HEADER);
        Ok(header.and_then(|value| value.to_str().ok()?.parse().ok()))
    }
}

impl Standing {
    /// Whether `name` led to this manifest moments ago.
    pub(super) async fn leads(&self, name: &Reference, to: &Digest) -> bool {
        let answer = self.answers.iter().find(|(asked, _)| asked == name);
        match answer.filter(|_| self.is_fresh()) {
            Some((_, answer)) => answer.clone().await.as_ref() == Some(to),
            None => false,
        }
    }

    /// Whether a name in the repository of `target` led to this manifest moments ago.
    pub(super) async fn has(&self, target: &Reference, manifest: &Digest) -> bool {
        for (name, _) in self.answers.iter().filter(|(name, _)| same_repository(name, target)) {
            if self.leads(name, manifest).await {
                return true;
            }
        }
        false
    }

    fn is_fresh(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < FRESH)
    }
}
