//! What WORKDIR does to a tree (L-165).

use super::copy::CopyError;
use super::draft::{Draft, MadeDirectory};
use super::entry::Changes;
use super::resolve::clean_path;
use super::tree::Tree;

/// Makes `path` and its missing parents, 0755 and owned by `owner`. Empty where all is there.
///
/// # Errors
/// When something on the way is no directory, or links go round in a circle.
pub fn workdir(
    parent: &Tree,
    path: &str,
    owner: (u32, u32),
    mtime: i64,
) -> Result<Changes, CopyError> {
    let real = parent.resolve(&clean_path(path.as_bytes()), true)?;
    let mut draft = Draft::new(parent);
    draft.make_directories(&real, MadeDirectory { mode: 0o755, owner, mtime })?;
    Ok(draft.finish().changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Change, Entry, Kind};

    #[test]
    fn missing_directories_are_made_where_links_lead() {
        let mut tree = Tree::new();
        let link = Entry { kind: Kind::Symlink(b"/data/app"[..].into()), ..Entry::directory(0) };
        tree.insert(&b"srv"[..].into(), link);
        tree.insert(&b"data"[..].into(), Entry::directory(0));

        let changes = workdir(&tree, "/srv/x", (7, 8), 9).expect("possible").changes;
        let made = Entry { uid: 7, gid: 8, mtime: 9, ..Entry::directory(0) };
        let set = |path: &[u8]| (path.into(), Change::Set(made.clone()));
        assert_eq!(changes, [set(b"data/app"), set(b"data/app/x")]);

        assert_eq!(workdir(&tree, "/data/", (7, 8), 9), Ok(Changes::default()));
        assert_eq!(workdir(&tree, "/", (7, 8), 9), Ok(Changes::default()));
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let mut tree = Tree::new();
        let fifo = Entry { kind: Kind::Fifo, ..Entry::directory(0) };
        tree.insert(&b"a"[..].into(), fifo);
        let error = workdir(&tree, "/a/b", (0, 0), 0).expect_err("a file is in the way");
        assert_eq!(error.to_string(), "mkdir /a: not a directory");
    }
}
