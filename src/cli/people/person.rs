//! `greenroom person`: the people of the registry.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use clap::{Args, Subcommand};

use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::output::local;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::value_parser::text;
use crate::entity::Person;
use crate::entity::person::SigningKey;
use crate::name::{Principal, UserName};
use crate::registry::Registry;
use crate::signature::{self, KeyError, PublicKey};
use crate::text::{Text, one_line, quoted};
use crate::time::Timestamp;
use crate::view;

/// Manage the people of the registry
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PersonCommand {
    Add(AddArgs),
    List(ListArgs),
    Show(ShowArgs),
    Set(SetArgs),
    Remove(RemoveArgs),
    AllowedSigners(AllowedSignersArgs),
}

/// Add a person; commits with one of the e-mail addresses then belong to this person
///
/// Example: `greenroom person add bob --email bob@example.com --name 'Bob Smith'`
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The person's id: a login, a pseudonym or an e-mail address
    id: UserName,
    #[command(flatten)]
    known: KnownArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The fields of a person.
#[derive(Debug, Args)]
struct KnownArgs {
    /// An e-mail address; can be repeated
    #[arg(long = "email", value_name = "ADDRESS", value_parser = address)]
    emails: Vec<Text>,
    /// The name to show
    #[arg(long = "name", value_name = "TEXT", value_parser = text)]
    shown: Option<Text>,
    /// A login at the git host that differs from the id; can be repeated
    #[arg(long = "login", value_name = "LOGIN", value_parser = text)]
    logins: Vec<Text>,
    /// A key that signs the person's commits: an SSH public key, or a file with an SSH or armored OpenPGP public key
    #[arg(long = "key", value_name = "FILE|KEY")]
    keys: Vec<String>,
}

/// List the people
///
/// Example: `greenroom person list`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Show a person with groups and grants
///
/// Example: `greenroom person show bob`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The person's id
    #[arg(add = complete::person())]
    id: UserName,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Change a person; addresses, logins and keys are added to the existing ones
///
/// Example: `greenroom person set bob --key ~/.ssh/id_ed25519.pub`
#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The person's id
    #[arg(add = complete::person())]
    id: UserName,
    #[command(flatten)]
    known: KnownArgs,
    /// Remove an e-mail address; can be repeated
    #[arg(long, value_name = "ADDRESS")]
    remove_email: Vec<String>,
    /// Remove a login; can be repeated
    #[arg(long, value_name = "LOGIN")]
    remove_login: Vec<String>,
    /// Revoke a key from now on; name it by a unique part of the key or of its fingerprint; can be repeated
    #[arg(long, value_name = "KEY")]
    revoke_key: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Remove a person with all grants and group memberships
///
/// Example: `greenroom person remove bob`
#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// The person's id
    #[arg(add = complete::person())]
    id: UserName,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Print the SSH keys as git's allowed_signers file (gpg.ssh.allowedSignersFile; OpenSSH 9.1 or later)
///
/// Example: `greenroom person allowed-signers > allowed_signers`
#[derive(Debug, Args)]
pub(in crate::cli) struct AllowedSignersArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

fn address(s: &str) -> Result<Text, String> {
    let plausible = s.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    if plausible && !s.contains(char::is_whitespace) { text(s) } else { Err("is not an e-mail address".to_owned()) }
}

pub(in crate::cli) fn run(command: PersonCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        PersonCommand::Add(a) => {
            let mut person = Person::default();
            let now = now(session, &session.registry()?)?;
            learn(session, &mut person, a.known, now)?;
            let user = a.id.clone();
            let exit = change::apply(session, &a.change, &[Action::AddPerson { user: a.id, person }])?;
            if exit == Exit::Ok && !a.change.is_dry_run() {
                print_grant(session, &user)?;
            }
            Ok(exit)
        }
        PersonCommand::Set(a) => set(a, session),
        PersonCommand::Remove(a) => {
            session.confirm_deletion(&format!("the person {}", a.id), a.id.as_str(), a.yes || a.change.is_dry_run())?;
            let actions = farewell(&session.registry()?, a.id)?;
            change::apply(session, &a.change, &actions)
        }
        PersonCommand::List(a) => list(&a, session),
        PersonCommand::Show(a) => show(&a, session),
        PersonCommand::AllowedSigners(a) => allowed_signers(&a, session),
    }
}

/// Says of a new person without a grant how to give one.
fn print_grant(session: &mut Session, user: &UserName) -> Result<(), CliError> {
    let level = session.registry()?.snapshot()?.registry_level(user)?;
    if level.is_none() && !session.out.is_json() {
        let shown = crate::cli::terminal::shell::shell(user.as_str());
        session.out.foreign(&format!(
            "{user} has no grant yet, and may not read models: `greenroom access grant {shown} read` gives one"
        ));
    }
    Ok(())
}

