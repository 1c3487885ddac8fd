//! `--attest`, `--provenance`, `--sbom`: which attestations an image gets.

use super::args::BuildArgs;
use super::csv;
use super::flag::{FlagError, boolean, unknown_key};
use crate::attest::{AttestOptions, Mode, ProvenanceOptions, SbomOptions, SlsaVersion};
use crate::error::Error;

const PROVENANCE_KEYS: [&str; 6] =
    ["mode", "builder-id", "version", "inline-only", "reproducible", "disabled"];

/// What one flag says of one kind.
struct Wanted {
    kind: Kind,
    /// Keys and values but for `type` and `disabled`; `None` where it is turned off.
    keys: Option<Vec<(String, String)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Provenance,
    Sbom,
}

/// The attestations that were asked for. `--provenance` and `--sbom` come before an `--attest` of
/// their kind.
///
/// # Errors
/// Of the kind [`Usage`](crate::error::ErrorKind::Usage), naming the flag.
pub fn parse(args: &BuildArgs) -> Result<AttestOptions, Error> {
    let mut all: Vec<(String, Wanted)> = Vec::new();
    for text in args.attests.iter().filter(|text| !text.is_empty()) {
        let flag = format!("--attest {text}");
        let wanted = of_attest(text).map_err(|error| error.of_flag_alone(&flag))?;
        if all.iter().any(|(_, other)| other.kind == wanted.kind) {
            let error = FlagError::new("there is another --attest of this type");
            return Err(error.of_flag_alone(&flag));
        }
        all.push((flag, wanted));
    }
    let shorthands =
        [("--provenance", Kind::Provenance, &args.provenance), ("--sbom", Kind::Sbom, &args.sbom)];
    for (flag, kind, text) in shorthands {
        let Some(text) = text.as_ref().filter(|text| !text.is_empty()) else { continue };
        let flag = format!("{flag} {text}");
        let wanted = of_shorthand(kind, text).map_err(|error| error.of_flag_alone(&flag))?;
        all.retain(|(_, other)| other.kind != kind);
        all.push((flag, wanted));
    }
    let mut options = AttestOptions::default();
    for (flag, Wanted { kind, keys }) in all {
        let Some(keys) = keys else { continue };
        let parsed = match kind {
            Kind::Provenance => provenance(&keys).map(|said| options.provenance = Some(said)),
            Kind::Sbom => sbom(&keys).map(|said| options.sbom = Some(said)),
        };
        parsed.map_err(|error| error.of_flag_alone(&flag))?;
    }
    Ok(options)
}

/// `type=provenance,mode=min`
fn of_attest(text: &str) -> Result<Wanted, FlagError> {
    let pairs = csv::pairs(text)?;
    let kind = match pairs.iter().find(|(key, _)| key == "type").map(|(_, kind)| kind.as_str()) {
        Some("provenance") => Kind::Provenance,
        Some("sbom") => Kind::Sbom,
        Some(other) => {
            return Err(FlagError::new(format!("there is no attestation of type {other:?}"))
                .hinted("The types are provenance and sbom."));
        }
        None => {
            return Err(
                FlagError::new("the type is missing").hinted("Write type=provenance or type=sbom.")
            );
        }
    };
    let keys = pairs.into_iter().filter(|(key, _)| key != "type").collect();
    enabled(kind, keys)
}

/// `true`, `false` or `mode=min`
fn of_shorthand(kind: Kind, text: &str) -> Result<Wanted, FlagError> {
    match boolean("it", text) {
        Ok(true) => Ok(Wanted { kind, keys: Some(Vec::new()) }),
        Ok(false) => Ok(Wanted { kind, keys: None }),
        Err(_) => enabled(kind, csv::pairs(text)?),
    }
}

fn enabled(kind: Kind, mut keys: Vec<(String, String)>) -> Result<Wanted, FlagError> {
    let mut disabled = false;
    for (key, value) in &keys {
        if key == "disabled" {
            disabled = boolean(key, value)?;
        }
    }
    keys.retain(|(key, _)| key != "disabled");
    Ok(Wanted { kind, keys: (!disabled).then_some(keys) })
}

fn provenance(keys: &[(String, String)]) -> Result<ProvenanceOptions, FlagError> {
    let mut options = ProvenanceOptions::default();
    for (key, value) in keys {
        match key.as_str() {
            "mode" => {
                options.mode = match value.as_str() {
                    "min" => Mode::Min,
                    // The latter is an older name.
                    "max" | "full" => Mode::Max,
                    _ => {
                        return Err(FlagError::new(format!(
                            "mode is min or max, but found {value:?}"
                        )));
                    }
                }
            }
            "version" => {
                options.version = match value.as_str() {
                    "v1" => SlsaVersion::V1,
                    "v0.2" => SlsaVersion::V02,
                    _ => {
                        return Err(FlagError::new(format!(
                            "version is v1 or v0.2, but found {value:?}"
                        )));
                    }
                }
            }
            "builder-id" => options.builder_id = Some(value.clone()).filter(|id| !id.is_empty()),
            "inline-only" => options.inline_only = boolean(key, value)?,
            "reproducible" => options.reproducible = boolean(key, value)?,
            _ => return Err(unknown_key(key, &PROVENANCE_KEYS)),
        }
    }
    Ok(options)
}

