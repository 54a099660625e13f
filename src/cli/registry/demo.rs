//! `greenroom demo`: builds a registry with two people and two versions over three days, prints each step, then serves
//! it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::terminal::options::{ColorChoice, Format, Global};
use crate::cli::terminal::output::{BOLD, DIM, Output, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::{ScriptedActor, Session};
use crate::git::{Ident, Repo};
use crate::server::{self, Config, ServeError};
use crate::text::one_line;
use crate::time::Timestamp;

/// Create a demo registry with two versions of a real MLflow model, and show what greenroom does
///
/// Example: `greenroom demo`
///
/// The demo prints every command before it runs, so you can read the output as a tutorial. It touches nothing outside
/// the new folder and needs no git identity: Alice and Bob act. At the end it serves the registry to MLflow clients
/// until you press Ctrl-C.
#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// A new or empty folder; by default greenroom-demo, or greenroom-demo-2 and so on if that exists
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End without serving the registry
    #[arg(long)]
    no_serve: bool,
}

/// A file of an example: its path in the model folder, and its content.
type Example = (&'static str, &'static [u8]);

/// The files of a folder of `examples/models`, compiled into the program.
macro_rules! example {
    ($folder:literal, [$($file:literal),* $(,)?]) => {
        &[$(($file, include_bytes!(concat!("../../../examples/models/", $folder, "/", $file)).as_slice())),*]
    };
}

/// The first version: logistic regression on three columns.
const WINE_V1: &[Example] = example!(
    "wine-v1",
    [
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "model.skops",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
);

/// The second version: the same model on five columns, scaled.
const WINE_V2: &[Example] = example!(
    "wine-v2",
    [
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "model.skops",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
);

/// The default port of the demo server. MLflow's tracking server uses 5000.
const PORT: u16 = 5050;

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

/// Runs the words of a command after `greenroom` in a session.
pub(in crate::cli) type CommandRunner = fn(&[&str], &mut Session) -> Result<Exit, CliError>;

pub(in crate::cli) fn run(args: DemoArgs, runner: CommandRunner, session: &mut Session) -> Result<Exit, CliError> {
    let dir = match args.dir {
        Some(dir) => session.path(&dir),
        None => {
            let name = Path::new("greenroom-demo");
            let within = Some(session.dir()).filter(|dir| dir != Path::new("."));
            free(&within.map_or_else(|| name.to_owned(), |dir| dir.join(name)))
        }
    };
    prepare(&dir)?;
    // GIT_COMMITTER_DATE sets the clock, as in git.
    let set = std::env::var("GIT_COMMITTER_DATE").ok().and_then(|d| d.parse().ok());
    let today = set.unwrap_or_else(crate::clock::now).day();
    let mut stage = Stage::new(dir, today, runner);
    stage.play()?;
    if !args.no_serve {
        stage.serve()?;
    }
    Ok(Exit::Ok)
}

/// The wanted folder, or the same with a number if the folder exists.
fn free(wanted: &Path) -> PathBuf {
    let taken = |p: &PathBuf| p.symlink_metadata().is_ok();
    let numbered = (2..1000).map(|n| PathBuf::from(format!("{}-{n}", wanted.display())));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|p| !taken(p)).unwrap_or_else(|| wanted.to_owned())
}

/// Creates the folder with the two models in it.
fn prepare(dir: &Path) -> Result<(), CliError> {
    let shown = one_line(&dir.to_string_lossy()).into_owned();
    if dir.symlink_metadata().is_ok() && !fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) {
        let message = format!("{shown} exists already and is not an empty folder");
        return Err(CliError::new(Exit::Exists, message).hint("name another folder: greenroom demo DIR"));
    }
    for (name, files) in [("wine-v1", WINE_V1), ("wine-v2", WINE_V2)] {
        let folder = dir.join("models").join(name);
        let written = fs::create_dir_all(&folder)
            .and_then(|()| files.iter().try_for_each(|(file, bytes)| fs::write(folder.join(file), bytes)));
        written.map_err(|e| CliError {
            causes: vec![e.to_string()],
            ..CliError::new(Exit::Failed, format!("could not write the example models to {shown}"))
        })?;
    }
    Ok(())
}

