//! The language against data of others: `PLIMSOLL_CORPUS` names a folder with parser-testfiles,
//! parser-testfiles-negative, envVarTest and wordsTest (its README says what they are).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use plimsoll::dockerfile::expand::Lexer;
use plimsoll::dockerfile::{
    Command, Healthcheck, Instruction, InstructionKind, Pair, Statement, Word, parse,
    parse_instructions,
};

/// `None`, with a word about it, where there is no corpus.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("PLIMSOLL_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("not run: PLIMSOLL_CORPUS is not set");
    }
    folder
}

fn read(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folders(path: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).path()).collect();
    folders.sort();
    folders
}

#[test]
fn files_parse_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let folders = folders(corpus.join("parser-testfiles"));
    assert!(folders.len() > 30, "{} files", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(&folder.join("Dockerfile"));
        let recorded = read(&folder.join("result"));
        let statements = parse_instructions(text.as_bytes())
            .unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
            .list;
        let recorded: Vec<&str> = recorded.lines().collect();
        assert_eq!(statements.len(), recorded.len(), "{name}");
        let mut refused = Vec::new();
        for (statement, recorded) in statements.into_iter().zip(recorded) {
            match statement {
                Ok(statement) => assert_eq!(expression(&statement), recorded, "{name}"),
                Err(error) => refused.push(error.kind.to_string()),
            }
        }
        // The recordings know neither which flags exist nor which arguments must be there.
        let expected: &[&str] = match name.as_str() {
            "flags" => &[
                "unknown flag: --user",
                "unknown flag: --doit",
                "unknown flag: --user",
                "unknown flag: --doit",
                "unknown flag: --doit",
                "unknown flag: --doit",
                "unknown flag: --doit",
            ],
            "health" => &[
                "HEALTHCHECK requires at least one argument",
                "Missing command after HEALTHCHECK CMD",
                "Unknown type \"CONNECT\" in HEALTHCHECK (try CMD)",
            ],
            _ => &[],
        };
        assert_eq!(refused, expected, "{name}");
    }
}

#[test]
fn wrong_files_do_not_parse() {
    let Some(corpus) = corpus() else { return };
    let messages: Vec<_> = folders(corpus.join("parser-testfiles-negative"))
        .iter()
        .map(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let errors = parse(read(&folder.join("Dockerfile")).as_bytes());
            let errors = errors.err().unwrap_or_else(|| panic!("{name} parsed"));
            (name, errors[0].kind.to_string())
        })
        .collect();
    let messages: Vec<_> =
        messages.iter().map(|(name, message)| (name.as_str(), message.as_str())).collect();
    assert_eq!(
        messages,
        [
            ("empty_dockerfile", "the Dockerfile cannot be empty"),
            ("env_no_value", "ENV must have two arguments"),
            ("only_comments", "file with no instructions"),
            (
                "shykes-nested-json",
                "when using JSON array syntax, arrays must be comprised of strings only"
            ),
        ]
    );
}

#[test]
fn words_expand_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let env: BTreeMap<String, String> =
        [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let table = read(&corpus.join("envVarTest"));
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [platform, word, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("not three columns: {line}")
        };
        if platform == "W" {
            continue;
        }
        rows += 1;
        let result = Lexer::default().expand(word, &env);
        if expected == "error" {
            assert!(result.is_err(), "{line}: {result:?}");
        } else {
            let text = result.map(|expanded| expanded.text);
            assert_eq!(text, Ok(expected.to_owned()), "{line}");
        }
    }
    assert!(rows > 200, "{rows} rows");
}

#[test]
fn texts_split_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let mut env = BTreeMap::new();
    let table = read(&corpus.join("wordsTest"));
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(pair) = line.strip_prefix("ENV ") {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            env.insert(key.to_owned(), value.to_owned());
            continue;
        }
        let (text, expected) =
            line.split_once('|').unwrap_or_else(|| panic!("not two columns: {line}"));
        let words = Lexer::default().words(text.trim(), &env);
        let expected: Vec<&str> = expected.trim_start_matches(' ').split(',').collect();
        let words = words.unwrap_or_else(|_| vec!["error".to_owned()]);
        assert_eq!(words, expected, "{line}");
    }
}

