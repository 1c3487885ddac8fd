//! What each kind of rule makes of each event.

use serde_json::{Value, json};

use super::*;
use crate::github::event::{Event, Variables};
use crate::github::naming;

const SHA: &str = "860c1904a1ce19322e91ac35af1ab07466440c37";

fn facts(event: &str, git_ref: &str) -> Facts {
    Facts {
        event: event.to_owned(),
        git_ref: git_ref.to_owned(),
        sha: SHA.to_owned(),
        short_sha: 7,
        base_ref: (event == "pull_request").then(|| "develop".to_owned()),
        default_branch: "main".to_owned(),
        repository: Repository {
            name: "boat".to_owned(),
            description: "A boat = a hull".to_owned(),
            url: "https://github.com/acme/boat".to_owned(),
            license: "MIT".to_owned(),
        },
        now: "2026-03-04T05:06:07Z".parse().unwrap(),
        committed: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    }
}

fn tags_of(facts: &Facts, tags: &str, flavor: &str) -> String {
    let rules = Rules::parse("", tags, flavor, "", "").unwrap();
    metadata(&rules, facts).unwrap().tag_names.join(" ")
}

/// What a step reads of an event with this payload.
fn read(event: &str, git_ref: &str, mut payload: Value) -> Facts {
    let variables = [
        ("GITHUB_REPOSITORY", "acme/boat"),
        ("GITHUB_EVENT_NAME", event),
        ("GITHUB_REF", git_ref),
        ("GITHUB_SHA", SHA),
    ];
    let variables: Variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    payload["repository"] = json!({"default_branch": "main"});
    let event = Event::read(&variables, payload.to_string().as_bytes()).unwrap();
    let now = "2026-03-04T05:06:07Z".parse().unwrap();
    naming::facts(&event, &variables, now, None).unwrap()
}

/// The events that the rows name.
fn event(name: &str) -> Facts {
    match name {
        "main" => facts("push", "refs/heads/main"),
        "branch" => facts("push", "refs/heads/feat/Sails_2"),
        "tag" => facts("push", "refs/tags/v1.2.3"),
        "rc" => facts("push", "refs/tags/v1.2.3-rc.1"),
        "odd tag" => facts("push", "refs/tags/boat/v2.0.0"),
        "text tag" => facts("push", "refs/tags/summer"),
        "python tag" => facts("push", "refs/tags/1.2"),
        "python rc" => facts("push", "refs/tags/1.2rc1"),
        "pr" => facts("pull_request", "refs/pull/42/merge"),
        "schedule" => facts("schedule", "refs/heads/main"),
        "dispatch" => facts("workflow_dispatch", "refs/heads/main"),
        "merge group" => {
            let queue = "refs/heads/gh-readonly-queue/main/pr-42-5c1e4f4";
            read("merge_group", queue, json!({"merge_group": {"base_ref": "refs/heads/main"}}))
        }
        "release" => {
            let release = json!({"tag_name": "v1.2.3", "target_commitish": "main"});
            read("release", "refs/tags/v1.2.3", json!({"release": release}))
        }
        // GitHub's ref is that of the base.
        "pr target" => {
            let pull = json!({
                "number": 42, "head": {"ref": "sails", "sha": "5c1e4f4"},
                "base": {"ref": "develop", "sha": "b"},
            });
            read("pull_request_target", "refs/heads/develop", json!({"pull_request": pull}))
        }
        "comment" => {
            let issue = json!({"number": 42, "pull_request": {}});
            read("issue_comment", "refs/heads/main", json!({"issue": issue}))
        }
        "tag from" => read("push", "refs/tags/v1.2.3", json!({"base_ref": "refs/heads/develop"})),
        "branch from" => {
            read("push", "refs/heads/sails", json!({"base_ref": "refs/heads/develop"}))
        }
        other => panic!("no event {other}"),
    }
}

