//! The examples of guide/api.md, run as they stand, one after another in one shell: each `console` block
//! (`$ ` before what is typed, the answer behind it if it is shown) and each `sh` block (a script).
//!
//! `http://127.0.0.1:8080` becomes the recorder's address and `3b1a7d3e-...` its first camera. HTTP errors fail an
//! example. Where an answer is shown, JSON must have the same keys with values of the same kind, and no
//! others unless there is a `...`; of lists, as many are looked at as are shown. Other answers must be
//! the same; a line of `...` stands for any. A block that cannot run has `<!-- not run: why -->` before it.

use crate::daemon::{Demo, wait};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// What stands for the recorder and a camera in the guide.
const ADDRESS: &str = "http://127.0.0.1:8080";
const CAMERA: &str = "3b1a7d3e-40e2-4ba4-8d5b-77ab1c53ea65";

/// Who signs in there.
const USER: &str = "anna";
const PASSWORD: &str = "correct horse";

/// Blocks that may be left out, and fewer may not be run than this.
const MAX_NOT_RUN: usize = 2;
const MIN_EXAMPLES: usize = 20;

/// Stands for any further keys, elements or lines.
const ABRIDGED: &str = "...";

/// All of them together take no longer than this, or fail: there are many, and some have to wait.
const PATIENCE_SECS: &str = "300";

/// Ahead of the examples: HTTP errors are errors.
const PROLOGUE: &str = "set -o pipefail\ncurl() { command curl --fail-with-body \"$@\"; }\n";

#[derive(Debug)]
struct Example {
    /// In the guide, counted from 1.
    line: usize,
    command: String,
    answer: Vec<String>,
}

/// The examples of a guide, and how many blocks say that they cannot run.
fn examples(guide: &str) -> (Vec<Example>, usize) {
    let (mut examples, mut not_run) = (Vec::new(), 0);
    let mut lines = guide.lines().zip(1..);
    let mut before = "";
    while let Some((line, number)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let block: Vec<_> = lines
                .by_ref()
                .take_while(|(l, _)| l.trim() != "```")
                .collect();
            let excused = before
                .strip_prefix("<!-- not run: ")
                .is_some_and(|why| why.len() > 8);
            match language {
                _ if excused => not_run += 1,
                "console" => console(&block, &mut examples),
                "sh" => examples.push(Example {
                    line: number,
                    command: block.iter().map(|(l, _)| format!("{l}\n")).collect(),
                    answer: Vec::new(),
                }),
                _ => {
                    let typed = block.iter().any(|(l, _)| l.contains("curl "));
                    assert!(
                        !typed,
                        "line {number}: an example in `{language}`, not `console`"
                    );
                }
            }
        }
        if !line.is_empty() {
            before = line;
        }
    }
    (examples, not_run)
}

fn console(block: &[(&str, usize)], examples: &mut Vec<Example>) {
    for &(line, number) in block {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (None, Some(last)) if !is_whole(&last.command) => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (None, Some(last)) => last.answer.push(line.to_owned()),
            (None, None) => panic!("line {number}: an answer without a command"),
            (Some(command), _) => examples.push(Example {
                line: number,
                command: command.to_owned(),
                answer: Vec::new(),
            }),
        }
    }
}

/// A shell would run it rather than wait for more lines.
fn is_whole(command: &str) -> bool {
    let check = Command::new("bash").args(["-n", "-c", command]).output();
    !command.ends_with('\\') && check.unwrap().status.success()
}

