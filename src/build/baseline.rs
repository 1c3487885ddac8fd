//! What an earlier build weighed, for the difference; and the weight of this build for later ones.
//!
//! Looked for while the build runs: in the caches the base commit, then the newest build of the base
//! branch that is left; then the image in the registry, whose weight stands beside it as an artifact,
//! or else is found by reading its layers. What goes wrong here is a notice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::assemble::rfc3339;
use super::session::Session;
use crate::cache::{LOGBOOK_LIMIT, Place, WEIGHT_LIMIT, WeightKeys};
use crate::error::Error;
use crate::http::RetryPolicy;
use crate::image::Descriptor;
use crate::inspect::{self, ImageReference, InspectError, Reading};
use crate::platform::Platform;
use crate::registry::{self, Artifact, Reference, Registry, parse_reference};
use crate::request::{BuildRequest, Lineage, OutputKind, SizeBaseline};
use crate::weight::{self, Logbook, Logged, Weight};

const WEIGHT_ARTIFACT: &str = "application/vnd.plimsoll.weight.v1";
const WEIGHT_TYPE: &str = "application/vnd.plimsoll.weight.v1+zstd";
const LOGBOOK_TYPE: &str = "application/vnd.plimsoll.logbook.v1+zstd";
const CREATED: &str = "org.opencontainers.image.created";
const REVISION: &str = "org.opencontainers.image.revision";
/// As for a cache: a build does not wait for this as it does for its bases.
const ATTEMPTS: u32 = 3;
/// As many digits of a commit as people write.
const SHORT: usize = 9;

/// An earlier weight to compare with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baseline {
    #[serde(skip)]
    pub weight: Weight,
    #[serde(flatten)]
    pub origin: BaselineOrigin,
}

/// Which build a baseline is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BaselineOrigin {
    /// The commit that this build begins from.
    Base { commit: String, branch: Option<String> },
    /// The newest build of the branch that is left.
    Nearest { commit: String, branch: String },
    /// What the registry had under this name before this build.
    Image { name: String, commit: Option<String> },
    /// What the user named.
    Named { name: String },
}

impl fmt::Display for BaselineOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { commit, branch: Some(branch) } => {
                write!(f, "{} on {branch}", short(commit))
            }
            Self::Base { commit, branch: None } => f.write_str(short(commit)),
            Self::Nearest { commit, branch } => {
                write!(f, "{}, the nearest build of {branch}", short(commit))
            }
            Self::Image { name, commit: Some(commit) } => write!(f, "{name} of {}", short(commit)),
            Self::Image { name, commit: None } | Self::Named { name } => f.write_str(name),
        }
    }
}

/// Commits are hexadecimal, so that any byte of one is a character.
fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// What was found. All of it may be nothing.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) baseline: Option<Baseline>,
    /// Of the base branch.
    history: Logbook,
    /// Of this branch.
    own: Logbook,
    notices: Vec<String>,
}

/// The search, under way.
pub(super) struct Search {
    running: Option<oneshot::Receiver<Found>>,
    found: Found,
}

impl Search {
    /// Begins, where the request wants it.
    pub(super) fn begin(session: &Session<'_>) -> Self {
        let wanted = session.request.size_baseline.clone();
        if wanted == SizeBaseline::None {
            return Self { running: None, found: Found::default() };
        }
        let (found, receiver) = oneshot::channel();
        let policy = RetryPolicy { attempts: ATTEMPTS, ..RetryPolicy::default() };
        let searcher = Searcher {
            keys: keys(session),
            places: session.cache.places().to_vec(),
            names: candidates(session.request),
            registry: session.registry.clone().with_retry_policy(policy),
            runtime: Arc::clone(&session.runtime),
            platform: session.platform.clone(),
            threads: session.request.threads,
        };
        // Not joined: where nobody waits for it any more, it ends with the process.
        std::thread::spawn(move || {
            found.send(match wanted {
                SizeBaseline::None => Found::default(),
                SizeBaseline::Image(image) => searcher.named(&image),
                SizeBaseline::Lineage(lineage) => searcher.search(&lineage),
            })
        });
        Self { running: Some(receiver), found: Found::default() }
    }

    /// Waits for the end of it: before a name that it looks at is this build's image.
    pub(super) fn settle(&mut self, session: &Session<'_>) -> Result<(), Error> {
        if let Some(receiver) = self.running.take() {
            self.found = session.wait(receiver)?.unwrap_or_default();
        }
        Ok(())
    }

    /// What the earlier image weighed, if it is settled and there was one.
    pub(super) fn weight(&self) -> Option<&Weight> {
        self.found.baseline.as_ref().map(|baseline| &baseline.weight)
    }

    /// What was found, once.
    pub(super) fn finish(&mut self, session: &Session<'_>) -> Result<Found, Error> {
        self.settle(session)?;
        let found = std::mem::take(&mut self.found);
        found.notices.iter().for_each(|notice| session.notice(notice.clone()));
        Ok(found)
    }
}

fn keys(session: &Session<'_>) -> WeightKeys {
    WeightKeys::of(&session.prefix())
}

