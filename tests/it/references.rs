//! Parsing of arguments: references in every form, dates, time zones, and misspelt names.

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::sandbox::Done;

/// Every reference to version 2 of `wine`, which is in no declared stage: the alias `candidate` points to it.
const FORMS: [&str; 7] = [
    "wine 2",
    "wine/2",
    "wine@candidate",
    "wine @candidate",
    "models:/wine/2",
    "models:/wine@candidate",
    "wine latest",
];

/// A registry with the person `bob` and two versions of `wine`, made within the first minutes of 2026-03-01.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    let alice = |minute: u32, line: &str| {
        let shell = sandbox.alice().at(&format!("2026-03-01T12:{minute:02}:00Z"));
        let shell = if minute == 0 { shell } else { shell.within("r") };
        shell.greenroom(line.split(' ')).success();
    };
    alice(0, "init r");
    alice(1, "person add bob --email bob@example.org");
    alice(2, "access grant bob manage-production");
    alice(3, "register wine --source s3://models/wine/1");
    alice(4, "register wine --source s3://models/wine/2 --alias candidate");
    sandbox
}

/// Runs a command as Alice; spaces separate words, `_` stands for a space within a word.
#[track_caller]
fn run(sandbox: &Sandbox, code: i32, line: &str) -> Done {
    let words = line.split(' ').map(|word| word.replace('_', " "));
    sandbox.alice().within("r").at("2026-03-10T12:00:00Z").greenroom(words).code(code)
}

#[track_caller]
fn json(sandbox: &Sandbox, line: &str) -> Value {
    run(sandbox, 0, &format!("{line} -o json")).json()
}

/// Demands that a command fails with a code and that stderr has the words.
#[track_caller]
fn refused(sandbox: &Sandbox, code: i32, line: &str, says: &str) {
    let done = run(sandbox, code, line);
    assert!(done.stderr().contains(says), "{line}: {says:?} is not in\n{}", done.stderr());
}

#[test]
fn every_command_reads_a_version_in_every_form() {
    let sandbox = registry();
    for (number, form) in FORMS.into_iter().enumerate() {
        for command in ["show", "version show", "log"] {
            let said = run(&sandbox, 0, &format!("{command} {form}")).stdout().to_owned();
            assert!(said.contains("wine"), "{command} {form}: {said}");
        }
        for command in [
            format!("version describe {form} text-{number}"),
            format!("tag set {form} key=value-{number}"),
            format!("tag unset {form} key"),
            format!("comment add {form} text-{number}"),
            format!("request create {form} Production"),
            format!("request cancel {form} Production"),
            format!("transition {form} Staging"),
            format!("transition {form} Archived"),
        ] {
            let said = run(&sandbox, 0, &command).stdout().to_owned();
            assert!(said.contains("wine version 2"), "{command}: {said}");
        }
        let said = run(&sandbox, 3, &format!("fetch {form} ../out")).stderr().to_owned();
        assert!(said.contains("wine version 2"), "{form}: {said}");
        let said = run(&sandbox, 0, &format!("comment list {form}")).stdout().to_owned();
        assert!(said.contains(&format!("text-{number}")), "{form}: {said}");
    }
    run(&sandbox, 0, "transition wine/2 Staging");
    for form in ["wine/Staging", "wine Staging", "models:/wine/Staging", "wine/staging"] {
        assert!(run(&sandbox, 0, &format!("show {form}")).stdout().contains("2 of wine"), "{form}");
    }
    for form in ["wine 1 2", "wine 1 @candidate", "wine/1 wine/2", "models:/wine/1 wine@candidate"] {
        assert!(run(&sandbox, 0, &format!("compare {form}")).stdout().contains("VERSION 2"), "{form}");
    }
    run(&sandbox, 0, "alias set wine other 1");
    run(&sandbox, 0, "alias set wine@other 2");
    run(&sandbox, 0, "alias unset wine@other");
}

#[test]
fn a_request_is_named_by_its_id_or_by_its_version() {
    let sandbox = registry();
    let create = || {
        run(&sandbox, 0, "request create wine/2 Production");
        json(&sandbox, "request list wine")[0]["id"].as_str().expect("an id").to_owned()
    };
    let id = create();
    for form in [id.as_str(), "wine 2", "wine/2", "wine@candidate"] {
        assert_eq!(json(&sandbox, &format!("request show {form}"))["id"], id.as_str(), "{form}");
    }
    refused(&sandbox, 3, "request show 00000000", "00000000");
    refused(&sandbox, 3, "request show wine/1", "wine version 1");
    for form in [id.as_str(), "wine/2", "wine @candidate"] {
        let bob = sandbox.bob().within("r");
        bob.greenroom(format!("request reject {form} -m no").split(' ')).success();
        create();
    }
}

