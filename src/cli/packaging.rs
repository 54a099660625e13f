//! `greenroom completions` and `greenroom man`: files that packages install beside the program.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_complete::env::Shells;

use super::terminal::complete;
use super::terminal::report::{CliError, Exit};
use super::terminal::session::Session;

/// Print the completion script of a shell
///
/// Example: `source <(greenroom completions bash)`
///
/// The script asks this program for the next words, including names of models, versions, stages, aliases and people of
/// the registry.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print a manual page, or write all pages to a folder
///
/// Example: `greenroom man model create | man -l -`
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The command, such as `model create`; by default the page of the program
    #[arg(value_name = "COMMAND", conflicts_with = "folder")]
    words: Vec<String>,
    /// Write all pages to this folder, as greenroom.1, greenroom-model.1, …
    #[arg(long = "dir", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, session: &mut Session) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let name = args.shell.to_string();
    let completer = shells.completer(&name).ok_or_else(|| CliError::usage(format!("{name} has no completions")))?;
    completer.write_registration(complete::VARIABLE, "greenroom", "greenroom", "greenroom", &mut script)?;
    session.out.line(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Ok)
}

pub(super) fn man(args: &ManArgs, mut root: Command, session: &mut Session) -> Result<Exit, CliError> {
    root.build();
    if let Some(folder) = &args.folder {
        let folder = session.path(folder);
        std::fs::create_dir_all(&folder)?;
        let count = write_pages(&root, "greenroom", &folder)?;
        session.out.line(format!("Wrote {count} pages."));
        return Ok(Exit::Ok);
    }
    let (mut command, mut name) = (&root, "greenroom".to_owned());
    for word in &args.words {
        command = command.find_subcommand(word).ok_or_else(|| {
            CliError::not_found(format!("'{name}' has no command {}", crate::text::quoted(word)))
                .hint(format!("{name} --help"))
        })?;
        name = format!("{name}-{}", command.get_name());
    }
    session.out.line(page(command)?.trim_end());
    Ok(Exit::Ok)
}

/// Writes the page of a command and the pages of its subcommands. Returns the number of pages.
fn write_pages(command: &Command, name: &str, folder: &std::path::Path) -> Result<usize, CliError> {
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let mut count = 1;
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        count += write_pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(count)
}

fn page(command: &Command) -> Result<String, CliError> {
    let mut text = Vec::new();
    let named = command.clone().version(env!("CARGO_PKG_VERSION"));
    // A date would make the pages of each build differ.
    clap_mangen::Man::new(named).date("").render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
