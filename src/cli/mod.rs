//! The command line: parses a command, turns it into actions or a query, and prints the answer.

mod delivery;
mod git_host;
mod help;
mod history;
mod models;
mod packaging;
mod people;
mod registry;
mod review;
mod server;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use terminal::options::Global;
use terminal::output::Output;
use terminal::report::{CliError, Exit};
use terminal::session::Session;

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

/// The commands, in the order in which a new user needs them.
#[derive(Debug, Subcommand)]
enum Command {
    Init(registry::init::InitArgs),
    Demo(registry::demo::DemoArgs),
    Register(models::register::RegisterArgs),
    Fetch(models::fetch::FetchArgs),
    #[command(subcommand)]
    Model(models::model::ModelCommand),
    #[command(subcommand)]
    Version(models::version::VersionCommand),
    Compare(models::compare::CompareArgs),
    Transition(models::transition::TransitionArgs),
    #[command(subcommand)]
    Request(review::request::RequestCommand),
    #[command(subcommand)]
    Comment(review::comment::CommentCommand),
    Follow(people::notifications::FollowArgs),
    Unfollow(people::notifications::UnfollowArgs),
    Mute(people::notifications::MuteArgs),
    #[command(subcommand)]
    Notify(people::notifications::NotifyCommand),
    #[command(subcommand)]
    Tag(models::tag::TagCommand),
    #[command(subcommand)]
    Alias(models::alias::AliasCommand),
    #[command(subcommand)]
    Access(people::access::AccessCommand),
    #[command(subcommand)]
    Person(people::person::PersonCommand),
    #[command(subcommand)]
    Settings(registry::settings::SettingsCommand),
    #[command(subcommand)]
    Stage(registry::stage::StageCommand),
    Apply(registry::apply_file::ApplyArgs),
    Check(git_host::check::CheckArgs),
    Verify(history::verify::VerifyArgs),
    Fmt(registry::fmt::FmtArgs),
    Codeowners(git_host::codeowners::CodeownersArgs),
    Doctor(git_host::doctor::DoctorArgs),
    Schema(registry::schema::SchemaArgs),
    Reshard(registry::reshard::ReshardArgs),
    Move(registry::relocate::MoveArgs),
    Completions(packaging::CompletionsArgs),
    Man(packaging::ManArgs),
    #[command(subcommand)]
    Search(models::search::SearchCommand),
    Log(history::log::LogArgs),
    Diff(history::diff::DiffArgs),
    Show(models::show::ShowArgs),
    #[command(subcommand)]
    Index(registry::index::IndexCommand),
    #[command(subcommand)]
    Hook(git_host::hook::HookCommand),
    Serve(server::serve::ServeArgs),
    Watch(delivery::watch::WatchArgs),
    #[command(subcommand)]
    Webhook(delivery::webhook::WebhookCommand),
    #[command(subcommand)]
    Token(server::token::TokenCommand),
    #[command(subcommand)]
    Secret(delivery::secret::SecretCommand),
}

/// Runs the program with the arguments of the process and returns its exit code (see `greenroom --help`).
pub fn main() -> ExitCode {
    match terminal::complete::answer(Cli::command) {
        Ok(true) => return Exit::Ok.into(),
        Ok(false) => {}
        // A shell hides this error; a person who sets the variable by hand sees the reason.
        Err(e) => {
            let _ = e.print();
            return Exit::Usage.into();
        }
    }
    let parsed = help::grouped(Cli::command()).try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
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
        return terminal::report::print(&e, &cli.global).into();
    }
    let result = run(cli.command, &mut session);
    let finished = session.out.finish();
    match result.and_then(|exit| finished.map(|()| exit).map_err(CliError::from)) {
        Ok(exit) => exit.into(),
        Err(e) => terminal::report::print(&terminal::suggest::hint(e, &session), &cli.global).into(),
    }
}

fn run(command: Command, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => registry::init::run(args, session),
        Command::Demo(args) => registry::demo::run(args, run_words, session),
        Command::Register(args) => models::register::run(args, session),
        Command::Fetch(args) => models::fetch::run(&args, session),
        Command::Model(command) => models::model::run(command, session),
        Command::Version(command) => models::version::run(command, session),
        Command::Compare(args) => models::compare::run(&args, session),
        Command::Transition(args) => models::transition::run(args, session),
        Command::Request(command) => review::request::run(command, session),
        Command::Comment(command) => review::comment::run(command, session),
        Command::Follow(args) => people::notifications::follow(args, session),
        Command::Unfollow(args) => people::notifications::unfollow(args, session),
        Command::Mute(args) => people::notifications::mute(args, session),
        Command::Notify(command) => people::notifications::run(command, session),
        Command::Tag(command) => models::tag::run(command, session),
        Command::Alias(command) => models::alias::run(command, session),
        Command::Access(command) => people::access::run(command, session),
        Command::Person(command) => people::person::run(command, session),
        Command::Settings(command) => registry::settings::run(command, session),
        Command::Stage(command) => registry::stage::run(command, session),
        Command::Apply(args) => registry::apply_file::run(&args, session),
        Command::Check(args) => git_host::check::run(&args, session),
        Command::Verify(args) => history::verify::run(&args, session),
        Command::Fmt(args) => registry::fmt::run(&args, session),
        Command::Codeowners(args) => git_host::codeowners::run(&args, session),
        Command::Doctor(args) => git_host::doctor::run(&args, session),
        Command::Schema(args) => registry::schema::run(&args, session),
        Command::Reshard(args) => registry::reshard::run(&args, session),
        Command::Move(args) => registry::relocate::run(&args, session),
        Command::Completions(args) => packaging::completions(&args, session),
        Command::Man(args) => packaging::man(&args, Cli::command(), session),
        Command::Search(command) => models::search::run(command, session),
        Command::Log(args) => history::log::run(args, session),
        Command::Diff(args) => history::diff::run(&args, session),
        Command::Show(args) => models::show::run(&args, session),
        Command::Index(command) => registry::index::run(&command, session),
        Command::Hook(command) => git_host::hook::run(command, session),
        Command::Serve(args) => server::serve::run(&args, session),
        Command::Token(command) => server::token::run(&command, session),
        Command::Watch(args) => delivery::watch::run(&args, session),
        Command::Webhook(command) => delivery::webhook::run(command, session),
        Command::Secret(command) => delivery::secret::run(&command, session),
    }
}

/// Runs the words of a command after `greenroom`.
fn run_words(words: &[&str], session: &mut Session) -> Result<Exit, CliError> {
    let cli = Cli::try_parse_from(std::iter::once("greenroom").chain(words.iter().copied()))
        .map_err(|e| CliError::new(Exit::Failed, e.to_string()))?;
    run(cli.command, session)
}
