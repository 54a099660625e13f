//! Who is told: whether a person gets mail about an event, and why. The whole decision, and nothing else.
//!
//! A person hears of *all new activity* of a model (whoever registered it does unless he says otherwise), of *activity
//! on versions that he follows*, or of nothing. A version is followed by who says so, and by who comments on it, moves
//! it or requests a transition, unless he says that he does not follow it. Four kinds of events are mailed about. Whoever
//! may approve a request hears of it whatever else he follows, unless he muted the model or these mails. Nobody is told what
//! he did himself, nor what he may not read.

use crate::entity::person::{ModelNotifications, Notify};
use crate::entity::settings::Mailing;
use crate::entity::{Level, Person};
use crate::event::Event;
use crate::name::{ModelName, UserName};

/// What mail is sent about. An approval is told as the transition that it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// A version was registered.
    Version,
    /// A transition was requested.
    Request,
    /// A version moved to another stage.
    Transition,
    /// A comment was written.
    Comment,
    /// A transition was requested, and the reader's approval would count: a kind of its own for the daily cap.
    Approval,
}

impl Activity {
    /// Those that an event is of, whoever reads of it.
    pub const ALL: [Self; 4] = [Self::Version, Self::Request, Self::Transition, Self::Comment];

    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Request => "request",
            Self::Transition => "transition",
            Self::Comment => "comment",
            Self::Approval => "approval",
        }
    }

    /// In words: `new versions`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Version => "new versions",
            Self::Request => "transition requests",
            Self::Transition => "stage transitions",
            Self::Comment => "new comments",
            Self::Approval => "requests for your approval",
        }
    }

    /// The kind of an event; none where it is not mailed about.
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

/// What somebody did with a version, so that he follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// He commented on it.
    Commented,
    /// He moved it to a stage.
    Moved,
    /// He requested that it move.
    Requested,
}

/// Something that is mailed about.
#[derive(Debug, Clone, Copy)]
pub struct News<'n> {
    /// Of which kind.
    pub activity: Activity,
    /// Of which version.
    pub version: u64,
    /// Who did it, and who landed it.
    pub actors: &'n [&'n UserName],
    /// The names of the model: the one it has now, then those that it had before.
    pub names: &'n [ModelName],
}

/// A person, as far as it matters for whether he is told.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'r> {
    /// The person's id.
    pub user: &'r UserName,
    /// What is known of the person.
    pub person: &'r Person,
    /// Whether he registered the model.
    pub registered: bool,
    /// What he did with the version, if anything.
    pub tie: Option<Tie>,
    /// What he may do with the model now.
    pub level: Option<Level>,
    /// Whether the news is an open request, and his approval of it would count.
    pub may_approve: bool,
}

/// Why a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// He registered the model and did not say otherwise.
    Registered,
    /// He wants all activity of the model.
    All,
    /// He says that he follows the version.
    Follows(u64),
    /// He commented on the version.
    Commented(u64),
    /// He moved the version.
    Moved(u64),
    /// He requested a transition of the version.
    Requested(u64),
    /// His approval of a request would count.
    Approver(u64),
}

impl Reason {
    /// The kind of mail that a person gets for this reason about an activity.
    pub const fn kind(self, activity: Activity) -> Activity {
        match self {
            Self::Approver(_) => Activity::Approval,
            Self::Registered
            | Self::All
            | Self::Follows(_)
            | Self::Commented(_)
            | Self::Moved(_)
            | Self::Requested(_) => activity,
        }
    }
}

impl std::fmt::Display for Reason {
    /// What follows "You get this because".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registered => f.write_str("you registered the model"),
            Self::All => f.write_str("you asked for all new activity of the model"),
            Self::Follows(version) => write!(f, "you follow version {version}"),
            Self::Commented(version) => write!(f, "you commented on version {version}, and so follow it"),
            Self::Moved(version) => write!(f, "you moved version {version}, and so follow it"),
            Self::Requested(version) => write!(f, "you requested a transition of version {version}, and so follow it"),
            Self::Approver(version) => write!(f, "your approval of the request for version {version} would count"),
        }
    }
}

