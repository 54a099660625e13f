//! The list of commands in `greenroom --help`, grouped by what a person does.

use std::fmt::Write as _;

use clap::Command;
use clap::builder::Styles;

/// The headings, each with its commands.
const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["init", "demo"]),
    (
        "Registered models and model versions",
        &["register", "fetch", "model", "version", "search", "show", "compare", "transition", "tag", "alias"],
    ),
    ("Review", &["request", "comment"]),
    ("History", &["log", "diff", "verify"]),
    ("People and permissions", &["person", "access", "follow", "unfollow", "mute", "notify"]),
    ("Registry", &["settings", "stage", "apply", "fmt", "move", "reshard", "schema", "index"]),
    ("Git and git hosts", &["check", "doctor", "hook", "codeowners"]),
    ("Server", &["serve", "token"]),
    ("Webhooks and mail", &["watch", "webhook", "secret"]),
    ("Shell", &["completions", "man"]),
];

/// The width of the column of names.
const NAMES: usize = 14;

/// The largest width of a line.
const WIDTH: usize = 100;

/// Returns the program with the list of its commands in groups.
pub(super) fn grouped(program: Command) -> Command {
    let template = format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\n{{options}}", list(&program));
    program.help_template(template)
}

/// Returns the headings and the commands below them, and the heading of the options.
fn list(program: &Command) -> String {
    let styles = Styles::styled();
    let (heading, name) = (styles.get_header(), styles.get_literal());
    let mut out = String::new();
    for (title, commands) in GROUPS {
        let _ = writeln!(out, "\n{heading}{title}:{heading:#}");
        for command in program.get_subcommands().filter(|c| commands.contains(&c.get_name())) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let mut lines = wrapped(&about).into_iter();
            let first = lines.next().unwrap_or_default();
            let space = " ".repeat(NAMES.saturating_sub(command.get_name().len()));
            let _ = writeln!(out, "  {name}{}{name:#}{space}{first}", command.get_name());
            for line in lines {
                let _ = writeln!(out, "  {}{line}", " ".repeat(NAMES));
            }
        }
    }
    let _ = write!(out, "\n{heading}Options:{heading:#}");
    out
}

/// Breaks a text at spaces into lines that fit beside the names.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let is_full = lines.last().is_some_and(|line| line.len() + word.len() + NAMES + 3 > WIDTH && !line.is_empty());
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn each_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, commands)| commands.iter().copied()).collect();
        let program = crate::cli::Cli::command();
        let mut all: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn no_line_of_the_help_is_too_long() {
        let help = super::grouped(crate::cli::Cli::command()).render_long_help().to_string();
        assert!(help.contains("\nReview:\n  request"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= WIDTH), "{help}");
    }
}
