//! Names of images, `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.

use oci_spec::distribution::Reference;

use super::flag::FlagError;

fn reference(text: &str) -> Result<Reference, FlagError> {
    crate::reference::parse(text).map_err(|error| {
        let error = FlagError::new(format!("{text:?} is not an image name: {error}"));
        if text.contains("://") {
            error.hinted("An image name has no scheme: registry.example/app:1.0.")
        } else if text.contains(|c: char| c.is_ascii_uppercase()) {
            error.hinted("The repository is written in lower case.")
        } else {
            error
        }
    })
}

/// `docker.io/library/alpine:latest` for `alpine`.
pub fn normalized(text: &str) -> Result<String, FlagError> {
    Ok(reference(text)?.whole())
}

/// The same for a name to give, which can't have a digest: that follows from the content.
pub fn tag(text: &str) -> Result<String, FlagError> {
    let reference = reference(text)?;
    if reference.digest().is_some() {
        return Err(FlagError::new("a name for a new image can't hold a digest"));
    }
    Ok(reference.whole())
}

/// The shortest form, without `docker.io/library/` and without `:latest`: how buildx writes the name
/// of a named context, whatever was typed (L-082).
pub fn familiar(text: &str) -> Result<String, FlagError> {
    let whole = reference(text)?.whole();
    let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
    let short = short.strip_prefix("library/").unwrap_or(short);
    Ok(short.strip_suffix(":latest").unwrap_or(short).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        for (text, whole, short) in [
            ("app", "docker.io/library/app:latest", "app"),
            ("golang:1.12", "docker.io/library/golang:1.12", "golang:1.12"),
            ("user/app:1", "docker.io/user/app:1", "user/app:1"),
            ("docker.io/library/app:latest", "docker.io/library/app:latest", "app"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("ghcr.io/a/b", "ghcr.io/a/b:latest", "ghcr.io/a/b"),
        ] {
            assert_eq!(normalized(text).unwrap(), whole, "{text}");
            assert_eq!(tag(text).unwrap(), whole, "{text}");
            assert_eq!(familiar(text).unwrap(), short, "{text}");
        }
        for bad in ["", "App", "a b", "a:b:c", "https://ghcr.io/a", "a@sha256:1"] {
            assert!(normalized(bad).is_err(), "{bad}");
        }
        let digest = format!("app@sha256:{}", "0".repeat(64));
        assert!(normalized(&digest).is_ok());
        assert!(tag(&digest).is_err());
    }
}