/// The names that an earlier build may have pushed its image under, the likeliest first: the base
/// branch as a tag in the same repository, then the tag itself.
fn candidates(request: &BuildRequest) -> Vec<Reference> {
    let pushed = request.outputs.iter().flat_map(|output| match &output.kind {
        OutputKind::Registry { names } => names.as_slice(),
        _ => &[],
    });
    let names: Vec<Reference> =
        pushed.chain(&request.tags).filter_map(|name| parse_reference(name).ok()).collect();
    // A bare name such as `app` is one of Docker Hub's own images, which nobody pushes to.
    let ours = |name: &&Reference| !name.repository().starts_with("library/");
    let base = request.size_baseline.lineage().and_then(|lineage| lineage.base_branch.as_deref());
    let mut candidates: Vec<Reference> = Vec::new();
    for name in names.iter().filter(ours) {
        if let Some(base) = base {
            let (host, repository) = (name.registry().to_owned(), name.repository().to_owned());
            candidates.push(Reference::with_tag(host, repository, as_tag(base)));
        }
    }
    candidates.extend(names.iter().filter(ours).cloned());
    let mut seen = Vec::new();
    candidates.retain(|name| {
        let whole = name.whole();
        let new = !seen.contains(&whole);
        seen.push(whole);
        new
    });
    candidates
}

/// As the usual workflows name the image of a branch.
fn as_tag(branch: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    branch.chars().map(allowed).take(128).collect()
}

struct Searcher {
    keys: WeightKeys,
    places: Vec<Arc<Place>>,
    names: Vec<Reference>,
    registry: Registry,
    runtime: Arc<Runtime>,
    platform: Platform,
    threads: usize,
}

impl Searcher {
    /// What the user has named.
    fn named(&self, image: &ImageReference) -> Found {
        let mut found = Found::default();
        match self.weigh(image) {
            Ok(weight) => {
                let origin = BaselineOrigin::Named { name: image.to_string() };
                found.baseline = Some(Baseline { weight, origin });
            }
            Err(why) => found.notices.push(format!("nothing to compare with: {why}")),
        }
        found
    }

    fn weigh(&self, image: &ImageReference) -> Result<Weight, InspectError> {
        let reading = Reading {
            platform: &self.platform,
            threads: self.threads,
            registry: &self.registry,
            runtime: self.runtime.handle(),
            dockerfile: None,
        };
        inspect::weigh(image, &reading)
    }

    fn search(&self, lineage: &Lineage) -> Found {
        let mut found = Found::default();
        let Lineage { branch, base_branch, .. } = lineage;
        found.history = self.logbook(base_branch.as_deref());
        found.own = match branch == base_branch {
            true => found.history.clone(),
            false => self.logbook(branch.as_deref()),
        };
        found.baseline =
            self.base_commit(lineage).or_else(|| self.nearest(lineage, &found.history));
        if found.baseline.is_none() {
            self.search_registry(lineage, &mut found);
        }
        found
    }

    fn logbook(&self, branch: Option<&str>) -> Logbook {
        let of = |place: &Arc<Place>| place.logbook(&self.keys, branch?);
        self.places.iter().find_map(of).unwrap_or_default()
    }

    fn base_commit(&self, lineage: &Lineage) -> Option<Baseline> {
        let commit = lineage.base_commit.clone()?;
        let of = |place: &Arc<Place>| place.weight_of_commit(&self.keys, &commit);
        let weight = self.places.iter().find_map(of)?;
        let branch = lineage.base_branch.clone();
        Some(Baseline { weight, origin: BaselineOrigin::Base { commit, branch } })
    }

    fn nearest(&self, lineage: &Lineage, history: &Logbook) -> Option<Baseline> {
        let branch = lineage.base_branch.clone()?;
        // An earlier build of the same commit would show what its bases have become, not what the
        // commit has changed.
        let others = |build: &&Logged| Some(&build.commit) != lineage.commit.as_ref();
        let others: Vec<Logged> = history.builds().iter().filter(others).cloned().collect();
        let of = |place: &Arc<Place>| place.newest_weight(&self.keys, &others);
        let (build, weight) = self.places.iter().find_map(of)?;
        let commit = build.commit.clone();
        Some(Baseline { weight, origin: BaselineOrigin::Nearest { commit, branch } })
    }

    fn search_registry(&self, lineage: &Lineage, found: &mut Found) {
        for name in &self.names {
            match self.in_registry(name) {
                Ok(Some((baseline, logbook))) => {
                    let is_empty = |book: &Logbook| book.builds().is_empty();
                    if is_empty(&found.history) {
                        found.history = logbook;
                    }
                    let same = lineage.branch == lineage.base_branch;
                    if same && is_empty(&found.own) {
                        found.own = found.history.clone();
                    }
                    found.baseline = Some(baseline);
                    return;
                }
                Ok(None) => {}
                Err(why) => {
                    found.notices.push(format!("{} is not compared with: {why}", name.whole()));
                }
            }
        }
    }

