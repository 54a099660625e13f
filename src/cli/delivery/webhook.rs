//! `greenroom webhook`: webhooks that send events to other systems.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use super::webhook_deliveries::{self, DeliveriesArgs};
use super::webhook_replay::{self, ReplayArgs};
use crate::action::{Action, NewWebhook};
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::id_prefix;
use crate::cli::terminal::report::{CliError, Exit, warn};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::deliver::webhook::{Outgoing, TestDelivery, TrialError};
use crate::entity::Webhook;
use crate::entity::webhook::{EventPattern, JobParams, PayloadProfile, WebhookJob, WebhookState};
use crate::name::{Key, ModelName};
use crate::payload::{self, DATABRICKS, MLFLOW};
use crate::registry::Registry;
use crate::secrets::{SecretError, SecretUser, Secrets};
use crate::text::{Text, one_line};
use crate::view;

/// Manage webhooks: send events to other systems
///
/// The file of a webhook holds its URL and its events. It names the signing secret, but does not hold it (`greenroom
/// secret`). `greenroom serve` and `greenroom watch` send the events.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WebhookCommand {
    /// List the webhooks
    List(ListArgs),
    Create(CreateArgs),
    Update(UpdateArgs),
    Delete(DeleteArgs),
    /// Send a test event to a webhook, and show the response
    ///
    /// Example: `greenroom webhook test 4f2a`
    Test(TestArgs),
    Deliveries(DeliveriesArgs),
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only webhooks of this model
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Create a webhook
///
/// Example: `greenroom webhook create --event 'version.*' --url https://ci.example.com/hook --secret ci`
///
/// Events have the names of Databricks (MODEL_VERSION_CREATED, MODEL_VERSION_TRANSITIONED_STAGE,
/// MODEL_VERSION_TRANSITIONED_TO_PRODUCTION, TRANSITION_REQUEST_CREATED, COMMENT_CREATED, REGISTERED_MODEL_CREATED,
/// MODEL_VERSION_TAG_SET…), of MLflow (model_version.created, model_version_alias.created, prompt.created…), or of
/// `greenroom log` (version.transitioned, version.*). The profiles databricks and mlflow send only events with their
/// own names; standard, cloudevents, slack and teams send all events.
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// An event to send; `*` for all; can be repeated
    #[arg(long = "event", value_name = "EVENT", required = true)]
    events: Vec<EventPattern>,
    #[command(flatten)]
    what: WhatArgs,
    /// Only events of this model; by default of the whole registry
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Change a webhook
///
/// Example: `greenroom webhook update 4f2a --state DISABLED`
///
/// Options that you leave out keep their value.
#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    /// The webhook's id, or a unique start or end of the id
    id: String,
    /// An event to send; can be repeated; replaces the list
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<EventPattern>,
    #[command(flatten)]
    what: WhatArgs,
    /// Send without a signature from now on
    #[arg(long, conflicts_with = "secret")]
    no_secret: bool,
    /// Send without an `Authorization` header from now on
    #[arg(long, conflicts_with = "authorization")]
    no_authorization: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The fields of a webhook.
#[derive(Debug, Args)]
struct WhatArgs {
    /// The URL to send to, with https
    #[arg(long, conflicts_with = "job")]
    url: Option<String>,
    /// The id of a job to start instead of a request to a URL
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The URL of the job's workspace, with https
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    workspace: Option<String>,
    /// The job parameters that carry the event: notebook, python, all or none
    #[arg(long, value_name = "PARAMS", value_parser = params, conflicts_with = "url")]
    job_params: Option<JobParams>,
    /// The format of the payload: databricks, mlflow, cloudevents, slack, teams or standard; by default the format
    /// that the names of the events belong to
    #[arg(long, value_parser = profile)]
    profile: Option<PayloadProfile>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// The purpose of the webhook
    #[arg(long)]
    description: Option<String>,
    /// ACTIVE, TEST_MODE (tests only) or DISABLED
    #[arg(long, value_parser = state)]
    state: Option<WebhookState>,
    /// The name of the secret to sign with
    #[arg(long, value_name = "NAME")]
    secret: Option<Key>,
    /// The name of the secret to send as the `Authorization` header, or as the token for the job's workspace
    #[arg(long, value_name = "NAME")]
    authorization: Option<Key>,
    /// Whether to check the TLS certificate; `false` only for tests
    #[arg(long, value_name = "BOOL")]
    verify_certificate: Option<bool>,
}

