//! `greenroom notify test`: checks whether the mail server accepts a mail.

use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::deliver::mail::{self, MailError, Mailer};
use crate::text::one_line;
use crate::view;

pub(in crate::cli) fn run(to: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let Some(mailer) = Mailer::open(&registry, clock::now())? else {
        let hint = "git config greenroom.smtp smtp://HOST:PORT; git config greenroom.mailFrom ADDRESS";
        return Err(CliError::not_found("no mail server is set, so no mail is sent").hint(hint));
    };
    let given = match to {
        Some(to) => to.to_owned(),
        None => {
            let user = session.change_author(&registry, None)?.user;
            let person = super::notifications::known(&registry, &user)?;
            let first = person.emails.first().map(|e| e.as_str().to_owned());
            first.ok_or_else(|| CliError::usage(format!("{user} has no e-mail address; give an address")))?
        }
    };
    let wrong = || CliError::usage(format!("{} is not an e-mail address", crate::text::quoted(&given)));
    let address = mail::address(&given).ok_or_else(wrong)?;
    let failed = |why: String| {
        let failure = CliError::new(Exit::Failed, "the mail server did not accept the mail");
        CliError { causes: vec![why], ..failure }
    };
    mailer.test(&registry, &address, clock::now()).map_err(failed)?;
    let server = mailer.server().to_string();
    if session.out.is_json() {
        session.out.json(&view::MailTest { server, to: given })?;
    } else {
        session.out.line(format!("{} accepted a mail to {}.", one_line(&server), one_line(&given)));
    }
    Ok(Exit::Ok)
}

impl From<MailError> for CliError {
    fn from(e: MailError) -> Self {
        Self::of(Exit::Failed, &e)
    }
}
