//! The line of a commit's message that accepts what the image weighs:
//!
//! ```text
//! Plimsoll-Waiver: the new renderer is worth 12 MB
//! ```

/// As git writes trailers.
const TRAILER: &str = "plimsoll-waiver:";

/// The reason in the last paragraph of a message. A line without a reason accepts nothing.
pub fn trailer(message: &str) -> Option<&str> {
    let last = message.trim_end().rsplit("\n\n").next()?;
    last.lines().find_map(|line| {
        let name = line.get(..TRAILER.len())?;
        let reason = line[TRAILER.len()..].trim();
        (name.eq_ignore_ascii_case(TRAILER) && !reason.is_empty()).then_some(reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_paragraph_may_have_it() {
        for (message, expected) in [
            ("Add sails\n\nPlimsoll-Waiver: new sails\n", Some("new sails")),
            ("Add sails\n\nSigned-off-by: A\nplimsoll-waiver:  x \nOther: y", Some("x")),
            ("Plimsoll-Waiver: at once", Some("at once")),
            ("Plimsoll-Waiver: quoted\n\nThat was a quotation.", None),
            ("Add sails\n\nPlimsoll-Waiver:\n", None),
            ("Add sails\n\nNo Plimsoll-Waiver: here", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(trailer(message), expected, "{message:?}");
        }
    }
}
