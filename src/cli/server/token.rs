//! `greenroom token`: the access tokens of the server.

use clap::{Args, Subcommand};

use crate::cli::terminal::complete;
use crate::cli::terminal::output::local;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::clock;
use crate::index::Index;
use crate::name::UserName;
use crate::private_file::KeptError;
use crate::server::context::tokens::{TokenError, TokenRecord, TokenRights, Tokens};
use crate::time::{Calendar, Timestamp};
use crate::view;

/// Manage the tokens with which people call the server
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Create a token for a person and print it; it cannot be shown again
    ///
    /// Example: `greenroom token create --person bob --expires 90d`
    Create(CreateArgs),
    /// List the tokens by their first characters
    List,
    /// Revoke a token
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The person whom the token identifies
    #[arg(long, value_name = "ID", add = complete::person())]
    person: UserName,
    /// The end of the token's validity: a date, a time, or a duration from now such as `90d` or `2w`
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Allow only reading
    #[arg(long)]
    read_only: bool,
    /// Make the token for a service, such as an MLflow server, that names the person it acts for (`greenroom serve
    /// --person-header`). Such a token cannot approve requests or manage permissions, people and webhooks
    #[arg(long)]
    delegate: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// The first characters of the token, as `token list` shows them
    prefix: String,
}

pub(in crate::cli) fn run(command: &TokenCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        TokenCommand::Create(args) => create(args, session),
        TokenCommand::List => list(session),
        TokenCommand::Revoke(args) => revoke(args, session),
    }
}

fn create(args: &CreateArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let user = &args.person;
    let person = crate::cli::terminal::session::person(&registry.snapshot()?, user)?;
    if person.emails.is_empty() {
        let hint = format!("greenroom person set {user} --email …");
        return Err(CliError::new(Exit::Failed, format!("'{user}' has no e-mail address to commit with")).hint(hint));
    }
    let now = clock::now();
    // Tokens expire by the machine's clock, whatever date the environment gives to commits.
    let calendar = Calendar::new(now, jiff::tz::TimeZone::system());
    let expires = args.expires.as_deref().map(|end| calendar.read_ahead(end)).transpose()?;
    if expires.is_some_and(|end| end <= now) {
        return Err(CliError::usage("the token would be expired already"));
    }
    let rights = TokenRights { read_only: args.read_only, delegate: args.delegate };
    let since = Index::open(&registry, &mut |_| {})?.arrivals([user].into_iter())?.remove(user);
    let text = Tokens::of(&registry.state_dir()).create((user, since), now, expires, rights)?;
    if session.out.is_json() {
        session.out.json(&view::NewToken {
            token: &text,
            person: user,
            expires_at: expires,
            read_only: args.read_only,
            delegate: args.delegate,
        })?;
    } else {
        session.out.line(text);
    }
    Ok(Exit::Ok)
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let tokens = Tokens::of(&registry.state_dir()).list()?;
    let now = clock::now();
    let people: Vec<UserName> = registry.snapshot()?.people()?.keys().cloned().collect();
    let arrivals = Index::open(&registry, &mut |_| {})?.arrivals(people.iter())?;
    // The token of a removed person stays void, even if another person has the same id now.
    let is_void = |token: &TokenRecord| {
        let user = UserName::new(token.person.as_str()).ok().filter(|user| people.contains(user));
        user.is_none_or(|user| token.is_void(arrivals.get(&user).copied()))
    };
    if session.out.is_json() {
        let rows = tokens.iter().map(|t| view::Token {
            prefix: t.prefix.clone(),
            person: t.person.clone(),
            created_at: Timestamp::from_millis(t.created),
            expires_at: t.expires.map(Timestamp::from_millis),
            read_only: t.read_only,
            delegate: t.delegate,
            expired: t.is_over(now),
            void: is_void(t),
        });
        session.out.json(&rows.collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["TOKEN", "PERSON", "CREATED", "EXPIRES", "MAY"]);
    for token in &tokens {
        let expires = token.expires.map(|t| local(Timestamp::from_millis(t)));
        let expires = match expires {
            Some(time) if token.is_over(now) => format!("{time} (expired)"),
            Some(time) => time,
            None => "never".to_owned(),
        };
        let may = match (token.read_only, token.delegate) {
            _ if is_void(token) => "nothing: the person was removed",
            (true, false) => "read",
            (false, false) => "everything the person may",
            (true, true) => "read for others",
            (false, true) => "act for others",
        };
        table.row([
            format!("{}…", token.prefix),
            token.person.clone(),
            local(Timestamp::from_millis(token.created)),
            expires,
            may.to_owned(),
        ]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

fn revoke(args: &RevokeArgs, session: &mut Session) -> Result<Exit, CliError> {
    let tokens = Tokens::of(&session.registry()?.state_dir());
    let prefix = args.prefix.trim_end_matches('…');
    let gone = tokens.revoke(prefix)?;
    if gone == 0 {
        let hint = "greenroom token list";
        return Err(CliError::not_found(format!("no token begins with '{prefix}'")).hint(hint));
    }
    if session.out.is_json() {
        session.out.json(&view::RevokedTokens { revoked: gone })?;
    } else {
        session.out.line(format!("Revoked {prefix}…; the token is no longer valid."));
    }
    Ok(Exit::Ok)
}

impl From<TokenError> for CliError {
    fn from(e: TokenError) -> Self {
        match e {
            TokenError::Kept(e) => e.into(),
            TokenError::Random(_) => Self::of(Exit::Failed, &e),
        }
    }
}

impl From<KeptError> for CliError {
    fn from(e: KeptError) -> Self {
        match e {
            KeptError::Busy { .. } => Self::of(Exit::Conflict, &e),
            KeptError::Io { .. } | KeptError::Damaged { .. } | KeptError::Open { .. } | KeptError::Foreign { .. } => {
                Self::of(Exit::Failed, &e)
            }
        }
    }
}