/// The statement in the form of the recordings: `(env "name" "value" "=")`.
fn expression(statement: &Statement) -> String {
    match statement {
        Statement::From(from) => {
            let mut words = vec![from.base.text.as_str()];
            words.extend(from.as_keyword.iter().map(|word| word.text.as_str()));
            words.extend(from.name_as_written.iter().map(|word| word.text.as_str()));
            list("from", words)
        }
        Statement::Instruction(instruction) => instruction_expression(instruction),
    }
}

fn instruction_expression(instruction: &Instruction) -> String {
    let name = instruction.place.keyword.to_lowercase();
    match &instruction.kind {
        InstructionKind::Add(transfer) | InstructionKind::Copy(transfer) => {
            list(&name, texts(&transfer.sources).chain([transfer.destination.text.as_str()]))
        }
        InstructionKind::Arg(definitions) => {
            let words: Vec<String> = definitions
                .iter()
                .map(|definition| match &definition.default {
                    Some(default) => format!("{}={}", definition.name.text, default.text),
                    None => definition.name.text.clone(),
                })
                .collect();
            list(&name, words.iter().map(String::as_str))
        }
        InstructionKind::Cmd(command) | InstructionKind::Entrypoint(command) => {
            list(&name, command_words(command))
        }
        InstructionKind::Run(run) => list(&name, command_words(&run.command)),
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            list(&name, pairs.iter().flat_map(pair_words))
        }
        InstructionKind::Expose(words) | InstructionKind::Volume(words) => {
            list(&name, texts(words))
        }
        InstructionKind::Healthcheck(check) => healthcheck(instruction, check),
        InstructionKind::Maintainer(text) => list(&name, [text.as_str()]),
        InstructionKind::Onbuild(onbuild) => {
            format!("({name} {})", instruction_expression(&onbuild.instruction))
        }
        InstructionKind::Shell(words) => list(&name, words.iter().map(String::as_str)),
        InstructionKind::Stopsignal(word)
        | InstructionKind::User(word)
        | InstructionKind::Workdir(word) => list(&name, [word.text.as_str()]),
    }
}

fn healthcheck(instruction: &Instruction, check: &Healthcheck) -> String {
    let Healthcheck::Check { interval, timeout, start_period, start_interval, retries, command } =
        check
    else {
        return list("healthcheck", ["NONE"]);
    };
    let seconds = |flag: &str, nanoseconds: &Option<i64>| {
        nanoseconds.map(|value| format!("--{flag}={}s", value / 1_000_000_000))
    };
    let mut flags: Vec<String> = [
        seconds("interval", interval),
        seconds("timeout", timeout),
        seconds("start-period", start_period),
        seconds("start-interval", start_interval),
        retries.map(|value| format!("--retries={value}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    flags.sort_by_key(|flag| instruction.place.text.find(flag));
    let flags: Vec<String> = flags.iter().map(|flag| quote(flag)).collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" [{}]", flags.join(" ")) };
    list(&format!("healthcheck{flags}"), ["CMD"].into_iter().chain(command_words(command)))
}

fn texts(words: &[Word]) -> impl Iterator<Item = &str> {
    words.iter().map(|word| word.text.as_str())
}

fn pair_words(pair: &Pair) -> [&str; 3] {
    [&pair.key.text, &pair.value.text, if pair.legacy { "" } else { "=" }]
}

fn command_words(command: &Command) -> Vec<&str> {
    match command {
        Command::Shell(text) => vec![text],
        Command::Exec(words) => words.iter().map(String::as_str).collect(),
    }
}

fn list<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let words: String = words.into_iter().map(|word| format!(" {}", quote(word))).collect();
    format!("({name}{words})")
}

/// As Go's `%q`, for the characters that occur.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
