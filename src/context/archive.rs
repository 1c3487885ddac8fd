//! An archive as a source: a context from standard input or the web, what ADD unpacks.

use std::io::{self, Read};
use std::path::PathBuf;

use super::Source;
use crate::layer::{self, LayerError};
use crate::tree::{Tree, TreePath};

/// The content of the files is in a directory that is nobody else's; owners, modes, links and all
/// else only in the tree.
#[derive(Clone, Debug)]
pub struct Unpacked {
    tree: Tree,
    directory: PathBuf,
}

impl Unpacked {
    /// Unpacks a tar of any encoding (L-144) into `directory`, which is empty.
    ///
    /// # Errors
    /// When it is damaged, leads out of itself, or doesn't fit the disk.
    pub fn new(archive: impl Read + Send, directory: PathBuf) -> Result<Self, LayerError> {
        let changes = layer::unpack_archive(archive, &directory)?;
        let mut tree = Tree::new();
        tree.apply(&changes, 0);
        Ok(Self { tree, directory })
    }
}

impl Source for Unpacked {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(layer::open_inside(&self.directory, path)?))
    }
}
