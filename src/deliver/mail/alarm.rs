//! The mail that tells the creator of a webhook that the webhook was switched off. The daily limit does not apply to
//! this mail. A person who has turned all mail off does not get it.

use lettre::Address;

use super::message;
use super::settings::{MailSettings, address};
use crate::deliver::channel::{DeliverError, DeliveryContext};
use crate::entity::{Person, Settings, Webhook};
use crate::format::path;
use crate::name::{Id, UserName};
use crate::text::one_line;

/// The creator of a webhook, who gets the mail about it.
pub(super) struct Owner {
    /// The person's id.
    pub(super) user: UserName,
    person: Person,
    webhook: Webhook,
}

impl Owner {
    /// Returns the creator of a webhook. `None` if the webhook or the person no longer exists, or mail to the person is
    /// off.
    pub(super) fn of(webhook: &Id, moment: &DeliveryContext<'_>) -> Result<Option<Self>, DeliverError> {
        let tip = moment.tip;
        let file = tip.file::<Webhook>(&path::webhook(webhook))?;
        let Some(webhook) = file.and_then(|f| f.value) else { return Ok(None) };
        let user = webhook.created_by.clone();
        let Some(person) = tip.person(&user)?.and_then(|f| f.value) else { return Ok(None) };
        let off = tip.settings()?.is_none_or(|s| s.notifications.off) || person.notifications.off;
        Ok((!off && !person.emails.is_empty()).then_some(Self { user, person, webhook }))
    }

    /// Returns the person's first e-mail address as text, and parsed if it is a valid address.
    pub(super) fn address(&self) -> (String, Option<Address>) {
        let given = self.person.emails.first().map(|e| e.as_str().to_owned()).unwrap_or_default();
        let parsed = address(&given);
        (given, parsed)
    }

    /// Builds the mail. It names the webhook by name or id, because the URL may hold a secret.
    pub(super) fn mail(
        &self,
        to: &Address,
        why: &str,
        id: &str,
        mail: &MailSettings,
        (registry, now): (&Settings, crate::time::Timestamp),
    ) -> Result<Vec<u8>, String> {
        let hook = &self.webhook.id;
        let name = one_line(self.webhook.name.first_line());
        let called =
            if name.is_empty() { format!("The webhook {hook}") } else { format!("The webhook {name} ({hook})") };
        let text = format!(
            "{called} of the registry {} was switched off: {}\n\n\
             Nothing is sent to it now, and nothing is lost: new events wait in its queue.\n\
             To see the attempts:\n\n    greenroom webhook deliveries {hook}\n\n\
             It is switched on again when its settings change, or with:\n\n    \
             greenroom webhook replay {hook} --dead\n",
            one_line(registry.name.first_line()),
            one_line(why),
        );
        let to = (self.person.name.first_line(), to);
        message::plain(to, "A webhook was switched off", text, id, mail, (registry, now))
    }
}
