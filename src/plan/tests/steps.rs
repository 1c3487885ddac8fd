use super::*;
use crate::digest::Digest;

fn titles(plan: &Plan) -> Vec<&str> {
    let stage = target(plan);
    let steps = stage.steps.iter().filter(|step| step.op != Op::Config);
    stage.title.iter().map(String::as_str).chain(steps.map(|step| step.title.as_str())).collect()
}

#[test]
fn steps_are_shown_as_users_know_them() {
    for (text, expected) in [
        (
            "FROM a\nENV A=1\ncopy $A '/b'\nRUN echo $A \"$B\" '$A'",
            vec![
                "[1/3] FROM docker.io/library/a:latest",
                "[2/3] COPY 1 /b",
                "[3/3] RUN echo 1 \"$B\" '$A'",
            ],
        ),
        ("FROM scratch\nCOPY a b", vec!["[1/1] COPY a b"]),
        ("FROM scratch\nCOPY --from=x a b", vec!["[stage-0 1/1] COPY --from=x a b"]),
        // It is counted, but not shown.
        ("FROM scratch\nWORKDIR /\nCOPY a b", vec!["[1/2] COPY a b"]),
        ("FROM a AS x\nFROM x\nRUN b", vec!["[stage-1 1/1] RUN b"]),
        ("FROM scratch\nRUN <<EOF cat\na\nEOF", vec!["[1/1] RUN <<EOF cat"]),
        ("FROM scratch\nRUN <<EOF\n\n a\n b\nEOF", vec!["[1/1] RUN <<EOF (a...)"]),
        (
            "FROM scratch\nRUN --mount=type=secret,id=s,env=S echo $S",
            vec!["[stage-0 1/1] RUN --mount=type=secret,id=s,env=S echo ****"],
        ),
    ] {
        assert_eq!(titles(&plan_of(text)), expected, "{text}");
    }
    let given = Given { target: Some("builder"), ..Given::default() };
    let text = "FROM golang:1.12 AS builder\nWORKDIR /app\nCOPY . .\nRUN go build -o myapp\nFROM x";
    assert_eq!(
        titles(&given.expect(text)),
        [
            "[builder 1/4] FROM docker.io/library/golang:1.12",
            "[builder 2/4] WORKDIR /app",
            "[builder 3/4] COPY . .",
            "[builder 4/4] RUN go build -o myapp",
        ]
    );
}

#[test]
fn files_are_copied_as_written_after_expansion() {
    let none: Option<&str> = None;
    for (text, created_by, sources, destination, chown, chmod) in [
        ("COPY a b /c/", "COPY a b /c/ # buildkit", "a b", "/c/", none, none),
        ("COPY [\"a b\", \"c\"]", "COPY a b c # buildkit", "a b", "c", none, none),
        (
            "COPY --link --from=z --chown=$U:0 --chmod=${M} --exclude=$U $U/* .",
            "COPY --chown=u:0 --chmod=0644 u/* . # buildkit",
            "u/*",
            ".",
            Some("u:0"),
            Some("0644"),
        ),
        ("COPY --parents a b", "COPY --parents a b # buildkit", "a", "b", none, none),
        ("COPY --chown=$NONE a b", "COPY a b # buildkit", "a", "b", none, none),
        ("ADD --chmod=u+x a b", "ADD --chmod=u+x a b # buildkit", "a", "b", none, Some("u+x")),
        (
            "ADD https://e.com/a%20b?c=d /x",
            "ADD https://e.com/a%20b?c=d /x # buildkit",
            "https://e.com/a%20b?c=d",
            "/x",
            none,
            none,
        ),
    ] {
        let plan = plan_of(&format!("FROM a\nENV U=u\nARG M=0644\nWORKDIR /w\n{text}"));
        let step = last(&plan);
        let copy = copy_of(step);
        assert_eq!(step.created_by.as_deref(), Some(created_by), "{text}");
        let found: Vec<&str> = copy.sources.iter().map(CopySource::text).collect();
        assert_eq!(found.join(" "), sources, "{text}");
        assert_eq!(copy.destination, destination, "{text}");
        assert_eq!(copy.cwd, "/w");
        assert_eq!((copy.chown.as_deref(), copy.chmod.as_deref()), (chown, chmod), "{text}");
    }
}

