//! The rule of URIs in files: the source of a version, the link to its run, and the targets of webhooks.
//!
//! One rule for all ways: a command, a hand edit, a push and the server's API call the functions of this module.
//! Greenroom never opens a URI because a file names it. But programs and people follow it, and history keeps it for
//! ever.

use std::borrow::Cow;

use super::{Faults, StepContext, source_disguise};
use crate::entity::Settings;
use crate::entity::version::VersionSource;
use crate::event::Event;
use crate::reference::origin::{self, SourceOrigin};
use crate::text::{is_plain, uri_scheme};
use crate::tree::TreeError;

/// Schemes that lead to no files, but carry content, run code or name an account.
const FOREIGN: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "data",
    "ext",
    "jar",
    "javascript",
    "mailto",
    "ms-appx",
    "tel",
    "vbscript",
    "view-source",
];

/// Schemes under which the part before an `@` is a password or token even without a colon.
pub(super) const WEB: &[&str] = &["http", "https"];

/// Keys of a query that sign a URI or hold a password, in lower case: those of S3, Google Cloud Storage, Azure (SAS)
/// and Alibaba OSS, and common names.
const SIGNED: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "auth_token",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "googleaccessid",
    "key-pair-id",
    "ossaccesskeyid",
    "passwd",
    "password",
    "private_token",
    "pwd",
    "sas_token",
    "secret",
    "secret_key",
    "security-token",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
    "x-oss-credential",
    "x-oss-security-token",
    "x-oss-signature",
];

/// Sources of prompts, which have no files.
const OF_PROMPTS: [&str; 2] = ["dummy-source", "prompt-template"];

/// How often a URI is percent-decoded, so that nested encodings hide nothing.
pub(super) const DECODINGS: usize = 8;

/// What is wrong with a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// `..` in a path, in any spelling, or a NUL.
    Climbs,
    /// A control or invisible character, or bytes that are not UTF-8, also as `%0a`.
    Unreadable,
    /// A fragment, a backslash in a `file:` URI, or a store without a path.
    Vague,
    /// A scheme that leads to no files.
    Foreign,
    /// A user and password before the host.
    Password,
    /// A query that signs the URI or holds a token.
    Signed,
    /// Text that looks like a password, signature or token: disguised, or in the form of a known provider's tokens.
    Disguised,
}

impl BadAddress {
    /// Returns what is wrong, as the end of a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Climbs => "leads out of its folder: `..` (also as %2e%2e) and NUL are refused",
            Self::Unreadable => {
                "contains a control or invisible character, or bytes that are not UTF-8 (also percent-encoded, as %0a)"
            }
            Self::Vague => "is not the absolute address of a folder: give a folder in the store, without `#` or `\\`",
            Self::Foreign => "has a scheme that does not lead to files",
            Self::Password => "contains a user and password",
            Self::Signed => "contains a signature, password or token in its query",
            Self::Disguised => "contains text that looks like a password, signature or token",
        }
    }

    /// Returns what to write instead.
    const fn help(self) -> &'static str {
        match self {
            Self::Climbs | Self::Unreadable | Self::Vague => {
                "write the absolute address, such as s3://bucket/models/churn"
            }
            Self::Foreign => "write the address of the files, such as s3://bucket/models/churn or runs:/RUN/model",
            Self::Password => {
                "write the address without it: people who read the files use their own credentials (environment, \
                 instance role, git-credential); revoke the password if it was pushed or shown"
            }
            Self::Signed | Self::Disguised => {
                "write the plain address (s3://bucket/path, https://account.blob.core.windows.net/container/path) \
                 without the query: a signed address works like a password, and expires; revoke it if it was pushed or \
                 shown"
            }
        }
    }

    /// Returns what to write instead in the link to a run.
    const fn help_for_link(self) -> &'static str {
        match self {
            Self::Climbs | Self::Unreadable | Self::Vague | Self::Foreign => {
                "write the address of the run's page, such as https://mlflow.example.org/#/experiments/1/runs/RUN"
            }
            Self::Password | Self::Signed | Self::Disguised => self.help(),
        }
    }

    /// Returns whether the fault counts in past steps too; the others count in new steps only.
    pub(super) const fn is_grave(self) -> bool {
        match self {
            Self::Climbs | Self::Foreign | Self::Password | Self::Signed => true,
            // A past URI that only looks suspicious may hold no secret. A new one can be written differently.
            Self::Unreadable | Self::Vague | Self::Disguised => false,
        }
    }
}

