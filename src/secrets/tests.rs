//! Tests of secrets and of their bindings.

use std::collections::BTreeSet;

use super::*;
use crate::action::NewWebhook;
use crate::entity::webhook::{JobParams, PayloadProfile, WebhookJob, WebhookState};
use crate::name::{Id, UserName};
use crate::text::Text;

const NOW: i64 = 1_772_366_400_000;

fn name(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn set(secrets: &Secrets, of: &str, text: &str) {
    secrets.set(&name(of), &Secret::new(text).unwrap(), Timestamp::from_millis(NOW)).unwrap();
}

fn get(secrets: &Secrets, of: &str) -> Option<String> {
    secrets.get(&name(of)).unwrap().map(|s| s.reveal().to_owned())
}

#[test]
fn a_secret_is_set_read_listed_without_its_text_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    assert_eq!(get(&secrets, "release-channel"), None);
    set(&secrets, "release-channel", "clé £");
    assert_eq!(get(&secrets, "release-channel").as_deref(), Some("clé £"));
    let list = secrets.list().unwrap();
    assert_eq!(list.len(), 1);
    assert!(!format!("{list:?} {secrets:?} {:?}", secrets.get(&name("release-channel"))).contains("clé"));
    assert!(secrets.delete(&name("release-channel")).unwrap());
    assert!(!secrets.delete(&name("release-channel")).unwrap());
    assert_eq!(get(&secrets, "release-channel"), None);
}

#[test]
fn with_a_key_nothing_of_a_secret_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    set(&Secrets::with_key(folder.path(), None), "old", "plain-canary");
    let sealed = Secrets::with_key(folder.path(), Some(&[7; 32]));
    assert_eq!(get(&sealed, "old").as_deref(), Some("plain-canary"), "what was there before can still be read");
    set(&sealed, "new", "sealed-canary");
    let file = std::fs::read_to_string(sealed.path()).unwrap();
    assert!(!file.contains("canary"), "{file}");
    assert_eq!((get(&sealed, "old"), get(&sealed, "new")), (Some("plain-canary".into()), Some("sealed-canary".into())));
    let without = Secrets::with_key(folder.path(), None).get(&name("new"));
    assert!(matches!(without, Err(SecretError::Sealed { .. })));
    let other = Secrets::with_key(folder.path(), Some(&[8; 32])).get(&name("new"));
    assert!(matches!(other, Err(SecretError::WrongKey { .. })));
}

#[test]
fn an_encrypted_secret_opens_under_its_own_name_alone() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), Some(&[7; 32]));
    set(&secrets, "mine", "a");
    let file = std::fs::read_to_string(secrets.path()).unwrap().replace("mine", "yours");
    std::fs::write(secrets.path(), file).unwrap();
    assert!(matches!(secrets.get(&name("yours")), Err(SecretError::WrongKey { .. })));
}

/// A webhook to `https://example.org/hook` that is signed with a secret.
fn webhook(n: u8, secret: &str) -> Webhook {
    Webhook {
        id: Id::from_parts(NOW, [n; 10]),
        created_at: Timestamp::from_millis(NOW),
        created_by: UserName::new("alice").unwrap(),
        updated_at: None,
        name: Text::default(),
        description: Text::default(),
        model: None,
        events: BTreeSet::new(),
        state: WebhookState::Active,
        profile: PayloadProfile::Standard,
        url: Some(text("https://example.org/hook")),
        job: None,
        insecure: false,
        secret: Some(name(secret)),
        authorization: None,
    }
}

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

/// Asks for a secret for a webhook that is alone.
fn ask(secrets: &Secrets, of: &str, webhook: &Webhook) -> Result<bool, SecretError> {
    secrets.get_for(&name(of), &SecretUser::among(webhook, &[])).map(|secret| secret.is_some())
}