#[test]
fn flags_of_copy_and_add_are_carried() {
    let plan = plan_of("FROM a\nARG U=u\nCOPY --link --parents --exclude=$U --exclude=*.o a b");
    let copy = copy_of(last(&plan));
    assert!(copy.link && copy.parents);
    assert_eq!(copy.exclude, ["$U", "*.o"], "never expanded (L-037)");
    assert_eq!(copy.unpack, Unpack::Never);
    for (text, unpack) in [
        ("ADD a b", Unpack::Local),
        ("ADD --unpack=false a b", Unpack::Never),
        ("ADD --unpack a b", Unpack::Always),
    ] {
        let plan = plan_of(&format!("FROM a\n{text}"));
        assert_eq!(copy_of(last(&plan)).unpack, unpack, "{text}");
    }
    let digest = Digest::of(b"");
    let plan = plan_of(&format!("FROM a\nARG C={digest}\nADD --checksum=$C https://e.com/a b"));
    let url = "https://e.com/a".to_owned();
    let expected = CopySource::Http { url, checksum: Some(digest) };
    assert_eq!(copy_of(last(&plan)).sources, [expected]);
}

#[test]
fn inline_files_are_expanded_unless_their_name_is_quoted() {
    let plan = plan_of(
        "# escape=`\nFROM a\nARG A=1\nCOPY x <<F <<'G' <<-H /d/\n$A \"$A\" '$A' \\$A\nF\n$A\nG\n\t\t$A\n\tb\n\tH\n",
    );
    let step = last(&plan);
    assert_eq!(step.created_by.as_deref(), Some("COPY x <<F <<G <<H /d/ # buildkit"));
    assert_eq!(step.lines, Lines { first: 4, last: 11 });
    let files: Vec<(&str, &str)> = copy_of(step)
        .inline
        .iter()
        .map(|file| (file.name.as_str(), file.content.as_str()))
        .collect();
    assert_eq!(files, [("F", "1 \"1\" '1' $A\n"), ("G", "$A\n"), ("H", "1\nb\n")]);
}

#[test]
fn commands_become_processes() {
    for (text, argv, scripts) in [
        ("RUN a  b", vec!["/bin/sh", "-c", "a  b"], vec![]),
        ("RUN [\"a\", \"$B\"]", vec!["a", "$B"], vec![]),
        ("SHELL [\"s\"]\nRUN a", vec!["s", "a"], vec![]),
        ("SHELL [\"s\"]\nRUN [\"a\"]", vec!["a"], vec![]),
        ("RUN <<EOF\na\nEOF", vec!["/bin/sh", "-c", "a\n"], vec![]),
        ("RUN <<-EOF\n\ta\n\tEOF", vec!["/bin/sh", "-c", "a\n"], vec![]),
        (
            "RUN <<'EOF'\n#!/bin/x\n$A\nEOF",
            vec!["/bin/sh", "-c", "/dev/pipes/EOF"],
            vec![("EOF", "#!/bin/x\n$A\n")],
        ),
        (
            "RUN cat <<A > x && cat <<-B > y\n1\nA\n\t2\n\tB",
            vec!["/bin/sh", "-c", "cat <<A > x && cat <<-B > y\n1\nA\n\t2\nB"],
            vec![],
        ),
    ] {
        let plan = plan_of(&format!("FROM a\n{text}"));
        let run = run_of(last(&plan));
        assert_eq!(run.argv, argv, "{text}");
        let found: Vec<(&str, &str)> =
            run.scripts.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
        assert_eq!(found, scripts, "{text}");
    }
}

#[test]
fn a_run_knows_where_it_is() {
    let given = args(&[("BUILDKIT_SANDBOX_HOSTNAME", "h")]);
    let plan = given.expect("FROM a\nWORKDIR /w/../x/\nUSER u:g\nRUN a");
    let run = run_of(last(&plan));
    assert_eq!((run.cwd.as_str(), run.user.as_str(), run.hostname.as_str()), ("/x", "u:g", "h"));
    let workdir = Op::Workdir(WorkdirOp { path: "/x".to_owned(), user: String::new() });
    assert_eq!(target(&plan).steps[0].op, workdir);
    let plan = plan_of("FROM a\nUSER u\nWORKDIR x");
    let workdir = Op::Workdir(WorkdirOp { path: "/x".to_owned(), user: "u".to_owned() });
    assert_eq!(last(&plan).op, workdir);
    for (network, flag, expected) in [
        (Network::Default, "", Network::Default),
        (Network::None, "", Network::None),
        (Network::None, "--network=default ", Network::None),
        (Network::None, "--network=host ", Network::Host),
        (Network::Default, "--network=none --security=sandbox ", Network::None),
    ] {
        let entitlements = Entitlements { network_host: true, ..Entitlements::default() };
        let given = Given { network, entitlements, ..Given::default() };
        let plan = given.expect(&format!("FROM a\nRUN {flag}a"));
        assert_eq!(run_of(last(&plan)).network, expected, "{flag}");
    }
    let entitlements = Entitlements { security_insecure: true, ..Entitlements::default() };
    let given = Given { entitlements, ..Given::default() };
    let plan = given.expect("FROM a\nRUN --security=insecure b");
    assert_eq!(run_of(last(&plan)).security, Security::Insecure);
}

