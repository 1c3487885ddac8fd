use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::cli::args::{Arguments, Command};
use crate::error::ErrorKind;
use crate::inspect::ImageReference;
use crate::request::{AnnotationLevel, MainContext, NamedContext};

fn context() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    directory
}

fn environment(more: &[(&str, &str)]) -> Environment {
    let mut variables = vec![("HOME", "/nowhere")];
    variables.extend(more);
    Environment::of(&variables)
}

/// The request of `plimsoll build FLAGS <a folder with a Dockerfile>`.
fn typed(flags: &[&str], environment: &Environment) -> Result<BuildRequest, Error> {
    let context = context();
    let path = context.path().to_str().unwrap();
    let words = ["plimsoll", "build"].iter().chain(flags).chain([&path]);
    let Command::Build(args) = Arguments::of(words).unwrap().command else {
        panic!("not a build");
    };
    let outside = Outside {
        confided: Confided::default(),
        stdin: &mut std::io::empty(),
        cancel: &Cancel::new().unwrap(),
        events: &|_| {},
    };
    request(&args, environment, outside)
}

fn built(flags: &[&str]) -> BuildRequest {
    typed(flags, &environment(&[])).unwrap()
}

fn refused(flags: &[&str]) -> Error {
    let error = typed(flags, &environment(&[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    error
}

#[test]
fn the_bare_command_has_docker_s_defaults() {
    let request = built(&[]);
    assert!(request.dockerfile.name.ends_with("/Dockerfile"));
    assert_eq!(request.dockerfile.bytes, b"FROM scratch\n");
    assert_eq!(request.dockerfile.ignore, None);
    assert_eq!(request.platforms, [Platform::host()]);
    assert!(!request.explicit_platform);
    assert_eq!(request.no_cache, NoCache::Never);
    assert_eq!(request.run, RunOptions::default());
    assert_eq!(request.outputs, []);
    assert_eq!(request.source_date_epoch, None);
    assert_eq!(request.store, std::path::Path::new("/nowhere/.cache/plimsoll"));
}

#[test]
fn layers_are_unpacked_in_memory_where_the_machine_ends_with_the_job() {
    let (hosted, own) = ("github-hosted", "self-hosted");
    for (flags, kind, expected) in [
        (&[][..], hosted, true),
        (&[], own, false),
        (&["--unpack-in=disk"], hosted, false),
        (&["--unpack-in=memory"], own, true),
    ] {
        let environment = environment(&[("RUNNER_ENVIRONMENT", kind)]);
        let request = typed(flags, &environment).unwrap();
        assert_eq!(request.unpack_in_memory, expected, "{flags:?} {kind}");
    }
}

#[test]
fn repeated_flags_are_collected() {
    let request = built(&[
        "-t",
        "app",
        "-t",
        "ghcr.io/a/b:1",
        "--label",
        "a=1",
        "--label",
        "b",
        "--label",
        "a=2=3",
        "--annotation",
        "x=y",
        "--add-host",
        "db:10.0.0.1",
        "--add-host",
        "db=::1",
        "--ulimit",
        "nofile=1:2",
        "--shm-size",
        "128m",
        "--network",
        "none",
        "--no-cache-filter",
        "Build,test",
        "--no-cache-filter",
        "web",
        "--target",
        "web",
        "--build-context",
        "base=docker-image://alpine",
    ]);
    assert_eq!(request.tags, ["docker.io/library/app:latest", "ghcr.io/a/b:1"]);
    assert_eq!(request.labels["a"], "2=3");
    assert_eq!(request.labels["b"], "");
    let manifest = request.annotations(AnnotationLevel::Manifest, None);
    assert_eq!(manifest["x"], "y");
    assert_eq!(request.run.add_hosts.len(), 2);
    assert_eq!(request.run.ulimits.len(), 1);
    assert_eq!(request.run.shm_size, Some(128 << 20));
    assert_eq!(request.run.network, Network::None);
    let stages = ["build", "test", "web"].map(str::to_owned);
    assert_eq!(request.no_cache, NoCache::Stages(stages.to_vec()));
    assert_eq!(request.target.as_deref(), Some("web"));
    let alpine = NamedContext::Image("docker.io/library/alpine:latest".to_owned());
    assert_eq!(request.build_contexts["base"], alpine);
}

#[test]
fn empty_values_of_workflows_are_skipped() {
    let request = built(&["-t", "", "--label", "", "--secret", "", "-o", "", "--build-arg", ""]);
    assert_eq!((request.tags.len(), request.outputs.len(), request.build_args.len()), (0, 0, 0));
}

#[test]
fn build_arguments_without_a_value_come_from_the_environment() {
    let environment = environment(&[("TOKEN", "t"), ("EMPTY", ""), ("SOURCE_DATE_EPOCH", "7")]);
    let flags = [
        "--build-arg",
        "TOKEN",
        "--build-arg",
        "EMPTY",
        "--build-arg",
        "UNSET",
        "--build-arg",
        "A=b=c",
    ];
    let request = typed(&flags, &environment).unwrap();
    let found: Vec<_> = request.build_args.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [("A", "b=c"), ("EMPTY", ""), ("SOURCE_DATE_EPOCH", "7"), ("TOKEN", "t")]);
    assert_eq!(request.source_date_epoch, Some(7));

    let request = typed(&["--build-arg", "SOURCE_DATE_EPOCH=9"], &environment).unwrap();
    assert_eq!(request.source_date_epoch, Some(9));
    assert!(refused(&["--build-arg", "SOURCE_DATE_EPOCH=-1"]).message.ends_with(": -1"));
    assert!(refused(&["--build-arg", "=hunter2"]).hints.len() == 1);
    assert!(!refused(&["--build-arg", "=hunter2"]).message.contains("hunter2"));
}

#[test]
fn proxies_come_from_docker_s_configuration_only() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"proxies":{"default":{"httpProxy":"http://p","noProxy":"x"}}}"#;
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    let docker = ("DOCKER_CONFIG", folder.path().to_str().unwrap());
    let environment = environment(&[docker, ("HTTPS_PROXY", "http://ignored")]);
    let request = typed(&["--build-arg", "no_proxy=mine"], &environment).unwrap();
    let found: Vec<_> = request.build_args.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [("HTTP_PROXY", "http://p"), ("no_proxy", "mine")]);
}

