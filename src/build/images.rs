//! The images that a plan names: finding their manifests and configurations, nothing more.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::session::Session;
use crate::cache::ResolvedTag;
use crate::digest::Digest;
use crate::dockerfile::Dockerfile;
use crate::dockerfile::lint::Findings;
use crate::error::{Error, Location};
use crate::image::{ImageConfig, Layout, Manifest};
use crate::plan::{ImageKey, ImageRequest, ImageSource, Lines, Plan, PlanRequest, Planned, plan};
use crate::registry::{self, Reference, Resolved};
use crate::request::NamedContext;

/// An image that is known by its documents; its layers are where it came from.
#[derive(Clone, Debug)]
pub(super) struct BaseImage {
    /// As the log shows it.
    pub(super) name: String,
    /// Of the first instruction that names it.
    pub(super) lines: Lines,
    /// Of what the name leads to: an index, or the manifest.
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) config: ImageConfig,
    pub(super) origin: Origin,
}

/// Where the blobs of an image are.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Registry(Reference),
    Layout(Layout),
}

/// All images of a plan; the positions are those of [`Plan::images`].
pub(super) type Images = Vec<BaseImage>;

/// Plans `file`, resolving images as the planner asks for them. `findings` become what its checks
/// found, also where it fails.
pub(super) fn plan_with_images(
    session: &Session<'_>,
    file: &Dockerfile,
    request: &PlanRequest<'_>,
    findings: &mut Findings,
) -> Result<(Plan, Images), Error> {
    let mut known: BTreeMap<ImageKey, BaseImage> = BTreeMap::new();
    loop {
        let configs =
            known.iter().map(|(key, image)| (key.clone(), image.config.clone())).collect();
        match plan(file, request, &configs, findings)? {
            Planned::Needs(wanted) => resolve_all(session, &wanted, &mut known)?,
            Planned::Ready(plan) => {
                let images = plan.images.iter().map(|i| known[&i.key()].clone()).collect();
                return Ok((*plan, images));
            }
        }
    }
}

/// The plan as it were if no base decided anything.
pub(super) fn guessed_plan(session: &Session<'_>, file: &Dockerfile) -> Option<Plan> {
    let mut configs = BTreeMap::new();
    loop {
        let mut findings = Findings::default();
        match plan(file, &session.plan_request(), &configs, &mut findings).ok()? {
            Planned::Needs(wanted) => {
                configs.extend(wanted.iter().map(|image| (image.key(), ImageConfig::default())));
            }
            Planned::Ready(plan) => return Some(*plan),
        }
    }
}

fn resolve_all(
    session: &Session<'_>,
    wanted: &[ImageRequest],
    known: &mut BTreeMap<ImageKey, BaseImage>,
) -> Result<(), Error> {
    let results: Vec<Result<BaseImage, Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            wanted.iter().map(|image| scope.spawn(|| resolve(session, image))).collect();
        threads.into_iter().map(super::join).collect()
    });
    for (request, result) in wanted.iter().zip(results) {
        known.insert(request.key(), result?);
    }
    Ok(())
}

fn resolve(session: &Session<'_>, image: &ImageRequest) -> Result<BaseImage, Error> {
    let location = Location::lines(image.lines.first..=image.lines.last);
    let name = match &image.source {
        ImageSource::Registry(reference) => reference,
        ImageSource::Context(name) => name,
    };
    let resolve = || match &image.source {
        ImageSource::Registry(reference) => from_registry(session, reference, image),
        ImageSource::Context(name) => match session.request.build_contexts.get(name) {
            Some(NamedContext::Layout { path, tag, digest }) => {
                let layout = Layout::open(path).map_err(Error::build)?;
                let found = layout
                    .image(tag.as_deref(), digest.as_deref(), &image.platform)
                    .map_err(Error::build)?;
                let config = parse_document(name, "configuration", &found.config)?;
                Ok(BaseImage {
                    name: name.clone(),
                    lines: image.lines,
                    digest: found.descriptor.digest,
                    manifest: found.manifest,
                    config,
                    origin: Origin::Layout(layout),
                })
            }
            Some(NamedContext::Image(reference)) => from_registry(session, reference, image),
            other => Err(Error::build(format!("{name}: expected an image but found {other:?}"))),
        },
    };
    session
        .progress
        .step(session.internal(&format!("load metadata for {name}")), |_| {
            let base = resolve()?;
            check(&base)?;
            Ok(base)
        })
        .map_err(|e| e.at(location))
}

fn from_registry(
    session: &Session<'_>,
    reference: &str,
    image: &ImageRequest,
) -> Result<BaseImage, Error> {
    let parsed = registry::parse_reference(reference)?;
    let platform = &image.platform;
    let before = session.store.tag(reference, platform);
    let known = |digest: &Digest| {
        let mut documents = before.iter().flat_map(ResolvedTag::documents);
        let here = documents.find(|document| Digest::of(document) == *digest);
        here.map(<[u8]>::to_vec).or_else(|| session.cache.document(digest))
    };
    let may_know = before.is_some() || !session.cache.places().is_empty();
    let resolving = async {
        match may_know && !session.request.pull {
            true => session.registry.resolve_knowing(&parsed, platform, &known).await,
            false => session.registry.resolve(&parsed, platform).await,
        }
    };
    let tag = match session.wait(resolving)? {
        Ok(resolved) => {
            let tag = documents(reference, resolved)?;
            if before.as_ref() != Some(&tag) {
                session.store.keep_tag(reference, platform, &tag)?;
            }
            session.saver.base(&tag);
            tag
        }
        Err(error) => {
            let will_do = is_silence(&error) && !session.request.pull;
            let Some(tag) = before.filter(|_| will_do) else {
                return Err(Error::from(error).about(format!("can't resolve {reference}")));
            };
            session.notice(format!(
                "{} does not answer: {reference} is taken as it was, {}",
                parsed.registry(),
                tag.digest()
            ));
            tag
        }
    };
    Ok(BaseImage {
        name: reference.to_owned(),
        lines: image.lines,
        digest: tag.documents().next().map_or_else(|| tag.digest(), Digest::of),
        manifest: parse_document(reference, "manifest", tag.manifest.as_bytes())?,
        config: parse_document(reference, "configuration", tag.config.as_bytes())?,
        // By digest, so that a tag that moves during the build changes nothing.
        origin: Origin::Registry(parsed.clone_with_digest(tag.digest().to_string())),
    })
}

fn documents(reference: &str, resolved: Resolved) -> Result<ResolvedTag, Error> {
    let text = |bytes| {
        String::from_utf8(bytes).map_err(|e| Error::build(format!("{reference}: not UTF-8: {e}")))
    };
    Ok(ResolvedTag {
        index: resolved.index_bytes.map(text).transpose()?,
        manifest: text(resolved.manifest_bytes)?,
        config: text(resolved.config_bytes)?,
    })
}

/// Nobody said anything about the image, after all retries.
fn is_silence(error: &registry::Error) -> bool {
    let status = error.status();
    matches!(error, registry::Error::Transport { .. })
        || status.is_some_and(|status| status == 429 || status >= 500)
}

fn parse_document<T: DeserializeOwned>(name: &str, what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::build(format!("{name}: the image's {what} can't be read: {e}")))
}

fn check(image: &BaseImage) -> Result<(), Error> {
    let (layers, diff_ids) = (image.manifest.layers.len(), image.config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(Error::build(format!(
            "{}: the manifest has {layers} layers but the configuration has {diff_ids}",
            image.name
        )));
    }
    Ok(())
}
