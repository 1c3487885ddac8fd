//! `COPY` and `ADD` (section 1.6): what is read, from where, to where.

use crate::dockerfile::expand::Expanded;
use crate::dockerfile::{Heredoc, Transfer, Word};

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
    let mut sources = Vec::with_capacity(transfer.sources.len());
    for word in &transfer.sources {
        sources.push(source(expand(&word.text)?, is_add)?);
    }
    let destination = expand(&transfer.destination.text)?;
    if checksum.is_some() {
        match sources.as_slice() {
            [CopySource::Http(_)] if transfer.heredocs.is_empty() => {}
            [CopySource::Path(_)] => return Err(PlanErrorKind::ChecksumOfPath),
            _ => return Err(PlanErrorKind::ChecksumOfSeveral),
        }
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
        checksum,
    })
}

/// After expansion, since a variable may hold a URL.
fn source(text: String, is_add: bool) -> Result<CopySource, PlanErrorKind> {
    match (kind(&text), is_add) {
        (Kind::Path, _) => Ok(CopySource::Path(text)),
        (Kind::Http, true) => Ok(CopySource::Http(text)),
        (Kind::Http, false) => Err(PlanErrorKind::CopyUrl),
        (Kind::Git, true) => Err(PlanErrorKind::Unsupported {
            what: "ADD of a git repository".to_owned(),
            hint: "Clone it into the context before the build, and copy it from there.",
        }),
        (Kind::Git, false) => Err(PlanErrorKind::CopyGit),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Path,
    Http,
    Git,
}

/// `https://…/x.git` is a repository, any other http URL a file; `git@host:path` is a repository
/// (L-145, L-146).
fn kind(text: &str) -> Kind {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("git://") || lower.starts_with("ssh://") {
        return Kind::Git;
    }
    if let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) {
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        return if path.ends_with(".git") { Kind::Git } else { Kind::Http };
    }
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let is_scp = text
        .split_once('@')
        .and_then(|(user, rest)| Some((user, rest.split_once(':')?)))
        .is_some_and(|(user, (host, path))| word(user) && word(host) && !path.is_empty());
    if is_scp { Kind::Git } else { Kind::Path }
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
        match source {
            CopySource::Path(path) => word("", path),
            CopySource::Http(url) => word("", url),
        }
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
    fn sources_are_told_apart() {
        for (text, expected) in [
            ("a/b", Kind::Path),
            ("./git@host:x", Kind::Path),
            ("a@b", Kind::Path),
            ("github.com/a/b", Kind::Path),
            ("http", Kind::Path),
            ("https://example.com/a.tar.gz", Kind::Http),
            ("HTTP://example.com/a.git/b", Kind::Http),
            ("https://example.com/a.git", Kind::Git),
            ("https://example.com/a.git#main:dir", Kind::Git),
            ("https://example.com/a.git?ref=main", Kind::Git),
            ("git://example.com/a", Kind::Git),
            ("ssh://git@example.com/a", Kind::Git),
            ("git@example.com:a/b.git", Kind::Git),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
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