/// Why a person is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The registry sends no mail.
    RegistryOff,
    /// The person wants no mail.
    Off,
    /// He has no e-mail address.
    NoAddress,
    /// He did it himself.
    Own,
    /// He may not read the model.
    Unreadable,
    /// He wants to hear nothing of the model.
    Muted,
    /// He hears of versions that he follows, and does not follow this one.
    NotFollowed,
}

/// Decides whether a person is told of something, and says why or why not.
pub fn decide(news: &News<'_>, reader: &Reader<'_>, mailing: &Mailing) -> Result<Reason, Silence> {
    if mailing.off {
        return Err(Silence::RegistryOff);
    }
    if reader.person.notifications.off {
        return Err(Silence::Off);
    }
    if reader.person.emails.is_empty() {
        return Err(Silence::NoAddress);
    }
    if news.actors.contains(&reader.user) {
        return Err(Silence::Own);
    }
    if reader.level < Some(Level::CanRead) {
        return Err(Silence::Unreadable);
    }
    let said = said(reader.person, news.names);
    let is_muted = said.is_some_and(|s| s.notify == Some(Notify::Mute)) || reader.person.notifications.mute_approvals;
    if reader.may_approve && !is_muted {
        return Ok(Reason::Approver(news.version));
    }
    match (said.and_then(|s| s.notify), reader.registered) {
        (Some(Notify::Mute), _) => Err(Silence::Muted),
        (Some(Notify::All), _) => Ok(Reason::All),
        (None, true) => Ok(Reason::Registered),
        (Some(Notify::Followed), _) | (None, false) => {
            follows(said, news.version, reader.tie).ok_or(Silence::NotFollowed)
        }
    }
}

/// What a person said about a model: under the newest of its names that he said anything under.
pub fn said<'p>(person: &'p Person, names: &[ModelName]) -> Option<&'p ModelNotifications> {
    names.iter().find_map(|name| person.notifications.models.get(name))
}

/// What a person hears of a model, and whether he said so himself.
pub fn preference(said: Option<&ModelNotifications>, registered: bool) -> (Notify, bool) {
    match said.and_then(|s| s.notify) {
        Some(notify) => (notify, true),
        None => (if registered { Notify::All } else { Notify::Followed }, false),
    }
}

/// Whether and why a person follows a version.
pub fn follows(said: Option<&ModelNotifications>, version: u64, tie: Option<Tie>) -> Option<Reason> {
    if said.is_some_and(|s| s.unfollow.contains(&version)) {
        return None;
    }
    if said.is_some_and(|s| s.follow.contains(&version)) {
        return Some(Reason::Follows(version));
    }
    tie.map(|tie| match tie {
        Tie::Commented => Reason::Commented(version),
        Tie::Moved => Reason::Moved(version),
        Tie::Requested => Reason::Requested(version),
    })
}

/// A person's subscription to a version or model, in the words of Databricks (`RegistryEmailSubscriptionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// All new activity of the model.
    AllEvents,
    /// Activity on versions that are followed, and this is none.
    Default,
    /// Activity on versions that are followed, and this is one.
    Subscribed,
    /// Nothing.
    Unsubscribed,
}

impl Subscription {
    /// As clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllEvents => "ALL_EVENTS",
            Self::Default => "DEFAULT",
            Self::Subscribed => "SUBSCRIBED",
            Self::Unsubscribed => "UNSUBSCRIBED",
        }
    }

    /// The subscription of a person to a version; without one, to the model.
    pub fn of(person: &Person, names: &[ModelName], registered: bool, version: Option<u64>, tie: Option<Tie>) -> Self {
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

/// What the daily cap leaves of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// The mail itself.
    Mail,
    /// In its place a notice that this was the last for the day.
    Notice,
    /// Nothing.
    Nothing,
}

/// What the cap leaves of the next mail to a person about one kind of activity on one model, when there were `sent`
/// on that day (UTC) before it, a notice among them.
pub const fn allowance(sent: u64, cap: Option<u64>) -> Allowance {
    match cap {
        Some(cap) if sent > cap => Allowance::Nothing,
        Some(cap) if sent == cap => Allowance::Notice,
        Some(_) | None => Allowance::Mail,
    }
}

#[cfg(test)]
mod tests;
