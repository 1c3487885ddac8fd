use super::*;
use crate::digest::{DiffId, Digest};
use crate::weight::{
    Blob, Efficiency, Fate, File, Identity, Layer, Package, PackageKind, Size, Source, Step,
    Weight, compare,
};

fn layer(instruction: &str, source: Source, unpacked: u64, compressed: u64) -> Layer {
    Layer {
        diff_id: DiffId::of(instruction.as_bytes()),
        blob: Some(Blob { digest: Digest::of(instruction.as_bytes()), bytes: compressed }),
        unpacked,
        step: Step { instruction: instruction.to_owned(), lines: None, source },
    }
}

/// A base of 1,000 bytes (400 compressed) and one layer above it.
fn weight(unpacked: u64, compressed: u64) -> Weight {
    let file = |path: &str, layer, bytes| File {
        path: path.as_bytes().into(),
        layer,
        bytes,
        compressed: 0,
        content: None,
        fate: Fate::Kept,
        package: None,
    };
    Weight {
        program_version: String::new(),
        distribution: None,
        image: Identity {
            name: "boat".to_owned(),
            platform: "linux/amd64".to_owned(),
            manifest: None,
            config: Digest::of(b"boat"),
        },
        layers: vec![
            layer("ADD base", Source::Base("base".to_owned()), 1000, 400),
            layer("COPY . .", Source::Context, unpacked, compressed),
        ],
        files: vec![file("bin/sh", 0, 1000), file("usr/share/doc/a", 1, unpacked)],
        packages: vec![Package {
            kind: PackageKind::Dpkg,
            name: "gcc-12".to_owned(),
            version: "12.2".to_owned(),
            path: b"".as_slice().into(),
            size: Size { unpacked: 300, compressed: None },
            files: 1,
            layer: 1,
            components: Vec::new(),
            details: Default::default(),
        }],
        findings: Vec::new(),
        efficiency: Efficiency { least: 90, found: 100, ..Efficiency::default() },
    }
}

fn verdict(settings: &str, weight: &Weight, old: Option<&Weight>) -> Verdict {
    let settings = Settings::parse(settings).unwrap();
    let difference = old.map(|old| compare(old, weight));
    let stages = [("builder".to_owned(), Some(5000)), ("cached".to_owned(), None)];
    let judged = Judged { weight, difference: difference.as_ref(), stages: &stages };
    judge(
        &judged,
        &settings.budget("ghcr.io/acme/boat", "linux/arm64"),
        &settings.stages,
        Action::Fail,
        None,
    )
}

#[test]
fn amounts() {
    for (text, bytes) in [
        ("0", 0),
        ("1500", 1500),
        ("1.5kB", 1500),
        ("250MB", 250_000_000),
        ("250 mb", 250_000_000),
        ("2GiB", 2 << 30),
        ("1.234k", 1234),
        ("10b", 10),
    ] {
        assert_eq!(amount::bytes(text), Ok(bytes), "{text}");
    }
    for bad in ["", "MB", "-1", "1.", "1.2345MB", "1 parsec", "1e3", "99999999999999999999"] {
        assert!(amount::bytes(bad).is_err(), "{bad}");
    }
    assert_eq!("95.5%".parse(), Ok(Percent(9550)));
    assert_eq!(Percent(9550).to_string(), "95.5 %");
    assert_eq!(Percent(501).to_string(), "5.01 %");
    assert_eq!(
        "+10MB, 5%".parse(),
        Ok(GrowthLimit { bytes: Some(10_000_000), percent: Some(Percent(500)) })
    );
    assert!("5%, 6%".parse::<GrowthLimit>().is_err());
    // A thousandth above the limit is above it.
    assert_eq!(Percent::of(50_001, 1_000_000), Percent(501));
    assert_eq!((Percent::of(0, 0), Percent::of(1, 0)), (Percent(0), Percent(10_000)));
}

