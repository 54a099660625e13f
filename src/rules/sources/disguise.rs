//! Credentials in an address that are not where they usually stand: in nested or encoded addresses, in parameters of a path,
//! under names that only some services use, and tokens by the forms that their providers give them.

use std::borrow::Cow;

use super::{DECODINGS, WEB, decoded};

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

/// What the names of such parameters end with, whatever a service puts before it; spelt as [`NAMES`].
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

/// What the tokens of known services begin with, and how many letters, digits, `-` and `_` follow at least.
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

/// Whether an address, or what it is when decoded, holds what looks like a credential.
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

/// A user with a password before a host: at the start, or behind any `//`.
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

/// A parameter of a query, a fragment or a part of the path that is called like a credential, and has a value.
fn has_parameter(text: &str) -> bool {
    text.split(['?', '#', '&', ';']).skip(1).any(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return false };
        let plain = |c: &char| !matches!(c, '-' | '_' | '.' | ' ');
        let name: String = name.chars().filter(plain).collect::<String>().to_ascii_lowercase();
        let is_named = NAMES.contains(&name.as_str()) || NAME_ENDS.iter().any(|end| name.ends_with(end));
        is_named && !value.trim().is_empty()
    })
}

/// A token by its form, in any part of the text.
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
