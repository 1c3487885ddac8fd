//! What a step makes or reads, by its bytes: the same content has the same key, whatever made it.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::layers::{Open, StageLayer};
use super::session::Session;
use crate::digest::Sha256Sum;
use crate::error::Error;
use crate::plan::{self, ContentKey};
use crate::tree::{self, Change, Changes, Kind};

/// The key of a layer that COPY, ADD or WORKDIR has made.
pub(super) fn layer_key(session: &Session<'_>, layer: &StageLayer) -> Result<ContentKey, Error> {
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    let hashed = with_digests(session, &changes, &*open)?;
    let content = tree::layer_key(&hashed).map_err(Error::build)?;
    Ok(plan::layer_key(&content, session.source_date_epoch))
}

/// The same with the digests of all files. Most have one: of the context's walk, or of a table of
/// contents.
fn with_digests(session: &Session<'_>, changes: &Changes, open: &Open) -> Result<Changes, Error> {
    let lacks_digest = |change: &Change| match change {
        Change::Set(entry) => matches!(&entry.kind, Kind::File(file) if file.digest.is_none()),
        Change::Remove | Change::Opaque => false,
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

fn sum(mut file: impl Read) -> io::Result<Sha256Sum> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sum.into()),
            Ok(length) => sum.update(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