/// The person who runs a command.
#[derive(Debug, Clone, Copy)]
enum Person {
    Alice,
    Bob,
}

impl Person {
    const fn name(self) -> &'static str {
        match self {
            Self::Alice => "Alice",
            Self::Bob => "Bob",
        }
    }

    fn email(self) -> String {
        format!("{}@example.org", self.name().to_lowercase())
    }
}

/// The demo: its folder, its clock, and its output.
struct Stage {
    dir: PathBuf,
    /// The folder that commands run in, below `dir`.
    within: &'static str,
    /// Midnight of the day on which the demo runs.
    today: Timestamp,
    clock: Timestamp,
    global: Global,
    out: Output,
    runner: CommandRunner,
}

impl Stage {
    fn new(dir: PathBuf, today: Timestamp, runner: CommandRunner) -> Self {
        let global = Global { dir: None, output: Format::Text, color: ColorChoice::Auto, no_pager: true };
        let out = Output::new(&global);
        Self { dir, within: "", today, clock: today, global, out, runner }
    }

    /// Plays three days, the last of them yesterday, so that the registry has a history.
    fn play(&mut self) -> Result<(), CliError> {
        self.first_day()?;
        self.second_day()?;
        self.third_day()?;
        self.looking_back()?;
        self.next()
    }

    fn first_day(&mut self) -> Result<(), CliError> {
        use Person::{Alice, Bob};
        self.day(3, "A registry is a git repository. Alice creates one and adds Bob to its people.");
        self.cd("");
        self.unsigned()?;
        self.does(Alice, &["init", "registry", "--name", "demo"])?;
        self.cd("registry");
        self.does(Alice, &["person", "add", "bob", "--name", "Bob", "--email", "bob@example.org"])?;
        self.does(Alice, &["access", "grant", "bob", "CAN_MANAGE_PRODUCTION_VERSIONS"])?;
        self.say("Production holds one version, and needs the approval of a person other than the requester.");
        self.does(Alice, &["stage", "set", "Production", "--approvals", "1", "--exclusive"])?;
        self.say("A folder that MLflow wrote becomes version 1. The parameters and metrics come from the run.");
        let given = ["--param", "C=0.05", "--param", "features=3", "--metric", "accuracy=0.7222"];
        self.does(
            Alice,
            &[&["register", "wine", "../models/wine-v1"][..], &given, &["--metric", "auc=0.9097"]].concat(),
        )?;
        self.say("Alice cannot move it to Production alone, although she manages the registry.");
        self.is_refused(Alice, &["transition", "wine", "1", "Production"])?;
        self.say("So she requests the transition, and Bob approves it. The commit of the approval moves the version.");
        self.does(Alice, &["request", "create", "wine", "1", "Production", "-m", "The first one, nothing better yet"])?;
        self.does(Bob, &["request", "approve", "wine", "1", "-m", "Good enough to start"])
    }

    fn second_day(&mut self) -> Result<(), CliError> {
        use Person::Alice;
        self.day(2, "A better model. Alice registers it, tags it, comments, and compares.");
        let given = ["--param", "C=1.0", "--param", "features=5", "--metric", "accuracy=0.9306"];
        let more = ["--metric", "auc=0.9901", "--description", "Two more inputs, and the inputs are scaled."];
        self.does(Alice, &[&["register", "wine", "../models/wine-v2"][..], &given, &more].concat())?;
        self.does(Alice, &["tag", "set", "wine/2", "validated=true"])?;
        self.does(Alice, &["alias", "set", "wine", "challenger", "2"])?;
        self.does(
            Alice,
            &["comment", "add", "wine", "2", "Flavanoids tell the cultivars apart better than the rest."],
        )?;
        self.does(Alice, &["compare", "wine", "1", "2", "--only-differences"])?;
        self.does(Alice, &["request", "create", "wine", "2", "Production", "-m", "Better in both metrics"])
    }

