//! The options of every command: folder, output format, colours, pager.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Work on the registry in this folder instead of the current one; other paths stay relative to the current folder
    #[arg(id = "global_dir", short = 'C', value_name = "DIR", global = true)]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// The output format
    #[arg(id = "global_output", short = 'o', long = "output", value_enum, default_value_t = Format::Text, global = true, value_name = "FORMAT")]
    pub(in crate::cli) output: Format,
    /// When to use colours; the environment variable NO_COLOR turns them off
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, global = true, value_name = "WHEN")]
    pub(in crate::cli) color: ColorChoice,
    /// Never use a pager for long output
    #[arg(long, global = true)]
    pub(in crate::cli) no_pager: bool,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Text for people
    Text,
    /// JSON for programs; the fields are stable
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    /// On a terminal only
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
