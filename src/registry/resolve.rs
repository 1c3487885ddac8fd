//! From a reference to the manifest and configuration of one platform's image.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

use super::auth::Scope;
use super::endpoint::{Call, Endpoint};
use super::error::{Asked, Error, plain};
use super::{Reference, Registry, pause};
use crate::digest::Digest;
use crate::http;
use crate::image::{Descriptor, ImageConfig, Index, Manifest, media_type};
use crate::platform::Platform;

/// Registries promise to take manifests of this size; few take more (distribution-spec).
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
const CONFIG_LIMIT: usize = 8 * 1024 * 1024;
/// The kernel's overlay takes no more (engine.md 1.3).
const LAYER_LIMIT: usize = 500;
/// An index in an index is rare, deeper nesting is nobody's need.
const INDEX_DEPTH: usize = 3;
pub(super) const DIGEST_HEADER: &str = "docker-content-digest";

/// The image of one platform that a reference leads to.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Of what the tag points to: an index, or the manifest itself.
    pub digest: Digest,
    pub manifest_digest: Digest,
    pub manifest: Manifest,
    /// As stored; these have `manifest_digest`.
    pub manifest_bytes: Vec<u8>,
    pub config: ImageConfig,
    /// As stored; these have `manifest.config.digest`.
    pub config_bytes: Vec<u8>,
    /// What the tag points to, if it is an index.
    pub index: Option<Index>,
    /// As stored; these have `digest`.
    pub index_bytes: Option<Vec<u8>>,
    /// The image is for a platform whose programs do not run on the wanted one (L-076): usable for
    /// its files, worth a warning.
    pub other_platform: bool,
}

/// Manifests, indexes and configurations as somebody knows them, by their digests, which are checked.
pub type KnownDocuments<'a> = &'a (dyn Fn(&Digest) -> Option<Vec<u8>> + Sync);

/// A manifest or an index, as stored.
struct Document {
    bytes: Vec<u8>,
    digest: Digest,
    /// Of the answer.
    content_type: String,
}

enum Kind {
    Manifest(Box<Manifest>),
    Index(Index),
}

impl Registry {
    /// The digest of what a reference points to: one small request, which Docker Hub does not count.
    /// A reference with a digest needs none.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn head(&self, image: &Reference) -> Result<Digest, Error> {
        if image.digest().is_some() {
            return wanted_digest(image);
        }
        let document = self.ask_any(image, &wanted(image), true).await?;
        Ok(document.digest)
    }

    /// Reads manifest and configuration of the image for `platform`, and no layer.
    ///
    /// # Errors
    /// Any [`Error`] of asking; [`Error::NoPlatform`] when there is an index without the platform.
    pub async fn resolve(&self, image: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        let document = self.ask_any(image, &wanted(image), false).await?;
        self.follow(image, platform, document, &|_| None).await
    }

    /// As [`Registry::resolve`] for whoever knows documents of images, by their digests: where `known`
    /// has all of this one's, its digest is all that is asked for.
    ///
    /// # Errors
    /// As those of [`Registry::resolve`].
    pub async fn resolve_knowing(
        &self,
        image: &Reference,
        platform: &Platform,
        known: KnownDocuments<'_>,
    ) -> Result<Resolved, Error> {
        let digest = self.head(image).await?;
        let document = self.document_of(image, digest, known).await?;
        self.follow(image, platform, document, known).await
    }

    /// From what a reference leads to, to the image.
    async fn follow(
        &self,
        image: &Reference,
        platform: &Platform,
        mut document: Document,
        known: KnownDocuments<'_>,
    ) -> Result<Resolved, Error> {
        if image.digest().is_some() {
            verify("the manifest", image, wanted_digest(image)?, document.digest)?;
        }
        let digest = document.digest;
        let mut top = None;
        for _ in 0..=INDEX_DEPTH {
            match classify(image, &document)? {
                Kind::Manifest(manifest) => {
                    let config = &manifest.config;
                    let config_bytes = match known(&config.digest) {
                        Some(bytes) => bytes,
                        None => self.small_blob(image, config, CONFIG_LIMIT).await?,
                    };
                    return resolved(
                        image,
                        platform,
                        digest,
                        top,
                        document,
                        manifest,
                        config_bytes,
                    );
                }
                Kind::Index(index) => {
                    let entry = select(&index, platform).ok_or_else(|| Error::NoPlatform {
                        name: image.to_string(),
                        wanted: Box::new(platform.clone()),
                        found: available(&index),
                    })?;
                    let index_bytes = std::mem::take(&mut document.bytes);
                    document = self.document_of(image, entry.digest, known).await?;
                    top.get_or_insert((index, index_bytes));
                }
            }
        }
        Err(not_an_image(image, "its index nests too deep".to_owned()))
    }

    /// A manifest or an index by its digest.
    async fn document_of(
        &self,
        image: &Reference,
        digest: Digest,
        known: KnownDocuments<'_>,
    ) -> Result<Document, Error> {
        if let Some(bytes) = known(&digest) {
            return Ok(Document { bytes, digest, content_type: String::new() });
        }
        let document = self.ask_any(image, &digest.to_string(), false).await?;
        verify("the manifest", image, digest, document.digest)?;
        Ok(document)
    }

    /// Asks the mirrors, then the host, whose error counts. `what` is a tag or a digest.
    async fn ask_any(
        &self,
        image: &Reference,
        what: &str,
        only_digest: bool,
    ) -> Result<Document, Error> {
        let endpoints = self.endpoints(image.registry())?;
        let mut result = Err(not_an_image(image, "no endpoint".to_owned()));
        for endpoint in endpoints.iter() {
            result = self.ask_one(endpoint, image, what, only_digest).await;
            match &result {
                Ok(_) => return result,
                Err(error) if endpoint.mirror => self.pass_over(endpoint, error),
                Err(_) => {}
            }
        }
        result
    }

    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        image: &Reference,
        what: &str,
        only_digest: bool,
    ) -> Result<Document, Error> {
        let mut attempt = 0;
        loop {
            let result = match only_digest {
                true => head_once(endpoint, image, what).await,
                false => get_once(endpoint, image, what).await,
            };
            let Err(error) = result else { return result };
            attempt += 1;
            if endpoint.mirror || !pause(&self.shared.policy, attempt, &error).await {
                return Err(error);
            }
        }
    }

    /// That a mirror lacks something is what mirrors do; anything else is told.
    pub(super) fn pass_over(&self, mirror: &Endpoint, error: &Error) {
        if error.status() != Some(404) {
            let name = mirror.name();
            self.shared.clients.notice(format!("the mirror {name} is passed over: {error}"));
        }
    }
}

