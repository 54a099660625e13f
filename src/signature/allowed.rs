//! The people's SSH keys as git reads them: the file that `gpg.ssh.allowedSignersFile` names (ssh-keygen(1)).

use super::PublicKey;
use crate::entity::Person;
use crate::entity::person::SigningKey;
use crate::name::UserName;
use crate::time::Timestamp;

/// The lines of git's allowed_signers file. A key is valid in it when [`super::check`] finds it good, so git's
/// `verify-commit` agrees, which asks for the committer's time. OpenPGP keys have no place in it: each becomes a comment.
pub fn allowed_signers<'p>(people: impl IntoIterator<Item = (&'p UserName, &'p Person)>) -> Vec<String> {
    let lines = people.into_iter().flat_map(|(user, person)| {
        person.keys.iter().filter_map(move |key| {
            let public = PublicKey::parse(key.key.as_str()).ok()?;
            Some(match public.ssh_line() {
                Some(line) => format!("{} namespaces=\"git\"{} {line}", principals(user, person), validity(key)),
                None => format!("# {user} has the OpenPGP key {}, which gpg has to know", public.fingerprint()),
            })
        })
    });
    lines.collect()
}

/// What names the person to ssh-keygen: the e-mail addresses; the id where none can be written.
fn principals(user: &UserName, person: &Person) -> String {
    // The rest are wildcards, separators and quotes there.
    let plain = |e: &&str| e.chars().all(|c| c.is_ascii_alphanumeric() || "@.+-_%=/~&'^{}|$".contains(c));
    let emails: Vec<&str> = person.emails.iter().map(|e| e.as_str()).filter(plain).collect();
    if emails.is_empty() { user.to_string() } else { emails.join(",") }
}

/// From when to when the key counts. Both ends count in ssh-keygen, so the last second is the one before it goes.
fn validity(key: &SigningKey) -> String {
    let moment = |t: Timestamp| {
        let digits: String = t.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        format!("\"{digits}Z\"")
    };
    let after = key.added_at.map(|t| format!(",valid-after={}", moment(t))).unwrap_or_default();
    let before = key.revoked_at.map(|t| format!(",valid-before={}", moment(t.plus_millis(-1000)))).unwrap_or_default();
    after + &before
}