#[test]
fn rules_and_events() {
    // Event, rules, flavor, tags.
    let rows = [
        // Without rules.
        ("main", "", "", "main"),
        ("branch", "", "", "feat-Sails_2"),
        ("tag", "", "", "v1.2.3 latest"),
        ("text tag", "", "", "summer latest"),
        ("pr", "", "", "pr-42"),
        ("schedule", "", "", "nightly main"),
        ("dispatch", "", "", "main"),
        ("merge group", "", "", "gh-readonly-queue-main-pr-42-5c1e4f4"),
        ("release", "", "", "v1.2.3 latest"),
        ("pr target", "", "", "pr-42"),
        ("comment", "", "", "main"),
        ("branch from", "", "", "sails"),
        // Where the event is of another ref than its name says
        ("merge group", "type=ref,event=pr\ntype=edge\ntype=semver,pattern={{version}}", "", ""),
        ("merge group", "type=raw,value=x-{{is_default_branch}}-{{base_ref}}", "", "x-false-"),
        ("release", "type=semver,pattern={{major}}.{{minor}}", "", "1.2 latest"),
        ("release", "type=ref,event=branch\ntype=edge", "", ""),
        ("release", "type=raw,value={{tag}}-{{is_default_branch}}", "", "v1.2.3-false"),
        ("pr target", "type=ref,event=branch\ntype=edge,branch=develop", "", ""),
        ("pr target", "type=raw,value={{base_ref}}-{{is_default_branch}}", "", "develop-false"),
        ("comment", "type=edge\ntype=ref,event=pr", "", "edge"),
        ("comment", "type=raw,value={{branch}}-{{is_default_branch}}", "", "main-true"),
        ("tag from", "type=raw,value=x-{{base_ref}}", "", "x-develop"),
        ("branch from", "type=raw,value=x-{{base_ref}}", "", "x-"),
        ("pr", "type=raw,value=x-{{base_ref}}", "", "x-develop"),
        // schedule
        ("schedule", "type=schedule", "", "nightly"),
        ("schedule", "type=schedule,pattern=weekly", "", "weekly"),
        ("schedule", "type=schedule,pattern={{date 'YYYYMMDD'}}", "", "20260304"),
        ("schedule", "type=schedule,pattern={{date 'HH' tz='Asia/Tokyo'}}", "", "14"),
        ("schedule", "type=schedule,pattern={{commit_date 'YYYYMMDD'}}", "", "20260102"),
        ("schedule", "type=schedule", "latest=true", "nightly latest"),
        ("main", "type=schedule", "", ""),
        ("tag", "type=schedule", "", ""),
        ("pr", "type=schedule", "", ""),
        // semver
        ("tag", "type=semver,pattern={{version}}", "", "1.2.3 latest"),
        ("tag", "type=semver,pattern={{raw}}", "", "v1.2.3 latest"),
        ("tag", "type=semver,pattern={{major}}", "", "1 latest"),
        ("tag", "type=semver,pattern={{major}}.{{minor}}", "", "1.2 latest"),
        ("tag", "type=semver,pattern={{major}}.{{minor}}.{{patch}}", "", "1.2.3 latest"),
        ("tag", "type=semver,pattern=v{{major}}", "", "v1 latest"),
        (
            "tag",
            "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\n\
             type=semver,pattern={{major}}",
            "",
            "1.2.3 1.2 1 latest",
        ),
        ("tag", "type=semver,pattern={{major}}{{#if minor}}.{{minor}}{{/if}}", "", "1.2 latest"),
        (
            "odd tag",
            "type=semver,pattern={{major}}{{#if minor}}.{{minor}}{{/if}},match=v(.*)",
            "",
            "2 latest",
        ),
        ("tag", "type=semver,pattern={{#if prerelease}}p{{else}}{{major}}{{/if}}", "", "1 latest"),
        ("main", "type=semver,pattern={{build}},value=v3.4.5+b.6", "", "b-6 latest"),
        ("tag", "type=semver,pattern={{version}}", "latest=false", "1.2.3"),
        ("rc", "type=semver,pattern={{version}}", "", "1.2.3-rc.1"),
        ("rc", "type=semver,pattern={{raw}}", "", "v1.2.3-rc.1"),
        ("rc", "type=semver,pattern={{major}}", "", "1.2.3-rc.1"),
        ("rc", "type=semver,pattern={{major}}.{{minor}}", "", "1.2.3-rc.1"),
        ("rc", "type=semver,pattern={{major}}\ntype=semver,pattern={{version}}", "", "1.2.3-rc.1"),
        ("rc", "type=semver,pattern={{version}}", "latest=true", "1.2.3-rc.1 latest"),
        ("odd tag", "type=semver,pattern={{version}}", "", ""),
        ("odd tag", "type=semver,pattern={{version}},match=boat/(.*)", "", "2.0.0 latest"),
        ("odd tag", "type=semver,pattern={{major}},match=/BOAT\\/v(.*)/i", "", "2 latest"),
        ("tag", "type=semver,pattern={{version}},match=boat/(.*)", "", "1.2.3 latest"),
        ("text tag", "type=semver,pattern={{version}}", "", ""),
        ("main", "type=semver,pattern={{version}}", "", ""),
        ("pr", "type=semver,pattern={{version}}", "", ""),
        ("main", "type=semver,pattern={{version}},value=v3.4.5", "", "3.4.5 latest"),
        ("main", "type=semver,pattern={{major}},value=3.4.5-beta", "", "3.4.5-beta"),
        ("main", "type=semver,pattern={{version}},value=v3.4.5+b.6", "", "3.4.5 latest"),
        ("main", "type=semver,pattern={{raw}},value=v3.4.5+b.6", "", "v3.4.5-b.6 latest"),
        ("tag", "type=semver,pattern={{version}},value={{tag}}", "", "1.2.3 latest"),
        ("tag", "type=semver,pattern={{version}},prefix=r-,suffix=-x", "", "r-1.2.3-x latest"),
        ("tag", "type=semver,pattern={{version}},enable=false", "", ""),
        // pep440
        ("python tag", "type=pep440,pattern={{version}}", "", "1.2 latest"),
        ("python tag", "type=pep440,pattern={{raw}}", "", "1.2 latest"),
        ("python tag", "type=pep440,pattern={{major}}.{{minor}}.{{patch}}", "", "1.2.0 latest"),
        ("tag", "type=pep440,pattern={{version}}", "", "1.2.3 latest"),
        ("tag", "type=pep440,pattern={{raw}}", "", "v1.2.3 latest"),
        ("tag", "type=pep440,pattern={{major}}", "", "1 latest"),
        ("python rc", "type=pep440,pattern={{version}}", "", "1.2rc1"),
        ("python rc", "type=pep440,pattern={{major}}", "", "1.2rc1"),
        ("rc", "type=pep440,pattern={{raw}}", "", "v1.2.3-rc.1"),
        ("rc", "type=pep440,pattern={{version}}", "", "1.2.3rc1"),
        ("main", "type=pep440,pattern={{version}},value=1.0.post2", "", "1.0.post2"),
        ("main", "type=pep440,pattern={{version}},value=1!2.0", "", "1-2.0 latest"),
        ("text tag", "type=pep440,pattern={{version}}", "", ""),
        ("main", "type=pep440,pattern={{version}}", "", ""),
        // match
        ("tag", "type=match,pattern=v(.*),group=1", "", "1.2.3 latest"),
        ("tag", "type=match,pattern=\\d.\\d", "", "1.2 latest"),
        ("tag", "type=match,pattern=/V(\\d)/i,group=1", "", "1 latest"),
        ("tag", "type=match,\"pattern=\\d{1,3}.\\d{1,3}\"", "", "1.2 latest"),
        ("tag", "type=match,pattern=v(.*),group=2", "", ""),
        ("tag", "type=match,pattern=^v(?!0).*", "", "v1.2.3 latest"),
        ("tag", "type=match,pattern=^v(?!1).*", "", ""),
        ("tag", "type=match,pattern=/(?<=^V)\\d/i", "", "1 latest"),
        ("tag", "type=match,pattern=(?<=v.+)\\d$", "", "3 latest"),
        ("main", "type=match,pattern=(\\d)\\1,value=v122", "", "22 latest"),
        ("main", "type=match,pattern=(?<n>\\d)\\k<n>,group=1,value=v122", "", "2 latest"),
        ("odd tag", "type=semver,pattern={{version}},match=^boat/(?!v0)(.*)", "", "2.0.0 latest"),
        ("python tag", "type=pep440,pattern={{major}},match=^(?!0)(.*)", "", "1 latest"),
        ("tag", "type=match,pattern=summer", "", ""),
        ("odd tag", "type=match,pattern=boat/v(.*),group=1", "", "2.0.0 latest"),
        ("main", "type=match,pattern=v(.*),group=1", "", ""),
        ("main", "type=match,pattern=v(.*),group=1,value=v9", "", "9 latest"),
        ("tag", "type=match,pattern=v(.*),group=1", "latest=false", "1.2.3"),
        // edge
        ("main", "type=edge", "", "edge"),
        ("main", "type=edge,branch=release", "", ""),
        ("branch", "type=edge", "", ""),
        ("branch", "type=edge,branch=feat/Sails_2", "", "edge"),
        ("tag", "type=edge", "", ""),
        ("pr", "type=edge", "", ""),
        ("schedule", "type=edge", "", "edge"),
        ("main", "type=edge", "latest=true", "edge latest"),
        // ref
        ("main", "type=ref,event=branch", "", "main"),
        ("branch", "type=ref,event=branch", "", "feat-Sails_2"),
        ("branch", "type=ref,event=branch,prefix=b-,suffix=-{{sha}}", "", "b-feat-Sails_2-860c190"),
        ("tag", "type=ref,event=branch", "", ""),
        ("tag", "type=ref,event=tag", "", "v1.2.3 latest"),
        ("odd tag", "type=ref,event=tag", "", "boat-v2.0.0 latest"),
        ("tag", "type=ref,event=tag", "latest=false", "v1.2.3"),
        ("main", "type=ref,event=tag", "", ""),
        ("pr", "type=ref,event=pr", "", "pr-42"),
        ("pr", "type=ref,event=pr,prefix=", "", "42"),
        ("pr", "type=ref,event=pr,prefix=mr", "", "mr42"),
        ("pr", "type=ref,event=branch", "", ""),
        ("main", "type=ref,event=pr", "", ""),
        // raw
        ("main", "type=raw,value=beta", "", "beta"),
        ("main", "beta", "", "beta"),
        ("main", "value=beta", "", "beta"),
        ("main", "type=raw,value=latest,enable={{is_default_branch}}", "", "latest"),
        ("branch", "type=raw,value=latest,enable={{is_default_branch}}", "", ""),
        ("branch", "type=raw,value=dev,enable={{is_not_default_branch}}", "", "dev"),
        ("schedule", "type=raw,value=latest,enable={{is_default_branch}}", "", "latest"),
        ("tag", "type=raw,value=latest,enable={{is_default_branch}}", "", ""),
        ("main", "type=raw,value={{branch}}-{{sha}}", "", "main-860c190"),
        ("main", "type=raw,value={{date 'YYYYMMDDHHmmss'}}", "", "20260304050607"),
        ("pr", "type=raw,value={{base_ref}}", "", "develop"),
        ("main", "type=raw,value={{base_ref}}", "", ""),
        ("tag", "type=raw,value={{tag}}", "", "v1.2.3"),
        ("main", "type=raw,value=a b//c:d", "", "a-b-c-d"),
        ("main", "type=raw,value=x", "latest=true", "x latest"),
        // sha
        ("main", "type=sha", "", "sha-860c190"),
        ("main", "type=sha,format=long", "", "sha-860c1904a1ce19322e91ac35af1ab07466440c37"),
        ("pr", "type=sha,prefix=", "", "860c190"),
        ("tag", "type=sha,suffix=-x", "", "sha-860c190-x"),
        // flavor
        ("main", "type=ref,event=branch", "prefix=p-", "p-main"),
        ("main", "type=ref,event=branch", "suffix=-alpine", "main-alpine"),
        ("tag", "type=ref,event=tag", "suffix=-alpine", "v1.2.3-alpine latest"),
        (
            "tag",
            "type=ref,event=tag",
            "suffix=-alpine,onlatest=true",
            "v1.2.3-alpine latest-alpine",
        ),
        ("tag", "type=ref,event=tag", "prefix=p-,onlatest=true\nsuffix=-s", "p-v1.2.3-s p-latest"),
        ("tag", "type=ref,event=tag", "prefix=p-,latest=true,onlatest=true", "p-v1.2.3 p-latest"),
        ("tag", "type=ref,event=tag", "onlatest=true", "v1.2.3 latest"),
        ("tag", "type=ref,event=tag,prefix=", "prefix=p-", "v1.2.3 latest"),
        ("main", "type=sha", "prefix=p-", "sha-860c190"),
        ("pr", "type=ref,event=pr", "prefix=p-", "pr-42"),
        ("main", "type=raw,value=x", "prefix={{branch}}-", "main-x"),
        ("main", "type=ref,event=branch", "latest=auto", "main"),
        // priority and repetition
        ("main", "type=sha\ntype=ref,event=branch", "", "main sha-860c190"),
        ("main", "type=sha,priority=900\ntype=ref,event=branch", "", "sha-860c190 main"),
        ("main", "type=sha,priority=600.5\ntype=ref,event=branch", "", "sha-860c190 main"),
        ("tag", "type=raw,value=x\ntype=semver,pattern={{version}}", "", "1.2.3 x latest"),
        ("tag", "type=raw,value=x,priority=2000\ntype=ref,event=tag", "", "x v1.2.3"),
        ("main", "type=raw,value=main\ntype=ref,event=branch", "", "main"),
        ("main", "a\nb\na", "", "a b"),
        ("main", "# no rule\na", "", "a"),
        // The first character of a tag
        ("main", "type=raw,value=#12-fix", "", "12-fix"),
        ("main", "type=raw,value=.é", "", ""),
    ];
    assert!(rows.len() >= 100, "{}", rows.len());
    for (name, tags, flavor, expected) in rows {
        assert_eq!(tags_of(&event(name), tags, flavor), expected, "{name}: {tags:?} {flavor:?}");
    }
}

