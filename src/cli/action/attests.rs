//! The inputs `provenance`, `sbom` and `attests`, as flags.

use crate::github::event::Variables;
use crate::github::inputs::Inputs;
use crate::github::list::{ListRules, fields};

/// `--attest`, `--provenance` and `--sbom`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attests {
    pub attests: Vec<String>,
    pub provenance: Option<String>,
    pub sbom: Option<String>,
}

impl Attests {
    pub fn of(inputs: &Inputs, variables: &Variables) -> Self {
        let builder = workflow(variables);
        let builder = builder.as_deref();
        let attests = inputs.list("attests", ListRules::RECORDS);
        let named = |text: String| match is_of(&text, "type=provenance") {
            true => with_builder(&text, builder),
            false => text,
        };
        let provenance = inputs.some("provenance").map(|text| match text {
            "true" | "True" | "TRUE" => with_builder("disabled=false", builder),
            "false" | "False" | "FALSE" => "false".to_owned(),
            keys => with_builder(keys, builder),
        });
        Self {
            attests: attests.into_iter().map(named).collect(),
            provenance,
            sbom: inputs.some("sbom").map(str::to_owned),
        }
    }
}

/// The workflow that builds, as GitHub's own identities name it. build-push-action has the URL of the
/// run, with which no build would be what the last one was.
fn workflow(variables: &Variables) -> Option<String> {
    let variable = |name| variables.get(name).filter(|value| !value.is_empty());
    let (server, workflow) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_WORKFLOW_REF")?);
    Some(format!("{server}/{workflow}"))
}

fn is_of(text: &str, kind: &str) -> bool {
    fields(text).iter().any(|field| field.trim() == kind)
}

/// The keys with a builder, unless they name one.
fn with_builder(keys: &str, builder: Option<&str>) -> String {
    let is_named = fields(keys).iter().any(|field| field.trim_start().starts_with("builder-id="));
    match builder.filter(|_| !is_named) {
        // Branches may have commas and quotes.
        Some(builder) => format!("{keys},\"builder-id={}\"", builder.replace('"', "\"\"")),
        None => keys.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, &str)]) -> Attests {
        let common = [
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_WORKFLOW_REF", "acme/boat/.github/workflows/ship.yml@refs/heads/a,b"),
        ];
        let all = common.iter().chain(rows);
        let variables: Variables =
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Attests::of(&Inputs::of(&variables), &variables)
    }

    #[test]
    fn the_builder_is_the_workflow_unless_one_is_named() {
        const ID: &str =
            "\"builder-id=https://github.com/acme/boat/.github/workflows/ship.yml@refs/heads/a,b\"";
        for (input, expected) in [
            ("true", format!("disabled=false,{ID}")),
            ("mode=min", format!("mode=min,{ID}")),
            ("false", "false".to_owned()),
            ("mode=max,builder-id=x", "mode=max,builder-id=x".to_owned()),
        ] {
            let attests = of(&[("INPUT_PROVENANCE", input)]);
            assert_eq!(attests.provenance.unwrap(), expected);
        }
        let attests = of(&[("INPUT_ATTESTS", "type=provenance,mode=max\ntype=other,a=b")]);
        let expected = [format!("type=provenance,mode=max,{ID}"), "type=other,a=b".to_owned()];
        assert_eq!(attests.attests, expected);
        assert_eq!(of(&[]), Attests::default());
        let attests = of(&[("INPUT_ATTESTS", "type=sbom,generator=image"), ("INPUT_SBOM", "True")]);
        assert_eq!(attests.attests, ["type=sbom,generator=image"]);
        assert_eq!(attests.sbom.unwrap(), "True");
    }
}
