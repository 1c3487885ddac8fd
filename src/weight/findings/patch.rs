//! Changes of a Dockerfile that need no judgment. Where a step is not written as expected there is
//! no patch: the advice still says in words what to do.

use crate::weight::finding::Patch;
use crate::weight::layer::Step;

/// A RUN that leaves the cache of a package manager cleans up after itself.
pub(super) fn clean_up(dockerfile: &str, step: &Step, manager: &str) -> Option<Patch> {
    match manager {
        "apt" if runs(step, "apt-get") || runs(step, "apt") => {
            append(dockerfile, step, "rm -rf /var/lib/apt/lists/* /var/cache/apt/*")
        }
        "apk" => insert_flag(dockerfile, step, "apk add", "--no-cache"),
        "pip" => insert_flag(dockerfile, step, "pip install", "--no-cache-dir")
            .or_else(|| insert_flag(dockerfile, step, "pip3 install", "--no-cache-dir")),
        "npm" if runs(step, "npm") => append(dockerfile, step, "npm cache clean --force"),
        "dnf" if runs(step, "dnf") => append(dockerfile, step, "dnf clean all"),
        "yum" if runs(step, "yum") => append(dockerfile, step, "yum clean all"),
        _ => None,
    }
}

/// `COPY a b` and `RUN chown -R x:y b` become `COPY --chown=x:y a b`; chmod with a number likewise.
pub(super) fn owner_at_once(dockerfile: &str, copy: &Step, change: &Step) -> Option<Patch> {
    let (from, to) = (copy.lines?.0, change.lines?.1);
    let lines = lines(dockerfile, (from, to))?;
    let copied = usize::try_from(copy.lines?.1.checked_sub(from)? + 1).ok()?;
    let changed = usize::try_from(change.lines?.0.checked_sub(from)?).ok()?;
    let (copy, between, change) =
        (lines.get(..copied)?, lines.get(copied..changed)?, lines.get(changed..)?);
    let [change] = change else { return None };
    let (flag, target) = changed_only(change)?;
    let (keyword, rest) = copy[0].trim_start().split_once(char::is_whitespace)?;
    let is_copy = keyword.eq_ignore_ascii_case("COPY") || keyword.eq_ignore_ascii_case("ADD");
    let name = flag.split_once('=')?.0;
    if !is_copy || copy.iter().any(|line| line.contains(name)) {
        return None;
    }
    // The change must be of all that was copied.
    let destination = copy.last()?.split_whitespace().last()?;
    if destination.trim_end_matches('/') != target.trim_end_matches('/') {
        return None;
    }
    let first = format!("{keyword} {flag} {}", rest.trim_start());
    let new = std::iter::once(first).chain(owned(&copy[1..])).chain(owned(between)).collect();
    Some(Patch { line: from, old: owned(&lines), new })
}

/// The flag of COPY that does what `RUN chown …` or `RUN chmod …` and nothing else does, and to what.
fn changed_only(line: &str) -> Option<(String, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (command, rest) = match words.as_slice() {
        [run, command, rest @ ..] if run.eq_ignore_ascii_case("RUN") => (*command, rest),
        _ => return None,
    };
    let [value, target] = (match rest {
        ["-R", rest @ ..] => rest,
        rest => rest,
    }) else {
        return None;
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if !value.chars().all(is_plain) || !target.chars().all(is_plain) || value.starts_with('-') {
        return None;
    }
    match command {
        "chown" => Some((format!("--chown={value}"), target)),
        "chmod" if value.chars().all(|c| c.is_digit(8)) => {
            Some((format!("--chmod={value}"), target))
        }
        _ => None,
    }
}

fn runs(step: &Step, program: &str) -> bool {
    step.instruction.split(|c: char| c.is_whitespace() || ";&|(".contains(c)).any(|w| w == program)
}

/// Another command at the end of a RUN in shell form.
fn append(dockerfile: &str, step: &Step, command: &str) -> Option<Patch> {
    let (old, line) = shell_lines(dockerfile, step)?;
    let last = old.last()?.trim_end();
    // What a `#` begins the shell does not see, or sees as a comment: both would swallow the rest.
    if last.contains('#') || step.instruction.contains(command) {
        return None;
    }
    let mut new = owned(&old);
    let end = new.len() - 1;
    new[end] = format!("{last} \\");
    new.push(format!("    && {command}"));
    Some(Patch { line, old: owned(&old), new })
}

/// A flag behind the first words of a command, wherever it occurs.
fn insert_flag(dockerfile: &str, step: &Step, command: &str, flag: &str) -> Option<Patch> {
    let (old, line) = shell_lines(dockerfile, step)?;
    if old.iter().any(|line| line.contains(flag)) {
        return None;
    }
    let new: Vec<String> =
        old.iter().map(|line| line.replace(command, &format!("{command} {flag}"))).collect();
    (new != old).then(|| Patch { line, old: owned(&old), new })
}

/// The lines of a RUN in shell form, and the number of the first.
fn shell_lines<'d>(dockerfile: &'d str, step: &Step) -> Option<(Vec<&'d str>, u32)> {
    let range = step.lines?;
    let lines = lines(dockerfile, range)?;
    let (keyword, rest) = lines.first()?.trim_start().split_once(char::is_whitespace)?;
    let is_shell = keyword.eq_ignore_ascii_case("RUN")
        && !rest.trim_start().starts_with('[')
        && !lines.iter().any(|line| line.contains("<<"));
    is_shell.then_some((lines, range.0))
}

