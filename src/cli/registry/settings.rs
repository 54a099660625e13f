//! `greenroom settings`: the registry's settings. The rules of stages are in `greenroom stage`.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::value_parser::text;
use crate::entity::Settings;
use crate::entity::settings::{Acknowledgement, Authority, Removal, UnreadyPolicy};
use crate::gate::verify::{Scope, verify};
use crate::name::UserName;
use crate::registry::Registry;
use crate::text::{Text, quoted};
use crate::tree::Oid;
use crate::view;

/// Show and change the registry's settings; you can also edit greenroom.toml by hand
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SettingsCommand {
    Show(ShowArgs),
    Set(SetArgs),
    Acknowledge(AcknowledgeArgs),
}

/// Acknowledge a known fault of the history; `greenroom verify` then lists it apart, with the reason
///
/// Example: `greenroom settings acknowledge 3f2a9c1 stage-approvals -m 'Merged before the gate existed'`
///
/// Use it for faults that cannot be fixed any more: a step that broke a rule and reached a branch without a gate. Only
/// a registry manager may acknowledge. The reason (`-m`) is recorded in greenroom.toml.
#[derive(Debug, Args)]
pub(in crate::cli) struct AcknowledgeArgs {
    /// The commit with the fault
    commit: String,
    /// The broken rule, as `greenroom verify` names it
    rule: String,
    /// Withdraw the acknowledgement
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Show the settings
///
/// Example: `greenroom settings show`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Change settings
///
/// Example: `greenroom settings set --authority signature`
///
/// Options that you leave out keep their value.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = [
    "shown", "authority", "self_approval", "removal", "unready", "add_web", "remove_web", "add_server", "remove_server",
    "add_source", "remove_source", "mail", "daily_cap",
])]
pub(in crate::cli) struct SetArgs {
    /// The registry's name
    #[arg(long = "name", value_name = "TEXT", value_parser = shown)]
    shown: Option<Text>,
    /// The proof of the committer's identity: `author` (the commit's author, for local registries), `pusher` (the git
    /// host's record of the push) or `signature` (the signature of each commit)
    #[arg(long, value_name = "WHAT", value_parser = authority)]
    authority: Option<Authority>,
    /// Whether the requester's own approval counts; only for a registry of one person
    #[arg(long, value_name = "BOOL")]
    self_approval: Option<bool>,
    /// Which models and versions may be deleted and renamed: `inactive` (in None or Archived) or `any` (as in MLflow)
    #[arg(long, value_name = "WHAT", value_parser = removal)]
    removal: Option<Removal>,
    /// What versions that are not READY may do: `refuse` (they enter no active stage, take no alias, and are not
    /// latest) or `allow` (as in MLflow)
    #[arg(long, value_name = "WHAT", value_parser = unready)]
    unready: Option<UnreadyPolicy>,
    /// An e-mail address with which the git host itself commits merges, such as noreply@github.com; can be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = text)]
    add_web: Vec<Text>,
    /// Remove such an address; can be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = text)]
    remove_web: Vec<Text>,
    /// A service account that commits changes for others; the commit's author then counts as the committer; can be
    /// repeated
    #[arg(long, value_name = "PERSON", add = complete::person())]
    add_server: Vec<UserName>,
    /// Remove such an account; can be repeated
    #[arg(long, value_name = "PERSON", add = complete::person())]
    remove_server: Vec<UserName>,
    /// A prefix of URIs that versions may come from, such as s3://models/; without any prefix, every URI is allowed
    #[arg(long, value_name = "PREFIX", value_parser = text)]
    add_source: Vec<Text>,
    /// Remove such a prefix; can be repeated
    #[arg(long, value_name = "PREFIX", value_parser = text)]
    remove_source: Vec<Text>,
    /// Whether the registry sends mail at all; each person has their own switch, too (`greenroom notify off`)
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    mail: Option<bool>,
    /// The largest number of mails per day to one person about one kind of activity on one model; 0: no limit
    #[arg(long, value_name = "NUMBER")]
    daily_cap: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Reads the registry's name.
fn shown(s: &str) -> Result<Text, String> {
    if s.trim().is_empty() { Err("the name is empty".to_owned()) } else { text(s) }
}

fn on_or_off(s: &str) -> Result<bool, String> {
    match s {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

fn authority(s: &str) -> Result<Authority, String> {
    let found = Authority::ALL.into_iter().find(|a| a.as_str() == s);
    found.ok_or_else(|| "must be author, pusher or signature".to_owned())
}

fn removal(s: &str) -> Result<Removal, String> {
    let found = Removal::ALL.into_iter().find(|r| r.as_str() == s);
    found.ok_or_else(|| "must be inactive or any".to_owned())
}

fn unready(s: &str) -> Result<UnreadyPolicy, String> {
    let found = UnreadyPolicy::ALL.into_iter().find(|u| u.as_str() == s);
    found.ok_or_else(|| "must be refuse or allow".to_owned())
}

/// The settings as of a moment.
pub(in crate::cli) fn current(registry: &Registry, at: Option<&str>) -> Result<Settings, CliError> {
    let snapshot = registry.as_of(at)?;
    match snapshot.settings_file()? {
        Some(file) => match (&file.value, file.problems.first()) {
            (Some(settings), _) => Ok(settings.clone()),
            (None, Some(problem)) => Err(Refusal::Faulty { problem: problem.clone() }.into()),
            (None, None) => Err(CliError::new(Exit::Failed, "greenroom.toml cannot be read")),
        },
        None => Err(CliError::not_found("the registry did not exist then")),
    }
}

pub(in crate::cli) fn run(command: SettingsCommand, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    match command {
        SettingsCommand::Show(a) => show(&current(&registry, a.at.as_deref())?, session),
        SettingsCommand::Acknowledge(a) => acknowledge(&a, &registry, session),
        SettingsCommand::Set(a) => {
            let mut settings = current(&registry, None)?;
            let seen = Some(Box::new(settings.clone()));
            if let Some(name) = a.shown {
                settings.name = name;
            }
            settings.identity.authority = a.authority.unwrap_or(settings.identity.authority);
            settings.rules.removal = a.removal.unwrap_or(settings.rules.removal);
            settings.rules.unready = a.unready.or(settings.rules.unready);
            let identity = &mut settings.identity;
            identity.self_approval = a.self_approval.unwrap_or(identity.self_approval);
            identity.web.extend(a.add_web);
            identity.web.retain(|address| !a.remove_web.contains(address));
            identity.servers.extend(a.add_server);
            identity.servers.retain(|user| !a.remove_server.contains(user));
            settings.sources.allow.extend(a.add_source);
            settings.sources.allow.retain(|prefix| !a.remove_source.contains(prefix));
            settings.notifications.off = a.mail.map_or(settings.notifications.off, |on| !on);
            settings.notifications.daily_cap = a.daily_cap.or(settings.notifications.daily_cap);
            change::apply(session, &a.change, &[Action::ChangeSettings { settings, seen }])
        }
    }
}

fn acknowledge(args: &AcknowledgeArgs, registry: &Registry, session: &mut Session) -> Result<Exit, CliError> {
    let mut settings = current(registry, None)?;
    let seen = Some(Box::new(settings.clone()));
    let named = registry.repo().resolve(&args.commit)?;
    let commit = Text::new(&named.to_string()).map_err(|e| CliError::usage(e.to_string()))?;
    let rule = Text::new(&args.rule).map_err(|e| CliError::usage(e.to_string()))?;
    let is_same = |known: &Acknowledgement| known.commit == commit && known.rule == rule;
    if args.revoke {
        settings.acknowledged.retain(|known| !is_same(known));
    } else {
        let reason = args.change.text()?;
        if reason.is_empty() {
            return Err(CliError::usage("give the reason with -m; it is part of the record"));
        }
        found_by_verify(registry, named, &args.rule)?;
        settings.acknowledged.retain(|known| !is_same(known));
        settings.acknowledged.push(Acknowledgement { commit, rule, reason });
    }
    change::apply(session, &args.change, &[Action::ChangeSettings { settings, seen }])
}

/// Refuses to acknowledge a fault that `verify` would still report: a fault of another step or rule, of the current
/// state, or of the history as a whole.
fn found_by_verify(registry: &Registry, commit: Oid, rule: &str) -> Result<(), CliError> {
    let repo = registry.repo();
    let from = repo.commit(&commit)?.parents.first().copied();
    let scope = Scope { branch: registry.branch().to_owned(), from, to: Some(commit), ..Scope::default() };
    let audit = verify(repo.git_dir(), &scope, &|_, _| {}, &|_, _| {})?;
    let all = audit.findings.iter().chain(audit.acknowledged.iter().map(|known| &known.finding));
    let rules: BTreeSet<&str> =
        all.filter(|f| f.commit == Some(commit) && f.at.is_some()).map(|f| f.fault.problem.rule).collect();
    // Without the record of pushes, a fault that depends on it cannot be found here.
    if rules.contains(rule) || (audit.pushes == 0 && matches!(rule, "push-record" | "push-time")) {
        return Ok(());
    }
    let message = format!("`greenroom verify` finds no fault of the rule {} in {}", quoted(rule), commit.short());
    let error = CliError::not_found(message);
    Err(match rules.is_empty() {
        true => {
            error.hint("fix faults of the current state; only faults of a commit can be acknowledged: greenroom verify")
        }
        false => {
            error.hint(format!("it finds faults of these rules: {}", rules.into_iter().collect::<Vec<_>>().join(", ")))
        }
    })
}

fn show(settings: &Settings, session: &mut Session) -> Result<Exit, CliError> {
    let out = &mut session.out;
    if out.is_json() {
        out.json(&view::RegistrySettings(settings))?;
        return Ok(Exit::Ok);
    }
    out.foreign(&format!("Name:           {}", settings.name));
    out.line(format!("Id:             {}", settings.id));
    out.line(format!("Format:         {}", settings.format));
    out.line(format!("Layout:         {}", settings.layout.as_str()));
    out.line(format!("Authority:      {}", settings.identity.authority.as_str()));
    out.line(format!("Self-approval:  {}", if settings.identity.self_approval { "yes" } else { "no" }));
    out.line(format!("Removal:        {}", settings.rules.removal.as_str()));
    let unready = settings.rules.unready.unwrap_or(UnreadyPolicy::Refuse);
    out.line(format!("Unready:        {}", unready.as_str()));
    let mut list = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            out.foreign(&format!("{what} {}", names.join(", ")));
        }
    };
    list("Host commits:  ", settings.identity.web.iter().map(Text::as_str).collect());
    list("Sources:       ", settings.sources.allow.iter().map(Text::as_str).collect());
    list("Servers:       ", settings.identity.servers.iter().map(UserName::as_str).collect());
    let mail = &settings.notifications;
    let cap = mail.cap().map_or_else(|| "any number".to_owned(), |cap| format!("at most {cap}"));
    let mail =
        if mail.off { "off".to_owned() } else { format!("on, {cap} a day about one kind of activity on one model") };
    out.line(format!("Mail:           {mail}"));
    let ruled: Vec<&str> = settings.stages.keys().map(crate::stage::Stage::as_str).collect();
    if !ruled.is_empty() {
        out.line(format!("Stage rules:    {} (greenroom stage list)", ruled.join(", ")));
    }
    let guarded: Vec<&str> = settings.aliases.keys().map(crate::name::AliasName::as_str).collect();
    if !guarded.is_empty() {
        out.foreign(&format!("Alias rules:    {} (greenroom alias rules)", guarded.join(", ")));
    }
    Ok(Exit::Ok)
}
