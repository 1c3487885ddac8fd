use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn entry(path: &str, kind: TarKind) -> TarEntry {
    let path = path.as_bytes().into();
    TarEntry { path, kind, mode: 0o644, uid: 0, gid: 0, mtime: 1, xattrs: Xattrs::new() }
}

fn file(path: &str, content: &[u8]) -> (TarEntry, Vec<u8>) {
    (entry(path, TarKind::File { size: content.len() as u64 }), content.to_vec())
}

fn write(members: &[(TarEntry, Vec<u8>)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in members {
        tar.entry(entry).unwrap();
        tar.body().write_all(content).unwrap();
        tar.end_body().unwrap();
    }
    tar.finish().unwrap()
}

fn read(bytes: &[u8]) -> io::Result<Vec<(TarEntry, Vec<u8>)>> {
    let mut tar = TarReader::new(bytes);
    let mut members = Vec::new();
    while let Some(entry) = tar.next()? {
        let mut content = Vec::new();
        tar.body().read_to_end(&mut content)?;
        members.push((entry, content));
    }
    Ok(members)
}

/// One of each kind, and all that needs PAX.
fn samples() -> Vec<(TarEntry, Vec<u8>)> {
    let long = "directory/".repeat(25);
    let none = Vec::new;
    let mut special = file("xattrs", b"x");
    special.0.xattrs.insert(
        b"security.capability".as_slice().into(),
        b"\x01\x00\x00\x02\n\n0 path=evil\n\x00\xff".as_slice().into(),
    );
    special.0.xattrs.insert(b"user.name".as_slice().into(), b"value".as_slice().into());
    let mut large = file("large numbers", b"y");
    large.0.uid = 3_000_000;
    large.0.gid = u32::MAX;
    large.0.mtime = 1 << 34;
    let mut old = file("before 1970", b"z");
    old.0.mtime = -5;
    let mut modes = file("modes", b"");
    modes.0.mode = 0o7755;
    vec![
        (entry("./", TarKind::Directory), none()),
        (entry("directory/", TarKind::Directory), none()),
        file("file", &[7; 1000]),
        file("block", &[8; 512]),
        file(&format!("{}file", "ninety/".repeat(14)), b"fits prefix and name"),
        file(&format!("{long}file"), b"needs PAX"),
        file("ünïcode", b"needs PAX too"),
        (entry(&format!("{}/", "d".repeat(120)), TarKind::Directory), none()),
        (entry("link", TarKind::Symlink(b"../to/somewhere".as_slice().into())), none()),
        (entry("long link", TarKind::Symlink(long.as_bytes().into())), none()),
        (entry("hard link", TarKind::HardLink(b"file".as_slice().into())), none()),
        (entry("null", TarKind::CharDevice { major: 1, minor: 3 }), none()),
        (entry("disk", TarKind::BlockDevice { major: 259, minor: 1_000_000 }), none()),
        (entry("fifo", TarKind::Fifo), none()),
        special,
        large,
        old,
        modes,
    ]
}

#[test]
fn what_is_written_is_read_back() {
    let mut latin = file("", b"not UTF-8");
    latin.0.path = b"caf\xe9".as_slice().into();
    let mut members = samples();
    members.push(latin);
    assert_eq!(read(&write(&members)).unwrap(), members);
}

#[test]
fn a_member_that_fits_ustar_has_no_records_and_nothing_of_the_machine() {
    let bytes = write(&[file("etc/hostname", b"name\n")]);
    assert_eq!(bytes.len(), 512 + 512 + 1024);
    let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
    assert_eq!(text(0..13), "etc/hostname\0");
    assert_eq!(text(100..124), "0000644\x000000000\x000000000\0");
    assert_eq!(text(124..148), "00000000005\x0000000000001\0");
    assert_eq!(text(156..157), "0");
    assert_eq!(text(257..265), "ustar\x0000");
    assert!(bytes[265..329].iter().all(|byte| *byte == 0), "user and group names");
    assert_eq!(text(329..345), "0000000\x000000000\0");
}

/// A value with line feeds must neither end its record nor hide the ones behind it: a reader that
/// misses `size` takes the body for headers.
#[test]
fn line_feeds_in_pax_values_hide_nothing() {
    let inner = write(&[file("smuggled", b"evil")]);
    let mut records = Vec::new();
    pax::append(&mut records, b"SCHILY.xattr.security.capability", b"a\n7 b=c\n\n");
    pax::append(&mut records, b"size", inner.len().to_string().as_bytes());
    let mut bytes = write(&[(entry("plain", TarKind::File { size: 0 }), Vec::new())]);
    let tail = bytes.split_off(512);
    let mut head = ::tar::Header::new_ustar();
    head.set_entry_type(::tar::EntryType::XHeader);
    head.set_size(records.len() as u64);
    head.set_cksum();
    let mut archive = head.as_bytes().to_vec();
    archive.extend_from_slice(&records);
    archive.resize(1024, 0);
    archive.extend_from_slice(&bytes);
    archive.extend_from_slice(&inner);
    archive.extend_from_slice(&tail);
    let members = read(&archive).unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    assert_eq!(&*members[0].0.path, b"plain");
    assert_eq!(members[0].1, inner);
    let value = members[0].0.xattrs.values().next().unwrap();
    assert_eq!(&**value, b"a\n7 b=c\n\n");
    let listed = python(
        "import sys,tarfile,io\nfor m in tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())):\n print(m.name, m.size)",
        &archive,
    );
    if let Some(listed) = listed {
        assert_eq!(listed.trim(), format!("plain {}", inner.len()));
    }
}

#[test]
fn malformed_headers_are_errors() {
    let good = write(&[file("name", b"content")]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let sum: u64 = (0..512)
            .map(|at| if (148..156).contains(&at) { 32 } else { u64::from(bytes[at]) })
            .sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        read(&bytes).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(&|_| {}), Ok(()));
    type Spoil<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(Spoil, &str); 5] = [
        (&|bytes| bytes[156] = b'M', "unknown type 'M'"),
        (&|bytes| bytes[156] = b'2', "no link target"),
        (&|bytes| bytes[0..4].fill(0), "no path"),
        (&|bytes| bytes[124..135].copy_from_slice(b"0000000000x"), "the size of a header"),
        (&|bytes| bytes[108..116].fill(0xff), "the uid of a header"),
    ];
    for (change, expected) in cases {
        let error = with(change).unwrap_err();
        assert!(error.contains(expected), "{error} is not about {expected}");
    }
    let mut bad = good.clone();
    bad[0] ^= 1;
    assert!(read(&bad).unwrap_err().to_string().contains("checksum"));
}

