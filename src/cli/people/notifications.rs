//! `greenroom follow`, `unfollow`, `mute`, `notify`: the mail that a person gets.

use clap::{Args, Subcommand};

use crate::action::Action;
use crate::apply::Refusal;
use crate::audience::{self, Subscription, VersionInvolvement};
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::version_argument::VersionArgument;
use crate::entity::Person;
use crate::entity::person::{Cadence, ModelNotifications, Notify};
use crate::name::{ModelName, UserName};
use crate::registry::Registry;
use crate::text::{Text, one_line};
use crate::view;

/// Follow a version: get mail about its activity
///
/// Example: `greenroom follow churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct FollowArgs {
    #[command(flatten)]
    target: VersionArgument,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Unfollow a version; you do not follow it again by a comment, a transition or a request
///
/// Example: `greenroom unfollow churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct UnfollowArgs {
    #[command(flatten)]
    target: VersionArgument,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Mute a model: get no mail about it
///
/// Example: `greenroom mute churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct MuteArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Show and change the mail you get, and test the mail server
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NotifyCommand {
    Show(ShowArgs),
    Model(ModelArgs),
    /// Turn your mail of this registry on again, with your earlier settings
    On(SwitchArgs),
    /// Turn all your mail of this registry off; your settings for models stay stored
    Off(SwitchArgs),
    Digest(DigestArgs),
    Approvals(ApprovalsArgs),
    Test(TestArgs),
}

/// Show the mail that a person gets, and why
///
/// Example: `greenroom notify show`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The person; by default you
    #[arg(long, value_name = "PERSON")]
    person: Option<UserName>,
}

/// Choose the mail you get about a model
///
/// Example: `greenroom notify model churn all`
#[derive(Debug, Args)]
pub(in crate::cli) struct ModelArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// all: all new activity; followed: activity on versions you follow; mute: nothing; default: all if you registered
    /// the model, otherwise followed
    #[arg(value_name = "WHAT", value_parser = wish)]
    what: MailPreference,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SwitchArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Choose when mail arrives: immediate, hourly or daily
///
/// Example: `greenroom notify digest daily`
#[derive(Debug, Args)]
pub(in crate::cli) struct DigestArgs {
    /// immediate: at once, one mail per commit; hourly: at each full hour; daily: at the end of each day in UTC
    #[arg(value_name = "WHEN", value_parser = cadence)]
    when: Cadence,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Choose whether you get mail when a request waits for your approval
///
/// Example: `greenroom notify approvals off`
#[derive(Debug, Args)]
pub(in crate::cli) struct ApprovalsArgs {
    /// on: whenever your approval would count, even if you do not follow the version; off: only as for other requests
    #[arg(value_name = "WHAT", value_parser = ["on", "off"])]
    what: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Send a test mail with the settings greenroom.smtp and greenroom.mailFrom and the secret smtp
///
/// Example: `greenroom notify test alice@example.com`
#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// The address of the recipient; by default your own
    #[arg(value_name = "ADDRESS")]
    to: Option<String>,
}

/// The choice for a model; `None` is the default.
#[derive(Debug, Clone, Copy)]
struct MailPreference(Option<Notify>);

fn wish(s: &str) -> Result<MailPreference, String> {
    if s == "default" {
        return Ok(MailPreference(None));
    }
    let found = Notify::ALL.into_iter().find(|n| n.as_str() == s);
    found.map(|n| MailPreference(Some(n))).ok_or_else(|| "must be all, followed, mute or default".to_owned())
}

fn cadence(s: &str) -> Result<Cadence, String> {
    Cadence::ALL.into_iter().find(|c| c.as_str() == s).ok_or_else(|| "must be immediate, hourly or daily".to_owned())
}

pub(in crate::cli) fn follow(args: FollowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let (name, version) = args.target.of_now(&session.registry()?.snapshot()?)?;
    of_model(session, &args.change, &name, |m| m.follow(version))
}

pub(in crate::cli) fn unfollow(args: UnfollowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let (name, version) = args.target.of_now(&session.registry()?.snapshot()?)?;
    of_model(session, &args.change, &name, |m| m.unfollow(version))
}

pub(in crate::cli) fn mute(args: MuteArgs, session: &mut Session) -> Result<Exit, CliError> {
    of_model(session, &args.change, &args.name, |m| m.notify = Some(Notify::Mute))
}

pub(in crate::cli) fn run(command: NotifyCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        NotifyCommand::Show(a) => show(&a, session),
        NotifyCommand::Model(a) => of_model(session, &a.change, &a.name, |m| m.notify = a.what.0),
        NotifyCommand::On(a) => of_person(session, &a.change, |p| p.notifications.off = false),
        NotifyCommand::Off(a) => of_person(session, &a.change, |p| p.notifications.off = true),
        NotifyCommand::Digest(a) => of_person(session, &a.change, |p| p.notifications.digest = a.when),
        NotifyCommand::Approvals(a) => {
            of_person(session, &a.change, |p| p.notifications.mute_approvals = a.what == "off")
        }
        NotifyCommand::Test(a) => super::notifications_test::run(a.to.as_deref(), session),
    }
}

/// The person that a command is about, as recorded in the registry.
pub(in crate::cli) fn known(registry: &Registry, user: &UserName) -> Result<Person, CliError> {
    let person = registry.snapshot()?.person(user)?.and_then(|f| f.value);
    person.ok_or_else(|| {
        let hint = format!("a registry manager must run: greenroom person add {user} --email …");
        CliError::not_found(format!("there is no person '{user}' to send mail to")).hint(hint)
    })
}

