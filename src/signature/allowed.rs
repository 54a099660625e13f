//! The SSH keys of people in git's format: the file of the setting `gpg.ssh.allowedSignersFile` (see ssh-keygen(1)).

use super::PublicKey;
use crate::entity::Person;
use crate::entity::person::SigningKey;
use crate::name::UserName;
use crate::time::Timestamp;

/// Returns the lines of git's `allowed_signers` file.
///
/// A key is valid in the file when [`super::check`] accepts it, so `git verify-commit`, which uses the committer's
/// time, agrees with the gate. The file cannot hold OpenPGP keys: each becomes a comment.
pub fn allowed_signers<'p>(people: impl IntoIterator<Item = (&'p UserName, &'p Person)>) -> Vec<String> {
    let lines = people.into_iter().flat_map(|(user, person)| {
        person.keys.iter().filter_map(move |key| {
            let public = PublicKey::parse(key.key.as_str()).ok()?;
            Some(match public.ssh_line() {
                Some(line) => format!("{} namespaces=\"git\"{} {line}", principals(user, person), validity(key)),
                None => format!("# {user} has the OpenPGP key {}; gpg must know it", public.fingerprint()),
            })
        })
    });
    lines.collect()
}

/// Returns the names of a person for ssh-keygen: the e-mail addresses, or the user name if no address can be written.
fn principals(user: &UserName, person: &Person) -> String {
    // Other characters are wildcards, separators or quotes in this file.
    let plain = |e: &&str| e.chars().all(|c| c.is_ascii_alphanumeric() || "@.+-_%=/~&'^{}|$".contains(c));
    let emails: Vec<&str> = person.emails.iter().map(|e| e.as_str()).filter(plain).collect();
    if emails.is_empty() { user.to_string() } else { emails.join(",") }
}

/// Returns the validity of a key. Both ends are inclusive in ssh-keygen, so the last second is the one before the
/// revocation.
fn validity(key: &SigningKey) -> String {
    let moment = |t: Timestamp| {
        let digits: String = t.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        format!("\"{digits}Z\"")
    };
    let after = key.added_at.map(|t| format!(",valid-after={}", moment(t))).unwrap_or_default();
    let before = key.revoked_at.map(|t| format!(",valid-before={}", moment(t.plus_millis(-1000)))).unwrap_or_default();
    after + &before
}
