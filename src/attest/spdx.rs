//! Which packages an image has, as an SPDX 2.3 document (a software bill of materials).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::Attestation;
use super::purl::{of_library, of_package};
use crate::digest::{DiffId, Digest};
use crate::weight::{Component, Distribution, Package, PackageKind, path};

/// What the names of documents begin with; each has another name.
const NAMESPACE: &str = "https://github.com/plimsoll-build/plimsoll/spdx/";
const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";
/// Digits of the sum that tells packages of one name apart.
const SHORT: usize = 16;

/// What is known of the packages of an image.
#[derive(Clone, Copy, Debug)]
pub struct Inventory<'a> {
    /// Of the image: its first name, or its stage.
    pub name: &'a str,
    /// When the image was made (RFC 3339, UTC).
    pub created: &'a str,
    pub distribution: Option<&'a Distribution>,
    /// Sorted.
    pub packages: &'a [Package],
    /// The layers that packages refer to, from the lowest.
    pub layers: &'a [DiffId],
    /// Of the Plimsoll that found them.
    pub program_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    document_namespace: String,
    creation_info: CreationInfo<'a>,
    packages: Vec<SpdxPackage>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreationInfo<'a> {
    created: &'a str,
    creators: [String; 1],
    license_list_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_comments: Option<String>,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The list of packages. The same image gives the same bytes, in every run.
#[must_use]
pub fn predicate(inventory: &Inventory<'_>) -> Attestation {
    let (packages, relationships) = contents(inventory);
    let creators = [format!("Tool: plimsoll-{}", inventory.program_version)];
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: inventory.name,
        document_namespace: NAMESPACE.to_owned(),
        creation_info: CreationInfo {
            created: inventory.created,
            creators,
            license_list_version: license_list(),
        },
        packages,
        relationships,
    };
    // Documents of other layers with the same packages must not share a name.
    let layers: Vec<String> = inventory.layers.iter().map(DiffId::to_string).collect();
    let all = json!([document, layers]).to_string();
    document.document_namespace.push_str(&Digest::of(all.as_bytes()).hex());
    Attestation {
        predicate_type: "https://spdx.dev/Document",
        file_name: "sbom.spdx.json",
        inline_only: false,
        predicate: json!(document),
    }
}

/// The packages, and what has what.
fn contents(inventory: &Inventory<'_>) -> (Vec<SpdxPackage>, Vec<Relationship>) {
    let image = SpdxPackage {
        primary_package_purpose: Some("CONTAINER"),
        ..named(IMAGE.to_owned(), inventory.name, "")
    };
    let mut packages = vec![image];
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    if let Some(Distribution { id, version, name }) = inventory.distribution {
        packages.push(SpdxPackage {
            primary_package_purpose: Some("OPERATING-SYSTEM"),
            comment: Some(name.clone()).filter(|name| !name.is_empty()),
            ..named(SYSTEM.to_owned(), id, version)
        });
        relationships.push(relationship(IMAGE, "CONTAINS", SYSTEM));
    }
    let mut seen = BTreeSet::new();
    // Of several programs the same module is one.
    let mut components: BTreeMap<String, SpdxPackage> = BTreeMap::new();
    let mut contained = BTreeSet::new();
    for package in inventory.packages {
        let listed = of(package, inventory);
        // The same paragraph twice in a database.
        if !seen.insert(listed.id.clone()) {
            continue;
        }
        relationships.push(relationship(IMAGE, "CONTAINS", &listed.id));
        for component in &package.components {
            let part = linked(package.kind, component);
            contained.insert(relationship(&listed.id, "CONTAINS", &part.id));
            components.insert(part.id.clone(), part);
        }
        packages.push(listed);
    }
    packages.extend(components.into_values());
    relationships.extend(contained);
    (packages, relationships)
}

