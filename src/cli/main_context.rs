//! CONTEXT and `--file`: a folder, standard input, or something on another machine (L-020, L-083).

use std::io::Read;
use std::path::Path;

use super::args::BuildArgs;
use super::build_context::{self, Place};
use super::dockerfile;
use super::flag::FlagError;
use crate::build::{Fetching, fetch_context, unpack_context};
use crate::error::Error;
use crate::layer;
use crate::request::{DockerfileSource, MainContext, RemoteContext};

/// Finds the context and reads the Dockerfile. What is not here is brought here.
///
/// # Errors
/// There is no such context, it can't be reached, or has no Dockerfile.
pub fn load(
    args: &BuildArgs,
    fetching: &Fetching<'_>,
    stdin: &mut (dyn Read + Send),
    commit_times: bool,
) -> Result<(MainContext, DockerfileSource), Error> {
    let file = args.file.as_deref();
    if args.context == Path::new("-") {
        return from_stdin(file, fetching, stdin);
    }
    let place = match args.context.to_str() {
        Some(text) => build_context::of_text(text),
        None if args.context.is_dir() => Ok(Place::Directory(args.context.clone())),
        None => Err(FlagError::new(format!("{} is not a directory", args.context.display()))),
    };
    match place.map_err(|error| error.of_flag_alone("CONTEXT"))? {
        Place::Directory(path) => {
            let dockerfile = dockerfile::find(&path, file, stdin)?;
            Ok((MainContext::Directory(path), dockerfile))
        }
        Place::Remote(mut remote) => {
            if let RemoteContext::Git(url) = &mut remote {
                url.commit_times |= commit_times;
            }
            let fetched = fetch_context(&remote, fetching)?;
            let dockerfile = dockerfile::find_fetched(&fetched, file, stdin)?;
            Ok((MainContext::Fetched(fetched), dockerfile))
        }
    }
}

/// A tar, or a Dockerfile alone: its first bytes tell.
fn from_stdin(
    file: Option<&Path>,
    fetching: &Fetching<'_>,
    stdin: &mut (dyn Read + Send),
) -> Result<(MainContext, DockerfileSource), Error> {
    if file == Some(Path::new("-")) {
        return Err(Error::usage("can't use stdin for both build context and dockerfile"));
    }
    let mut head = Vec::new();
    stdin
        .take(layer::ARCHIVE_HEAD)
        .read_to_end(&mut head)
        .map_err(|error| Error::usage(format!("can't read standard input: {error}")))?;
    let is_archive = layer::is_archive(&head);
    let mut all = head.chain(stdin);
    if is_archive {
        let fetched = unpack_context(all, fetching)?;
        let dockerfile = dockerfile::find_fetched(&fetched, file, &mut std::io::empty())?;
        return Ok((MainContext::Fetched(fetched), dockerfile));
    }
    if file.is_some() {
        return Err(Error::usage(
            "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
        )
        .hinted("Leave --file out, or pipe a tar with the whole context."));
    }
    Ok((MainContext::Empty, dockerfile::of_stdin(&mut all)?))
}
