//! Inputs that hold a list: one item a line, or several with commas between them.
//!
//! The rules are those of the actions whose inputs these are: a line is a CSV record, a quoted field
//! may hold commas and line breaks, a doubled quote in it is one quote, and a quote in the middle of
//! a plain field is only a character.

/// What separates the items of an input, and what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRules {
    /// A comma separates items as a line break does.
    pub commas: bool,
    /// A line that begins with `#` is left out.
    pub comments: bool,
    /// Fields can be quoted.
    pub quotes: bool,
    /// Space around an item is left out.
    pub trim: bool,
    /// An item is a record whose fields are read later, so that their quotes stay.
    pub records: bool,
}

impl ListRules {
    /// One item a line, such as `labels`.
    pub const LINES: Self =
        Self { commas: false, comments: false, quotes: true, trim: true, records: false };
    /// Lines or commas, such as `platforms`.
    pub const COMMAS: Self = Self { commas: true, ..Self::LINES };
    /// One record a line, such as `cache-from`.
    pub const RECORDS: Self = Self { records: true, ..Self::LINES };
    /// One record a line and comments, such as the `tags` of metadata-action.
    pub const COMMENTED: Self = Self { comments: true, ..Self::RECORDS };
}

/// The items of an input; empty ones are left out.
pub fn list(text: &str, rules: ListRules) -> Vec<String> {
    let mut items = Vec::new();
    let mut records = Records { rest: text, rules };
    while let Some((fields, written)) = records.next() {
        match <[String; 1]>::try_from(fields) {
            Ok([field]) if rules.commas => items.extend(field.split(',').map(str::to_owned)),
            Ok([field]) => items.push(field),
            Err(fields) if rules.commas => items.extend(fields),
            Err(_) if rules.records => items.push(written.to_owned()),
            Err(fields) => items.push(fields.join(",")),
        }
    }
    let trimmed =
        items.into_iter().map(|item| if rules.trim { item.trim().to_owned() } else { item });
    trimmed.filter(|item| !item.is_empty()).collect()
}

/// The fields of the first record of `text`.
pub fn fields(text: &str) -> Vec<String> {
    Records { rest: text, rules: ListRules::COMMAS }.next().map_or(Vec::new(), |(fields, _)| fields)
}

/// The field in quotes, which hold whatever is in it.
pub fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

struct Records<'a> {
    rest: &'a str,
    rules: ListRules,
}

impl<'a> Records<'a> {
    /// The fields of the next record that has any, and the record as it was written.
    fn next(&mut self) -> Option<(Vec<String>, &'a str)> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            if self.rules.comments && self.rest.starts_with('#') {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
                continue;
            }
            let before = self.rest;
            let fields = self.record();
            if fields.iter().any(|field| !field.is_empty()) {
                let written = &before[..before.len() - self.rest.len()];
                return Some((fields, written.trim_end_matches(['\r', '\n'])));
            }
        }
    }

    /// Takes the fields up to the end of the record.
    fn record(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        loop {
            let (field, rest) = match self.quoted() {
                Some(quoted) => quoted,
                None => {
                    let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                    let (field, rest) = self.rest.split_at(end);
                    (field.strip_suffix('\r').unwrap_or(field).to_owned(), rest)
                }
            };
            fields.push(field);
            self.rest = rest;
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None => {
                    self.rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
                    self.rest = self.rest.strip_prefix('\n').unwrap_or(self.rest);
                    return fields;
                }
            }
        }
    }

    /// A field in quotes that ends where the field ends, and what follows it.
    fn quoted(&self) -> Option<(String, &'a str)> {
        let text = self.rest.strip_prefix('"').filter(|_| self.rules.quotes)?;
        let mut field = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c != '"' {
                field.push(c);
            } else if chars.next_if(|(_, next)| *next == '"').is_some() {
                field.push('"');
            } else {
                let rest = &text[at + 1..];
                let ends = rest.is_empty() || rest.starts_with([',', '\n', '\r']);
                return ends.then_some((field, rest));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_lines_or_fields() {
        let rows: &[(&str, ListRules, &[&str])] = &[
            ("", ListRules::LINES, &[]),
            ("\n \n", ListRules::LINES, &[]),
            ("a=1\r\n  b=2  \n\nc=3\n", ListRules::LINES, &["a=1", "b=2", "c=3"]),
            ("a=1,2\nb=3", ListRules::LINES, &["a=1,2", "b=3"]),
            (
                "linux/amd64, linux/arm64\nlinux/386",
                ListRules::COMMAS,
                &["linux/amd64", "linux/arm64", "linux/386"],
            ),
            ("\"A=1\n2\"\nB=3", ListRules::LINES, &["A=1\n2", "B=3"]),
            ("\"say \"\"hi\"\"\"", ListRules::LINES, &["say \"hi\""]),
            ("a=\"1\"", ListRules::LINES, &["a=\"1\""]),
            ("a={\"b\":1,\"c\":2}", ListRules::LINES, &["a={\"b\":1,\"c\":2}"]),
            ("a=x,\"y\",z", ListRules::LINES, &["a=x,y,z"]),
            ("\"a=x,y\",z", ListRules::LINES, &["a=x,y,z"]),
            ("a=x,\"y,z\"", ListRules::RECORDS, &["a=x,\"y,z\""]),
            ("\"a,b\",c\n\"d,e\"", ListRules::COMMAS, &["a,b", "c", "d", "e"]),
            ("\"a\" b", ListRules::LINES, &["\"a\" b"]),
            ("\"never ends\nb", ListRules::LINES, &["\"never ends", "b"]),
            ("# first\na#b\n#c", ListRules::COMMENTED, &["a#b"]),
            ("# first", ListRules::LINES, &["# first"]),
            ("\"x\"", ListRules { quotes: false, ..ListRules::LINES }, &["\"x\""]),
            (" x ", ListRules { trim: false, ..ListRules::LINES }, &[" x "]),
        ];
        for (text, rules, expected) in rows {
            assert_eq!(list(text, *rules), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_record_has_fields() {
        assert_eq!(
            fields("type=raw,\"value=a,b\",enable=true"),
            ["type=raw", "value=a,b", "enable=true"]
        );
        assert_eq!(fields(""), Vec::<String>::new());
    }
}