#[test]
fn malformed_records_are_errors() {
    for records in [
        &b"5 a=b\n"[..],
        b"999 a=b\n",
        b"6 a=bc\n",
        b"x a=b\n",
        b"6 ab=\n\n",
        b"a=b\n",
        b"+6 a=b\n",
        b"6 =ab\n",
        b"184467440737095516150 a=b\n",
    ] {
        assert!(pax::Records::parse(records).is_err(), "{:?}", String::from_utf8_lossy(records));
    }
    let records = pax::Records::parse(b"6 a=b\n8 k=a=b\n6 a=c\n5 d=\n").unwrap();
    assert_eq!(records.get(b"a"), Some(&b"c"[..]));
    assert_eq!(records.get(b"k"), Some(&b"a=b"[..]));
    assert_eq!(records.get(b"d"), None);
}

#[test]
fn the_length_of_a_record_counts_its_own_digits() {
    for length in (80..120).chain(970..1010) {
        let mut bytes = Vec::new();
        pax::append(&mut bytes, b"key", &vec![b'v'; length]);
        let records = pax::Records::parse(&bytes).unwrap();
        assert_eq!(records.get(b"key").unwrap().len(), length);
    }
}

#[test]
fn times_lose_their_fraction_towards_the_past() {
    for (value, expected) in
        [("12", 12), ("12.9", 12), ("-12", -12), ("-12.0", -12), ("-12.5", -13), ("0.1", 0)]
    {
        let mut bytes = Vec::new();
        pax::append(&mut bytes, b"mtime", value.as_bytes());
        let records = pax::Records::parse(&bytes).unwrap();
        assert_eq!(records.seconds("mtime").unwrap(), Some(expected), "{value}");
    }
}

