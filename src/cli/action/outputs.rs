//! The `outputs` input: keys of an output that are options of the whole build here.

use crate::github::list::{fields, quoted};
use crate::registry::parse_reference;

/// The input, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// As `--output` has them.
    pub lines: Vec<String>,
    /// `NAME=VALUE`, of the manifest.
    pub annotations: Vec<String>,
    /// Registries without verified TLS.
    pub insecure: Vec<String>,
    /// What is left out, and why.
    pub left_out: Vec<String>,
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
        let of_manifest = ["annotation.", "annotation-manifest."];
        let of_others = [
            "annotation-index.",
            "annotation-index-descriptor.",
            "annotation-manifest-descriptor.",
        ];
        if let Some(name) = of_manifest.iter().find_map(|prefix| key.strip_prefix(prefix)) {
            self.annotations.push(format!("{name}={value}"));
        } else if of_others.iter().any(|prefix| key.starts_with(prefix)) {
            self.left_out.push(format!("{key} is left out: an image of one platform has no index"));
        } else if field == "registry.insecure=true" {
            let hosts = names.iter().filter_map(|name| parse_reference(name).ok());
            self.insecure.extend(hosts.map(|name| name.registry().to_owned()));
        } else {
            return field == "registry.insecure=false";
        }
        true
    }
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
        assert_eq!(outputs.annotations, ["k=v", "l=1,2"]);
        assert_eq!(outputs.insecure, ["reg:5000"]);
        assert_eq!(outputs.left_out.len(), 1, "{:?}", outputs.left_out);
        let line = ["type=image,\"name=a:5000/x,b:5000/y\",registry.insecure=true".to_owned()];
        assert_eq!(Outputs::of(&line, &[]).insecure, ["a:5000", "b:5000"]);
    }
}