    fn third_day(&mut self) -> Result<(), CliError> {
        use Person::Bob;
        self.day(1, "Bob lists the waiting requests, looks at the version, and approves. Version 1 is archived.");
        self.does(Bob, &["request", "list", "--waiting"])?;
        self.does(Bob, &["version", "show", "wine", "2"])?;
        self.does(Bob, &["request", "approve", "wine", "2", "-m", "Checked on last month's bottles"])
    }

    fn looking_back(&mut self) -> Result<(), CliError> {
        use Person::Alice;
        self.clock = self.today;
        self.heading("Today");
        self.say("What is in the registry, and what happened?");
        self.does(Alice, &["version", "list", "wine"])?;
        self.does(Alice, &["log", "wine"])?;
        self.say("What did the last commit change? The answer is events, not lines of files.");
        self.does(Alice, &["diff", "HEAD~1", "HEAD"])?;
        let then = self.today.plus_millis(-2 * DAY).to_string();
        let then = then.get(..10).unwrap_or_default().to_owned();
        self.say(&format!(
            "What was in Production when {then} began? The answer is in the history, not in a log file."
        ));
        self.does(Alice, &["version", "list", "wine", "--at", &then])?;
        self.say("Fetch the files of both versions. Every byte is verified.");
        self.does(Alice, &["fetch", "models:/wine/Production", "../now"])?;
        self.does(Alice, &["fetch", &format!("models:/wine/Production@{{{then}}}"), "../then"])
    }

    fn next(&mut self) -> Result<(), CliError> {
        let registry = one_line(&self.dir.join("registry").to_string_lossy()).into_owned();
        self.heading("Next");
        for line in [
            format!("cd {registry}"),
            "git log --stat                      each change is a commit".to_owned(),
            "cat models/wine/stages/Production.toml   what a pull request would change".to_owned(),
            "greenroom check                     find every fault after an edit by hand".to_owned(),
            "greenroom search versions \"tags.validated = 'true'\"".to_owned(),
            "greenroom version show wine@challenger -o json".to_owned(),
            "git lfs push --all REMOTE           share the model files with the stock git-lfs".to_owned(),
            "greenroom --help                    all commands".to_owned(),
        ] {
            self.out.line(format!("  {line}"));
        }
        self.out.line("");
        self.out
            .line("You are neither Alice nor Bob: to change this registry, act as one of them with git's identity,");
        self.out.line("`git config user.email alice@example.org`, or make your own: greenroom init my-registry");
        Ok(self.out.flush()?)
    }

