use super::*;

/// `name<base` of every stage in the order of the plan.
fn shape(plan: &Plan) -> String {
    let stages: Vec<String> = plan
        .stages
        .iter()
        .map(|stage| {
            let base = match &stage.from {
                StageFrom::Scratch => "scratch".to_owned(),
                StageFrom::Image(id) => image(plan, *id),
                StageFrom::Stage(id) => plan.stages[id.0].name.clone(),
                StageFrom::Context(name) => format!("dir:{name}"),
            };
            format!("{}<{base}", stage.name)
        })
        .collect();
    stages.join(" ")
}

fn image(plan: &Plan, id: ImageId) -> String {
    match &plan.images[id.0].source {
        ImageSource::Registry(name) => name.replace("docker.io/library/", ""),
        ImageSource::Context(name) => format!("context:{name}"),
    }
}

/// Where each COPY and bind mount of the target reads from.
fn reads(plan: &Plan) -> Vec<String> {
    let show = |from: &CopyFrom| match from {
        CopyFrom::Context => "context".to_owned(),
        CopyFrom::Named(name) => format!("dir:{name}"),
        CopyFrom::Stage(id) => plan.stages[id.0].name.clone(),
        CopyFrom::Image(id) => image(plan, *id),
        CopyFrom::Empty => "nothing".to_owned(),
    };
    let mut reads = Vec::new();
    for step in &target(plan).steps {
        match &step.op {
            Op::Copy(copy) => reads.push(show(&copy.from)),
            Op::Run(run) => reads.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } => Some(show(from)),
                _ => None,
            })),
            _ => {}
        }
    }
    reads
}

#[test]
fn only_what_the_target_needs_is_planned() {
    for (text, wanted, expected) in [
        ("FROM a", None, "stage-0<a:latest"),
        ("FROM scratch", None, "stage-0<scratch"),
        ("FROM a AS x\nFROM b AS y", None, "y<b:latest"),
        ("FROM a AS x\nFROM b AS y", Some("X"), "x<a:latest"),
        ("FROM a AS x\nFROM b\nCOPY --from=x / /", None, "x<a:latest stage-1<b:latest"),
        ("FROM a AS x\nFROM b\nCOPY --from=X / /", None, "x<a:latest stage-1<b:latest"),
        ("FROM a\nFROM b\nCOPY --from=0 / /", None, "stage-0<a:latest stage-1<b:latest"),
        ("FROM a AS x\nFROM x AS y\nFROM y", None, "x<a:latest y<x stage-2<y"),
        (
            "FROM a AS x\nFROM b AS y\nFROM c\nRUN --mount=from=x,target=/m z",
            None,
            "x<a:latest stage-2<c:latest",
        ),
        // The operand of FROM is compared as written (L-071), and the last of a name counts (L-072).
        ("FROM a AS x\nFROM b AS x\nFROM x", None, "x<b:latest stage-2<x"),
        ("FROM a AS x\nFROM x AS x\nFROM x", None, "x<a:latest x<x stage-2<x"),
        ("FROM a AS scratch\nFROM scratch", None, "scratch<a:latest stage-1<scratch"),
        ("ARG V=1\nFROM a:$V", None, "stage-0<a:1"),
        ("ARG V=x\nFROM a AS x\nFROM ${V}", None, "x<a:latest stage-1<x"),
    ] {
        let given = Given { target: wanted, ..Given::default() };
        assert_eq!(shape(&given.expect(text)), expected, "{text}");
    }
}

#[test]
fn copies_find_what_they_read() {
    for (text, expected) in [
        ("FROM a\nCOPY a b", "context"),
        ("FROM a\nADD a b", "context"),
        ("FROM a\nADD https://example.com/a b", "nothing"),
        ("FROM a\nADD https://example.com/a b c", "context"),
        ("FROM a\nCOPY <<EOF b\nEOF", "nothing"),
        ("FROM a\nCOPY --from=b:1 a b", "b:1"),
        ("FROM a\nCOPY --from=scratch a b", "nothing"),
        ("FROM a AS x\nFROM x\nCOPY --from=x a b", "x"),
        ("FROM a\nRUN --mount=target=/m x", "context"),
        ("FROM a\nRUN --mount=from=b,target=/m --mount=from=b,target=/n x", "b:latest b:latest"),
    ] {
        let plan = plan_of(text);
        assert_eq!(reads(&plan).join(" "), expected, "{text}");
    }
}