fn of(package: &Package, inventory: &Inventory<'_>) -> SpdxPackage {
    let Package { kind, name, version, path, details, .. } = package;
    let url = of_package(package, inventory.distribution);
    let path = path::text(path);
    let what = [kind.name(), name, version, &details.architecture, &path];
    let (license, said) = license(&details.license);
    let layer = inventory.layers.get(package.layer as usize).filter(|_| package.files > 0);
    SpdxPackage {
        license_declared: license,
        license_comments: said,
        source_info: (!path.is_empty()).then(|| format!("found at /{path}")),
        comment: layer.map(|layer| format!("layerID: {layer}")),
        external_refs: url.into_iter().map(external).collect(),
        ..named(identifier("Package", *kind, name, &what), name, version)
    }
}

fn linked(kind: PackageKind, component: &Component) -> SpdxPackage {
    let Component { name, version } = component;
    // Vulnerability databases know Go's own library by this name.
    let name = if kind == PackageKind::Go && name == "go" { "stdlib" } else { name };
    let url = of_library(kind, name, version);
    SpdxPackage {
        external_refs: url.into_iter().map(external).collect(),
        ..named(identifier("Component", kind, name, &[kind.name(), name, version]), name, version)
    }
}

fn named(id: String, name: &str, version: &str) -> SpdxPackage {
    SpdxPackage {
        id,
        name: name.to_owned(),
        version_info: version.to_owned(),
        primary_package_purpose: None,
        download_location: NO_ASSERTION,
        files_analyzed: false,
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.to_owned(),
        license_comments: None,
        copyright_text: NO_ASSERTION,
        source_info: None,
        comment: None,
        external_refs: Vec::new(),
    }
}

fn external(reference_locator: String) -> ExternalRef {
    ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator }
}

/// An identifier has letters, digits, dots and dashes (SPDX 2.3, 3.2); a sum of `what` tells apart what
/// looks the same then.
fn identifier(role: &str, kind: PackageKind, name: &str, what: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let sum = Digest::of(what.join("\0").as_bytes()).hex();
    format!("SPDXRef-{role}-{}-{name}-{}", kind.name(), &sum[..SHORT])
}

/// What a package declares, as an expression of SPDX; else what it says, for people.
fn license(text: &str) -> (String, Option<String>) {
    if text.is_empty() {
        return (NO_ASSERTION.to_owned(), None);
    }
    let canonical = spdx::Expression::canonicalize(text).ok().map(|c| c.unwrap_or(text.to_owned()));
    match canonical.filter(|license| spdx::Expression::parse(license).is_ok()) {
        Some(license) => (license, None),
        None => (NO_ASSERTION.to_owned(), Some(format!("The package says: {text}"))),
    }
}

/// Of the identifiers of licenses: `3.28`, as a document has it.
fn license_list() -> &'static str {
    let whole = spdx::license_version();
    whole.match_indices('.').nth(1).map_or(whole, |(patch, _)| &whole[..patch])
}

