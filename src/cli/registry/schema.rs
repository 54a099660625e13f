//! `greenroom schema`: the JSON Schemas of the registry's files and of the output of commands.

use clap::Args;

use crate::apply;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::format::{FileKind, schema};
use crate::view::{self, InstalledSchemas, SchemaKind};

/// Print the JSON Schema (2020-12) of a kind of file, or of the `-o json` output of a command
///
/// Examples: `greenroom schema version`; `greenroom schema output/log`; `greenroom schema --list`
#[derive(Debug, Args)]
pub(in crate::cli) struct SchemaArgs {
    /// The kind of file, such as `model` or `version`; or an output, such as `output/log`
    #[arg(value_parser = kind, value_name = "KIND", required_unless_present_any = ["list", "write"])]
    kind: Option<PrintedSchema>,
    /// List the kinds with the paths of their files, and the outputs with the commands that print them
    #[arg(long, conflicts_with_all = ["kind", "write"])]
    list: bool,
    /// Write all schemas and `.taplo.toml` to the registry's work tree, as `init` does; commit them with git
    #[arg(long, conflicts_with = "kind")]
    write: bool,
}

/// A thing that has a schema.
#[derive(Debug, Clone, Copy)]
enum PrintedSchema {
    /// A kind of file.
    File(FileKind),
    /// The output of a command.
    Output(&'static view::schema::OutputKind),
}

fn kind(s: &str) -> Result<PrintedSchema, String> {
    if let Some(name) = s.strip_prefix("output/") {
        let found = view::schema::ALL.iter().find(|k| k.name == name).map(PrintedSchema::Output);
        return found.ok_or_else(|| "is an unknown output; `greenroom schema --list` shows all".to_owned());
    }
    let names = || FileKind::ALL.map(FileKind::as_str).join(", ");
    let found = FileKind::ALL.into_iter().find(|k| k.as_str() == s).map(PrintedSchema::File);
    found.ok_or_else(|| format!("must be one of {}, or output/NAME", names()))
}

pub(in crate::cli) fn run(args: &SchemaArgs, session: &mut Session) -> Result<Exit, CliError> {
    if let Some(kind) = args.kind {
        // A schema is printed as JSON in every output format.
        let text = match kind {
            PrintedSchema::File(kind) => schema::schema(kind),
            PrintedSchema::Output(kind) => kind.schema(),
        };
        session.out.line(text.trim_end());
    } else if args.write {
        write(session)?;
    } else if session.out.is_json() {
        let files = FileKind::ALL.iter().map(|k| SchemaKind { kind: k.as_str().to_owned(), files: k.globs().to_vec() });
        let outputs = view::schema::ALL.iter();
        let outputs = outputs.map(|k| SchemaKind { kind: format!("output/{}", k.name), files: Vec::new() });
        session.out.json(&files.chain(outputs).collect::<Vec<_>>())?;
    } else {
        let mut table = Table::new(&["KIND", "FILES"]);
        for kind in FileKind::ALL {
            table.row([kind.as_str(), kind.globs().first().copied().unwrap_or_default()]);
        }
        table.print(&mut session.out);
        session.out.line("");
        let mut table = Table::new(&["OUTPUT", "PRINTED BY"]);
        for kind in view::schema::ALL {
            table.row([format!("output/{}", kind.name), kind.printed_by.replace('`', "")]);
        }
        table.print(&mut session.out);
    }
    Ok(Exit::Ok)
}

/// Writes the schema files for editors where they differ. They are not part of the registry's data, so there is no
/// commit.
fn write(session: &mut Session) -> Result<(), CliError> {
    let registry = session.registry()?;
    let Some(root) = registry.repo().work_dir() else {
        return Err(CliError::new(Exit::Failed, "a bare repository has no work tree to write into")
            .hint("clone it, run this in the clone, commit and push"));
    };
    let root = root.join(registry.at());
    let mut written = Vec::new();
    for (path, content) in apply::companions().into_iter().filter(|(p, _)| p != ".gitattributes") {
        let file = root.join(&path);
        refuse_links(&root, &path)?;
        if std::fs::read(&file).is_ok_and(|bytes| bytes == content.as_bytes()) {
            continue;
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, content)?;
        written.push(path);
    }
    if session.out.is_json() {
        return Ok(session.out.json(&InstalledSchemas { written: &written })?);
    }
    for path in &written {
        session.out.line(format!("  wrote {path}"));
    }
    let rest = if written.is_empty() { "All files for editors are up to date." } else { "Commit them with git." };
    session.out.line(rest);
    Ok(())
}

/// Refuses symbolic links in a path, which would lead the write out of the work tree.
pub(in crate::cli) fn refuse_links(root: &std::path::Path, path: &str) -> Result<(), CliError> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for part in ends.filter_map(|end| path.get(..end)) {
        let there = std::fs::symlink_metadata(root.join(part));
        if there.is_ok_and(|m| if part == path { !m.is_file() } else { !m.is_dir() }) {
            let message = format!("{part} is in the way (it may be a link); remove it first");
            return Err(CliError::new(Exit::Conflict, message));
        }
    }
    Ok(())
}