#[test]
fn mounts_have_their_defaults_filled_in() {
    let at = |target: &str, kind| Mount { target: Some(target.to_owned()), kind };
    let bind = |source: &str, writable| MountKind::Bind {
        from: CopyFrom::Context,
        source: source.to_owned(),
        writable,
    };
    let cache = |id: &str, sharing, mode, uid| MountKind::Cache {
        id: id.to_owned(),
        seed: None,
        subpath: String::new(),
        sharing,
        readonly: false,
        mode,
        uid,
        gid: 0,
    };
    let secret = |id: &str, env: Option<&str>, required, mode| MountKind::Secret {
        id: id.to_owned(),
        env: env.map(str::to_owned),
        required,
        mode,
        uid: 0,
        gid: 0,
    };
    let ssh = |id: &str, mode| MountKind::Ssh {
        id: id.to_owned(),
        required: false,
        mode,
        uid: 0,
        gid: 0,
    };
    for (flags, expected) in [
        ("target=/m", vec![at("/m", bind("", false))]),
        ("target=m/../n,source=$A,rw", vec![at("/w/n", bind("1", true))]),
        ("type=bind,source=x", vec![at("/w", bind("x", false))]),
        ("type=tmpfs,target=/t", vec![at("/t", MountKind::Tmpfs { size: None })]),
        ("type=tmpfs,target=/t,size=1m", vec![at("/t", MountKind::Tmpfs { size: Some(1 << 20) })]),
        ("type=cache,target=/c/", vec![at("/c", cache("/c", Sharing::Shared, 0o755, 0))]),
        ("type=cache,target=c", vec![at("/w/c", cache("c", Sharing::Shared, 0o755, 0))]),
        (
            "type=cache,id=i$A,target=/c,sharing=locked,mode=700,uid=5",
            vec![at("/c", cache("i1", Sharing::Locked, 0o700, 5))],
        ),
        ("type=secret,id=s", vec![at("/run/secrets/s", secret("s", None, false, 0o400))]),
        (
            "type=secret,source=a/b,required",
            vec![at("/run/secrets/b", secret("a/b", None, true, 0o400))],
        ),
        ("type=secret,target=/x/y", vec![at("/x/y", secret("y", None, false, 0o400))]),
        (
            "type=secret,id=s,env=S",
            vec![Mount { target: None, kind: secret("s", Some("S"), false, 0o400) }],
        ),
        (
            "type=secret,id=s,env=S,target=t,mode=0444",
            vec![at("/w/t", secret("s", Some("S"), false, 0o444))],
        ),
        (
            "type=ssh --mount=type=ssh,id=b,mode=0666 --mount=type=ssh,target=/s",
            vec![
                at("/run/buildkit/ssh_agent.0", ssh("default", 0o600)),
                at("/run/buildkit/ssh_agent.1", ssh("b", 0o666)),
                at("/s", ssh("default", 0o600)),
            ],
        ),
    ] {
        let plan = plan_of(&format!("FROM a\nWORKDIR /w\nARG A=1\nRUN --mount={flags} x"));
        assert_eq!(run_of(last(&plan)).mounts, expected, "{flags}");
    }

    let given = args(&[("BUILDKIT_CACHE_MOUNT_NS", "ns")]);
    let plan =
        given.expect("FROM a AS s\nFROM a\nRUN --mount=type=cache,target=/c,from=s,source=d,ro x");
    let expected = MountKind::Cache {
        id: "ns//c".to_owned(),
        seed: Some((CopyFrom::Stage(StageId(0)), "d".to_owned())),
        subpath: String::new(),
        sharing: Sharing::Shared,
        readonly: true,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    assert_eq!(run_of(last(&plan)).mounts, [at("/c", expected)]);
}