/// Delete a webhook
///
/// Example: `greenroom webhook delete 4f2a`
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The webhook's id, or a unique start or end of the id
    id: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// The webhook's id, or a unique start or end of the id
    id: String,
    /// The event to send; by default the first event of the webhook
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
}

fn word<T: Copy>(s: &str, all: &[T], as_str: impl Fn(T) -> &'static str) -> Result<T, String> {
    let names: Vec<&str> = all.iter().map(|w| as_str(*w)).collect();
    let found = all.iter().find(|w| as_str(**w).eq_ignore_ascii_case(s)).copied();
    found.ok_or_else(|| format!("must be one of {}", names.join(", ")))
}

fn profile(s: &str) -> Result<PayloadProfile, String> {
    word(s, &PayloadProfile::ALL, PayloadProfile::as_str)
}

fn state(s: &str) -> Result<WebhookState, String> {
    word(s, &WebhookState::ALL, WebhookState::as_str)
}

fn params(s: &str) -> Result<JobParams, String> {
    word(s, &JobParams::ALL, JobParams::as_str)
}

pub(in crate::cli) fn run(command: WebhookCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        WebhookCommand::List(args) => list(&args, session),
        WebhookCommand::Create(args) => create(args, session),
        WebhookCommand::Update(args) => update(args, session),
        WebhookCommand::Delete(args) => {
            let webhook = find(&session.registry()?, &args.id)?;
            let what = format!("the webhook {} to {}", id_prefix::short(&webhook.id), one_line(&target(&webhook)));
            session.confirm_deletion(&what, id_prefix::short(&webhook.id), args.yes || args.change.is_dry_run())?;
            change::apply(session, &args.change, &[Action::DeleteWebhook { id: webhook.id }])
        }
        WebhookCommand::Test(args) => test(&args, session),
        WebhookCommand::Deliveries(args) => webhook_deliveries::run(&args, session),
        WebhookCommand::Replay(args) => webhook_replay::run(&args, session),
    }
}

fn all(registry: &Registry, at: Option<&str>) -> Result<Vec<Webhook>, CliError> {
    let found = registry.as_of(at)?.webhooks()?;
    Ok(found.into_values().filter_map(|file| file.value).collect())
}

fn find(registry: &Registry, id: &str) -> Result<Webhook, CliError> {
    let all = all(registry, None)?;
    let id = id_prefix::by_part("webhook", id, all.iter().map(|w| &w.id))?.clone();
    let found = all.into_iter().find(|w| w.id == id);
    found.ok_or_else(|| CliError::not_found(format!("there is no webhook {id}")))
}

