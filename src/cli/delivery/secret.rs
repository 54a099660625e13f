//! `greenroom secret`: the secrets of webhooks, stored outside git.

use std::io::Read as _;

use clap::{Args, Subcommand};

use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::clock;
use crate::deliver::webhook::OutgoingError;
use crate::entity::Webhook;
use crate::entity::webhook::{OWN_SECRET, base_of, is_own, is_same_secret, is_successor};
use crate::name::Key;
use crate::registry::Registry;
use crate::secrets::{Binding, MAX_SECRET, Secret, SecretError, SecretUser, Secrets, next_of};
use crate::view::{SecretChange, StoredSecret};

/// Manage the secrets that webhooks name
///
/// Example: `greenroom secret set ci --generate`
///
/// Secrets lie in a file beside the repository and are not cloned. The environment variable GREENROOM_SECRET_NAME wins
/// over the file. With a key in GREENROOM_SECRETS_KEY or GREENROOM_SECRETS_KEY_FILE, the file is encrypted.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SecretCommand {
    /// Set a secret from standard input; it cannot be shown again
    ///
    /// Example: `greenroom secret set ci --generate`
    Set(SetArgs),
    /// List the secrets by name
    List,
    /// Replace NAME by NAME.next, the secret that receivers already use
    ///
    /// Example: `greenroom secret promote ci`
    Promote(NameArgs),
    /// Delete a secret
    ///
    /// Example: `greenroom secret delete ci`
    ///
    /// The deliveries of a webhook that names the secret fail without it.
    Delete(DeleteArgs),
    /// Let the webhook that names a secret have it, as the webhook is now
    ///
    /// Example: `greenroom secret release webhook-churn`
    ///
    /// A secret whose name begins with webhook- belongs to one webhook, and to its target at the time when the secret was
    /// set. Deliveries to another target wait until you release the secret. Look at the webhook first.
    Release(ReleaseArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The name that webhooks use for the secret
    name: Key,
    /// Generate a new signing secret and print it this one time
    #[arg(long, conflicts_with = "from")]
    generate: bool,
    /// Read the secret from this environment variable instead of standard input
    #[arg(long, value_name = "VARIABLE")]
    from: Option<String>,
    /// The webhook that a secret whose name begins with webhook- is for: its id, or a unique start or end of the id
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReleaseArgs {
    /// The secret's name
    name: Key,
    /// The webhook that gets the secret: its id, or a unique start or end of the id
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The secret's name
    name: Key,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NameArgs {
    /// The secret's name
    name: Key,
}

pub(in crate::cli) fn run(command: &SecretCommand, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let secrets = Secrets::of(&registry.state_dir())?;
    match command {
        SecretCommand::Set(args) => set(args, &registry, &secrets, session),
        SecretCommand::List => list(&secrets, session),
        SecretCommand::Release(args) => release(args, &registry, &secrets, session),
        SecretCommand::Promote(args) => promote(&args.name, &secrets, session),
        SecretCommand::Delete(args) => delete(args, &registry, &secrets, session),
    }
}

fn delete(args: &DeleteArgs, registry: &Registry, secrets: &Secrets, session: &mut Session) -> Result<Exit, CliError> {
    let name = &args.name;
    if !secrets.is_stored(name)? {
        return Err(none(name));
    }
    let user = webhooks(registry)?.into_iter().find(|webhook| webhook.secrets().any(|secret| secret == name));
    let what = match user {
        Some(user) => {
            format!("the secret '{name}', which webhook {} names,", crate::cli::terminal::id_prefix::short(&user.id))
        }
        None => format!("the secret '{name}'"),
    };
    session.confirm_deletion(&what, name.as_str(), args.yes)?;
    if !secrets.delete(name)? {
        return Err(none(name));
    }
    said(
        session,
        &SecretChange { deleted: Some(name.as_str()), ..SecretChange::default() },
        &format!("Deleted the secret {name}."),
    )
}

fn release(
    args: &ReleaseArgs,
    registry: &Registry,
    secrets: &Secrets,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let name = &args.name;
    if !is_own(name) {
        let message =
            format!("the secret '{name}' belongs to no single webhook: its name does not begin with {OWN_SECRET}");
        return Err(CliError::not_found(message).hint("greenroom secret list"));
    }
    let webhook = user_of(name, args.webhook.as_deref(), registry)?;
    secrets.release(name, Binding::of(name, &webhook))?;
    let id = webhook.id.to_string();
    said(
        session,
        &SecretChange { released: Some(name.as_str()), webhook: Some(&id), ..SecretChange::default() },
        &format!("Released the secret {name}. It belongs to {}", shown(&webhook)),
    )
}

fn webhooks(registry: &Registry) -> Result<Vec<Webhook>, CliError> {
    Ok(registry.snapshot()?.webhooks()?.into_values().filter_map(|file| file.value).collect())
}

/// The webhook in words: what an administrator must look at before it gets a secret.
fn shown(webhook: &Webhook) -> String {
    let of = webhook.model.as_ref().map_or_else(|| "the registry".to_owned(), |model| format!("the model {model}"));
    let unchecked = if webhook.insecure { ", whose certificate is not checked" } else { "" };
    format!("the webhook {} of {of}, which sends to {}{unchecked}", webhook.id, super::webhook::target(webhook))
}

/// Returns the webhook that a secret is for: the only one that names it, or the chosen one.
fn user_of(name: &Key, chosen: Option<&str>, registry: &Registry) -> Result<Webhook, CliError> {
    let mut users = webhooks(registry)?;
    users.retain(|webhook| webhook.secrets().any(|secret| is_same_secret(secret, name)));
    let base = base_of(name).to_owned();
    let names_it = |webhook: &Webhook| webhook.secrets().any(|s| s == name || s.as_str() == base);
    if users.is_empty() {
        let message =
            format!("no webhook of this branch names the secret '{base}', so it is not known where it may be sent");
        let hint =
            format!("create the webhook first (greenroom webhook create … --secret {base}), then set the secret");
        return Err(CliError::new(Exit::Conflict, message).hint(hint));
    }
    if chosen.is_none() && users.len() > 1 {
        let list: Vec<String> = users.iter().map(shown).collect();
        let message = format!("{} webhooks name the secret '{base}': {}", users.len(), list.join("; "));
        return Err(CliError::new(Exit::Conflict, message).hint("choose the one that gets it: --webhook ID"));
    }
    let user = match chosen {
        Some(given) => {
            let id = crate::cli::terminal::id_prefix::by_part("webhook", given, users.iter().map(|w| &w.id))?.clone();
            users.into_iter().find(|webhook| webhook.id == id)
        }
        None => users.into_iter().next(),
    };
    let user = user.ok_or_else(|| CliError::not_found("there is no such webhook"))?;
    if !names_it(&user) {
        let theirs: Vec<&str> = user.secrets().filter(|s| is_same_secret(s, name)).map(Key::as_str).collect();
        let message = format!("{} names the secret '{}', not '{base}'", shown(&user), theirs.join("' and '"));
        return Err(CliError::new(Exit::Conflict, message).hint("use the name that the webhook has"));
    }
    Ok(user)
}

fn none(name: &Key) -> CliError {
    CliError::not_found(format!("there is no secret '{name}' in the file")).hint("greenroom secret list")
}

fn said(session: &mut Session, json: &SecretChange<'_>, text: &str) -> Result<Exit, CliError> {
    if session.out.is_json() {
        session.out.json(json)?;
    } else {
        session.out.foreign(text);
    }
    Ok(Exit::Ok)
}

fn set(args: &SetArgs, registry: &Registry, secrets: &Secrets, session: &mut Session) -> Result<Exit, CliError> {
    let name = &args.name;
    if !is_own(name) && args.webhook.is_some() {
        return Err(CliError::usage(format!("--webhook is for secrets whose names begin with {OWN_SECRET}")));
    }
    // Before the secret is read, so that nobody types one in vain.
    let user = if is_own(name) { Some(user_of(name, args.webhook.as_deref(), registry)?) } else { None };
    let secret = if args.generate { Secret::random()? } else { given(args.from.as_deref())? };
    let user_id = user.as_ref().map(|webhook| webhook.id.to_string());
    match &user {
        Some(webhook) => {
            // A successor joins the secret that it will replace, and gives that one to no other target.
            if is_successor(name) && secrets.is_bound(name)? {
                secrets.check(name, &SecretUser::among(webhook, &[]))?;
            }
            secrets.set_for(name, &secret, Binding::of(name, webhook), clock::now())?;
        }
        None => secrets.set(name, &secret, clock::now())?,
    }
    let to = user.as_ref().map(|webhook| format!("It belongs to {}", shown(webhook)));
    let change = SecretChange { set: Some(name.as_str()), webhook: user_id.as_deref(), ..SecretChange::default() };
    if args.generate {
        to.iter().for_each(|to| crate::cli::terminal::report::note(to));
        // This is the only time the secret is shown: the receiver needs it.
        return said(session, &SecretChange { secret: Some(secret.reveal()), ..change }, secret.reveal());
    }
    let to = to.map_or_else(String::new, |to| format!(" {to}"));
    said(session, &change, &format!("Set the secret {name}.{to}"))
}

/// Reads the secret from the environment or standard input, never from the command line, where others could read it.
fn given(from: Option<&str>) -> Result<Secret, CliError> {
    let text = match from {
        Some(variable) => std::env::var(variable).map_err(|_| {
            CliError::usage(format!("the environment holds no text in {}", crate::text::quoted(variable)))
        })?,
        None => {
            let mut text = String::new();
            // Reads more than the longest secret with its line end, so that a longer one is refused and not cut.
            let limit = u64::try_from(MAX_SECRET + 3).unwrap_or(u64::MAX);
            std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
            text
        }
    };
    Ok(Secret::new(text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t)))?)
}

