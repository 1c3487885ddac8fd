//! What images weighed, from build to build.

use super::*;

/// What the builds of a branch weighed is there for its pull requests, and theirs not for it.
#[test]
fn weights_go_from_a_branch_to_its_pull_requests() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let commit = |number: u32| format!("{number:040x}");
    let build = |job: Job, whole_ref: &str, number: u32, event: &str| {
        let path = project.machine().store().with_extension("event");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, event).unwrap();
        job.with("GITHUB_REF", whole_ref)
            .with("GITHUB_SHA", &commit(number))
            .with("GITHUB_EVENT_PATH", path.to_str().unwrap())
            .build_on(&project.machine(), &["--size-baseline=auto"])
    };
    let on_pull = || Job::new(&service, &[(PULL, BOTH), (MAIN, READ)]);
    let pull = |number: u32, base: u32| {
        let (head, base) = (commit(number), commit(base));
        let event = format!(
            r#"{{"pull_request":{{"head":{{"sha":"{head}"}},"base":{{"sha":"{base}","ref":"main"}}}}}}"#
        );
        build(on_pull(), PULL, number, &event)
    };
    let compared = |built: &Built, kind: &str| {
        let first = commit(1);
        let baseline =
            format!(r#""baseline":{{"branch":"main","commit":"{first}","kind":"{kind}"}}"#);
        built.log.contains(&baseline)
    };
    let first = build(Job::on_main(&service), MAIN, 1, "{}");
    assert_eq!(only_notice(&first), "nothing to compare with: no earlier build is known");
    project.write("main.txt", "another program\n");
    let second = pull(2, 1);
    assert!(compared(&second, "base"));
    let third = pull(3, 9);
    assert!(compared(&third, "nearest"));
    // The weights of the pull request are in its scope.
    let kept = |scope: &str, kind: &str| {
        let begin = format!("plimsoll-{kind}-");
        let entries = service.entries();
        entries.iter().filter(|(of, key)| of == scope && key.starts_with(&begin)).count()
    };
    assert_eq!([kept(MAIN, "w"), kept(MAIN, "l"), kept(PULL, "w"), kept(PULL, "l")], [1, 1, 2, 2]);
    let next = build(
        Job::on_main(&service),
        MAIN,
        4,
        r#"{"before":"0000000000000000000000000000000000000003"}"#,
    );
    assert!(compared(&next, "nearest"));
}
