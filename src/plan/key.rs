//! Definition keys: what a step's result depends on, as a digest, before anything runs.
//!
//! A key covers its parent's, so that one key stands for a whole chain of steps. Every part is
//! written with its length, every kind of key under its own name, so that no two different
//! definitions give the same bytes. Titles, lines, comments, secrets' values, proxies, host
//! addresses and the names of caches are not in a key.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::digest::{DiffId, Sha256Sum};
use crate::image::ContainerConfig;
use crate::platform::Platform;

use super::{
    CopyOp, CopySource, Mount, MountKind, Network, Op, Plan, RunOp, Security, StageFrom, StageId,
    Unpack, WorkdirOp, path,
};

/// Changes when the meaning of a key or of what is stored under it changes.
const FORMAT: &str = "plimsoll-definition-2";

/// What is known of a step before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DefinitionKey(pub Sha256Sum);

impl fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

/// What is known of a step when its inputs are there: the same bytes give the same key, whatever
/// made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentKey(pub Sha256Sum);

/// What one source of a COPY, or one mount of a RUN, reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The digest of the selected files themselves: where they come from does not matter.
    Content(Sha256Sum),
    /// The key of the stage or image that is read: what is selected there matters too.
    Definition(DefinitionKey),
}

/// A base image: its layers by content, and its configuration (K-06).
#[must_use]
pub fn base_key(
    platform: &Platform,
    diff_ids: &[DiffId],
    config: &ContainerConfig,
) -> DefinitionKey {
    let mut encoder = Encoder::new("base");
    encoder.platform(platform);
    encoder.count(diff_ids.len());
    for id in diff_ids {
        encoder.sum(&id.0);
    }
    encoder.json(config);
    DefinitionKey(encoder.finish())
}

/// `FROM scratch`.
#[must_use]
pub fn scratch_key(platform: &Platform) -> DefinitionKey {
    let mut encoder = Encoder::new("scratch");
    encoder.platform(platform);
    DefinitionKey(encoder.finish())
}

/// `FROM` a directory, by the digest of its files.
#[must_use]
pub fn context_key(platform: &Platform, content: &Sha256Sum) -> DefinitionKey {
    let mut encoder = Encoder::new("context");
    encoder.platform(platform);
    encoder.sum(content);
    DefinitionKey(encoder.finish())
}

/// One step on top of `parent`. `inputs` has one for every source of a COPY or ADD, or one for
/// every bind mount and every cache mount with a seed of a RUN, in their order. `epoch` is
/// SOURCE_DATE_EPOCH, the time of directories that COPY, ADD and WORKDIR make.
///
/// A step that changes the configuration only has its parent's key (K-10).
#[must_use]
pub fn step_key(
    parent: &DefinitionKey,
    op: &Op,
    inputs: &[Input],
    epoch: Option<i64>,
) -> DefinitionKey {
    let encoder = match op {
        Op::Config => return *parent,
        Op::Run(run) => {
            let mut encoder = Encoder::step("run", parent);
            encode_run(&mut encoder, run, inputs);
            encoder
        }
        Op::Copy(copy) => {
            let mut encoder = Encoder::step("copy", parent);
            encoder.epoch(epoch);
            encode_copy(&mut encoder, copy, inputs);
            encoder
        }
        Op::Workdir(WorkdirOp { path, user }) => {
            let mut encoder = Encoder::step("workdir", parent);
            encoder.epoch(epoch);
            encoder.text(path);
            encoder.text(user);
            encoder
        }
    };
    DefinitionKey(encoder.finish())
}

/// The layer of a `COPY --link`, which is the same on every parent (L-137): the parent is not in it.
/// Arguments as in [`step_key`].
#[must_use]
pub fn link_key(copy: &CopyOp, inputs: &[Input], epoch: Option<i64>) -> ContentKey {
    let mut encoder = Encoder::new("link");
    encoder.epoch(epoch);
    encode_copy(&mut encoder, copy, inputs);
    ContentKey(encoder.finish())
}

/// A layer that COPY, ADD or WORKDIR has made, by what is in it. The time of the directories that it
/// makes is that of `epoch`; other times are not in the key.
#[must_use]
pub fn layer_key(content: &Sha256Sum, epoch: Option<i64>) -> ContentKey {
    let mut encoder = Encoder::new("layer");
    encoder.epoch(epoch);
    encoder.sum(content);
    ContentKey(encoder.finish())
}

