//! Compares mails with the files in `tests/data/mail/`; `GREENROOM_WRITE=1` writes the files anew, to be reviewed
//! before they are committed. Other tests build mails from hostile texts.

use std::path::Path;

use super::draft::{MailContext, MailDraft, MailNews, write};
use super::settings::MailSettings;
use super::token::TokenKey;
use super::{message, render, together};
use crate::audience::{Allowance, MailCategory, RecipientReason};
use crate::deliver::channel::{DeliveryJob, DueJob};
use crate::deliver::notification::{Notification, NotificationKind};
use crate::entity::settings::{FORMAT, IdentitySettings, Layout, MailPolicy};
use crate::entity::{Comment, Request, RequestState, Settings, Version};
use crate::event::{Event, TransitionCause};
use crate::name::{Id, ModelName, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;
use crate::tree::Oid;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_773_144_000_000 + minute * 60_000)
}

fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn id(n: u8) -> Id {
    Id::from_parts(1_772_366_400_000, [n; 10])
}

fn settings(name: &str) -> Settings {
    Settings {
        id: id(9),
        name: text(name),
        format: FORMAT,
        layout: Layout::Flat,
        identity: IdentitySettings::default(),
        notifications: MailPolicy::default(),
        rules: crate::entity::settings::Rules::default(),
        sources: Default::default(),
        acknowledged: Vec::new(),
        stages: std::collections::BTreeMap::new(),
        aliases: std::collections::BTreeMap::new(),
    }
}

fn mail() -> MailSettings {
    MailSettings {
        server: super::Server::parse("smtp://127.0.0.1").unwrap(),
        from: "Greenroom <greenroom@example.org>".parse().unwrap(),
        url: Some("https://models.example.org".to_owned()),
    }
}

/// A key that is the same in each run.
fn key() -> TokenKey {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unsubscribe.key"), [7; 32]).unwrap();
    TokenKey::open(folder.path()).unwrap()
}

fn news(model: &str, version: u64, event: Event, reason: RecipientReason) -> MailNews {
    MailNews {
        model: ModelName::new(model).unwrap(),
        id: id(model.bytes().fold(0, u8::wrapping_add)),
        version,
        activity: MailCategory::of(&event).unwrap(),
        event,
        reason,
        ask: None,
        by: user("alice"),
        comment: String::new(),
        at: at(0),
        commit: Oid::from_bytes(&[0xab; 20]).unwrap(),
        allowed: Allowance::Mail,
    }
}

fn commented(model: &str, version: u64, said: &str) -> MailNews {
    let comment =
        Comment { id: id(1), created_by: user("alice"), created_at: at(0), edited_at: None, text: text(said) };
    let model_name = ModelName::new(model).unwrap();
    news(
        model,
        version,
        Event::CommentCreated { model: model_name, version, comment },
        RecipientReason::Commented(version),
    )
}

fn requested(model: &str, version: u64, said: &str) -> MailNews {
    let request = Request {
        id: id(2),
        to: Stage::Production,
        created_by: user("alice"),
        created_at: at(0),
        comment: text(said),
        archive_existing: false,
        state: RequestState::Pending,
        closed_by: None,
        closed_at: None,
        close_comment: Text::default(),
        review: Vec::new(),
    };
    let model_name = ModelName::new(model).unwrap();
    news(model, version, Event::RequestCreated { model: model_name, version, request }, RecipientReason::Registered)
}

fn moved(model: &str, version: u64, from: Stage, to: Stage, cause: TransitionCause) -> MailNews {
    let event = Event::Transitioned { model: ModelName::new(model).unwrap(), version, from, to, cause };
    news(model, version, event, RecipientReason::Follows(version))
}

fn registered(model: &str, version: u64, said: &str) -> MailNews {
    let created =
        Version { id: id(3), created_at: at(0), created_by: user("alice"), description: text(said), ..blank() };
    let model_name = ModelName::new(model).unwrap();
    news(
        model,
        version,
        Event::VersionCreated { model: model_name, version, created, artifacts: None },
        RecipientReason::All,
    )
}

fn blank() -> Version {
    let text = format!("id = \"{}\"\ncreated_at = 2026-03-01T00:00:00Z\ncreated_by = \"alice\"\n", id(3));
    crate::format::parse::<Version>("version.toml", text.as_bytes()).0.unwrap()
}

fn draft(news: &[MailNews], registry: &str, digest: bool) -> MailDraft {
    let (settings, key, bob) = (settings(registry), key(), user("bob"));
    let url = Some("https://models.example.org");
    write(news, &MailContext { to: &bob, settings: &settings, url, key: &key, cap: Some(20), digest })
}

