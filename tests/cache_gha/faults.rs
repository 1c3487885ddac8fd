//! A service that refuses, stumbles or is not there: a notice at most, and the build goes on.

use super::*;

#[test]
fn a_token_that_may_only_read_is_one_notice() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    Job::on_main(&service).build(&project, &[]);
    let entries = service.entries();
    project.write("main.txt", "another program\n");
    service.forget_log();
    for job in [
        Job::new(&service, &[(MAIN, READ)]),
        Job::on_main(&service).with("ACTIONS_CACHE_MODE", "read"),
    ] {
        let built = job.build(&project, &[]);
        begin(&built.ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
        let notice = only_notice(&built);
        assert!(notice.starts_with("nothing is saved in the cache gha: the job's "), "{notice}");
    }
    assert_eq!(service.count(CREATE), 0);
    assert_eq!(service.entries(), entries);
}

#[test]
fn a_denial_in_the_middle_ends_the_saving() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let denial = FaultKind::NotOk("cache write denied: the policy has changed");
    service.fault_later(CREATE, 1, usize::MAX, denial);
    let built = Job::on_main(&service).build(&project, &[]);
    assert_eq!(built.ran().len(), 7);
    let notice = only_notice(&built);
    assert!(notice.contains("nothing is saved") && notice.contains("policy"), "{notice}");
    assert_eq!(service.count(CREATE), 2, "one that was let, one that was denied");
    assert_eq!(service.entries().len(), 1);
}

#[test]
fn no_service_is_one_notice_for_whoever_asked_for_it() {
    let Some(project) = Project::new("FROM base\nRUN echo x > /x\n") else { return };
    let typed = ["--cache-from=type=gha", "--cache-to=type=gha,mode=max,ignore-error=true"];
    let step = Job(vec![("GITHUB_ACTIONS", "true".to_owned())]);
    let service = service();
    let server = Job::on_main(&service);
    let server =
        Job(server.0.into_iter().filter(|(name, _)| *name != "GITHUB_SERVER_URL").collect())
            .with("GITHUB_SERVER_URL", "https://git.corp.example");
    let off = Job::on_main(&service).with("ACTIONS_CACHE_MODE", "none");
    for (job, reason) in [
        (&step, "GitHub gives them to actions, not to `run:` steps"),
        (&server, "git.corp.example is a GitHub Enterprise Server"),
        (&off, "the job's cache mode is none"),
    ] {
        let built = job.build(&project, &typed);
        let notice = only_notice(&built);
        assert!(notice.starts_with("the cache gha is not used: "), "{notice}");
        assert!(notice.contains(reason), "{notice}");
        assert_eq!(job.build(&project, &[]).notices, [""; 0], "nobody has asked for it");
    }
    assert_eq!(service.log().len(), 0);
}

#[test]
fn a_service_that_is_out_of_order_is_one_notice() {
    let Some(project) = Project::new("FROM base\nRUN echo x > /x\n") else { return };
    let service = service();
    service.fault(LOOKUP, usize::MAX, FaultKind::Html(404));
    let built = Job::on_main(&service).build(&project, &[]);
    let notice = only_notice(&built);
    assert!(notice.contains("costs time only") && notice.contains("type=registry"), "{notice}");
    assert_eq!(service.log().len(), 1, "it is asked no more");
}

#[test]
fn the_rate_limit_is_waited_for() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    service.fault(CREATE, 2, FaultKind::StatusAfter(429, 1));
    assert_eq!(job.build(&project, &[]).notices, [""; 0]);
    begin(&job.build(&project, &[]).ran_titles(), &[]);
    // For an hour nobody waits: what was not saved is made again.
    project.write("deps.txt", "another library\n");
    service.fault(CREATE, usize::MAX, FaultKind::StatusAfter(429, 3600));
    for _ in 0..2 {
        let built = job.build(&project, &[]);
        begin(&built.ran_titles(), &["COPY deps.txt .", DEPENDENCIES, COMPILE, COPIED]);
        only_notice(&built);
    }
}

#[test]
fn urls_that_expire_are_asked_for_again() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    service.fault(PUT_BLOB, 1, FaultKind::ExpireUrls);
    assert_eq!(job.build(&project, &[]).notices, [""; 0]);
    project.write("main.txt", "another program\n");
    // Of the index, and of the layer of the dependencies.
    service.fault(GET_BLOB, 1, FaultKind::ExpireUrls);
    service.fault_later(GET_BLOB, 1, 1, FaultKind::ExpireUrls);
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
    assert_eq!(built.notices, [""; 0]);
}
