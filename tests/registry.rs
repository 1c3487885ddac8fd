//! The registry client and downloads, against a registry in this process that can misbehave, and
//! against Debian's docker-registry where that is installed.

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "registry/download.rs"]
mod download;
#[path = "support/registry/mod.rs"]
mod fake;
#[path = "registry/pull.rs"]
mod pull;
#[path = "registry/push.rs"]
mod push;
#[path = "registry/real.rs"]
mod real;

#[path = "registry/roots.rs"]
mod roots;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plimsoll::digest::Digest;
use plimsoll::http::{Clients, RetryPolicy};
use plimsoll::image::{Descriptor, Manifest, media_type};
use plimsoll::registry::{
    BlobSource, Error, ImageToPush, PushedBlobs, Reference, Registry, parse_reference,
};
use plimsoll::request::{Credential, RegistryOptions, Secret};
use tokio::runtime::Handle;

/// As many attempts as ever, without the waiting.
const IMPATIENT: RetryPolicy = RetryPolicy {
    attempts: 4,
    first_delay: Duration::from_millis(1),
    longest_delay: Duration::from_millis(5),
    longest_wait: Duration::from_secs(2),
};

fn client(options: RegistryOptions) -> Registry {
    Registry::new(options, Arc::default()).with_retry_policy(IMPATIENT)
}

fn anonymous() -> Registry {
    client(RegistryOptions::default())
}

fn with_credential(host: &str, credential: Credential) -> Registry {
    let credentials = [(host.to_owned(), credential)].into();
    client(RegistryOptions { credentials, ..RegistryOptions::default() })
}

fn password(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: Secret(password.into()) }
}

fn reference(host: &str, rest: &str) -> Reference {
    parse_reference(&format!("{host}/{rest}")).unwrap()
}

/// `length` bytes that no two places share for long.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect::<Vec<u8>>().into()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}

fn layer(bytes: &[u8]) -> Descriptor {
    descriptor(media_type::OCI_LAYER_GZIP, bytes)
}

/// An image of some layers, ready to be stored or pushed.
struct Image {
    config: Bytes,
    layers: Vec<Bytes>,
    manifest: Bytes,
}

impl Image {
    fn new(architecture: &str, layers: &[Bytes]) -> Self {
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},
            "rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: None,
            config: descriptor(media_type::OCI_CONFIG, config.as_bytes()),
            layers: layers.iter().map(|bytes| layer(bytes)).collect(),
            subject: None,
            annotations: [].into(),
        };
        Self {
            config: config.into(),
            layers: layers.to_vec(),
            manifest: serde_json::to_vec(&manifest).unwrap().into(),
        }
    }

    fn store(&self, registry: &fake::FakeRegistry, repository: &str, tag: &str) -> Digest {
        registry.add_blob(repository, self.config.clone());
        for layer in &self.layers {
            registry.add_blob(repository, layer.clone());
        }
        registry.add_manifest(repository, tag, media_type::OCI_MANIFEST, self.manifest.clone())
    }

    fn to_push(&self) -> ImageToPush {
        let blobs = self.layers.iter().map(|bytes| (layer(bytes), bytes));
        let config = descriptor(media_type::OCI_CONFIG, &self.config);
        ImageToPush {
            manifest: self.manifest.clone(),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            manifests: Vec::new(),
            blobs: blobs
                .chain([(config, &self.config)])
                .map(|(blob, bytes)| (blob, BlobSource::Bytes(bytes.clone())))
                .collect(),
        }
    }
}

/// Pushes all of it at once, when everything is known.
async fn push(
    registry: &Registry,
    image: &Image,
    names: &[Reference],
) -> Result<Vec<PushedBlobs>, Error> {
    let push = registry.push(names.to_vec(), &Handle::current());
    push.finish(&image.to_push(), &silent).await
}

fn silent(_: u64) {}

fn clients() -> Clients {
    Clients::new(Vec::new())
}
