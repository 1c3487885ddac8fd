use proptest::prelude::*;

use super::*;
use crate::tree::{Change, FileInfo};

/// `d name`, `f name`, `l name target`, with ` owner` and ` mode` where they matter:
/// one line for one entry.
pub(in crate::tree) fn tree(lines: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let (kind, mode) = match words[0] {
            "d" => (Kind::Directory, 0o755),
            "f" => (Kind::File(FileInfo { size: 1, digest: None, link: None }), 0o644),
            "h" => (Kind::File(FileInfo { size: 1, digest: None, link: Some(5) }), 0o644),
            "p" => (Kind::Fifo, 0o600),
            "l" => (Kind::Symlink(words[2].as_bytes().into()), 0o777),
            other => panic!("no kind {other}"),
        };
        let mut entry = Entry { kind, mode, mtime: 7, ..Entry::directory(3) };
        for word in &words[2..] {
            if let Some(mode) = word.strip_prefix("mode=") {
                entry.mode = u32::from_str_radix(mode, 8).expect("octal");
            } else if let Some(id) = word.strip_prefix("id=") {
                entry.uid = id.parse().expect("a number");
                entry.gid = entry.uid;
            }
        }
        tree.insert(&words[1].as_bytes().into(), entry);
    }
    tree
}

fn options(destination: &str) -> CopyOptions {
    CopyOptions {
        destination: destination.to_owned(),
        cwd: "/work".to_owned(),
        created_mtime: 99,
        ..CopyOptions::default()
    }
}

fn run(
    parent: &Tree,
    source: &Tree,
    patterns: &[&str],
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    let sources: Vec<_> = patterns
        .iter()
        .map(|text| CopySource { tree: source, what: What::Pattern((*text).to_owned()) })
        .collect();
    copy(parent, &sources, options)
}