fn relationship(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::weight::{Details, Size};

    fn package(kind: PackageKind, name: &str, version: &str, path: &str) -> Package {
        Package {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            path: path.as_bytes().into(),
            size: Size::ZERO,
            files: 1,
            layer: 0,
            components: Vec::new(),
            details: Details::default(),
        }
    }

    fn component(name: &str, version: &str) -> Component {
        Component { name: name.to_owned(), version: version.to_owned() }
    }

    fn document(packages: &[Package], layer: &[u8]) -> Value {
        let debian = Distribution {
            id: "debian".to_owned(),
            version: "12".to_owned(),
            name: "Debian 12".to_owned(),
        };
        predicate(&Inventory {
            name: "ghcr.io/acme/boat:1",
            created: "2020-09-13T12:26:40Z",
            distribution: Some(&debian),
            packages,
            layers: &[DiffId::of(layer)],
            program_version: "0.1.0",
        })
        .predicate
    }

    #[test]
    fn a_document_has_what_the_image_has() {
        let details = Details {
            architecture: "amd64".to_owned(),
            upstream: "glibc".to_owned(),
            license: "GPLv2 and MIT".to_owned(),
        };
        let libc = Package { details, ..package(PackageKind::Dpkg, "libc6", "2.36", "") };
        let app = Package {
            components: vec![component("ex.org/b", "v1.0.0"), component("go", "1.22.1")],
            ..package(PackageKind::Go, "ex.org/app", "(devel)", "usr/bin/app")
        };
        let other = Package {
            components: vec![component("go", "1.22.1")],
            ..package(PackageKind::Go, "ex.org/app", "(devel)", "usr/bin/other")
        };
        let document = document(&[libc, app, other], b"layer");
        let packages = document["packages"].as_array().unwrap();
        let names = packages.iter().map(|p| (p["name"].as_str().unwrap(), purl(p)));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                ("ghcr.io/acme/boat:1", ""),
                ("debian", ""),
                ("libc6", "pkg:deb/debian/libc6@2.36?arch=amd64&distro=debian-12&upstream=glibc"),
                ("ex.org/app", "pkg:golang/ex.org/app"),
                ("ex.org/app", "pkg:golang/ex.org/app"),
                ("ex.org/b", "pkg:golang/ex.org/b@v1.0.0"),
                ("stdlib", "pkg:golang/stdlib@1.22.1"),
            ]
        );
        let libc = &packages[2];
        assert_eq!(libc["licenseDeclared"], "GPL-2.0-only AND MIT");
        assert_eq!(libc["comment"], format!("layerID: {}", DiffId::of(b"layer")));
        assert_eq!(packages[3]["sourceInfo"], "found at /usr/bin/app");
        // Every element is known, and no two have one name.
        let ids: BTreeSet<&str> = packages.iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), packages.len());
        let relationships = document["relationships"].as_array().unwrap();
        let all: Vec<[&str; 3]> = relationships
            .iter()
            .map(|r| {
                ["spdxElementId", "relationshipType", "relatedSpdxElement"]
                    .map(|key| r[key].as_str().unwrap())
            })
            .collect();
        assert_eq!(all[0], [DOCUMENT, "DESCRIBES", IMAGE]);
        assert_eq!(all.len(), 8);
        for [from, kind, to] in &all[1..] {
            assert!(ids.contains(from) && ids.contains(to) && *kind == "CONTAINS");
        }
    }

    fn purl(package: &Value) -> &str {
        package["externalRefs"][0]["referenceLocator"].as_str().unwrap_or_default()
    }

    #[test]
    fn documents_of_other_images_have_other_names() {
        let packages = [package(PackageKind::Npm, "a", "1.0.0", "app/node_modules/a")];
        let namespace = |packages: &[Package], layer: &[u8]| {
            document(packages, layer)["documentNamespace"].clone()
        };
        assert_eq!(namespace(&packages, b"x"), namespace(&packages, b"x"));
        assert_ne!(namespace(&packages, b"x"), namespace(&packages, b"y"));
        assert_ne!(namespace(&packages, b"x"), namespace(&[], b"x"));
    }

    #[test]
    fn a_license_is_an_expression_or_a_comment() {
        let said = |text: &str| Some(format!("The package says: {text}"));
        for (text, expected, comment) in [
            ("", NO_ASSERTION, None),
            ("MIT", "MIT", None),
            ("(MIT OR Apache-2.0)", "(MIT OR Apache-2.0)", None),
            ("GPL-2.0-or-later and MIT", "GPL-2.0-or-later AND MIT", None),
            ("SEE LICENSE IN x", NO_ASSERTION, said("SEE LICENSE IN x")),
            ("Public Domain (", NO_ASSERTION, said("Public Domain (")),
        ] {
            assert_eq!(license(text), (expected.to_owned(), comment), "{text}");
        }
        let version = license_list();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
        assert_eq!(version.split('.').count(), 2);
    }
}