#[test]
fn dates_are_read_as_people_and_git_write_them() {
    let sandbox = registry();
    // The command uses the real clock, so relative times are long after the history's end.
    for moment in ["now", "today", "yesterday", "7d", "1_week_ago", "2_hours", "2026-03-02", "2026-03-01T12:04:00Z"] {
        assert_eq!(json(&sandbox, &format!("version list wine --at {moment}")).as_array().map(Vec::len), Some(2));
    }
    for moment in ["2026-03-01_12:03", "2026-03-01T12:03:00Z", "2026-03-01T13:03:00+01:00", "@1772366580", "HEAD~1"] {
        let versions = json(&sandbox, &format!("version list wine --at {moment}"));
        assert_eq!(versions.as_array().map(Vec::len), Some(1), "{moment}");
        let shown = run(&sandbox, 0, &format!("show wine/1@{{{moment}}}")).stdout().to_owned();
        assert!(shown.contains("1 of wine"), "{moment}: {shown}");
    }
    assert!(run(&sandbox, 0, "log --since 2026-03-01_12:04").stdout().contains("version 2"));
    assert!(!run(&sandbox, 0, "log --since 2026-03-01_12:04").stdout().contains("version 1"));
    refused(&sandbox, 3, "version list wine --at 2026-02-01", "the history begins after 2026-02-01");
    refused(&sandbox, 3, "version list wine --at sometime", "'sometime' is neither a time");
    refused(&sandbox, 3, "version list wine --at 2026-13-01", "2026-13-01");
}

#[test]
fn the_reflog_is_never_read() {
    let sandbox = registry();
    for moment in ["HEAD@{1}", "@{1}", "main@{yesterday}", "@{-1}", "HEAD@{u}"] {
        let done = sandbox.alice().within("r").greenroom(["diff", moment]).ended();
        assert_ne!(done.2, Some(0), "{moment}: {}", done.0);
        assert!(done.1.contains("reflog"), "{moment}: {}", done.1);
    }
    refused(&sandbox, 2, "show wine/2@{1}", "reflog");
}

#[test]
fn dates_without_an_offset_are_local_and_times_show_their_zone() {
    let sandbox = registry();
    let berlin = |line: &str| {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
        sandbox.alice().within("r").env("TZ", "Europe/Berlin").greenroom(words).success().stdout().to_owned()
    };
    assert!(berlin("log -n 1 wine").contains("2026-03-01 13:04+01:00"), "{}", berlin("log wine"));
    assert!(berlin("show wine/1").contains("2026-03-01 13:03+01:00"));
    assert!(berlin("version list wine").contains("2026-03-01 13:03+01:00"));
    assert!(berlin("version list wine --at 2026-03-01_13:03").lines().count() == 2);
    // JSON output has times in UTC, whatever the zone.
    assert!(berlin("log wine -o json").contains("2026-03-01T12:04:00"));
}

#[test]
fn a_misspelt_name_gets_a_suggestion() {
    let sandbox = registry();
    for (line, code, says) in [
        ("show wien", 3, "did you mean 'wine'?"),
        ("model show wnie", 3, "did you mean 'wine'?"),
        ("version show wines/1", 3, "did you mean 'wine'?"),
        ("show wine@candidat", 3, "did you mean candidate?"),
        ("transition wine 2 Prodution", 3, "did you mean Production?"),
        ("person show bbo", 3, "did you mean 'bob'?"),
        ("access grant bbo read", 5, "did you mean 'bob'?"),
        ("reqest list", 2, "'request'"),
        ("model show entirely-different", 3, "not found"),
    ] {
        refused(&sandbox, code, line, says);
    }
    let said = run(&sandbox, 3, "model show entirely-different").stderr().to_owned();
    assert!(!said.contains("did you mean"), "{said}");
}

#[test]
fn a_shell_gets_models_versions_stages_aliases_and_people() {
    let sandbox = registry();
    let offered = |words: &[&str]| {
        let shell = sandbox.alice().within("r").env("COMPLETE", "fish");
        let done = shell.greenroom(["--", "greenroom"].iter().chain(words)).success();
        let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        done.stdout().lines().map(first).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["model", "show", "w"]), ["wine"]);
    assert_eq!(offered(&["transition", "wine", "P"]), ["Production"]);
    assert_eq!(offered(&["transition", "wine", "2", "St"]), ["Staging"]);
    assert_eq!(offered(&["fetch", "wine@"]), ["wine@candidate"]);
    assert_eq!(offered(&["fetch", "models:/wine/2"]), ["models:/wine/2"]);
    assert_eq!(offered(&["access", "grant", "b"]), ["bob"]);
    assert_eq!(offered(&["access", "grant", "group:"]), ["group:everyone"]);
    assert_eq!(offered(&["person", "show", "a"]), ["alice"]);
    assert_eq!(offered(&["transition", "--as", "b"]), ["bob"]);
    assert_eq!(offered(&["trans"]), ["transition"]);
}

