//! Entries that are gone or damaged are made again, once, and found by the next runner.

use super::*;

#[test]
fn what_was_evicted_is_made_again() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    // Its layer is needed below the compilation.
    evict(&service, "plimsoll-b-");
    project.write("main.txt", "another program\n");
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), &[DEPENDENCIES, COMPILE, COPIED]);
    // The record of the lost layer is still there; what replaces it is found.
    begin(&job.build(&project, &[]).ran_titles(), &[]);
    project.write("main.txt", "a third program\n");
    begin(&job.build(&project, &[]).ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
    evict(&service, "plimsoll-i-");
    project.write("main.txt", "a fourth program\n");
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), AFTER_A_LOSS);
    assert_eq!(built.notices, [""; 0]);
}

#[test]
fn what_is_evicted_after_it_was_found_is_made_again() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    project.write("main.txt", "another program\n");
    // The index is read first; then the layer of the dependencies is looked up, and is gone.
    service.fault_later(GET_BLOB, 1, 1, FaultKind::Status(404));
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), &[DEPENDENCIES, COMPILE, COPIED]);
    begin(&job.build(&project, &[]).ran_titles(), &[]);
}

fn damage(service: &FakeActionsCache, prefix: &str, how: fn(&mut Vec<u8>)) {
    for (_, key) in service.entries() {
        if key.starts_with(prefix) {
            let mut bytes = service.content(&key).unwrap().to_vec();
            how(&mut bytes);
            service.replace(&key, bytes);
        }
    }
}

fn what_is_damaged_is_replaced(how: fn(&mut Vec<u8>)) {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    damage(&service, "plimsoll-b-", how);
    project.write("main.txt", "another program\n");
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), &[DEPENDENCIES, COMPILE, COPIED]);
    let notice = only_notice(&built);
    assert!(notice.contains("costs time only: b-"), "{notice}");
    evict(&service, "plimsoll-i-");
    project.write("main.txt", "a third program\n");
    begin(&job.build(&project, &[]).ran_titles(), AFTER_A_LOSS);

    damage(&service, "plimsoll-r-", how);
    evict(&service, "plimsoll-i-");
    assert_eq!(job.build(&project, &[]).ran().len(), 7);
    evict(&service, "plimsoll-i-");
    project.write("main.txt", "a fourth program\n");
    let titles = job.build(&project, &[]).ran_titles();
    assert!(!titles.iter().any(|title| title.starts_with(DEPENDENCIES)), "{titles:?}");
}

#[test]
fn what_is_truncated_is_made_again_and_replaced() {
    what_is_damaged_is_replaced(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn what_is_corrupted_is_made_again_and_replaced() {
    what_is_damaged_is_replaced(|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}
