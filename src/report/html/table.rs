//! Tables of a page.

use crate::figures::human;
use crate::report::markup::text;
use crate::report::weight_text::UNKNOWN;

/// More rows than this no one reads, and a browser takes long to lay them out.
pub(super) const ROWS: usize = 1000;

pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) class: &'static str,
}

pub(super) const fn column(heading: &'static str) -> Column {
    Column { heading, class: "" }
}

pub(super) const fn number(heading: &'static str) -> Column {
    Column { heading, class: "number" }
}

/// What wraps.
pub(super) const fn long(heading: &'static str) -> Column {
    Column { heading, class: "long" }
}

/// Its HTML, and what it is sorted by where that is not its text.
pub(super) struct Cell {
    pub(super) html: String,
    pub(super) sort: Option<i128>,
}

pub(super) fn words(shown: &str) -> Cell {
    Cell { html: format!("<span class=\"text\">{}</span>", text(shown)), sort: None }
}

pub(super) fn path(shown: &str) -> Cell {
    Cell { html: format!("<span class=\"path\">{}</span>", text(shown)), sort: None }
}

pub(super) fn count(value: u64) -> Cell {
    Cell { html: grouped(value), sort: Some(value.into()) }
}

/// `49,041`
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn size(bytes: u64) -> Cell {
    Cell { html: human(bytes), sort: Some(bytes.into()) }
}

/// `mark` stands before what is an estimate.
pub(super) fn compressed(bytes: Option<u64>, mark: &str) -> Cell {
    let html = bytes.map_or_else(|| UNKNOWN.to_owned(), |bytes| format!("{mark}{}", human(bytes)));
    Cell { html, sort: Some(bytes.map_or(-1, i128::from)) }
}

/// How much of a whole.
pub(super) fn share(part: u64, whole: u64) -> Cell {
    #[allow(clippy::cast_precision_loss, reason = "a width in percent")]
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    let html = format!(
        "<svg class=\"share\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{percent:.0} %\"><rect width=\"{percent:.1}\" height=\"8\"/></svg>"
    );
    Cell { html, sort: Some(part.into()) }
}

/// Nothing for no rows. A table that can be sorted has rows that do not depend on their order.
pub(super) fn table(columns: &[Column], rows: Vec<Vec<Cell>>, is_sortable: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = if is_sortable { " class=\"sortable\"" } else { "" };
    let mut html = format!("<div class=\"scroll\"><table{class}><thead><tr>");
    for column in columns {
        html.push_str(&format!("<th{} scope=\"col\">{}</th>", class_of(column), column.heading));
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (cell, column) in row.into_iter().zip(columns) {
            let sort = cell.sort.map_or_else(String::new, |by| format!(" data-sort=\"{by}\""));
            html.push_str(&format!("<td{}{sort}>{}</td>", class_of(column), cell.html));
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>"
}

fn class_of(column: &Column) -> String {
    if column.class.is_empty() { String::new() } else { format!(" class=\"{}\"", column.class) }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1000, 49_041, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "49,041", "1,234,567"]);
    }
}