/// Returns the scheme of a URI in lower case. A single letter before a colon is a drive, not a scheme.
fn scheme(address: &str) -> Option<String> {
    uri_scheme(address).filter(|scheme| scheme.len() > 1).map(str::to_ascii_lowercase)
}

/// Returns the kind of credentials that a URI contains, if any.
pub fn credentials(address: &str) -> Option<BadAddress> {
    plain_credentials(address).or_else(|| source_disguise::credentials(address).then_some(BadAddress::Disguised))
}

fn plain_credentials(address: &str) -> Option<BadAddress> {
    if let Some((scheme, rest)) = address.split_once("://") {
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let of_web = WEB.iter().any(|web| scheme.to_ascii_lowercase().ends_with(web));
        if let Some((user, _)) = authority.rsplit_once('@')
            && (user.contains(':') || decoded(user).contains(':') || of_web)
        {
            return Some(BadAddress::Password);
        }
    }
    let signs = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        !value.is_empty() && SIGNED.contains(&decoded(key).trim().to_ascii_lowercase().as_str())
    };
    let (_, query) = address.split_once(['?', '#'])?;
    query.split(['&', ';', '?', '#']).any(signs).then_some(BadAddress::Signed)
}

/// Returns what is wrong with the URI of files, independent of the settings; `None` if it is acceptable.
pub fn bad_address(address: &str) -> Option<BadAddress> {
    let mut text = Cow::Borrowed(address);
    for _ in 0..DECODINGS {
        let climbs = text.split(['/', '\\', '?', '#', ';']).any(|part| part.trim() == "..");
        if climbs || text.contains('\0') {
            return Some(BadAddress::Climbs);
        }
        if !text.chars().all(is_plain) || String::from_utf8(decoded_bytes(&text)).is_err() {
            return Some(BadAddress::Unreadable);
        }
        let next = decoded(&text).into_owned();
        if next == *text {
            break;
        }
        text = Cow::Owned(next);
    }
    let scheme = scheme(address);
    if scheme.as_deref().is_some_and(|scheme| FOREIGN.contains(&scheme)) {
        return Some(BadAddress::Foreign);
    }
    credentials(address).or_else(|| {
        let of_file = scheme.as_deref() == Some("file") && address.contains('\\');
        let of_host = |scheme: &str| !matches!(scheme, "file" | "runs" | "models");
        let bare = address.split_once("://").is_some_and(|(scheme, rest)| {
            of_host(&scheme.to_ascii_lowercase()) && !rest.trim_end_matches('/').contains('/')
        });
        (address.contains('#') || of_file || bare).then_some(BadAddress::Vague)
    })
}

/// Returns what is wrong with the link to a run, which must be a web page as in MLflow; `None` if it is acceptable.
pub fn bad_link(address: &str) -> Option<BadAddress> {
    let scheme = scheme(address);
    if scheme.as_ref().is_some_and(|scheme| FOREIGN.contains(&scheme.as_str())) {
        return Some(BadAddress::Foreign);
    }
    credentials(address).or_else(|| {
        let is_page = scheme.as_ref().is_some_and(|scheme| WEB.contains(&scheme.as_str()))
            && address
                .split_once("://")
                .is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
        (!address.is_empty() && !is_page).then_some(BadAddress::Vague)
    })
}

/// Decodes each `%XX` once; returns the text unchanged if the result is not UTF-8.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    String::from_utf8(decoded_bytes(text)).map_or(Cow::Borrowed(text), Cow::Owned)
}

pub(super) fn decoded_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Returns whether a URI lies under a prefix. The prefix must end at the end of a path segment.
fn lies_under(address: &str, prefix: &str) -> bool {
    let at_part = |rest: &str| rest.is_empty() || prefix.ends_with(['/', ':']) || rest.starts_with('/');
    address.strip_prefix(prefix).is_some_and(at_part)
}

/// The longest id of a run or logged model, in characters: MLflow's limit.
const MAX_ID: usize = 256;