#[test]
fn named_contexts_stand_for_stages_and_images() {
    let contexts = BTreeMap::from([
        ("dir".to_owned(), ContextShape::Directory),
        ("img:1".to_owned(), ContextShape::Image),
        ("x".to_owned(), ContextShape::Image),
    ]);
    let given = Given { contexts, ..Given::default() };
    for (text, stages, copies) in [
        ("FROM dir", "stage-0<dir:dir", ""),
        ("FROM img:1", "stage-0<context:img:1", ""),
        ("FROM docker.io/library/img:1", "stage-0<context:img:1", ""),
        ("FROM img", "stage-0<img:latest", ""),
        (
            "FROM a\nCOPY --from=dir / /\nCOPY --from=img:1 / /",
            "stage-0<a:latest",
            "dir:dir context:img:1",
        ),
        // A context of a stage's name replaces the stage with all its steps.
        ("FROM b AS x\nRUN no\nFROM x", "stage-1<context:x", ""),
        ("FROM b AS x\nRUN no\nFROM a\nCOPY --from=x / /", "stage-1<a:latest", "context:x"),
        ("FROM b AS x\nRUN no\nFROM a\nCOPY --from=0 / /", "stage-1<a:latest", "context:x"),
        ("FROM b AS x\nRUN no", "x<context:x", ""),
    ] {
        let plan = given.expect(text);
        assert_eq!(shape(&plan), stages, "{text}");
        assert_eq!(reads(&plan).join(" "), copies, "{text}");
    }
}

#[test]
fn platforms_go_with_their_images() {
    let given = Given { platform: Some("linux/arm64"), ..Given::default() };
    let plan = given.expect(
        "FROM --platform=$BUILDPLATFORM a AS x\nFROM a\nCOPY --from=x / /\nCOPY --from=b / /",
    );
    let images: Vec<String> = plan
        .images
        .iter()
        .map(|request| format!("{} {}", request.platform, request.lines.first))
        .collect();
    assert_eq!(images, ["linux/amd64 1", "linux/arm64 2", "linux/arm64 4"]);
    assert_eq!(plan.stages[0].platform.to_string(), "linux/amd64");
    assert_eq!(target(&plan).config.platform.to_string(), "linux/arm64");
}

#[test]
fn triggers_of_a_base_come_first() {
    let mut image = base();
    image.config.on_build =
        Some(vec!["COPY --from=tools /t /t".to_owned(), "RUN <<EOF\nx\nEOF".to_owned()]);
    let images = BTreeMap::from([("docker.io/library/a:latest", image)]);
    let given = Given { images, ..Given::default() };

    let plan = given.expect("FROM a\nRUN y");
    let titles: Vec<&str> = target(&plan).steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "[stage-0 2/4] ONBUILD COPY --from=tools /t /t",
            "[stage-0 3/4] ONBUILD RUN <<EOF (x)",
            "[stage-0 4/4] RUN y",
        ]
    );
    assert!(target(&plan).steps.iter().take(2).all(|step| step.lines == Lines::from(1..=1)));
    assert_eq!(config_of(&plan).get("OnBuild"), None);

    // A trigger may need a stage that nothing else needs, and is gone after one stage.
    let plan = given.expect("FROM t AS tools\nFROM a AS b\nONBUILD USER u\nFROM b\nFROM 2");
    assert_eq!(shape(&plan), "stage-3<2:latest");
    let plan = given.expect("FROM t AS tools\nFROM a AS b\nONBUILD USER u\nFROM b");
    assert_eq!(shape(&plan), "tools<t:latest b<a:latest stage-2<b");
    assert_eq!(history_of(&plan), ["USER u"]);
    assert_eq!(config_of(&plan).get("OnBuild"), None);
}

#[test]
fn no_cache_goes_by_name() {
    let no_cache = NoCache::Stages(vec!["x".to_owned()]);
    let given = Given { no_cache, ..Given::default() };
    let plan = given.expect("FROM a AS X\nFROM x AS y");
    let flags: Vec<bool> = plan.stages.iter().map(|stage| stage.no_cache).collect();
    assert_eq!(flags, [true, false]);
    let all = Given { no_cache: NoCache::All, ..Given::default() }.expect("FROM a AS X\nFROM x");
    assert!(all.stages.iter().all(|stage| stage.no_cache));
}

#[test]
fn an_image_has_the_key_of_all_that_it_shows() {
    let end = scratch_key(&"linux/amd64".parse().unwrap());
    let key = |text: &str| {
        let plan = plan_of(text);
        image_key(&end, &plan, plan.target)
    };
    let same = key("FROM a AS x\nLABEL a=b\nFROM x\nRUN y");
    assert_eq!(same, key("# comment\nFROM a AS z\nLABEL a=b\nFROM z\n\nRUN y"));
    for other in [
        "FROM a AS x\nLABEL a=c\nFROM x\nRUN y",
        "FROM a AS x\nLABEL a=b\nFROM x\nRUN z",
        "FROM a AS x\nLABEL a=b\nARG Q\nFROM x\nRUN y",
        "FROM a AS x\nLABEL a=b\nFROM x\nRUN y\nCMD z",
    ] {
        assert_ne!(same, key(other), "{other}");
    }
}
