//! The binding of a secret: the webhook that it is sent for, the target, and the use.
//!
//! Names that begin `webhook-` may be named by a person who manages a model alone, and such a person may change the target
//! of a webhook in one commit and name its secret again in the next one. So the name of a secret proves nothing. The value
//! is sent where it was bound to: to the same webhook, the same target, and for the same use.
//!
//! Names with one environment variable have one binding, which is that of their successors too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{SecretError, SecretsFile};
use crate::action::NewWebhook;
use crate::entity::Webhook;
use crate::entity::webhook::{OWN_SECRET, WebhookJob, base_of, base_variable, is_own, is_same_secret};
use crate::name::{Id, Key};
use crate::text::Text;

/// What a webhook uses a secret for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecretUse {
    /// It signs the requests.
    Secret,
    /// It is sent as the header `Authorization`.
    Authorization,
}

/// What a secret is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The webhook's id. Absent: the commit that makes the webhook is still to come, or `target` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    /// The digest of the target. Absent: the name is one that only administrators give to webhooks, for any target.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The uses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    uses: BTreeSet<SecretUse>,
}

impl Binding {
    /// Returns the binding of a secret to a webhook as it is.
    pub fn of(name: &Key, webhook: &Webhook) -> Self {
        let Webhook { url, job, insecure, secret, authorization, .. } = webhook;
        let target = Target { url: url.as_ref(), job: job.as_ref(), insecure: *insecure };
        Self::to_target(name, Some(&webhook.id), &target, [secret.as_ref(), authorization.as_ref()])
    }

    /// Returns the binding of a secret to a webhook that is about to be created or changed. Without an id, the first webhook
    /// with the same target and use takes it.
    pub fn planned(name: &Key, id: Option<&Id>, new: &NewWebhook) -> Self {
        let NewWebhook { url, job, insecure, secret, authorization, .. } = new;
        let target = Target { url: url.as_ref(), job: job.as_ref(), insecure: *insecure };
        Self::to_target(name, id, &target, [secret.as_ref(), authorization.as_ref()])
    }

    fn to_target(name: &Key, id: Option<&Id>, target: &Target<'_>, named: [Option<&Key>; 2]) -> Self {
        if !is_own(name) {
            return Self { webhook: None, target: None, uses: BTreeSet::new() };
        }
        let uses = [SecretUse::Secret, SecretUse::Authorization].into_iter().zip(named);
        let uses = uses.filter(|(_, named)| named.is_some_and(|named| is_same_secret(named, name)));
        let uses = uses.map(|(of, _)| of).collect();
        Self { webhook: id.map(ToString::to_string), target: Some(target.digest()), uses }
    }

    /// Returns the id of the webhook, if one is known.
    pub fn webhook(&self) -> Option<&str> {
        self.webhook.as_deref()
    }

    /// Returns whether a webhook that would have the binding `wanted` is what the secret is bound to: the same target and
    /// no further use. A binding without a webhook fits each webhook.
    pub(super) fn holds(&self, wanted: &Self) -> bool {
        self.is_of_webhook(wanted) && self.target == wanted.target && wanted.uses.is_subset(&self.uses)
    }

    fn is_of_webhook(&self, wanted: &Self) -> bool {
        self.target.is_some() == wanted.target.is_some() && (self.webhook.is_none() || self.webhook == wanted.webhook)
    }
}

/// Where the requests of a webhook go.
struct Target<'w> {
    url: Option<&'w Text>,
    job: Option<&'w WebhookJob>,
    insecure: bool,
}

impl Target<'_> {
    /// Returns the digest of the target: the address, the job, and whether the certificate is checked.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |kind: u8, text: &str| {
            hash.update([kind]);
            hash.update(text.len().to_string());
            hash.update(b":");
            hash.update(text.as_bytes());
        };
        if let Some(url) = self.url {
            part(b'u', url.as_str());
        }
        if let Some(job) = self.job {
            part(b'j', job.id.as_str());
            part(b'w', job.workspace_url.as_str());
        }
        part(b'c', if self.insecure { "insecure" } else { "" });
        hash.finalize().iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

/// Returns the variable that the binding of a secret is stored under; `None` for a secret that no person can name who
/// manages a model alone, nor a name that has the variable of such a secret.
pub(super) fn place(name: &Key) -> Option<String> {
    let variable = base_variable(name.as_str());
    // The successor of `webhook` has the variable of `webhook-next`.
    let (prefix, all) = (base_variable(OWN_SECRET), base_variable(OWN_SECRET.trim_end_matches('-')));
    (is_own(name) || variable.starts_with(&prefix) || variable == all).then_some(variable)
}

