//! Compressed streams: their digests, that threads don't change them, and what is wrong with them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::digest::{DiffId, Digest};
use crate::layer::{
    Encoding, Expected, FinishedLayer, LayerError, LayerWriter, Tee, VerifiedLayer, decompress,
    read_ahead,
};
use crate::request::Compression;

const ALL: [Compression; 5] = [
    Compression::None,
    Compression::Gzip(1),
    Compression::Gzip(6),
    Compression::Zstd(3),
    Compression::Zstd(9),
];

/// Some text and some noise, a bit more than three blocks.
fn sample() -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::new();
    while bytes.len() < 3_300_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 62 == 0 {
            bytes.extend_from_slice(&state.to_le_bytes());
        } else {
            bytes.extend_from_slice(b"a line of text that compresses well\n");
        }
    }
    bytes
}

fn compressed(
    bytes: &[u8],
    compression: Compression,
    threads: usize,
    step: usize,
) -> (FinishedLayer, Vec<u8>) {
    let mut writer = LayerWriter::new(Vec::new(), compression, threads).unwrap();
    for piece in bytes.chunks(step) {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    decompress(bytes)?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[test]
fn threads_and_pieces_do_not_change_a_byte() {
    let bytes = sample();
    for compression in ALL {
        let (layer, blob) = compressed(&bytes, compression, 1, 1 << 16);
        assert_eq!(layer.diff_id, DiffId::of(&bytes));
        assert_eq!(layer.digest, Digest::of(&blob));
        assert_eq!((layer.size, layer.tar_size), (blob.len() as u64, bytes.len() as u64));
        assert!(unpacked(&blob).unwrap() == bytes, "{compression:?}");
        for (threads, step) in [(2, 1 << 16), (3, 12_345)] {
            let other = compressed(&bytes, compression, threads, step);
            assert!(other == (layer, blob.clone()), "{compression:?} with {threads} threads");
        }
    }
}

#[test]
fn a_gzip_member_says_neither_time_nor_system() {
    let (_, blob) = compressed(b"x", Compression::Gzip(6), 1, 1);
    assert_eq!(blob[..4], [0x1f, 0x8b, 8, 0]);
    assert_eq!((&blob[4..8], blob[9]), (&[0; 4][..], 255));
}

#[test]
fn nothing_is_a_stream_too() {
    for compression in ALL {
        let (layer, blob) = compressed(b"", compression, 2, 1);
        assert_eq!((layer.diff_id, layer.tar_size), (DiffId::of(b""), 0));
        assert_eq!(unpacked(&blob).unwrap(), b"", "{compression:?}");
    }
}

#[test]
fn programs_of_the_system_read_it() {
    let bytes = sample();
    for (program, compression) in [("gzip", Compression::Gzip(6)), ("zstd", Compression::Zstd(3))] {
        let (_, blob) = compressed(&bytes, compression, 2, 1 << 20);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("blob");
        std::fs::write(&file, blob).unwrap();
        if let Some(plain) = run(program, "-dc", &file) {
            assert!(plain == bytes, "{program}");
        }
    }
}

fn run(program: &str, argument: &str, file: &Path) -> Option<Vec<u8>> {
    let input = std::fs::File::open(file).unwrap();
    match Command::new(program).arg(argument).stdin(input).stderr(Stdio::inherit()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}");
            Some(output.stdout)
        }
        Err(error) => {
            eprintln!("SKIPPED: {program} does not run here: {error}");
            None
        }
    }
}

fn encodings(bytes: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain");
    std::fs::write(&file, bytes).unwrap();
    // Our decoder comes without an encoder.
    let xz = run("xz", "-zc", &file).map(|blob| (Encoding::Xz, blob));
    let others = [
        (Encoding::Plain, bytes.to_vec()),
        (Encoding::Gzip, gzip.finish().unwrap()),
        (Encoding::Bzip2, bzip2.finish().unwrap()),
        (Encoding::Zstd, zstd::encode_all(bytes, 1).unwrap()),
    ];
    others.into_iter().chain(xz).collect()
}

#[test]
fn every_encoding_is_known_by_its_first_bytes_and_may_be_in_parts() {
    let text = b"some text, ".repeat(1000);
    for (encoding, blob) in encodings(&text) {
        assert_eq!(Encoding::detect(&blob), encoding);
        assert_eq!(unpacked(&blob).unwrap(), text, "{encoding:?}");
        let twice = [&blob[..], &blob].concat();
        assert_eq!(unpacked(&twice).unwrap(), text.repeat(2), "{encoding:?} twice");
        if encoding != Encoding::Plain {
            for end in [blob.len() / 2, blob.len() - 1] {
                assert!(unpacked(&blob[..end]).is_err(), "{encoding:?} cut at {end}");
            }
        }
    }
    assert_eq!(unpacked(b"").unwrap(), b"");
    assert_eq!(unpacked(b"\x1f").unwrap(), b"\x1f");
}