fn resolved(
    image: &Reference,
    platform: &Platform,
    digest: Digest,
    top: Option<(Index, Vec<u8>)>,
    document: Document,
    manifest: Box<Manifest>,
    config_bytes: Vec<u8>,
) -> Result<Resolved, Error> {
    let config: ImageConfig = serde_json::from_slice(&config_bytes)
        .map_err(|error| not_an_image(image, format!("its configuration: {error}")))?;
    let other_platform = !platform.fallbacks().contains(&config.platform.normalized());
    let (index, index_bytes) = top.unzip();
    Ok(Resolved {
        digest,
        manifest_digest: document.digest,
        manifest: *manifest,
        manifest_bytes: document.bytes,
        config,
        config_bytes,
        index,
        index_bytes,
        other_platform,
    })
}

/// The digest that a reference has, or its tag.
fn wanted(image: &Reference) -> String {
    image.digest().or(image.tag()).unwrap_or("latest").to_owned()
}

fn wanted_digest(image: &Reference) -> Result<Digest, Error> {
    let text = image.digest().unwrap_or_default();
    text.parse().map_err(|error: crate::digest::DigestError| Error::Reference {
        text: image.to_string(),
        reason: error.to_string(),
    })
}

async fn call(
    endpoint: &Endpoint,
    method: Method,
    image: &Reference,
    what: &str,
) -> Result<(reqwest::Response, Asked), Error> {
    let scopes = [Scope::pull(&endpoint.repository(image.repository()))];
    let url = endpoint.url(image.repository(), &format!("manifests/{what}"))?;
    let asked = Asked::new(&method, &url, endpoint.name());
    let call = accept_any(Call::new(method, url, &scopes).once());
    Ok((endpoint.send(&call).await?, asked))
}

/// Asks for an image, whether it is of one platform or of several.
pub(super) fn accept_any(call: Call<'_>) -> Call<'_> {
    let accepted = [
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
        media_type::DOCKER_MANIFEST_LIST,
        media_type::DOCKER_MANIFEST,
    ];
    call.header(ACCEPT, accepted.join(", "))
}

async fn head_once(endpoint: &Endpoint, image: &Reference, what: &str) -> Result<Document, Error> {
    let digest = match call(endpoint, Method::HEAD, image, what).await {
        Ok((answer, _)) => {
            let header = answer.headers().get(DIGEST_HEADER);
            header.and_then(|value| value.to_str().ok()?.parse().ok())
        }
        Err(error) if error.status() == Some(405) => None,
        Err(error) => return Err(error),
    };
    match digest {
        Some(digest) => Ok(Document { bytes: Vec::new(), digest, content_type: String::new() }),
        // The spec only recommends the header.
        None => get_once(endpoint, image, what).await,
    }
}

async fn get_once(endpoint: &Endpoint, image: &Reference, what: &str) -> Result<Document, Error> {
    let (answer, asked) = call(endpoint, Method::GET, image, what).await?;
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let content_type = header(CONTENT_TYPE.as_str());
    let announced: Option<Digest> = header(DIGEST_HEADER).parse().ok();
    let bytes = http::small_body(answer, MANIFEST_LIMIT)
        .await
        .map_err(|failure| Error::Transport { asked, failure })?
        .ok_or_else(|| Error::TooLarge {
            what: "the manifest",
            name: image.to_string(),
            limit: MANIFEST_LIMIT,
        })?;
    let digest = Digest::of(&bytes);
    if let Some(announced) = announced {
        verify("the manifest", image, announced, digest)?;
    }
    Ok(Document { bytes, digest, content_type })
}

fn verify(
    what: &'static str,
    image: &Reference,
    expected: Digest,
    found: Digest,
) -> Result<(), Error> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Digest { what, name: image.to_string(), expected, found }),
    }
}

