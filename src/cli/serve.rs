//! `greenroom serve`: the APIs over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;
use serde_json::json;

use super::report::{CliError, Exit};
use super::session::Session;
use crate::server::{self, Config, ServeError};

/// Serve the registry to MLflow's and Databricks' clients
///
/// On a loopback address callers need nothing and act as you, the local git user; with a token they act as the person
/// it was made for. Any other address needs tokens (`greenroom token create`), and a proxy in front that speaks TLS.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen; with port 0 at any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], 5050)))]
    bind: SocketAddr,
    /// A proxy in front speaks TLS with the clients
    #[arg(long)]
    behind_proxy: bool,
    /// The header in which that proxy says who calls: a person's id, login or e-mail address
    #[arg(long, value_name = "HEADER", requires = "behind_proxy")]
    proxy_user_header: Option<String>,
    /// An address that the proxy calls from; without this only the loopback addresses
    #[arg(long, value_name = "ADDRESS", requires = "proxy_user_header")]
    proxy_address: Vec<IpAddr>,
    /// A host name that clients use for this server, besides localhost
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Ask for a token on a loopback address, too
    #[arg(long)]
    require_token: bool,
    /// Log each request on standard error, as a line of JSON
    #[arg(long)]
    log_requests: bool,
}

pub(super) fn run(args: &ServeArgs, session: &mut Session) -> Result<Exit, CliError> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    let from = if args.proxy_address.is_empty() { loopback.to_vec() } else { args.proxy_address.clone() };
    let config = Config {
        dir: session.dir(),
        bind: args.bind,
        behind_proxy: args.behind_proxy,
        proxy: args.proxy_user_header.clone().map(|header| (header, from)),
        hosts: args.host.clone(),
        require_token: args.require_token,
        log_requests: args.log_requests,
    };
    let mut told = Ok(());
    let finished = server::run(&config, |address| {
        let url = format!("http://{address}");
        if session.out.is_json() {
            told = session.out.json(&json!({ "url": url }));
        } else {
            session.out.line(format!("Serving the registry at {url}"));
        }
        told = std::mem::replace(&mut told, Ok(())).and_then(|()| session.out.flush());
    })?;
    told?;
    if finished {
        return Ok(Exit::Ok);
    }
    Err(CliError::new(Exit::Failed, "stopped before all open requests were answered"))
}

impl From<ServeError> for CliError {
    fn from(e: ServeError) -> Self {
        match e {
            ServeError::Registry(e) => e.into(),
            ServeError::Git(e) => e.into(),
            ServeError::Tokens(e) => e.into(),
            ServeError::Webhooks(e) => e.into(),
            ServeError::InTheClear { .. } | ServeError::NoTokens => Self::of(Exit::Refused, &e),
            ServeError::Header(_) => Self::of(Exit::Usage, &e),
            ServeError::Load(_) | ServeError::Bind { .. } | ServeError::Start { .. } => Self::of(Exit::Failed, &e),
        }
    }
}