fn now(session: &Session, registry: &Registry) -> Result<Timestamp, CliError> {
    Ok(session.now(&session.identity(registry.repo())?.1))
}

/// Adds the given addresses, name, logins and keys to a person.
fn learn(session: &Session, person: &mut Person, known: KnownArgs, now: Timestamp) -> Result<(), CliError> {
    person.emails.extend(known.emails);
    person.logins.extend(known.logins);
    if let Some(name) = known.shown {
        person.name = name;
    }
    for given in &known.keys {
        let (key, fingerprint) = read_key(session, given)?;
        let same = |k: &&mut SigningKey| k.revoked_at.is_none() && shown(k).0 == fingerprint;
        // A renewed OpenPGP key replaces its earlier form.
        match person.keys.iter_mut().find(same) {
            Some(there) => there.key = key,
            None => person.keys.push(SigningKey { key, added_at: Some(now), revoked_at: None }),
        }
    }
    Ok(())
}

/// A public key (from a file, or the argument itself) and its fingerprint.
fn read_key(session: &Session, given: &str) -> Result<(Text, String), CliError> {
    let is_key = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "-----"].iter().any(|start| given.starts_with(start));
    let mut words = given.to_owned();
    // The argument may be a private key by mistake, so the error does not repeat it.
    let (mut named, max) = ("the key".to_owned(), signature::MAX_KEY as u64);
    if !is_key {
        let path = session.path(Path::new(given));
        named = quoted(given);
        let failed = |e: std::io::Error| {
            let causes = vec![e.to_string()];
            let error = CliError { causes, ..CliError::new(Exit::Failed, format!("could not read the key {named}")) };
            error.hint("an OpenPGP key must be text: gpg --armor --export")
        };
        words = String::new();
        std::fs::File::open(&path).and_then(|f| f.take(max + 1).read_to_string(&mut words)).map_err(failed)?;
    }
    let refused = |e: KeyError| CliError::usage(format!("{named} cannot be used: {e}"));
    let key = PublicKey::parse(&words).map_err(refused)?;
    key.vet().map_err(refused)?;
    let text = Text::new(words.trim()).map_err(|e| CliError::usage(e.to_string()))?;
    Ok((text, key.fingerprint().to_owned()))
}

/// A key for output: its fingerprint and its kind. An unusable key is shown by its first characters.
fn shown(key: &SigningKey) -> (String, String) {
    match PublicKey::parse(key.key.as_str()) {
        Ok(public) => (public.fingerprint().to_owned(), public.kind()),
        Err(_) => (quoted(key.key.first_line()), "not usable".to_owned()),
    }
}

fn known(registry: &Registry, user: &UserName, at: Option<&str>) -> Result<Person, CliError> {
    let found = registry.as_of(at)?.person(user)?;
    let file = found.ok_or_else(|| Refusal::no_person(user))?;
    file.value.ok_or_else(|| {
        CliError::new(Exit::Failed, format!("{} cannot be read", one_line(&file.path))).hint("greenroom check")
    })
}

fn set(args: SetArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let mut person = known(&registry, &args.id, None)?;
    let seen = Some(Box::new(person.clone()));
    let now = now(session, &registry)?;
    for email in &args.remove_email {
        let before = person.emails.len();
        person.emails.retain(|e| !e.as_str().eq_ignore_ascii_case(email));
        had(before != person.emails.len(), &args.id, "address", email)?;
    }
    for login in &args.remove_login {
        let before = person.logins.len();
        person.logins.retain(|l| l.as_str() != login);
        had(before != person.logins.len(), &args.id, "login", login)?;
    }
    for part in &args.revoke_key {
        let named = |k: &SigningKey| k.key.as_str().contains(part.as_str()) || shown(k).0.contains(part.as_str());
        let live = |k: &&mut SigningKey| k.revoked_at.is_none() && named(k);
        let mut found: Vec<&mut SigningKey> = person.keys.iter_mut().filter(live).collect();
        match found.as_mut_slice() {
            [key] => key.revoked_at = Some(now),
            [] => had(false, &args.id, "key", part)?,
            _ => {
                let message = format!("several keys of {} contain {}", args.id, quoted(part));
                return Err(CliError::new(Exit::Failed, message).hint("give a longer part of the key"));
            }
        }
    }
    learn(session, &mut person, args.known, now)?;
    change::apply(session, &args.change, &[Action::ChangePerson { user: args.id, person, seen }])
}