/// A RUN by all but what it stands on. Arguments as in [`step_key`].
#[must_use]
pub fn run_content(run: &RunOp, inputs: &[Input]) -> Sha256Sum {
    let mut encoder = Encoder::new("run content");
    encode_run(&mut encoder, run, inputs);
    encoder.finish()
}

/// A RUN on layers that are there, the lowest first.
#[must_use]
pub fn run_key(platform: &Platform, layers: &[DiffId], content: &Sha256Sum) -> ContentKey {
    let mut encoder = Encoder::new("run on layers");
    encoder.platform(platform);
    encoder.count(layers.len());
    for id in layers {
        encoder.sum(&id.0);
    }
    encoder.sum(content);
    ContentKey(encoder.finish())
}

/// The image that `stage` makes, whose last step has the key `end`: its configuration and history
/// too, which the keys of steps leave out.
#[must_use]
pub fn image_key(end: &DefinitionKey, plan: &Plan, stage: StageId) -> DefinitionKey {
    let mut encoder = Encoder::step("image", end);
    encoder.platform(&plan.platform);
    encoder.json(&plan.stages[stage.0].config);
    let lineage = plan.lineage(stage);
    let steps = || lineage.iter().flat_map(|id| &plan.stages[id.0].steps);
    encoder.count(steps().count());
    for step in steps() {
        encoder.optional(step.created_by.as_deref());
    }
    DefinitionKey(encoder.finish())
}

impl Plan {
    /// The stages that `stage` stands on, the lowest first, and `stage` itself.
    #[must_use]
    pub fn lineage(&self, stage: StageId) -> Vec<StageId> {
        let below = |id: &StageId| match self.stages[id.0].from {
            StageFrom::Stage(base) => Some(base),
            _ => None,
        };
        let mut lineage: Vec<StageId> = std::iter::successors(Some(stage), below).collect();
        lineage.reverse();
        lineage
    }
}

fn encode_run(encoder: &mut Encoder, run: &RunOp, inputs: &[Input]) {
    // Everything is named, so that a new field has to be thought about here.
    let RunOp {
        command: _,
        argv,
        env,
        proxy_env: _,
        cwd,
        user,
        hostname,
        hosts,
        network,
        security,
        mounts,
        scripts,
    } = run;
    encoder.inputs(inputs);
    encoder.texts(argv);
    let mut env: Vec<_> = env.iter().collect();
    env.sort();
    encoder.count(env.len());
    for (name, value) in env {
        encoder.text(name);
        encoder.text(value);
    }
    for text in [cwd, user, hostname] {
        encoder.text(text);
    }
    encoder.texts(hosts);
    encoder.tag(match network {
        Network::Default => 0,
        Network::None => 1,
        Network::Host => 2,
    });
    encoder.tag(match security {
        Security::Sandbox => 0,
        Security::Insecure => 1,
    });
    encoder.count(scripts.len());
    for (name, content) in scripts {
        encoder.text(name);
        encoder.text(content);
    }
    encoder.count(mounts.len());
    let mut inputs = inputs.iter();
    for mount in mounts {
        encode_mount(encoder, mount, &mut inputs);
    }
}

/// What a mount of a RUN adds to its key, less the files that it reads.
pub(super) fn mount_sum(mount: &Mount) -> Sha256Sum {
    let mut encoder = Encoder::new("mount");
    encode_mount(&mut encoder, mount, &mut std::iter::empty());
    encoder.finish()
}

fn encode_mount<'a>(
    encoder: &mut Encoder,
    Mount { target, kind }: &Mount,
    inputs: &mut impl Iterator<Item = &'a Input>,
) {
    encoder.optional(target.as_deref());
    let owned = |encoder: &mut Encoder, numbers: [u32; 3]| {
        numbers.into_iter().for_each(|number| encoder.number(number.into()));
    };
    match kind {
        MountKind::Bind { from: _, source, writable } => {
            encoder.tag(0);
            // The mount shows the selected files at its target, whatever they were called.
            encoder.selection(inputs.next(), source, "");
            encoder.tag((*writable).into());
        }
        // A cache's content is no input, so neither is its name (K-04).
        MountKind::Cache { id: _, seed, subpath, sharing: _, readonly, mode, uid, gid } => {
            encoder.tag(1);
            encoder.tag(seed.is_some().into());
            if let Some((_, source)) = seed {
                encoder.selection(inputs.next(), source, "");
            }
            encoder.text(subpath);
            encoder.tag((*readonly).into());
            owned(encoder, [*mode, *uid, *gid]);
        }
        MountKind::Tmpfs { size } => {
            encoder.tag(2);
            encoder.tag(size.is_some().into());
            encoder.number(size.unwrap_or_default());
        }
        MountKind::Secret { id, env, required: _, mode, uid, gid } => {
            encoder.tag(3);
            encoder.text(id);
            encoder.optional(env.as_deref());
            owned(encoder, [*mode, *uid, *gid]);
        }
        MountKind::Ssh { id, required: _, mode, uid, gid } => {
            encoder.tag(4);
            encoder.text(id);
            owned(encoder, [*mode, *uid, *gid]);
        }
    }
}

