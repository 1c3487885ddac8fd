//! What the step tells of a build: outputs, the summary, and the files of the report.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::build::{Built, WrittenKind};
use crate::cli::sized::{Sized, Sizes};
use crate::error::Error;
use crate::github::artifact::{ABOUT, About, BASELINE, REPORT, WEIGHT};
use crate::github::bake::{self, bake_files};
use crate::github::files::SUMMARY_LIMIT;
use crate::github::naming::Naming;
use crate::report::{self, SizeReport};
use crate::weight;
use crate::weight::budget::Status;

use super::job::Job;
use super::root;

/// A build that ended well, with all that is known of it.
pub struct Published<'a> {
    pub naming: &'a Naming,
    pub built: &'a Built,
    pub sizes: &'a Sizes<'a>,
    /// The first platform's, which outputs with one number are of.
    pub first: &'a Sized<'a>,
    /// Tells the comments of several images apart.
    pub key: &'a str,
}

impl Published<'_> {
    fn pushed(&self) -> Vec<&str> {
        let pushed = self.built.written.iter().filter(|w| w.kind == WrittenKind::Registry);
        pushed.map(|written| written.place.as_str()).collect()
    }

    /// Sets the outputs but for `size-report` and `comment-url`.
    pub fn set_outputs(&self, job: &Job<'_>) {
        let Self { naming, built, sizes, first, .. } = self;
        let size = first.weight.size();
        let separator = |name| match job.inputs.raw(name) {
            "" => "\n",
            separator => separator,
        };
        let bytes = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| bytes.to_string());
        let growth = first.baseline.as_ref().map(|baseline| baseline.difference.growth());
        let delta = growth.and_then(|growth| growth.compressed);
        let labels = naming.metadata.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let status = sizes.verdict().map(|verdict| json!(verdict.status));
        let (hits, steps) = built.cache_hits();
        #[allow(clippy::cast_precision_loss, reason = "a few hundred steps")]
        let ratio = (steps > 0).then(|| format!("{:.3}", hits as f64 / steps as f64));
        let described = [
            ("version", naming.metadata.version.clone().unwrap_or_default()),
            ("tags", naming.names.join(separator("sep-tags"))),
            ("tag-names", naming.metadata.tag_names.join(separator("sep-tags"))),
            ("labels", labels.collect::<Vec<_>>().join(separator("sep-labels"))),
            ("annotations", naming.annotations().join(separator("sep-annotations"))),
            ("json", naming.json().to_string()),
        ];
        let mut described = described.to_vec();
        match self.write_bake_files(job) {
            Ok(files) => described.extend(files),
            Err(error) => job.warn(format!("can't write the files for bake: {error}")),
        }
        job.outputs(&described);
        if naming.is_exported() {
            job.export(&described);
        }
        job.outputs(&[
            ("digest", built.descriptor.digest.to_string()),
            ("imageid", built.id().to_string()),
            ("metadata", format!("{:#}", report::metadata(built))),
            ("pushed", (!self.pushed().is_empty()).to_string()),
            ("size-compressed", bytes(size.compressed)),
            ("size-unpacked", size.unpacked.to_string()),
            ("size-delta", delta.map_or(String::new(), |delta| delta.to_string())),
            ("size-verdict", status.map_or(String::new(), |s| s.as_str().unwrap_or("").to_owned())),
            ("cache-hit-ratio", ratio.unwrap_or_default()),
            ("warnings-count", job.warnings().to_string()),
        ]);
    }

    /// Stages, cache and size, and where the image went.
    pub fn summary(&self) -> String {
        let mut tail = String::new();
        for name in self.pushed() {
            // A reference: nothing in it can end the span.
            tail.push_str(&format!("\nPushed `{name}`\n"));
        }
        let more = Some("the output `size-report`");
        let reports = self.sizes.reports().into_iter();
        let reports: Vec<SizeReport> = reports.map(|r| SizeReport { more, ..r }).collect();
        report::sections(&reports, SUMMARY_LIMIT - 1 - tail.len(), report::markdown) + &tail
    }

    /// Writes the report into a folder of its own, which is whole as an artifact: the path of the
    /// Markdown in it.
    pub fn write_report(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        let parent = temporary(job);
        self.write_into(&parent, job).map_err(|error| {
            Error::build(format!("can't write the report into {}: {error}", parent.display()))
        })
    }

    /// The outputs that name the files, with their paths.
    fn write_bake_files(&self, job: &Job<'_>) -> io::Result<Vec<(&'static str, String)>> {
        let target = job.inputs.some("bake-target").unwrap_or(bake::TARGET);
        let folder = new_folder(&temporary(job), "plimsoll-metadata-")?;
        let files = bake_files(self.naming, target).into_iter().map(|file| {
            let path = folder.join(file.name);
            std::fs::write(&path, format!("{:#}", file.content))?;
            Ok((file.output, path.display().to_string()))
        });
        let files = files.collect();
        root::give_back(job.environment, [folder.as_path()]);
        files
    }

    fn write_into(&self, parent: &Path, job: &Job<'_>) -> io::Result<PathBuf> {
        let folder = new_folder(parent, "plimsoll-report-")?;
        let text = report::sections(&self.sizes.reports(), usize::MAX, report::markdown);
        std::fs::write(folder.join(REPORT), text)?;
        for sized in &self.sizes.platforms {
            // Of several platforms each has a folder.
            let folder = match self.sizes.platforms.len() {
                1 => folder.clone(),
                _ => folder.join(sized.result.image.platform.as_name()),
            };
            std::fs::create_dir_all(&folder)?;
            self.write_weights(sized, &folder, job)?;
        }
        root::give_back(job.environment, [folder.as_path()]);
        Ok(folder.join(REPORT))
    }

    fn write_weights(&self, sized: &Sized<'_>, folder: &Path, job: &Job<'_>) -> io::Result<()> {
        let baseline = sized.baseline.as_ref();
        let about = About {
            head_sha: job.event.head_sha().to_owned(),
            key: self.key.to_owned(),
            baseline: baseline.map(|baseline| baseline.name.clone()),
        };
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes);
        write(ABOUT, format!("{:#}\n", json!(about)).as_bytes())?;
        write(WEIGHT, &weight::encode(sized.weight))?;
        if let Some(baseline) = baseline {
            write(BASELINE, &weight::encode(&baseline.weight))?;
        }
        Ok(())
    }
}

/// Where files for later steps are.
fn temporary(job: &Job<'_>) -> PathBuf {
    job.path("RUNNER_TEMP").unwrap_or_else(std::env::temp_dir)
}

/// One that everyone can read, and that stays.
fn new_folder(parent: &Path, prefix: &str) -> io::Result<PathBuf> {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)?;
    Ok(folder.keep())
}

/// The sizes are those of the baseline, and within the limits.
pub fn is_quiet(report: &SizeReport<'_>) -> bool {
    let same = report.difference.is_some_and(|difference| {
        let growth = difference.growth();
        growth.unpacked == 0 && growth.compressed.unwrap_or(0) == 0
    });
    same && report.verdict.is_none_or(|verdict| verdict.status == Status::Pass)
}