/// Whatever a decoder leaves unread, the whole blob is compared.
#[test]
fn a_layer_that_is_not_the_expected_one_is_an_error() {
    let text = b"some text, ".repeat(1000);
    for (encoding, blob) in encodings(&text) {
        if matches!(encoding, Encoding::Bzip2 | Encoding::Xz) {
            continue;
        }
        let right = Expected {
            digest: Some(Digest::of(&blob)),
            size: Some(blob.len() as u64),
            diff_id: Some(DiffId::of(&text)),
        };
        let read = |blob: &[u8], expected: Expected| -> Result<Vec<u8>, LayerError> {
            let mut plain = Vec::new();
            VerifiedLayer::new(Cursor::new(blob.to_vec()), expected)?.read_to_end(&mut plain)?;
            Ok(plain)
        };
        assert_eq!(read(&blob, right).unwrap(), text, "{encoding:?}");
        let wrong = Digest::of(b"other");
        let error = read(&blob, Expected { digest: Some(wrong), ..right }).unwrap_err();
        let LayerError::DigestMismatch { expected, found } = error else {
            panic!("{encoding:?}: {error}");
        };
        assert_eq!((expected, found), (wrong, Digest::of(&blob)));
        let error = read(&blob, Expected { diff_id: Some(DiffId::of(b"")), ..right }).unwrap_err();
        assert!(matches!(error, LayerError::DiffIdMismatch { .. }), "{encoding:?}: {error}");
        let longer = Some(blob.len() as u64 + 1);
        let error = read(&blob, Expected { size: longer, ..right }).unwrap_err();
        assert!(matches!(error, LayerError::SizeMismatch { .. }), "{encoding:?}: {error}");
        let shorter = Some(blob.len() as u64 - 1);
        let error = read(&blob, Expected { size: shorter, ..right }).unwrap_err();
        assert!(matches!(error, LayerError::Oversized { .. }), "{encoding:?}: {error}");
    }
}

#[test]
fn a_layer_may_start_with_a_file_that_is_named_like_an_encoding() {
    let tar = raw_tar(&[("BZh9", FILE, b"x")]);
    assert_eq!(Encoding::detect(&tar), Encoding::Bzip2);
    let mut plain = Vec::new();
    let expected = Expected { diff_id: Some(DiffId::of(&tar)), ..Expected::default() };
    VerifiedLayer::new(Cursor::new(tar.clone()), expected)
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, tar);
}

#[test]
fn a_bomb_is_an_error() {
    let zeros = || io::repeat(0).take(256 << 20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut zeros(), &mut gzip).unwrap();
    // Deflate ends at 1:1032, just above the limit.
    for blob in [gzip.finish().unwrap(), zstd::encode_all(zeros(), 3).unwrap()] {
        let error = io::copy(&mut decompress(&blob[..]).unwrap(), &mut io::sink()).unwrap_err();
        let error = LayerError::from(error);
        assert!(matches!(error, LayerError::Bomb { .. }), "{error}");
    }
}

/// Found by fuzzing: an index of 2⁶³ blocks behind a stream of none.
#[test]
fn an_xz_index_that_promises_too_much_is_an_error() {
    let header = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46";
    let number = [&[0xff; 8][..], &[0x7f]].concat();
    let blob = [&header[..], &[0], &number, &[1; 64]].concat();
    let mut content = Vec::new();
    assert!(decompress(&blob[..]).unwrap().read_to_end(&mut content).is_err());
}

/// An xz stream whose first block asks for a dictionary of the size that `property` stands for.
fn xz_with_dictionary(mut blob: Vec<u8>, property: u8) -> Vec<u8> {
    // Behind the stream header: size, flags, the filter LZMA2 with one byte of properties.
    let size = (usize::from(blob[12]) + 1) * 4;
    let header = &mut blob[12..12 + size];
    assert_eq!(header[1..4], [0, 0x21, 1], "one block without its sizes");
    header[4] = property;
    let mut sum = flate2::Crc::new();
    sum.update(&header[..size - 4]);
    header[size - 4..].copy_from_slice(&sum.sum().to_le_bytes());
    blob
}

#[test]
fn a_dictionary_may_not_be_larger_than_128_mib() {
    let text = b"some text, ".repeat(1000);
    let xz = encodings(&text).into_iter().find(|(encoding, _)| *encoding == Encoding::Xz);
    let Some((_, xz)) = xz else { return };
    let with = |property| unpacked(&xz_with_dictionary(xz.clone(), property));
    // 64 MiB, 128 MiB; then 192 MiB and 4 GiB.
    for property in [28, 30] {
        assert_eq!(with(property).unwrap(), text, "{property}");
    }
    for property in [31, 40] {
        let error = LayerError::from(with(property).unwrap_err());
        assert!(matches!(error, LayerError::Memory { limit: 0x0800_0000 }), "{property}: {error}");
    }
}

#[test]
fn reading_ahead_gives_the_same_bytes_and_errors() {
    let bytes = sample();
    let mut plain = Vec::new();
    read_ahead(Cursor::new(bytes.clone())).unwrap().read_to_end(&mut plain).unwrap();
    assert!(plain == bytes);
    let cut = zstd::encode_all(&bytes[..], 1).unwrap();
    let cut = Cursor::new(cut[..cut.len() / 2].to_vec());
    let mut plain = Vec::new();
    assert!(read_ahead(decompress(cut).unwrap()).unwrap().read_to_end(&mut plain).is_err());
    assert!(!plain.is_empty() && bytes.starts_with(&plain));
}

/// Takes so many bytes and no more.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_fails_the_layer_with_its_own_error() {
    let bytes = sample().repeat(8);
    let tee =
        Tee::new([Box::new(io::sink()) as Box<dyn io::Write + Send>, Box::new(Full(100_000))]);
    let mut writer = LayerWriter::new(tee, Compression::None, 2).unwrap();
    let error = writer.write_all(&bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let mut writer = LayerWriter::new(Full(0), Compression::Gzip(6), 1).unwrap();
    writer.write_all(b"x").unwrap();
    let LayerError::Io(error) = writer.finish().map(|_| ()).unwrap_err() else { panic!() };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
