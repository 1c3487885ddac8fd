//! Attestations: what is said of an image beside it, in the form that BuildKit has. **Pure.**
//!
//! A predicate says something, a statement says of which image, and a manifest of an unknown platform
//! holds the statements in the index of the image.

mod manifest;
mod provenance;
mod purl;
pub mod spdx;

use serde::Serialize;
use serde_json::Value;

pub use manifest::attached;
pub use provenance::{
    Arguments, Capture, Context, GitCommit, Material, StageSteps, StepKey, git_place, predicate,
};
pub use purl::purl;

use crate::digest::Digest;

/// Which attestations an image gets; none unless asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttestOptions {
    pub provenance: Option<ProvenanceOptions>,
    pub sbom: Option<SbomOptions>,
}

impl AttestOptions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.provenance.is_none() && self.sbom.is_none()
    }

    /// There is one for outputs that are no registry, too.
    #[must_use]
    pub fn has_files(&self) -> bool {
        let provenance = self.provenance.as_ref();
        self.sbom.is_some() || provenance.is_some_and(|provenance| !provenance.inline_only)
    }
}

/// `--sbom`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SbomOptions {
    /// The image that BuildKit would run to look for packages, where the user names one.
    pub generator: Option<String>,
}

/// `--provenance`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvenanceOptions {
    pub mode: Mode,
    pub version: SlsaVersion,
    /// Who builds, as a URI.
    pub builder_id: Option<String>,
    /// The user says that another build would give the same.
    pub reproducible: bool,
    /// Beside an image in a registry, and nowhere else.
    pub inline_only: bool,
    /// The commit that a local context has the files of.
    pub vcs: Vcs,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing that a user gave but names.
    Min,
    /// Values of build arguments and labels, the Dockerfile, and its steps, too.
    #[default]
    Max,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlsaVersion {
    V02,
    #[default]
    V1,
}

/// Where sources are kept, and which commit is built. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vcs {
    /// A URL without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// Something that is said, before it is known of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    pub predicate_type: &'static str,
    /// What it is called beside the files of an image.
    pub file_name: &'static str,
    /// See [`ProvenanceOptions::inline_only`].
    pub inline_only: bool,
    pub predicate: Value,
}

/// What an attestation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// A package URL, or the path of a file.
    pub name: String,
    pub digest: DigestSet,
}

/// A digest as in-toto writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestSet {
    Sha256(String),
    Sha1(String),
}

impl DigestSet {
    /// Of a commit; its length tells what made it.
    #[must_use]
    pub fn of_commit(commit: &str) -> Self {
        match commit.len() {
            64 => Self::Sha256(commit.to_owned()),
            _ => Self::Sha1(commit.to_owned()),
        }
    }
}

impl From<&Digest> for DigestSet {
    fn from(digest: &Digest) -> Self {
        Self::Sha256(digest.hex())
    }
}

/// An in-toto statement, version 1.
#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    subject: &'a [Subject],
    predicate: &'a Value,
}

impl Attestation {
    fn statement<'a>(&'a self, subject: &'a [Subject]) -> Statement<'a> {
        Statement {
            kind: "https://in-toto.io/Statement/v1",
            predicate_type: self.predicate_type,
            subject,
            predicate: &self.predicate,
        }
    }

    /// The statement as a layer has it.
    #[must_use]
    pub fn line(&self, subject: &[Subject]) -> Vec<u8> {
        // Of texts, numbers and lists alone: it can't fail.
        serde_json::to_vec(&self.statement(subject)).unwrap_or_default()
    }

    /// The statement as a file for people.
    #[must_use]
    pub fn file(&self, subject: &[Subject]) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.statement(subject)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_is_in_toto_s() {
        let attestation = Attestation {
            predicate_type: "https://slsa.dev/provenance/v1",
            file_name: "provenance.json",
            inline_only: false,
            predicate: json!({"a": 1}),
        };
        let digest = Digest::of(b"x");
        let subject =
            [Subject { name: "pkg:docker/a@1".to_owned(), digest: DigestSet::from(&digest) }];
        let line: Value = serde_json::from_slice(&attestation.line(&subject)).unwrap();
        assert_eq!(
            line,
            json!({
                "_type": "https://in-toto.io/Statement/v1",
                "predicateType": "https://slsa.dev/provenance/v1",
                "subject": [{"name": "pkg:docker/a@1", "digest": {"sha256": digest.hex()}}],
                "predicate": {"a": 1},
            })
        );
        let file: Value = serde_json::from_slice(&attestation.file(&subject)).unwrap();
        assert_eq!(file, line);
    }

    #[test]
    fn the_length_of_a_commit_tells_its_algorithm() {
        let short = "1".repeat(40);
        assert_eq!(json!(DigestSet::of_commit(&short)), json!({"sha1": short}));
        let long = "1".repeat(64);
        assert_eq!(json!(DigestSet::of_commit(&long)), json!({"sha256": long}));
    }
}
