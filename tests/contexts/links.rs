//! Links never lead out of a context, nor out of the image (L-131, L-132).

use std::fs;
use std::os::unix::fs::symlink;

use super::Place;

#[test]
fn a_link_out_of_the_context_is_copied_and_never_followed() {
    let place = Place::new();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, place.context().join("absolute")).unwrap();
    symlink("../outside", place.context().join("relative")).unwrap();
    symlink("../outside/secret", place.context().join("file")).unwrap();
    let built = place.build("FROM scratch\nCOPY . /x\n", &[]).well();
    assert_eq!(built.paths(), "x x/Dockerfile x/absolute x/file x/relative");
    assert_eq!(built.file("x/relative").content, b"../outside");
    for source in ["absolute/secret", "relative/secret", "file", "relative/", "../outside/secret"] {
        let built = place.build(&format!("FROM scratch\nCOPY {source} /x\n"), &[]);
        built.failed(1, "not found", Some(2));
    }
    let mounted = "FROM scratch\nRUN --mount=source=relative,target=/m [\"/x\"]\n";
    place.build(mounted, &[]).failed(1, "not found", Some(2));
}

#[test]
fn a_link_out_of_a_tar_or_a_repository_is_never_followed() {
    let place = Place::new();
    fs::write(place.path().join("secret"), "secret").unwrap();
    symlink(place.path().join("secret"), place.context().join("link")).unwrap();
    symlink("/etc", place.context().join("etc")).unwrap();
    place.write("Dockerfile", "FROM scratch\nCOPY link /x\n");
    let tar = super::tar_of(&place.context());
    place.run(&["-"], &tar).failed(1, "not found", Some(2));
    // Nor is a Dockerfile that is such a link.
    fs::remove_file(place.context().join("Dockerfile")).unwrap();
    symlink(place.path().join("secret"), place.context().join("Dockerfile")).unwrap();
    let tar = super::tar_of(&place.context());
    place.run(&["-"], &tar).failed(2, "open Dockerfile: no such file or directory", None);
}

/// A tar of a Dockerfile and these members: name, type, target or content. Nothing is checked.
fn tar(members: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let dockerfile = [("Dockerfile", tar::EntryType::Regular, "FROM scratch\nCOPY . /\n")];
    for (name, kind, text) in dockerfile.iter().chain(members) {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_old_mut();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        let content = if *kind == tar::EntryType::Regular {
            text.as_bytes()
        } else {
            fields.linkname[..text.len()].copy_from_slice(text.as_bytes());
            b""
        };
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tar_reads_and_writes_nothing_outside() {
    use tar::EntryType::{Link, Regular, Symlink};
    let place = Place::new();
    let target = place.path().join("target");
    fs::create_dir(&target).unwrap();
    let target_text = target.to_str().unwrap();
    let file = format!("{target_text}/x");
    let up = format!("../../../../../../../../..{file}");
    let inside = file.trim_start_matches('/');
    for (members, expected) in [
        (vec![(up.as_str(), Regular, "x")], Err("in the archive leads out of it")),
        (vec![(file.as_str(), Regular, "x")], Ok(inside)),
        (vec![("d", Symlink, target_text), ("d/x", Regular, "x")], Ok(inside)),
        (vec![("f", Symlink, &file), ("f", Regular, "x")], Ok("f")),
        (vec![("h", Link, "/etc/passwd")], Err("/h is a hard link to /etc/passwd, which")),
        (vec![("h", Link, "../../../etc/passwd")], Err("in the archive leads out of it")),
    ] {
        let built = place.run(&["-"], &tar(&members));
        match expected {
            Ok(path) => assert_eq!(built.well().text(path), "x", "{members:?}"),
            Err(message) => built.failed(1, message, None),
        }
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{members:?}");
    }
}

#[test]
fn a_tar_that_ends_early_is_no_context() {
    let whole = tar(&[("f", tar::EntryType::Regular, "content")]);
    for length in [1024 + 100, 1024 + 512 + 3] {
        Place::new().run(&["-"], &whole[..length]).failed(1, "ends", None);
    }
}

#[test]
fn a_link_of_the_image_leads_nowhere_else() {
    let place = Place::new();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let inside = outside.strip_prefix("/").unwrap().display();
    place.write("f", "f");
    symlink(&outside, place.context().join("absolute")).unwrap();
    symlink(format!("../../../../..{}", outside.display()), place.context().join("up")).unwrap();
    for link in ["absolute", "up"] {
        let text = format!("FROM scratch\nCOPY {link} /\nCOPY f /{link}/\nWORKDIR /{link}/w\n");
        // The link itself can't be named as a source, since nothing is where it leads.
        let text = text.replace(&format!("COPY {link} /"), "COPY . /");
        let built = place.build(&text, &[]).well();
        assert_eq!(built.text(&format!("{inside}/f")), "f", "{link}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{link}");
    }
}