#[test]
fn what_is_within_passes_and_what_is_not_is_named() {
    // Settings, the baseline's layer above the base, status, and what is broken.
    let rows: &[(&str, Option<(u64, u64)>, Status, &str)] = &[
        ("", None, Status::Pass, ""),
        ("budget: {compressed: 600, unpacked: 3000}", None, Status::Pass, ""),
        ("budget: {compressed: 599}", None, Status::Fail, "Compressed"),
        ("budget: {unpacked: 2.9kB}", None, Status::Fail, "Unpacked"),
        ("budget: {unpacked: 2.9kB, action: warn}", None, Status::Warn, "Unpacked"),
        (
            "budget: {unpacked: {limit: 1, action: warn}, compressed: 1}",
            None,
            Status::Fail,
            "Compressed Unpacked",
        ),
        ("budget: {layer: 2000}", None, Status::Pass, ""),
        ("budget: {layer: 1999}", None, Status::Fail, "Layer(\"COPY . .\")"),
        ("budget: {efficiency: 90%}", None, Status::Pass, ""),
        ("budget: {efficiency: 90.01%}", None, Status::Fail, "Efficiency"),
        ("budget: {growth: 1}", None, Status::Pass, ""),
        ("budget: {growth: 1}", Some((2000, 200)), Status::Pass, ""),
        ("budget: {growth: 1}", Some((9000, 900)), Status::Pass, ""),
        ("budget: {growth: 99}", Some((2000, 100)), Status::Fail, "Growth"),
        ("budget: {growth: 100}", Some((2000, 100)), Status::Pass, ""),
        ("budget: {growth: 20%}", Some((2000, 100)), Status::Pass, ""),
        ("budget: {growth: 19.99%}", Some((2000, 100)), Status::Fail, "Growth"),
        ("budget: {growth: '1, 1%'}", Some((2000, 100)), Status::Fail, "Growth Growth"),
        ("budget: {paths: {/usr/share/doc: 2000}}", None, Status::Pass, ""),
        ("budget: {paths: {usr/share/**: 1999}}", None, Status::Fail, "Paths(\"usr/share/**\")"),
        ("budget: {packages: {gcc*: 0}}", None, Status::Fail, "Package(\"gcc-12\")"),
        ("budget: {packages: {gcc-*: 300, clang: 0}}", None, Status::Pass, ""),
        ("stages: {builder: 4.9kB}", None, Status::Fail, "Stage(\"builder\")"),
        ("stages: {other: 1}", None, Status::Pass, ""),
        (
            "budget: {unpacked: 1}\nimages: {ghcr.io/acme/*: {unpacked: 3kB}}",
            None,
            Status::Pass,
            "",
        ),
        (
            "budget: {unpacked: 1}\nimages: {ghcr.io/other/*: {unpacked: 3kB}}",
            None,
            Status::Fail,
            "Unpacked",
        ),
        (
            "images: {ghcr.io/acme/boat: {unpacked: 1}}\nplatforms: {linux/arm64: {unpacked: 1GB}}",
            None,
            Status::Pass,
            "",
        ),
    ];
    let new = weight(2000, 200);
    for (settings, old, status, subjects) in rows {
        let old = old.map(|(unpacked, compressed)| weight(unpacked, compressed));
        let found = verdict(settings, &new, old.as_ref());
        let broken: Vec<String> =
            found.breaches.iter().map(|breach| format!("{:?}", breach.subject)).collect();
        assert_eq!((found.status, broken.join(" ").as_str()), (*status, *subjects), "{settings}");
    }
}

#[test]
fn a_waiver_and_a_gate_that_only_warns() {
    let new = weight(2000, 200);
    let judged = Judged { weight: &new, difference: None, stages: &[] };
    let budget = Budget::parse_short("1MB, 500\n+5%").unwrap();
    assert!(!budget.is_empty());
    let budget =
        Budget { unpacked: Some(Limit { value: "1".parse().unwrap(), action: None }), ..budget };
    let waived = Some("label size-accepted".to_owned());
    let found = judge(&judged, &budget, [], Action::Fail, waived.clone());
    assert_eq!((found.status, found.waived_by), (Status::Waived, waived.clone()));
    let found = judge(&judged, &budget, [], Action::Warn, waived);
    assert_eq!((found.status, found.waived_by), (Status::Warn, None));
}

#[test]
fn settings_that_warn_leave_typed_limits_alone() {
    let new = weight(2000, 200);
    let judged = Judged { weight: &new, difference: None, stages: &[] };
    let settings = Settings::parse("budget: {action: warn, unpacked: 1}").unwrap();
    let typed = Budget::parse_short("1").unwrap();
    let found = judge(&judged, &typed.or(settings.budget), [], Action::Fail, None);
    let actions: Vec<_> =
        found.breaches.iter().map(|breach| (&breach.subject, breach.action)).collect();
    let expected = [(&Subject::Compressed, Action::Fail), (&Subject::Unpacked, Action::Warn)];
    assert_eq!((actions, found.status), (expected.to_vec(), Status::Fail));
}

#[test]
fn what_is_not_known_is_within_no_limit() {
    let mut new = weight(2000, 200);
    new.layers[0].blob = None;
    let text = "budget: {compressed: 1MB, unpacked: 1MB}\nstages: {cached: 1MB, builder: 1MB}\n";
    let found = verdict(text, &new, None);
    assert_eq!((found.status, found.limits), (Status::Pass, 2));
    assert_eq!(found.unknown, [Subject::Compressed, Subject::Stage("cached".to_owned())]);
}

#[test]
fn mistakes_have_a_place() {
    let rows = [
        ("budget:\n  compresed: 1MB\n", "compresed"),
        ("budget:\n  compressed: heavy\n", "expected a size such as 250MB but found \"heavy\""),
        ("budget:\n  compressed: {limit: 1, max: 2}\n", "max"),
        ("budget:\n  compressed: {action: warn}\n", "limit"),
        ("budget:\n  action: explode\n", "explode"),
        ("budget:\n  compressed:\n", "expected a size such as 250MB"),
        ("budget:\n  action:\n", ""),
        ("budget:\n  efficiency: 0.95\n", "expected a share such as 95% but found \"0.95\""),
        ("budget:\n  growth: fast\n", "expected a growth such as 10MB or 5%"),
        ("budget:\n  efficiency: 150%\n", "expected at most 100 % but found 150 %"),
        ("budget: 250MB\n", "expected keys with values, such as `compressed: 250MB`"),
        ("budget:\n  layer: 1\n  layer: 2\n", "`layer` is there twice"),
        ("budgets: {}\n", "budgets"),
        ("- a\n", ""),
    ];
    for (text, expected) in rows {
        let error = Settings::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.contains("line"), "{text:?}: {error}");
    }
}
