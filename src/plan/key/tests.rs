use super::*;
use crate::dockerfile::Command;
use crate::plan::{CopyFrom, InlineFile, Sharing};

fn sum(text: &str) -> Sha256Sum {
    Sha256Sum::of(text.as_bytes())
}

fn key(text: &str) -> DefinitionKey {
    DefinitionKey(sum(text))
}

fn run() -> RunOp {
    RunOp {
        command: Command::Shell("make".to_owned()),
        argv: ["/bin/sh", "-c", "make"].map(str::to_owned).to_vec(),
        env: vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())],
        proxy_env: Vec::new(),
        cwd: "/src".to_owned(),
        user: String::new(),
        hostname: "buildkitsandbox".to_owned(),
        hosts: Vec::new(),
        network: Network::Default,
        security: Security::Sandbox,
        mounts: Vec::new(),
        scripts: Vec::new(),
    }
}

fn copy() -> CopyOp {
    CopyOp {
        from: CopyFrom::Context,
        sources: vec![CopySource::Path("src/a".to_owned())],
        inline: Vec::new(),
        destination: "/b".to_owned(),
        cwd: "/".to_owned(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: Unpack::Never,
    }
}

fn run_key(change: impl FnOnce(&mut RunOp)) -> DefinitionKey {
    let mut op = run();
    change(&mut op);
    step_key(&key("parent"), &Op::Run(op), &[], None)
}

fn copy_key(input: Input, change: impl FnOnce(&mut CopyOp)) -> DefinitionKey {
    let mut op = copy();
    change(&mut op);
    step_key(&key("parent"), &Op::Copy(op), &[input], None)
}

fn mounted(kind: MountKind, inputs: &[Input]) -> DefinitionKey {
    let mut op = run();
    op.mounts.push(Mount { target: Some("/m".to_owned()), kind });
    step_key(&key("parent"), &Op::Run(op), inputs, None)
}

fn cache(id: &str, sharing: Sharing, mode: u32) -> MountKind {
    let id = id.to_owned();
    let subpath = String::new();
    MountKind::Cache { id, seed: None, subpath, sharing, readonly: false, mode, uid: 0, gid: 0 }
}

fn secret(id: &str, env: Option<&str>, required: bool) -> MountKind {
    let (id, env) = (id.to_owned(), env.map(str::to_owned));
    MountKind::Secret { id, env, required, mode: 0o400, uid: 0, gid: 0 }
}

#[test]
fn a_run_is_the_same_whatever_does_not_reach_its_result() {
    let same = run_key(|_| {});
    let pair = |name: &str| (name.to_owned(), "x".to_owned());
    for (what, other) in [
        ("the text as written", run_key(|run| run.command = Command::Exec(vec![]))),
        ("the order of variables", run_key(|run| run.env.reverse())),
        ("proxies", run_key(|run| run.proxy_env.push(pair("HTTP_PROXY")))),
    ] {
        assert_eq!(same, other, "{what}");
    }
}

#[test]
fn a_run_differs_by_all_that_reaches_its_result() {
    let text = str::to_owned;
    let keys = [
        run_key(|_| {}),
        step_key(&key("another parent"), &Op::Run(run()), &[], None),
        run_key(|run| run.argv.push(text("x"))),
        run_key(|run| run.argv = vec![text("/bin/sh"), text("-cmake")]),
        run_key(|run| run.env[0].1 = text("2")),
        run_key(|run| run.env = vec![(text("A1"), text("")), (text("B"), text("2"))]),
        run_key(|run| run.env.truncate(1)),
        run_key(|run| run.cwd = text("/")),
        run_key(|run| run.user = text("nobody")),
        run_key(|run| run.hostname = text("h")),
        run_key(|run| run.hosts.push(text("db"))),
        run_key(|run| run.network = Network::None),
        run_key(|run| run.network = Network::Host),
        run_key(|run| run.security = Security::Insecure),
        run_key(|run| run.scripts.push((text("EOF"), text("#!/bin/sh")))),
        run_key(|run| run.scripts.push((text("EOF"), text("#!/bin/bash")))),
    ];
    assert_distinct(&keys);
}

#[test]
fn a_mount_is_known_by_what_the_process_sees() {
    let plain = cache("/m", Sharing::Shared, 0o755);
    let same = mounted(plain.clone(), &[]);
    assert_eq!(same, mounted(cache("other", Sharing::Locked, 0o755), &[]), "id and sharing");
    assert_eq!(
        mounted(secret("s", None, true), &[]),
        mounted(secret("s", None, false), &[]),
        "required"
    );
    let bind = |source: &str, writable| MountKind::Bind {
        from: CopyFrom::Context,
        source: source.to_owned(),
        writable,
    };
    let content = Input::Content(sum("files"));
    assert_eq!(
        mounted(bind("a", false), &[content]),
        mounted(bind("b", false), &[content]),
        "where the files came from"
    );
    let stage = Input::Definition(key("stage"));
    let seeded = MountKind::Cache {
        id: "/m".to_owned(),
        seed: Some((CopyFrom::Context, "a".to_owned())),
        subpath: String::new(),
        sharing: Sharing::Shared,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let keys = [
        run_key(|_| {}),
        same,
        run_key(|run| run.mounts.push(Mount { target: Some("/n".to_owned()), kind: plain })),
        mounted(cache("/m", Sharing::Shared, 0o700), &[]),
        mounted(seeded, &[content]),
        mounted(MountKind::Tmpfs { size: None }, &[]),
        mounted(MountKind::Tmpfs { size: Some(0) }, &[]),
        mounted(secret("s", None, false), &[]),
        mounted(secret("t", None, false), &[]),
        mounted(secret("s", Some("S"), false), &[]),
        mounted(
            MountKind::Ssh { id: "s".to_owned(), required: false, mode: 0o400, uid: 0, gid: 0 },
            &[],
        ),
        mounted(bind("a", false), &[content]),
        mounted(bind("a", true), &[content]),
        mounted(bind("a", false), &[Input::Content(sum("other files"))]),
        mounted(bind("a", false), &[stage]),
        mounted(bind("b", false), &[stage]),
        mounted(bind("a", false), &[Input::Definition(key("another stage"))]),
    ];
    assert_distinct(&keys);
}

#[test]
fn a_copy_of_known_content_does_not_depend_on_where_it_is() {
    let content = Input::Content(sum("files"));
    let stage = Input::Definition(key("stage"));
    let same = copy_key(content, |_| {});
    let source = |path: &str| vec![CopySource::Path(path.to_owned())];
    let http = |url: &str| vec![CopySource::Http { url: url.to_owned(), checksum: None }];
    assert_eq!(same, copy_key(content, |copy| copy.sources = source("elsewhere/a")));
    assert_eq!(same, copy_key(content, |copy| copy.from = CopyFrom::Stage(StageId(3))));
    assert_eq!(
        copy_key(content, |copy| copy.sources = http("https://a/f?x")),
        copy_key(content, |copy| copy.sources = http("https://b/c/f")),
    );
    let keys = [
        same,
        copy_key(stage, |_| {}),
        copy_key(stage, |copy| copy.sources = source("elsewhere/a")),
        copy_key(Input::Content(sum("other files")), |_| {}),
        copy_key(content, |copy| copy.sources = source("src/b")),
        copy_key(content, |copy| copy.sources = http("https://a/a")),
        copy_key(content, |copy| copy.parents = true),
        copy_key(content, |copy| {
            copy.parents = true;
            copy.sources = source("elsewhere/a");
        }),
        copy_key(content, |copy| copy.destination = "/c".to_owned()),
        copy_key(content, |copy| copy.cwd = "/c".to_owned()),
        copy_key(content, |copy| copy.chown = Some(String::new())),
        copy_key(content, |copy| copy.chown = Some("1".to_owned())),
        copy_key(content, |copy| copy.chmod = Some("1".to_owned())),
        copy_key(content, |copy| copy.link = true),
        copy_key(content, |copy| copy.exclude = vec!["x".to_owned()]),
        copy_key(content, |copy| copy.unpack = Unpack::Local),
        copy_key(content, |copy| copy.unpack = Unpack::Always),
        copy_key(content, |copy| {
            copy.inline.push(InlineFile { name: "f".to_owned(), content: "x".to_owned() });
        }),
    ];
    assert_distinct(&keys);
}

#[test]
fn bases_and_kinds_of_steps_are_told_apart() {
    let amd: Platform = "linux/amd64".parse().unwrap();
    let arm: Platform = "linux/arm64".parse().unwrap();
    let layer = |text: &str| DiffId::of(text.as_bytes());
    let plain = ContainerConfig::default();
    let with_user = ContainerConfig { user: "u".to_owned(), ..ContainerConfig::default() };
    let parent = key("parent");
    let workdir = |path: &str, user: &str| {
        let op = WorkdirOp { path: path.to_owned(), user: user.to_owned() };
        step_key(&parent, &Op::Workdir(op), &[], None)
    };
    let keys = [
        scratch_key(&amd),
        scratch_key(&arm),
        context_key(&amd, &sum("files")),
        context_key(&amd, &sum("other files")),
        base_key(&amd, &[], &plain),
        base_key(&amd, &[layer("a")], &plain),
        base_key(&amd, &[layer("a"), layer("b")], &plain),
        base_key(&amd, &[layer("b"), layer("a")], &plain),
        base_key(&arm, &[layer("a")], &plain),
        base_key(&amd, &[layer("a")], &with_user),
        parent,
        workdir("/a", ""),
        workdir("/b", ""),
        workdir("/a", "u"),
        run_key(|_| {}),
        copy_key(Input::Content(sum("files")), |_| {}),
    ];
    assert_distinct(&keys);
    assert_eq!(
        step_key(&parent, &Op::Config, &[], None),
        parent,
        "configuration is no step (K-10)"
    );
}

/// A key that changes by accident throws every cache away.
#[test]
fn keys_stay_what_they_are() {
    let amd: Platform = "linux/amd64".parse().unwrap();
    assert_eq!(
        scratch_key(&amd).to_string(),
        Sha256Sum::of(
            b"\x15\0\0\0\0\0\0\0plimsoll-definition-2\x07\0\0\0\0\0\0\0scratch\
              \x05\0\0\0\0\0\0\0linux\x05\0\0\0\0\0\0\0amd64\
              \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        )
        .hex()
    );
}

fn assert_distinct(keys: &[DefinitionKey]) {
    for (i, left) in keys.iter().enumerate() {
        for (j, right) in keys.iter().enumerate().skip(i + 1) {
            assert_ne!(left, right, "keys {i} and {j}");
        }
    }
}

#[test]
fn the_epoch_is_in_the_keys_of_what_makes_directories() {
    let parent = key("parent");
    let at = |op: Op, epoch| step_key(&parent, &op, &[], epoch);
    let workdir = || Op::Workdir(WorkdirOp { path: "/w".to_owned(), user: String::new() });
    for op in [|| Op::Copy(copy()), workdir] {
        assert_distinct(&[at(op(), None), at(op(), Some(0)), at(op(), Some(1))]);
    }
    assert_eq!(at(Op::Run(run()), None), at(Op::Run(run()), Some(1)));
}

#[test]
fn a_link_is_known_by_its_sources_and_flags() {
    let link = |input: &str, change: fn(&mut CopyOp), epoch| {
        let mut op = CopyOp { link: true, ..copy() };
        change(&mut op);
        DefinitionKey(link_key(&op, &[Input::Content(sum(input))], epoch).0)
    };
    assert_distinct(&[
        link("a", |_| {}, None),
        link("b", |_| {}, None),
        link("a", |op| op.destination = "/c".to_owned(), None),
        link("a", |op| op.chown = Some("1".to_owned()), None),
        link("a", |_| {}, Some(0)),
    ]);
}