/// The actions that remove a person and everything that names the person: grants, memberships, approver lists.
fn farewell(registry: &Registry, user: UserName) -> Result<Vec<Action>, CliError> {
    let snapshot = registry.snapshot()?;
    let to = Principal::User(user.clone());
    let mut actions = Vec::new();
    let access = snapshot.access()?;
    if access.granted(&to).is_some() {
        actions.push(Action::Revoke { model: None, to: to.clone() });
    }
    for (group, _) in access.groups.iter().filter(|(_, members)| members.contains(&user)) {
        let (add, remove) = (BTreeSet::new(), BTreeSet::from([user.clone()]));
        actions.push(Action::ChangeGroup { group: group.clone(), add, remove });
    }
    for view in snapshot.models()? {
        if view.access()?.and_then(|f| f.value).is_some_and(|a| a.granted(&to).is_some()) {
            let model = view.dir.name().or(view.file()?.and_then(|f| f.value).map(|m| m.name));
            actions.extend(model.map(|model| Action::Revoke { model: Some(model), to: to.clone() }));
        }
    }
    actions.push(Action::RemovePerson { user });
    Ok(actions)
}

fn had(there: bool, user: &UserName, what: &str, value: &str) -> Result<(), CliError> {
    if there { Ok(()) } else { Err(CliError::not_found(format!("{user} has no {what} {}", quoted(value)))) }
}

fn shown_person(user: &UserName, p: &Person) -> view::Person {
    let key = |k: &SigningKey| {
        let (fingerprint, kind) = shown(k);
        // A text that is not a public key is not printed: it may be a private key.
        let key = PublicKey::parse(k.key.as_str()).is_ok().then(|| k.key.clone());
        view::SigningKey { fingerprint, kind, key, added_at: k.added_at, revoked_at: k.revoked_at }
    };
    view::Person {
        id: user.clone(),
        name: p.name.clone(),
        emails: p.emails.clone(),
        logins: p.logins.clone(),
        keys: p.keys.iter().map(key).collect(),
    }
}

fn joined(set: &BTreeSet<Text>) -> String {
    set.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let snapshot = registry.as_of(args.at.as_deref())?;
    let people = snapshot.people()?;
    let all: Vec<(&UserName, &Person)> = people.iter().filter_map(|(u, f)| Some((u, f.value.as_ref()?))).collect();
    if session.out.is_json() {
        session.out.json(&all.iter().map(|(u, p)| shown_person(u, p)).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ID", "NAME", "E-MAIL", "LOGINS"]);
    for (user, p) in all {
        table.row([user.as_str(), p.name.as_str(), &joined(&p.emails), &joined(&p.logins)]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let p = known(&registry, &args.id, args.at.as_deref())?;
    session.note_edits(&registry, args.at.as_deref());
    let snapshot = registry.as_of(args.at.as_deref())?;
    let groups = snapshot.groups_of(&args.id)?;
    let level = snapshot.registry_level(&args.id)?;
    let out = &mut session.out;
    if out.is_json() {
        out.json(&view::PersonPage { person: shown_person(&args.id, &p), groups, level })?;
        return Ok(Exit::Ok);
    }
    out.line(format!("Id:      {}", args.id));
    out.foreign(&format!("Name:    {}", p.name));
    out.foreign(&format!("E-mail:  {}", joined(&p.emails)));
    if !p.logins.is_empty() {
        out.foreign(&format!("Logins:  {}", joined(&p.logins)));
    }
    for k in &p.keys {
        let (fingerprint, kind) = shown(k);
        let revoked = k.revoked_at.map_or(String::new(), |t| format!(", revoked {}", local(t)));
        out.foreign(&format!("Key:     {fingerprint} ({kind}{revoked})"));
    }
    let groups: Vec<&str> = groups.iter().map(crate::name::GroupName::as_str).collect();
    out.line(format!("Groups:  {}", groups.join(", ")));
    out.line(format!("Level:   {}", level.map_or("none registry-wide", crate::entity::PermissionLevel::as_str)));
    Ok(Exit::Ok)
}

fn allowed_signers(args: &AllowedSignersArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let people = snapshot.people()?.iter().filter_map(|(user, file)| Some((user, file.value.as_ref()?)));
    let signers = signature::allowed_signers(people);
    if session.out.is_json() {
        session.out.json(&view::Signers(signers))?;
        return Ok(Exit::Ok);
    }
    for line in &signers {
        session.out.foreign(line);
    }
    Ok(Exit::Ok)
}
