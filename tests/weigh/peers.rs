//! dive's figures: those it states for its test image, and some worked out by hand.

use std::path::Path;

use super::images::{self, Layer, file};
use super::{bytes_of, json_of};

/// The assertions of dive's own tests (`dive/image/docker`, `analyzer_test.go`).
#[test]
fn dive_s_test_image_has_dive_s_figures() {
    let Some(corpus) = std::env::var_os("PLIMSOLL_CORPUS") else {
        eprintln!("skipped: PLIMSOLL_CORPUS does not say where dive's test image is");
        return;
    };
    let archive = Path::new(&corpus).join("size-images/test-docker-image.tar");
    let name = format!("docker-archive:{}", archive.display());
    let folder = tempfile::tempdir().unwrap();
    let weight = json_of(folder.path(), &["weigh", &name]);
    let figures = &weight["efficiency"];
    assert_eq!(figures["image"], 1_220_598);
    assert_eq!(figures["user"], 66_237);
    assert_eq!(figures["wasted"], 32_025);
    assert!((figures["score"].as_f64().unwrap() - 0.984_421_213_418_430_9).abs() < 1e-12);
    assert!((figures["user_wasted"].as_f64().unwrap() - 0.483_491_100_140_404_9).abs() < 1e-12);
    // dive counts all copies of a path as waste, also the one that is used.
    assert_eq!(weight["size"]["unpacked"], 1_220_598);
    assert!(weight["buried"]["unpacked"].as_u64() <= figures["wasted"].as_u64());
}

/// The shape of dive's image, small enough to count by hand.
#[test]
fn an_image_of_the_same_shape_is_counted_by_hand() {
    let some = bytes_of(64, 1);
    let run = |members| Layer::new("RUN x", members);
    let layers = vec![
        Layer::new("ADD base", vec![file("bin/sh", &bytes_of(1000, 2))]),
        Layer::new("ADD some", vec![file("some.txt", &some)]),
        run(vec![file("ex/one", &some)]),
        // chmod
        run(vec![file("ex/one", &some)]),
        run(vec![file("ex/two", &some)]),
        // mv
        run(vec![file("ex/.wh.two", b""), file("saved", &some)]),
        // rm -rf
        run(vec![file(".wh.ex", b"")]),
        run(vec![file("saved", &some)]),
    ];
    let folder = tempfile::tempdir().unwrap();
    images::write(&folder.path().join("image"), layers);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let figures = &weight["efficiency"];
    // bin/sh 1000, some.txt 64, ex/one 64 + 64, ex/two 64 + 0, saved 64 + 64, ex 64 (what is left
    // in it when it is removed).
    assert_eq!(figures["found"], 1000 + 64 + 128 + 64 + 128 + 64);
    assert_eq!(figures["least"], 1000 + 64 + 64 + 64 + 64);
    assert_eq!(figures["wasted"], 128 + 64 + 128);
    assert_eq!((&figures["image"], &figures["user"]), (&(1000 + 6 * 64).into(), &(6 * 64).into()));
    // What could really be saved: both ex/one, ex/two, and the first saved; some.txt stays.
    assert_eq!(weight["buried"]["unpacked"], 4 * 64);
}
