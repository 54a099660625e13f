//! The whole decision of who gets mail, as one table.

use super::*;
use crate::entity::person::Notifications;
use crate::text::Text;

/// The decision as a table: the first row that fits a case gives its outcome. `*` fits everything.
///
/// - *act*: whose action it was: the person's `own`, or `theirs`;
/// - *reads*: whether the person may read the model;
/// - *mail*: `here`, or turned off by the `person` or for the whole `registry`, or there is no `address`;
/// - *wish*: the person's choice for the model: `all`, `followed`, `mute`, `unsaid`; `maker` if the person registered
///   the model and chose nothing, `maker-followed` if the person registered it and chose followed versions;
/// - *event*: the four kinds that cause mail;
/// - *ties*: `none`, the person chose to follow the version (`says`), or `commented`, `moved`, `requested`; with `-not`
///   the person did so and then unfollowed it;
/// - *sent*: how many mails of the kind about the model the person got that day, with the default cap of 20.
const TABLE: &str = "
    act    reads  mail      wish            event       ties           sent   outcome

    *      *      registry  *               *           *              *      registry-off
    *      *      person    *               *           *              *      off
    *      *      address   *               *           *              *      no-address
    own    *      *         *               *           *              *      own
    *      no     *         *               *           *              *      unreadable
    *      *      *         mute            *           *              *      muted

    *      *      *         all             version     *              <20    mail: all
    *      *      *         all             request     *              <20    mail: all
    *      *      *         all             transition  *              <20    mail: all
    *      *      *         all             comment     *              <20    mail: all
    *      *      *         maker           version     *              <20    mail: registered
    *      *      *         maker           request     *              <20    mail: registered
    *      *      *         maker           transition  *              <20    mail: registered
    *      *      *         maker           comment     *              <20    mail: registered

    *      *      *         all             *           *              =20    notice
    *      *      *         maker           *           *              =20    notice
    *      *      *         all             *           *              >20    nothing
    *      *      *         maker           *           *              >20    nothing

    *      *      *         *               *           none           *      not-followed
    *      *      *         *               *           commented-not  *      not-followed
    *      *      *         *               *           moved-not      *      not-followed
    *      *      *         *               *           requested-not  *      not-followed

    *      *      *         *               version     says           <20    mail: follows
    *      *      *         *               request     says           <20    mail: follows
    *      *      *         *               transition  says           <20    mail: follows
    *      *      *         *               comment     says           <20    mail: follows
    *      *      *         *               *           commented      <20    mail: commented
    *      *      *         *               *           moved          <20    mail: moved
    *      *      *         *               *           requested      <20    mail: requested
    *      *      *         *               *           *              =20    notice
    *      *      *         *               *           *              >20    nothing
";

const ACTS: &[&str] = &["own", "theirs"];
const READS: &[&str] = &["yes", "no"];
const MAIL: &[&str] = &["here", "person", "registry", "address"];
const WISHES: &[&str] = &["all", "followed", "mute", "unsaid", "maker", "maker-followed"];
const TIES: &[&str] =
    &["none", "says", "commented", "moved", "requested", "commented-not", "moved-not", "requested-not"];
const SENT: &[u64] = &[0, 19, 20, 21, 500];

fn rows() -> Vec<Vec<&'static str>> {
    let row = |line: &'static str| {
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
        assert_eq!(words.len(), 8, "{line}");
        words
    };
    TABLE.lines().skip(2).filter(|l| !l.trim().is_empty()).map(row).collect()
}

