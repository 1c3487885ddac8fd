//! What attestations say: values of the request, the plan and its inputs, and nothing of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Component, Path};

use sha2::{Digest as _, Sha256};

use super::assemble::image_config;
use super::images::{BaseImage, Origin as ImageOrigin};
use super::inputs::Remote;
use super::session::Session;
use super::weigh::FinalStage;
use super::{Known, Planned, outcome};
use crate::attest::spdx::{self, Inventory};
use crate::attest::{
    Arguments, Attestation, Capture, Context, DigestSet, GitCommit, Material, Mode,
    ProvenanceOptions, StageSteps, StepKey, Subject, git_place, predicate, purl,
};
use crate::context::Origin;
use crate::context::git::Revision;
use crate::digest::{DiffId, Digest};
use crate::error::Error;
use crate::layer::{self, Output};
use crate::plan::{CopySource, ImageRequest, MountKind, Op, Plan, is_proxy};
use crate::request::{MainContext, NamedContext, Network, RemoteContext};
use crate::tree::{Entry, FileInfo, Kind, TreePath};
use crate::url::{self, GitUrl};
use crate::weight::Weight;

/// All that the request wants said of the image of one platform; `weight` is there where its packages
/// are wanted.
pub(super) fn attestations(
    known: &Known<'_, '_>,
    image: &FinalStage<'_, '_>,
    weight: Option<&Weight>,
) -> Vec<Attestation> {
    let provenance = known.session.request.attest.provenance.as_ref();
    let provenance =
        provenance.map(|options| predicate(&capture(known.session, known.planned), options));
    let packages = weight.map(|weight| packages(image, weight));
    provenance.into_iter().chain(packages).collect()
}

/// Which packages an image has.
fn packages(image: &FinalStage<'_, '_>, weight: &Weight) -> Attestation {
    let FinalStage { session, plan, target, .. } = *image;
    let outputs = &session.request.outputs;
    let name = outputs.iter().flat_map(|output| session.names(output)).next();
    let layers: Vec<DiffId> = weight.layers.iter().map(|layer| layer.diff_id).collect();
    // An output with other times has other layers.
    let are_layers = !outputs.iter().any(|output| output.rewrite_timestamp);
    let times = target.times(session);
    let created = image_config(plan, plan.target, layers.clone(), &times, session.time()).created;
    spdx::predicate(&Inventory {
        name: name.unwrap_or(&plan.stages[plan.target.0].name),
        created: &created.unwrap_or_default(),
        distribution: weight.distribution.as_ref(),
        packages: &weight.packages,
        layers: if are_layers { &layers } else { &[] },
        program_version: &weight.program_version,
    })
}

/// The predicate of a provenance that says the least, for what is told of the build itself.
pub(super) fn least(known: &Known<'_, '_>) -> Option<serde_json::Value> {
    let options = known.session.request.attest.provenance.as_ref()?;
    let options = ProvenanceOptions { mode: Mode::Min, ..options.clone() };
    Some(predicate(&capture(known.session, known.planned), &options).predicate)
}

fn capture(session: &Session<'_>, planned: &Planned) -> Capture {
    let request = session.request;
    let Planned { plan, images, inputs, keys, .. } = planned;
    let mut materials: BTreeSet<Material> = plan
        .images
        .iter()
        .zip(images)
        .filter_map(|(wanted, image)| of_image(session, wanted, image))
        .collect();
    materials.extend(inputs.remotes().filter_map(|(source, remote)| of_remote(source, remote)));
    let mut locals = BTreeSet::new();
    let mut context = Context::Local;
    if let MainContext::Fetched(fetched) = &request.context {
        context = main_context(&fetched.origin);
    }
    match &context {
        Context::Local => {
            locals.insert("dockerfile".to_owned());
        }
        Context::From(material) => {
            materials.insert(material.clone());
        }
        Context::Git(git) => {
            materials.insert(git.material());
        }
    }
    for name in inputs.used() {
        match (name, name.and_then(|name| inputs.origin(name))) {
            (None, _) if context == Context::Local => {
                locals.insert("context".to_owned());
            }
            (None, _) => {}
            (Some(_), Some(origin)) => materials.extend(of_origin(origin)),
            (Some(name), None) => {
                locals.insert(name.to_owned());
            }
        }
    }
    let stages = plan.stages.iter().zip(keys).map(|(stage, keys)| StageSteps {
        name: stage.name.clone(),
        base: outcome::base_name(plan, images, stage),
        steps: stage
            .steps
            .iter()
            .zip(&keys.steps)
            .map(|(step, key)| StepKey {
                title: step.title.clone(),
                lines: (step.lines.first, step.lines.last),
                key: key.to_string(),
            })
            .collect(),
    });
    let (secrets, ssh) = ids(plan);
    Capture {
        platform: session.platform.clone(),
        builder_platform: session.host.clone(),
        program_version: env!("CARGO_PKG_VERSION"),
        context,
        dockerfile_path: dockerfile_path(session),
        dockerfile: request.dockerfile.bytes.clone(),
        arguments: arguments(session, plan),
        secrets,
        ssh,
        locals,
        materials,
        stages: stages.collect(),
        source_date_epoch: session.source_date_epoch,
    }
}

