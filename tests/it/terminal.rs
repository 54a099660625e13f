//! Terminal output: no escape sequence from content, and no program that a repository's config names.

use crate::support::{Sandbox, Shell};

/// Escape sequences that set a title or the clipboard, that hide or reorder text, and that ring the bell.
const HOSTILE: &str = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\u{200b}\u{8}";

/// The same, escaped as in a TOML string, so that the file itself looks harmless.
const ESCAPED: &str = r"\u001b]52;c;cm0gLXJm\u0007\u001b[2J\u009b31m\u202eevil\u200b\u0008";

/// A registry whose content, paths and commits are hostile wherever git allows it.
fn hostile() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["model", "create", "churn", "--description", "fine"]).success();
    let model = sandbox.read("registry/models/churn/model.toml");
    let described = model.replace("\"fine\"", &format!("\"{ESCAPED}\""));
    assert_ne!(model, described);
    sandbox.write("registry/models/churn/model.toml", described);
    sandbox.write("registry/models/churn/stages/Staging.toml", format!("versions = [1] # {HOSTILE}\n"));
    sandbox.write(format!("registry/models/churn/{HOSTILE}.toml"), "x = 1\n");
    sandbox.write("registry/people/mallory.toml", format!("name = \"{ESCAPED}\"\nemails = [\"m@example.org\"]\n"));
    alice.git(["add", "--all"]).success();
    let mallory = sandbox.shell(&format!("Mallory {HOSTILE}"), "m@example.org").within("registry");
    mallory.git(["commit", "--quiet", "--message", &format!("Subject {HOSTILE}\n\nBody {HOSTILE}")]).success();
    sandbox
}

/// Commands that print content of the registry.
const QUESTIONS: &[&[&str]] = &[
    &["model", "list"],
    &["model", "show", "churn"],
    &["log"],
    &["log", "--oneline"],
    &["show"],
    &["show", "churn"],
    &["show", "HEAD"],
    &["diff", "HEAD~1"],
    &["search", "models"],
    &["version", "list", "churn"],
    &["person", "list"],
    &["check"],
    &["check", "models"],
    &["doctor"],
    &["model", "describe", "churn", "new", "--dry-run"],
    &["model", "delete", "churn", "--yes", "--dry-run"],
];

fn is_safe(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Demands that a text holds no control sequence, except greenroom's own colours.
#[track_caller]
fn assert_safe(what: &str, text: &str) {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let colour = after.split_once('m').filter(|(code, _)| code.bytes().all(|b| b.is_ascii_digit() || b == b';'));
        rest = colour.map_or(after, |(_, after)| after);
        if colour.is_none() {
            plain.push('\u{1b}');
        }
    }
    plain.push_str(rest);
    let bad = plain.chars().find(|&c| !is_safe(c) && c != '\n');
    assert!(bad.is_none(), "{what} prints {bad:?}:\n{}", text.escape_debug());
}

#[test]
fn content_does_not_speak_to_the_terminal() {
    let sandbox = hostile();
    for who in [sandbox.alice(), sandbox.shell(&format!("Mallory {HOSTILE}"), "m@example.org")] {
        for question in QUESTIONS {
            for colour in ["never", "always"] {
                let out = who.clone().within("registry").greenroom([*question, &["--color", colour]].concat());
                let (stdout, stderr) = out.any();
                assert_safe(&question.join(" "), &stdout);
                assert_safe(&question.join(" "), &stderr);
                assert!(!stdout.is_empty() || !stderr.is_empty(), "{question:?} says nothing");
            }
        }
    }
}

#[test]
fn json_stays_json_whatever_the_content() {
    let sandbox = hostile();
    for question in QUESTIONS {
        let out = sandbox.alice().within("registry").greenroom([*question, &["-o", "json"]].concat());
        let (stdout, stderr) = out.any();
        let text = if stdout.is_empty() { stderr } else { stdout };
        let value: Result<serde_json::Value, _> = serde_json::from_str(&text);
        assert!(value.is_ok(), "{question:?} prints no JSON: {value:?}\n{text}");
        assert!(!text.contains('\u{1b}'), "{question:?} prints a raw escape:\n{}", text.escape_debug());
    }
}

