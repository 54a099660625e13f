//! The recipients of mail: whether a person gets mail about an event, and why. The decision is made here alone.
//!
//! A person gets mail about *all new activity* of a model, about *activity on followed versions*, or none. The default
//! for the person who registered the model is all activity. A person follows a version by saying so, by commenting on
//! it, moving it or requesting a transition; saying "unfollow" ends that. Four kinds of events cause mail. A person who
//! may approve a request gets mail about it in any case, unless they muted the model or these mails. Nobody gets mail
//! about their own actions, or about a model that they may not read.

use crate::entity::person::{ModelNotifications, Notify};
use crate::entity::settings::MailPolicy;
use crate::entity::{PermissionLevel, Person};
use crate::event::Event;
use crate::name::{ModelName, UserName};

/// A kind of activity that causes mail. An approval is reported as its transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailCategory {
    /// A version was registered.
    Version,
    /// A transition was requested.
    Request,
    /// A version moved to another stage.
    Transition,
    /// A comment was written.
    Comment,
    /// A transition was requested and the recipient's approval would count; a kind of its own for the daily cap.
    Approval,
}

impl MailCategory {
    /// The kinds that an event can have by itself, without regard to the recipient.
    pub const ALL: [Self; 4] = [Self::Version, Self::Request, Self::Transition, Self::Comment];

    /// Returns the name as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Request => "request",
            Self::Transition => "transition",
            Self::Comment => "comment",
            Self::Approval => "approval",
        }
    }

    /// Returns the kind in words, such as `new versions`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Version => "new versions",
            Self::Request => "transition requests",
            Self::Transition => "stage transitions",
            Self::Comment => "new comments",
            Self::Approval => "requests for your approval",
        }
    }

    /// Returns the kind of an event; `None` if the event causes no mail.
    pub const fn of(event: &Event) -> Option<Self> {
        match event {
            Event::VersionCreated { .. } => Some(Self::Version),
            Event::RequestCreated { .. } => Some(Self::Request),
            Event::Transitioned { .. } => Some(Self::Transition),
            Event::CommentCreated { .. } => Some(Self::Comment),
            _ => None,
        }
    }
}

/// An action of a person on a version that makes the person follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionInvolvement {
    /// The person commented on the version.
    Commented,
    /// The person moved the version to a stage.
    Moved,
    /// The person requested a transition of the version.
    Requested,
}

/// An event that causes mail.
#[derive(Debug, Clone, Copy)]
pub struct MailEvent<'n> {
    /// The kind of activity.
    pub activity: MailCategory,
    /// The version number.
    pub version: u64,
    /// The people who did it: the actor in the file, and the committer.
    pub actors: &'n [&'n UserName],
    /// The names of the model: the current one, then its earlier ones.
    pub names: &'n [ModelName],
}

/// A possible recipient, with everything that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct MailRecipient<'r> {
    /// The user name.
    pub user: &'r UserName,
    /// The record of the person.
    pub person: &'r Person,
    /// Whether the person registered the model.
    pub registered: bool,
    /// What the person did with the version, if anything.
    pub tie: Option<VersionInvolvement>,
    /// The current permission level of the person on the model.
    pub level: Option<PermissionLevel>,
    /// Whether the event is an open request and the person's approval of it would count.
    pub may_approve: bool,
}

/// Why a person gets mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecipientReason {
    /// The person registered the model and did not choose otherwise.
    Registered,
    /// The person chose all activity of the model.
    All,
    /// The person follows the version by their own choice.
    Follows(u64),
    /// The person commented on the version.
    Commented(u64),
    /// The person moved the version.
    Moved(u64),
    /// The person requested a transition of the version.
    Requested(u64),
    /// The person's approval of the request would count.
    Approver(u64),
}

impl RecipientReason {
    /// Returns the kind of mail that a person gets for this reason; the daily cap counts by kind.
    pub const fn kind(self, activity: MailCategory) -> MailCategory {
        match self {
            Self::Approver(_) => MailCategory::Approval,
            Self::Registered
            | Self::All
            | Self::Follows(_)
            | Self::Commented(_)
            | Self::Moved(_)
            | Self::Requested(_) => activity,
        }
    }
}

impl std::fmt::Display for RecipientReason {
    /// Writes the text behind "You get this because".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registered => f.write_str("you registered the model"),
            Self::All => f.write_str("you follow all new activity of the model"),
            Self::Follows(version) => write!(f, "you follow version {version}"),
            Self::Commented(version) => write!(f, "you commented on version {version}, so you follow it"),
            Self::Moved(version) => write!(f, "you moved version {version}, so you follow it"),
            Self::Requested(version) => write!(f, "you requested a transition of version {version}, so you follow it"),
            Self::Approver(version) => write!(f, "your approval of the request for version {version} would count"),
        }
    }
}

