//! What a step depends on, part by part, so that a later build can say which part has changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::key::mount_sum;
use super::{CopyFrom, CopyOp, Mount, MountKind, Op, RunOp, WorkdirOp};

/// A part, as a user names it (`the file main.go`), and enough of its digest to see a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient(pub String, pub u32);

impl Ingredient {
    #[must_use]
    pub fn new(what: impl Into<String>, parts: &[&[u8]]) -> Self {
        let mut sum = Sha256::new();
        for part in parts {
            sum.update((part.len() as u64).to_le_bytes());
            sum.update(part);
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(sum.finalize());
        Self(what.into(), u32::from_le_bytes([a, b, c, d]))
    }
}

/// What an instruction says itself; the instruction comes first. What it reads and stands on is for
/// the caller to add.
#[must_use]
pub fn ingredients(op: &Op, epoch: Option<i64>) -> Vec<Ingredient> {
    let instruction = |text: String| Ingredient::new("the instruction", &[text.as_bytes()]);
    let time = || {
        let text = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        Ingredient::new("SOURCE_DATE_EPOCH", &[text.as_bytes()])
    };
    match op {
        Op::Config => Vec::new(),
        Op::Workdir(WorkdirOp { path, user }) => {
            vec![instruction(path.clone()), part("the user", user), time()]
        }
        Op::Copy(copy) => {
            // Where it reads from is an ingredient of its own, and a number that says nothing.
            let as_written = format!("{:?}", CopyOp { from: CopyFrom::Empty, ..copy.clone() });
            vec![instruction(as_written), part("the working directory", &copy.cwd), time()]
        }
        Op::Run(run) => {
            let RunOp { argv, scripts, cwd, user, hostname, hosts, network, security, .. } = run;
            let mut list = vec![
                instruction(format!("{:?}", (argv, scripts))),
                part("the working directory", cwd),
                part("the user", user),
                part("the hosts", &format!("{:?}", (hostname, hosts))),
                part("the network", &format!("{network:?}")),
                part("the security", &format!("{security:?}")),
            ];
            list.extend(run.mounts.iter().map(mount));
            let variables: BTreeMap<_, _> = run.env.iter().map(|(n, v)| (n, v)).collect();
            list.extend(
                variables
                    .into_iter()
                    .map(|(name, value)| part(format!("the variable {name}"), value)),
            );
            list
        }
    }
}

/// What a mount reads is an ingredient of its own.
fn mount(mount: &Mount) -> Ingredient {
    let name = match (&mount.target, &mount.kind) {
        (Some(target), _) => target,
        (None, MountKind::Secret { id, .. } | MountKind::Ssh { id, .. }) => id,
        // All others have a target.
        (None, _) => "",
    };
    Ingredient::new(format!("the mount {name}"), &[&mount_sum(mount).0])
}

fn part(what: impl Into<String>, text: &str) -> Ingredient {
    Ingredient::new(what, &[text.as_bytes()])
}

/// The steps of a build's stages, by the name of the stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(pub BTreeMap<String, Vec<Vec<Ingredient>>>);

impl History {
    /// The first ingredient of a step that is not as it was, in words. `None`: all are; an error: the
    /// step was not there.
    ///
    /// # Errors
    /// [`NewStep`]
    pub fn first_change(
        &self,
        stage: &str,
        index: usize,
        now: &[Ingredient],
    ) -> Result<Option<String>, NewStep> {
        let before = self.step(stage, index, now).ok_or(NewStep)?;
        let sums: BTreeMap<&str, u32> = before.iter().map(|i| (i.0.as_str(), i.1)).collect();
        let changed = now.iter().find_map(|Ingredient(what, sum)| match sums.get(what.as_str()) {
            None => Some(format!("{what} is new")),
            Some(before) if before != sum => Some(format!("{what} changed")),
            Some(_) => None,
        });
        let still: std::collections::BTreeSet<&str> = now.iter().map(|i| i.0.as_str()).collect();
        let gone = || before.iter().find(|Ingredient(what, _)| !still.contains(what.as_str()));
        Ok(changed.or_else(|| gone().map(|Ingredient(what, _)| format!("{what} is gone"))))
    }

    /// Whether a step with this instruction was in the stage.
    #[must_use]
    pub fn has_instruction(&self, stage: &str, now: &[Ingredient]) -> bool {
        let steps = self.0.get(stage).into_iter().flatten();
        now.first().is_some_and(|first| steps.into_iter().any(|step| step.first() == Some(first)))
    }

    /// The step as it was: with the same instruction, if there is one, since others may have come
    /// before it.
    fn step(&self, stage: &str, index: usize, now: &[Ingredient]) -> Option<&[Ingredient]> {
        let steps = self.0.get(stage)?;
        let same = |step: &&Vec<Ingredient>| step.first() == now.first();
        let at_place = steps.get(index).filter(|step| !step.is_empty());
        at_place.filter(same).or_else(|| steps.iter().find(same)).or(at_place).map(Vec::as_slice)
    }
}

/// There was no such step in the build before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewStep;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(parts: &[(&str, &str)]) -> Vec<Ingredient> {
        parts.iter().map(|(what, text)| part(*what, text)).collect()
    }

    #[test]
    fn the_first_change_is_told() {
        let copy = [("the instruction", "COPY . ."), ("the file a", "1"), ("the file b", "1")];
        let other = [("the instruction", "RUN x"), ("the variable V", "1")];
        let before = History([("s".to_owned(), vec![step(&copy), step(&other)])].into());
        let change = |index, now: &[(&str, &str)]| before.first_change("s", index, &step(now));
        let told = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(change(0, &copy), Ok(None));
        assert_eq!(change(1, &copy), Ok(None), "a step that was moved is known by its instruction");
        let changed = [copy[0], ("the file a", "1"), ("the file b", "2")];
        assert_eq!(change(0, &changed), told("the file b changed"));
        let renamed = [copy[0], ("the file a", "1"), ("the file c", "1")];
        assert_eq!(change(0, &renamed), told("the file c is new"));
        assert_eq!(change(0, &copy[..2]), told("the file b is gone"));
        assert_eq!(change(1, &[("the instruction", "RUN y")]), told("the instruction changed"));
        assert_eq!(change(2, &[("the instruction", "RUN y")]), Err(NewStep));
        assert_eq!(before.first_change("t", 0, &step(&copy)), Err(NewStep));
        assert!(before.has_instruction("s", &step(&other[..1])));
        assert!(!before.has_instruction("t", &step(&other)) && !before.has_instruction("s", &[]));
    }
}