/// `None` where the file has not that many lines, or another escape character than `\`.
fn lines(dockerfile: &str, (first, last): (u32, u32)) -> Option<Vec<&str>> {
    let is_escape = |line: &str| {
        let directive = line.trim_start().strip_prefix('#').map(str::trim_start);
        directive.is_some_and(|text| text.to_ascii_lowercase().starts_with("escape"))
    };
    if dockerfile.lines().take_while(|line| line.trim_start().starts_with('#')).any(is_escape) {
        return None;
    }
    let count = usize::try_from(last.checked_sub(first)? + 1).ok()?;
    let skip = usize::try_from(first.checked_sub(1)?).ok()?;
    let lines: Vec<&str> = dockerfile.lines().skip(skip).take(count).collect();
    (lines.len() == count).then_some(lines)
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::layer::Source;

    fn step(dockerfile: &str, lines: (u32, u32)) -> Step {
        let text = dockerfile.lines().skip(lines.0 as usize - 1);
        let text: Vec<&str> = text.take((lines.1 - lines.0 + 1) as usize).collect();
        Step { instruction: text.join(" "), lines: Some(lines), source: Source::Context }
    }

    fn cleaned(dockerfile: &str, lines: (u32, u32), manager: &str) -> Option<Vec<String>> {
        let patch = clean_up(dockerfile, &step(dockerfile, lines), manager)?;
        assert_eq!((patch.line, patch.old.len() as u32), (lines.0, lines.1 - lines.0 + 1));
        Some(patch.new)
    }

    #[test]
    fn a_run_cleans_up_after_itself() {
        let clean = "    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*";
        for (text, lines, manager, expected) in [
            (
                "FROM debian\nRUN apt-get update \\\n && apt-get install -y curl\n",
                (2, 3),
                "apt",
                Some(vec!["RUN apt-get update \\", " && apt-get install -y curl \\", clean]),
            ),
            ("RUN apk add curl", (1, 1), "apk", Some(vec!["RUN apk add --no-cache curl"])),
            ("RUN apk add --no-cache curl", (1, 1), "apk", None),
            (
                "run pip install -r r.txt",
                (1, 1),
                "pip",
                Some(vec!["run pip install --no-cache-dir -r r.txt"]),
            ),
            ("RUN [\"apt-get\", \"update\"]", (1, 1), "apt", None),
            ("RUN <<EOF\napt-get update\nEOF", (1, 3), "apt", None),
            ("# escape=`\nRUN apt-get update", (2, 2), "apt", None),
            ("RUN apt-get update # why", (1, 1), "apt", None),
            ("COPY apt-get /", (1, 1), "apt", None),
            ("RUN ./install", (1, 1), "apt", None),
        ] {
            let expected = expected.map(|lines| lines.into_iter().map(str::to_owned).collect());
            assert_eq!(cleaned(text, lines, manager), expected, "{text}");
        }
        assert_eq!(clean_up("RUN apk add x", &step("\n\nRUN apk add x", (3, 3)), "apk"), None);
    }

    #[test]
    fn an_owner_is_given_when_copying() {
        let patched = |text: &str, copy, change| {
            owner_at_once(text, &step(text, copy), &step(text, change)).map(|patch| patch.new)
        };
        let text = "COPY app /srv/app\nENV A=1\nRUN chown -R web:web /srv/app/";
        let expected = ["COPY --chown=web:web app /srv/app", "ENV A=1"].map(str::to_owned);
        assert_eq!(patched(text, (1, 1), (3, 3)), Some(expected.into()));
        let text = "COPY \\\n  app /run.sh\nRUN chmod 755 /run.sh";
        let expected = ["COPY --chmod=755 \\", "  app /run.sh"].map(str::to_owned);
        assert_eq!(patched(text, (1, 2), (3, 3)), Some(expected.into()));
        for other in [
            "COPY app /srv/app\nRUN chown -R web:web /srv",
            "COPY app /srv/app\nRUN chmod +x /srv/app",
            "COPY app /srv/app\nRUN chown -R web /srv/app && ls",
            "COPY --chown=a app /srv/app\nRUN chown -R b /srv/app",
            "RUN mkdir /srv/app\nRUN chown -R b /srv/app",
        ] {
            assert_eq!(patched(other, (1, 1), (2, 2)), None, "{other}");
        }
    }
}
