//! An image of 200,000 files.

use super::images::{Compression, Layer, Member};
use super::{file, images, text};
use plimsoll::weight::{Weight, compare, decode};

/// What a comment on GitHub may have.
const COMMENT: usize = 65_536;

/// Every tenth has 9 bytes and `more`, the others none: an archive of a size that a test may have.
fn files(numbers: std::ops::Range<usize>, more: usize) -> Vec<Member> {
    let content = |number: usize| match number % 10 {
        0 => format!("{number:0width$}", width = 9 + more),
        _ => String::new(),
    };
    let path = |number: usize| format!("srv/{:03}/file-{number:06}", number / 500);
    numbers.map(|number| file(&path(number), content(number).as_bytes())).collect()
}

#[test]
fn two_hundred_thousand_files_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Of 200,000 the second layer replaces 10,000, each tenth of them with two bytes more.
    let low = Layer::new("COPY low /", files(0..150_000, 0)).compressed(Compression::None);
    let high = [files(0..10_000, 2), files(150_000..200_000, 0)].concat();
    let high = Layer::new("COPY high /", high).compressed(Compression::None);
    images::write(&path.join("old"), vec![low.clone()]);
    images::write(&path.join("new"), vec![low, high]);

    let weigh = |name: &str| {
        let (image, saved) = (format!("oci:{name}"), format!("{name}.weight"));
        text(path, &["weigh", &image, "--output-weight", &saved]);
        std::fs::read(path.join(saved)).unwrap()
    };
    let saved = [weigh("old"), weigh("new")];
    assert!(saved[1].len() < 4_000_000, "{} bytes", saved[1].len());
    let [old, new] = saved.map(|saved| decode(&saved).unwrap());
    let bytes = |weight: &Weight, layer: u32| {
        let files = weight.files.iter().filter(|file| file.layer == layer);
        files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes))
    };
    assert_eq!(bytes(&old, 0), (150_000, 15_000 * 9));
    assert_eq!(bytes(&new, 0), (150_000, 15_000 * 9));
    assert_eq!(bytes(&new, 1), (60_000, 1_000 * 11 + 5_000 * 9));
    assert_eq!(new.layers[1].unpacked, 56_000);
    assert_eq!(new.kept().count(), 200_000);
    assert_eq!(new.buried().unpacked, 9_000);
    let difference = compare(&old, &new);
    assert_eq!(difference.growth().unpacked, 56_000);

    for words in
        [&["diff", "weight:old.weight", "weight:new.weight"][..], &["weigh", "weight:new.weight"]]
    {
        let markdown = text(path, &[words, &["--format=markdown"]].concat());
        assert!(markdown.chars().count() < COMMENT, "{words:?}: {} bytes", markdown.len());
    }
}
