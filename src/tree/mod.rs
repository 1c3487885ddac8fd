//! The file tree of an image as data: the table of contents of its layers. **Pure.**
//!
//! COPY, ADD and WORKDIR are functions from a [`Tree`] to the [`Changes`] of one layer, so no base
//! image has to be unpacked for them.

mod chmod;
mod copy;
mod draft;
mod entry;
mod passwd;
mod pick;
mod resolve;
mod select;
#[allow(clippy::module_inception)]
mod tree;
mod workdir;

pub use chmod::{Chmod, ChmodError};
pub use copy::{Copied, CopyError, CopyOptions, copy};
pub use entry::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};
pub use passwd::{MAX_ACCOUNT_FILE, Owner, User, UserError};
pub use pick::{CopySource, What, named_paths};
pub use resolve::{ResolveError, clean_path};
pub use select::{KeyError, content_key, entry_key, layer_key, select};
pub use tree::Tree;
pub use workdir::workdir;
