use super::*;
use crate::digest::{DiffId, Digest};
use crate::weight::budget::{Action, Budget, Judged, judge};
use crate::weight::{
    Blob, Efficiency, Fate, File, Identity, Layer, Package, PackageKind, Size, Source, Step,
    compare,
};

fn weight(name: &str, layers: &[(&str, &[(&str, u64)])], packages: &[(&str, &str, u64)]) -> Weight {
    let mut files = Vec::new();
    let mut made = Vec::new();
    for (index, (instruction, content)) in (0..).zip(layers) {
        let unpacked: u64 = content.iter().map(|(_, bytes)| bytes).sum();
        let key = format!("{instruction}{content:?}");
        made.push(Layer {
            diff_id: DiffId::of(key.as_bytes()),
            blob: Some(Blob { digest: Digest::of(key.as_bytes()), bytes: unpacked / 2 }),
            unpacked,
            step: Step {
                instruction: (*instruction).to_owned(),
                lines: Some((index + 1, index + 1)),
                source: Source::Context,
            },
        });
        for (path, bytes) in *content {
            files.push(File {
                path: path.as_bytes().into(),
                layer: index,
                bytes: *bytes,
                compressed: bytes / 2,
                content: None,
                fate: Fate::Kept,
                package: None,
            });
        }
    }
    files.sort_by(|a, b| (&a.path, a.layer).cmp(&(&b.path, b.layer)));
    let package = |(name, version, bytes): &(&str, &str, u64)| Package {
        kind: PackageKind::Dpkg,
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        path: b"".as_slice().into(),
        size: Size { unpacked: *bytes, compressed: None },
        files: 1,
        layer: 0,
        components: Vec::new(),
        details: Default::default(),
    };
    Weight {
        program_version: String::new(),
        distribution: None,
        image: Identity {
            name: name.to_owned(),
            platform: "linux/amd64".to_owned(),
            manifest: None,
            config: Digest::of(name.as_bytes()),
        },
        layers: made,
        files,
        packages: packages.iter().map(package).collect(),
        findings: Vec::new(),
        efficiency: Efficiency::default(),
    }
}

fn report<'a>(weight: &'a Weight, difference: Option<&'a Difference>) -> SizeReport<'a> {
    let baseline = difference.map(|_| "860c190 on main");
    SizeReport { difference, baseline, ..SizeReport::of(weight) }
}

#[test]
fn a_first_build_has_nothing_to_compare_with() {
    let weight = weight("boat", &[("COPY . .", &[("app", 4_000_000)])], &[]);
    let text = markdown(&report(&weight, None), 65_536);
    assert_eq!(
        text,
        "### Image size: `boat`\n\n\
         **2.0 MB compressed**, 4.0 MB unpacked. There is nothing to compare with yet.\n\
         \n<details><summary>Layers (1)</summary>\n\n\
         |Line|Made by|Compressed|Unpacked|\n|---|---|---:|---:|\n\
         | 1 | `COPY . .` | 2.0 MB | 4.0 MB |\n\n</details>\n"
    );
}

#[test]
fn growth_is_told_by_line_and_package() {
    let old = weight(
        "boat",
        &[("RUN apt", &[("usr/lib/a", 1_000_000)]), ("COPY", &[("app", 10)])],
        &[("ssl", "3.0", 1_000_000)],
    );
    let new = weight(
        "boat",
        &[("RUN apt", &[("usr/lib/a", 3_500_000)]), ("COPY", &[("app", 10)])],
        &[("ssl", "3.1", 3_500_000)],
    );
    let difference = compare(&old, &new);
    let history = [10, 20, 80].map(|bytes| Logged {
        commit: "abc1234".to_owned(),
        time: 0,
        size: Size { unpacked: 0, compressed: Some(bytes) },
    });
    let text =
        markdown(&SizeReport { history: &history, ..report(&new, Some(&difference)) }, 65_536);
    let expected = "### Image size: `boat`\n\n\
         **1.8 MB compressed** (+1.3 MB, +250.0 %), 3.5 MB unpacked (+2.5 MB, +250.0 %). \
         Compared with `860c190 on main`, from which 1.8 MB compressed are new to pull.\n\
         \n▁▂█ compressed, last 3 builds\n\
         \n**What changed most** (unpacked)\n\n\
         - +2.5 MB line 1: `RUN apt`\n\
         - +2.5 MB deb package `ssl` `3.0` → `3.1`\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("| 1 | `RUN apt` | 1.8 MB | 3.5 MB | +2.5 MB |"), "{text}");
    assert!(text.contains("| deb `ssl` | `3.0` | `3.1` | +2.5 MB |"), "{text}");
    assert!(text.contains("| `/usr/lib/a` | 3.5 MB | +2.5 MB |"), "{text}");
}

#[test]
fn the_same_image_says_so_in_a_line() {
    let image = weight("boat", &[("COPY", &[("app", 10)])], &[]);
    let difference = compare(&image, &image);
    let text = markdown(&report(&image, Some(&difference)), 65_536);
    assert!(
        text.contains("(±0 B), 10 B unpacked (±0 B). The same files as `860c190 on main`."),
        "{text}"
    );
    assert!(!text.contains("What changed"), "{text}");
}

#[test]
fn a_verdict_is_told_first() {
    let image = weight("boat", &[("COPY", &[("app", 2_000_000)])], &[("gcc", "12", 5)]);
    let settings = "compressed: 900kB\npackages: {gcc: 0}";
    let settings = format!("budget:\n  {}", settings.replace('\n', "\n  "));
    let budget = crate::weight::budget::Settings::parse(&settings).unwrap().budget;
    let judged = Judged { weight: &image, difference: None, stages: &[] };
    let shown = |budget: &Budget, waived_by: Option<String>| {
        let verdict = judge(&judged, budget, [], Action::Fail, waived_by);
        markdown(&SizeReport { verdict: Some(&verdict), ..report(&image, None) }, 65_536)
    };
    let text = shown(&budget, None);
    assert!(
        text.contains(
            "\n❌ **Above its limits**:\n\n\
             - Compressed size: 1.0 MB, the limit is 900.0 kB\n\
             - Package `gcc`, unpacked: 5 B, and it must not be there\n"
        ),
        "{text}"
    );
    assert!(shown(&budget, Some("label `x`".to_owned())).contains("accepted by `` label `x` ``:"));
    let wide = Budget::parse_short("1GB").unwrap();
    assert!(shown(&wide, None).contains("\n✅ Within the limit.\n"));
}

#[test]
fn it_fits_whatever_the_image() {
    let names: Vec<String> =
        (0..50_000).map(|n| format!("dir{}/{}|`<b>@x{n}", n % 700, "n".repeat(n % 300))).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1_000_000)).collect();
    let layers: Vec<(&str, &[(&str, u64)])> =
        files.chunks(200).map(|chunk| ("RUN make | tee `log` \u{202e}", chunk)).collect();
    let new = weight("boat", &layers, &[]);
    let old = weight("boat", &[], &[]);
    let difference = compare(&old, &new);
    let whole = SizeReport { more: Some("the job summary"), ..report(&new, Some(&difference)) };
    for limit in [600, 2_000, 20_000, 65_536] {
        let text = markdown(&whole, limit);
        assert!(text.len() <= limit, "{} of {limit}", text.len());
        assert!(
            text.contains("Some detail did not fit; all of it is in the job summary."),
            "{text}"
        );
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        assert_eq!(text.matches("<b>").count(), text.matches("`<b>").count());
    }
}