/// Other keys are for the generator.
fn sbom(keys: &[(String, String)]) -> Result<SbomOptions, FlagError> {
    let generator = keys.iter().find(|(key, _)| key == "generator");
    if let (None, Some((key, _))) = (generator, keys.first()) {
        return Err(unknown_key(key, &["generator", "disabled"]));
    }
    let generator = generator.map(|(_, image)| image.clone()).filter(|image| !image.is_empty());
    Ok(SbomOptions { generator })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attests: &[&str], provenance: Option<&str>) -> Result<AttestOptions, Error> {
        parse(&BuildArgs {
            attests: attests.iter().map(|text| (*text).to_owned()).collect(),
            provenance: provenance.map(str::to_owned),
            ..BuildArgs::default()
        })
    }

    #[test]
    fn nothing_is_made_that_was_not_asked_for() {
        let none = AttestOptions::default();
        for (attests, provenance) in [
            (&[][..], None),
            (&[], Some("")),
            (&[], Some("false")),
            (&[], Some("mode=max,disabled=true")),
            (&["type=provenance,disabled=true"], None),
            (&["type=provenance,mode=max"], Some("false")),
        ] {
            assert_eq!(of(attests, provenance).unwrap(), none, "{attests:?} {provenance:?}");
        }
    }

    #[test]
    fn flags_are_read_as_buildx_reads_them() {
        let default = ProvenanceOptions::default;
        let min = ProvenanceOptions { mode: Mode::Min, ..default() };
        let named = ProvenanceOptions { builder_id: Some("a,b".to_owned()), ..default() };
        let older = ProvenanceOptions {
            version: SlsaVersion::V02,
            inline_only: true,
            reproducible: true,
            ..min.clone()
        };
        for (attests, provenance, expected) in [
            (&[][..], Some("true"), default()),
            (&[], Some("mode=min"), min.clone()),
            (&[], Some("mode=full"), default()),
            (&["type=provenance"], None, default()),
            (&["type=provenance,mode=max"], Some("mode=min"), min),
            (&["type=provenance,mode=min"], Some("true"), default()),
            (&[r#"type=provenance,"builder-id=a,b""#], None, named),
            (&[], Some("mode=min,version=v0.2,inline-only=true,reproducible=1"), older),
        ] {
            let options = of(attests, provenance).unwrap();
            assert_eq!(options.provenance.unwrap(), expected, "{attests:?} {provenance:?}");
        }
    }

    #[test]
    fn a_list_of_packages_is_made_here_whatever_generator_is_named() {
        let of = |attest: &str, sbom: Option<&str>| {
            parse(&BuildArgs {
                attests: vec![attest.to_owned()],
                sbom: sbom.map(str::to_owned),
                ..BuildArgs::default()
            })
        };
        let some =
            |generator: Option<&str>| Some(SbomOptions { generator: generator.map(str::to_owned) });
        for (attest, sbom, expected) in [
            ("", Some("true"), some(None)),
            ("type=sbom", None, some(None)),
            ("type=sbom", Some("false"), None),
            ("type=sbom,disabled=true", None, None),
            ("", Some("generator=a/b:1"), some(Some("a/b:1"))),
            ("type=sbom,generator=a/b:1,DEPTH=2", None, some(Some("a/b:1"))),
            ("type=sbom,generator=", None, some(None)),
        ] {
            let options = of(attest, sbom).unwrap();
            assert_eq!(options, AttestOptions { provenance: None, sbom: expected }, "{attest}");
        }
        let error = of("type=sbom,depth=2", None).unwrap_err();
        assert_eq!(error.message, "--attest type=sbom,depth=2: unknown key \"depth\"");
    }

    #[test]
    fn a_mistake_names_its_flag() {
        for (attests, provenance, message) in [
            (&["mode=min"][..], None, "--attest mode=min: the type is missing"),
            (&["type=vex"], None, "--attest type=vex: there is no attestation of type \"vex\""),
            (
                &["type=provenance", "type=provenance"],
                None,
                "--attest type=provenance: there is another --attest of this type",
            ),
            (
                &[],
                Some("mode=most"),
                "--provenance mode=most: mode is min or max, but found \"most\"",
            ),
            (
                &[],
                Some("version=v2"),
                "--provenance version=v2: version is v1 or v0.2, but found \"v2\"",
            ),
            (&[], Some("builder=x"), "--provenance builder=x: unknown key \"builder\""),
            (&[], Some("yes"), "--provenance yes: expected key=value but found \"yes\""),
        ] {
            let error = of(attests, provenance).unwrap_err();
            assert_eq!(error.message, message);
        }
    }
}
