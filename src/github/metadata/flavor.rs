//! The `flavor` input: what all tags have in common.

use super::MetadataError;
use crate::github::list::fields;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flavor {
    /// Whether there is a `latest` tag; `None` leaves it to the rules.
    pub latest: Option<bool>,
    pub prefix: String,
    /// `latest` has the prefix, too.
    pub prefix_latest: bool,
    pub suffix: String,
    pub suffix_latest: bool,
}

impl Flavor {
    pub(super) fn parse(lines: &[String]) -> Result<Self, MetadataError> {
        let mut flavor = Self::default();
        for line in lines {
            flavor.read(line)?;
        }
        Ok(flavor)
    }

    fn read(&mut self, line: &str) -> Result<(), MetadataError> {
        let wrong = |what: String| MetadataError(format!("{what}, in the flavor {line:?}"));
        let truth = |value: &str| {
            value.parse().map_err(|_| wrong(format!("expected true or false but found {value:?}")))
        };
        // `onlatest` is said of the prefix or suffix before it.
        let mut before = None;
        for field in fields(line) {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| wrong(format!("expected name=value but found {field:?}")))?;
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match key.as_str() {
                "latest" if value == "auto" => self.latest = None,
                "latest" => self.latest = Some(truth(value)?),
                "prefix" => self.prefix = value.to_owned(),
                "suffix" => self.suffix = value.to_owned(),
                "onlatest" => match before.as_deref() {
                    Some("prefix") => self.prefix_latest = truth(value)?,
                    Some("suffix") => self.suffix_latest = truth(value)?,
                    _ => _ = truth(value)?,
                },
                other => return Err(wrong(format!("unknown attribute {other:?}"))),
            }
            if matches!(key.as_str(), "prefix" | "suffix") {
                before = Some(key);
            }
        }
        Ok(())
    }

    /// How `latest` is spelled.
    pub(super) fn latest_tag(&self) -> String {
        let prefix = if self.prefix_latest { &self.prefix } else { "" };
        let suffix = if self.suffix_latest { &self.suffix } else { "" };
        format!("{prefix}latest{suffix}")
    }
}