fn fits(cell: &str, value: &str) -> bool {
    let number = |s: &str| s.parse::<u64>().expect("a number");
    match cell.split_at_checked(1) {
        Some(("*", "")) => true,
        Some(("<", n)) => number(value) < number(n),
        Some(("=", n)) => number(value) == number(n),
        Some((">", n)) => number(value) > number(n),
        _ => cell == value,
    }
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn model() -> ModelName {
    ModelName::new("churn").unwrap()
}

/// Returns the program's decision for a case, in the words of the table.
fn outcome(act: &str, reads: &str, mail: &str, wish: &str, activity: MailCategory, ties: &str, sent: u64) -> String {
    let (bob, alice) = (user("bob"), user("alice"));
    let (tie, not) = match ties.split_once('-') {
        Some((tie, _)) => (tie, true),
        None => (ties, false),
    };
    let notify = match wish {
        "all" => Some(Notify::All),
        "followed" | "maker-followed" => Some(Notify::Followed),
        "mute" => Some(Notify::Mute),
        _ => None,
    };
    let mut of_model = ModelNotifications { notify, ..ModelNotifications::default() };
    if tie == "says" {
        of_model.follow(3);
    }
    if not {
        of_model.unfollow(3);
    }
    let mut notifications = Notifications { off: mail == "person", ..Notifications::default() };
    notifications.change(&model(), |m| *m = of_model);
    let emails = if mail == "address" { Vec::new() } else { vec![Text::new("bob@example.org").unwrap()] };
    let person = Person { emails: emails.into_iter().collect(), notifications, ..Person::default() };
    let mailing = MailPolicy { off: mail == "registry", ..MailPolicy::default() };
    let actors = [if act == "own" { &bob } else { &alice }];
    let names = [model()];
    let news = MailEvent { activity, version: 3, actors: &actors, names: &names };
    let reader = MailRecipient {
        user: &bob,
        person: &person,
        registered: wish.starts_with("maker"),
        tie: match tie {
            "commented" => Some(VersionInvolvement::Commented),
            "moved" => Some(VersionInvolvement::Moved),
            "requested" => Some(VersionInvolvement::Requested),
            _ => None,
        },
        may_approve: false,
        level: (reads == "yes").then_some(PermissionLevel::CanRead),
    };
    let reason = match decide(&news, &reader, &mailing) {
        Err(MailOmission::RegistryOff) => return "registry-off".to_owned(),
        Err(MailOmission::Off) => return "off".to_owned(),
        Err(MailOmission::NoAddress) => return "no-address".to_owned(),
        Err(MailOmission::Own) => return "own".to_owned(),
        Err(MailOmission::Unreadable) => return "unreadable".to_owned(),
        Err(MailOmission::Muted) => return "muted".to_owned(),
        Err(MailOmission::NotFollowed) => return "not-followed".to_owned(),
        Ok(reason) => reason,
    };
    match allowance(sent, mailing.cap()) {
        Allowance::Nothing => "nothing".to_owned(),
        Allowance::Notice => "notice".to_owned(),
        Allowance::Mail => match reason {
            RecipientReason::Registered => "mail: registered".to_owned(),
            RecipientReason::All => "mail: all".to_owned(),
            RecipientReason::Follows(3) => "mail: follows".to_owned(),
            RecipientReason::Commented(3) => "mail: commented".to_owned(),
            RecipientReason::Moved(3) => "mail: moved".to_owned(),
            RecipientReason::Requested(3) => "mail: requested".to_owned(),
            other => format!("{other:?}"),
        },
    }
}

#[test]
fn the_whole_table_of_preferences_events_following_switches_and_cap() {
    let rows = rows();
    let mut used = vec![0; rows.len()];
    let mut cases = 0;
    for act in ACTS {
        for reads in READS {
            for mail in MAIL {
                for wish in WISHES {
                    for activity in MailCategory::ALL {
                        for ties in TIES {
                            for sent in SENT {
                                let sent_text = sent.to_string();
                                let case = [*act, reads, mail, wish, activity.as_str(), ties, &sent_text];
                                let row = rows.iter().position(|r| r.iter().zip(case).all(|(cell, v)| fits(cell, v)));
                                let row = row.unwrap_or_else(|| panic!("no row for {case:?}"));
                                used[row] += 1;
                                let found = outcome(act, reads, mail, wish, activity, ties, *sent);
                                assert_eq!(found, rows[row][7], "{case:?}");
                                cases += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 2 * 2 * 4 * 6 * 4 * 8 * 5);
    let idle: Vec<_> = rows.iter().zip(&used).filter(|(_, n)| **n == 0).map(|(r, _)| r).collect();
    assert!(idle.is_empty(), "no case has these rows: {idle:?}");
}

#[test]
fn the_cap_is_a_setting_and_none_is_none() {
    let cap = |daily_cap| MailPolicy { off: false, daily_cap }.cap();
    assert_eq!((cap(None), cap(Some(3)), cap(Some(0))), (Some(20), Some(3), None));
    assert_eq!(allowance(2, Some(3)), Allowance::Mail);
    assert_eq!(allowance(3, Some(3)), Allowance::Notice);
    assert_eq!(allowance(4, Some(3)), Allowance::Nothing);
    assert_eq!(allowance(u64::MAX, None), Allowance::Mail);
}

#[test]
fn a_wish_stays_with_a_model_that_is_renamed() {
    let mut person = Person::default();
    person.notifications.change(&model(), |m| m.notify = Some(Notify::Mute));
    let new = ModelName::new("retention").unwrap();
    assert_eq!(said(&person, std::slice::from_ref(&new)), None);
    assert_eq!(said(&person, &[new.clone(), model()]).and_then(|s| s.notify), Some(Notify::Mute));
    person.notifications.change(&new, |m| m.follow(1));
    assert_eq!(said(&person, &[new, model()]).and_then(|s| s.notify), None, "the newest name counts");
}

#[test]
fn a_subscription_has_databricks_words() {
    let names = [model()];
    let with = |notify, off| {
        let mut person = Person::default();
        person.notifications.off = off;
        person.notifications.change(&model(), |m| m.notify = notify);
        person
    };
    let of = |person: &Person, made, tie| Subscription::of(person, &names, made, Some(1), tie).as_str();
    assert_eq!(of(&with(Some(Notify::All), false), false, None), "ALL_EVENTS");
    assert_eq!(of(&with(None, false), true, None), "ALL_EVENTS");
    assert_eq!(of(&with(None, false), false, None), "DEFAULT");
    assert_eq!(of(&with(None, false), false, Some(VersionInvolvement::Commented)), "SUBSCRIBED");
    assert_eq!(of(&with(Some(Notify::Mute), false), true, Some(VersionInvolvement::Commented)), "UNSUBSCRIBED");
    assert_eq!(of(&with(Some(Notify::All), true), true, None), "UNSUBSCRIBED");
    assert_eq!(Subscription::of(&with(None, false), &names, false, None, None).as_str(), "DEFAULT");
}

#[test]
fn who_may_approve_hears_of_a_request_whatever_he_follows_unless_he_muted_it() {
    let names: Vec<ModelName> = vec!["churn".parse().unwrap()];
    let (alice, bob): (UserName, UserName) = ("alice".parse().unwrap(), "bob".parse().unwrap());
    let actors = [&alice];
    let news = MailEvent { activity: MailCategory::Request, version: 3, actors: &actors, names: &names };
    let mut person =
        Person { emails: [crate::text::Text::new("bob@example.org").unwrap()].into(), ..Person::default() };
    let told = |person: &Person, user: &UserName, may_approve| {
        let level = Some(PermissionLevel::CanRead);
        let reader = MailRecipient { user, person, registered: false, tie: None, level, may_approve };
        decide(&news, &reader, &MailPolicy::default())
    };
    assert_eq!(told(&person, &bob, true), Ok(RecipientReason::Approver(3)));
    assert_eq!(told(&person, &bob, false), Err(MailOmission::NotFollowed));
    assert_eq!(told(&person, &alice, true), Err(MailOmission::Own), "nobody is told what he asked himself");
    assert_eq!(RecipientReason::Approver(3).kind(MailCategory::Request), MailCategory::Approval);
    person.notifications.mute_approvals = true;
    assert_eq!(told(&person, &bob, true), Err(MailOmission::NotFollowed));
    person.notifications.mute_approvals = false;
    person.notifications.models.entry(names[0].clone()).or_default().notify = Some(Notify::Mute);
    assert_eq!(told(&person, &bob, true), Err(MailOmission::Muted));
}
