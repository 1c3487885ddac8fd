//! `--annotation [LEVEL:]NAME=VALUE`.

use super::flag::FlagError;

/// Name and value of an annotation of the manifest, which is what no level means too. A single
/// platform's image has no index, so the levels of an index are refused.
pub fn parse(text: &str) -> Result<(String, String), FlagError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(FlagError::new("expected NAME=VALUE"));
    };
    let key = match name.split_once(':') {
        None => name,
        Some((levels, key)) => {
            for level in levels.split(',') {
                check_level(level)?;
            }
            key
        }
    };
    if key.is_empty() {
        return Err(FlagError::new("the name is empty"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn check_level(level: &str) -> Result<(), FlagError> {
    match level {
        "manifest" => Ok(()),
        "index" | "index-descriptor" | "manifest-descriptor" => {
            Err(FlagError::new(format!("annotations of the level {level} are not supported yet"))
                .hinted("Annotate the manifest: --annotation manifest:NAME=VALUE."))
        }
        _ if level.contains('[') => {
            Err(FlagError::new("annotations of one platform are not supported yet")
                .hinted("Annotate the manifest: --annotation manifest:NAME=VALUE."))
        }
        _ => Err(FlagError::new(format!("unknown annotation level {level:?}"))
            .hinted("Write manifest:NAME=VALUE, or NAME=VALUE.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_go_to_the_manifest() {
        for (text, key, value) in [
            ("a.b=c", "a.b", "c"),
            ("manifest:a=b=c", "a", "b=c"),
            ("manifest:a=http://x", "a", "http://x"),
            ("a=b:c", "a", "b:c"),
            ("a=", "a", ""),
        ] {
            assert_eq!(parse(text), Ok((key.to_owned(), value.to_owned())), "{text}");
        }
        for bad in [
            "a",
            "=b",
            "manifest:=b",
            "index:a=b",
            "manifest,index:a=b",
            "manifest[linux/a]:a=b",
            "x:a=b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