fn encode_copy(encoder: &mut Encoder, copy: &CopyOp, inputs: &[Input]) {
    let CopyOp {
        from: _,
        sources,
        inline,
        destination,
        cwd,
        chown,
        chmod,
        link,
        parents,
        exclude,
        unpack,
    } = copy;
    encoder.inputs(inputs);
    encoder.count(sources.len());
    let mut inputs = inputs.iter();
    for source in sources {
        match source {
            CopySource::Path(path) => {
                encoder.tag(0);
                // Of the path, only the last part can show in the result.
                let shows = if *parents { path } else { path::base(path) };
                encoder.selection(inputs.next(), path, shows);
            }
            CopySource::Http { url, checksum: _ } => {
                encoder.tag(1);
                encoder.selection(inputs.next(), url, &source.file_name());
            }
            CopySource::Git { text, url: _ } => {
                encoder.tag(2);
                encoder.selection(inputs.next(), text, &source.file_name());
            }
        }
    }
    encoder.count(inline.len());
    for file in inline {
        encoder.text(&file.name);
        encoder.text(&file.content);
    }
    encoder.text(destination);
    encoder.text(cwd);
    for option in [chown, chmod] {
        encoder.optional(option.as_deref());
    }
    encoder.tag((*link).into());
    encoder.tag((*parents).into());
    encoder.texts(exclude);
    encoder.tag(match unpack {
        Unpack::Never => 0,
        Unpack::Local => 1,
        Unpack::Always => 2,
    });
}

/// Writes values so that none can be read as another.
struct Encoder(Sha256);

impl Encoder {
    fn new(domain: &str) -> Self {
        let mut encoder = Self(Sha256::new());
        encoder.text(FORMAT);
        encoder.text(domain);
        encoder
    }

    fn step(domain: &str, parent: &DefinitionKey) -> Self {
        let mut encoder = Self::new(domain);
        encoder.sum(&parent.0);
        encoder
    }

    fn finish(self) -> Sha256Sum {
        self.0.into()
    }

    fn epoch(&mut self, epoch: Option<i64>) {
        self.tag(epoch.is_some().into());
        self.number(epoch.unwrap_or_default().cast_unsigned());
    }

    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.count(texts.len());
        for text in texts {
            self.text(text);
        }
    }

    fn optional(&mut self, text: Option<&str>) {
        self.tag(text.is_some().into());
        self.text(text.unwrap_or_default());
    }

    /// Always 32 bytes, so without a length.
    fn sum(&mut self, sum: &Sha256Sum) {
        self.0.update(sum.0);
    }

    fn platform(&mut self, platform: &Platform) {
        let Platform { architecture, os, os_version, variant } = platform;
        for part in [os, architecture, variant, os_version] {
            self.text(part);
        }
    }

    /// Canonical, since every map in a configuration is sorted.
    fn json(&mut self, value: &impl serde::Serialize) {
        // The values are trees of maps with text keys, which can't fail to be written; were it to
        // happen, the key would match no other.
        let text = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
        self.text(&text);
    }

    fn inputs(&mut self, inputs: &[Input]) {
        self.count(inputs.len());
        for input in inputs {
            let (tag, sum) = match input {
                Input::Content(sum) => (0, sum),
                Input::Definition(DefinitionKey(sum)) => (1, sum),
            };
            self.tag(tag);
            self.sum(sum);
        }
    }

    /// What is selected in an input: all of the selector, or, where the input is the very content,
    /// only the part of it that shows in the result.
    fn selection(&mut self, input: Option<&Input>, selector: &str, shows: &str) {
        self.text(match input {
            Some(Input::Content(_)) => shows,
            Some(Input::Definition(_)) | None => selector,
        });
    }
}

#[cfg(test)]
mod tests;