/// Runs all of them in one shell in a folder: what each printed, or why it failed.
fn run(examples: &[Example], folder: &Path) -> Vec<Result<String, String>> {
    let mut script = PROLOGUE.to_owned();
    for (n, example) in examples.iter().enumerate() {
        let file = folder.join(format!("example-{n}"));
        std::fs::write(&file, &example.command).unwrap();
        script += &format!(". ./example-{n} >out-{n} 2>err-{n} </dev/null; echo $? >status-{n}\n");
    }
    std::fs::write(folder.join("all"), script).unwrap();
    let mut child = Command::new("timeout")
        .args([PATIENCE_SECS, "bash", "all"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    child.wait().unwrap();
    let read = |kind: &str, n: usize| {
        let bytes = std::fs::read(folder.join(format!("{kind}-{n}"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (0..examples.len())
        .map(|n| match read("status", n).trim() {
            "0" => Ok(read("out", n)),
            "" => Err("it did not end".to_owned()),
            status => Err(format!("{status}: {}{}", read("out", n), read("err", n))),
        })
        .collect()
}

/// The answer differs from what is shown in this.
fn differs(shown: &[String], told: &str) -> Option<String> {
    let text = shown.join("\n");
    if !text.starts_with(['{', '[']) {
        let mut told = told.lines();
        for line in shown {
            if line == ABRIDGED {
                return None;
            }
            let found = told.next();
            if found != Some(line) {
                return Some(format!("{line:?} is shown, {found:?} told"));
            }
        }
        return told.next().map(|more| format!("not shown: {more}"));
    }
    let documents = |text: &str| {
        let all = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        all.collect::<Result<Vec<_>, _>>().map(Value::Array)
    };
    match (documents(&with_valid_dots(&text)), documents(told)) {
        (Ok(shown), Ok(told)) => differs_in(&shown, &told, ""),
        (Err(e), _) => Some(format!("what is shown is no JSON: {e}")),
        (_, Err(e)) => Some(format!("what is told is no JSON: {e}")),
    }
}

/// JSON with `...` outside of texts made JSON: a key in objects, a text elsewhere.
fn with_valid_dots(text: &str) -> String {
    let (mut out, mut open) = (String::new(), Vec::new());
    let (mut in_text, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !in_text && rest.starts_with(ABRIDGED) {
            let is_key = open.last() == Some(&'{') && out.trim_end().ends_with(['{', ',']);
            out.push_str(if is_key { "\"...\": 0" } else { "\"...\"" });
            rest = &rest[ABRIDGED.len()..];
            continue;
        }
        match c {
            '"' if !escaped => in_text = !in_text,
            '{' | '[' if !in_text => open.push(c),
            '}' | ']' if !in_text => drop(open.pop()),
            _ => {}
        }
        escaped = in_text && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn differs_in(shown: &Value, told: &Value, at: &str) -> Option<String> {
    match (shown, told) {
        (Value::Object(shown), Value::Object(told)) => {
            for (key, value) in shown.iter().filter(|(k, _)| *k != ABRIDGED) {
                let found = told
                    .iter()
                    .find(|(k, _)| *k == key || (is_date(k) && is_date(key)));
                let Some((_, found)) = found else {
                    return Some(format!("{at}.{key} is shown, and not told"));
                };
                let difference = differs_in(value, found, &format!("{at}.{key}"));
                if difference.is_some() {
                    return difference;
                }
            }
            let mut more = told
                .keys()
                .filter(|k| !shown.contains_key(*k) && !is_date(k));
            let more = more.next().filter(|_| !shown.contains_key(ABRIDGED));
            more.map(|key| format!("{at}.{key} is told, and not shown"))
        }
        (Value::Array(shown), Value::Array(told)) => {
            let shown = shown.iter().filter(|v| *v != ABRIDGED);
            let pairs = shown.zip(told.iter().map(Some).chain(std::iter::repeat(None)));
            pairs.enumerate().find_map(|(i, (shown, told))| match told {
                Some(told) => differs_in(shown, told, &format!("{at}[{i}]")),
                None => Some(format!("{at}[{i}] is shown, and not told")),
            })
        }
        (Value::String(s), _) if s == ABRIDGED => None,
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => None,
        (a, b) => Some(format!("{at} is shown as {a}, and told as {b}")),
    }
}

/// A key that is a day: any other would do.
fn is_date(key: &str) -> bool {
    key.len() == 10 && key.bytes().all(|b| b == b'-' || b.is_ascii_digit())
}

/// A recorder with what the guide takes for granted: a recording before a restart and one since, a user.
fn recorder(folder: &Path) -> Demo {
    let demo = Demo::start();
    demo.stream(0, "main", 4);
    let demo = demo.restart();
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let login = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .args(["login", USER, "--password-file"])
        .arg(&password)
        .arg("--config")
        .arg(demo.config())
        .output()
        .unwrap();
    assert!(login.status.success(), "{login:?}");
    demo.stream(0, "sub", 6);
    demo.growing(0, "main");
    demo
}

#[test]
fn the_guides_examples_do_what_it_says() {
    for tool in ["curl", "jq"] {
        let there = Command::new(tool).arg("--version").output();
        assert!(
            there.is_ok(),
            "{tool} is not there: ./prep.sh test installs it"
        );
    }
    let guide = include_str!("../../guide/api.md");
    let (mut examples, not_run) = examples(guide);
    assert!(not_run <= MAX_NOT_RUN, "{not_run} blocks are not run");
    assert!(
        examples.len() >= MIN_EXAMPLES,
        "only {} examples",
        examples.len()
    );
    let temp = tempfile::tempdir().unwrap();
    let demo = recorder(temp.path());
    let uuid = wait(|| {
        let top = demo.get("/api/").json();
        top["cameras"][0]["uuid"].as_str().map(str::to_owned)
    });
    for example in &mut examples {
        let command = example.command.replace(CAMERA, &uuid);
        example.command = command.replace(ADDRESS, &format!("http://{}", demo.addr));
    }
    let mut wrong = Vec::new();
    for (example, result) in examples.iter().zip(run(&examples, temp.path())) {
        let problem = match result {
            Ok(_) if example.answer.is_empty() => None,
            Ok(told) => differs(&example.answer, &told).map(|d| format!("{d}\n{told}")),
            Err(why) => Some(why),
        };
        if let Some(problem) = problem {
            wrong.push(format!(
                "line {}: {}\n{problem}",
                example.line, example.command
            ));
        }
    }
    assert!(wrong.is_empty(), "guide/api.md:\n{}", wrong.join("\n\n"));
}

#[test]
fn differences_are_found() {
    let differ = |shown: &str, told: &str| differs(&[shown.to_owned()], told);
    assert_eq!(
        differ(
            r#"{"a": 1, "b": [{...}]}"#,
            r#"{"a": 2, "b": [{"c": 1}, 3]}"#
        ),
        None
    );
    assert_eq!(
        differ(r#"{"a": "x...\"", ...}"#, r#"{"a": "y", "b": null}"#),
        None
    );
    assert_eq!(differ(r#"{"a": ...}"#, r#"{"a": [1]}"#), None);
    assert_eq!(differ(r#"{"2026-11-22": 1}"#, r#"{"2025-01-01": 2}"#), None);
    assert_eq!(differ("{\"a\": 1}\n...", "{\"a\": 1} {\"a\": 2}"), None);
    assert_eq!(differ("ok", "ok\n"), None);
    assert_eq!(differ("...", "any\nthing\n"), None);
    for (shown, told) in [
        (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
        (r#"{"a": 1, ...}"#, r#"{"b": 2}"#),
        (r#"{"a": 1}"#, r#"{"a": "1"}"#),
        (r#"{"a": [{"b": 1}]}"#, r#"{"a": []}"#),
        (r#"{"a": 1}"#, ""),
        (r#"{"2026-11-22": 1}"#, "{}"),
        (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": null}}"#),
        ("{", "{}"),
        ("{}", "no"),
        ("ok", "okay"),
        ("ok", "ok\nmore"),
    ] {
        assert!(differ(shown, told).is_some(), "{shown} {told}");
    }
    let text = "```console\n$ curl a \\\n  b\nx\n$ echo '\ny'\nz\n```\n<!-- not run: no such tool -->\n\n```sh\ncurl\n```\n";
    let (found, not_run) = examples(text);
    assert_eq!(not_run, 1);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].command.as_str(), found[0].answer.len()),
        ("curl a \\\n  b", 1)
    );
    assert_eq!((found[1].line, found[1].answer.len()), (5, 1));
}