/// Changes the file of the person who runs the command, in one commit.
fn of_person(session: &mut Session, args: &ChangeArgs, change: impl FnOnce(&mut Person)) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let user = session.change_author(&registry, args.person())?.user;
    let before = known(&registry, &user)?;
    let mut person = before.clone();
    change(&mut person);
    change::apply(session, args, &[Action::ChangePerson { user, person, seen: Some(Box::new(before)) }])
}

/// Changes the choice of the person for a model. A choice for an earlier name of the model moves to the current name.
fn of_model(
    session: &mut Session,
    args: &ChangeArgs,
    model: &ModelName,
    change: impl FnOnce(&mut ModelNotifications),
) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    if registry.snapshot()?.model(model)?.is_none() {
        return Err(Refusal::no_model(model).into());
    }
    let names = names(session, &registry, model)?;
    of_person(session, args, |p| p.notifications.change_under(&names, change))
}

/// The names of a model: the current one, then earlier ones that no other model has now.
fn names(session: &Session, registry: &Registry, model: &ModelName) -> Result<Vec<ModelName>, CliError> {
    Ok(session.index(registry)?.names_of(model)?)
}

/// The choice of a person for a model.
struct Row {
    name: ModelName,
    notify: Notify,
    chosen: bool,
    follows: Vec<(u64, &'static str)>,
    unfollowed: Vec<u64>,
    status: Subscription,
}

fn show(args: &ShowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let user = session.change_author(&registry, args.person.as_ref())?.user;
    let person = known(&registry, &user)?;
    let rows = rows(session, &registry, &user, &person)?;
    let snapshot = registry.snapshot()?;
    let mailing = snapshot.settings()?.map(|s| s.notifications.clone()).unwrap_or_default();
    let wishes = &person.notifications;
    let out = &mut session.out;
    if out.is_json() {
        out.json(&view::MailWishes {
            person: user,
            address: person.emails.first().cloned(),
            off: wishes.off,
            registry_off: mailing.off,
            digest: wishes.digest,
            mute_approvals: wishes.mute_approvals,
            daily_cap: mailing.cap(),
            models: rows.into_iter().map(Row::into_view).collect(),
        })?;
        return Ok(Exit::Ok);
    }
    let to = person.emails.first().map_or("(no e-mail address)", Text::as_str);
    out.foreign(&format!("Mail of {user} goes to: {to}"));
    if mailing.off {
        out.line("The registry sends no mail at all (greenroom settings set --mail on).");
    }
    if wishes.off {
        out.line("All mail of this registry is turned off (greenroom notify on).");
    }
    out.line(format!("Frequency: {}", wishes.digest.as_str()));
    if wishes.mute_approvals {
        out.line("No mail for requests that wait for your approval (greenroom notify approvals on).");
    }
    if rows.is_empty() {
        out.line("No settings for single models: mail comes for activity on versions that the person follows.");
    }
    for row in rows {
        let how = if row.chosen { "" } else { " (the default)" };
        out.line(format!("{}: {}{how}", one_line(row.name.as_str()), row.notify.as_str()));
        for (version, why) in &row.follows {
            out.line(format!("    follows version {version}: {why}"));
        }
        for version in &row.unfollowed {
            out.line(format!("    does not follow version {version}"));
        }
    }
    Ok(Exit::Ok)
}

/// The models that the person registered, made a choice for, or follows versions of.
fn rows(session: &Session, registry: &Registry, user: &UserName, person: &Person) -> Result<Vec<Row>, CliError> {
    let mut index = session.index(registry)?;
    let mut ties = index.ties_of(user)?;
    let snapshot = registry.snapshot()?;
    let mut out = Vec::new();
    for view in snapshot.models()? {
        let Some(model) = view.file()?.and_then(|f| f.value) else { continue };
        let registered = model.created_by == *user;
        let tied = ties.remove(&model.name).unwrap_or_default();
        let names = index.names_of(&model.name)?;
        let said = audience::said(person, &names);
        if !registered && said.is_none() && tied.is_empty() {
            continue;
        }
        let (notify, chosen) = audience::preference(said, registered);
        let explicit = said.iter().flat_map(|s| s.follow.iter().map(|v| (*v, "you chose to follow it")));
        let by_act = tied.iter().map(|(v, tie)| (*v, words(*tie)));
        let mut follows: Vec<(u64, &'static str)> = explicit
            .chain(by_act)
            .filter(|(v, _)| audience::follows(said, *v, Some(VersionInvolvement::Moved)).is_some())
            .collect();
        follows.sort_by_key(|(version, _)| *version);
        follows.dedup_by_key(|(version, _)| *version);
        let unfollowed = said.map(|s| s.unfollow.iter().copied().collect()).unwrap_or_default();
        let status = Subscription::of(person, &names, registered, None, None);
        out.push(Row { name: model.name, notify, chosen, follows, unfollowed, status });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

fn words(tie: VersionInvolvement) -> &'static str {
    match tie {
        VersionInvolvement::Commented => "you commented on it",
        VersionInvolvement::Moved => "you moved it",
        VersionInvolvement::Requested => "you requested a transition",
    }
}

impl Row {
    fn into_view(self) -> view::ModelMail {
        let followed = |(version, because)| view::Followed { version, because };
        view::ModelMail {
            model: self.name,
            notify: self.notify,
            chosen: self.chosen,
            follows: self.follows.into_iter().map(followed).collect(),
            unfollowed: self.unfollowed,
            email_subscription_status: self.status.as_str(),
        }
    }
}
