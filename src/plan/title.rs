//! `[builder 2/4] RUN go build`: what the log calls a step (L-086).

use super::environment::Environment;

/// Numbers the steps of one stage. Only what makes a layer counts, and the base if it is an image.
pub(super) struct Titles {
    /// The platform, where there are several, and the name; `None` for a stage that stands alone in
    /// its file.
    stage: Option<String>,
    total: usize,
    done: usize,
}

impl Titles {
    pub(super) fn new(stage: Option<String>, total: usize) -> Self {
        Self { stage, total, done: 0 }
    }

    pub(super) fn next(&mut self, text: &str, triggered: bool) -> String {
        self.done += 1;
        let stage = self.stage.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        let width = self.total.to_string().len();
        let onbuild = if triggered { "ONBUILD " } else { "" };
        format!("[{stage}{:width$}/{}] {onbuild}{text}", self.done, self.total)
    }
}

/// The keyword in upper case, the rest as it is.
pub(super) fn uppercased(text: &str) -> String {
    match text.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => text.to_uppercase(),
    }
}

/// The first line of a heredoc's body, with `...` if there are more.
pub(super) fn summary(body: &str) -> String {
    let body = body.trim();
    match body.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => body.to_owned(),
    }
}

/// The text of a RUN with `$NAME` and `${NAME}` replaced by the values that are known. All else is
/// the shell's: quotes, escapes, other substitutions, and all between single quotes, stay.
pub(super) fn with_variables(text: &str, environment: &Environment) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut single, mut double) = (false, false);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' if !single => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '$' if !single => {
                if let Some((name, length)) = reference(&rest[1..])
                    && let Some(value) = environment.get(name)
                {
                    out.push_str(value);
                    rest = &rest[1 + length..];
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The name that follows a `$`, and the bytes it takes.
fn reference(text: &str) -> Option<(&str, usize)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    match braced {
        _ if name.is_empty() => None,
        false => Some((name, end)),
        true => after.starts_with('}').then_some((name, end + 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_shown() {
        let mut environment = Environment::default();
        environment.set("A", "1");
        environment.set("LONG", "$A");
        for (text, expected) in [
            ("echo $A ${A}x $AB", "echo 1 1x $AB"),
            ("echo '$A' \"$A\" \"'$A'\"", "echo '$A' \"1\" \"'1'\""),
            ("echo \\$A \\\\$A ${A:-x} $ $$ é$A", "echo \\$A \\\\1 ${A:-x} $ $$ é1"),
            ("echo $LONG \\", "echo $A \\"),
            ("${A", "${A"),
        ] {
            assert_eq!(with_variables(text, &environment), expected, "{text}");
        }
    }

    #[test]
    fn steps_are_numbered_with_the_width_of_their_total() {
        let mut titles = Titles::new(Some("builder".to_owned()), 10);
        assert_eq!(titles.next("FROM a", false), "[builder  1/10] FROM a");
        assert_eq!(titles.next("RUN b", true), "[builder  2/10] ONBUILD RUN b");
        assert_eq!(Titles::new(None, 2).next("FROM a", false), "[1/2] FROM a");
    }

    #[test]
    fn texts_are_shortened() {
        assert_eq!(uppercased("run a B"), "RUN a B");
        assert_eq!(uppercased("run"), "RUN");
        assert_eq!(summary("\n a\r\nb\n"), "a...");
        assert_eq!(summary("a\n"), "a");
    }
}
