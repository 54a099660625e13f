//! Mail: the news that a person wants to hear of, over SMTP.
//!
//! The lane is the person, so that a mailbox that refuses or defers delays nobody else's mail. What a commit did comes in
//! one mail; whoever wants digests gets what happened in an hour or day in one. Whether a person is told is decided when
//! the happening is seen and again when the mail goes out, for wishes and permissions are those of now
//! ([`crate::audience`]). A mail that is sent again, because a crash or a lost answer left open whether it arrived, has
//! the same Message-ID.

mod alarm;
mod ask;
mod counts;
mod failing;
mod files;
mod letter;
mod message;
mod render;
mod settings;
mod smtp;
#[cfg(test)]
mod tests;
mod token;
mod topic;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use lettre::Address;

pub use failing::{Failing, list as failing};
pub use settings::{MailSettings, Protection, SECRET, Server, SettingError, address, password};
pub use token::{Scope, TokenKey};

use super::{Channel, DeliverError, Due, Happening, Job, Moment, Outcome, Sent, What};
use crate::audience::{Activity, Allowance, Reason};
use crate::entity::Person;
use crate::entity::person::Cadence;
use crate::name::{Id, UserName};
use crate::registry::Registry;
use crate::secrets::{Secret, SecretError};
use crate::text::{one_line, with_causes};
use crate::time::Timestamp;
use alarm::Owner;
use ask::Ask;
use counts::Counts;
use letter::{Frame, News};
use smtp::Handed;
use topic::Topics;

/// The name of the channel.
pub const CHANNEL: &str = "mail";

/// How many things are put into one mail at most.
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
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Sends mail.
#[derive(Debug)]
pub struct Mailer {
    settings: MailSettings,
    password: Option<Secret>,
    folder: PathBuf,
    counts: Counts,
    key: TokenKey,
}

/// The folder in which the mailer keeps its files.
pub fn folder(registry: &Registry) -> PathBuf {
    registry.state_dir().join("mail")
}

/// The key that links to unsubscribe are made with; made on first use.
pub fn key(registry: &Registry) -> Result<TokenKey, MailError> {
    let failed = |source| MailError::Io { path: folder(registry), source };
    files::folder(&registry.state_dir()).and_then(|f| TokenKey::open(&f)).map_err(failed)
}

impl Mailer {
    /// The mailer of a registry; none where no mail server is set.
    pub fn open(registry: &Registry, now: Timestamp) -> Result<Option<Self>, MailError> {
        let Some(settings) = MailSettings::of(registry.repo())? else { return Ok(None) };
        let failed = |source| MailError::Io { path: folder(registry), source };
        let folder = files::folder(&registry.state_dir()).map_err(failed)?;
        let counts = Counts::open(&folder, now).map_err(failed)?;
        let key = TokenKey::open(&folder).map_err(failed)?;
        Ok(Some(Self { settings, password: password(registry)?, folder, counts, key }))
    }

    /// Sends a mail that says that mail arrives; why not, without a secret.
    pub fn test(&self, registry: &Registry, to: &Address, now: Timestamp) -> Result<(), String> {
        let snapshot = registry.snapshot().map_err(|e| with_causes(&e))?;
        let settings = snapshot.settings().map_err(|e| with_causes(&e))?.ok_or("greenroom.toml cannot be read")?;
        let mail = message::test(to, &self.settings, settings, now)?;
        match self.hand_over(to, &mail) {
            Handed::Taken => Ok(()),
            Handed::Later(why) | Handed::AddressLater(why) | Handed::NoSuchAddress(why) | Handed::Refused(why) => {
                Err(why)
            }
        }
    }

    /// The mail server.
    pub fn server(&self) -> &Server {
        &self.settings.server
    }

    fn hand_over(&self, to: &Address, mail: &[u8]) -> Handed {
        smtp::hand_over(&self.settings.server, self.password.as_ref(), &self.settings.from.email, to, mail)
    }

