//! The file tree of an image as data: the table of contents of its layers. **Pure.**

mod entry;

pub use entry::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};