#[test]
fn every_image_gets_every_tag() {
    let rules = |images| Rules::parse(images, "type=ref,event=tag", "", "", "").unwrap();
    let tags = |images| metadata(&rules(images), &event("tag")).unwrap().tags.join(" ");
    assert_eq!(tags("ghcr.io/Acme/Boat"), "ghcr.io/acme/boat:v1.2.3 ghcr.io/acme/boat:latest");
    assert_eq!(tags("a,b"), "a:v1.2.3 a:latest b:v1.2.3 b:latest");
    assert_eq!(tags("a\nname=b,enable=false\nname=c"), "a:v1.2.3 a:latest c:v1.2.3 c:latest");
    assert_eq!(tags(""), "v1.2.3 latest");
}

#[test]
fn a_tag_has_at_most_128_characters() {
    let long = format!("type=raw,value={}", "x".repeat(200));
    assert_eq!(tags_of(&event("main"), &long, "").len(), 128);
}

#[test]
fn labels_say_where_an_image_comes_from() {
    let labels = "org.opencontainers.image.title=Other\nof={{branch}}\nno value\na=b=c\n\
                  go={{.Name}} {{range .}}";
    let rules = Rules::parse("", "", "", labels, "only=here").unwrap();
    let made = metadata(&rules, &event("main")).unwrap();
    let expected = [
        ("a", "b=c"),
        ("go", "{{.Name}} {{range .}}"),
        ("no value", ""),
        ("of", "main"),
        ("org.opencontainers.image.created", "2026-01-02T03:04:05Z"),
        ("org.opencontainers.image.description", "A boat = a hull"),
        ("org.opencontainers.image.licenses", "MIT"),
        ("org.opencontainers.image.revision", SHA),
        ("org.opencontainers.image.source", "https://github.com/acme/boat"),
        ("org.opencontainers.image.title", "Other"),
        ("org.opencontainers.image.url", "https://github.com/acme/boat"),
        ("org.opencontainers.image.version", "main"),
    ];
    let found: Vec<_> = made.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(made.annotations["only"], "here");
    assert_eq!(made.annotations["org.opencontainers.image.title"], "boat");
}

