//! Where the local store is.

use std::path::PathBuf;

use super::environment::Environment;
use crate::error::Error;

/// `--store`, else `$PLIMSOLL_STORE`, else `$XDG_CACHE_HOME/plimsoll`, else `~/.cache/plimsoll`.
/// A process without a home keeps it in `/var/cache/plimsoll` if it is root's, which is what a
/// service has.
pub fn directory(flag: Option<&PathBuf>, environment: &Environment) -> Result<PathBuf, Error> {
    if let Some(path) = flag.cloned().or_else(|| environment.path("PLIMSOLL_STORE")) {
        return Ok(path);
    }
    // The XDG specification has relative paths ignored.
    if let Some(cache) = environment.path("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Ok(cache.join("plimsoll"));
    }
    if let Some(home) = environment.path("HOME") {
        return Ok(home.join(".cache/plimsoll"));
    }
    if environment.root {
        return Ok(PathBuf::from("/var/cache/plimsoll"));
    }
    Err(Error::usage("no place for the local store: HOME is not set")
        .hinted("Name a folder with --store DIR."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_set_wins() {
        let home = ("HOME", "/home/u");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        let own = ("PLIMSOLL_STORE", "store");
        for (variables, expected) in [
            (&[home, xdg, own][..], "store"),
            (&[home, xdg], "/xdg/plimsoll"),
            (&[home, ("XDG_CACHE_HOME", "relative")], "/home/u/.cache/plimsoll"),
            (&[home, ("PLIMSOLL_STORE", "")], "/home/u/.cache/plimsoll"),
        ] {
            let environment = Environment::of(variables);
            assert_eq!(directory(None, &environment), Ok(PathBuf::from(expected)));
            let flag = PathBuf::from("flag");
            assert_eq!(directory(Some(&flag), &environment), Ok(flag.clone()));
        }
        let mut homeless = Environment::of(&[]);
        assert!(directory(None, &homeless).is_err());
        homeless.root = true;
        assert_eq!(directory(None, &homeless), Ok(PathBuf::from("/var/cache/plimsoll")));
    }
}
