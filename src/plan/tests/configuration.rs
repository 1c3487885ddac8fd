use super::*;
use serde_json::json;

const SCRATCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lines after `FROM scratch`, the history they leave, and what they add to its configuration.
#[test]
fn metadata_instructions() {
    for (text, history, config) in [
        ("", vec![], json!({})),
        (
            "ENV A=1 B=\"2 3\"",
            vec!["ENV A=1 B=2 3"],
            json!({"Env": [SCRATCH_PATH, "A=1", "B=2 3"]}),
        ),
        ("ENV A b  c", vec!["ENV A=b  c"], json!({"Env": [SCRATCH_PATH, "A=b  c"]})),
        (
            "ENV A=1\nENV B=2\nENV A=$B",
            vec!["ENV A=1", "ENV B=2", "ENV A=2"],
            json!({"Env": [SCRATCH_PATH, "A=2", "B=2"]}),
        ),
        ("ENV PATH=/x:$PATH", vec![], json!({"Env": [SCRATCH_PATH.replace('=', "=/x:")]})),
        (
            "LABEL a=b \"c d\"='e'",
            vec!["LABEL a=b c d=e"],
            json!({"Labels": {"a": "b", "c d": "e"}}),
        ),
        ("ARG A=1 B\nLABEL a=$A$B", vec!["ARG A=1 B", "LABEL a=1"], json!({"Labels": {"a": "1"}})),
        (
            "CMD [\"a\", \"b c\"]",
            vec!["CMD [\"a\" \"b c\"]"],
            json!({"Cmd": ["a", "b c"], "ArgsEscaped": true}),
        ),
        (
            "CMD a \"b\"",
            vec!["CMD [\"/bin/sh\" \"-c\" \"a \\\"b\\\"\"]"],
            json!({"Cmd": ["/bin/sh", "-c", "a \"b\""], "ArgsEscaped": true}),
        ),
        ("CMD []", vec!["CMD []"], json!({"ArgsEscaped": true})),
        ("CMD a\nCMD [\"b\"]", vec![], json!({"Cmd": ["b"], "ArgsEscaped": true})),
        ("ENTRYPOINT [\"a\"]", vec!["ENTRYPOINT [\"a\"]"], json!({"Entrypoint": ["a"]})),
        ("ENTRYPOINT a", vec![], json!({"Entrypoint": ["/bin/sh", "-c", "a"]})),
        ("ENTRYPOINT []", vec!["ENTRYPOINT []"], json!({})),
        (
            "CMD [\"a\"]\nENTRYPOINT [\"b\"]",
            vec![],
            json!({"Cmd": ["a"], "Entrypoint": ["b"], "ArgsEscaped": true}),
        ),
        (
            "EXPOSE 80/TCP 53/udp 10-12",
            vec!["EXPOSE [10/tcp 11/tcp 12/tcp 53/udp 80/tcp]"],
            json!({"ExposedPorts": {"10/tcp": {}, "11/tcp": {}, "12/tcp": {}, "53/udp": {}, "80/tcp": {}}}),
        ),
        (
            "ARG P=\"1 2\"\nEXPOSE $P",
            vec!["ARG P=1 2", "EXPOSE [1/tcp 2/tcp]"],
            json!({"ExposedPorts": {"1/tcp": {}, "2/tcp": {}}}),
        ),
        ("VOLUME /b /a", vec!["VOLUME [/b /a]"], json!({"Volumes": {"/a": {}, "/b": {}}})),
        ("VOLUME [\"/a b\"]", vec!["VOLUME [/a b]"], json!({"Volumes": {"/a b": {}}})),
        (
            "ENV U=x\nUSER $U:0",
            vec!["ENV U=x", "USER x:0"],
            json!({"User": "x:0", "Env": [SCRATCH_PATH, "U=x"]}),
        ),
        ("STOPSIGNAL SIGTERM", vec!["STOPSIGNAL SIGTERM"], json!({"StopSignal": "SIGTERM"})),
        (
            "SHELL [\"/bin/bash\", \"-c\"]\nCMD a",
            vec!["SHELL [/bin/bash -c]", "CMD [\"/bin/bash\" \"-c\" \"a\"]"],
            json!({"Shell": ["/bin/bash", "-c"], "Cmd": ["/bin/bash", "-c", "a"], "ArgsEscaped": true}),
        ),
        (
            "HEALTHCHECK --interval=30s --timeout=1m30s --retries=3 CMD a b",
            vec![
                "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:30s Timeout:1m30s StartPeriod:0s StartInterval:0s Retries:3}",
            ],
            json!({"Healthcheck": {"Test": ["CMD-SHELL", "a b"], "Interval": 30_000_000_000_i64, "Timeout": 90_000_000_000_i64, "Retries": 3}}),
        ),
        (
            "HEALTHCHECK CMD [\"a\"]",
            vec![
                "HEALTHCHECK {Test:[CMD a] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            ],
            json!({"Healthcheck": {"Test": ["CMD", "a"]}}),
        ),
        ("HEALTHCHECK NONE", vec![], json!({"Healthcheck": {"Test": ["NONE"]}})),
        (
            "ONBUILD RUN a\nONBUILD COPY b c",
            vec!["", ""],
            json!({"OnBuild": ["RUN a", "COPY b c"]}),
        ),
        ("MAINTAINER a $b <c>", vec!["MAINTAINER a $b <c>"], json!({})),
        ("WORKDIR /a/", vec!["WORKDIR /a/"], json!({"WorkingDir": "/a/"})),
        (
            "WORKDIR /a\nWORKDIR b/../c\nWORKDIR ..",
            vec!["WORKDIR /a", "WORKDIR /a/c", "WORKDIR /a"],
            json!({"WorkingDir": "/a"}),
        ),
        ("WORKDIR /", vec!["WORKDIR /"], json!({})),
        ("WORKDIR /a b", vec!["WORKDIR /a b"], json!({"WorkingDir": "/a b"})),
    ] {
        let plan = plan_of(&format!("FROM scratch\n{text}\n"));
        let mut expected = json!({"Env": [SCRATCH_PATH], "WorkingDir": "/"});
        for (key, value) in config.as_object().expect("an object") {
            expected[key] = value.clone();
        }
        assert_eq!(config_of(&plan), expected, "{text}");
        if !history.is_empty() {
            let steps = &target(&plan).steps;
            let found: Vec<&str> =
                steps.iter().map(|step| step.created_by.as_deref().unwrap_or_default()).collect();
            assert_eq!(found, history, "{text}");
        }
    }
}

#[test]
fn a_base_is_inherited() {
    let mut image = base();
    image.author = Some("someone".to_owned());
    image.config = serde_json::from_value(json!({
        "Env": ["A=1"], "Cmd": ["sh"], "Entrypoint": ["e"], "User": "u", "WorkingDir": "/w/",
        "Labels": {"l": "1", "m": "1"}, "ExposedPorts": {"1/tcp": {}}, "Volumes": {"/v": {}},
        "StopSignal": "TERM", "Shell": ["/s"], "Healthcheck": {"Test": ["NONE"]},
        "Unknown": 1,
    }))
    .unwrap();
    let mut expected = serde_json::to_value(&image.config).unwrap();
    let given = Given {
        images: BTreeMap::from([("docker.io/library/a:latest", image)]),
        labels: map(&[("m", "3"), ("n", "3")]),
        ..Given::default()
    };
    let plan = given.expect("FROM a\nLABEL m=2\nUSER v\nRUN x");
    expected["Env"] = json!(["A=1", SCRATCH_PATH]);
    expected["Labels"] = json!({"l": "1", "m": "3", "n": "3"});
    expected["User"] = json!("v");
    assert_eq!(config_of(&plan), expected);
    let config = &target(&plan).config;
    assert_eq!(config.author.as_deref(), Some("someone"));
    assert_eq!(config.created, None);
    assert_eq!(config.history.len(), 1);
    let run = run_of(last(&plan));
    assert_eq!((run.cwd.as_str(), run.user.as_str()), ("/w", "v"));
    assert_eq!(run.argv, ["/s", "x"]);
}

/// Lines of a file on a base with the label `base=1`, and which of `base`, `own` and `given` it has at
/// the end.
#[test]
fn a_default_label_gives_way_to_one_of_the_file_and_to_one_that_was_asked_for() {
    for (text, expected) in [
        ("FROM a\nLABEL own=1", json!({"base": "d", "own": "1", "given": "2", "free": "d"})),
        ("FROM a", json!({"base": "d", "own": "d", "given": "2", "free": "d"})),
        (
            "FROM a AS s\nARG N=own\nLABEL $N=1 given=1\nFROM s\nUSER u",
            json!({"base": "d", "own": "1", "given": "2", "free": "d"}),
        ),
        (
            "FROM a AS other\nLABEL own=1\nFROM a\nCOPY --from=other /x /x",
            json!({"base": "d", "own": "d", "given": "2", "free": "d"}),
        ),
    ] {
        let mut image = base();
        image.config.labels = Some(map(&[("base", "1")]));
        let given = Given {
            images: BTreeMap::from([("docker.io/library/a:latest", image)]),
            labels: map(&[("given", "2")]),
            default_labels: map(&[("base", "d"), ("own", "d"), ("given", "d"), ("free", "d")]),
            ..Given::default()
        };
        let plan = given.expect(text);
        assert_eq!(config_of(&plan)["Labels"], expected, "{text}");
        // A provenance says what was given.
        assert_eq!(plan.labels.contains_key("own"), expected["own"] == "d", "{text}");
    }
}

#[test]
fn an_entrypoint_resets_a_command_that_came_from_below() {
    for (text, expected) in [
        ("FROM a\nENTRYPOINT [\"e\"]", json!(null)),
        ("FROM a\nCMD [\"c\"]\nENTRYPOINT [\"e\"]", json!(["c"])),
        ("FROM a\nENTRYPOINT [\"e\"]\nCMD [\"c\"]", json!(["c"])),
        ("FROM a AS s\nCMD [\"c\"]\nFROM s\nENTRYPOINT [\"e\"]", json!(null)),
        ("FROM a AS s\nENTRYPOINT [\"e\"]\nFROM s\nLABEL a=b", json!(null)),
    ] {
        let config = config_of(&plan_of(text));
        assert_eq!(config.get("Cmd").cloned().unwrap_or_default(), expected, "{text}");
        assert_eq!(config["Entrypoint"], json!(["e"]));
    }
}

#[test]
fn the_platform_of_the_result_is_that_of_its_base_unless_it_was_asked_for() {
    let mut arm = base();
    arm.platform = "linux/arm64".parse().unwrap();
    for (platform, expected) in [(None, "linux/arm64"), (Some("linux/amd64"), "linux/amd64")] {
        let images = BTreeMap::from([("docker.io/library/a:latest", arm.clone())]);
        let plan = Given { platform, images, ..Given::default() }.expect("FROM a\nRUN x");
        assert_eq!(target(&plan).config.platform.to_string(), expected);
    }
}
