//! The mail channel: sends events over SMTP to the people who want them.
//!
//! The queue is the person, so a mailbox that refuses or defers mail does not delay mail to other people. The events of
//! one commit are sent in one mail. A person who wants digests gets the events of an hour or day in one mail. Whether a
//! person gets an event is decided twice ([`crate::audience`]): when the event is seen, and when the mail is sent.
//! Current notification settings and permissions count. If a crash or a lost response leaves open whether a mail
//! arrived, the mail is sent again with the same Message-ID.

mod alarm;
mod approval_prompt;
mod counts;
mod draft;
mod failing;
mod files;
mod message;
mod render;
mod settings;
mod smtp;
#[cfg(test)]
mod tests;
mod token;
mod topic;

use std::path::PathBuf;

use lettre::Address;

pub use failing::{Failing, list as failing};
pub use settings::{MailSettings, Protection, SECRET, Server, SettingError, address, password};
pub use token::{Scope, TokenKey};

use super::channel::{AttemptOutcome, BatchOutcome, Channel, DeliverError, DeliveryContext, DeliveryJob, DueJob};
use super::notification::{Notification, NotificationKind};
use crate::audience::{Allowance, MailCategory, RecipientReason};
use crate::entity::Person;
use crate::entity::person::Cadence;
use crate::name::{Id, UserName};
use crate::registry::Registry;
use crate::secrets::{Secret, SecretError};
use crate::text::{one_line, with_causes};
use crate::time::Timestamp;
use alarm::Owner;
use approval_prompt::ApprovalPrompt;
use counts::Counts;
use draft::{MailContext, MailNews};
use smtp::SmtpOutcome;
use topic::Topics;

/// The name of the channel.
pub const CHANNEL: &str = "mail";

/// The largest number of events in one mail.
const MOST: usize = 500;

/// An hour in milliseconds.
const HOUR: i64 = 3_600_000;

/// Why no mail can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The password cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The mailer's own files cannot be read or written.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The mailer's folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// Sends mail to people.
#[derive(Debug)]
pub struct Mailer {
    settings: MailSettings,
    password: Option<Secret>,
    folder: PathBuf,
    counts: Counts,
    key: TokenKey,
}

/// Returns the folder of the mailer's files.
pub fn folder(registry: &Registry) -> PathBuf {
    registry.state_dir().join("mail")
}

/// Returns the key that makes tokens for unsubscribe links, and creates it on first use.
///
/// # Errors
///
/// [`MailError::Io`] when the key or its folder cannot be read or created.
pub fn key(registry: &Registry) -> Result<TokenKey, MailError> {
    let failed = |source| MailError::Io { path: folder(registry), source };
    files::folder(&registry.state_dir()).and_then(|f| TokenKey::open(&f)).map_err(failed)
}

impl Mailer {
    /// Opens the mailer of a registry. `None` if no mail server is set.
    ///
    /// # Errors
    ///
    /// [`MailError::Setting`] when a setting is wrong, [`MailError::Secret`] when the password cannot be read, and
    /// [`MailError::Io`] when the mailer's files cannot be read or written.
    pub fn open(registry: &Registry, now: Timestamp) -> Result<Option<Self>, MailError> {
        let Some(settings) = MailSettings::of(registry.repo())? else { return Ok(None) };
        let failed = |source| MailError::Io { path: folder(registry), source };
        let folder = files::folder(&registry.state_dir()).map_err(failed)?;
        let counts = Counts::open(&folder, now).map_err(failed)?;
        let key = TokenKey::open(&folder).map_err(failed)?;
        Ok(Some(Self { settings, password: password(registry)?, folder, counts, key }))
    }

