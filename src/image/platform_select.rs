//! Which image of an index suits a platform (L-076).

use super::manifest::{Descriptor, Index};
use crate::platform::Platform;

impl Index {
    /// The manifest for `platform`: the same variant, else the nearest lower one that it can run.
    /// A manifest without a platform is taken if it is the only one.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let images = || self.manifests.iter().filter(|d| !is_attestation(d));
        let of = |wanted: &Platform| {
            images().find(|d| {
                d.platform.as_ref().is_some_and(|p| {
                    let p = p.normalized();
                    (&p.os, &p.architecture, &p.variant)
                        == (&wanted.os, &wanted.architecture, &wanted.variant)
                })
            })
        };
        platform.fallbacks().iter().find_map(of).or_else(|| {
            let mut rest = images();
            let first = rest.next()?;
            (first.platform.is_none() && rest.next().is_none()).then_some(first)
        })
    }

    /// The platforms that there are, for an error.
    #[must_use]
    pub fn platforms(&self) -> String {
        let mut texts: Vec<String> = self
            .manifests
            .iter()
            .filter(|d| !is_attestation(d))
            .filter_map(|d| d.platform.as_ref().map(ToString::to_string))
            .collect();
        texts.sort();
        texts.dedup();
        texts.join(", ")
    }
}

/// BuildKit keeps attestations in an index as manifests of an unknown platform.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_some_and(|p| p.os == "unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms.iter().map(|text| {
            let mut descriptor = Descriptor::new("m", Digest::of(text.as_bytes()), 1);
            let mut parts = text.split('/').map(str::to_owned);
            descriptor.platform = Some(Platform {
                os: parts.next().unwrap(),
                architecture: parts.next().unwrap(),
                variant: parts.next().unwrap_or_default(),
                os_version: String::new(),
            });
            descriptor
        });
        Index::of(manifests.collect())
    }

    #[test]
    fn the_nearest_variant_is_taken() {
        for (wanted, present, expected) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some("linux/amd64")),
            ("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"], Some("linux/amd64/v2")),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"], Some("linux/arm/v6")),
            ("linux/arm/v6", &["linux/arm/v7"], None),
            ("linux/arm64", &["linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/s390x", &["linux/amd64", "unknown/unknown"], None),
        ] {
            let index = index(present);
            let found = index.select(&wanted.parse().unwrap()).map(|d| d.digest);
            assert_eq!(found, expected.map(|e| Digest::of(e.as_bytes())), "{wanted}");
        }
    }
}
