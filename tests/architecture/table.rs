//! The code map of ARCHITECTURE.md as data.

use std::collections::{BTreeMap, BTreeSet};

const HEAD: &str = "| folder | what it knows | may use |";

/// What the map says of each folder or file of `src/`, by its name without `/` and `.rs`.
#[derive(Debug)]
pub struct Table(BTreeMap<String, Row>);

#[derive(Debug)]
pub struct Row {
    /// Values in, values out.
    pub pure: bool,
    /// Anyone may use it.
    pub for_all: bool,
    pub may_use: BTreeSet<String>,
}

impl Table {
    /// Reads the table behind [`HEAD`]; an error is one that a writer of the table has made.
    pub fn parse(markdown: &str) -> Result<Self, String> {
        let (_, rest) = markdown.split_once(HEAD).ok_or("there is no table of folders")?;
        let lines = rest.trim_start_matches('\n').lines().skip(1);
        let cells = lines
            .take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = cells.iter().map(|[name, ..]| name.clone()).collect();
        let mut rows = BTreeMap::new();
        for (position, [name, knows, uses]) in cells.into_iter().enumerate() {
            let may_use = may_use(&uses, &names, position).map_err(|e| format!("`{name}`: {e}"))?;
            let (pure, for_all) = (knows.contains("**Pure**"), knows.contains("**For all**"));
            rows.insert(name, Row { pure, for_all, may_use });
        }
        Ok(Self(rows))
    }

    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.0.get(name)
    }
}

fn cells(line: &str) -> Result<[String; 3], String> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, knows, uses] = cells[..] else {
        return Err(format!("a row without three cells: {line}"));
    };
    let name = name.trim_matches('`').trim_end_matches('/').trim_end_matches(".rs");
    Ok([name.to_owned(), knows.to_owned(), uses.to_owned()])
}

fn may_use(cell: &str, names: &[String], position: usize) -> Result<BTreeSet<String>, String> {
    let mut may_use = BTreeSet::new();
    for word in without_remarks(cell).split(',').map(str::trim) {
        match word {
            "–" => {}
            "everything" => may_use.extend(names.iter().cloned()),
            "all of the above" => may_use.extend(names[..position].iter().cloned()),
            _ => {
                let name = word.strip_prefix('`').and_then(|word| word.strip_suffix('`'));
                let name = name.ok_or_else(|| format!("{word:?} says nothing about use"))?;
                if !names.iter().any(|known| known == name) {
                    return Err(format!("there is no row `{name}` to use"));
                }
                may_use.insert(name.to_owned());
            }
        }
    }
    // What starts the program and what is typed stand above it all.
    if cell.contains("all of the above") {
        may_use.remove("main");
        may_use.remove("cli");
    }
    Ok(may_use)
}

/// Without what is in parentheses.
fn without_remarks(cell: &str) -> String {
    let mut depth = 0_u32;
    cell.chars()
        .filter(|c| {
            depth += u32::from(*c == '(');
            let kept = depth == 0;
            depth -= u32::from(*c == ')' && depth > 0);
            kept
        })
        .collect()
}
