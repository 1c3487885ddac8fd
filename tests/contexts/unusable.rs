//! Dockerfiles and ignore files that are refused, wherever they come from, without reading on.

use std::fs;

use super::web::{Page, WebServer};
use super::{Place, run};

#[test]
fn what_is_no_regular_file_is_refused_unread() {
    for name in ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"] {
        let place = Place::new();
        if name != "Dockerfile" {
            place.write("Dockerfile", "FROM scratch\n");
        }
        let path = place.context().join(name);
        let text = path.to_str().unwrap();
        for (make, found) in [
            (&["mkfifo", text][..], "a pipe"),
            (&["ln", "-s", "/dev/zero", text], "a device"),
            (&["mkdir", text], "a directory"),
        ] {
            run(place.path(), make);
            let message = format!("context/{name}: it is {found}, not a regular file");
            place.run(&["context"], b"").failed(2, &message, None);
            run(place.path(), &["rm", "-rf", text]);
        }
        place.write(name, vec![b'#'; (1 << 20) + 1]);
        let message = format!("context/{name}: it is larger than 1048576 bytes");
        place.run(&["context"], b"").failed(2, &message, None);
    }
}

#[test]
fn so_is_what_a_fetched_context_has() {
    let place = Place::new();
    let path = place.context().join("Dockerfile");
    let text = path.to_str().unwrap();
    let mut makes = vec![(vec!["mkfifo", text], "a pipe")];
    if rustix::process::geteuid().is_root() {
        makes.push((vec!["mknod", text, "c", "1", "5"], "a device"));
    } else {
        eprintln!("skipped in part: only root makes devices");
    }
    for (make, found) in makes {
        run(place.path(), &make);
        let tar = super::tar_of(&place.context());
        let message = format!("can't read Dockerfile: it is {found}, not a regular file");
        place.run(&["-"], &tar).failed(2, &message, None);
        fs::remove_file(&path).unwrap();
    }
    place.write("Dockerfile", vec![b'#'; (1 << 20) + 1]);
    let tar = super::tar_of(&place.context());
    let message = "can't read Dockerfile: it is larger than 1048576 bytes";
    place.run(&["-"], &tar).failed(2, message, None);
    let server = WebServer::start();
    server.put("/Dockerfile", Page::of(vec![b'#'; (1 << 20) + 1]));
    let message = "can't read context: it is larger than 1048576 bytes";
    place.run(&[&server.url("/Dockerfile")], b"").failed(2, message, None);
}

#[test]
fn a_dockerfile_is_text() {
    let place = Place::new();
    let message = "the Dockerfile is not UTF-8: byte 0xff at offset 15";
    let bytes = b"FROM scratch\n# \xff\n";
    place.write("Dockerfile", bytes);
    place.run(&["context"], b"").failed(1, message, Some(2));
    place.run(&["-"], bytes).failed(1, message, Some(2));
    place.write("Dockerfile", "FROM scratch\n");
    place.write(".dockerignore", b"a\n\xff\n");
    place.build("FROM scratch\nCOPY . /\n", &[]).failed(1, ".dockerignore", None);
    place.run(&["-"], b"").failed(1, "the Dockerfile cannot be empty", None);
}
