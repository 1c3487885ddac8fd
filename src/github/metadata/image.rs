//! The `images` input.

use super::MetadataError;
use crate::github::list::fields;

/// A name that tags are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    pub enable: bool,
}

/// Reads one image a line: a name, or `name=…,enable=true|false`. A single line of names with commas
/// between them is several images.
pub(super) fn parse_all(lines: &[String]) -> Result<Vec<Image>, MetadataError> {
    if let [line] = lines {
        let fields = fields(line);
        if fields.iter().all(|field| !field.contains('=')) {
            let names = fields.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
            return Ok(names.map(|name| Image { name: name.to_owned(), enable: true }).collect());
        }
    }
    lines.iter().map(|line| parse(line)).collect()
}

fn parse(line: &str) -> Result<Image, MetadataError> {
    let wrong = |what: String| MetadataError(format!("{what}, in the image {line:?}"));
    let mut image = Image { name: String::new(), enable: true };
    for field in fields(line) {
        let Some((key, value)) = field.split_once('=') else {
            image.name = field.trim().to_owned();
            continue;
        };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => image.name = value.to_owned(),
            "enable" => {
                image.enable = value.parse().map_err(|_| {
                    wrong(format!("expected enable=true or enable=false but found {value:?}"))
                })?;
            }
            other => return Err(wrong(format!("unknown attribute {other:?}"))),
        }
    }
    if image.name.is_empty() {
        return Err(wrong("no name".to_owned()));
    }
    Ok(image)
}
