//! What a step makes or reads, by its bytes: the same content has the same key, whatever made it.

use std::io::{self, Read};

use super::files::Files;
use super::inputs::{Reading, Selection, readings};
use super::layers::{Open, StageLayer};
use super::session::Session;
use super::stage::Work;
use crate::digest::{ContentSum, Sha256Sum};
use crate::error::Error;
use crate::plan::{self, ContentKey, CopyFrom, Input, RunOp, Step};
use crate::tree::{self, Change, Changes, CopySource, Kind, TreePath};

/// The key of a layer that COPY, ADD or WORKDIR has made.
pub(super) fn layer_key(session: &Session<'_>, layer: &StageLayer) -> Result<ContentKey, Error> {
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    let hashed = with_digests(session, &changes, &*open)?;
    let content = tree::layer_key(&hashed).map_err(Error::build)?;
    Ok(plan::layer_key(&content, session.source_date_epoch))
}

/// A RUN by all but what it stands on: what it reads of other stages is known by the bytes.
pub(super) fn of_run(work: &Work<'_, '_>, step: &Step, run: &RunOp) -> Result<Sha256Sum, Error> {
    let mut inputs = Vec::new();
    for reading in readings(step)? {
        // Only ADD reads of other machines.
        let Reading::Files(selection) = reading else { continue };
        inputs.push(match selection.from {
            CopyFrom::Context | CopyFrom::Named(_) => work.inputs.content(&selection)?,
            CopyFrom::Stage(stage) => {
                let files = work.files_of(*stage)?;
                Input::Content(of_selection(work, &files, selection)?)
            }
            CopyFrom::Image(image) => Input::Definition(work.images[image.0].key()),
            CopyFrom::Empty => continue,
        });
    }
    Ok(plan::run_content(run, &inputs))
}

fn of_selection(
    work: &Work<'_, '_>,
    files: &Files,
    selection: Selection<'_>,
) -> Result<Sha256Sum, Error> {
    let Selection { what, options, .. } = selection;
    let mut tree = files.tree.clone();
    let source = CopySource { tree: &tree, what: what.clone() };
    let selected = tree::select(&source, &options).map_err(Error::build)?;
    let lacks_digest = |path: &TreePath| match tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::File(file)) => file.digest.is_none(),
        _ => false,
    };
    let paths: Vec<TreePath> = selected.into_iter().filter(lacks_digest).collect();
    let reader = files.reader(work.session, work.images, paths.iter())?;
    let sums = super::in_parallel(work.session.request.threads, &paths, |path| {
        let shown = || String::from_utf8_lossy(path).into_owned();
        reader.open(path).and_then(sum).map_err(|e| Error::build(format!("/{}: {e}", shown())))
    })?;
    for (path, sum) in paths.iter().zip(sums) {
        if let Some(Kind::File(file)) = tree.get_mut(path).map(|entry| &mut entry.kind) {
            file.digest = Some(sum);
        }
    }
    let source = CopySource { tree: &tree, what };
    tree::content_key(&source, &options).map_err(Error::build)
}

/// The same with the digests of all files. Most have one: of the context's walk, or of a table of
/// contents.
fn with_digests(session: &Session<'_>, changes: &Changes, open: &Open) -> Result<Changes, Error> {
    let lacks_digest = |change: &Change| match change {
        Change::Set(entry) => matches!(&entry.kind, Kind::File(file) if file.digest.is_none()),
        Change::Link(_) | Change::Remove | Change::Opaque => false,
    };
    let all = changes.changes.iter().enumerate();
    let positions: Vec<usize> =
        all.filter(|(_, (_, change))| lacks_digest(change)).map(|(position, _)| position).collect();
    let sums = super::in_parallel(session.request.threads, &positions, |position| {
        open(*position).and_then(sum).map_err(|e| {
            let path = String::from_utf8_lossy(&changes.changes[*position].0);
            Error::build(format!("/{path}: {e}"))
        })
    })?;
    let mut hashed = changes.clone();
    for (position, sum) in positions.into_iter().zip(sums) {
        if let Change::Set(entry) = &mut hashed.changes[position].1
            && let Kind::File(file) = &mut entry.kind
        {
            file.digest = Some(sum);
        }
    }
    Ok(hashed)
}

fn sum(file: impl Read) -> io::Result<ContentSum> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(ContentSum::from(&hasher))
}
