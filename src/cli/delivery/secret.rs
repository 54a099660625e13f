//! `greenroom secret`: the secrets of webhooks, stored outside git.

use std::io::Read as _;

use clap::{Args, Subcommand};

use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::clock;
use crate::deliver::webhook::OutgoingError;
use crate::entity::Webhook;
use crate::name::Key;
use crate::registry::Registry;
use crate::secrets::{MAX_SECRET, Secret, SecretError, Secrets, next_of};
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
    /// A secret that a webhook names is deleted with --yes only: deliveries of that webhook fail without it.
    Delete(DeleteArgs),
    /// Let another webhook use a secret whose name begins webhook- than the one that used it first
    Release(NameArgs),
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
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The secret's name
    name: Key,
    /// Delete it also if a webhook names it
    #[arg(long)]
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
        SecretCommand::Set(args) => set(args, &secrets, session),
        SecretCommand::List => list(&secrets, session),
        SecretCommand::Release(args) => {
            if !secrets.release(&args.name)? {
                let message = format!("the secret '{}' is no webhook's own", args.name);
                return Err(CliError::not_found(message).hint("greenroom secret list"));
            }
            said(
                session,
                &SecretChange { released: Some(args.name.as_str()), ..SecretChange::default() },
                &format!("Released the secret {}; it is the webhook's that uses it next.", args.name),
            )
        }
        SecretCommand::Promote(args) => promote(&args.name, &secrets, session),
        SecretCommand::Delete(args) => {
            if !args.yes {
                not_in_use(&args.name, &registry)?;
            }
            if !secrets.delete(&args.name)? {
                return Err(none(&args.name));
            }
            said(
                session,
                &SecretChange { deleted: Some(args.name.as_str()), ..SecretChange::default() },
                &format!("Deleted the secret {}.", args.name),
            )
        }
    }
}

/// Refuses to delete a secret that a webhook of the registry names.
fn not_in_use(name: &Key, registry: &Registry) -> Result<(), CliError> {
    let webhooks = registry.snapshot()?.webhooks()?;
    let names = |webhook: &Webhook| webhook.secrets().any(|secret| secret == name);
    let user = webhooks.iter().find(|(_, file)| file.value.as_ref().is_some_and(names));
    let Some((id, _)) = user else { return Ok(()) };
    let id = crate::cli::terminal::id_prefix::short(id);
    let message = format!("webhook {id} names the secret '{name}'; its deliveries fail without the secret");
    let hint = format!("delete the webhook first (greenroom webhook delete {id}), or add --yes");
    Err(CliError::new(Exit::Conflict, message).hint(hint))
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

fn set(args: &SetArgs, secrets: &Secrets, session: &mut Session) -> Result<Exit, CliError> {
    let secret = if args.generate { Secret::random()? } else { given(args.from.as_deref())? };
    secrets.set(&args.name, &secret, clock::now())?;
    let name = &args.name;
    if args.generate {
        // This is the only time the secret is shown: the receiver needs it.
        let (set, secret) = (Some(name.as_str()), secret.reveal());
        return said(session, &SecretChange { set, secret: Some(secret), ..SecretChange::default() }, secret);
    }
    said(
        session,
        &SecretChange { set: Some(name.as_str()), ..SecretChange::default() },
        &format!("Set the secret {name}."),
    )
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
