//! The command line: parses a command, turns it into actions or a query, and prints the answer.

mod access;
mod alias;
mod alias_rule;
mod annotate;
mod apply_entry;
mod apply_file;
mod change;
mod check;
mod codeowners;
mod comment;
mod committers;
mod compare;
mod complete;
mod conditions;
mod demo;
mod diff;
mod doctor;
mod fetch;
mod fmt;
mod hook;
mod id_prefix;
mod index;
mod init;
mod judged_request;
mod log;
mod model;
mod notifications;
mod notifications_test;
mod output;
mod packaging;
mod person;
mod progress;
mod propose;
mod pull;
mod register;
mod relocate;
mod report;
mod request;
mod reshard;
mod review;
mod schema;
mod search;
mod secret;
mod serve;
mod session;
mod settings;
mod show;
mod single_value;
mod stage;
mod suggest;
mod table;
mod tag;
mod token;
mod transition;
mod verify;
mod version;
mod version_argument;
mod watch;
mod webhook;
mod webhook_deliveries;
mod webhook_replay;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use output::Output;
use report::{CliError, Exit};
use session::Session;

/// A model registry whose database is a git repository.
///
/// Start with `greenroom demo`, or with `greenroom init` in a new folder.
///
/// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not found, 4 already exists, 5 refused by a permission or rule,
/// 6 conflict with another writer or with uncommitted changes, 7 verification failed.
#[derive(Debug, Parser)]
#[command(name = "greenroom", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Work on the registry in this folder instead of the current one; other paths stay relative to the current folder
    #[arg(id = "global_dir", short = 'C', value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// The output format
    #[arg(id = "global_output", short = 'o', long = "output", value_enum, default_value_t = Format::Text, global = true, value_name = "FORMAT")]
    output: Format,
    /// When to use colours; the environment variable NO_COLOR turns them off
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, global = true, value_name = "WHEN")]
    color: ColorChoice,
    /// Never use a pager for long output
    #[arg(long, global = true)]
    no_pager: bool,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Text,
    /// JSON for programs; the fields are stable
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ColorChoice {
    /// On a terminal only
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands, in the order in which a new user needs them.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Demo(demo::DemoArgs),
    Register(register::RegisterArgs),
    Fetch(fetch::FetchArgs),
    #[command(subcommand)]
    Model(model::ModelCommand),
    #[command(subcommand)]
    Version(version::VersionCommand),
    Compare(compare::CompareArgs),
    Transition(transition::TransitionArgs),
    #[command(subcommand)]
    Request(request::RequestCommand),
    #[command(subcommand)]
    Comment(comment::CommentCommand),
    Follow(notifications::FollowArgs),
    Unfollow(notifications::UnfollowArgs),
    Mute(notifications::MuteArgs),
    #[command(subcommand)]
    Notify(notifications::NotifyCommand),
    #[command(subcommand)]
    Tag(tag::TagCommand),
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    #[command(subcommand)]
    Access(access::AccessCommand),
    #[command(subcommand)]
    Person(person::PersonCommand),
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    #[command(subcommand)]
    Stage(stage::StageCommand),
    Apply(apply_file::ApplyArgs),
    Check(check::CheckArgs),
    Verify(verify::VerifyArgs),
    Fmt(fmt::FmtArgs),
    Codeowners(codeowners::CodeownersArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Reshard(reshard::ReshardArgs),
    Move(relocate::MoveArgs),
    Completions(packaging::CompletionsArgs),
    Man(packaging::ManArgs),
    #[command(subcommand)]
    Search(search::SearchCommand),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Show(show::ShowArgs),
    #[command(subcommand)]
    Index(index::IndexCommand),
    #[command(subcommand)]
    Hook(hook::HookCommand),
    Serve(serve::ServeArgs),
    Watch(watch::WatchArgs),
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Secret(secret::SecretCommand),
}

/// Runs the program with the arguments of the process and returns its exit code (see `greenroom --help`).
pub fn main() -> ExitCode {
    match complete::answer() {
        Ok(true) => return Exit::Ok.into(),
        Ok(false) => {}
        // A shell hides this error; a person who sets the variable by hand sees the reason.
        Err(e) => {
            let _ = e.print();
            return Exit::Usage.into();
        }
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Clap prints help and version to stdout with success, and usage errors to stderr.
            let code = if e.use_stderr() { Exit::Usage } else { Exit::Ok };
            return match e.print() {
                Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failed.into(),
                // A reader who closes the pipe early has read enough of the help.
                Ok(()) | Err(_) => code.into(),
            };
        }
    };
    let mut session = Session::new(cli.global.clone(), Output::new(&cli.global));
    // Two commands make their folder.
    if !matches!(cli.command, Command::Init(_) | Command::Demo(_))
        && let Err(e) = session.check_dir()
    {
        return report::print(&e, &cli.global).into();
    }
    let result = run(cli.command, &mut session);
    let finished = session.out.finish();
    match result.and_then(|exit| finished.map(|()| exit).map_err(CliError::from)) {
        Ok(exit) => exit.into(),
        Err(e) => report::print(&suggest::hint(e, &session), &cli.global).into(),
    }
}

fn run(command: Command, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(args, session),
        Command::Demo(args) => demo::run(args, session),
        Command::Register(args) => register::run(args, session),
        Command::Fetch(args) => fetch::run(&args, session),
        Command::Model(command) => model::run(command, session),
        Command::Version(command) => version::run(command, session),
        Command::Compare(args) => compare::run(&args, session),
        Command::Transition(args) => transition::run(args, session),
        Command::Request(command) => request::run(command, session),
        Command::Comment(command) => comment::run(command, session),
        Command::Follow(args) => notifications::follow(args, session),
        Command::Unfollow(args) => notifications::unfollow(args, session),
        Command::Mute(args) => notifications::mute(args, session),
        Command::Notify(command) => notifications::run(command, session),
        Command::Tag(command) => tag::run(command, session),
        Command::Alias(command) => alias::run(command, session),
        Command::Access(command) => access::run(command, session),
        Command::Person(command) => person::run(command, session),
        Command::Settings(command) => settings::run(command, session),
        Command::Stage(command) => stage::run(command, session),
        Command::Apply(args) => apply_file::run(&args, session),
        Command::Check(args) => check::run(&args, session),
        Command::Verify(args) => verify::run(&args, session),
        Command::Fmt(args) => fmt::run(&args, session),
        Command::Codeowners(args) => codeowners::run(&args, session),
        Command::Doctor(args) => doctor::run(&args, session),
        Command::Schema(args) => schema::run(&args, session),
        Command::Reshard(args) => reshard::run(&args, session),
        Command::Move(args) => relocate::run(&args, session),
        Command::Completions(args) => packaging::completions(&args, session),
        Command::Man(args) => packaging::man(&args, session),
        Command::Search(command) => search::run(command, session),
        Command::Log(args) => log::run(args, session),
        Command::Diff(args) => diff::run(&args, session),
        Command::Show(args) => show::run(&args, session),
        Command::Index(command) => index::run(&command, session),
        Command::Hook(command) => hook::run(command, session),
        Command::Serve(args) => serve::run(&args, session),
        Command::Token(command) => token::run(&command, session),
        Command::Watch(args) => watch::run(&args, session),
        Command::Webhook(command) => webhook::run(command, session),
        Command::Secret(command) => secret::run(&command, session),
    }
}
