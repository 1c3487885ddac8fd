//! The `outputs` input: keys of an output that are options of the whole build here.

use crate::github::list::{fields, quoted};
use crate::registry::parse_reference;

/// The input, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// As `--output` has them.
    pub lines: Vec<String>,
    /// `[LEVEL:]NAME=VALUE`
    pub annotations: Vec<String>,
    /// Registries without verified TLS.
    pub insecure: Vec<String>,
}

impl Outputs {
    /// `tags` are the names of the image, where an output names none.
    pub fn of(lines: &[String], tags: &[String]) -> Self {
        let mut outputs = Self::default();
        for line in lines {
            let fields = fields(line);
            let names = fields.iter().filter_map(|field| field.strip_prefix("name="));
            let names: Vec<&str> = match names.flat_map(|names| names.split(',')).collect() {
                names if tags.is_empty() => names,
                _ => tags.iter().map(String::as_str).collect(),
            };
            let kept: Vec<String> =
                fields.iter().filter(|field| !outputs.take(field, &names)).cloned().collect();
            if kept.len() == fields.len() {
                outputs.lines.push(line.clone());
            } else {
                let kept: Vec<String> = kept.iter().map(|field| quoted(field)).collect();
                outputs.lines.push(kept.join(","));
            }
        }
        outputs
    }

    /// Whether the field is no key of `--output`, and is taken care of.
    fn take(&mut self, field: &str, names: &[&str]) -> bool {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        if let Some((level, platform, name)) = annotation(key) {
            self.annotations.push(format!("{level}{platform}:{name}={value}"));
        } else if field == "registry.insecure=true" {
            let hosts = names.iter().filter_map(|name| parse_reference(name).ok());
            self.insecure.extend(hosts.map(|name| name.registry().to_owned()));
        } else {
            return field == "registry.insecure=false";
        }
        true
    }
}

/// The level, the platform in brackets and the name of `annotation[-LEVEL][[PLATFORM]].NAME`.
fn annotation(key: &str) -> Option<(&str, &str, &str)> {
    let rest = key.strip_prefix("annotation")?;
    // A platform has no full stop in it.
    let (kind, name) = rest.split_once('.')?;
    let (level, platform) = kind.split_at(kind.find('[').unwrap_or(kind.len()));
    let level = match level {
        "" => "manifest",
        level => level.strip_prefix('-')?,
    };
    let known = ["manifest", "index", "index-descriptor", "manifest-descriptor"];
    known.contains(&level).then_some((level, platform, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_of_an_output_is_taken_out() {
        let lines = [
            "type=local,dest=out",
            "type=image,\"name=a:5000/x,b:5000/y\",annotation.k=v,\"annotation-manifest.l=1,2\"",
            "type=image,annotation-index.m=n,registry.insecure=true,push=true",
        ]
        .map(str::to_owned);
        let outputs = Outputs::of(&lines, &["reg:5000/boat:1".to_owned()]);
        assert_eq!(
            outputs.lines,
            [
                "type=local,dest=out",
                "\"type=image\",\"name=a:5000/x,b:5000/y\"",
                "\"type=image\",\"push=true\""
            ]
        );
        assert_eq!(outputs.annotations, ["manifest:k=v", "manifest:l=1,2", "index:m=n"]);
        assert_eq!(outputs.insecure, ["reg:5000"]);
        let line = ["type=image,annotation-manifest[linux/arm64].k=v".to_owned()];
        assert_eq!(Outputs::of(&line, &[]).annotations, ["manifest[linux/arm64]:k=v"]);
        let line = ["type=image,\"name=a:5000/x,b:5000/y\",registry.insecure=true".to_owned()];
        assert_eq!(Outputs::of(&line, &[]).insecure, ["a:5000", "b:5000"]);
    }
}