/// The target of a webhook as a short text.
pub(super) fn target(webhook: &Webhook) -> String {
    match (&webhook.url, &webhook.job) {
        (Some(url), _) => url.as_str().to_owned(),
        (None, Some(job)) => format!("job {} at {}", job.id, job.workspace_url),
        (None, None) => String::new(),
    }
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let mut found = all(&registry, args.at.as_deref())?;
    let users = SecretUser::all(found.clone());
    found.retain(|w| args.model.is_none() || w.model == args.model);
    if session.out.is_json() {
        session.out.json(&view::Webhooks(&found))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ID", "STATE", "PROFILE", "MODEL", "EVENTS", "TARGET"]);
    for webhook in &found {
        let events: Vec<&str> = webhook.events.iter().map(EventPattern::as_str).collect();
        let model = webhook.model.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
        table.row([
            id_prefix::short(&webhook.id).to_owned(),
            webhook.state.as_str().to_owned(),
            webhook.profile.as_str().to_owned(),
            model,
            events.join(", "),
            target(webhook),
        ]);
    }
    table.print(&mut session.out);
    // In a clone, or without the key, nothing is known of the secrets.
    if let Some(secrets) = Secrets::of(&registry.state_dir()).ok().filter(|_| args.at.is_none()) {
        session.out.flush()?;
        for user in users.iter().filter(|user| found.contains(user.webhook())) {
            let id = id_prefix::short(&user.webhook().id);
            waiting(user, &secrets).iter().for_each(|why| warn(&format!("the deliveries of {id} wait: {why}")));
        }
    }
    Ok(Exit::Ok)
}

/// Returns why the secrets of a webhook are not sent from this machine, though they may be there.
fn waiting(user: &SecretUser, secrets: &Secrets) -> Vec<String> {
    let why = |name: &Key| match secrets.check(name, user) {
        Err(e @ (SecretError::Claimed { .. } | SecretError::Retargeted { .. } | SecretError::Contested { .. })) => {
            Some(e.to_string())
        }
        // A file that cannot be read here belongs to the account that sends.
        Ok(()) | Err(_) => None,
    };
    user.webhook().secrets().filter_map(why).collect()
}

fn create(args: CreateArgs, session: &mut Session) -> Result<Exit, CliError> {
    let events: BTreeSet<EventPattern> = args.events.into_iter().collect();
    let profile = profile_of(&events);
    let mut new = NewWebhook { events, profile, model: args.model, ..NewWebhook::default() };
    fill(&mut new, args.what)?;
    if new.url.is_none() && new.job.is_none() {
        return Err(CliError::usage("name the target: --url URL, or --job ID --workspace URL"));
    }
    change(session, &args.change, None, &new, |new| Action::CreateWebhook { new })
}

/// The profile that the names of the events belong to.
fn profile_of(events: &BTreeSet<EventPattern>) -> PayloadProfile {
    let all = |names: &[&str]| events.iter().all(|e| names.contains(&e.as_str()));
    if all(&DATABRICKS) {
        PayloadProfile::Databricks
    } else if all(&MLFLOW) {
        PayloadProfile::Mlflow
    } else {
        PayloadProfile::Standard
    }
}

fn update(args: UpdateArgs, session: &mut Session) -> Result<Exit, CliError> {
    let webhook = find(&session.registry()?, &args.id)?;
    let (id, seen) = (webhook.id.clone(), Some(Box::new(webhook.clone())));
    let before = webhook.clone();
    let mut new = NewWebhook {
        name: webhook.name,
        description: webhook.description,
        model: webhook.model,
        events: webhook.events,
        state: webhook.state,
        profile: webhook.profile,
        url: webhook.url,
        job: webhook.job,
        insecure: webhook.insecure,
        secret: webhook.secret.filter(|_| !args.no_secret),
        authorization: webhook.authorization.filter(|_| !args.no_authorization),
    };
    if !args.events.is_empty() {
        new.events = args.events.into_iter().collect();
    }
    fill(&mut new, args.what)?;
    change(session, &args.change, Some(&before), &new, |new| Action::ChangeWebhook { id, new, seen })
}

fn text(given: &str, flag: &str) -> Result<Text, CliError> {
    Text::new(given).map_err(|e| CliError::usage(format!("--{flag}: {e}")))
}

/// Sets the fields that the options give.
fn fill(new: &mut NewWebhook, what: WhatArgs) -> Result<(), CliError> {
    if let Some(url) = &what.url {
        (new.url, new.job) = (Some(text(url, "url")?), None);
    }
    if what.job.is_some() || what.workspace.is_some() || what.job_params.is_some() {
        let before = new.job.take();
        let part = |given: &Option<String>, flag: &str, before: Option<&Text>| match (given, before) {
            (Some(given), _) => text(given, flag),
            (None, Some(before)) => Ok(before.clone()),
            (None, None) => Err(CliError::usage(format!("a job needs --{flag}"))),
        };
        new.job = Some(WebhookJob {
            id: part(&what.job, "job", before.as_ref().map(|j| &j.id))?,
            workspace_url: part(&what.workspace, "workspace", before.as_ref().map(|j| &j.workspace_url))?,
            params: what.job_params.or(before.map(|j| j.params)).unwrap_or_default(),
        });
        new.url = None;
    }
    new.profile = what.profile.unwrap_or(new.profile);
    new.state = what.state.unwrap_or(new.state);
    if let Some(name) = &what.name {
        new.name = text(name, "name")?;
    }
    if let Some(description) = &what.description {
        new.description = text(description, "description")?;
    }
    new.secret = what.secret.or(new.secret.take());
    new.authorization = what.authorization.or(new.authorization.take());
    new.insecure = what.verify_certificate.map_or(new.insecure, |verify| !verify);
    Ok(())
}

/// Makes the change, and warns of anything that would prevent deliveries from this machine.
fn change(
    session: &mut Session,
    args: &ChangeArgs,
    before: Option<&Webhook>,
    new: &NewWebhook,
    action: impl FnOnce(Box<NewWebhook>) -> Action,
) -> Result<Exit, CliError> {
    if let Some(why) = new.events.iter().find_map(|event| payload::why_not(new.profile, event)) {
        return Err(CliError::usage(why).hint("greenroom webhook create --help"));
    }
    let registry = session.registry()?;
    let out = Outgoing::of(&registry)?;
    let mut warnings = Vec::new();
    for name in new.secret.iter().chain(&new.authorization) {
        if out.secrets().get(name)?.is_none() {
            warnings.push(format!(
                "the secret '{name}' is not here: run `greenroom secret set {name}` on the machine that sends"
            ));
        }
    }
    for name in new.secret.iter().chain(&new.authorization) {
        if let Some(before) = before
            && out.secrets().is_bound_to(name, before)?
            && !out.secrets().is_bound_to(name, &changed(before, new))?
        {
            warnings.push(format!(
                "deliveries wait, because the secret '{name}' was set for the target and use before: `greenroom secret \
                 release {name}` where it is sent"
            ));
        }
    }
    let job = new.job.as_ref().map(|job| &job.workspace_url);
    for url in new.url.iter().chain(job) {
        if let Err(why) = out.allow().judge_text(url.as_str()) {
            warnings.push(format!(
                "{}: {why}; to allow it, run `git config --add {} HOST` on the machine that sends",
                one_line(url.as_str()),
                crate::deliver::webhook::address::SETTING
            ));
        }
    }
    let comment = args.text()?.as_str().to_owned();
    change::run(session, &registry, args, &[action(Box::new(new.clone()))], comment, &warnings)
}

/// The webhook with its new target and the names of its secrets.
fn changed(before: &Webhook, new: &NewWebhook) -> Webhook {
    Webhook {
        url: new.url.clone(),
        job: new.job.clone(),
        insecure: new.insecure,
        secret: new.secret.clone(),
        authorization: new.authorization.clone(),
        ..before.clone()
    }
}

fn test(args: &TestArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let webhook = find(&registry, &args.id)?;
    let change_author = session.change_author(&registry, None)?;
    let now = crate::clock::now();
    let trial = TestDelivery::new(&webhook, args.event.as_deref(), &change_author.user, now, &registry.snapshot()?)?;
    let answer = trial.send(&Outgoing::of(&registry)?)?;
    let body = String::from_utf8_lossy(&answer.body);
    let arrived = (200..300).contains(&answer.status);
    if session.out.is_json() {
        session.out.json(&view::WebhookTrial { event: trial.name(), status: answer.status, body: &body })?;
    } else {
        session.out.line(format!("The response to {} was HTTP {}.", trial.name(), answer.status));
        let head: String = body.chars().take(2000).collect();
        session.out.block(&head, "    ");
    }
    Ok(if arrived { Exit::Ok } else { Exit::Failed })
}

impl From<TrialError> for CliError {
    fn from(e: TrialError) -> Self {
        match e {
            TrialError::Tree(e) => e.into(),
            TrialError::NoEvent(_) => Self::of(Exit::Usage, &e),
            TrialError::Disabled | TrialError::NoAnswer(_) => Self::of(Exit::Failed, &e),
        }
    }
}
