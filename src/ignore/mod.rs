//! `.dockerignore` patterns (L-190 to L-195), and the globs of COPY. **Pure.**
//!
//! The rules are those of Moby's `patternmatcher` as a walk uses it: the last pattern that applies
//! wins, `!` takes back, and what holds for a directory holds below it. They are not Git's:
//! `*.md` does not match `docs/a.md`, and `/a` is the same as `a`.

mod glob;
mod pattern;
mod patterns;

pub use glob::{BadPattern, Glob};
pub(crate) use patterns::clean;
pub use patterns::{IgnoreError, Matched, Patterns};