/// `path<-source` for what is copied, `path` for what is made.
fn shape(result: Result<Copied, CopyError>) -> String {
    let copied = match result {
        Ok(copied) => copied,
        Err(error) => return error.to_string(),
    };
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let lines = copied.changes.changes.iter().zip(&copied.sources).map(|((path, _), source)| {
        source.as_ref().map_or(text(path), |(_, from)| format!("{}<-{}", text(path), text(from)))
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn entry<'a>(copied: &'a Copied, path: &str) -> &'a Entry {
    let change = copied.changes.changes.iter().find(|(p, _)| **p == *path.as_bytes());
    match change {
        Some((_, Change::Set(entry))) => entry,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn paths_land_where_docker_puts_them() {
    let parent = tree(&[
        "d usr",
        "d usr/bin",
        "l bin usr/bin",
        "d etc",
        "f etc/conf",
        "d work",
        "l gone data/x",
        "l up ../../usr",
        "d usr/dir",
        "l usr/dir/sub /etc",
        "f usr/dir/plain",
    ]);
    let source = tree(&[
        "f a",
        "f b",
        "d d",
        "f d/x",
        "d d/sub",
        "f d/sub/y",
        "l d/link ../a",
        "l la a",
        "l ld d",
        "f a.txt",
        "f b.txt",
        "d e",
        "f e/z",
        "l bad nowhere",
        "d .git",
        "f .git/c",
        "f star*",
    ]);
    for (patterns, destination, expected) in [
        // A file takes the name of the destination, or goes into the directory.
        (&["a"][..], "/new", "new<-a"),
        (&["a"], "new", "work/new<-a"),
        (&["a"], "/new/", "new new/a<-a"),
        (&["a"], "/new/.", "new new/a<-a"),
        (&["a"], "/x/y/new", "x x/y x/y/new<-a"),
        (&["a"], "/etc", "etc/a<-a"),
        (&["a"], ".", "work/a<-a"),
        (&["a"], "./", "work/a<-a"),
        (&["a"], "", "work/a<-a"),
        (&["a"], "..", "a<-a"),
        (&["a"], "/etc/conf", "etc/conf<-a"),
        (&["/../a"], "/new", "new<-a"),
        (&["a"], "/etc/conf/", "mkdir /etc/conf: not a directory"),
        (&["a"], "/etc/conf/x", "mkdir /etc/conf: not a directory"),
        // Links in the destination are followed, inside the root.
        (&["a"], "/bin/", "usr/bin/a<-a"),
        (&["a"], "/bin", "usr/bin/a<-a"),
        (&["a"], "/bin/tool", "usr/bin/tool<-a"),
        (&["a"], "/gone", "data data/x<-a"),
        (&["a"], "/up/q", "usr/q<-a"),
        // Of a directory the contents are copied.
        (&["d"], "/new", "new new/link<-d/link new/sub<-d/sub new/sub/y<-d/sub/y new/x<-d/x"),
        (&["d/"], "/etc", "etc/link<-d/link etc/sub<-d/sub etc/sub/y<-d/sub/y etc/x<-d/x"),
        (&["d"], "/etc/conf", "cannot copy to non-directory: /etc/conf"),
        (&["d"], "/usr/dir", "cannot copy to non-directory: /usr/dir/sub"),
        // Links in a source are followed, links in a directory are copied.
        (&["la"], "/new", "new<-a"),
        (&["la"], "/etc/", "etc/la<-a"),
        (&["ld"], "/etc", "etc/link<-d/link etc/sub<-d/sub etc/sub/y<-d/sub/y etc/x<-d/x"),
        (&["ld/x"], "/etc/", "etc/x<-d/x"),
        (
            &["bad"],
            "/new",
            "failed to compute cache key: failed to calculate checksum of ref: \"/bad\": not found",
        ),
        (
            &["none/x"],
            "/new",
            "failed to compute cache key: failed to calculate checksum of ref: \"/none/x\": not found",
        ),
        // Several files go one after the other to where one would go.
        (&["a", "b"], "/new", "new<-b"),
        (&["a", "b"], "/new/", "new new/a<-a new/b<-b"),
        (&["a", "d"], "/new", "cannot copy to non-directory: /new"),
        (&["a", "d/sub"], "/etc", "etc/a<-a etc/y<-d/sub/y"),
        (
            &["a", "none"],
            "/etc",
            "failed to compute cache key: failed to calculate checksum of ref: \"/none\": not found",
        ),
        // Wildcards.
        (&["*.txt"], "/new", "new<-b.txt"),
        (&["*.txt"], "/new/", "new new/a.txt<-a.txt new/b.txt<-b.txt"),
        (&["a.*"], "/new", "new<-a.txt"),
        (&["*.none"], "/new", ""),
        (&["d/*"], "/etc/", "etc/link<-a etc/x<-d/x etc/y<-d/sub/y"),
        (&["l[d]/?"], "/etc/", ""),
        (&["ld/[x-z]"], "/etc/", "etc/x<-d/x"),
        (&["star\\*"], "/etc/", "etc/star*<-star*"),
        (
            &["none/*"],
            "/new",
            "failed to compute cache key: failed to calculate checksum of ref: \"/none/*\": not found",
        ),
        (&["[x"], "/new", "syntax error in pattern \"[x\""),
        // The last one wins.
        (
            &["d/x", "a", "d"],
            "/etc/",
            "etc/a<-a etc/link<-d/link etc/sub<-d/sub etc/sub/y<-d/sub/y etc/x<-d/x",
        ),
    ] {
        let found = shape(run(&parent, &source, patterns, &options(destination)));
        assert_eq!(found, expected, "COPY {patterns:?} {destination}");
    }
}

#[test]
fn a_file_does_not_replace_a_directory() {
    let parent = tree(&["d dst", "d dst/a"]);
    let found = shape(run(&parent, &tree(&["f a"]), &["a"], &options("/dst")));
    assert_eq!(found, "cannot replace to directory /dst/a with file");
}

#[test]
fn a_link_at_the_last_place_inside_a_directory_is_replaced() {
    let parent = tree(&["d dst", "l dst/a /elsewhere", "l dst/x /elsewhere"]);
    let source = tree(&["f a", "d d", "f d/x"]);
    assert_eq!(shape(run(&parent, &source, &["a"], &options("/dst/"))), "dst/a<-a");
    assert_eq!(shape(run(&parent, &source, &["d"], &options("/dst/"))), "dst/x<-d/x");
}

#[test]
fn metadata_is_that_of_the_source_but_not_at_the_top() {
    let parent = tree(&["d old id=4 mode=700", "d old/sub id=4 mode=700"]);
    let source = tree(&["d d id=9 mode=711", "d d/sub id=9 mode=711", "f d/sub/f id=9 mode=4755"]);
    let facts = |entry: &Entry| (entry.uid, entry.mode, entry.mtime);

    let copied = run(&parent, &source, &["d"], &options("/old")).expect("possible");
    assert_eq!(copied.changes.changes.len(), 2);
    assert_eq!(facts(entry(&copied, "old/sub")), (9, 0o711, 7));
    assert_eq!(facts(entry(&copied, "old/sub/f")), (9, 0o4755, 7));

    let copied = run(&parent, &source, &["d"], &options("/a/new")).expect("possible");
    assert_eq!(facts(entry(&copied, "a")), (0, 0o755, 99));
    assert_eq!(facts(entry(&copied, "a/new")), (0, 0o755, 7));
    assert_eq!(facts(entry(&copied, "a/new/sub")), (9, 0o711, 7));
}

#[test]
fn chown_and_chmod_reach_made_directories_too() {
    let source = tree(&["d d", "d d/s", "f d/f", "l d/l f"]);
    let chmod = |text| CopyOptions {
        chown: Some((5, 6)),
        chmod: Some(Chmod::parse(text).expect("valid")),
        ..options("/a/b/")
    };
    let modes = |text| {
        let copied = run(&Tree::new(), &source, &["d"], &chmod(text)).expect("possible");
        for (path, _) in &copied.changes.changes {
            let entry = entry(&copied, &String::from_utf8_lossy(path));
            assert_eq!((entry.uid, entry.gid), (5, 6));
        }
        ["a", "a/b", "a/b/s", "a/b/f", "a/b/l"].map(|path| entry(&copied, path).mode)
    };
    assert_eq!(modes("2700"), [0o700, 0o700, 0o2700, 0o2700, 0o777]);
    assert_eq!(modes("go=,u+x"), [0o755, 0o755, 0o700, 0o700, 0o777]);
}

#[test]
fn a_detached_copy_knows_nothing_of_its_parent() {
    let parent = tree(&["d usr", "d usr/bin", "l bin usr/bin"]);
    let source = tree(&["f a"]);
    let link = CopyOptions { link: true, ..options("/bin/") };
    assert_eq!(shape(run(&parent, &source, &["a"], &link)), "bin bin/a<-a");
    let with_mode = CopyOptions { chmod: Some(Chmod::Absolute(0o700)), ..link };
    assert_eq!(shape(run(&parent, &source, &["a"], &with_mode)), "usr/bin/a<-a");
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let source = tree(&[
        "d a mode=700",
        "d a/b mode=711",
        "f a/b/c.txt",
        "f a/b/d.md",
        "d a/x",
        "f a/x/e.txt",
        "f f.txt",
        "d v1",
        "d v1/lib",
        "f v1/lib/so",
        "d v2",
        "d v2/lib",
        "f v2/lib/so",
    ]);
    let parents = || CopyOptions { parents: true, ..options("/o/") };
    for (patterns, expected) in [
        (&["a/b/c.txt"][..], "o o/a<-a o/a/b<-a/b o/a/b/c.txt<-a/b/c.txt"),
        (&["./a/./b/c.txt"], "o o/b<-a/b o/b/c.txt<-a/b/c.txt"),
        (
            &["a/*/*.txt"],
            "o o/a<-a o/a/b<-a/b o/a/b/c.txt<-a/b/c.txt o/a/x<-a/x o/a/x/e.txt<-a/x/e.txt",
        ),
        (&["**/*.md"], "o o/a<-a o/a/b<-a/b o/a/b/d.md<-a/b/d.md"),
        (&["a/b"], "o o/a<-a o/a/b<-a/b o/a/b/c.txt<-a/b/c.txt o/a/b/d.md<-a/b/d.md"),
        (&["v*/./lib/so"], "o o/lib<-v1/lib o/lib/so<-v2/lib/so"),
        (
            &["a/none"],
            "failed to compute cache key: failed to calculate checksum of ref: \"/a/none\": not found",
        ),
        (&["a/none*"], "o"),
        (&["f.txt", "a/./x"], "o o/f.txt<-f.txt o/x<-a/x o/x/e.txt<-a/x/e.txt"),
    ] {
        let found = shape(run(&Tree::new(), &source, patterns, &parents()));
        assert_eq!(found, expected, "COPY --parents {patterns:?} /o/");
    }
    let copied = run(&tree(&["d o", "d o/a"]), &source, &["a/b/c.txt"], &parents());
    let copied = copied.expect("possible");
    assert_eq!(entry(&copied, "o/a").mode, 0o700);
}

#[test]
fn excluded_paths_are_left_out() {
    let source = tree(&[
        "d d",
        "d d/keep",
        "f d/keep/a.txt",
        "f d/keep/b.md",
        "f d/c.txt",
        "d d/out",
        "f d/out/x",
        "f hom.txt",
        "f hom.md",
    ]);
    let exclude = |patterns: &[&str], destination| CopyOptions {
        exclude: Patterns::from_flags(patterns).expect("valid"),
        ..options(destination)
    };
    for (source_pattern, patterns, expected) in [
        (
            "d",
            &["*.txt", "out"][..],
            "o o/keep<-d/keep o/keep/a.txt<-d/keep/a.txt o/keep/b.md<-d/keep/b.md",
        ),
        ("d", &["**/*.txt", "out/", "/keep"], "o o/keep<-d/keep o/keep/b.md<-d/keep/b.md"),
        ("d", &["*", "!keep/a.txt"], "o o/keep<-d/keep o/keep/a.txt<-d/keep/a.txt"),
        ("d", &["*"], "o"),
        // What a wildcard finds is named, and only what is in a directory can be excluded.
        ("*.txt", &["*.txt"], "o<-hom.txt"),
        ("hom.txt", &["*.txt"], "o<-hom.txt"),
    ] {
        let found = shape(run(&Tree::new(), &source, &[source_pattern], &exclude(patterns, "/o")));
        assert_eq!(found, expected, "COPY --exclude={patterns:?} {source_pattern} /o");
    }
}

#[test]
fn hard_links_stay_where_two_names_are_copied() {
    let source = tree(&["d d", "h d/a", "h d/b", "h c", "p d/p"]);
    let link = |copied: &Copied, path| match &entry(copied, path).kind {
        Kind::File(file) => file.link,
        other => panic!("{other:?}"),
    };
    let copied = run(&Tree::new(), &source, &["d"], &options("/o")).expect("possible");
    assert!(link(&copied, "o/a").is_some());
    assert_eq!(link(&copied, "o/a"), link(&copied, "o/b"));
    assert_eq!(entry(&copied, "o/p").kind, Kind::Fifo);
    let copied = run(&Tree::new(), &source, &["c"], &options("/o")).expect("possible");
    assert_eq!(link(&copied, "o"), None);
}

#[test]
fn an_archive_is_laid_over_the_destination() {
    let parent = tree(&[
        "d dst",
        "f dst/was-file",
        "d dst/was-dir",
        "f dst/was-dir/x",
        "d dst/both mode=700",
    ]);
    let archive = tree(&["d was-file", "f was-file/in", "f was-dir id=8", "d both id=8"]);
    let sources = [CopySource { tree: &archive, what: What::Whole }];
    let with = |destination: &str| CopyOptions {
        chmod: Some(Chmod::Absolute(0o600)),
        ..options(destination)
    };
    let copied = copy(&parent, &sources, &with("/dst")).expect("possible");
    assert_eq!(entry(&copied, "dst/was-dir").uid, 8);
    assert_eq!(entry(&copied, "dst/both").mode, 0o755);
    assert_eq!(
        shape(Ok(copied)),
        "dst/both<-both dst/was-dir<-was-dir dst/was-file<-was-file dst/was-file/in<-was-file/in"
    );
    let copied = copy(&parent, &sources, &with("/new")).expect("possible");
    assert_eq!(entry(&copied, "new").mode, 0o755);
}

#[test]
fn a_named_file_keeps_its_name() {
    let heredoc = tree(&["f run*.sh"]);
    let source = || CopySource { tree: &heredoc, what: What::Path(b"run*.sh"[..].into()) };
    assert_eq!(
        shape(copy(&Tree::new(), &[source()], &options("/bin/"))),
        "bin bin/run*.sh<-run*.sh"
    );
    assert_eq!(shape(copy(&Tree::new(), &[source()], &options("/run"))), "run<-run*.sh");
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let kind = prop::sample::select(vec!["d", "f", "h", "l", "p"]);
    prop::collection::vec((kind, "[abc](/[abc.]){0,2}", "(/|\\.\\./)?[abc]"), 0..12).prop_map(
        |entries| {
            let lines: Vec<String> = entries
                .iter()
                .map(|(kind, path, target)| match *kind {
                    "l" => format!("l {path} {target}"),
                    kind => format!("{kind} {path}"),
                })
                .filter(|line| !line.contains('.') || line.starts_with('l'))
                .collect();
            tree(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_changes_make_what_was_copied(
        parent in any_tree(),
        source in any_tree(),
        patterns in prop::collection::vec("[abc*](/[abc*]){0,1}|\\.", 1..3),
        destination in "/?[abc]?(/[abc]){0,2}/?",
        link in any::<bool>(),
        parents in any::<bool>(),
    ) {
        let options = CopyOptions { link, parents, ..options(&destination) };
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let Ok(copied) = run(&parent, &source, &patterns, &options) else { return Ok(()) };
        let changes = &copied.changes.changes;
        prop_assert_eq!(changes.len(), copied.sources.len());
        prop_assert!(changes.is_sorted_by(|(a, _), (b, _)| a < b));

        let mut after = parent.clone();
        after.apply(&copied.changes, 4);
        for ((path, change), from) in changes.iter().zip(&copied.sources) {
            // Nothing is written through a link, and no parent is left to chance.
            if let Some((directory, _)) = split(path) {
                let listed = changes.iter().any(|(p, _)| **p == *directory);
                let there = after.get(directory).map(|entry| &entry.kind);
                prop_assert_eq!(there, Some(&Kind::Directory));
                prop_assert!(listed || parent.get(directory).is_some());
            }
            let Change::Set(entry) = change else { panic!("a copy takes nothing away") };
            let expected = Entry { layer: 4, ..entry.clone() };
            prop_assert_eq!(after.get(path), Some(&expected));
            if let Some((_, from)) = from {
                let original = source.get(from).expect("copied from there");
                prop_assert_eq!(
                    std::mem::discriminant(&original.kind),
                    std::mem::discriminant(&entry.kind)
                );
            }
        }
        // All else is as it was.
        if !options.is_detached() {
            for (path, entry) in &parent {
                if !changes.iter().any(|(p, _)| p == path) {
                    prop_assert_eq!(after.get(path), Some(entry));
                }
            }
        }
    }
}
