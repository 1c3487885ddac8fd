//! Which image a weight is of.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// As the user names it: a reference, `oci:DIR`, a tag of the build.
    pub name: String,
    /// `linux/amd64`
    pub platform: String,
    /// The digest of the manifest; `docker save` keeps none.
    pub manifest: Option<Digest>,
    /// The digest of the configuration, which is the image ID.
    pub config: Digest,
}

impl Identity {
    /// Of an image that is not made yet; its digest is that of nothing.
    #[must_use]
    pub fn unnamed(platform: &Platform) -> Self {
        Self {
            name: String::new(),
            platform: platform.to_string(),
            manifest: None,
            config: Digest::of(b""),
        }
    }
}