#[test]
fn a_secret_is_bound_to_the_webhook_that_used_it_first_and_so_is_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    set(&secrets, "webhook-a", "canary");
    set(&secrets, "webhook-a.next", "second");
    set(&secrets, "shared", "third");
    let (one, two) = (webhook(1, "webhook-a"), webhook(2, "webhook-a"));
    assert!(matches!(ask(&secrets, "webhook-none", &one), Ok(false)));
    assert!(matches!(ask(&secrets, "webhook-a", &one), Ok(true)));
    for name in ["webhook-a", "webhook-a.next"] {
        let said = ask(&secrets, name, &two).unwrap_err().to_string();
        assert!(said.contains(one.id.as_str()) && !said.contains("canary"), "{said}");
        assert!(matches!(ask(&secrets, name, &one), Ok(true)));
    }
    assert!(matches!((ask(&secrets, "shared", &one), ask(&secrets, "shared", &two)), (Ok(true), Ok(true))));
    assert_eq!(secrets.list().unwrap()[1].webhook.as_deref(), Some(one.id.as_str()));
    // The successor takes its place; the binding stays, also if the value is set anew or deleted.
    let next = Secret::new("second").unwrap();
    secrets.promote((&name("webhook-a.next"), &name("webhook-a")), &next, Timestamp::from_millis(NOW)).unwrap();
    assert!(ask(&secrets, "webhook-a", &two).is_err());
    assert!(secrets.delete(&name("webhook-a")).unwrap());
    set(&secrets, "webhook-a", "anew");
    assert!(ask(&secrets, "webhook-a", &two).is_err());
    assert!(secrets.release(&name("webhook-a"), Binding::of(&name("webhook-a"), &two)).unwrap());
    assert!(matches!(ask(&secrets, "webhook-a", &two), Ok(true)));
    assert!(matches!(ask(&secrets, "webhook-a", &one), Err(SecretError::Claimed { .. })));
}

#[test]
fn a_secret_is_bound_to_target_and_use_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let job = |id: &str, at: &str| WebhookJob { id: text(id), workspace_url: text(at), params: JobParams::All };
    let signed = webhook(1, "webhook-a");
    let to_job = Webhook { url: None, job: Some(job("7", "https://jobs.example.org")), ..signed.clone() };
    let both = Webhook { authorization: signed.secret.clone(), ..signed.clone() };
    for (first, others) in [
        (
            signed.clone(),
            vec![
                Webhook { url: Some(text("https://evil.example/")), ..signed.clone() },
                Webhook { insecure: true, ..signed.clone() },
                Webhook { authorization: signed.secret.clone(), secret: None, ..signed.clone() },
                both.clone(),
                to_job.clone(),
            ],
        ),
        (
            to_job.clone(),
            vec![
                signed.clone(),
                Webhook { job: Some(job("8", "https://jobs.example.org")), ..to_job.clone() },
                Webhook { job: Some(job("7", "https://evil.example")), ..to_job },
            ],
        ),
    ] {
        set(&secrets, "webhook-a", "canary");
        secrets.release(&name("webhook-a"), Binding::of(&name("webhook-a"), &first)).unwrap();
        assert!(matches!(ask(&secrets, "webhook-a", &first), Ok(true)));
        for other in others {
            let said = ask(&secrets, "webhook-a", &other).unwrap_err();
            assert!(matches!(said, SecretError::Retargeted { .. }), "{said}: {other:?}");
        }
        let renamed = Webhook { name: text("new"), state: WebhookState::Disabled, ..first.clone() };
        assert!(matches!(ask(&secrets, "webhook-a", &renamed), Ok(true)), "no target");
    }
    // A use that a webhook gives up is no new one.
    secrets.release(&name("webhook-a"), Binding::of(&name("webhook-a"), &both)).unwrap();
    assert!(matches!(ask(&secrets, "webhook-a", &signed), Ok(true)));
    let old = Webhook { secret: None, authorization: Some(name("webhook-A")), ..signed };
    assert!(matches!(ask(&secrets, "webhook-a", &old), Ok(true)));
}

