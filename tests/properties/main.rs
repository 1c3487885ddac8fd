//! Properties that take a real file system. Those of one folder are tested in it.

mod copy;
mod slow_copy;
