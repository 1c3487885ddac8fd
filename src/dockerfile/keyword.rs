//! The instructions' names.

use super::suggest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

const ALL: [(&str, Keyword); 18] = [
    ("ADD", Keyword::Add),
    ("ARG", Keyword::Arg),
    ("CMD", Keyword::Cmd),
    ("COPY", Keyword::Copy),
    ("ENTRYPOINT", Keyword::Entrypoint),
    ("ENV", Keyword::Env),
    ("EXPOSE", Keyword::Expose),
    ("FROM", Keyword::From),
    ("HEALTHCHECK", Keyword::Healthcheck),
    ("LABEL", Keyword::Label),
    ("MAINTAINER", Keyword::Maintainer),
    ("ONBUILD", Keyword::Onbuild),
    ("RUN", Keyword::Run),
    ("SHELL", Keyword::Shell),
    ("STOPSIGNAL", Keyword::Stopsignal),
    ("USER", Keyword::User),
    ("VOLUME", Keyword::Volume),
    ("WORKDIR", Keyword::Workdir),
];

impl Keyword {
    /// In any case (L-004).
    pub(super) fn parse(text: &str) -> Option<Self> {
        ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, keyword)| *keyword)
    }

    pub(super) fn name(self) -> &'static str {
        // The table is in the order of the variants; a test holds it so.
        ALL[self as usize].0
    }

    /// Whether `<<` means something behind it (L-105).
    pub(super) fn takes_heredocs(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::Run)
    }

    pub(super) fn nearest(text: &str) -> Option<String> {
        suggest::nearest_in_any_case(text, ALL.iter().map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, keyword) in ALL {
            assert_eq!(keyword.name(), name);
            assert_eq!(Keyword::parse(&name.to_lowercase()), Some(keyword));
        }
        assert_eq!(Keyword::parse("RUNN"), None);
        assert_eq!(Keyword::nearest("RUNN").as_deref(), Some("RUN"));
        assert_eq!(Keyword::nearest("frmo").as_deref(), Some("from"));
        assert_eq!(Keyword::nearest("INCLUDE"), None);
    }
}
