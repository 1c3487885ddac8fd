//! `--chmod` of COPY and ADD (L-136).

/// A parsed `--chmod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// At most 0o7777.
    Absolute(u32),
    /// Clauses of chmod(1), in order.
    Symbolic(Vec<Clause>),
}

/// `u+rwX`: one operation for some classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The bits of the classes named; all where none is named, since there is no umask.
    who: u32,
    operation: Operation,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    Bits {
        bits: u32,
        /// `X`: execution where the entry is a directory or somebody may execute it already.
        execute_if_any: bool,
    },
    /// What the owner (6), the group (3) or others (0) have: how far their bits are to the left.
    CopyOf { shift: u32 },
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChmodError {
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Number(String),
    #[error("invalid chmod parameter: '{0}': expected clauses such as u=rwX,go-w")]
    Symbolic(String),
}

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

impl Chmod {
    /// Reads an octal number or symbolic clauses.
    ///
    /// # Errors
    /// When `text` is neither, or the number is over 07777.
    pub fn parse(text: &str) -> Result<Self, ChmodError> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .map(Self::Absolute)
                .ok_or_else(|| ChmodError::Number(text.to_owned()));
        }
        parse_clauses(text).map(Self::Symbolic).ok_or_else(|| ChmodError::Symbolic(text.to_owned()))
    }

    /// The mode of an entry that had `mode`.
    #[must_use]
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let clauses = match self {
            Self::Absolute(mode) => return *mode,
            Self::Symbolic(clauses) => clauses,
        };
        let executable = is_directory || mode & 0o111 != 0;
        clauses.iter().fold(mode, |mode, clause| clause.apply(mode, executable))
    }

    /// The mode of a directory that has no source: COPY makes missing parents with the permission
    /// bits of a number, and with 0755 otherwise.
    #[must_use]
    pub fn of_made_directory(&self) -> u32 {
        match self {
            Self::Absolute(mode) => mode & 0o777,
            Self::Symbolic(_) => 0o755,
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, executable: bool) -> u32 {
        let bits = self.who
            & match self.permissions {
                Permissions::Bits { bits, execute_if_any } => {
                    bits | if execute_if_any && executable { 0o111 } else { 0 }
                }
                Permissions::CopyOf { shift } => (mode >> shift & 0o7) * 0o111,
            };
        match self.operation {
            Operation::Add => mode | bits,
            Operation::Remove => mode & !bits,
            Operation::Set => mode & !(self.who & !STICKY) | bits,
        }
    }
}

fn parse_clauses(text: &str) -> Option<Vec<Clause>> {
    let mut clauses = Vec::new();
    for part in text.split(',') {
        let operations = part.find(['+', '-', '='])?;
        let (classes, mut rest) = part.split_at(operations);
        let mut who = 0;
        for class in classes.chars() {
            who |= match class {
                'u' => SETUID | 0o700,
                'g' => SETGID | 0o070,
                'o' => 0o007,
                'a' => SETUID | SETGID | 0o777,
                _ => return None,
            };
        }
        let only_others = who == 0o007;
        if who == 0 {
            who = SETUID | SETGID | 0o777;
        }
        while let Some(sign) = rest.chars().next() {
            let operation = match sign {
                '+' => Operation::Add,
                '-' => Operation::Remove,
                '=' => Operation::Set,
                _ => return None,
            };
            rest = &rest[1..];
            let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
            let (letters, next) = rest.split_at(end);
            rest = next;
            clauses.push(clause(who, only_others, operation, letters)?);
        }
    }
    Some(clauses)
}

fn clause(who: u32, only_others: bool, operation: Operation, letters: &str) -> Option<Clause> {
    let shift = match letters {
        "u" => Some(6),
        "g" => Some(3),
        "o" => Some(0),
        _ => None,
    };
    if let Some(shift) = shift {
        return Some(Clause { who, operation, permissions: Permissions::CopyOf { shift } });
    }
    let (mut bits, mut execute_if_any, mut sticky) = (0, false, 0);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            'X' if operation == Operation::Remove => bits |= 0o111,
            'X' => execute_if_any = true,
            // Neither means anything for others alone.
            's' if !only_others => bits |= SETUID | SETGID,
            't' if !only_others => sticky = STICKY,
            's' | 't' => {}
            _ => return None,
        }
    }
    let permissions = Permissions::Bits { bits: bits | sticky, execute_if_any };
    Some(Clause { who: who | sticky, operation, permissions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_come_out_as_chmod_makes_them() {
        for (text, file, directory) in [
            // The file is 0640, the directory 0750.
            ("755", 0o755, 0o755),
            ("0", 0, 0),
            ("07777", 0o7777, 0o7777),
            ("+x", 0o751, 0o751),
            ("a+x", 0o751, 0o751),
            ("u+x", 0o740, 0o750),
            ("+X", 0o640, 0o751),
            ("u=rwX,go=rX", 0o644, 0o755),
            ("g=u", 0o660, 0o770),
            ("go=", 0o600, 0o700),
            ("go=u-w", 0o644, 0o755),
            ("o=g", 0o644, 0o755),
            ("a-r", 0o200, 0o310),
            ("u+s", 0o4640, 0o4750),
            ("g+s", 0o2640, 0o2750),
            ("o+s", 0o640, 0o750),
            ("+t", 0o1640, 0o1750),
            ("o+t", 0o640, 0o750),
            ("=rw,+X", 0o666, 0o777),
            ("u-x+w,g-r", 0o600, 0o610),
            ("a-X", 0o640, 0o640),
        ] {
            let chmod = Chmod::parse(text).expect(text);
            assert_eq!(chmod.apply(0o640, false), file, "{text} of a file");
            assert_eq!(chmod.apply(0o750, true), directory, "{text} of a directory");
        }
    }

    #[test]
    fn an_executable_file_stays_one_under_capital_x() {
        let chmod = Chmod::parse("u=rwX,go=rX").expect("valid");
        assert_eq!(chmod.apply(0o700, false), 0o755);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "u", "rwx", "u+q", "u=rw,", "q+x", ",", "u+ug"] {
            let expected = ChmodError::Symbolic(text.to_owned());
            assert_eq!(Chmod::parse(text), Err(expected), "{text}");
        }
        for text in ["8", "10000", "0o755", "75a", "99999999999"] {
            assert_eq!(Chmod::parse(text), Err(ChmodError::Number(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn made_directories_have_permission_bits_only() {
        assert_eq!(Chmod::Absolute(0o4711).of_made_directory(), 0o711);
        assert_eq!(Chmod::parse("u=").expect("valid").of_made_directory(), 0o755);
    }
}
