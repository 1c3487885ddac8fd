//! Size limits: `.plimsoll.yml`, `--size-budget`, and what breaking one does.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{LimitArgs, SizeGate};
use crate::context::small;
use crate::error::{Error, ErrorKind};
use crate::report;
use crate::weight::budget::{Action, Budget, Judged, Settings, Status, Verdict, judge};

/// Read where no flag names another, if it is there.
const DEFAULT_FILE: &str = ".plimsoll.yml";
const SIZE: u64 = 1 << 20;

/// What was asked for.
pub struct Limits {
    settings: Settings,
    /// Comes before the settings.
    typed: Budget,
    gate: Action,
    waiver: Option<String>,
}

impl Limits {
    /// Reads the settings and the flags; `None` where there is nothing to hold an image against.
    pub fn read(args: &LimitArgs) -> Result<Option<Self>, Error> {
        let gate = match args.size_gate {
            SizeGate::Off => return Ok(None),
            SizeGate::Warn => Action::Warn,
            SizeGate::Fail => Action::Fail,
        };
        let settings = settings(args.settings.as_deref())?;
        let typed = Budget::parse_short(&args.size_budget.join(","))
            .map_err(|error| Error::usage(format!("--size-budget: {error}")))?;
        if typed.is_empty() && settings == Settings::default() {
            return Ok(None);
        }
        // A variable of a workflow that is not set is no reason.
        let waiver = args.size_waiver.clone().filter(|reason| !reason.trim().is_empty());
        Ok(Some(Self { settings, typed, gate, waiver }))
    }

    /// Accepts whatever is broken, unless that was done already.
    pub fn waive(&mut self, reason: String) {
        self.waiver.get_or_insert(reason);
    }

    pub fn judge(&self, judged: &Judged<'_>) -> Verdict {
        let image = &judged.weight.image;
        let named = self.settings.budget(repository(&image.name), &image.platform);
        let budget = self.typed.clone().or(named);
        judge(judged, &budget, &self.settings.stages, self.gate, self.waiver.clone())
    }
}

/// A name without its tag and digest.
pub fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// The verdict behind a report in text.
pub fn paragraph(verdict: Option<&Verdict>) -> String {
    let text = verdict.map(report::verdict_text).unwrap_or_default();
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A report in JSON, with the verdict where there is one.
pub fn with_verdict(mut report: Value, verdict: Option<&Verdict>) -> Value {
    if let (Some(verdict), Some(object)) = (verdict, report.as_object_mut()) {
        object.insert("verdict".to_owned(), json!(verdict));
    }
    report
}

/// The error of a broken limit, with exit code 3.
pub fn outcome(verdict: &Verdict) -> Result<(), Error> {
    match verdict.status {
        Status::Pass | Status::Warn | Status::Waived => Ok(()),
        Status::Fail => {
            let (broken, all) = (verdict.breaches.len(), verdict.limits);
            let text = format!("the image is above {broken} of its limits ({all} in all)");
            Err(Error::new(ErrorKind::Size, text))
        }
    }
}

fn settings(named: Option<&Path>) -> Result<Settings, Error> {
    let path = named.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
    let fault = |what: &dyn std::fmt::Display| Error::usage(format!("{}: {what}", path.display()));
    let bytes = match small::read(&path, SIZE) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() && named.is_none() => return Ok(Settings::default()),
        Err(error) => return Err(fault(&error)),
    };
    let text = String::from_utf8(bytes).map_err(|error| fault(&error))?;
    Settings::parse(&text).map_err(|error| fault(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_of_a_repository() {
        for (name, expected) in [
            ("ghcr.io/a/b:1", "ghcr.io/a/b"),
            ("localhost:5000/a", "localhost:5000/a"),
            ("localhost:5000/a:1@sha256:00", "localhost:5000/a"),
            ("a", "a"),
        ] {
            assert_eq!(repository(name), expected);
        }
    }

    #[test]
    fn settings_that_can_t_be_used_are_a_mistake_with_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.yml");
        std::fs::write(&path, "budget:\n  heavy: 1\n").unwrap();
        let args = LimitArgs { settings: Some(path.clone()), ..LimitArgs::default() };
        let error = Limits::read(&args).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(error.message.contains("heavy") && error.message.contains("line 2"), "{error}");
        let off = LimitArgs { size_gate: SizeGate::Off, ..args };
        assert!(Limits::read(&off).unwrap().is_none());
        let args = LimitArgs { size_budget: vec!["big".to_owned()], ..LimitArgs::default() };
        assert!(Limits::read(&args).err().unwrap().message.starts_with("--size-budget: expected"));
        let missing = LimitArgs { settings: Some("/nowhere".into()), ..LimitArgs::default() };
        assert!(Limits::read(&missing).is_err());
    }
}
