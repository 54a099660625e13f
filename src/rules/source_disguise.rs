//! Credentials at unusual places of a URI: in nested or encoded URIs, in path parameters, under names that only some
//! services use, and tokens in the form of known providers.

use std::borrow::Cow;

use super::sources::{DECODINGS, WEB, decoded};

/// Names of parameters that hold a credential, in lower case and without `-`, `_` and `.`.
const NAMES: &[&str] = &[
    "auth",
    "bearer",
    "code",
    "hmac",
    "jwt",
    "key",
    "keypairid",
    "pass",
    "passphrase",
    "passwd",
    "pwd",
    "qak",
    "sas",
    "sig",
    "sign",
];

/// Endings of such names, whatever a service puts before them; spelt as in [`NAMES`].
const NAME_ENDS: &[&str] = &[
    "accesskey",
    "accesskeyid",
    "accessid",
    "apikey",
    "authkey",
    "authorization",
    "credential",
    "credentials",
    "hmac",
    "password",
    "passwd",
    "privatekey",
    "secret",
    "secretkey",
    "sessiontoken",
    "signature",
    "token",
];

/// Prefixes of the tokens of known services, and how many letters, digits, `-` and `_` follow at least.
const TOKENS: &[(&str, usize)] = &[
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("glptt-", 16),
    ("glcbt-", 16),
    ("hf_", 30),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxe-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("sk-ant-", 16),
    ("sk-proj-", 16),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("npm_", 30),
    ("pypi-AgE", 16),
    ("dckr_pat_", 16),
    ("dop_v1_", 30),
    ("ATATT3x", 16),
    ("AIza", 35),
];

/// Returns whether a URI, or its decoded form, contains something that looks like a credential.
pub(super) fn credentials(address: &str) -> bool {
    let mut text = Cow::Borrowed(address);
    for _ in 0..DECODINGS {
        if has_user(&text) || has_parameter(&text) || has_token(&text) {
            return true;
        }
        let next = decoded(&text).into_owned();
        if next == *text {
            break;
        }
        text = Cow::Owned(next);
    }
    false
}

/// Returns whether there is a user with a password before a host: at the start, or behind any `//`.
fn has_user(text: &str) -> bool {
    let with_password = |user: &str| user.split_once(':').is_some_and(|(_, password)| !password.is_empty());
    let authority = |part: &str| part.split(['/', '?', '#', '\\', '&', ';']).next().unwrap_or_default().to_owned();
    let start = authority(text);
    if start.rsplit_once('@').is_some_and(|(user, host)| with_password(user) && !host.is_empty()) {
        return true;
    }
    text.match_indices("//").any(|(at, _)| {
        let (scheme, rest) = (text.get(..at).unwrap_or_default(), authority(text.get(at + 2..).unwrap_or_default()));
        let scheme = scheme.to_ascii_lowercase();
        let of_web = at == 0 || WEB.iter().any(|web| scheme.strip_suffix(':').is_some_and(|s| s.ends_with(web)));
        rest.rsplit_once('@').is_some_and(|(user, _)| with_password(user) || of_web)
    })
}

/// Returns whether a parameter of a query, fragment or path segment has the name of a credential, and a value.
fn has_parameter(text: &str) -> bool {
    text.split(['?', '#', '&', ';']).skip(1).any(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return false };
        let plain = |c: &char| !matches!(c, '-' | '_' | '.' | ' ');
        let name: String = name.chars().filter(plain).collect::<String>().to_ascii_lowercase();
        let is_named = NAMES.contains(&name.as_str()) || NAME_ENDS.iter().any(|end| name.ends_with(end));
        is_named && !value.trim().is_empty()
    })
}

/// Returns whether any part of the text has the form of a token.
fn has_token(text: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut words = text.split(|c: char| !of_word(c)).filter(|word| !word.is_empty());
    let mut before = "";
    words.any(|word| {
        let known = TOKENS.iter().any(|(start, rest)| {
            word.strip_prefix(start).is_some_and(|tail| tail.len() >= *rest && !tail.contains(['/', '.']))
        });
        let of_aws = ["AKIA", "ASIA"].iter().any(|start| {
            word.strip_prefix(start).is_some_and(|tail| {
                tail.len() == 16 && tail.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            })
        });
        let of_databricks = word
            .strip_prefix("dapi")
            .and_then(|tail| tail.get(..32))
            .is_some_and(|tail| tail.bytes().all(|b| b.is_ascii_hexdigit()));
        // Two parts of JSON in base64 are a JSON Web Token.
        let of_jwt = before.starts_with("eyJ") && word.starts_with("eyJ");
        before = word;
        known || of_aws || of_databricks || of_jwt
    })
}
