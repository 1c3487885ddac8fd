//! `--annotation [LEVEL[PLATFORM],…:]NAME=VALUE`.

use super::flag::FlagError;
use crate::platform::Platform;
use crate::request::{Annotation, AnnotationLevel};

const LEVELS: [(&str, AnnotationLevel); 4] = [
    ("manifest", AnnotationLevel::Manifest),
    ("manifest-descriptor", AnnotationLevel::ManifestDescriptor),
    ("index", AnnotationLevel::Index),
    ("index-descriptor", AnnotationLevel::IndexDescriptor),
];

/// One for each level that is named; without one it is the manifest's.
pub fn parse(text: &str) -> Result<Vec<Annotation>, FlagError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(FlagError::new("expected NAME=VALUE"));
    };
    let (levels, name) = name.split_once(':').unwrap_or(("manifest", name));
    if name.is_empty() {
        return Err(FlagError::new("the name is empty"));
    }
    let of = |level| {
        let (level, platform) = level_of(level)?;
        Ok(Annotation { level, platform, name: name.to_owned(), value: value.to_owned() })
    };
    levels.split(',').map(of).collect()
}

/// `manifest[linux/amd64]`
fn level_of(text: &str) -> Result<(AnnotationLevel, Option<Platform>), FlagError> {
    let (name, platform) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, platform)) => (name, Some(platform)),
        None => (text, None),
    };
    let Some((_, level)) = LEVELS.iter().find(|(known, _)| *known == name) else {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        return Err(FlagError::new(format!("unknown annotation level {name:?}"))
            .hinted(format!("The levels are {names}.")));
    };
    let is_of_index = matches!(level, AnnotationLevel::Index | AnnotationLevel::IndexDescriptor);
    if platform.is_some() && is_of_index {
        return Err(FlagError::new(format!("{name} is of all platforms, not of one"))
            .hinted("Write manifest[PLATFORM]:NAME=VALUE, or index:NAME=VALUE."));
    }
    let platform = platform.map(str::parse).transpose().map_err(FlagError::new)?;
    Ok((*level, platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_have_levels_and_platforms() {
        use AnnotationLevel::{Index, IndexDescriptor, Manifest, ManifestDescriptor};
        let arm = || Some("linux/arm64".parse().unwrap());
        for (text, levels, name, value) in [
            ("a.b=c", vec![(Manifest, None)], "a.b", "c"),
            ("manifest:a=b=c", vec![(Manifest, None)], "a", "b=c"),
            ("manifest:a=http://x", vec![(Manifest, None)], "a", "http://x"),
            ("a=b:c", vec![(Manifest, None)], "a", "b:c"),
            ("a=", vec![(Manifest, None)], "a", ""),
            ("index:a=b", vec![(Index, None)], "a", "b"),
            ("manifest[linux/arm64]:a=b", vec![(Manifest, arm())], "a", "b"),
            (
                "manifest-descriptor[linux/arm64/v8],index,index-descriptor:a=b",
                vec![(ManifestDescriptor, arm()), (Index, None), (IndexDescriptor, None)],
                "a",
                "b",
            ),
        ] {
            let parsed = parse(text).unwrap();
            let of = |a: &Annotation| (a.level, a.platform.clone());
            assert_eq!(parsed.iter().map(of).collect::<Vec<_>>(), levels, "{text}");
            assert!(parsed.iter().all(|a| (&*a.name, &*a.value) == (name, value)), "{text}");
        }
        for bad in
            ["a", "=b", "manifest:=b", "index[linux/amd64]:a=b", "manifest[]:a=b", "x:a=b", ":a=b"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