/// What was asked for; proxies are the machine's, and may have passwords.
fn arguments(session: &Session<'_>, plan: &Plan) -> Arguments {
    let request = session.request;
    let build_args = request.build_args.iter().filter(|(name, _)| !is_proxy(name));
    let contexts = request.build_contexts.iter().map(|(name, context)| {
        let place = match context {
            // Where it is on this machine says nothing elsewhere.
            NamedContext::Directory(_) => format!("local:{name}"),
            NamedContext::Layout { .. } => format!("oci-layout:{name}"),
            NamedContext::Image(reference) => format!("docker-image://{reference}"),
            NamedContext::Remote(RemoteContext::Git(url)) => {
                git_place(&with_reference(url), &url.subdirectory)
            }
            NamedContext::Remote(remote) => remote.shown(),
        };
        (name.clone(), place)
    });
    Arguments {
        target: request.target.clone(),
        build_args: build_args.map(|(name, value)| (name.clone(), value.clone())).collect(),
        labels: plan.labels.clone(),
        contexts: contexts.collect(),
        network: match request.run.network {
            Network::Default => None,
            Network::None => Some("none"),
            Network::Host => Some("host"),
        },
    }
}

/// As the context has it, without what only this machine knows.
fn dockerfile_path(session: &Session<'_>) -> Option<String> {
    let name = Path::new(&session.request.dockerfile.name);
    if name == Path::new("stdin") {
        return None;
    }
    let inside = match &session.request.context {
        MainContext::Directory(context) => name.strip_prefix(context).unwrap_or(name),
        MainContext::Fetched(_) | MainContext::Empty => name,
    };
    let inside = inside.strip_prefix(".").unwrap_or(inside);
    let is_plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let path = if is_plain { inside } else { Path::new(name.file_name()?) };
    Some(path.to_string_lossy().into_owned())
}

/// The ids of the secrets and of the agents that steps have.
fn ids(plan: &Plan) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut secrets, mut ssh) = (BTreeSet::new(), BTreeSet::new());
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        let Op::Run(run) = &step.op else { continue };
        for mount in &run.mounts {
            match &mount.kind {
                MountKind::Secret { id, .. } => secrets.insert(id.clone()),
                MountKind::Ssh { id, .. } => ssh.insert(id.clone()),
                _ => false,
            };
        }
    }
    (secrets, ssh)
}

fn of_image(session: &Session<'_>, wanted: &ImageRequest, image: &BaseImage) -> Option<Material> {
    let name = match session.request.build_contexts.get(&image.name) {
        Some(NamedContext::Image(reference)) => reference,
        _ => &image.name,
    };
    let kind = match &image.origin {
        ImageOrigin::Registry(_) => "docker",
        ImageOrigin::Layout(_) => "oci",
    };
    let uri = purl(kind, name, &wanted.platform)?;
    Some(Material { uri, digest: DigestSet::from(&image.digest) })
}

fn of_remote(source: &CopySource, remote: &Remote) -> Option<Material> {
    let digest = match (remote, source) {
        (Remote::Revision(revision), CopySource::Git { url, .. }) => {
            return Some(commit(url, revision).material());
        }
        (Remote::Download(download), _) => download.digest,
        (Remote::Pinned(sum), _) => Digest(*sum),
        (Remote::Revision(_), _) => return None,
    };
    let uri = url::shown(source.text());
    Some(Material { uri, digest: DigestSet::from(&digest) })
}