    /// Sends the news of the first jobs of a person's lane, if he still wants any.
    fn attempt(&self, due: &[Due<'_>], moment: &Moment<'_>) -> Result<Outcome, DeliverError> {
        let done = |words: &str| Ok(Outcome::Delivered(words.to_owned()));
        let Some(first) = due.first() else { return done("there is nothing to tell") };
        if let What::WebhookSuspended { webhook, why } = &first.happening.what {
            return self.alarm(first, webhook, why, moment);
        }
        let Ok(user) = first.job.lane.parse::<UserName>() else { return done("the lane is nobody's") };
        let Some(person) = moment.tip.person(&user)?.and_then(|f| f.value) else {
            return done("the person is gone");
        };
        let Some(settings) = moment.tip.settings()? else { return done("there is no registry any more") };
        let (mut ids, mut news) = self.news(due, moment, &user, &person)?;
        if news.is_empty() {
            return done("no longer wanted");
        }
        let given = person.emails.first().map(|e| e.as_str().to_owned()).unwrap_or_default();
        let Some(to) = address(&given) else {
            return Ok(Outcome::Refused { why: format!("{} is no e-mail address", one_line(&given)) });
        };
        let cap = settings.notifications.cap();
        let items: Vec<counts::Item> = ids.iter().zip(&news).map(|(id, n)| item(id, n)).collect();
        let places = match self.counts.places(user.as_str(), &items, moment.now, cap) {
            Ok(places) => places,
            Err(e) => return Ok(Outcome::Retry { why: format!("the counts cannot be kept: {e}"), after: None }),
        };
        news.iter_mut().zip(places).for_each(|(n, place)| n.allowed = place);
        let keep: Vec<bool> = news.iter().map(|n| n.allowed != Allowance::Nothing).collect();
        let mut kept = keep.iter();
        ids.retain(|_| *kept.next().unwrap_or(&false));
        news.retain(|n| n.allowed != Allowance::Nothing);
        let Some(id) = ids.first() else { return done("over the daily limit") };
        if let Some(failing) = failing::list(&self.folder).get(&given).filter(|f| f.rests(moment.now)) {
            let why = format!("{} was refused {} times, last: {}", one_line(&given), failing.times, failing.why);
            return Ok(Outcome::Refused { why });
        }
        let digest = first.job.not_before.is_some();
        let url = self.settings.url.as_deref();
        let frame = Frame { to: &user, settings, url, key: &self.key, cap, digest };
        let letter = letter::write(&news, &frame);
        let mail =
            match message::build(&letter, id, (person.name.first_line(), &to), &self.settings, settings, moment.now) {
                Ok(mail) => mail,
                Err(why) => return Ok(Outcome::Refused { why: format!("the mail cannot be built: {why}") }),
            };
        Ok(self.outcome(self.hand_over(&to, &mail), &given, moment.now))
    }

    /// Tells the owner of a webhook that it is switched off.
    fn alarm(&self, due: &Due<'_>, webhook: &Id, why: &str, moment: &Moment<'_>) -> Result<Outcome, DeliverError> {
        let (Some(owner), Some(registry)) = (Owner::of(webhook, moment)?, moment.tip.settings()?) else {
            return Ok(Outcome::Delivered("no longer wanted".to_owned()));
        };
        let (given, Some(to)) = owner.address() else {
            return Ok(Outcome::Refused { why: "the owner's address is none".to_owned() });
        };
        match owner.mail(&to, why, due.id, &self.settings, (registry, moment.now)) {
            Ok(mail) => Ok(self.outcome(self.hand_over(&to, &mail), &given, moment.now)),
            Err(why) => Ok(Outcome::Refused { why: format!("the mail cannot be built: {why}") }),
        }
    }

    fn outcome(&self, handed: Handed, address: &str, now: Timestamp) -> Outcome {
        let refused = match &handed {
            Handed::Taken => Some(None),
            Handed::NoSuchAddress(why) => Some(Some(why.as_str())),
            Handed::Later(_) | Handed::AddressLater(_) | Handed::Refused(_) => None,
        };
        if let Some(refused) = refused {
            // What is noted is for `doctor` alone; the delivery is what it is without.
            let _ = failing::note(&self.folder, address, refused, now);
        }
        match handed {
            Handed::Taken => Outcome::Delivered(format!("sent to {}", one_line(address))),
            Handed::Later(why) => Outcome::Retry { why, after: None },
            Handed::AddressLater(why) => Outcome::Deferred { why },
            Handed::NoSuchAddress(why) | Handed::Refused(why) => Outcome::Refused { why },
        }
    }

    /// What there is still to tell of the jobs, with the ids of the deliveries.
    fn news(
        &self,
        due: &[Due<'_>],
        moment: &Moment<'_>,
        user: &UserName,
        person: &Person,
    ) -> Result<(Vec<String>, Vec<News>), DeliverError> {
        let url = self.settings.url.as_deref();
        let mut topics = Topics::new(moment);
        let (mut ids, mut news) = (Vec::new(), Vec::new());
        for one in due {
            let (What::Event(event), Some(topic)) = (&one.happening.what, topics.of(one.happening)?) else { continue };
            let Some(reason) = topics.reason(one.happening, &topic, user, person)? else { continue };
            ids.push(one.id.to_owned());
            news.push(News {
                model: topic.name.clone(),
                id: topic.id.clone(),
                version: topic.version,
                event: event.as_ref().clone(),
                activity: reason.kind(topic.activity),
                reason,
                ask: match reason {
                    Reason::Approver(_) => Ask::of(one.happening, &topic, moment, url)?,
                    _ => None,
                },
                by: one.happening.by.clone(),
                comment: one.happening.comment.clone(),
                at: one.happening.at,
                commit: one.happening.commit,
                allowed: Allowance::Mail,
            });
        }
        Ok((ids, news))
    }
}

fn item(id: &str, news: &News) -> counts::Item {
    counts::Item { id: id.to_owned(), model: news.id.to_string(), activity: news.activity }
}

/// When mail about something goes out to a person: at once, or at the end of its hour or day in UTC.
fn not_before(at: Timestamp, digest: Cadence) -> Option<Timestamp> {
    let next = |length: i64| Timestamp::from_millis((at.as_millis().div_euclid(length) + 1).saturating_mul(length));
    match digest {
        Cadence::Immediate => None,
        Cadence::Hourly => Some(next(HOUR)),
        Cadence::Daily => Some(next(24 * HOUR)),
    }
}

/// How many of the due jobs go into the first mail: those of its commit, or, of digests, all.
fn together(due: &[Due<'_>]) -> usize {
    let Some(first) = due.first() else { return 1 };
    let is_news = |d: &Due<'_>| matches!(d.happening.what, What::Event(_));
    if !is_news(first) {
        return 1;
    }
    let belongs = |d: &&Due<'_>| match first.job.not_before {
        _ if !is_news(d) => false,
        None => d.job.not_before.is_none() && d.happening.commit == first.happening.commit,
        Some(_) => d.job.not_before.is_some(),
    };
    due.iter().take_while(belongs).take(MOST).count().max(1)
}

/// The mailer of a registry as a channel; none where no mail server is set, so that nobody waits for mail.
///
/// A setting that is wrong turns nothing off: what happens meanwhile waits until it is mended.
pub fn channel(registry: &Registry) -> Option<Box<dyn Channel>> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    match Mailer::open(registry, now) {
        Ok(mailer) => mailer.map(|m| Box::new(m) as Box<dyn Channel>),
        Err(e) => Some(Box::new(Hindered { why: with_causes(&e) })),
    }
}

/// A mailer that cannot send as long as its settings are what they are.
struct Hindered {
    why: String,
}

impl Channel for Hindered {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn jobs(&self, happening: &Happening, moment: &Moment<'_>) -> Result<Vec<Job>, DeliverError> {
        jobs(happening, moment)
    }

