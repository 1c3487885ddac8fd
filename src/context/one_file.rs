//! A source that is a single file: a heredoc, or a download.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::Source;
use crate::digest::ContentSum;
use crate::tree::{Entry, FileInfo, Kind, Tree, TreePath, clean_path};

#[derive(Clone, Debug)]
pub struct OneFile {
    tree: Tree,
    path: TreePath,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Text(Arc<[u8]>),
    /// A file that nobody else writes to.
    At(PathBuf),
}

impl OneFile {
    /// A heredoc of COPY or ADD: 0644 0:0 (L-141).
    #[must_use]
    pub fn heredoc(name: &str, text: &str) -> Self {
        let text: Arc<[u8]> = text.as_bytes().into();
        let (size, digest) = (text.len() as u64, Some(ContentSum::of(&text)));
        Self::new(name, 0o644, 0, size, digest, Content::Text(text))
    }

    /// A download of `size` bytes whose content is the file at `place`: 0600 0:0 (L-145). `mtime`
    /// in seconds since 1970; `digest` where a key is to be made of it.
    #[must_use]
    pub fn download(
        name: &str,
        mtime: i64,
        size: u64,
        digest: Option<ContentSum>,
        place: PathBuf,
    ) -> Self {
        Self::new(name, 0o600, mtime, size, digest, Content::At(place))
    }

    fn new(
        name: &str,
        mode: u32,
        mtime: i64,
        size: u64,
        digest: Option<ContentSum>,
        content: Content,
    ) -> Self {
        let file = FileInfo { size, digest, link: None };
        let entry = Entry { kind: Kind::File(file), mode, mtime, ..Entry::directory(0) };
        let path = clean_path(name.as_bytes());
        let mut tree = Tree::new();
        tree.insert(&path, entry);
        Self { tree, path, content }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &TreePath {
        &self.path
    }
}

impl Source for OneFile {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        if *path != self.path {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(match &self.content {
            Content::Text(text) => Box::new(Cursor::new(Arc::clone(text))),
            Content::At(place) => Box::new(File::open(place)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{CopyOptions, CopySource, What, copy};

    #[test]
    fn a_heredoc_is_a_file() {
        let heredoc = OneFile::heredoc("run.sh", "echo");
        let options = CopyOptions { destination: "/bin/".to_owned(), ..CopyOptions::default() };
        let source = CopySource { tree: heredoc.tree(), what: What::Path(heredoc.path().clone()) };
        let copied = copy(&Tree::new(), &[source], &options).expect("possible");
        let (_, from) = copied.sources[1].as_ref().expect("the file has a source");
        let mut content = String::new();
        heredoc.open(from).expect("there").read_to_string(&mut content).expect("text");
        assert_eq!(content, "echo");
        assert!(heredoc.open(&b"other"[..].into()).is_err());
    }
}