    /// Serves the registry as Alice until the process is stopped.
    fn serve(&mut self) -> Result<(), CliError> {
        let alice = Person::Alice;
        let bind = SocketAddr::from(([127, 0, 0, 1], PORT));
        let mut config = Config::new(self.dir.join("registry"), bind);
        config.local = Some(Ident::new(alice.name(), alice.email(), self.clock));
        let mut told = Ok(());
        let mut served = server::run(&config, |address| told = self.invite(address));
        if matches!(&served, Err(ServeError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse) {
            config.bind.set_port(0);
            served = server::run(&config, |address| told = self.invite(address));
        }
        served?;
        told
    }

    /// Prints what to try at the server.
    fn invite(&mut self, address: SocketAddr) -> Result<(), CliError> {
        let registry = one_line(&self.dir.join("registry").to_string_lossy()).into_owned();
        self.heading("Server");
        self.say(&format!("The registry is served at http://{address} until you press Ctrl-C. You act as Alice."));
        self.out.line("Your MLflow client works with it. Try three lines of Python:");
        self.out.line("");
        self.out.line("  import mlflow");
        self.out.line(format!("  mlflow.set_registry_uri(\"http://{address}\")"));
        self.out.line("  mlflow.MlflowClient().set_registered_model_alias(\"wine\", \"champion\", \"2\")");
        self.out.line("");
        self.out.line(format!("Each such call is a commit: git -C {} log -1", word(&registry)));
        Ok(self.out.flush()?)
    }

    /// Starts the day that was `ago` days before today.
    fn day(&mut self, ago: i64, text: &str) {
        let start = self.today.plus_millis(-ago * DAY);
        self.clock = start.plus_millis(9 * 60 * MINUTE);
        let date = start.to_string();
        self.heading(date.get(..10).unwrap_or_default());
        self.say(text);
    }

    fn heading(&mut self, text: &str) {
        self.out.line("");
        self.out.line(styled(BOLD, &format!("== {text} ==")));
    }

    fn say(&mut self, text: &str) {
        self.out.line("");
        self.out.foreign(text);
    }

    /// Changes to a folder of the demo.
    fn cd(&mut self, within: &'static str) {
        self.within = within;
        let shown = if within.is_empty() { self.dir.to_string_lossy().into_owned() } else { within.to_owned() };
        self.out.line("");
        self.out.line(styled(DIM, &format!("Alice$ cd {}", word(&shown))));
    }

    /// Runs a command as a person.
    fn does(&mut self, who: Person, words: &[&str]) -> Result<(), CliError> {
        match self.run(who, words)? {
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Runs a command that the rules refuse, and shows the refusal.
    fn is_refused(&mut self, who: Person, words: &[&str]) -> Result<(), CliError> {
        match self.run(who, words)? {
            Err(e) if e.exit == Exit::Refused => {
                self.out.line(crate::cli::terminal::report::as_text(&e).trim_end());
                Ok(())
            }
            Err(e) => Err(e),
            Ok(_) => Err(CliError::new(Exit::Failed, "the rules should have refused that")),
        }
    }

    /// Prints a command line and runs it by the same code as the program. The inner result is that of the command.
    fn run(&mut self, who: Person, words: &[&str]) -> Result<Result<Exit, CliError>, CliError> {
        self.prompt(who, words)?;
        self.clock = self.clock.plus_millis(7 * MINUTE);
        let played = ScriptedActor { ident: Ident::new(who.name(), who.email(), self.clock) };
        let global = Global { dir: Some(self.dir.join(self.within)), ..self.global.clone() };
        let mut session = Session::played(global.clone(), Output::new(&global), played);
        let result = (self.runner)(words, &mut session);
        session.out.flush()?;
        Ok(result)
    }

    fn prompt(&mut self, who: Person, words: &[&str]) -> Result<(), CliError> {
        let line: Vec<String> = words.iter().map(|w| word(w)).collect();
        self.out.line("");
        self.out.line(styled(BOLD, &format!("{}$ greenroom {}", who.name(), line.join(" "))));
        Ok(self.out.flush()?)
    }

    /// Turns signatures and shared hooks off for this registry: Alice and Bob have no keys, and the user's git config
    /// may ask for signatures or name a folder of hooks for all repositories.
    fn unsigned(&mut self) -> Result<(), CliError> {
        let repo = Repo::init(&self.dir.join("registry"), false)?;
        if repo.hooks_dir().shared {
            repo.set_own("core.hooksPath", &[".git/hooks"])?;
        }
        if !repo.signs() {
            return Ok(());
        }
        self.out.line("");
        self.out.line(styled(DIM, "Alice$ git init --quiet registry; git -C registry config commit.gpgSign false"));
        let path = repo.common_dir().join("config");
        let config = fs::read_to_string(&path)?;
        Ok(fs::write(&path, format!("{config}[commit]\n\tgpgSign = false\n"))?)
    }
}

/// Quotes a word for a shell.
fn word(w: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+~".contains(c);
    if !w.is_empty() && w.chars().all(plain) { w.to_owned() } else { format!("'{}'", w.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        assert_eq!(word("models:/wine/Production"), "models:/wine/Production");
        assert_eq!(word("last month's bottles"), r"'last month'\''s bottles'");
        assert_eq!(word("a@{2026-03-01}"), "'a@{2026-03-01}'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn the_examples_in_the_program_are_those_on_disk() {
        for (name, files) in [("wine-v1", WINE_V1), ("wine-v2", WINE_V2)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models").join(name);
            assert_eq!(fs::read_dir(&folder).map(Iterator::count).ok(), Some(files.len()), "{name}");
        }
    }
}
