//! `greenroom serve`: the APIs over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use crate::artifact::Guarded;
use crate::artifact::import::{Credentials, Sources};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::git::Repo;
use crate::registry::Registry;
use crate::server::{self, Config, ServeError};
use crate::view;

/// The requests per second that each caller may make if the server is behind a proxy.
const RATE: u32 = 200;

/// Serve the registry to the clients of MLflow and Databricks
///
/// Example: `greenroom serve --bind 127.0.0.1:5050`
///
/// On a loopback address callers need no token and act as you, the local git user. A caller with a token acts as the
/// person of the token. Any other address needs tokens (`greenroom token create`) and a proxy in front that terminates
/// TLS.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArgs {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], 5050)))]
    bind: SocketAddr,
    /// A proxy in front of the server terminates TLS
    #[arg(long)]
    behind_proxy: bool,
    /// The header in which that proxy names the caller: a person's id, login or e-mail address
    #[arg(long, value_name = "HEADER", requires = "behind_proxy")]
    proxy_user_header: Option<String>,
    /// An address that the proxy connects from; by default only the loopback addresses; can be repeated
    #[arg(long, value_name = "ADDRESS", requires = "proxy_user_header")]
    proxy_address: Vec<IpAddr>,
    /// The header in which a service, such as an MLflow server, names the person it acts for: a person's id, login or
    /// e-mail address. The header counts only with a token of `greenroom token create --delegate`
    #[arg(long, value_name = "HEADER")]
    person_header: Option<String>,
    /// A host name of this server besides localhost; can be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Require a token on a loopback address as well
    #[arg(long)]
    require_token: bool,
    /// Copy models from this place into the registry when they are registered; any other source stays a reference. A
    /// folder (file:///srv/models), or the artifacts of a server (https://HOST/api/2.0/mlflow-artifacts/artifacts);
    /// can be repeated
    #[arg(long, value_name = "PREFIX")]
    import_from: Vec<String>,
    /// A tracking server: its models are copied when they are registered, with the parameters and metrics of their
    /// runs. The variables MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, hold its
    /// credentials
    #[arg(long, value_name = "URL")]
    tracking_uri: Option<String>,
    /// Exit after this many seconds without a request
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    idle_exit: Option<u64>,
    /// Limit each caller to this many requests per second; by default 200 behind a proxy, otherwise no limit
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,
    /// Log each request to standard error, as a line of JSON
    #[arg(long)]
    log_requests: bool,
    /// The largest model to upload or copy, all files together: bytes, or a number with KiB, MiB, GiB or TiB
    #[arg(long, value_name = "SIZE", default_value = "1TiB", value_parser = bytes)]
    max_upload: u64,
    /// Do not deliver webhooks and mail from this process; `greenroom watch` does
    #[arg(long)]
    no_watch: bool,
}

/// Parses a number of bytes: `1048576`, `1MiB`.
fn bytes(s: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let unit = units.iter().find_map(|(unit, shift)| Some((s.strip_suffix(unit)?.trim(), shift)));
    let read = unit.and_then(|(number, shift)| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    read.filter(|n| *n > 0).ok_or_else(|| "write a number of bytes, such as 1048576 or 10GiB".to_owned())
}

pub(in crate::cli) fn run(args: &ServeArgs, session: &mut Session) -> Result<Exit, CliError> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    let from = if args.proxy_address.is_empty() { loopback.to_vec() } else { args.proxy_address.clone() };
    let config = Config {
        dir: session.dir(),
        bind: args.bind,
        behind_proxy: args.behind_proxy,
        proxy: args.proxy_user_header.clone().map(|header| (header, from)),
        person_header: args.person_header.clone(),
        hosts: args.host.clone(),
        require_token: args.require_token,
        max_rate: args.max_rate.or(args.behind_proxy.then_some(RATE)),
        log_requests: args.log_requests,
        max_upload: args.max_upload,
        sources: sources(args, session)?,
        idle_exit: args.idle_exit.map(Duration::from_secs),
        local: None,
        watch: !args.no_watch,
    };
    crate::cli::git_host::hook::warn_without_gate(&Repo::discover(&session.dir())?)?;
    server::context::log::Log { requests: args.log_requests }.tell_panics();
    let mut told: Result<(), CliError> = Ok(());
    let finished = server::run(&config, |address| {
        let url = format!("http://{address}");
        if session.out.is_json() {
            told = session.out.json(&view::Address { url }).map_err(CliError::from);
        } else {
            session.out.line(format!("Serving the registry at {url}"));
        }
        told = std::mem::replace(&mut told, Ok(())).and_then(|()| Ok(session.out.flush()?));
    })?;
    told?;
    if finished {
        return Ok(Exit::Ok);
    }
    Err(CliError::new(Exit::Failed, "stopped before all open requests were answered"))
}

/// The credentials for the tracking server from the environment, chosen as MLflow's own client does.
pub(in crate::cli) fn tracking_credentials() -> Option<Credentials> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (var("MLFLOW_TRACKING_USERNAME"), var("MLFLOW_TRACKING_PASSWORD")) {
        (Some(name), Some(password)) => Some(Credentials::password(&name, &password)),
        (Some(_), None) | (None, _) => var("MLFLOW_TRACKING_TOKEN").map(|token| Credentials::token(&token)),
    }
}

/// The places that models may be copied from, with the credentials from the environment.
fn sources(args: &ServeArgs, session: &Session) -> Result<Sources, CliError> {
    let sources = Sources::new(&args.import_from, args.tracking_uri.as_deref(), tracking_credentials())
        .map_err(|e| CliError::usage(e.to_string()))?;
    let guarded = Guarded::new(Registry::discover(&session.dir())?.own_folders());
    let sources = sources.guarding(guarded);
    sources.refuse_guarded()?;
    Ok(sources)
}

impl From<ServeError> for CliError {
    fn from(e: ServeError) -> Self {
        match e {
            ServeError::Registry(e) => e.into(),
            ServeError::Git(e) => e.into(),
            ServeError::Tokens(e) => e.into(),
            ServeError::Webhooks(e) => e.into(),
            ServeError::Watch(e) => e.into(),
            ServeError::InTheClear { .. } | ServeError::NoTokens => Self::of(Exit::Refused, &e),
            ServeError::Header(_) | ServeError::HeaderTwice(_) => Self::of(Exit::Usage, &e),
            ServeError::Load(_) | ServeError::Bind { .. } | ServeError::Start { .. } | ServeError::Failed(_) => {
                Self::of(Exit::Failed, &e)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        assert_eq!(bytes("3GiB"), Ok(3 << 30));
        assert_eq!(bytes("1 TiB"), Ok(1 << 40));
        for bad in ["", "0", "GiB", "1.5GiB", "1GB", "-1", "99999999TiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