#[test]
fn what_is_of_an_index_is_for_several_platforms() {
    let two = "--platform=linux/amd64,linux/arm64";
    let request = built(&[
        two,
        "--annotation=index:a=1",
        "--annotation=manifest[linux/arm64]:b=2",
        "--annotation=b=3",
    ]);
    let arm = "linux/arm64".parse().unwrap();
    assert_eq!(request.annotations(AnnotationLevel::Index, None)["a"], "1");
    assert_eq!(request.annotations(AnnotationLevel::Manifest, None)["b"], "3");
    assert_eq!(request.annotations(AnnotationLevel::Manifest, Some(&arm))["b"], "2");
    let error = refused(&["--annotation=index:a=1"]);
    assert!(error.message.contains("a is of an index"), "{error}");
    let error = refused(&[two, "-o", "type=docker,dest=x.tar"]);
    assert!(error.message.contains("does not support manifest lists"), "{error}");
}

#[test]
fn platforms_are_a_list_without_repetitions() {
    let request = built(&["--platform", "linux/arm64,linux/aarch64"]);
    assert_eq!(request.platforms, ["linux/arm64".parse().unwrap()]);
    assert!(request.explicit_platform && !request.has_several_platforms());
    let flags = ["--platform", "linux/arm64, linux/amd64", "--platform=linux/arm,linux/arm64/v8"];
    let request = built(&flags);
    let names: Vec<String> = request.platforms.iter().map(Platform::to_string).collect();
    assert_eq!(names, ["linux/arm64", "linux/amd64", "linux/arm/v7"]);
    assert!(request.has_several_platforms());
    assert!(refused(&["--platform", "linux/"]).message.starts_with("--platform linux/: "));
}

#[test]
fn push_is_an_output() {
    let names = vec!["docker.io/library/app:latest".to_owned()];
    let registry = OutputKind::Registry { names };
    let request = built(&["--push", "-t", "app"]);
    assert_eq!(request.outputs, [Output::new(registry.clone())]);
    // The options of an image output are those of the push.
    for flag in ["type=image,compression=zstd", "type=registry,compression=zstd"] {
        let request = built(&["--push", "-t", "app", "-o", flag]);
        assert_eq!(request.outputs.len(), 1);
        assert_eq!(request.outputs[0].kind, registry);
        assert_eq!(request.outputs[0].compression, crate::request::Compression::Zstd(3));
    }
    let request = built(&["--push", "-t", "app", "-o", "out", "-o", "type=oci,dest=f"]);
    assert_eq!(request.outputs.len(), 3);
    assert_eq!(refused(&["--push"]).message, "--push: a name is needed to push to");
}

