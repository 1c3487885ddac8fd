//! A plain table: columns as wide as their widest cell, within a limit.

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    /// As left; what is too long keeps its start.
    Start,
    Right,
}

/// A heading, and at most how many characters its cells may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) align: Align,
    pub(super) limit: usize,
}

const GAP: &str = "  ";

/// The heading and the rows, a line each, without trailing blanks.
pub(super) fn render(columns: &[Column], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = columns.iter().map(|column| column.heading.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&heading)
        .chain(rows)
        .map(|row| row.iter().zip(columns).map(|(cell, column)| shorten(cell, column)).collect())
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(columns)
            .zip(&widths)
            .map(|((cell, column), width)| match column.align {
                Align::Left | Align::Start => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// At most as many characters as the column has; the end of a name tells more than its start.
fn shorten(cell: &str, column: &Column) -> String {
    let (length, limit) = (cell.chars().count(), column.limit);
    if length <= limit {
        return cell.to_owned();
    }
    if column.align == Align::Start {
        let start: String = cell.chars().take(limit - 1).collect();
        return format!("{start}…");
    }
    let end: String = cell.chars().skip(length - (limit - 1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_and_long_ones_lose_their_start() {
        let columns = [
            Column { heading: "NAME", align: Align::Left, limit: 8 },
            Column { heading: "SIZE", align: Align::Right, limit: 10 },
        ];
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["registry/image:1".to_owned(), "10000".to_owned()],
        ];
        assert_eq!(render(&columns, &rows), "NAME       SIZE\na             1\n…image:1  10000\n");
    }
}
