//! Where the Dockerfile and the ignore file are (L-020, L-190).

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::build::REMOTE_FILE;
use crate::context::Fetched;
use crate::context::small::{self, LIMIT, ReadError};
use crate::error::Error;
use crate::request::DockerfileSource;

/// Tried in this order where no `-f` says otherwise.
const DEFAULT_NAMES: [&str; 3] = ["Dockerfile", "dockerfile", "Containerfile"];

/// Reads the Dockerfile that `file` (`-f`) names, or the context's own, and its ignore file.
///
/// # Errors
/// There is none, or one of them can't be read.
pub fn find(
    context: &Path,
    file: Option<&Path>,
    stdin: &mut dyn Read,
) -> Result<DockerfileSource, Error> {
    let Some(file) = file else {
        return in_context(context);
    };
    if file == Path::new("-") {
        return Ok(DockerfileSource { ignore: ignore(context, None)?, ..of_stdin(stdin)? });
    }
    first_of(&with_lower_case(file), context)?.ok_or_else(|| {
        let error = not_found(file);
        let below_context = context.join(file);
        if below_context.is_file() {
            // Docker reads the path so too, though many expect the other.
            error.hinted(format!(
                "The path is relative to the current directory: write -f {}.",
                below_context.display()
            ))
        } else {
            error
        }
    })
}

/// Reads a Dockerfile alone.
///
/// # Errors
/// It can't be read, or is too large.
pub fn of_stdin(stdin: &mut dyn Read) -> Result<DockerfileSource, Error> {
    let bytes = small::bounded(stdin, LIMIT)
        .map_err(|error| Error::usage(format!("can't read standard input: {error}")))?;
    Ok(DockerfileSource { name: "stdin".to_owned(), bytes, ignore: None })
}