/// Returns whether a text can be the id of an MLflow run or logged model: the rule of MLflow's own servers. It starts with
/// an ASCII letter or digit, followed by letters, digits, `_` and `-`.
pub fn is_run_or_model_id(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_plain)
        && text.chars().count() <= MAX_ID
}

/// Refuses a new id of a run or logged model that could not be one. Programs put these ids into paths and addresses.
fn ids(
    step: &StepContext<'_>,
    before: Option<&VersionSource>,
    source: &VersionSource,
    path: &str,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let ids = [
        ("run_id", &source.run_id, before.map(|b| &b.run_id)),
        ("model_id", &source.model_id, before.map(|b| &b.model_id)),
    ];
    for (key, id, had) in ids {
        // Steps before this rule existed stay valid.
        if step.is_past || id.is_empty() || had == Some(id) || is_run_or_model_id(id.as_str()) {
            continue;
        }
        let line = super::line_of(step.after, path, key)?;
        let message = format!("the {key} of the source is no id of MLflow or Databricks");
        let help = "write 1 to 256 letters, digits, `_` and `-`, beginning with a letter or digit; or leave it out";
        faults.at((path.to_owned(), line), message, help);
    }
    Ok(())
}

pub(super) fn sources(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for event in &step.diff.events {
        let (before, version) = match event {
            Event::VersionCreated { created, .. } => (None, created),
            Event::VersionAltered { before, after, .. } => (Some(&before.source), after.as_ref()),
            _ => continue,
        };
        if before == Some(&version.source) {
            continue;
        }
        let path = super::ids::file(step.after, event)?;
        ids(step, before, &version.source, &path, faults)?;
        one(step, &version.source, &path, faults)?;
    }
    Ok(())
}

fn one(step: &StepContext<'_>, source: &VersionSource, path: &str, faults: &mut Faults) -> Result<(), TreeError> {
    let VersionSource { uri, run_link, location, run_id: _, model_id: _ } = source;
    let found = [
        ("uri", bad_address(uri.as_str())),
        ("location", bad_address(location.as_str())),
        ("run_link", bad_link(run_link.as_str())),
    ];
    for (key, why) in found {
        if let Some(why) = why.filter(|why| why.is_grave() || !step.is_past) {
            let line = super::line_of(step.after, path, key)?;
            let help = if key == "run_link" { why.help_for_link() } else { why.help() };
            let said = match (key, why) {
                ("run_link", BadAddress::Vague) => "is not the http or https address of a page",
                _ => why.as_str(),
            };
            faults.at((path.to_owned(), line), format!("the {key} of the source {said}"), help);
        }
    }
    let origin = match origin::find(step.after, uri.as_str())? {
        None => origin::find(step.before, uri.as_str())?,
        found => found,
    };
    reference(step, source, origin.as_ref(), path, faults)?;
    allowed(step, source, origin.as_ref(), path, faults)
}

/// Checks a source that names a version of this registry: the version exists and is named by number, and `location` is
/// the location of that version's files. Beside any other source, a location would send clients elsewhere than
/// reviewers see.
fn reference(
    step: &StepContext<'_>,
    source: &VersionSource,
    origin: Option<&SourceOrigin>,
    path: &str,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let VersionSource { uri, location, .. } = source;
    let is_reference = origin::registered(uri.as_str()).is_some();
    let found = match origin {
        _ if !is_reference && location.is_empty() => None,
        _ if !is_reference => Some((
            "location",
            "the source may have a location only if its uri names a version of this registry".to_owned(),
            "remove the location; the uri alone names the place of the files".to_owned(),
        )),
        // A version named in the past may be deleted or its model renamed since; the location is recorded for that
        // case.
        None if step.is_past => None,
        None => Some((
            "uri",
            "the uri of the source does not name a version of this registry".to_owned(),
            "name a version that exists, such as models:/churn/3".to_owned(),
        )),
        // A state alone does not tell what the name meant when the version was registered.
        Some(_) if step.founds()? => None,
        Some(origin) if !location.is_empty() && location != origin.place() => Some((
            "location",
            format!("the location of the source is not the place of the files of {}", origin.uri()),
            match origin.place().as_str() {
                "" => "remove the location".to_owned(),
                place => format!("write location = {}, or remove it", crate::text::double_quoted(place)),
            },
        )),
        Some(origin) if !step.is_past && origin.uri() != uri.as_str() => Some((
            "uri",
            "the uri of the source names a version by a reference that can move: a stage, an alias or `latest`"
                .to_owned(),
            format!("write uri = \"{}\", as `greenroom register` and the server do", origin.uri()),
        )),
        Some(_) => None,
    };
    if let Some((key, message, help)) = found {
        let line = super::line_of(step.after, path, key)?;
        faults.at((path.to_owned(), line), message, help);
    }
    Ok(())
}

