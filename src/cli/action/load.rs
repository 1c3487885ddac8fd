//! The `load` input, and `outputs` with `type=docker` and no place: the image goes to the Docker of the
//! runner, for the steps that follow.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::github::list::quoted;

use super::job::Job;

/// The archive that Docker reads. It is gone when this is dropped.
pub struct Load {
    archive: NamedTempFile,
}

impl Load {
    pub fn new(job: &Job<'_>) -> Result<Self, Error> {
        let parent = job.path("RUNNER_TEMP").unwrap_or_else(std::env::temp_dir);
        let made = tempfile::Builder::new().prefix("plimsoll-load-").tempfile_in(&parent);
        let archive = made.map_err(|error| {
            Error::build(format!("can't make a file in {}: {error}", parent.display()))
        })?;
        Ok(Self { archive })
    }

    fn path(&self) -> &Path {
        self.archive.path()
    }

    /// What the build has to write, as `--output` has it; `line` is that without the file.
    pub fn output(&self, line: &str) -> String {
        format!("{line},{}", quoted(&format!("dest={}", self.path().display())))
    }

    /// Gives the archive to Docker.
    ///
    /// # Errors
    /// There is no Docker, or it refuses: the steps that follow would miss the image.
    pub fn finish(self, job: &Job<'_>) -> Result<(), Error> {
        let fault = |what: &str| {
            Error::build(format!("can't load the image into Docker: {what}")).hinted(
                "`load: true` needs Docker on the runner. Without it, write the image with \
                 `outputs: type=docker,dest=image.tar`.",
            )
        };
        let ended = Command::new("docker")
            .args(["load", "--quiet", "--input"])
            .arg(self.path())
            .env_clear()
            .envs(job.environment.for_docker())
            .stdin(Stdio::null())
            .output();
        let output = ended.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault("there is no program docker"),
            _ => fault(&error.to_string()),
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(fault(
            said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why"),
        ))
    }
}