/// Runs a command on a terminal of its own and returns the terminal output.
fn on_terminal(shell: Shell<'_>, command: &str) -> String {
    let out = shell.run("script", ["--quiet", "--return", "--command", command, "/dev/null"]);
    out.success().stdout().to_owned()
}

#[test]
fn the_pager_is_the_users_and_never_the_repositorys() {
    let sandbox = hostile();
    let repo = sandbox.alice().within("registry");
    for key in ["core.pager", "pager.model", "core.editor", "core.fsmonitor", "core.sshCommand", "gpg.program"] {
        repo.git(["config", key, &format!("touch {}; cat", sandbox.path("owned").display())]).success();
    }
    repo.git(["config", "core.hooksPath", sandbox.path("hooks").to_str().unwrap()]).success();
    for hook in ["pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout"] {
        sandbox.write(format!("hooks/{hook}"), format!("#!/bin/sh\ntouch {}\n", sandbox.path("owned").display()));
        sandbox.alice().run("chmod", ["+x", sandbox.path(format!("hooks/{hook}")).to_str().unwrap()]).success();
    }
    let seen = sandbox.path("seen");
    let long = repo.clone().env("LINES", "2").env("PAGER", format!("tee {}", seen.display()));
    let printed = on_terminal(long, "greenroom schema version");
    assert!(printed.contains("https://json-schema.org"), "{printed}");
    assert!(sandbox.read("seen").contains("https://json-schema.org"), "the user's pager got the text");
    for command in ["greenroom model list", "greenroom check || true", "greenroom doctor || true"] {
        on_terminal(repo.clone().env("LINES", "1").env("PAGER", "cat"), command);
    }
    repo.greenroom(["model", "create", "risk"]).success();
    assert!(!sandbox.path("owned").exists(), "a program that the repository's settings name was run");
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    let shell = sandbox.alice().within("registry");
    shell.greenroom(["model", "create", "churn"]).success();
    let coloured = |args: &[&str], no_color: &str| {
        let out = shell.clone().env("NO_COLOR", no_color).env("TERM", "xterm").greenroom(args).success();
        out.stdout().contains('\u{1b}')
    };
    assert!(!coloured(&["model", "list"], ""), "a pipe gets no colours");
    assert!(coloured(&["model", "list", "--color", "always"], "1"), "who asks for colours gets them");
    assert!(!coloured(&["model", "list", "--color", "never"], ""));
    let terminal = |no_color: &str| {
        on_terminal(shell.clone().env("NO_COLOR", no_color).env("TERM", "xterm"), "greenroom model list")
    };
    assert!(terminal("").contains('\u{1b}'), "a terminal gets colours");
    assert!(!terminal("1").contains('\u{1b}'), "NO_COLOR is honoured");
}

#[test]
fn who_stops_reading_causes_no_error() {
    let sandbox = Sandbox::new();
    for command in ["completions bash", "man", "schema version", "--help", "model --help"] {
        for reader in ["true", "head -c 1"] {
            let script = format!("set -o pipefail; greenroom {command} | {reader} >/dev/null");
            let done = sandbox.alice().run("bash", ["-c", &script]).success();
            assert_eq!(done.stderr(), "", "{command} | {reader}");
        }
    }
}

#[test]
fn a_prompt_needs_somebody_to_answer() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    let shell = sandbox.alice().within("registry");
    shell.greenroom(["model", "create", "churn"]).success();
    shell.clone().input("churn\n").greenroom(["model", "delete", "churn"]).code(2);
    // On a terminal the model's name has to be typed.
    let typed = |answer: &str| format!("printf '{answer}\\n' | script -qec 'greenroom model delete churn' /dev/null");
    shell.run("bash", ["-c", &typed("yes")]).code(1);
    shell.run("bash", ["-c", &typed("churn")]).success();
    shell.greenroom(["model", "show", "churn"]).code(3);
}
