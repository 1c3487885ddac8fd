//! The inputs `cache`, `cache-from` and `cache-to`, as flags.

use crate::github::list::fields;

const GITHUB: &str = "type=gha";
/// Types that BuildKit has besides.
const ELSEWHERE: [&str; 3] = ["type=azblob", "type=inline", "type=s3"];

/// The `cache` input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    Auto,
    Read,
    Off,
}

/// `--cache-from` and `--cache-to`. What is the default is typed too, so that its absence is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Caches {
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// What is left out, and what takes its place.
    pub left_out: Vec<String>,
}

impl Caches {
    pub fn of(cache: Cache, from: Vec<String>, to: Vec<String>) -> Self {
        let mut caches = Self { from, to, left_out: Vec::new() };
        if caches.from.is_empty() && caches.to.is_empty() {
            caches.from.push(GITHUB.to_owned());
            caches.to.push(GITHUB.to_owned());
        }
        caches.replace_others();
        match cache {
            Cache::Auto => caches,
            Cache::Read => Self { to: Vec::new(), ..caches },
            Cache::Off => Self::default(),
        }
    }

    /// Who had a cache has one still: GitHub's takes the place of those that are none here.
    fn replace_others(&mut self) {
        let Self { from, to, left_out } = self;
        for (input, specs) in [("cache-from", &mut *from), ("cache-to", &mut *to)] {
            let all = specs.len();
            specs.retain(|spec| {
                let kind = fields(spec).into_iter().find(|field| ELSEWHERE.contains(&&**field));
                left_out
                    .extend(kind.iter().map(|kind| format!("{input}: {kind} is no cache here")));
                kind.is_none()
            });
            if specs.is_empty() && all > 0 {
                left_out.push(format!("{input}: {GITHUB} takes its place"));
                specs.push(GITHUB.to_owned());
            }
        }
        // What was saved in place of another is to be found again.
        let has_github = |specs: &[String]| specs.iter().any(|spec| spec == GITHUB);
        if !left_out.is_empty() && has_github(to) && !has_github(from) {
            from.push(GITHUB.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cache: Cache, from: &[&str], to: &[&str]) -> (Vec<String>, Vec<String>, usize) {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let Caches { from, to, left_out } = Caches::of(cache, owned(from), owned(to));
        (from, to, left_out.len())
    }

    #[test]
    fn github_s_cache_is_the_default_and_takes_the_place_of_what_is_none() {
        let (local, registry) = ("type=local,dest=c", "type=registry,ref=a/b:c");
        for (from, to, expected) in [
            (&[][..], &[][..], (&[GITHUB][..], &[GITHUB][..], 0)),
            (&[registry], &[], (&[registry], &[], 0)),
            (&[registry], &["type=inline"], (&[registry, GITHUB], &[GITHUB], 2)),
            (&[registry], &["type=inline", local], (&[registry], &[local], 1)),
            (&["type=s3,region=a"], &["type=s3,region=a"], (&[GITHUB], &[GITHUB], 4)),
            (&["type=azblob,name=a", registry], &[local], (&[registry], &[local], 1)),
            (&["type=s3,region=a"], &[local, GITHUB], (&[GITHUB], &[local, GITHUB], 2)),
            (&[GITHUB], &["type=azblob,name=a"], (&[GITHUB], &[GITHUB], 2)),
        ] {
            let strings =
                |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            let (read, saved, told) = expected;
            assert_eq!(of(Cache::Auto, from, to), (strings(read), strings(saved), told));
        }
        assert_eq!(of(Cache::Read, &[], &[]), (vec![GITHUB.to_owned()], Vec::new(), 0));
        assert_eq!(of(Cache::Off, &[registry], &[local]), (Vec::new(), Vec::new(), 0));
    }
}