/// As [`find`] in a context that was brought here, whose ignore files count for nothing, as with
/// BuildKit (L-190). An absolute path is one of this machine.
///
/// # Errors
/// As there.
pub fn find_fetched(
    context: &Fetched,
    file: Option<&Path>,
    stdin: &mut dyn Read,
) -> Result<DockerfileSource, Error> {
    if file == Some(Path::new("-")) {
        return of_stdin(stdin);
    }
    if let Some(path) = file.filter(|path| path.is_absolute()) {
        let found = small::read(path, LIMIT).map_err(|error| unreadable(path, &error))?;
        return Ok(DockerfileSource {
            name: path.display().to_string(),
            bytes: found,
            ignore: None,
        });
    }
    let names: Vec<PathBuf> = match file {
        Some(_) if context.is_dockerfile => {
            return Err(Error::usage("--file: the context is a Dockerfile itself")
                .hinted("Leave --file out, or name another context."));
        }
        None if context.is_dockerfile => vec![REMOTE_FILE.into()],
        Some(file) => with_lower_case(file),
        None => DEFAULT_NAMES.iter().map(PathBuf::from).collect(),
    };
    for path in &names {
        let name = path.as_os_str().as_bytes();
        match small::read_in(&*context.source, name, LIMIT) {
            Ok(Some(bytes)) => {
                let name = path.display().to_string();
                return Ok(DockerfileSource { name, bytes, ignore: None });
            }
            Ok(None) => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    Err(not_found(file.unwrap_or(Path::new(DEFAULT_NAMES[0])))
        .hinted("Name the Dockerfile with -f FILE, relative to the context."))
}

/// The fall-back in lower case is for the default name only.
fn with_lower_case(file: &Path) -> Vec<PathBuf> {
    match file.file_name() {
        Some(name) if name == "Dockerfile" => {
            vec![file.to_owned(), file.with_file_name("dockerfile")]
        }
        _ => vec![file.to_owned()],
    }
}

fn in_context(context: &Path) -> Result<DockerfileSource, Error> {
    let paths: Vec<PathBuf> = DEFAULT_NAMES.iter().map(|name| shown(context, name)).collect();
    first_of(&paths, context)?.ok_or_else(|| {
        not_found(Path::new(DEFAULT_NAMES[0])).hinted(format!(
            "There is none in {}: name it with -f FILE, or name another folder as the context.",
            context.display()
        ))
    })
}

/// In the words that people search for.
fn not_found(file: &Path) -> Error {
    let file = file.display();
    Error::usage(format!("failed to read dockerfile: open {file}: no such file or directory"))
}

/// `context/name` as a user would type it: without a `.` in front.
fn shown(context: &Path, name: &str) -> PathBuf {
    context.strip_prefix(".").unwrap_or(context).join(name)
}

fn first_of(paths: &[PathBuf], context: &Path) -> Result<Option<DockerfileSource>, Error> {
    for path in paths {
        let bytes = match small::read(path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(unreadable(path, &error)),
        };
        let name = path.display().to_string();
        return Ok(Some(DockerfileSource { name, bytes, ignore: ignore(context, Some(path))? }));
    }
    Ok(None)
}

fn unreadable(path: &Path, error: &ReadError) -> Error {
    let message = Error::usage(format!("can't read {}: {error}", path.display()));
    match error {
        ReadError::NotRegular { found: "a pipe" } => {
            message.hinted("Pipe a Dockerfile into standard input and name it -f -.")
        }
        _ => message,
    }
}

/// `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` of the context.
fn ignore(context: &Path, dockerfile: Option<&Path>) -> Result<Option<(String, Vec<u8>)>, Error> {
    let own = dockerfile.map(|path| {
        let mut name = OsString::from(path);
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([shown(context, ".dockerignore")]) {
        match small::read(&path, LIMIT) {
            Ok(bytes) => return Ok(Some((path.display().to_string(), bytes))),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    /// The texts of the Dockerfile and of the ignore file.
    fn read(context: &Path, file: Option<&Path>) -> Result<(String, Option<String>), Error> {
        let source = find(context, file, &mut &b"FROM stdin"[..])?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ok((text(source.bytes), source.ignore.map(|(_, bytes)| text(bytes))))
    }

    #[test]
    fn the_default_names_are_tried_in_order() {
        let all = [("Dockerfile", "1"), ("dockerfile", "2"), ("Containerfile", "3")];
        for (first, (_, expected)) in all.iter().enumerate() {
            let folder = folder(&all[first..]);
            assert_eq!(read(folder.path(), None).unwrap().0, *expected);
        }
        let empty = folder(&[]);
        let error = read(empty.path(), None).unwrap_err();
        assert!(error.message.ends_with("open Dockerfile: no such file or directory"), "{error}");
        assert_eq!(error.hints.len(), 1);
    }

    #[test]
    fn a_named_file_and_standard_input() {
        let folder = folder(&[("sub/dockerfile", "sub"), ("sub/web.Dockerfile", "web")]);
        let context = folder.path();
        let named = |name: &str| read(context, Some(&context.join(name)));
        assert_eq!(named("sub/Dockerfile").unwrap().0, "sub");
        assert_eq!(named("sub/web.Dockerfile").unwrap().0, "web");
        assert!(named("sub/Web.Dockerfile").is_err());
        assert_eq!(read(context, Some(Path::new("-"))).unwrap().0, "FROM stdin");

        let error = read(context, Some(Path::new("sub/web.Dockerfile"))).unwrap_err();
        assert!(error.message.contains(": open sub/web.Dockerfile: no such file"), "{error}");
        assert!(error.hints[0].ends_with("/sub/web.Dockerfile."), "{:?}", error.hints);
        assert!(
            named("sub").unwrap_err().message.ends_with("it is a directory, not a regular file")
        );
    }

    #[test]
    fn the_dockerfile_s_own_ignore_file_replaces_the_context_s() {
        let folder = folder(&[
            ("Dockerfile", "1"),
            ("build/web", "2"),
            ("build/web.dockerignore", "own"),
            (".dockerignore", "root"),
        ]);
        let context = folder.path();
        let ignore = |file: Option<&Path>| read(context, file).unwrap().1.unwrap();
        assert_eq!(ignore(None), "root");
        assert_eq!(ignore(Some(&context.join("build/web"))), "own");
        assert_eq!(ignore(Some(Path::new("-"))), "root");
        fs::write(context.join("Dockerfile.dockerignore"), "").unwrap();
        assert_eq!(ignore(None), "", "an empty one counts");
    }

    #[test]
    fn an_ignore_file_that_would_block_or_never_end_is_refused() {
        let folder = folder(&[("Dockerfile", "1")]);
        let path = folder.path().join(".dockerignore");
        let message = || read(folder.path(), None).unwrap_err().message;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        assert!(message().ends_with("it is a pipe, not a regular file"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(message().ends_with("it is a device, not a regular file"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, vec![b'a'; (1 << 20) + 1]).unwrap();
        assert!(message().ends_with("it is larger than 1048576 bytes"));
    }

    #[test]
    fn a_context_of_dot_does_not_show() {
        assert_eq!(shown(Path::new("."), "Dockerfile"), Path::new("Dockerfile"));
        assert_eq!(shown(Path::new("./app"), "Dockerfile"), Path::new("app/Dockerfile"));
        assert_eq!(shown(Path::new("/a"), "Dockerfile"), Path::new("/a/Dockerfile"));
    }
}
