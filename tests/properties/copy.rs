//! COPY on a tree is COPY on a mounted directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

use plimsoll::context::{DirectoryContext, Ownership, Source as _};
use plimsoll::ignore::Patterns;
use plimsoll::tree::{self, Chmod, CopyOptions, CopySource, Entry, Kind, Tree, TreePath, What};
use proptest::prelude::*;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::slow_copy::{self, Flags, set_time};

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(u8),
    /// Another name of the file at this path, if there is one.
    HardLink(String),
    Symlink(String),
    Fifo,
}

/// What to make at a path: the node, its mode, its owner, its time.
type Plan = Vec<(String, Node, u32, u32, i64)>;

fn path() -> impl Strategy<Value = String> {
    "[abc](/[abc]){0,2}"
}

fn plan() -> impl Strategy<Value = Plan> {
    let target =
        prop_oneof![path(), path().prop_map(|path| format!("/{path}")), "(\\.\\./){1,3}[abc]"];
    let node = prop_oneof![
        3 => Just(Node::Directory),
        4 => any::<u8>().prop_map(Node::File),
        1 => path().prop_map(Node::HardLink),
        2 => target.prop_map(Node::Symlink),
        1 => Just(Node::Fifo),
    ];
    let mode = prop::sample::select(vec![0o755, 0o644, 0o700, 0o4711, 0o2770, 0o1777]);
    prop::collection::vec((path(), node, mode, 0..3_u32, 1_000_000..1_000_009_i64), 0..10)
}

fn flags() -> impl Strategy<Value = Flags> {
    let exclude = prop::collection::vec("[abc](/[abc])?", 0..2);
    let chmod = prop::option::of(prop::sample::select(vec![0o600, 0o2755]));
    (prop::option::of((0..3_u32, 0..3_u32)), chmod, exclude)
        .prop_map(|(chown, chmod, exclude)| Flags { chown, chmod, exclude, made_at: 77 })
}

/// Makes what can be made of a plan: what is in the way of something else stays.
fn make(root: &Path, plan: &Plan) {
    for (path, node, mode, owner, time) in plan {
        let place = root.join(path);
        if let Some(parent) = place.parent() {
            // Links are not followed, not even inside: names must not lead out of the directory.
            let mut above = parent.ancestors().take_while(|above| above.starts_with(root));
            if above.any(|above| above.is_symlink()) || fs::create_dir_all(parent).is_err() {
                continue;
            }
        }
        let made = match node {
            Node::Directory => fs::create_dir(&place),
            Node::File(content) if place.symlink_metadata().is_err() => {
                fs::write(&place, [*content])
            }
            Node::File(_) => continue,
            Node::HardLink(other)
                if root.join(other).is_file() && !root.join(other).is_symlink() =>
            {
                fs::hard_link(root.join(other), &place)
            }
            Node::HardLink(_) => continue,
            Node::Symlink(target) => symlink(target, &place),
            Node::Fifo => mkfifoat(CWD, &place, Mode::from_raw_mode(0o600)).map_err(Into::into),
        };
        if made.is_err() {
            continue;
        }
        lchown(&place, Some(*owner), Some(*owner)).expect("root may");
        if !place.is_symlink() {
            fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).expect("its owner may");
        }
        set_time(&place, *time).expect("its owner may");
    }
}

fn walked(root: &Path) -> Tree {
    let patterns = Patterns::default();
    let mut context =
        DirectoryContext::open(root, &patterns, Ownership::Keep).expect("a directory");
    let is_file = |entry: &Entry| matches!(entry.kind, Kind::File(_));
    let files: Vec<TreePath> =
        context.tree().iter().filter(|(_, e)| is_file(e)).map(|(path, _)| path.clone()).collect();
    context.hash(&files, 1).expect("readable");
    context.tree().clone()
}

/// Without what is no matter of COPY: the layer and the root directory. Hard links of one file have
/// the position of its first name for their number; a file with one name left is none.
fn plain(tree: &Tree) -> BTreeMap<String, Entry> {
    let mut names: BTreeMap<(u32, u64), Vec<String>> = BTreeMap::new();
    let mut plain = BTreeMap::new();
    for (path, entry) in tree.iter().filter(|(path, _)| !path.is_empty()) {
        let path = String::from_utf8_lossy(path).into_owned();
        let mut entry = entry.clone();
        if let Kind::File(file) = &mut entry.kind
            && let Some(link) = file.link.take()
        {
            names.entry((entry.layer, link)).or_default().push(path.clone());
        }
        entry.layer = 0;
        plain.insert(path, entry);
    }
    let paths: Vec<String> = plain.keys().cloned().collect();
    for group in names.values().filter(|group| group.len() > 1) {
        let first = paths.iter().position(|path| *path == group[0]);
        for path in group {
            if let Some(Entry { kind: Kind::File(file), .. }) = plain.get_mut(path) {
                file.link = first.map(|position| position as u64);
            }
        }
    }
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_tree_is_copied_as_a_mounted_directory_is(
        source_plan in plan(),
        root_plan in plan(),
        paths in prop::collection::vec("[abc](/[abc*])?|\\*", 1..3),
        destination in "/([abc](/[abc]){0,2}/?)?",
        flags in flags(),
        link in any::<bool>(),
    ) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may give files away");
            return Ok(());
        }
        let (source, root) = (tempfile::tempdir().expect("a place"), tempfile::tempdir().expect("a place"));
        make(source.path(), &source_plan);
        // A linked COPY is one into an empty directory; with --chmod there are none (L-137).
        let linked = link && flags.chmod.is_none();
        if !linked {
            make(root.path(), &root_plan);
        }

        let (source_tree, parent) = (walked(source.path()), walked(root.path()));
        let options = CopyOptions {
            destination: destination.clone(),
            cwd: "/".to_owned(),
            chown: flags.chown,
            chmod: flags.chmod.map(Chmod::Absolute),
            link,
            exclude: Patterns::from_flags(&flags.exclude).expect("valid"),
            created_mtime: flags.made_at,
            ..CopyOptions::default()
        };
        let sources: Vec<CopySource<'_>> = paths
            .iter()
            .map(|path| CopySource { tree: &source_tree, what: What::Pattern(path.clone()) })
            .collect();
        let found = tree::copy(&parent, &sources, &options);
        let expected = slow_copy::copy(source.path(), &paths, root.path(), &destination, &flags);

        match (found, expected) {
            (Ok(copied), Ok(())) => {
                let mut after = parent;
                after.apply(&copied.changes, 1);
                prop_assert_eq!(plain(&after), plain(&walked(root.path())));
            }
            (Err(_), Err(_)) => {}
            (found, expected) => prop_assert!(false, "{found:?} but {expected:?}"),
        }
    }
}
