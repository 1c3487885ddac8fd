//! A file whose content stands in the Dockerfile (L-141).

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use super::Source;
use crate::digest::Sha256Sum;
use crate::tree::{CopySource, Entry, FileInfo, Kind, Tree, TreePath, What, clean_path};

/// One heredoc of COPY or ADD: a tree of one file, 0644 0:0.
#[derive(Clone, Debug)]
pub struct Inline {
    tree: Tree,
    path: TreePath,
    content: Arc<[u8]>,
}

impl Inline {
    /// `mtime` in seconds since 1970.
    #[must_use]
    pub fn new(name: &str, content: &[u8], mtime: i64) -> Self {
        let file = FileInfo {
            size: content.len() as u64,
            digest: Some(Sha256Sum::of(content)),
            link: None,
        };
        let entry = Entry { kind: Kind::File(file), mode: 0o644, mtime, ..Entry::directory(0) };
        let path = clean_path(name.as_bytes());
        let mut tree = Tree::new();
        tree.insert(&path, entry);
        Self { tree, path, content: content.into() }
    }

    /// What a COPY takes of it.
    #[must_use]
    pub fn copy_source(&self) -> CopySource<'_> {
        CopySource { tree: &self.tree, what: What::Path(self.path.clone()) }
    }
}

impl Source for Inline {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        if *path != self.path {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(Cursor::new(self.content.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{CopyOptions, copy};

    #[test]
    fn a_heredoc_is_a_file() {
        let inline = Inline::new("run.sh", b"echo", 5);
        let options = CopyOptions { destination: "/bin/".to_owned(), ..CopyOptions::default() };
        let copied = copy(&Tree::new(), &[inline.copy_source()], &options).expect("possible");
        let (_, from) = copied.sources[1].as_ref().expect("the file has a source");
        let mut content = String::new();
        inline.open(from).expect("there").read_to_string(&mut content).expect("text");
        assert_eq!(content, "echo");
        assert!(inline.open(&b"other"[..].into()).is_err());
    }
}