#[test]
fn what_does_not_apply_is_said() {
    let rules = Rules::parse("", "type=semver,pattern={{version}}\ntype=sha", "", "", "").unwrap();
    let made = metadata(&rules, &event("text tag")).unwrap();
    assert_eq!(made.warnings, ["summer is no semantic version (semver.org)"]);
    assert_eq!(made.tag_names, ["sha-860c190"]);
    let rules = "type=raw,value=x,priority=high\ntype=sha\ntype=ref,event=branch";
    let rules = Rules::parse("", rules, "", "", "").unwrap();
    let made = metadata(&rules, &event("main")).unwrap();
    let expected = "expected a number as priority but found \"high\": it is 200, in the tag rule \
                    \"type=raw,value=x,priority=high\"";
    assert_eq!(made.warnings, [expected]);
    assert_eq!(made.tag_names, ["main", "x", "sha-860c190"]);
}

#[test]
fn mistakes_name_their_line() {
    // Images, tags, flavor, and what the error says.
    let rows = [
        ("enable=true", "", "", "no name"),
        ("name=a,enable=maybe", "", "", "expected enable=true or enable=false"),
        ("name=a,color=red", "", "", "unknown attribute \"color\""),
        ("", "type=fancy", "", "unknown type \"fancy\""),
        ("", "type=semver", "", "the attribute pattern is missing"),
        ("", "type=pep440,value=1", "", "the attribute pattern is missing"),
        ("", "type=match", "", "the attribute pattern is missing"),
        ("", "type=match,pattern=(", "", "is no regular expression"),
        ("", "type=match,pattern=/a/q", "", "unknown flag 'q'"),
        ("", "type=match,pattern=(?<=a", "", "is no regular expression"),
        ("", "type=match,pattern=[z-a]", "", "is no regular expression"),
        (
            "",
            "type=match,pattern=^(a|b|ab)*(?!c)c,value=abababababababababababababababababababababababababababababc",
            "",
            "can't match",
        ),
        ("", "type=match,pattern=a,group=x", "", "expected the number of a group"),
        ("", "type=ref", "", "the attribute event is missing"),
        ("", "type=ref,event=moon", "", "found \"moon\""),
        ("", "type=raw", "", "the attribute value is missing"),
        ("", "type=sha,format=tiny", "", "found \"tiny\""),
        ("", "type=sha,enable=yes", "", "found enable=yes"),
        ("", "type=raw,value={{moon 'x'}}", "", "unknown expression \"moon\""),
        ("", "type=raw,value={{branch", "", "an expression without an end"),
        ("", "type=raw,value={{date 'X' zone='UTC'}}", "", "unknown attribute \"zone\" of date"),
        ("", "type=semver,pattern={{version}},match=v.*", "", "has no group"),
        ("", "", "latest=perhaps", "expected true or false"),
        ("", "", "latest", "expected name=value"),
        ("", "", "onlatest=perhaps", "expected true or false"),
        ("", "", "color=red", "unknown attribute \"color\""),
    ];
    for (images, tags, flavor, expected) in rows {
        let made = Rules::parse(images, tags, flavor, "", "")
            .and_then(|rules| metadata(&rules, &event("tag")));
        let error = made.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}
