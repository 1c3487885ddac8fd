//! What runs in the container: `CMD`, `ENTRYPOINT`, `SHELL`, `HEALTHCHECK` (L-166 to L-169).

use super::super::ast::{Command, Healthcheck};
use super::super::duration::parse_duration;
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::flag::{Flags, Takes};
use super::super::json;
use super::Head;

pub(super) fn command(head: &Head<'_>) -> Result<Command, Fault> {
    head.without_flags()?;
    form(head)
}

/// The exec form or the shell form of all arguments (L-018).
pub(super) fn form(head: &Head<'_>) -> Result<Command, Fault> {
    Ok(match head.json()? {
        Some(words) => Command::Exec(words),
        None => Command::Shell(head.arguments.as_str().to_owned()),
    })
}

pub(super) fn shell(head: &Head<'_>) -> Result<Vec<String>, Fault> {
    head.without_flags()?;
    match head.json()? {
        Some(words) if !words.is_empty() => Ok(words),
        None if !head.arguments.is_empty() => {
            Err(Fault::at(SyntaxErrorKind::NotJson(head.name()), head.span()))
        }
        _ => Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into()),
    }
}

const DURATIONS: [&str; 4] = ["interval", "timeout", "start-period", "start-interval"];

pub(super) fn healthcheck(head: &Head<'_>) -> Result<Healthcheck, Fault> {
    let text = head.arguments.as_str();
    if text.is_empty() {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    }
    let [interval, timeout, start_period, start_interval] =
        DURATIONS.map(|name| (name, Takes::Text));
    let known = [interval, timeout, start_period, start_interval, ("retries", Takes::Text)];
    let flags = Flags::check(head.flags.clone(), &known)?;

    let (kind, rest) =
        head.arguments.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    let rest = rest.trim();
    match kind.as_str().to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => return Ok(Healthcheck::None),
        "NONE" => return Err(Fault::at(SyntaxErrorKind::HealthcheckNone, rest.span())),
        "CMD" => {}
        other => {
            return Err(Fault::at(SyntaxErrorKind::HealthcheckType(other.to_owned()), kind.span()));
        }
    }
    let command = match json::string_array(rest.as_str()) {
        Err(kind) => return Err(Fault::at(kind, rest.span())),
        Ok(Some(words)) if words.is_empty() => None,
        Ok(Some(words)) => Some(Command::Exec(words)),
        Ok(None) if rest.is_empty() => None,
        Ok(None) => Some(Command::Shell(rest.as_str().to_owned())),
    };
    let command = command.ok_or(SyntaxErrorKind::HealthcheckCommand)?;
    let [interval, timeout, start_period, start_interval] =
        DURATIONS.map(|name| duration(&flags, name));
    Ok(Healthcheck::Check {
        interval: interval?,
        timeout: timeout?,
        start_period: start_period?,
        start_interval: start_interval?,
        retries: retries(&flags)?,
        command,
    })
}

/// Zero is allowed and means what is inherited; below a millisecond is a mistake.
fn duration(flags: &Flags, name: &'static str) -> Result<Option<i64>, Fault> {
    const MILLISECOND: i64 = 1_000_000;
    let Some(value) = flags.text(name) else { return Ok(None) };
    match parse_duration(&value.text) {
        Err(error) => Err(Fault::at(SyntaxErrorKind::Duration(error), value.span)),
        Ok(nanoseconds) if nanoseconds != 0 && nanoseconds < MILLISECOND => {
            Err(Fault::at(SyntaxErrorKind::ShortInterval(name), value.span))
        }
        Ok(nanoseconds) => Ok(Some(nanoseconds)),
    }
}

fn retries(flags: &Flags) -> Result<Option<u32>, Fault> {
    let Some(value) = flags.text("retries") else { return Ok(None) };
    let Ok(number) = value.text.parse::<i32>() else {
        return Err(Fault::at(SyntaxErrorKind::Retries(value.text), value.span));
    };
    u32::try_from(number)
        .map(Some)
        .map_err(|_| Fault::at(SyntaxErrorKind::NegativeRetries(number), value.span))
}
