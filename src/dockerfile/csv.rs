//! One record of comma-separated values, as `--mount` is written (RFC 4180, section 2).

use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CsvError {
    #[error("it is empty")]
    Empty,
    #[error("bare \" in a field that does not begin with one")]
    BareQuote,
    #[error("a quoted field does not end in \" and a comma")]
    UnclosedQuote,
}

/// The fields, without the quotes around them; `""` inside quotes is one quote.
pub(crate) fn fields(record: &str) -> Result<Vec<String>, CsvError> {
    if record.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err(CsvError::BareQuote);
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// The field that begins after a quote, and what follows: nothing, or a comma and more.
fn quoted_field(mut rest: &str) -> Result<(String, &str), CsvError> {
    let mut field = String::new();
    loop {
        let (text, after) = rest.split_once('"').ok_or(CsvError::UnclosedQuote)?;
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((field, after)),
            None => return Err(CsvError::UnclosedQuote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (record, expected) in [
            ("a", Ok(vec!["a"])),
            ("a,b=c,", Ok(vec!["a", "b=c", ""])),
            (r#""a,b",c"#, Ok(vec!["a,b", "c"])),
            (r#""a""b""#, Ok(vec![r#"a"b"#])),
            (r#""""#, Ok(vec![""])),
            ("", Err(CsvError::Empty)),
            (r#"a"b"#, Err(CsvError::BareQuote)),
            (r#""a"#, Err(CsvError::UnclosedQuote)),
            (r#""a"b,c"#, Err(CsvError::UnclosedQuote)),
        ] {
            let expected = expected.map(|fields| fields.into_iter().map(str::to_owned).collect());
            assert_eq!(fields(record), expected, "{record}");
        }
    }
}