#[test]
fn names_with_one_variable_have_one_binding() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let first = webhook(1, "webhook-a.b");
    for name in
        ["webhook-a.b", "webhook-A-B", "webhook-a_b", "webhook-a-b-next", "webhook_a_b", "webhook", "webhook-next"]
    {
        set(&secrets, name, "canary");
    }
    assert!(matches!(ask(&secrets, "webhook-a.b", &first), Ok(true)));
    for twin in ["webhook-A-B", "webhook-a_b", "webhook-a-b-next", "webhook_a_b"] {
        let said = ask(&secrets, twin, &webhook(2, twin)).unwrap_err();
        assert!(matches!(said, SecretError::Claimed { .. }), "{twin}: {said}");
    }
    // Administrators name `webhook` for several webhooks; its successor has the variable of `webhook-next`.
    assert!(matches!(ask(&secrets, "webhook", &webhook(3, "webhook")), Ok(true)));
    assert!(matches!(ask(&secrets, "webhook", &webhook(4, "webhook")), Ok(true)));
    let said = ask(&secrets, "webhook-next", &webhook(5, "webhook-next")).unwrap_err();
    assert!(matches!(said, SecretError::Claimed { .. }), "{said}");
}

#[test]
fn a_secret_that_several_webhooks_name_is_bound_to_none_of_them_before_one_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    set(&secrets, "webhook-a", "canary");
    let users = SecretUser::all(vec![webhook(1, "webhook-a"), webhook(2, "webhook-A"), webhook(3, "webhook-b")]);
    for user in &users[..2] {
        assert!(matches!(secrets.get_for(&name("webhook-a"), user), Err(SecretError::Contested { .. })));
    }
    secrets.release(&name("webhook-a"), Binding::of(&name("webhook-a"), users[0].webhook())).unwrap();
    assert!(secrets.get_for(&name("webhook-a"), &users[0]).unwrap().is_some());
    assert!(matches!(secrets.get_for(&name("webhook-a"), &users[1]), Err(SecretError::Claimed { .. })));
}

#[test]
fn a_secret_that_is_set_for_a_target_waits_for_the_webhook_with_that_target() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let (wanted, key) = (webhook(1, "webhook-a"), name("webhook-a"));
    let new = NewWebhook { url: wanted.url.clone(), secret: wanted.secret.clone(), ..NewWebhook::default() };
    let (secret, now) = (Secret::new("canary").unwrap(), Timestamp::from_millis(NOW));
    secrets.set_for(&key, &secret, Binding::planned(&key, None, &new), now).unwrap();
    let elsewhere = Webhook { url: Some(text("https://evil.example/")), ..webhook(2, "webhook-a") };
    assert!(ask(&secrets, "webhook-a", &elsewhere).is_err());
    assert!(matches!(ask(&secrets, "webhook-a", &wanted), Ok(true)));
    assert!(matches!(ask(&secrets, "webhook-a", &webhook(2, "webhook-a")), Err(SecretError::Claimed { .. })));
}

#[test]
fn an_administrators_change_takes_a_secret_along_from_where_it_was_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let (key, first) = (name("webhook-a"), webhook(1, "webhook-a"));
    let to = |url: &str| Webhook { url: Some(text(url)), ..first.clone() };
    set(&secrets, "webhook-a", "canary");
    assert!(matches!(ask(&secrets, "webhook-a", &first), Ok(true)));
    secrets.follow(&key, &to("https://evil.example/"), &to("https://evil.example/x")).unwrap();
    assert!(matches!(ask(&secrets, "webhook-a", &first), Ok(true)));
    secrets.follow(&key, &first, &to("https://b.example/")).unwrap();
    assert!(ask(&secrets, "webhook-a", &first).is_err());
    assert!(matches!(ask(&secrets, "webhook-a", &to("https://b.example/")), Ok(true)));
}

#[test]
fn a_value_for_another_target_takes_no_successor_of_the_former_one_along() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let (key, first) = (name("webhook-a"), webhook(1, "webhook-a"));
    let put = |of: &str, to: &Webhook| {
        let secret = Secret::new("canary").unwrap();
        secrets.set_for(&name(of), &secret, Binding::of(&key, to), Timestamp::from_millis(NOW)).unwrap();
    };
    put("webhook-a", &first);
    put("webhook-a.next", &first);
    put("webhook-a", &first);
    assert!(secrets.is_stored(&name("webhook-a.next")).unwrap());
    put("webhook-a", &webhook(2, "webhook-a"));
    assert!(!secrets.is_stored(&name("webhook-a.next")).unwrap());
}