fn list(secrets: &Secrets, session: &mut Session) -> Result<Exit, CliError> {
    let all = secrets.list()?;
    if session.out.is_json() {
        let rows = all.iter().map(|s| StoredSecret {
            name: s.name.clone(),
            updated_at: s.changed,
            encrypted: s.sealed,
            environment: s.environment,
            webhook: s.webhook.clone(),
        });
        session.out.json(&rows.collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NAME", "CHANGED", "KEPT", "WEBHOOK"]);
    for secret in &all {
        let kept = match (secret.environment, secret.sealed) {
            (true, _) => "in the environment",
            (false, true) => "encrypted",
            (false, false) => "in plain text",
        };
        let changed = secret.changed.map(crate::time::Timestamp::short).unwrap_or_default();
        table.row([secret.name.clone(), changed, kept.to_owned(), secret.webhook.clone().unwrap_or_default()]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

fn promote(name: &Key, secrets: &Secrets, session: &mut Session) -> Result<Exit, CliError> {
    let next = next_of(name).ok_or_else(|| none(name))?;
    let secret = secrets.get(&next)?.ok_or_else(|| none(&next))?;
    secrets.promote((&next, name), &secret, clock::now())?;
    said(
        session,
        &SecretChange { set: Some(name.as_str()), deleted: Some(next.as_str()), ..SecretChange::default() },
        &format!("{next} is now {name}."),
    )
}

impl From<SecretError> for CliError {
    fn from(e: SecretError) -> Self {
        match e {
            SecretError::Kept(e) => e.into(),
            SecretError::Unfit => Self::usage(e.to_string()),
            SecretError::NoKey { .. }
            | SecretError::KeyFile { .. }
            | SecretError::Sealed { .. }
            | SecretError::WrongKey { .. }
            | SecretError::Claimed { .. }
            | SecretError::Retargeted { .. }
            | SecretError::Contested { .. }
            | SecretError::Random(_) => Self::of(Exit::Failed, &e),
        }
    }
}

impl From<OutgoingError> for CliError {
    fn from(e: OutgoingError) -> Self {
        match e {
            OutgoingError::Secrets(e) => e.into(),
            OutgoingError::Allow(_) => Self::of(Exit::Failed, &e),
        }
    }
}