fn raw(draft: &MailDraft, to: &str) -> String {
    let bob = "bob@example.org".parse().unwrap();
    let bytes = message::build(draft, "0123abcd", (to, &bob), &mail(), &settings("Models"), at(5)).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The headers of a mail, each on one line.
fn head(raw: &str) -> Vec<String> {
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    head.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect()
}

#[track_caller]
fn golden(name: &str, draft: &MailDraft) {
    let boundary = |raw: &str| raw.split("boundary=\"").nth(1).and_then(|r| r.split('"').next()).unwrap().to_owned();
    let raw = raw(draft, "Bob Builder");
    let head = head(&raw).join("\n").replace(&boundary(&raw), "BOUNDARY");
    let made = format!("{head}\n\n{}\n{}", render::text(draft), render::html(draft));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/mail/{name}.txt"));
    if std::env::var_os("GREENROOM_WRITE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(made, std::fs::read_to_string(&path).unwrap(), "{name}");
}

#[test]
fn mails_are_written_as_the_examples_say() {
    golden("comment", &draft(&[commented("churn", 3, "Looks good.\n\nShip it & <b>go</b>!")], "Models", false));
    golden("request", &draft(&[requested("churn", 3, "AUC is 0.91 on March.")], "Models", false));
    golden("version", &draft(&[registered("wine quality", 2, "Trained on 2026-02.")], "Models", false));
    let promotion = [
        moved("churn", 2, Stage::Production, Stage::Archived, TransitionCause::MadeWay { for_version: 3 }),
        moved("churn", 3, Stage::Staging, Stage::Production, TransitionCause::Request { id: id(2) }),
    ];
    golden("promotion", &draft(&promotion, "Models", false));
    let digest = [
        commented("wine", 1, "Ünïcødé: 模型 👍"),
        commented("churn", 3, "Second thoughts."),
        requested("churn", 4, ""),
        MailNews { at: at(70), ..commented("churn", 3, "Third thoughts.") },
    ];
    golden("digest", &draft(&digest, "Models", true));
    let limit = [MailNews { allowed: Allowance::Notice, ..commented("churn", 3, "The twenty-first.") }];
    golden("limit", &draft(&limit, "Models", false));
}

#[test]
fn without_an_address_of_the_server_there_are_no_links() {
    let (settings, key, bob) = (settings("Models"), key(), user("bob"));
    let frame = MailContext { to: &bob, settings: &settings, url: None, key: &key, cap: None, digest: false };
    let draft = write(&[commented("churn", 3, "x")], &frame);
    assert!(render::text(&draft).ends_with("To get no more mail about churn: greenroom mute churn\n"));
    assert!(!render::html(&draft).contains("href"));
    let raw = raw(&draft, "Bob");
    assert!(!raw.contains("List-Unsubscribe"), "{raw}");
    // One-click unsubscription is for HTTPS only.
    let frame = MailContext { url: Some("http://127.0.0.1:5050"), ..frame };
    let raw = self::raw(&write(&[commented("churn", 3, "x")], &frame), "Bob");
    assert!(raw.contains("List-Unsubscribe: <http://127.0.0.1:5050/api/greenroom/unsubscribe?token="), "{raw}");
    assert!(!raw.contains("One-Click"), "{raw}");
}

/// Texts that try to break out of HTML, of headers, of a terminal.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)>",
    "'; DROP TABLE models; --",
    "</blockquote></body><iframe src=//evil.example>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "javascript:alert(1)",
    "=?utf-8?q?=0D=0ABcc=3A_evil=40example.org?=",
    "a: b\nBcc: evil@example.org\n\nBody",
    ".\n.\nQUIT",
    "Ωμέγα 模型 👩‍🔬",
];

#[test]
fn no_text_becomes_an_element_of_html() {
    let plain = render::html(&draft(&[commented("churn", 3, "x")], "Models", false));
    let tags = |html: &str| html.matches('<').count();
    for said in HOSTILE.iter().filter(|s| Text::new(s).is_ok()) {
        let html = render::html(&draft(&[commented("churn", 3, said)], "Models", false));
        assert_eq!(tags(&html), tags(&plain), "{html}");
        for bad in ["<script", "<img", "<svg", "<iframe"] {
            assert!(!html.contains(bad), "{html}");
        }
        let named = render::html(&draft(&[commented("churn", 3, "x")], said, false));
        assert_eq!(tags(&named), tags(&plain), "{named}");
    }
    let names = HOSTILE.iter().filter_map(|s| ModelName::new(*s).ok());
    for name in names {
        let html = render::html(&draft(&[commented(name.as_str(), 3, "x")], "Models", false));
        assert_eq!(tags(&html), tags(&plain), "{html}");
    }
}

#[test]
fn no_text_becomes_a_header() {
    let names = |raw: &str| -> Vec<String> {
        head(raw).iter().map(|l| l.split(':').next().unwrap_or_default().to_owned()).collect()
    };
    let usual = names(&raw(&draft(&[commented("churn", 3, "x")], "Models", false), "Bob"));
    assert_eq!(
        usual,
        [
            "From",
            "To",
            "Date",
            "Subject",
            "Message-ID",
            "Auto-Submitted",
            "Precedence",
            "List-Id",
            "In-Reply-To",
            "References",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Content-Type",
        ]
    );
    let breaks = ["a\r\nBcc: evil@example.org", "a\nBcc: evil@example.org", "a\rBcc: b", "a\u{2028}Bcc: b", "a\0b"];
    for bad in HOSTILE.iter().chain(&breaks) {
        // Even if a text got past the checks of stored texts.
        let mut draft = draft(&[commented("churn", 3, "x")], "Models", false);
        draft.subject = (*bad).to_owned();
        draft.thread = Some((*bad).to_owned());
        draft.farewell.link = Some(format!("https://x/{bad}"));
        draft.registry = (*bad).to_owned();
        let raw = raw(&draft, bad);
        assert_eq!(names(&raw), usual, "{bad:?}\n{raw}");
        assert!(raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{bad:?}");
    }
}

#[test]
fn very_long_texts_are_cut_and_very_many_news_are_counted() {
    let long = "An end is not in sight. ".repeat(4000);
    let one = draft(&[commented("churn", 3, &long)], "Models", false);
    let (plain, html) = (render::text(&one), render::html(&one));
    assert!(plain.len() < 4_000 && plain.contains('…') && html.len() < 4_000, "{} {}", plain.len(), html.len());
    let many: Vec<MailNews> = (1..=300).map(|n| commented("churn", n, "x")).collect();
    let draft = draft(&many, "Models", true);
    assert!(render::text(&draft).contains("and 200 more; `greenroom log` shows all."));
    let raw = raw(&draft, &"Long Name ".repeat(200));
    assert!(raw.split("\r\n").all(|line| line.len() <= 998));
}

#[test]
fn a_thread_is_a_version_and_has_one_subject() {
    let subject = |news: &[MailNews], digest| {
        let draft = draft(news, "Models", digest);
        (draft.subject, draft.thread)
    };
    let first = subject(&[commented("churn", 3, "x")], false);
    assert_eq!(first.0, "[Models] churn version 3");
    assert_eq!(subject(&[requested("churn", 3, "y")], false), first);
    assert_eq!(subject(&[commented("churn", 3, "x"), requested("churn", 3, "y")], true), first);
    let made_way = moved("churn", 2, Stage::Production, Stage::Archived, TransitionCause::MadeWay { for_version: 3 });
    let entered = moved("churn", 3, Stage::Staging, Stage::Production, TransitionCause::Direct);
    assert_eq!(subject(&[made_way.clone(), entered.clone()], false), first);
    assert_eq!(subject(&[made_way, entered], true).0, "[Models] churn");
    assert_eq!(subject(&[commented("churn", 3, "x"), commented("wine", 1, "x")], true).0, "[Models] Digest");
    assert_ne!(subject(&[commented("churn", 4, "x")], false).1, first.1);
}

#[test]
fn a_commit_is_one_mail_and_a_digest_is_one_mail() {
    let notification = |commit: u8, ordinal| Notification {
        commit: Oid::from_bytes(&[commit; 20]).unwrap(),
        ordinal,
        at: at(0),
        by: user("alice"),
        landed_by: None,
        comment: String::new(),
        what: NotificationKind::Event(Box::new(commented("churn", 3, "x").event)),
    };
    let all = [notification(1, 0), notification(1, 1), notification(2, 0)];
    let job = |digest: bool| DeliveryJob {
        lane: "bob".to_owned(),
        key: "bob".to_owned(),
        not_before: digest.then(|| at(60)),
    };
    let (soon, digest) = (job(false), job(true));
    let due = |jobs: [&'static str; 3]| -> Vec<bool> { jobs.iter().map(|j| *j == "digest").collect() };
    for (kinds, taken) in [
        (due(["soon", "soon", "soon"]), 2),
        (due(["digest", "digest", "digest"]), 3),
        (due(["digest", "soon", "soon"]), 1),
        (due(["soon", "digest", "soon"]), 1),
    ] {
        let due: Vec<DueJob<'_>> = all
            .iter()
            .zip(&kinds)
            .map(|(notification, is_digest)| DueJob {
                id: "x",
                notification,
                job: if *is_digest { &digest } else { &soon },
                attempt: 0,
            })
            .collect();
        assert_eq!(together(&due), taken, "{kinds:?}");
    }
}

#[test]
fn a_digest_goes_out_at_the_end_of_its_hour_or_day() {
    use crate::entity::person::Cadence;
    let time = |s: &str| s.parse::<Timestamp>().unwrap();
    for (happened, digest, goes_out) in [
        ("2026-03-10T10:05:00Z", Cadence::Hourly, "2026-03-10T11:00:00Z"),
        ("2026-03-10T10:00:00Z", Cadence::Hourly, "2026-03-10T11:00:00Z"),
        ("2026-03-10T23:59:59.999Z", Cadence::Daily, "2026-03-11T00:00:00Z"),
        ("2026-03-10T00:00:00Z", Cadence::Daily, "2026-03-11T00:00:00Z"),
    ] {
        assert_eq!(super::not_before(time(happened), digest), Some(time(goes_out)), "{happened}");
    }
    assert_eq!(super::not_before(at(0), Cadence::Immediate), None);
}