fn main_context(origin: &Origin) -> Context {
    match origin {
        Origin::Input => Context::Local,
        Origin::Git { url, revision } => Context::Git(commit(url, revision)),
        Origin::Web { url, digest } => Context::From(of_web(url, digest)),
    }
}

fn of_origin(origin: &Origin) -> Option<Material> {
    match origin {
        Origin::Input => None,
        Origin::Git { url, revision } => Some(commit(url, revision).material()),
        Origin::Web { url, digest } => Some(of_web(url, digest)),
    }
}

fn of_web(url: &str, digest: &Digest) -> Material {
    Material { uri: url::shown(url), digest: DigestSet::from(digest) }
}

/// Without credentials.
fn with_reference(url: &GitUrl) -> String {
    let reference = url.reference.as_ref().map(|reference| format!("#{reference}"));
    url.shown() + &reference.unwrap_or_default()
}

fn commit(url: &GitUrl, revision: &Revision) -> GitCommit {
    GitCommit {
        url: with_reference(url),
        subdirectory: url.subdirectory.clone(),
        commit: revision.commit.clone(),
    }
}

/// An output whose files are summed as they pass.
pub(super) struct Summed<'o> {
    output: &'o mut dyn Output,
    sums: BTreeMap<TreePath, Digest>,
}

impl<'o> Summed<'o> {
    pub(super) fn new(output: &'o mut dyn Output) -> Self {
        Self { output, sums: BTreeMap::new() }
    }

    /// Writes attestations beside the files that they are about. `platform` is part of their names
    /// where several share a folder.
    pub(super) fn attest(
        self,
        attestations: &[Attestation],
        platform: Option<&str>,
        mtime: i64,
    ) -> Result<(), Error> {
        let subject = |(path, digest): (&TreePath, &Digest)| Subject {
            name: String::from_utf8_lossy(path).into_owned(),
            digest: DigestSet::from(digest),
        };
        let subjects: Vec<Subject> = self.sums.iter().map(subject).collect();
        for attestation in attestations.iter().filter(|attestation| !attestation.inline_only) {
            let name = file_name(attestation.file_name, platform);
            let path: TreePath = name.as_bytes().to_vec().into();
            if self.sums.contains_key(&path) {
                let text = format!("the image has a file /{name}, as an attestation is called");
                return Err(Error::build(text).hinted("Turn it off, or rename the file."));
            }
            let bytes = attestation.file(&subjects);
            let size = bytes.len() as u64;
            let kind = Kind::File(FileInfo { size, digest: None, link: None });
            let entry = Entry { kind, mode: 0o644, mtime, ..Entry::directory(0) };
            self.output.file(&path, &entry, &mut &bytes[..])?;
        }
        Ok(())
    }
}

/// `provenance.json`, or `provenance.linux_arm64.json`, as BuildKit has them.
fn file_name(name: &str, platform: Option<&str>) -> String {
    match (platform, name.split_once('.')) {
        (Some(platform), Some((first, rest))) => format!("{first}.{platform}.{rest}"),
        _ => name.to_owned(),
    }
}

impl Output for Summed<'_> {
    fn node(&mut self, path: &TreePath, entry: &Entry) -> layer::Result<()> {
        self.output.node(path, entry)
    }

    fn file(
        &mut self,
        path: &TreePath,
        entry: &Entry,
        content: &mut dyn Read,
    ) -> layer::Result<()> {
        let mut summing = Summing { content, hasher: Sha256::new() };
        self.output.file(path, entry, &mut summing)?;
        self.sums.insert(path.clone(), Digest::from(summing.hasher));
        Ok(())
    }

    fn hard_link(
        &mut self,
        path: &TreePath,
        target: &TreePath,
        entry: &Entry,
    ) -> layer::Result<()> {
        self.output.hard_link(path, target, entry)?;
        if let Some(sum) = self.sums.get(target).copied() {
            self.sums.insert(path.clone(), sum);
        }
        Ok(())
    }
}

struct Summing<'c> {
    content: &'c mut dyn Read,
    hasher: Sha256,
}

impl Read for Summing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_folder_has_a_name_for_each_platform() {
        for (name, platform, expected) in [
            ("provenance.json", None, "provenance.json"),
            ("provenance.json", Some("linux_arm64"), "provenance.linux_arm64.json"),
        ] {
            assert_eq!(file_name(name, platform), expected);
        }
    }
}