#[test]
fn numbers_are_octal_or_base_256() {
    let cases: [(&[u8], Option<i64>); 9] = [
        (b"0000644\0", Some(0o644)),
        (b"   644 \0", Some(0o644)),
        (b"\0\0\0\0\0\0\0\0", Some(0)),
        (b"        ", Some(0)),
        (b"\x80\0\0\0\0\x2d\xc6\xc0", Some(3_000_000)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfb", Some(-5)),
        (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(0x2_0000_0000)),
        (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
        (b"00009\0\0\0", None),
    ];
    for (field, expected) in cases {
        assert_eq!(fields::number("field", field).ok(), expected, "{field:?}");
    }
}

#[test]
fn an_archive_that_is_cut_is_an_error_except_behind_a_member() {
    let members = samples();
    let bytes = write(&members);
    let mut whole = 0;
    for end in 0..bytes.len() - 1024 {
        if let Ok(read) = read(&bytes[..end]) {
            let padding = &bytes[end..end.next_multiple_of(512)];
            assert!(padding.iter().all(|byte| *byte == 0), "cut at {end}");
            assert_eq!(read, members[..read.len()]);
            whole += usize::from(padding.is_empty());
        }
    }
    assert_eq!(whole, members.len());
}

#[test]
fn limits_hold() {
    let long = vec![b'a'; MAX_PATH + 1];
    let mut member = file("", b"");
    member.0.path = long.into();
    assert!(read(&write(&[member])).unwrap_err().to_string().contains("a path of 4097 bytes"));
    let mut member = file("records", b"");
    let value = vec![b'v'; MAX_EXTENSION as usize];
    member.0.xattrs.insert(b"user.large".as_slice().into(), value.into());
    let error = read(&write(&[member])).unwrap_err();
    assert!(error.to_string().contains("where the limit is 1048576"), "{error}");
}

fn python(script: &str, input: &[u8]) -> Option<String> {
    run("python3", &["-c", script], Path::new("/"), input)
        .map(|output| String::from_utf8(output).unwrap())
}

/// Runs a program with `input`; `None`, and a word about it, where it is not installed.
fn run(program: &str, arguments: &[&str], directory: &Path, input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: {program} does not run here: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that does not read all of it is judged by its answer.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(output.stdout)
}

#[test]
fn gnu_tar_and_python_read_what_is_written() {
    let members = samples();
    let bytes = write(&members);
    let script = "
import sys, tarfile, io
for m in tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())):
    print(m.name, m.type.decode(), oct(m.mode)[2:], m.uid, m.gid, int(m.mtime), m.size,
          m.linkname, m.devmajor, m.devminor, sep='|')";
    if let Some(listed) = python(script, &bytes) {
        let expected: String = members
            .iter()
            .map(|(entry, content)| {
                let (flag, link, major, minor) = match &entry.kind {
                    TarKind::File { .. } => ('0', "", 0, 0),
                    TarKind::HardLink(link) => ('1', std::str::from_utf8(link).unwrap(), 0, 0),
                    TarKind::Symlink(link) => ('2', std::str::from_utf8(link).unwrap(), 0, 0),
                    TarKind::CharDevice { major, minor } => ('3', "", *major, *minor),
                    TarKind::BlockDevice { major, minor } => ('4', "", *major, *minor),
                    TarKind::Directory => ('5', "", 0, 0),
                    TarKind::Fifo => ('6', "", 0, 0),
                };
                let path = String::from_utf8(entry.path.to_vec()).unwrap();
                let path = path.strip_suffix('/').unwrap_or(&path);
                let TarEntry { mode, uid, gid, mtime, .. } = entry;
                let size = content.len();
                format!(
                    "{path}|{flag}|{mode:o}|{uid}|{gid}|{mtime}|{size}|{link}|{major}|{minor}\n"
                )
            })
            .collect();
        assert_eq!(listed, expected);
    }
    if let Some(listed) =
        run("tar", &["-tf", "-", "--quoting-style=literal"], Path::new("/"), &bytes)
    {
        let expected: Vec<u8> =
            members.iter().flat_map(|(entry, _)| [&entry.path, &b"\n"[..]].concat()).collect();
        assert_eq!(String::from_utf8_lossy(&listed), String::from_utf8_lossy(&expected));
    }
}

