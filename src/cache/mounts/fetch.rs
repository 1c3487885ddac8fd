//! Bringing a cache mount back from the places that `--cache-from` names.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::place::Place;
use super::super::remote::RemoteCache;
use super::manifest::{Manifest, MountName, Pack};
use super::scan::{ChangeTime, Check};
use super::unpack::unpack;

/// What came back, and what is known of it.
#[derive(Clone, Debug)]
pub struct RestoredMount {
    pub(super) place: Arc<Place>,
    pub(super) manifest: Manifest,
    /// When it was whole; what changed later has another change time.
    pub(super) since: ChangeTime,
    pub took: Duration,
}

impl RestoredMount {
    /// How the log names the place that had it.
    #[must_use]
    pub fn from(&self) -> String {
        self.place.name()
    }

    /// Bytes of its files.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.manifest.files.size()
    }

    /// Bytes of the packs that they were in.
    #[must_use]
    pub fn compressed(&self) -> u64 {
        self.manifest.packs.iter().map(|pack| pack.size).sum()
    }
}

impl RemoteCache {
    /// Fills `directory`, which is empty, with what the cache mount was when it was last saved in the
    /// first place that has all of it. Where none has, the directory stays empty.
    ///
    /// # Errors
    /// When `check` says to stop, or the directory can't be emptied.
    pub fn restore_mount(
        &self,
        name: &MountName,
        directory: &Path,
        check: Check<'_>,
    ) -> io::Result<Option<RestoredMount>> {
        for place in self.places() {
            let begun = Instant::now();
            let Some(manifest) = newest(place, name) else { continue };
            if manifest.files.is_empty() {
                return Ok(None);
            }
            match unpack(&manifest, directory, &|pack, take| read(place, pack, take), check) {
                Ok(since) => {
                    let (place, took) = (Arc::clone(place), begun.elapsed());
                    return Ok(Some(RestoredMount { place, manifest, since, took }));
                }
                Err(error) => {
                    check()?;
                    place.fault(&format!("a cache mount can't be restored: {error}"));
                    empty(directory)?;
                }
            }
        }
        Ok(None)
    }
}

/// The last manifest that was saved in `place`, if it is whole.
pub(super) fn newest(place: &Place, name: &MountName) -> Option<Manifest> {
    let prefix = name.prefix();
    let decode = |_: &_, bytes: &mut dyn Read| Manifest::decode(bytes, name);
    let manifest = place.read(|backend| backend.newest(&prefix), decode)?;
    if manifest.is_none() {
        place.fault("the list of a cache mount's files is damaged");
    }
    manifest
}

fn read(
    place: &Place,
    pack: &Pack,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let key = [pack.key()];
    let read = place.read(|backend| backend.find(&key), |_, bytes| take(bytes));
    let read = read.unwrap_or_else(|| Err(io::Error::other("it is not there any more")));
    read.map_err(|error| {
        place.lose(&key[0]);
        io::Error::other(format!("{}: {error}", key[0].0))
    })
}

fn empty(directory: &Path) -> io::Result<()> {
    fs::remove_dir_all(directory)?;
    fs::create_dir(directory)
}