fn not_an_image(image: &Reference, what: String) -> Error {
    Error::NotAnImage { name: image.to_string(), what: plain(&what) }
}

/// What a document is, by its own words; by the answer's header only where it has none. One that
/// could be read as two things is refused (image-spec, "media type" and GHSA-77vh-xpmg-72qh).
fn classify(image: &Reference, document: &Document) -> Result<Kind, Error> {
    let wrong = |what: String| not_an_image(image, what);
    let value: Value = serde_json::from_slice(&document.bytes)
        .map_err(|error| wrong(format!("its manifest is not JSON: {error}")))?;
    if value["schemaVersion"] == 1 || value.get("fsLayers").is_some() {
        return Err(Error::Schema1 { name: image.to_string() });
    }
    let has = |key: &str| value.get(key).is_some();
    if has("manifests") && (has("layers") || has("config")) {
        return Err(wrong("its manifest is an index at the same time".to_owned()));
    }
    let content_type = document.content_type.split(';').next().unwrap_or_default().trim();
    let own = value["mediaType"].as_str();
    let kind = match own.unwrap_or(content_type) {
        media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST => "index",
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => "manifest",
        // Static file servers send JSON as JSON.
        "" | "application/json" if has("manifests") => "index",
        "" | "application/json" if has("config") => "manifest",
        other => return Err(wrong(format!("its media type is {:?}", plain(other)))),
    };
    let malformed = |error| wrong(format!("its {kind}: {error}"));
    if kind == "index" {
        return serde_json::from_value(value).map(Kind::Index).map_err(malformed);
    }
    let manifest: Box<Manifest> = serde_json::from_value(value).map_err(malformed)?;
    if !matches!(
        manifest.config.media_type.as_str(),
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG
    ) {
        let found = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
        return Err(wrong(format!("it holds {:?}", plain(found))));
    }
    if manifest.layers.len() > LAYER_LIMIT {
        return Err(Error::TooManyLayers {
            name: image.to_string(),
            found: manifest.layers.len(),
            limit: LAYER_LIMIT,
        });
    }
    Ok(Kind::Manifest(manifest))
}

/// The entry for a platform; failing that, the only one that names no platform.
fn select<'a>(index: &'a Index, platform: &Platform) -> Option<&'a Descriptor> {
    index.select(platform).or_else(|| {
        let mut unnamed = index.manifests.iter().filter(|entry| entry.platform.is_none());
        unnamed.next().filter(|_| unnamed.next().is_none())
    })
}

/// What an index has, attestations aside.
fn available(index: &Index) -> Vec<Platform> {
    let platforms = index.manifests.iter().filter_map(|entry| entry.platform.clone());
    platforms.filter(|platform| platform.os != "unknown").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(body: &str, content_type: &str) -> String {
        let document = Document {
            bytes: body.as_bytes().to_vec(),
            digest: Digest::of(body.as_bytes()),
            content_type: content_type.to_owned(),
        };
        match classify(&"r.io/a/b".parse().unwrap(), &document) {
            Ok(Kind::Manifest(_)) => "manifest".to_owned(),
            Ok(Kind::Index(_)) => "index".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn manifest(config: &str, own: &str, more: &str) -> String {
        let digest = Digest::of(b"");
        format!(
            r#"{{"schemaVersion":2{own},"config":{{"mediaType":"{config}","digest":"{digest}",
            "size":2}},"layers":[]{more}}}"#
        )
    }

    #[test]
    fn documents_are_told_apart() {
        let oci = media_type::OCI_CONFIG;
        let docker = r#","mediaType":"application/vnd.docker.distribution.manifest.v2+json""#;
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        for (body, content_type, expected) in [
            (manifest(oci, "", ""), media_type::OCI_MANIFEST, "manifest"),
            (manifest(oci, "", ""), "application/json; charset=utf-8", "manifest"),
            (manifest(media_type::DOCKER_CONFIG, docker, ""), "text/plain", "manifest"),
            (index.to_owned(), media_type::OCI_INDEX, "index"),
            (index.to_owned(), media_type::DOCKER_MANIFEST_LIST, "index"),
            (index.to_owned(), "", "index"),
            (manifest(oci, "", r#","manifests":[]"#), media_type::OCI_INDEX, "same time"),
            (manifest("application/vnd.cncf.helm.config.v1+json", "", ""), "", "holds"),
            (index.to_owned(), "text/html", "its media type is \"text/html\""),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "", "schema 1"),
            ("<html>".to_owned(), "", "not JSON"),
            (r#"{"schemaVersion":2,"config":{}}"#.to_owned(), "", "missing field"),
        ] {
            let found = classified(&body, content_type);
            assert!(found.contains(expected), "{body}: {found}");
        }
    }
}
