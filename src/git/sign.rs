//! Signing commits as git is configured: `commit.gpgSign`, `gpg.format`, `user.signingKey`.
//!
//! The repository's settings may name the key, but not the program. A repository from elsewhere must not choose a
//! program to run, so programs come from the user's and the system's settings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gix::bstr::{BString, ByteSlice as _};
use gix::commit::sign::{Format, Options};
use gix::objs::WriteTo as _;

use super::{GitError, Ident, Repo, Signed, signed};
use crate::text::one_line;

/// Signs with one key.
pub(super) struct Signer {
    options: Options,
}

impl Signer {
    /// Returns the commit with its signature. Runs `ssh-keygen` or `gpg`, without a shell.
    pub(super) fn sign(&self, commit: gix::objs::Commit) -> Result<gix::objs::Commit, GitError> {
        commit.sign(self.options.clone()).map_err(|e| {
            let said = e.metadata_merged().get("stderr").map(|v| one_line(v.to_string().trim()).into_owned());
            let program = self.options.program.to_string_lossy().into_owned();
            let why = said.map_or_else(|| format!("`{program}` failed"), |s| format!("`{program}` printed: {s}"));
            GitError::Signing { why, source: Some(Box::new(e)) }
        })
    }
}

impl Repo {
    /// Whether the settings demand that commits are signed.
    pub fn signs(&self) -> bool {
        self.inner.config_snapshot().boolean("commit.gpgSign") == Some(true)
    }

    /// Signs a commit that is never stored, to find out whose signature commits get here. Returns `None` if the
    /// settings do not demand signatures.
    ///
    /// # Errors
    /// [`GitError::Signing`] if the commit cannot be signed.
    pub fn specimen(&self, committer: &Ident) -> Result<Option<Signed>, GitError> {
        let Some(signer) = self.signer(Some(committer))? else { return Ok(None) };
        let commit = signer.sign(gix::objs::Commit {
            tree: gix::ObjectId::empty_tree(self.inner.object_hash()),
            parents: Vec::new().into(),
            author: committer.to_git(),
            committer: committer.to_git(),
            encoding: None,
            message: "A specimen of a signature\n".into(),
            extra_headers: Vec::new(),
        })?;
        let mut bytes = Vec::new();
        commit.write_to(&mut bytes).map_err(|e| GitError::io("sign", self.git_dir(), e))?;
        Ok(signed::of_commit(&bytes, self.signature_header()))
    }

    /// Returns the signer for a committer; `None` if the settings do not demand signatures.
    pub(super) fn signer(&self, committer: Option<&Ident>) -> Result<Option<Signer>, GitError> {
        let settings = self.inner.config_snapshot();
        if settings.boolean("commit.gpgSign") != Some(true) {
            return Ok(None);
        }
        let format = match settings.string("gpg.format").map(|f| f.to_string()).as_deref() {
            None | Some("openpgp") => Format::OpenPgp,
            Some("x509") => Format::X509,
            Some("ssh") => Format::Ssh,
            Some(other) => return Err(wrong(format!("gpg.format is `{}`", one_line(other)))),
        };
        let program = match format {
            Format::OpenPgp => {
                self.users("gpg.openpgp.program").or_else(|| self.users("gpg.program")).unwrap_or("gpg".into())
            }
            Format::X509 => self.users("gpg.x509.program").unwrap_or("gpgsm".into()),
            Format::Ssh => self.users("gpg.ssh.program").unwrap_or("ssh-keygen".into()),
        };
        let key = settings.string("user.signingKey").filter(|k| !k.is_empty());
        let signing_key = match (key, format) {
            (Some(key), Format::Ssh) => home_path(key.as_bstr()),
            (Some(key), Format::OpenPgp | Format::X509) => native(key.as_bstr()),
            (None, Format::Ssh) => self.default_ssh_key()?,
            (None, Format::OpenPgp | Format::X509) => {
                let who = committer.map(|c| format!("{} <{}>", c.name, c.email));
                who.unwrap_or_default().into()
            }
        };
        let options = Options {
            format,
            program: home_path(program.as_bstr()),
            program_arguments: Vec::new(),
            signing_key,
            environment: Vec::new(),
        };
        Ok(Some(Signer { options }))
    }

    /// Reads a setting of the user or the system, never of the repository.
    fn users(&self, key: &str) -> Option<BString> {
        let settings = self.inner.config_snapshot();
        let not_repository = |m: &gix::config::file::Metadata| m.source.kind() != gix::config::source::Kind::Repository;
        settings.plumbing().string_filter(key, not_repository).filter(|v| !v.is_empty())
    }

    /// Returns the first key that `gpg.ssh.defaultKeyCommand` (such as `ssh-add -L`) prints.
    fn default_ssh_key(&self) -> Result<OsString, GitError> {
        let none = || wrong("user.signingKey is not set".to_owned());
        let command = self.users("gpg.ssh.defaultKeyCommand").ok_or_else(none)?.to_string();
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(none)?;
        let output = Command::new(program).args(words).stdin(Stdio::null()).output().map_err(|e| {
            GitError::Signing { why: format!("`{}` did not start", one_line(program)), source: Some(Box::new(e)) }
        })?;
        let key = output.stdout.lines().next().unwrap_or_default().trim();
        if output.status.success() && (key.starts_with(b"ssh-") || key.starts_with(b"key::")) {
            Ok(native(key.as_bstr()))
        } else {
            Err(wrong(format!("`{}` printed no key", one_line(&command))))
        }
    }
}

fn wrong(why: String) -> GitError {
    GitError::Signing { why, source: None }
}

fn native(text: &gix::bstr::BStr) -> OsString {
    text.to_os_str_lossy().into_owned()
}

/// Expands a leading `~/` to the home folder.
fn home_path(text: &gix::bstr::BStr) -> OsString {
    match (text.strip_prefix(b"~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(PathBuf::from(native(rest.as_bstr()))).into_os_string(),
        (Some(_) | None, _) => native(text),
    }
}