/// Makes a directory with a long name, links, a sparse file, and lets GNU tar pack it.
#[test]
fn what_gnu_tar_writes_is_read_in_all_its_formats() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let long = "l".repeat(140);
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/file"), b"content").unwrap();
    fs::write(root.join("d").join(&long), b"long").unwrap();
    fs::hard_link(root.join("d/file"), root.join("d/hard")).unwrap();
    std::os::unix::fs::symlink(&long, root.join("d/symbolic")).unwrap();
    let sparse = fs::File::create(root.join("d/sparse")).unwrap();
    let mut expanded = vec![0; 3 << 20];
    for at in 0..30_usize {
        use std::os::unix::fs::FileExt as _;
        // More parts than the four of the old header.
        sparse.write_all_at(&[at as u8 + 1; 5000], (at as u64) * 100_000).unwrap();
        expanded[at * 100_000..][..5000].fill(at as u8 + 1);
    }
    sparse.set_len(3 << 20).unwrap();
    let formats: [&[&str]; 7] = [
        &["--format=gnu"],
        &["--format=posix"],
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=posix", "--pax-option=globexthdr.name=g,comment:=all"],
    ];
    for format in formats {
        let arguments = [format, &["--sort=name", "--owner=0:5", "--mtime=@7.5", "-cf", "-", "d"]];
        let Some(archive) = run("tar", &arguments.concat(), root, b"") else { return };
        let members = read(&archive).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        let names: Vec<_> =
            members.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path)).collect();
        let expected = ["d/", "d/file", "d/hard", &format!("d/{long}"), "d/sparse", "d/symbolic"];
        assert_eq!(names, expected, "{format:?}");
        let content = |index: usize| &members[index].1;
        assert_eq!(content(1), b"content");
        assert_eq!(members[2].0.kind, TarKind::HardLink(b"d/file".as_slice().into()));
        assert_eq!(content(3), b"long");
        assert!(*content(4) == expanded, "{format:?}");
        assert_eq!(members[4].0.kind, TarKind::File { size: 3 << 20 });
        assert_eq!(members[5].0.kind, TarKind::Symlink(long.as_bytes().into()));
        assert!(members.iter().all(|(entry, _)| entry.uid == 5 || entry.uid == 0));
        assert!(members.iter().all(|(entry, _)| entry.mtime == 7));
    }
}

#[test]
fn what_python_writes_is_read() {
    let script = "
import sys, tarfile, io
for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=format) as tar:
        m = tarfile.TarInfo('a/' * 40 + 'b' * 60); m.size = 3; m.mtime = 5
        tar.addfile(m, io.BytesIO(b'abc'))
        if format != tarfile.USTAR_FORMAT:
            m = tarfile.TarInfo('c' * 300); m.uid = 1 << 31; m.mtime = -1
            tar.addfile(m)
    data = out.getvalue()
    sys.stdout.buffer.write(len(data).to_bytes(8, 'big') + data)";
    let Some(output) = run("python3", &["-c", script], Path::new("/"), b"") else { return };
    let mut rest = &output[..];
    for count in [1, 2, 2] {
        let (length, data) = rest.split_at(8);
        let length = u64::from_be_bytes(length.try_into().unwrap()) as usize;
        let members = read(&data[..length]).unwrap();
        assert_eq!(members.len(), count);
        assert_eq!(
            *members[0].0.path,
            *format!("{}{}", "a/".repeat(40), "b".repeat(60)).as_bytes()
        );
        assert_eq!(members[0].1, b"abc");
        if let Some((second, _)) = members.get(1) {
            assert_eq!((second.path.len(), second.uid, second.mtime), (300, 1 << 31, -1));
        }
        rest = &data[length..];
    }
    assert!(rest.is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
        // With a right checksum more of the reader is reached.
        if bytes.len() >= 512 {
            bytes[156] = b"0123456xgLKS7\0"[usize::from(bytes[156]) % 14];
            bytes[124..136].copy_from_slice(b"00000000700\0");
            let sum: u64 = (0..512)
                .map(|at| if (148..156).contains(&at) { 32 } else { u64::from(bytes[at]) })
                .sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_makes_the_reader_panic(at in 0_usize..20_000, byte: u8) {
        let mut bytes = write(&samples());
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