#[test]
fn a_path_is_one_from_where_the_caller_stands_whatever_registry_is_named() {
    let sandbox = registry();
    sandbox.write("model/MLmodel", "flavors: {}\n");
    sandbox.write("sub/actions.jsonl", "{\"do\": \"model.create\", \"model\": \"risk\"}\n");
    let alice = sandbox.alice().within("sub");
    let at = |line: &str| alice.greenroom(format!("-C ../r {line}").split(' ')).success();
    at("register churn ../model");
    at("fetch churn/1 out");
    assert!(sandbox.path("sub/out/MLmodel").is_file());
    at("apply -f actions.jsonl");
    at("check --format json=report.json");
    assert!(sandbox.path("sub/report.json").is_file());
    at("check ../r/models/churn");
    at("fmt --check ../r/models");
    assert_eq!(sandbox.alice().within("r").git(["status", "--porcelain"]).success().stdout(), "");
    alice.greenroom(["-C", "../made", "init"]).success();
    alice.greenroom(["-C", "../r", "init", "here"]).success();
    assert!(sandbox.path("made/greenroom.toml").is_file() && sandbox.path("sub/here/greenroom.toml").is_file());
}

#[test]
fn references_and_moments_are_read_wherever_a_version_is() {
    let sandbox = registry();
    run(&sandbox, 0, "alias set wine/2 x1");
    run(&sandbox, 0, "alias set models:/wine/1 @x2");
    run(&sandbox, 0, "alias set wine/latest x3");
    let aliases = json(&sandbox, "alias list wine");
    let of = |name: &str| {
        aliases.as_array().into_iter().flatten().find(|a| a["alias"] == name).map(|a| a["version"].clone())
    };
    assert_eq!([of("x1"), of("x2"), of("x3")], [2, 1, 2].map(|n: u64| Some(n.into())));
    refused(&sandbox, 2, "alias set wine/2@{HEAD} x1", "leave out");

    run(&sandbox, 0, "transition wine 1 Production");
    run(&sandbox, 0, "transition wine 1 Archived");
    run(&sandbox, 0, "transition wine 2 Production");
    for line in ["compare wine 2 Production@{HEAD~2}", "compare wine/2 wine/Production@{HEAD~2}"] {
        let said = run(&sandbox, 0, line).stdout().to_owned();
        assert!(said.contains("VERSION 2") && said.contains("VERSION 1@{HEAD~2}"), "{line}: {said}");
    }
    refused(&sandbox, 2, "compare wine 2 Production@{HEAD~2} --at HEAD", "given twice");

    let before = "@{2026-03-01T12:03:30Z}";
    for (line, wanted) in [(format!("version list wine{before}"), 1), (format!("alias list wine{before}"), 0)] {
        assert_eq!(json(&sandbox, &line).as_array().map(Vec::len), Some(wanted), "{line}");
    }
    assert!(run(&sandbox, 0, &format!("model show models:/wine{before}")).stdout().contains("Model:       wine"));
    refused(&sandbox, 2, &format!("version list wine{before} --at HEAD"), "given twice");
}

#[test]
fn each_question_can_be_asked_of_the_past() {
    let sandbox = registry();
    let then = "--at 2026-03-01T12:02:30Z";
    run(&sandbox, 0, "access group risk --add bob");
    run(&sandbox, 0, "model create a@b");
    run(&sandbox, 0, "webhook create --event version.transitioned --url https://example.org/x");
    assert_eq!(json(&sandbox, &format!("show {then}"))["models"], 0);
    assert_eq!(json(&sandbox, "show")["models"], 2);
    assert_eq!(json(&sandbox, &format!("access group {then}")), Value::Array(Vec::new()));
    assert_eq!(json(&sandbox, &format!("webhook list {then}")), Value::Array(Vec::new()));
    refused(&sandbox, 3, &format!("show wine {then}"), "there was no model or version 'wine");
    refused(&sandbox, 3, &format!("show wine 1 {then}"), "wine");
    refused(&sandbox, 3, &format!("fetch wine/1 ../out {then}"), "wine");
    refused(&sandbox, 2, &format!("show wine/1@{{HEAD}} {then}"), "given twice");
    // A name that holds `@`.
    assert!(run(&sandbox, 0, "show a@b").stdout().contains("Model:       a@b"));
}

#[test]
fn an_unknown_word_is_no_empty_answer() {
    let sandbox = registry();
    refused(&sandbox, 3, "log --by bbo", "did you mean 'bob'?");
    refused(&sandbox, 2, "log --event version.transitoned", "did you mean version.transitioned?");
    refused(&sandbox, 2, "log --event nonsense", "the events are registry.created");
    assert_eq!(run(&sandbox, 0, "log --by bob").stdout(), "");
    assert_eq!(run(&sandbox, 0, "log --event request.*").stdout(), "");
    for what in ["models", "versions"] {
        let found = run(&sandbox, 0, &format!("search {what} name='x'"));
        assert_eq!((found.stdout(), found.stderr()), ("", "Nothing matches.\n"));
    }
    for moment in ["tomorrow", "2027-01-01", "2026-12"] {
        refused(&sandbox, 2, &format!("version list wine --at {moment}"), "is in the future");
    }
    for moment in ["2026-03", "2026-03-01_9:30", "2026-03-01_09:30_UTC"] {
        refused(&sandbox, 3, &format!("version list wine --at {moment}"), "the history begins after");
    }
    run(&sandbox, 0, "token create --person bob --expires 2w");
    refused(&sandbox, 2, "token create --person bob --expires soon", "soon");
}