#[test]
fn keys_that_do_nothing_are_told() {
    let told = Mutex::new(Vec::new());
    let context = context();
    let args = BuildArgs {
        context: context.path().into(),
        outputs: vec!["type=image,dangling-name-prefix=x".to_owned(); 2],
        cache_from: vec!["type=local,src=c,mode=max".to_owned()],
        ..BuildArgs::default()
    };
    let outside = Outside {
        confided: Confided::default(),
        stdin: &mut std::io::empty(),
        cancel: &Cancel::new().unwrap(),
        events: &|event| told.lock().unwrap().push(event),
    };
    request(&args, &environment(&[]), outside).unwrap();
    let told = told.into_inner().unwrap();
    let notices = told.iter().map(|event| match event {
        Event::Notice(text) => text.split(':').next().unwrap(),
        other => panic!("{other:?}"),
    });
    let does_nothing = [
        "the cache key mode does nothing here",
        "the output key dangling-name-prefix does nothing here",
    ];
    assert_eq!(notices.collect::<Vec<_>>(), does_nothing);
}

#[test]
fn outputs_do_not_collide() {
    for (flags, message) in [
        (&["-o", "-", "-o", "type=oci"][..], "--output: two outputs go to standard output"),
        (&["-o", "out", "-o", "type=oci,tar=false,dest=out"], "--output: two outputs go to out"),
        (
            &["-o", "-", "-q"],
            "--output: standard output can't hold both the tar and --quiet's image ID",
        ),
        (&["--load"], "--load: there is no daemon to load the image into"),
    ] {
        let error = refused(flags);
        assert_eq!(error.message, message);
        assert!(!error.hints.is_empty());
    }
    let mut terminal = environment(&[]);
    terminal.stdout_is_terminal = true;
    let error = typed(&["-o", "-"], &terminal).unwrap_err();
    assert_eq!(error.message, "--output: a tar does not go to a terminal");
}

/// The request of `plimsoll build [-f FILE] CONTEXT`, with something on standard input.
fn with_stdin(context: &str, file: Option<&str>, mut stdin: &[u8]) -> Result<BuildRequest, Error> {
    let file = file.map(Into::into);
    let args = BuildArgs { context: context.into(), file, ..BuildArgs::default() };
    let outside = Outside {
        confided: Confided::default(),
        stdin: &mut stdin,
        cancel: &Cancel::new().unwrap(),
        events: &|_| {},
    };
    request(&args, &environment(&[]), outside)
}

#[test]
fn a_context_that_is_none_is_refused() {
    for (context, file, message) in [
        ("-", Some("-"), "can't use stdin for both build context and dockerfile"),
        (
            "-",
            Some("Dockerfile"),
            "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
        ),
        ("https://h/a.git?ref", None, "CONTEXT: query \"ref\" has no value"),
        ("s3://a/b", None, "CONTEXT: unknown kind of context \"s3\""),
        ("/dev/null", None, "CONTEXT: /dev/null is not a directory"),
    ] {
        let error = with_stdin(context, file, b"FROM scratch").unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Usage, message));
    }
}

#[test]
fn a_dockerfile_may_come_alone() {
    let request = with_stdin("-", None, b"FROM scratch").unwrap();
    assert!(matches!(request.context, MainContext::Empty));
    assert_eq!(request.dockerfile.bytes, b"FROM scratch");
    let endless = vec![b'#'; (1 << 20) + 1];
    let error = with_stdin("-", None, &endless).unwrap_err();
    assert_eq!(error.message, "can't read standard input: it is larger than 1048576 bytes");
}

#[test]
fn secrets_are_read_and_never_shown() {
    let environment = environment(&[("TOKEN", "hunter2")]);
    let request = typed(&["--secret", "id=a,env=TOKEN"], &environment).unwrap();
    assert_eq!(request.secrets["a"].0, b"hunter2");
    assert!(!format!("{request:?}").contains("hunter2"));
    assert!(refused(&["--secret", "id=a,src=/no/such"]).message.contains("can't read /no/such"));
}

#[test]
fn two_words_are_no_image_to_compare_with() {
    for (typed, expected) in [("none", SizeBaseline::None), ("", SizeBaseline::None)] {
        assert_eq!(built(&[&format!("--size-baseline={typed}")]).size_baseline, expected);
    }
    assert!(built(&["--size-baseline=auto"]).size_baseline.lineage().is_some());
    let request = built(&["--size-baseline=app:1"]);
    let image = ImageReference::Registry("docker.io/library/app:1".to_owned());
    assert_eq!(request.size_baseline, SizeBaseline::Image(image));
    assert!(request.weigh);
    assert!(refused(&["--size-baseline=App"]).message.starts_with("--size-baseline: "));
}