    fn most(&self) -> usize {
        1
    }

    fn send(&self, _: &[Due<'_>], _: &Moment<'_>) -> Sent {
        Sent { taken: 1, outcome: Outcome::Retry { why: self.why.clone(), after: None } }
    }
}

/// Who is to get mail about a happening.
fn jobs(happening: &Happening, moment: &Moment<'_>) -> Result<Vec<Job>, DeliverError> {
    let is_mailed = match &happening.what {
        What::Event(event) => Activity::of(event).is_some(),
        What::WebhookSuspended { webhook, .. } => {
            let owner = Owner::of(webhook, moment)?;
            let job = |o: Owner| Job { lane: o.user.to_string(), key: webhook.to_string(), not_before: None };
            return Ok(owner.map(job).into_iter().collect());
        }
        What::RuleViolated { .. } | What::HistoryRewritten { .. } => false,
    };
    if !is_mailed {
        return Ok(Vec::new());
    }
    let mut topics = Topics::new(moment);
    let Some(topic) = topics.of(happening)? else { return Ok(Vec::new()) };
    let mut jobs = Vec::new();
    for (user, file) in moment.tip.people()? {
        let Some(person) = &file.value else { continue };
        if topics.reason(happening, &topic, user, person)?.is_some() {
            jobs.push(Job {
                lane: user.as_str().to_owned(),
                key: user.as_str().to_owned(),
                not_before: not_before(happening.at, person.notifications.digest),
            });
        }
    }
    Ok(jobs)
}

impl Channel for Mailer {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn jobs(&self, happening: &Happening, moment: &Moment<'_>) -> Result<Vec<Job>, DeliverError> {
        jobs(happening, moment)
    }

    fn most(&self) -> usize {
        MOST
    }

    fn send(&self, due: &[Due<'_>], moment: &Moment<'_>) -> Sent {
        let taken = together(due);
        let outcome = self.attempt(due.get(..taken).unwrap_or(due), moment);
        let outcome = outcome.unwrap_or_else(|e| Outcome::Retry { why: with_causes(&e), after: None });
        Sent { taken, outcome }
    }
}
