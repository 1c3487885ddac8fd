//! A source file as the rules see it: the paths and words in it, without comments, text and tests.

use std::iter::Peekable;
use std::str::Chars;
use std::vec::IntoIter;

/// A file of `src/`.
pub struct Source {
    /// Below `src/`.
    pub file: String,
    /// What the file is in the crate: `plan/mod.rs` is `["plan"]`.
    pub module: Vec<String>,
    /// Modules that exist in tests only, by their full path.
    pub test_modules: Vec<Vec<String>>,
    /// Line and path, as it is written but for `crate`, `self` and `super`, which are resolved to
    /// `crate::…`. A single word counts, and so does each branch of a `use`.
    pub paths: Vec<(usize, Vec<String>)>,
    /// Line and name of what is called as a macro.
    pub macros: Vec<(usize, String)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Then,
    Symbol(char),
}

use Token::{Symbol, Then, Word};

/// A line and what is on it.
type Placed = (usize, Token);

impl Source {
    pub fn parse(file: &str, text: &str) -> Self {
        let mut module: Vec<String> =
            file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let (tokens, test_modules) = without_tests(tokens(text), &module);
        let (paths, macros) = (Vec::new(), Vec::new());
        let mut source = Self { file: file.to_owned(), module, test_modules, paths, macros };
        source.read(&mut tokens.into_iter().peekable());
        source
    }

    fn read(&mut self, tokens: &mut Peekable<IntoIter<Placed>>) {
        while let Some((line, token)) = tokens.next() {
            let Word(word) = token else { continue };
            if word == "use" {
                // What a type captures, `use<>`, is no import.
                if !matches!(tokens.peek(), Some((_, Symbol('<')))) {
                    self.read_use(tokens, Vec::new());
                }
                continue;
            }
            let mut path = vec![word];
            while tokens.next_if(|(_, token)| *token == Then).is_some() {
                if let Some((_, Word(next))) = tokens.next_if(|(_, token)| matches!(token, Word(_)))
                {
                    path.push(next);
                }
            }
            if tokens.next_if(|(_, token)| *token == Symbol('!')).is_some() {
                self.macros.extend(path.last().map(|name| (line, name.clone())));
            }
            self.add(line, path);
        }
    }

    /// Reads one branch of a `use`, up to what ends it.
    fn read_use(&mut self, tokens: &mut Peekable<IntoIter<Placed>>, mut path: Vec<String>) {
        let mut line = 0;
        while let Some((at, token)) =
            tokens.next_if(|(_, token)| !matches!(token, Symbol(',' | '}' | ';')))
        {
            line = at;
            match token {
                Word(word) if word == "as" => drop(tokens.next()),
                Word(word) => path.push(word),
                Symbol('*') => path.push("*".to_owned()),
                Symbol('{') => {
                    while tokens
                        .peek()
                        .is_some_and(|(_, token)| !matches!(token, Symbol('}' | ';')))
                    {
                        self.read_use(tokens, path.clone());
                        tokens.next_if(|(_, token)| *token == Symbol(','));
                    }
                    tokens.next();
                    return;
                }
                Then | Symbol(_) => {}
            }
        }
        // A comma before the closing brace begins nothing.
        if line > 0 {
            self.add(line, path);
        }
    }

    fn add(&mut self, line: usize, mut path: Vec<String>) {
        if path.len() > 1 && path.last().is_some_and(|step| step == "self") {
            path.pop();
        }
        let mut path = path.into_iter().peekable();
        let mut at = match path.peek().map(String::as_str) {
            Some("crate" | "plimsoll") => {
                path.next();
                Vec::new()
            }
            Some("self" | "super") => self.module.clone(),
            _ => return self.paths.push((line, path.collect())),
        };
        while let Some(step) = path.next_if(|step| step == "self" || step == "super") {
            if step == "super" {
                at.pop();
            }
        }
        let resolved = ["crate".to_owned()].into_iter().chain(at).chain(path);
        self.paths.push((line, resolved.collect()));
    }
}

/// Leaves out what `#[cfg(test)]` stands before; the modules among it are named.
fn without_tests(tokens: Vec<Placed>, module: &[String]) -> (Vec<Placed>, Vec<Vec<String>>) {
    let cfg_test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        kept.push(token);
        let tail = &kept[kept.len().saturating_sub(cfg_test.len())..];
        let same = |(token, text): (&Placed, &&str)| match &token.1 {
            Word(word) => word == text,
            Symbol(symbol) => text.chars().eq([*symbol]),
            Then => false,
        };
        if tail.len() < cfg_test.len() || !tail.iter().zip(&cfg_test).all(same) {
            continue;
        }
        kept.truncate(kept.len() - cfg_test.len());
        let mut depth = 0_u32;
        let mut named = false;
        for (_, token) in tokens.by_ref() {
            match &token {
                Symbol('{') => depth += 1,
                Symbol('}') => depth -= 1,
                Word(word) if named => modules.push([module, std::slice::from_ref(word)].concat()),
                _ => {}
            }
            named = matches!(&token, Word(word) if word == "mod");
            if depth == 0 && matches!(token, Symbol('}' | ';')) {
                break;
            }
        }
    }
    (kept, modules)
}

fn tokens(text: &str) -> Vec<Placed> {
    let mut lexer = Lexer { rest: text.chars(), line: 1 };
    let mut tokens = Vec::new();
    while let Some(placed) = lexer.next_token() {
        tokens.push(placed);
    }
    tokens
}

struct Lexer<'t> {
    rest: Chars<'t>,
    line: usize,
}

impl Lexer<'_> {
    fn next_token(&mut self) -> Option<Placed> {
        loop {
            let text = self.rest.as_str();
            let line = self.line;
            if text.starts_with("//") {
                self.skip(text.find('\n').unwrap_or(text.len()));
            } else if text.starts_with("/*") {
                self.comment();
            } else if let Some(length) = raw_string(text) {
                self.skip(length);
            } else if text.starts_with("::") {
                self.skip(2);
                return Some((line, Then));
            } else {
                match text.chars().next()? {
                    '"' => self.quoted('"'),
                    '\'' if is_character(text) => self.quoted('\''),
                    c if c.is_alphanumeric() || c == '_' => {
                        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
                        let word = &text[..end.unwrap_or(text.len())];
                        self.skip(word.len());
                        return Some((line, Word(word.to_owned())));
                    }
                    c => {
                        self.skip(c.len_utf8());
                        if !c.is_whitespace() {
                            return Some((line, Symbol(c)));
                        }
                    }
                }
            }
        }
    }

    /// Goes on by so many bytes.
    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.as_str().split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest.chars();
    }

    /// Comments may have comments in them.
    fn comment(&mut self) {
        let mut depth = 0_u32;
        while !self.rest.as_str().is_empty() {
            let text = self.rest.as_str();
            let (length, change) = match () {
                () if text.starts_with("/*") => (2, 1),
                () if text.starts_with("*/") => (2, -1),
                () => (text.chars().next().map_or(0, char::len_utf8), 0),
            };
            self.skip(length);
            depth = depth.saturating_add_signed(change);
            if depth == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self, quote: char) {
        self.skip(1);
        while let Some(c) = self.rest.as_str().chars().next() {
            self.skip(c.len_utf8());
            match c {
                '\\' => self.skip(self.rest.as_str().chars().next().map_or(0, char::len_utf8)),
                c if c == quote => return,
                _ => {}
            }
        }
    }
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (_, Some('\'')))
}

/// The length of a raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let content = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + length)
}
