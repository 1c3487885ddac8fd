//! Moving to another cache, and the commands that look at GitHub's from outside of a build.

use std::process::Output;

use super::actions_cache::REST;
use super::actions_cache::rest::{READ_TOKEN, REST_TOKEN};
use super::runner::plimsoll;
use super::*;

#[test]
fn what_one_cache_has_is_brought_to_the_other() {
    let Some(project) = Project::slow_stages() else { return };
    let folder = project.path("cache").display().to_string();
    let service = service();
    let job = Job::on_main(&service);
    let [from_folder, to_folder, from_gha, to_gha] = [
        format!("--cache-from=type=local,src={folder}"),
        format!("--cache-to=type=local,dest={folder}"),
        "--cache-from=type=gha".to_owned(),
        "--cache-to=type=gha".to_owned(),
    ];
    assert_eq!(job.build(&project, &[&from_folder, &to_folder]).ran().len(), 7);
    assert_eq!(service.entries(), []);

    // Nothing runs, and yet all is there afterwards, also what nobody needed.
    let moving = [&from_gha[..], &from_folder, &to_gha];
    begin(&job.build(&project, &moving).ran_titles(), &[]);
    let entries = service.entries();
    let again = job.build(&project, &moving);
    begin(&again.ran_titles(), &[]);
    assert_eq!((service.entries(), &again.notices[..]), (entries, &[][..]));

    std::fs::remove_dir_all(project.path("cache")).unwrap();
    begin(&job.build(&project, &[]).ran_titles(), &[]);
    project.write("main.txt", "another program\n");
    begin(&job.build(&project, &[]).ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
}

#[test]
fn what_can_t_be_brought_is_left() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    let folder = project.path("cache").display().to_string();
    job.build(&project, &[]);
    evict(&service, "plimsoll-b-");
    let (from, to) =
        ("--cache-from=type=gha", format!("--cache-to=type=local,dest={folder},mode=max"));
    begin(&job.build(&project, &[from, &to]).ran_titles(), &[]);
    project.write("main.txt", "another program\n");
    let from = format!("--cache-from=type=local,src={folder}");
    let titles = job.build(&project, &[&from]).ran_titles();
    begin(&titles, &[DEPENDENCIES, COMPILE, COPIED]);
}

/// A command on GitHub's cache.
fn cache(service: &FakeActionsCache, token: &str, arguments: &[&str]) -> Output {
    plimsoll()
        .arg("cache")
        .args(arguments)
        .env("GITHUB_API_URL", service.url())
        .env("GITHUB_REPOSITORY", "acme/app")
        .env("GITHUB_TOKEN", token)
        .output()
        .unwrap()
}

fn text_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn github_s_cache_is_listed_measured_and_cleaned() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    project.write("main.txt", "another program\n");
    job.build(&project, &[]);
    let pull = Job::new(&service, &[(PULL, BOTH), (MAIN, READ)]);
    project.write("main.txt", "a third program\n");
    pull.build(&project, &[]);
    let entries = service.entries();
    let listed = text_of(&cache(&service, REST_TOKEN, &["ls", "--cache-from=type=gha"]));
    assert_eq!(listed.lines().count(), entries.len() + 1, "{listed}");
    assert!(listed.contains(PULL) && listed.contains("index "), "{listed}");
    let sums = text_of(&cache(&service, REST_TOKEN, &["du", "--cache-from=type=gha"]));
    assert!(sums.ends_with(" of 10.0 GB\n") && sums.contains("blob "), "{sums}");

    // The token may not see pull requests, nor delete: the first is told, the second fails.
    let refused = cache(&service, READ_TOKEN, &["gc"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("`actions: write`"), "{text}");
    let dry = text_of(&cache(&service, READ_TOKEN, &["gc", "--dry-run"]));
    assert!(dry.contains("`pull-requests: read`") && dry.contains("would delete 1 "), "{dry}");
    assert_eq!(service.entries(), entries);

    // The older of main's indexes, then all of the pull request.
    let said = text_of(&cache(&service, REST_TOKEN, &["gc"]));
    assert!(said.contains("a newer one is read") && said.contains("deleted 1 "), "{said}");
    service.end_scope(PULL);
    let said = text_of(&cache(&service, REST_TOKEN, &["gc"]));
    assert!(said.contains("is no more"), "{said}");
    assert!(service.entries().iter().all(|(scope, _)| scope == MAIN), "{said}");
    project.write("main.txt", "another program\n");
    begin(&job.build(&project, &[]).ran_titles(), &[]);

    let small = ["gc", "--max-used-space", "0"];
    text_of(&cache(&service, REST_TOKEN, &small));
    assert_eq!(service.entries(), []);
}

#[test]
fn a_command_on_github_s_cache_says_what_it_lacks() {
    let service = service();
    let nothing = plimsoll().args(["cache", "gc"]).output().unwrap();
    let text = String::from_utf8_lossy(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(2), "{text}");
    assert!(text.contains("GITHUB_REPOSITORY"), "{text}");
    let wrong = cache(&service, "wrong-canary", &["du", "--cache-from=type=gha"]);
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1), "{text}");
    assert!(text.contains("`actions: read`") && !text.contains("canary"), "{text}");
    assert_eq!(service.count(REST), 1);
    for (command, hint) in [("prune", "plimsoll cache gc"), ("gc", "plimsoll cache prune")] {
        let kind = if command == "gc" { "type=local,src=x" } else { "type=gha" };
        let output = cache(&service, REST_TOKEN, &[command, "--cache-from", kind]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(hint), "{text}");
    }
}