/// Why a person gets no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOmission {
    /// The registry sends no mail.
    RegistryOff,
    /// The person turned all mail off.
    Off,
    /// The person has no e-mail address.
    NoAddress,
    /// The person did it themselves.
    Own,
    /// The person may not read the model.
    Unreadable,
    /// The person muted the model.
    Muted,
    /// The person gets mail about followed versions, and does not follow this version.
    NotFollowed,
}

/// Decides whether a person gets mail about an event, and returns the reason.
///
/// # Errors
/// The reason why the person gets no mail. The first one of [`MailOmission`] that applies counts.
pub fn decide(
    news: &MailEvent<'_>,
    reader: &MailRecipient<'_>,
    mailing: &MailPolicy,
) -> Result<RecipientReason, MailOmission> {
    if mailing.off {
        return Err(MailOmission::RegistryOff);
    }
    if reader.person.notifications.off {
        return Err(MailOmission::Off);
    }
    if reader.person.emails.is_empty() {
        return Err(MailOmission::NoAddress);
    }
    if news.actors.contains(&reader.user) {
        return Err(MailOmission::Own);
    }
    if reader.level < Some(PermissionLevel::CanRead) {
        return Err(MailOmission::Unreadable);
    }
    let said = said(reader.person, news.names);
    let is_muted = said.is_some_and(|s| s.notify == Some(Notify::Mute)) || reader.person.notifications.mute_approvals;
    if reader.may_approve && !is_muted {
        return Ok(RecipientReason::Approver(news.version));
    }
    match (said.and_then(|s| s.notify), reader.registered) {
        (Some(Notify::Mute), _) => Err(MailOmission::Muted),
        (Some(Notify::All), _) => Ok(RecipientReason::All),
        (None, true) => Ok(RecipientReason::Registered),
        (Some(Notify::Followed), _) | (None, false) => {
            follows(said, news.version, reader.tie).ok_or(MailOmission::NotFollowed)
        }
    }
}

/// Returns a person's choice for a model: the one under the newest name of the model that has a choice.
pub fn said<'p>(person: &'p Person, names: &[ModelName]) -> Option<&'p ModelNotifications> {
    names.iter().find_map(|name| person.notifications.models.get(name))
}

/// Returns which mail a person gets about a model, and whether the person chose so.
pub fn preference(said: Option<&ModelNotifications>, registered: bool) -> (Notify, bool) {
    match said.and_then(|s| s.notify) {
        Some(notify) => (notify, true),
        None => (if registered { Notify::All } else { Notify::Followed }, false),
    }
}

/// Returns why a person follows a version; `None` if the person does not.
pub fn follows(
    said: Option<&ModelNotifications>,
    version: u64,
    tie: Option<VersionInvolvement>,
) -> Option<RecipientReason> {
    if said.is_some_and(|s| s.unfollow.contains(&version)) {
        return None;
    }
    if said.is_some_and(|s| s.follow.contains(&version)) {
        return Some(RecipientReason::Follows(version));
    }
    tie.map(|tie| match tie {
        VersionInvolvement::Commented => RecipientReason::Commented(version),
        VersionInvolvement::Moved => RecipientReason::Moved(version),
        VersionInvolvement::Requested => RecipientReason::Requested(version),
    })
}

/// A person's subscription to a version or model, as Databricks names it (`RegistryEmailSubscriptionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// The person gets mail about all new activity of the model.
    AllEvents,
    /// The person gets mail about followed versions, and does not follow this one.
    Default,
    /// The person gets mail about followed versions, and follows this one.
    Subscribed,
    /// The person gets no mail.
    Unsubscribed,
}

impl Subscription {
    /// Returns the name that API clients read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllEvents => "ALL_EVENTS",
            Self::Default => "DEFAULT",
            Self::Subscribed => "SUBSCRIBED",
            Self::Unsubscribed => "UNSUBSCRIBED",
        }
    }

    /// Returns a person's subscription to a version; to the model if `version` is `None`.
    pub fn of(
        person: &Person,
        names: &[ModelName],
        registered: bool,
        version: Option<u64>,
        tie: Option<VersionInvolvement>,
    ) -> Self {
        let said = said(person, names);
        match preference(said, registered).0 {
            _ if person.notifications.off => Self::Unsubscribed,
            Notify::Mute => Self::Unsubscribed,
            Notify::All => Self::AllEvents,
            Notify::Followed if version.is_some_and(|v| follows(said, v, tie).is_some()) => Self::Subscribed,
            Notify::Followed => Self::Default,
        }
    }
}

/// What the daily cap allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// The mail itself.
    Mail,
    /// A notice that it is the last mail of the day, in place of the mail.
    Notice,
    /// No mail.
    Nothing,
}

/// Returns what the cap allows for the next mail to a person about one kind of activity on one model. `sent` counts the
/// mails of that day (UTC), including a notice.
pub const fn allowance(sent: u64, cap: Option<u64>) -> Allowance {
    match cap {
        Some(cap) if sent > cap => Allowance::Nothing,
        Some(cap) if sent == cap => Allowance::Notice,
        Some(_) | None => Allowance::Mail,
    }
}

#[cfg(test)]
mod tests;