/// The answer to a webhook that uses a secret.
pub(super) enum Claim {
    /// The secret is bound to the webhook.
    Held,
    /// The secret is to be bound in this way from now on.
    New(Binding),
}

impl SecretsFile {
    /// Returns the webhook that a variable belongs to, in the old form.
    fn old(&self, variable: &str) -> Option<&String> {
        self.webhook.iter().find(|(name, _)| base_variable(name) == variable).map(|(_, webhook)| webhook)
    }

    /// Returns the id of the webhook that a variable belongs to.
    pub(super) fn webhook_of(&self, variable: &str) -> Option<&str> {
        match self.binding.get(variable) {
            Some(binding) => binding.webhook(),
            None => self.old(variable).map(String::as_str),
        }
    }

    /// Returns whether a variable is bound.
    pub(super) fn knows(&self, variable: &str) -> bool {
        self.binding.contains_key(variable) || self.old(variable).is_some()
    }

    /// Binds a variable.
    pub(super) fn bind(&mut self, variable: String, binding: Binding) {
        self.free(&variable);
        self.binding.insert(variable, binding);
    }

    /// Frees a variable.
    pub(super) fn free(&mut self, variable: &str) {
        self.binding.remove(variable);
        self.webhook.retain(|name, _| base_variable(name) != variable);
    }

    /// Answers a webhook that uses a secret.
    ///
    /// # Errors
    /// [`SecretError`] if the secret belongs to another webhook, target or use, or to none of several webhooks.
    pub(super) fn claim(&self, name: &Key, user: &SecretUser) -> Result<Claim, SecretError> {
        let Some(variable) = place(name) else { return Ok(Claim::Held) };
        let wanted = Binding::of(name, &user.webhook);
        let shown = || base_of(name).to_owned();
        let id = user.webhook.id.as_str();
        let taken = |webhook: Option<&str>| {
            let webhook = webhook.map_or_else(|| "another webhook".to_owned(), |id| format!("the webhook {id}"));
            SecretError::Claimed { name: shown(), webhook }
        };
        match (self.binding.get(&variable), self.old(&variable)) {
            (Some(bound), _) if bound.holds(&wanted) && bound.webhook == wanted.webhook => Ok(Claim::Held),
            (Some(bound), _) if bound.holds(&wanted) => {
                Ok(Claim::New(Binding { webhook: wanted.webhook, ..bound.clone() }))
            }
            (Some(bound), _) if bound.target.is_none() || !is_own(name) => Err(taken(bound.webhook())),
            (Some(bound), _) if bound.is_of_webhook(&wanted) => {
                Err(SecretError::Retargeted { name: shown(), webhook: id.to_owned() })
            }
            (Some(bound), _) => Err(taken(bound.webhook())),
            (None, Some(old)) if is_own(name) && old == id => Ok(Claim::New(wanted)),
            (None, Some(old)) => Err(taken(Some(old))),
            (None, None) if user.contested.contains(&variable) => Err(SecretError::Contested { name: shown() }),
            (None, None) => Ok(Claim::New(wanted)),
        }
    }
}

/// A webhook that uses secrets, among the webhooks of its registry.
#[derive(Debug, Clone)]
pub struct SecretUser {
    webhook: Webhook,
    /// The variables of secrets that several webhooks name, though each belongs to one.
    contested: Arc<BTreeSet<String>>,
}

impl SecretUser {
    /// Returns all webhooks of a registry as users of secrets.
    pub fn all(webhooks: Vec<Webhook>) -> Vec<Self> {
        let contested = Arc::new(contested(&webhooks));
        webhooks.into_iter().map(|webhook| Self { webhook, contested: Arc::clone(&contested) }).collect()
    }

    /// Returns a webhook as a user of secrets, beside the webhooks of its registry.
    pub fn among(webhook: &Webhook, all: &[Webhook]) -> Self {
        let others = all.iter().filter(|other| other.id != webhook.id).cloned();
        let all: Vec<Webhook> = others.chain([webhook.clone()]).collect();
        Self { webhook: webhook.clone(), contested: Arc::new(contested(&all)) }
    }

    /// Returns the webhook.
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }
}

/// Returns the variables that several webhooks name, one of them as its own.
fn contested(webhooks: &[Webhook]) -> BTreeSet<String> {
    let mut users: BTreeMap<String, (BTreeSet<&Id>, bool)> = BTreeMap::new();
    for webhook in webhooks {
        for name in webhook.secrets() {
            let Some(variable) = place(name) else { continue };
            let (ids, has_own) = users.entry(variable).or_default();
            ids.insert(&webhook.id);
            *has_own |= is_own(name);
        }
    }
    users.into_iter().filter(|(_, (ids, has_own))| *has_own && ids.len() > 1).map(|(variable, _)| variable).collect()
}
