//! `COPY` and `ADD` (section 1.6): what is read, from where, to where.

use crate::dockerfile::expand::Expanded;
use crate::dockerfile::{Heredoc, Transfer, Word};
use crate::url::{self, GitUrl};

use super::config::{Scope, State};
use super::{CopyFrom, CopyOp, CopySource, InlineFile, PlanErrorKind, Unpack, lint};

pub(super) fn plan(
    transfer: &Transfer,
    is_add: bool,
    from: CopyFrom,
    state: &State,
    scope: &Scope<'_>,
) -> Result<CopyOp, PlanErrorKind> {
    let expand = |text: &str| state.expand(text, scope);
    // An option that expands to nothing is as good as not written.
    let option = |word: &Option<Word>| match word {
        Some(word) => expand(&word.text).map(|text| Some(text).filter(|text| !text.is_empty())),
        None => Ok(None),
    };
    // In BuildKit's order, in which the checks tell what they find.
    let chown = option(&transfer.chown)?;
    let chmod = option(&transfer.chmod)?;
    if let Some(mode) = chmod.as_deref().filter(|mode| !is_mode(mode)) {
        return Err(PlanErrorKind::Chmod(mode.to_owned()));
    }
    let checksum = option(&transfer.checksum)?;
    if checksum.is_some() && transfer.sources.len() + transfer.heredocs.len() != 1 {
        return Err(PlanErrorKind::ChecksumOfSeveral);
    }
    let mut sources = Vec::with_capacity(transfer.sources.len());
    for word in &transfer.sources {
        let text = expand(&word.text)?;
        sources.push(source(text, transfer.keep_git_dir, checksum.as_deref(), is_add)?);
    }
    let destination = expand(&transfer.destination.text)?;
    if checksum.is_some() && matches!(sources.as_slice(), [CopySource::Path(_)]) {
        return Err(PlanErrorKind::ChecksumOfPath);
    }
    let inline = transfer
        .heredocs
        .iter()
        .map(|heredoc| inline(heredoc, state, scope))
        .collect::<Result<Vec<_>, _>>()?;
    let reads_files = sources.iter().any(|source| matches!(source, CopySource::Path(_)));
    Ok(CopyOp {
        from: if reads_files { from } else { CopyFrom::Empty },
        sources,
        inline,
        destination,
        cwd: state.directory(),
        chown,
        chmod,
        link: transfer.link,
        parents: transfer.parents,
        exclude: transfer.exclude.iter().map(|word| word.text.clone()).collect(),
        unpack: match (is_add, transfer.unpack) {
            (false, _) | (true, Some(false)) => Unpack::Never,
            (true, None) => Unpack::Local,
            (true, Some(true)) => Unpack::Always,
        },
    })
}

/// After expansion, since a variable may hold a URL.
fn source(
    text: String,
    keep_git_dir: Option<bool>,
    checksum: Option<&str>,
    is_add: bool,
) -> Result<CopySource, PlanErrorKind> {
    if let Some(url) = GitUrl::parse(&text) {
        if !is_add {
            return Err(PlanErrorKind::CopyGit);
        }
        let url = flagged(url?, keep_git_dir, checksum)?;
        return Ok(CopySource::Git { text, url });
    }
    match (url::is_http(&text), is_add) {
        (false, _) => Ok(CopySource::Path(text)),
        (true, false) => Err(PlanErrorKind::CopyUrl),
        (true, true) => {
            let checksum = checksum.map(str::parse).transpose()?;
            Ok(CopySource::Http { url: text, checksum })
        }
    }
}

/// What the flags say, which must not be something else than what the URL says (L-146).
fn flagged(
    mut url: GitUrl,
    keep_git_dir: Option<bool>,
    checksum: Option<&str>,
) -> Result<GitUrl, PlanErrorKind> {
    match (keep_git_dir, url.keep_git_dir) {
        (Some(flag), Some(said)) if flag != said => return Err(PlanErrorKind::KeepGitDirConflict),
        (flag, said) => url.keep_git_dir = said.or(flag),
    }
    match (checksum, &url.checksum) {
        (Some(flag), Some(said)) if flag != said => {
            let (flag, url) = (flag.to_owned(), said.clone());
            return Err(PlanErrorKind::ChecksumConflict { flag, url });
        }
        (Some(flag), None) => url.checksum = Some(flag.to_owned()),
        _ => {}
    }
    url.check_checksum()?;
    Ok(url)
}

/// `--chmod`: octal up to 7777, or symbolic as chmod(1) has it (L-136).
fn is_mode(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
    }
    text.split(',').all(|clause| {
        let actions = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        actions.starts_with(['+', '-', '=']) && actions.chars().all(|c| "+-=rwxXstugo".contains(c))
    })
}

/// The body without the tabs of `<<-`, expanded unless the name was quoted (L-039, L-141).
fn inline(
    heredoc: &Heredoc,
    state: &State,
    scope: &Scope<'_>,
) -> Result<InlineFile, PlanErrorKind> {
    let content = heredoc.text();
    let content = match heredoc.expand {
        true => {
            let Expanded { text, undefined } = scope.lexer.heredoc(&content, &state.environment)?;
            lint::undefined(undefined, state, scope);
            text
        }
        false => content.into_owned(),
    };
    Ok(InlineFile { name: heredoc.name.clone(), content })
}

/// `COPY --chown=a b c # buildkit` (1.11).
pub(super) fn created_by(op: &CopyOp, is_add: bool) -> String {
    let mut text = String::from(if is_add { "ADD" } else { "COPY" });
    let mut word = |prefix: &str, word: &str| {
        text.push(' ');
        text.push_str(prefix);
        text.push_str(word);
    };
    if op.parents {
        word("--parents", "");
    }
    if let Some(owner) = &op.chown {
        word("--chown=", owner);
    }
    if let Some(mode) = &op.chmod {
        word("--chmod=", mode);
    }
    for source in &op.sources {
        word("", source.text());
    }
    for file in &op.inline {
        word("<<", &file.name);
    }
    word("", &op.destination);
    text + " # buildkit"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_url_must_agree() {
        let git = |text: &str, keep, checksum| match source(text.to_owned(), keep, checksum, true) {
            Ok(CopySource::Git { url, .. }) => Ok((url.keep_git_dir, url.checksum)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        let bare = "https://h/a.git#main";
        assert_eq!(git(bare, Some(true), Some("ab")), Ok((Some(true), Some("ab".to_owned()))));
        let full = "https://h/a.git?keep-git-dir=1&checksum=ab#main";
        assert_eq!(git(full, None, None), Ok((Some(true), Some("ab".to_owned()))));
        for (keep, checksum, expected) in [
            (Some(false), None, "inconsistent keep-git-dir configuration"),
            (None, Some("cd"), r#"checksum mismatch "cd" != "ab""#),
        ] {
            assert_eq!(git(full, keep, checksum), Err(expected.to_owned()));
        }
        let expected = "invalid checksum sha256:0 for Git URL, expected hex commit hash";
        assert_eq!(git(bare, None, Some("sha256:0")), Err(expected.to_owned()));
    }

    #[test]
    fn modes_are_checked() {
        for good in ["0", "755", "0644", "07777", "+x", "u=rwX,go=rX", "g=u", "a-w+x", "u+s"] {
            assert!(is_mode(good), "{good}");
        }
        for bad in ["8", "10000", "75x", "", "rwx", "u", "u+y", "+x,"] {
            assert!(!is_mode(bad), "{bad}");
        }
    }
}