    /// Sends a test mail.
    ///
    /// # Errors
    ///
    /// When the registry cannot be read or the mail server does not accept the mail; the text says why, without a
    /// secret.
    pub fn test(&self, registry: &Registry, to: &Address, now: Timestamp) -> Result<(), String> {
        let snapshot = registry.snapshot().map_err(|e| with_causes(&e))?;
        let settings = snapshot.settings().map_err(|e| with_causes(&e))?.ok_or("greenroom.toml cannot be read")?;
        let mail = message::test(to, &self.settings, settings, now)?;
        match self.hand_over(to, &mail) {
            SmtpOutcome::Taken => Ok(()),
            SmtpOutcome::Later(why)
            | SmtpOutcome::AddressLater(why)
            | SmtpOutcome::NoSuchAddress(why)
            | SmtpOutcome::Refused(why) => Err(why),
        }
    }

    /// Returns the mail server.
    pub fn server(&self) -> &Server {
        &self.settings.server
    }

    fn hand_over(&self, to: &Address, mail: &[u8]) -> SmtpOutcome {
        smtp::hand_over(&self.settings.server, self.password.as_ref(), &self.settings.from.email, to, mail)
    }

    /// Sends the first jobs of a person's queue, if the person still wants them.
    fn attempt(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> Result<AttemptOutcome, DeliverError> {
        let done = |words: &str| Ok(AttemptOutcome::Delivered(words.to_owned()));
        let Some(first) = due.first() else { return done("there is nothing to send") };
        if let NotificationKind::WebhookSuspended { webhook, why } = &first.notification.what {
            return self.alarm(first, webhook, why, moment);
        }
        let Ok(user) = first.job.lane.parse::<UserName>() else { return done("the queue belongs to no person") };
        let Some(person) = moment.tip.person(&user)?.and_then(|f| f.value) else {
            return done("the person no longer exists");
        };
        let Some(settings) = moment.tip.settings()? else { return done("the registry no longer exists") };
        let (mut ids, mut news) = self.news(due, moment, &user, &person)?;
        if news.is_empty() {
            return done("no longer wanted");
        }
        let given = person.emails.first().map(|e| e.as_str().to_owned()).unwrap_or_default();
        let Some(to) = address(&given) else {
            return Ok(AttemptOutcome::Refused { why: format!("{} is not an e-mail address", one_line(&given)) });
        };
        let cap = settings.notifications.cap();
        let items: Vec<counts::CountedMail> = ids.iter().zip(&news).map(|(id, n)| item(id, n)).collect();
        let places = match self.counts.places(user.as_str(), &items, moment.now, cap) {
            Ok(places) => places,
            Err(e) => {
                let why = format!("the counts of mails cannot be recorded: {e}");
                return Ok(AttemptOutcome::Retry { why, after: None });
            }
        };
        news.iter_mut().zip(places).for_each(|(n, place)| n.allowed = place);
        let keep: Vec<bool> = news.iter().map(|n| n.allowed != Allowance::Nothing).collect();
        let mut kept = keep.iter();
        ids.retain(|_| *kept.next().unwrap_or(&false));
        news.retain(|n| n.allowed != Allowance::Nothing);
        let Some(id) = ids.first() else { return done("over the daily limit") };
        if let Some(failing) = failing::list(&self.folder).get(&given).filter(|f| f.rests(moment.now)) {
            let shown = one_line(&given);
            let (times, last) = (failing.times, &failing.why);
            let why = format!("the mail server refused {shown} {times} times, most recently with: {last}");
            return Ok(AttemptOutcome::Refused { why });
        }
        let digest = first.job.not_before.is_some();
        let url = self.settings.url.as_deref();
        let frame = MailContext { to: &user, settings, url, key: &self.key, cap, digest };
        let draft = draft::write(&news, &frame);
        let mail =
            match message::build(&draft, id, (person.name.first_line(), &to), &self.settings, settings, moment.now) {
                Ok(mail) => mail,
                Err(why) => return Ok(AttemptOutcome::Refused { why: format!("the mail cannot be built: {why}") }),
            };
        Ok(self.outcome(self.hand_over(&to, &mail), &given, moment.now))
    }

    /// Tells the creator of a webhook that the webhook is switched off.
    fn alarm(
        &self,
        due: &DueJob<'_>,
        webhook: &Id,
        why: &str,
        moment: &DeliveryContext<'_>,
    ) -> Result<AttemptOutcome, DeliverError> {
        let (Some(owner), Some(registry)) = (Owner::of(webhook, moment)?, moment.tip.settings()?) else {
            return Ok(AttemptOutcome::Delivered("no longer wanted".to_owned()));
        };
        let (given, Some(to)) = owner.address() else {
            let why = "the creator of the webhook has no valid e-mail address".to_owned();
            return Ok(AttemptOutcome::Refused { why });
        };
        match owner.mail(&to, why, due.id, &self.settings, (registry, moment.now)) {
            Ok(mail) => Ok(self.outcome(self.hand_over(&to, &mail), &given, moment.now)),
            Err(why) => Ok(AttemptOutcome::Refused { why: format!("the mail cannot be built: {why}") }),
        }
    }

    fn outcome(&self, handed: SmtpOutcome, address: &str, now: Timestamp) -> AttemptOutcome {
        let refused = match &handed {
            SmtpOutcome::Taken => Some(None),
            SmtpOutcome::NoSuchAddress(why) => Some(Some(why.as_str())),
            SmtpOutcome::Later(_) | SmtpOutcome::AddressLater(_) | SmtpOutcome::Refused(_) => None,
        };
        if let Some(refused) = refused {
            // The note is for `doctor` only. The result of the delivery does not depend on it.
            let _ = failing::note(&self.folder, address, refused, now);
        }
        match handed {
            SmtpOutcome::Taken => AttemptOutcome::Delivered(format!("sent to {}", one_line(address))),
            SmtpOutcome::Later(why) => AttemptOutcome::Retry { why, after: None },
            SmtpOutcome::AddressLater(why) => AttemptOutcome::Deferred { why },
            SmtpOutcome::NoSuchAddress(why) | SmtpOutcome::Refused(why) => AttemptOutcome::Refused { why },
        }
    }

    /// Returns the events of the jobs that the person still wants, with the ids of their deliveries.
    fn news(
        &self,
        due: &[DueJob<'_>],
        moment: &DeliveryContext<'_>,
        user: &UserName,
        person: &Person,
    ) -> Result<(Vec<String>, Vec<MailNews>), DeliverError> {
        let url = self.settings.url.as_deref();
        let mut topics = Topics::new(moment);
        let (mut ids, mut news) = (Vec::new(), Vec::new());
        for one in due {
            let (NotificationKind::Event(event), Some(topic)) = (&one.notification.what, topics.of(one.notification)?)
            else {
                continue;
            };
            let Some(reason) = topics.reason(one.notification, &topic, user, person)? else { continue };
            ids.push(one.id.to_owned());
            news.push(MailNews {
                model: topic.name.clone(),
                id: topic.id.clone(),
                version: topic.version,
                event: event.as_ref().clone(),
                activity: reason.kind(topic.activity),
                reason,
                ask: match reason {
                    RecipientReason::Approver(_) => ApprovalPrompt::of(one.notification, &topic, moment, url)?,
                    _ => None,
                },
                by: one.notification.by.clone(),
                comment: one.notification.comment.clone(),
                at: one.notification.at,
                commit: one.notification.commit,
                allowed: Allowance::Mail,
            });
        }
        Ok((ids, news))
    }
}

fn item(id: &str, news: &MailNews) -> counts::CountedMail {
    counts::CountedMail { id: id.to_owned(), model: news.id.to_string(), activity: news.activity }
}

/// Returns when mail about an event is sent to a person: `None` for at once, or the end of its hour or day in UTC.
fn not_before(at: Timestamp, digest: Cadence) -> Option<Timestamp> {
    let next = |length: i64| Timestamp::from_millis((at.as_millis().div_euclid(length) + 1).saturating_mul(length));
    match digest {
        Cadence::Immediate => None,
        Cadence::Hourly => Some(next(HOUR)),
        Cadence::Daily => Some(next(24 * HOUR)),
    }
}

/// Returns how many of the due jobs go into the first mail: all jobs of its commit, or all digest jobs.
fn together(due: &[DueJob<'_>]) -> usize {
    let Some(first) = due.first() else { return 1 };
    let is_news = |d: &DueJob<'_>| matches!(d.notification.what, NotificationKind::Event(_));
    if !is_news(first) {
        return 1;
    }
    let belongs = |d: &&DueJob<'_>| match first.job.not_before {
        _ if !is_news(d) => false,
        None => d.job.not_before.is_none() && d.notification.commit == first.notification.commit,
        Some(_) => d.job.not_before.is_some(),
    };
    due.iter().take_while(belongs).take(MOST).count().max(1)
}

/// Returns the mailer of a registry as a channel. `None` if no mail server is set, so that no mail is queued.
///
/// With a wrong setting, the channel stays on: events are queued until the setting is corrected.
pub fn channel(registry: &Registry) -> Option<Box<dyn Channel>> {
    match Mailer::open(registry, crate::clock::now()) {
        Ok(mailer) => mailer.map(|m| Box::new(m) as Box<dyn Channel>),
        Err(e) => Some(Box::new(UnusableMailer { why: with_causes(&e) })),
    }
}

/// A mailer that cannot send until its settings are corrected.
struct UnusableMailer {
    why: String,
}

impl Channel for UnusableMailer {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn jobs(
        &self,
        notification: &Notification,
        moment: &DeliveryContext<'_>,
    ) -> Result<Vec<DeliveryJob>, DeliverError> {
        jobs(notification, moment)
    }

    fn most(&self) -> usize {
        1
    }

    fn send(&self, _: &[DueJob<'_>], _: &DeliveryContext<'_>) -> BatchOutcome {
        BatchOutcome { taken: 1, outcome: AttemptOutcome::Retry { why: self.why.clone(), after: None } }
    }
}

/// Returns a job for each person who gets mail about an event.
fn jobs(notification: &Notification, moment: &DeliveryContext<'_>) -> Result<Vec<DeliveryJob>, DeliverError> {
    let is_mailed = match &notification.what {
        NotificationKind::Event(event) => MailCategory::of(event).is_some(),
        NotificationKind::WebhookSuspended { webhook, .. } => {
            let owner = Owner::of(webhook, moment)?;
            let job = |o: Owner| DeliveryJob { lane: o.user.to_string(), key: webhook.to_string(), not_before: None };
            return Ok(owner.map(job).into_iter().collect());
        }
        NotificationKind::RuleViolated { .. } | NotificationKind::HistoryRewritten { .. } => false,
    };
    if !is_mailed {
        return Ok(Vec::new());
    }
    let mut topics = Topics::new(moment);
    let Some(topic) = topics.of(notification)? else { return Ok(Vec::new()) };
    let mut jobs = Vec::new();
    for (user, file) in moment.tip.people()? {
        let Some(person) = &file.value else { continue };
        if topics.reason(notification, &topic, user, person)?.is_some() {
            jobs.push(DeliveryJob {
                lane: user.as_str().to_owned(),
                key: user.as_str().to_owned(),
                not_before: not_before(notification.at, person.notifications.digest),
            });
        }
    }
    Ok(jobs)
}

impl Channel for Mailer {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn jobs(
        &self,
        notification: &Notification,
        moment: &DeliveryContext<'_>,
    ) -> Result<Vec<DeliveryJob>, DeliverError> {
        jobs(notification, moment)
    }

    fn most(&self) -> usize {
        MOST
    }

    fn send(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> BatchOutcome {
        let taken = together(due);
        let outcome = self.attempt(due.get(..taken).unwrap_or(due), moment);
        let outcome = outcome.unwrap_or_else(|e| AttemptOutcome::Retry { why: with_causes(&e), after: None });
        BatchOutcome { taken, outcome }
    }
}
