//! What a Dockerfile offers: its stages, and what one of them takes from outside. The planner knows
//! the latter.

use std::ops::RangeInclusive;

use super::ast::Dockerfile;

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Option<String>,
    pub description: Option<String>,
    /// As written, as is the platform.
    pub base: String,
    pub platform: Option<String>,
    /// Built where no other is asked for.
    pub is_default: bool,
    /// Counted from one.
    pub lines: RangeInclusive<usize>,
}

/// What a target takes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    pub name: Option<String>,
    pub description: Option<String>,
    pub arguments: Vec<Argument>,
    pub secrets: Vec<Need>,
    /// Agents.
    pub ssh: Vec<Need>,
}

/// A build argument that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    /// The default, or what was given in its place.
    pub value: Option<String>,
    pub description: Option<String>,
    pub lines: RangeInclusive<usize>,
}

/// A secret or an agent that a mount names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub id: String,
    pub is_required: bool,
    pub lines: RangeInclusive<usize>,
}

/// All stages, in the order of the file.
#[must_use]
pub fn targets(file: &Dockerfile) -> Vec<Target> {
    let last = file.stages.len().saturating_sub(1);
    let stages = file.stages.iter().enumerate();
    let target = stages.map(|(index, stage)| {
        let from = &stage.from;
        let name = from.name.clone();
        Target {
            description: name.as_deref().and_then(|name| description(&from.place.comments, name)),
            name,
            base: from.base.text.clone(),
            platform: from.platform.as_ref().map(|word| word.text.clone()),
            is_default: index == last,
            lines: from.place.lines.clone(),
        }
    });
    target.collect()
}

/// What the comments above an instruction say of `name`: the first that begins with it.
#[must_use]
pub fn description(comments: &[String], name: &str) -> Option<String> {
    let said = |comment: &String| Some(comment.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    comments.iter().find_map(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    #[test]
    fn stages_are_listed_with_the_comments_above_them() {
        let text = "# build compiles\nFROM --platform=$BUILDPLATFORM a:${V} AS Build\n\
                    # second, not of this stage\n#\n# none\nFROM scratch AS second\nFROM a\n\
                    # last is built\n\n# last is another\nFROM build AS last\n";
        let targets = targets(&parse(text.as_bytes()).unwrap());
        let rows: Vec<_> = targets
            .iter()
            .map(|t| (t.name.as_deref(), t.description.as_deref(), t.base.as_str(), t.is_default))
            .collect();
        assert_eq!(
            rows,
            [
                (Some("build"), Some("compiles"), "a:${V}", false),
                (Some("second"), None, "scratch", false),
                (None, None, "a", false),
                (Some("last"), Some("is built"), "build", true),
            ]
        );
        assert_eq!(targets[0].platform.as_deref(), Some("$BUILDPLATFORM"));
        assert_eq!(targets[3].lines, 11..=11);
    }

    #[test]
    fn a_description_begins_with_the_name() {
        for (comments, expected) in [
            (&["A is a number"][..], Some("is a number")),
            (&["this is A", "A  b", "A c"], Some(" b")),
            (&["a lower case", "AB another"], None),
            (&["A"], None),
            (&[], None),
        ] {
            let comments: Vec<String> = comments.iter().map(|c| (*c).to_owned()).collect();
            assert_eq!(description(&comments, "A").as_deref(), expected, "{comments:?}");
        }
    }
}
