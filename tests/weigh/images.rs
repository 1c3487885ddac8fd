//! Images written by hand: only the tar writer, whose own tests are elsewhere, is the program's.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll::digest::{DiffId, Digest};
use plimsoll::image::media_type;
use plimsoll::layer::tar::{TarEntry, TarKind, TarWriter};
use plimsoll::tree::Xattrs;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Layer {
    pub created_by: String,
    pub members: Vec<Member>,
    pub compression: Compression,
}

#[derive(Clone, Copy, Debug)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: TarKind,
    pub mode: u32,
    pub content: Vec<u8>,
}

pub fn file(path: &str, content: &[u8]) -> Member {
    let kind = TarKind::File { size: content.len() as u64 };
    Member { path: path.into(), kind, mode: 0o644, content: content.to_vec() }
}

pub fn program(path: &str, content: &[u8]) -> Member {
    Member { mode: 0o755, ..file(path, content) }
}

pub fn directory(path: &str) -> Member {
    Member { path: path.into(), kind: TarKind::Directory, mode: 0o755, content: Vec::new() }
}

pub fn symlink(path: &str, target: &str) -> Member {
    Member { kind: TarKind::Symlink(target.as_bytes().into()), ..directory(path) }
}

pub fn hard_link(path: &str, target: &str) -> Member {
    Member { kind: TarKind::HardLink(target.as_bytes().into()), ..directory(path) }
}

impl Layer {
    pub fn new(created_by: &str, members: Vec<Member>) -> Self {
        Self { created_by: created_by.to_owned(), members, compression: Compression::Gzip }
    }

    pub fn compressed(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for Member { path, kind, mode, content } in &self.members {
            let (path, kind, xattrs) = (path.as_slice().into(), kind.clone(), Xattrs::new());
            tar.entry(&TarEntry { path, kind, mode: *mode, uid: 0, gid: 0, mtime: 0, xattrs })
                .unwrap();
            if !content.is_empty() {
                tar.body().write_all(content).unwrap();
                tar.end_body().unwrap();
            }
        }
        tar.finish().unwrap()
    }

    fn blob(&self, tar: &[u8]) -> (&'static str, Vec<u8>) {
        match self.compression {
            Compression::None => (media_type::OCI_LAYER, tar.to_vec()),
            Compression::Zstd => (media_type::OCI_LAYER_ZSTD, zstd::encode_all(tar, 3).unwrap()),
            Compression::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(tar).unwrap();
                (media_type::OCI_LAYER_GZIP, encoder.finish().unwrap())
            }
        }
    }
}

/// A layout that was written.
pub struct Written {
    /// Bytes of the layers' blobs.
    pub blobs: Vec<u64>,
    pub files: Vec<PathBuf>,
    pub config: PathBuf,
    pub manifest: PathBuf,
}

fn config(layers: &[(Layer, Vec<u8>)]) -> Vec<u8> {
    let history = layers.iter().map(|(layer, _)| json!({ "created_by": layer.created_by }));
    let diff_ids = layers.iter().map(|(_, tar)| DiffId::of(tar).to_string());
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids.collect::<Vec<_>>() },
        "history": history.collect::<Vec<_>>(),
    });
    serde_json::to_vec(&config).unwrap()
}

fn with_tars(layers: Vec<Layer>) -> Vec<(Layer, Vec<u8>)> {
    layers.into_iter().map(|layer| (layer.clone(), layer.tar())).collect()
}

/// An OCI layout.
pub fn write(folder: &Path, layers: Vec<Layer>) -> Written {
    write_tars(folder, &with_tars(layers))
}

/// An OCI layout with one layer, an archive that another program has made.
pub fn write_tar(folder: &Path, tar: &Path) -> Written {
    let layer = Layer::new("", Vec::new()).compressed(Compression::None);
    write_tars(folder, &[(layer, std::fs::read(tar).unwrap())])
}

fn write_tars(folder: &Path, layers: &[(Layer, Vec<u8>)]) -> Written {
    let store = folder.join("blobs/sha256");
    std::fs::create_dir_all(&store).unwrap();
    let put = |media_type: &str, bytes: &[u8]| -> (Value, PathBuf) {
        let digest = Digest::of(bytes);
        let path = store.join(digest.hex());
        std::fs::write(&path, bytes).unwrap();
        (json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }), path)
    };
    let blobs: Vec<(&str, Vec<u8>)> = layers.iter().map(|(layer, tar)| layer.blob(tar)).collect();
    let (descriptors, files): (Vec<Value>, Vec<PathBuf>) =
        blobs.iter().map(|(media_type, blob)| put(media_type, blob)).unzip();
    let (config, config_file) = put(media_type::OCI_CONFIG, &config(layers));
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let (descriptor, manifest_file) = put(media_type::OCI_MANIFEST, &manifest);
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    Written {
        blobs: blobs.iter().map(|(_, blob)| blob.len() as u64).collect(),
        files,
        config: config_file,
        manifest: manifest_file,
    }
}

/// What `docker save` wrote before version 25. The last layer is a link to where it is.
pub fn write_docker_archive(path: &Path, layers: Vec<Layer>) {
    let layers = with_tars(layers);
    let name = |index: usize| format!("{index:064x}/layer.tar");
    let names: Vec<String> = (0..layers.len()).map(name).collect();
    let config = config(&layers);
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["app:1"], "Layers": names }]);
    let mut members = Vec::new();
    for (index, (_, tar)) in layers.iter().enumerate() {
        if index + 1 == layers.len() {
            members.push(file("elsewhere/layer.tar", tar));
            members.push(symlink(&name(index), "../elsewhere/layer.tar"));
        } else {
            members.push(file(&name(index), tar));
        }
    }
    members.push(file("config.json", &config));
    members.push(file("manifest.json", manifest.to_string().as_bytes()));
    std::fs::write(path, Layer::new("", members).tar()).unwrap();
}

/// The shell, and the loader and libraries it needs, with their contents; `None` where it is static.
pub fn dynamic_program() -> Option<(PathBuf, Vec<(PathBuf, Vec<u8>)>)> {
    let shell = std::fs::canonicalize("/bin/sh").ok()?;
    let output = Command::new("ldd").arg(&shell).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = |line: &str| {
        let word = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some((PathBuf::from(word), std::fs::read(word).ok()?))
    };
    let libraries: Vec<_> = text.lines().filter_map(path).collect();
    (!libraries.is_empty()).then_some((shell, libraries))
}