/// Checks that every URI that clients may load lies under a prefix of the settings: the uri and the location. Without a
/// location, the location of the version that the uri names is checked.
fn allowed(
    step: &StepContext<'_>,
    source: &VersionSource,
    origin: Option<&SourceOrigin>,
    path: &str,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let mut laws = step.laws()?;
    laws.retain(|law| !law.sources.allow.is_empty());
    let allows = |law: &Settings, address: &str| law.sources.allow.iter().any(|p| lies_under(address, p.as_str()));
    let allowed = |address: &str| laws.iter().all(|law| allows(law, address));
    // Older versions of this rule did not treat logged models of a tracking server as URIs of their own.
    let own = |address: &str| {
        let is_logged = !step.is_past && origin::registered(address).is_none();
        address.is_empty() || address.starts_with("models:/") && !is_logged || OF_PROMPTS.contains(&address)
    };
    let place = match origin {
        Some(origin) if source.location.is_empty() && !step.is_past => origin.place().as_str(),
        Some(_) | None => "",
    };
    for (key, address) in [("uri", source.uri.as_str()), ("location", source.location.as_str()), ("uri", place)] {
        if !own(address) && !allowed(address) {
            let line = super::line_of(step.after, path, key)?;
            let message = format!("the {key} of the source is not under a prefix that the registry allows");
            let help = "`greenroom settings show` lists the prefixes; an administrator can add one: `greenroom \
                        settings set --add-source PREFIX`";
            faults.at((path.to_owned(), line), message, help);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_runs_and_logged_models_are_those_that_mlflow_makes() {
        for good in [
            "4d9f1f1e7d6a4d0b8e4f5a6b7c8d9e0f",
            "m-0123456789abcdef0123456789abcdef",
            "0190a7c2-7c3b-7d52-9a58-1f2e3d4c5b6a",
            "run_1",
            &"a".repeat(256),
        ] {
            assert!(is_run_or_model_id(good), "{good}");
        }
        for bad in ["", "-a", "_a", "..", "a/b", "a\\b", "a.b", "a b", "a%2e", "a\n", "a\u{200b}", &"a".repeat(257)] {
            assert!(!is_run_or_model_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn plain_addresses_pass_and_those_that_climb_do_not() {
        for good in [
            "",
            "s3://bucket/model",
            "models:/m-0123456789abcdef0123456789abcdef",
            "runs:/abc/model",
            "file:///models/wine",
            "/models/wine..v2",
            "dbfs:/models/wine",
            "path/to/model",
            "dummy-source",
            "C:/models/x",
            "wasbs://container@account.blob.core.windows.net/m",
            "dbfs://profile@databricks/x",
            "sftp://git@host/m",
            "unknown://h/x",
            "https://host/m?version=3&sv=2024",
        ] {
            assert_eq!(bad_address(good), None, "{good}");
        }
        for bad in [
            "s3://bucket/a/../b",
            "file:///a/%2e%2e/b",
            "file:///a/%252e%252e/b",
            "a/..",
            "..",
            "s3://b/a?x=/../..",
            "s3://b/a%00b",
        ] {
            assert_eq!(bad_address(bad), Some(BadAddress::Climbs), "{bad}");
        }
        for unreadable in ["s3://b/a%0ab", "s3://b/a%e2%80%aeb", "s3://b/a%ffb", "s3://b/a\u{202e}b"] {
            assert_eq!(bad_address(unreadable), Some(BadAddress::Unreadable), "{unreadable}");
        }
        for vague in ["s3://bucket", "s3://bucket/", "s3://b/a#x", "file://\\host\\m"] {
            assert_eq!(bad_address(vague), Some(BadAddress::Vague), "{vague}");
        }
        for foreign in ["javascript:alert(1)", "DATA:text/html,x", "ext::sh -c x", "mailto:a@b"] {
            assert_eq!(bad_address(foreign), Some(BadAddress::Foreign), "{foreign}");
        }
    }

    #[test]
    fn credentials_are_found_however_they_are_spelt() {
        for bad in [
            "ftp://user:hunter2@h/m/1",
            "https://u:hunter2@h/run",
            "https://u%3Ahunter2@h/run",
            "https://hunter2@h/run",
            "git+https://hunter2@h/run",
            "s3://key:secret@bucket/m",
        ] {
            assert_eq!(credentials(bad), Some(BadAddress::Password), "{bad}");
        }
        for bad in [
            "https://a.blob.core.windows.net/c/m?sv=1&sig=hunter2",
            "https://b.s3.amazonaws.com/m?X-Amz-Algorithm=x&X-Amz-Signature=1",
            "https://b.s3.amazonaws.com/m?x-amz-%73ignature=1",
            "https://storage.googleapis.com/b/m?X-Goog-Signature=1",
            "https://b.s3.amazonaws.com/m?AWSAccessKeyId=a&Signature=b&Expires=1",
            "https://h/m?Token=x",
            "https://h/m#access_token=x",
        ] {
            assert_eq!(credentials(bad), Some(BadAddress::Signed), "{bad}");
        }
        for bad in [
            "//u:p@h/x",
            "//u@h/x",
            "u:p@h/x",
            "https://h/a/https://u:p@h/",
            "https://h/a?from=https%3A%2F%2Fu%3Ap%40h%2F",
            "https://x/y;password=abc",
            "https://x/y;password=abc/z",
            "https://h/x?q-signature=abc",
            "https://h/x?q-ak=abc",
            "https://h/x?sig%3Dabc",
            "https://h/x?%2573ig=abc",
            "https://h/x?auth=abc",
            "https://h/x?jwt=abc",
            "https://h/x?hmac=1",
            "https://h/x?key=abc",
            "https://h/x?code=abc",
            "https://h/x?X-Custom-Auth-Token=abc",
            "https://h/tok/ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "s3://b/glpat-abcdefghij0123456789/m",
            "s3://b/hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "s3://b/xoxb-123456789012-abcdefghijkl",
            "s3://b/AKIAIOSFODNN7EXAMPLE/m",
            "s3://b/m?v=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        ] {
            assert_eq!(credentials(bad), Some(BadAddress::Disguised), "{bad}");
        }
        let hashes = "s3://b/models/0123456789abcdef0123456789abcdef/hf_model/key=1/AKIA";
        let image = "oci://registry/team/model:1.0@sha256:0123456789abcdef";
        for good in [hashes, image, "models:/wine@champion", "wasbs://c@account.blob.core.windows.net/m?version=3"] {
            assert_eq!(credentials(good), None, "{good}");
        }
        for good in ["https://h/m?token=", "https://h/tokens/sig=1", "https://h/m?q=password", "u@h/x"] {
            assert_eq!(credentials(good), None, "{good}");
        }
    }

    #[test]
    fn the_link_to_a_run_is_a_page() {
        for good in
            ["", "https://runs/1", "http://h:5000/#/experiments/1/runs/2", "https://h/?o=1#mlflow/experiments/1"]
        {
            assert_eq!(bad_link(good), None, "{good}");
        }
        for bad in ["file:///etc/passwd", "/etc", "runs:/../x", "ftp://x/y", "x", "https:///x", "https://"] {
            assert_eq!(bad_link(bad), Some(BadAddress::Vague), "{bad}");
        }
        assert_eq!(bad_link("javascript:alert(1)"), Some(BadAddress::Foreign));
    }

    #[test]
    fn a_prefix_ends_where_a_part_of_the_path_does() {
        assert!(lies_under("s3://models/churn", "s3://models"));
        assert!(lies_under("s3://models/churn", "s3://models/"));
        assert!(lies_under("runs:/abc/model", "runs:"));
        assert!(!lies_under("s3://models-of-mallory/churn", "s3://models"));
        assert!(!lies_under("s3://model", "s3://models"));
    }
}