#[test]
fn a_binding_of_the_old_form_is_to_the_webhook_and_gets_its_target_at_the_next_use() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let (first, other) = (webhook(1, "webhook-a"), webhook(2, "webhook-a"));
    set(&secrets, "webhook-a", "canary");
    let old = std::fs::read_to_string(secrets.path()).unwrap();
    std::fs::write(secrets.path(), format!("{old}\n[webhook]\nwebhook-a = \"{}\"\n", first.id)).unwrap();
    assert_eq!(secrets.list().unwrap()[0].webhook.as_deref(), Some(first.id.as_str()));
    assert!(matches!(ask(&secrets, "webhook-a", &other), Err(SecretError::Claimed { .. })));
    assert!(matches!(ask(&secrets, "webhook-a", &first), Ok(true)));
    let elsewhere = Webhook { url: Some(text("https://evil.example/")), ..first };
    assert!(matches!(ask(&secrets, "webhook-a", &elsewhere), Err(SecretError::Retargeted { .. })));
    assert!(matches!(ask(&secrets, "webhook-a", &other), Err(SecretError::Claimed { .. })));
}

#[test]
fn only_the_binding_of_a_generated_name_goes_with_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    let generated = generated_name().unwrap();
    assert_eq!(generated.as_str().len(), "webhook-".len() + 20);
    for (key, stays) in [(generated, false), (name("webhook-team"), true)] {
        set(&secrets, key.as_str(), "canary");
        assert!(matches!(ask(&secrets, key.as_str(), &webhook(1, key.as_str())), Ok(true)));
        assert!(secrets.delete(&key).unwrap());
        assert_eq!(secrets.is_bound(&key).unwrap(), stays, "{key}");
    }
}

#[test]
fn a_damaged_file_is_an_error_of_a_release_and_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::with_key(folder.path(), None);
    set(&secrets, "webhook-a", "first");
    std::fs::write(secrets.path(), "no TOML").unwrap();
    let binding = |of: &str| Binding::of(&name(of), &webhook(1, of));
    assert!(secrets.release(&name("webhook-a"), binding("webhook-a")).is_err());
    assert!(!secrets.release(&name("shared"), binding("shared")).unwrap(), "a shared secret has no owner");
}

#[test]
fn a_change_by_another_process_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Secrets::with_key(folder.path(), None), Secrets::with_key(folder.path(), None));
    set(&one, "a", "1");
    assert_eq!(get(&two, "a").as_deref(), Some("1"));
    set(&one, "a", "23");
    assert_eq!(get(&two, "a").as_deref(), Some("23"));
}

#[test]
fn keys_and_texts_that_are_none_are_refused_without_repeating_them() {
    for text in ["", "abc", &"g".repeat(64), &"ü".repeat(32), &"ab".repeat(33)] {
        let said = key(text, KEY).unwrap_err().to_string();
        assert!(said.contains(KEY) && (text.is_empty() || !said.contains(text)), "{said}");
    }
    assert_eq!(key(&format!("{}\n", "ab".repeat(32)), KEY).unwrap(), [0xab; 32]);
    for text in ["", "a\nb", "a\0", &"x".repeat(MAX_SECRET + 1)] {
        assert!(matches!(Secret::new(text), Err(SecretError::Unfit)));
    }
}

#[test]
fn a_name_has_one_variable_and_one_successor() {
    assert_eq!(variable(&name("release-channel.next")), "GREENROOM_SECRET_RELEASE_CHANNEL_NEXT");
    assert_eq!(next_of(&name("release-channel")), Some(name("release-channel.next")));
    assert_eq!(next_of(&name(&"a".repeat(248))), None);
}

#[test]
fn a_new_secret_is_one_of_standard_webhooks_and_no_other() {
    let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
    assert_ne!(one, two);
    assert_eq!(BASE64.decode(one.reveal().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
}
