//! The `outputs` input: keys of an output that are options of the whole build here.

use crate::cli::output;
use crate::error::Error;
use crate::github::list::{fields, quoted};
use crate::registry::parse_reference;
use crate::request::Destination;

/// What the image is called.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// Of outputs that don't name it themselves.
    pub tags: Vec<String>,
    /// No input gives the tags: an output's own name comes before them.
    pub are_made: bool,
    /// Every name that is used.
    pub all: Vec<String>,
}

impl Names {
    /// `made` are the names that the event gives, where no input names the image. They are not used
    /// where every output that has a name has one of its own, and nothing else is pushed.
    pub fn made(made: &[String], lines: &[String], pushes: bool) -> Self {
        let kind = |line: &String| {
            let kind =
                fields(line).into_iter().find_map(|f| Some(f.strip_prefix("type=")?.to_owned()));
            kind.unwrap_or_default()
        };
        let is_image = |kind: &str| matches!(kind, "image" | "registry");
        let own: Vec<String> = lines.iter().flat_map(|line| own_names(&fields(line))).collect();
        let needs_made = own.is_empty()
            || (pushes && !lines.iter().any(|line| is_image(&kind(line))))
            || lines.iter().any(|line| {
                let kind = kind(line);
                (is_image(&kind) || matches!(&*kind, "oci" | "docker"))
                    && own_names(&fields(line)).is_empty()
            });
        let tags = if needs_made { made.to_vec() } else { own.clone() };
        let mut all = tags.clone();
        all.extend(own.into_iter().filter(|name| !tags.contains(name)));
        Self { tags, are_made: true, all }
    }

    pub fn given(tags: &[String]) -> Self {
        Self { tags: tags.to_vec(), are_made: false, all: tags.to_vec() }
    }

    /// Of the output with these fields.
    fn of<'a>(&'a self, own: &'a [String]) -> &'a [String] {
        let is_own = self.are_made || self.tags.is_empty();
        if is_own && !own.is_empty() { own } else { &self.tags }
    }
}

/// The names that an output itself has.
fn own_names(fields: &[String]) -> Vec<String> {
    let names = fields.iter().filter_map(|field| field.strip_prefix("name="));
    let names = names.flat_map(|names| names.split(',')).map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The input, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// As `--output` has them.
    pub lines: Vec<String>,
    /// `[LEVEL:]NAME=VALUE`
    pub annotations: Vec<String>,
    /// Registries without verified TLS.
    pub insecure: Vec<String>,
    /// As `--output` has them, but for the file that Docker loads.
    pub loads: Vec<String>,
}

impl Outputs {
    pub fn of(lines: &[String], names: &Names) -> Self {
        let mut outputs = Self::default();
        for line in lines {
            let fields = fields(line);
            let own = own_names(&fields);
            let names = names.of(&own);
            let kept: Vec<String> =
                fields.iter().filter(|field| !outputs.take(field, names)).cloned().collect();
            if is_load(&fields) {
                let of_place =
                    |field: &&String| field.starts_with("dest=") || field.starts_with("tar=");
                let kept = kept.into_iter().filter(|field| !of_place(&field));
                outputs.loads.push(together(kept));
            } else if kept.len() == fields.len() {
                outputs.lines.push(line.clone());
            } else {
                outputs.lines.push(together(kept));
            }
        }
        outputs
    }

    /// Standard output is the log, where a file of the image would be read for the runner's commands.
    ///
    /// # Errors
    /// An output goes there.
    pub fn check(&self) -> Result<(), Error> {
        let to_stdout = |line: &&String| {
            let output = output::parse(line, &[], false);
            output.is_ok_and(|output| {
                output.and_then(|output| output.kind.destination()) == Some(Destination::Stdout)
            })
        };
        match self.lines.iter().find(to_stdout) {
            Some(line) => Err(Error::usage(format!(
                "input outputs: {line} goes to standard output, which is the log of the step"
            ))
            .hinted("Write it to a file: dest=FILE.")),
            None => Ok(()),
        }
    }

    /// Whether the field is no key of `--output`, and is taken care of.
    fn take(&mut self, field: &str, names: &[String]) -> bool {
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

fn together(fields: impl IntoIterator<Item = String>) -> String {
    fields.into_iter().map(|field| quoted(&field)).collect::<Vec<_>>().join(",")
}

/// `type=docker` without a place is for Docker to load.
fn is_load(fields: &[String]) -> bool {
    let is_docker = fields.iter().any(|field| field == "type=docker");
    is_docker && !fields.iter().any(|field| field.starts_with("dest=") && field != "dest=")
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
        let outputs = Outputs::of(&lines, &Names::given(&["reg:5000/boat:1".to_owned()]));
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
        let nameless = Names::given(&[]);
        let line = ["type=image,annotation-manifest[linux/arm64].k=v".to_owned()];
        assert_eq!(Outputs::of(&line, &nameless).annotations, ["manifest[linux/arm64]:k=v"]);
        let line = ["type=image,\"name=a:5000/x,b:5000/y\",registry.insecure=true".to_owned()];
        assert_eq!(Outputs::of(&line, &nameless).insecure, ["a:5000", "b:5000"]);
        let made = Names::made(&["ghcr.io/acme/boat:main".to_owned()], &line, false);
        assert_eq!(Outputs::of(&line, &made).insecure, ["a:5000", "b:5000"]);
    }

    #[test]
    fn an_output_for_docker_without_a_place_is_loaded() {
        let lines =
            ["type=docker,tar=false,\"name=x,y\"", "type=docker,dest=f", "type=docker,dest="];
        let outputs = Outputs::of(&lines.map(str::to_owned), &Names::given(&[]));
        assert_eq!(outputs.lines, ["type=docker,dest=f"]);
        assert_eq!(outputs.loads, ["\"type=docker\",\"name=x,y\"", "\"type=docker\""]);
    }

    #[test]
    fn made_names_are_for_outputs_that_have_none() {
        let made = ["ghcr.io/acme/boat:main".to_owned()];
        let (own, both) = (&["x/y"][..], &["ghcr.io/acme/boat:main", "x/y"][..]);
        for (lines, pushes, tags, all) in [
            (&["type=image,name=x/y,push=true"][..], true, own, own),
            (&["type=registry,\"name=x/y, x/z\""], false, &["x/y", "x/z"], &["x/y", "x/z"]),
            (&["type=oci,dest=o,name=x/y", "type=local,dest=d"], false, own, own),
            (&["type=oci,dest=o,name=x/y"], true, &both[..1], both),
            (&["type=oci,dest=o", "type=image,name=x/y"], true, &both[..1], both),
            (&["type=image,name="], true, &both[..1], &both[..1]),
            (&[], true, &both[..1], &both[..1]),
        ] {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            let names = Names::made(&made, &lines, pushes);
            assert_eq!((&names.tags[..], &names.all[..]), (&strings(tags)[..], &strings(all)[..]));
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }
}
