//! `--cache-mounts` and `--cache-mount-budget`.

use super::flag::FlagError;
use super::size;
use crate::error::Error;
use crate::request::{CacheMountOptions, KeptMounts};

/// What was typed, else the default.
pub fn parse(mounts: &[String], budget: Option<&str>) -> Result<CacheMountOptions, Error> {
    let mut all = CacheMountOptions::default();
    if let Some(text) = budget.filter(|text| !text.is_empty()) {
        let parsed = parse_budget(text, &all);
        (all.each, all.all) = parsed.map_err(|e| e.of("--cache-mount-budget", text))?;
    }
    let typed = mounts.iter().flat_map(|text| text.split(','));
    let typed: Vec<&str> = typed.map(str::trim).filter(|text| !text.is_empty()).collect();
    all.kept = match typed[..] {
        [] | ["auto"] => KeptMounts::All,
        ["off"] => KeptMounts::None,
        _ if typed.iter().any(|text| matches!(*text, "off" | "auto")) => {
            return Err(FlagError::new("off and auto stand alone")
                .hinted("Write off, auto, or the ids of cache mounts.")
                .of("--cache-mounts", &typed.join(",")));
        }
        _ => KeptMounts::Ids(typed.into_iter().map(str::to_owned).collect()),
    };
    Ok(all)
}

/// `EACH[,ALL]`: bytes.
fn parse_budget(text: &str, default: &CacheMountOptions) -> Result<(u64, u64), FlagError> {
    let (each, all) = match text.split_once(',') {
        Some((each, all)) => (size::parse(each)?, size::parse(all)?),
        None => (size::parse(text)?, default.all.max(size::parse(text)?)),
    };
    if each > all {
        return Err(FlagError::new("one cache mount may not be larger than all"));
    }
    Ok((each, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mounts: &[&str], budget: Option<&str>) -> Result<CacheMountOptions, Error> {
        let mounts: Vec<String> = mounts.iter().map(|text| (*text).to_owned()).collect();
        super::parse(&mounts, budget)
    }

    #[test]
    fn off_auto_or_ids() {
        let ids = |ids: &[&str]| KeptMounts::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
        for (typed, expected) in [
            (&[][..], KeptMounts::All),
            (&[""], KeptMounts::All),
            (&["auto"], KeptMounts::All),
            (&["off"], KeptMounts::None),
            (&["/root/.cache, npm", "apt"], ids(&["/root/.cache", "npm", "apt"])),
        ] {
            assert_eq!(parse(typed, None).unwrap().kept, expected, "{typed:?}");
        }
        assert!(parse(&["off,npm"], None).is_err() && parse(&["npm", "auto"], None).is_err());
    }

    #[test]
    fn one_size_or_two() {
        for (text, expected) in [
            ("", Some((1 << 30, 4 << 30))),
            ("10m", Some((10 << 20, 4 << 30))),
            ("8g", Some((8 << 30, 8 << 30))),
            ("2g,3g", Some((2 << 30, 3 << 30))),
            ("3g,2g", None),
            ("much", None),
        ] {
            let parsed = parse(&[], Some(text)).ok().map(|mounts| (mounts.each, mounts.all));
            assert_eq!(parsed, expected, "{text:?}");
        }
    }
}