    /// What the registry has under `name` now, before this build puts another image there.
    fn in_registry(&self, name: &Reference) -> Result<Option<(Baseline, Logbook)>, Fault> {
        let digest = match self.runtime.block_on(self.registry.resolve(name, &self.platform)) {
            Ok(resolved) => resolved.manifest_digest,
            // Not there yet, or not for us: the first build of a repository.
            Err(error) if matches!(error.status(), Some(401 | 403 | 404)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pinned = name.clone_with_digest(digest.to_string());
        let origin = |commit| BaselineOrigin::Image { name: name.whole(), commit };
        let beside = self.runtime.block_on(self.beside(&pinned, &digest))?;
        if let Some((weight, logbook, commit)) = beside {
            return Ok(Some((Baseline { weight, origin: origin(commit) }, logbook)));
        }
        let weight = self.weigh(&ImageReference::Registry(pinned.whole()))?;
        Ok(Some((Baseline { weight, origin: origin(None) }, Logbook::default())))
    }

    /// The weight that stands beside an image; what is no whole one is none.
    async fn beside(
        &self,
        image: &Reference,
        manifest: &crate::digest::Digest,
    ) -> Result<Option<(Weight, Logbook, Option<String>)>, registry::Error> {
        let mut artifacts = self.registry.referrers(image, manifest, WEIGHT_ARTIFACT).await?;
        artifacts.sort_by_key(|artifact| artifact.annotations.get(CREATED).cloned());
        for described in artifacts.iter().rev().take(3) {
            let artifact = self.registry.artifact(image, described).await?;
            let mut weight = None;
            let mut logbook = None;
            for blob in artifact.layers.iter().take(2) {
                let limit =
                    if blob.media_type == WEIGHT_TYPE { WEIGHT_LIMIT } else { LOGBOOK_LIMIT };
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let bytes = self.registry.small_blob(image, blob, limit).await?;
                match blob.media_type.as_str() {
                    WEIGHT_TYPE => weight = weight::decode(&bytes).ok(),
                    LOGBOOK_TYPE => logbook = Logbook::decode(&bytes).ok(),
                    _ => {}
                }
            }
            // One of another image would be compared with as if it were this one's.
            if let Some(weight) = weight.filter(|w| w.image.manifest == Some(*manifest)) {
                let commit = artifact.annotations.get(REVISION).filter(|c| weight::is_commit(c));
                return Ok(Some((weight, logbook.unwrap_or_default(), commit.cloned())));
            }
        }
        Ok(None)
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Inspect(#[from] InspectError),
}

impl Found {
    /// The builds of the base branch, and this one behind them; none where no branch was asked for.
    pub(super) fn history(&self, session: &Session<'_>, weight: &Weight) -> Vec<Logged> {
        let Some(lineage) = session.request.size_baseline.lineage() else { return Vec::new() };
        let this = logged(session, weight, lineage.commit.clone().unwrap_or_default());
        self.history.with(this).builds().to_vec()
    }

    /// Keeps the weight of this build in the caches, and beside the image in the registries where it
    /// was pushed to.
    pub(super) fn keep(
        &self,
        session: &Session<'_>,
        weight: &Weight,
        pushed: &[(Reference, Descriptor)],
    ) -> Result<(), Error> {
        let Some(lineage) = session.request.size_baseline.lineage() else { return Ok(()) };
        let encoded = weight::encode(weight);
        let mut logbook = self.own.clone();
        if let Some(commit) = &lineage.commit {
            let keys = keys(session);
            let build = logged(session, weight, commit.clone());
            logbook = logbook.with(build.clone());
            session.saver.entry(keys.weight(&build), encoded.clone());
            if let Some(branch) = &lineage.branch {
                session.saver.entry(keys.logbook(branch, &build), logbook.encode());
            }
        }
        let created = Some((CREATED.to_owned(), rfc3339(session.request.now)));
        let revision = lineage.commit.clone().map(|commit| (REVISION.to_owned(), commit));
        let artifact = Artifact {
            kind: WEIGHT_ARTIFACT,
            blobs: vec![
                (WEIGHT_TYPE, Bytes::from(encoded)),
                (LOGBOOK_TYPE, Bytes::from(logbook.encode())),
            ],
            annotations: created.into_iter().chain(revision).collect::<BTreeMap<_, _>>(),
        };
        // An output of another form has another manifest, which this is not the weight of.
        let of_it = pushed.iter().filter(|(_, image)| Some(image.digest) == weight.image.manifest);
        for (name, image) in of_it {
            let attached = session.wait(attach(&session.registry, name, image, &artifact))?;
            if let Err(error) = attached {
                let name = name.whole();
                session.notice(format!("the weight is not kept beside {name}: {error}"));
            }
        }
        Ok(())
    }
}

fn logged(session: &Session<'_>, weight: &Weight, commit: String) -> Logged {
    Logged { commit, time: session.request.now, size: weight.size() }
}

/// An image that is pushed as it was has its weight beside it already.
async fn attach(
    registry: &Registry,
    name: &Reference,
    image: &Descriptor,
    artifact: &Artifact,
) -> Result<(), registry::Error> {
    if registry.referrers(name, &image.digest, WEIGHT_ARTIFACT).await?.is_empty() {
        registry.attach(name, image, artifact).await?;
    }
    Ok(())
}
