//! Detects secrets by their shape: keys and tokens that services mark so that they can be found. A found secret is
//! never repeated in a message.

/// A match that looks like a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SecretHit {
    /// The kind of secret, in words.
    pub what: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

/// The advice for a secret.
pub(super) const HELP: &str =
    "remove it from every commit of the push, and revoke it: a secret that was in a commit is no longer secret";

/// The largest number of matches that are reported for one text.
const MAX_HITS: usize = 10;

/// A token that consists of a mark and characters of an alphabet.
struct TokenPattern {
    what: &'static str,
    mark: &'static str,
    alphabet: fn(u8) -> bool,
    /// The smallest number of characters after the mark.
    least: usize,
    /// The largest number of characters after the mark.
    most: usize,
}

const fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
const fn dashed(b: u8) -> bool {
    word(b) || b == b'-'
}
const fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}
const fn base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}
const fn hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

const ANY: usize = usize::MAX;

const fn token(
    what: &'static str,
    mark: &'static str,
    alphabet: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> TokenPattern {
    TokenPattern { what, mark, alphabet, least, most }
}

/// Marks and lengths as the services document them.
const TOKENS: &[TokenPattern] = &[
    token("an AWS access key", "AKIA", upper, 16, 16),
    token("an AWS access key", "ASIA", upper, 16, 16),
    token("a Google API key", "AIza", dashed, 35, 35),
    token("a GitHub token", "ghp_", word, 36, ANY),
    token("a GitHub token", "gho_", word, 36, ANY),
    token("a GitHub token", "ghu_", word, 36, ANY),
    token("a GitHub token", "ghs_", word, 36, ANY),
    token("a GitHub token", "ghr_", word, 36, ANY),
    token("a GitHub token", "github_pat_", word, 40, ANY),
    token("a GitLab token", "glpat-", dashed, 20, ANY),
    token("a GitLab token", "gldt-", dashed, 20, ANY),
    token("a GitLab token", "glrt-", dashed, 20, ANY),
    token("a GitLab token", "glptt-", dashed, 20, ANY),
    token("a Slack token", "xoxa-", dashed, 10, ANY),
    token("a Slack token", "xoxb-", dashed, 10, ANY),
    token("a Slack token", "xoxe-", dashed, 10, ANY),
    token("a Slack token", "xoxp-", dashed, 10, ANY),
    token("a Slack token", "xoxr-", dashed, 10, ANY),
    token("a Slack token", "xoxs-", dashed, 10, ANY),
    token("a Slack token", "xapp-", dashed, 10, ANY),
    token("a Databricks token", "dapi", hex, 32, ANY),
    token("a Databricks token", "dose", hex, 32, ANY),
    token("a Hugging Face token", "hf_", word, 34, ANY),
    token("a Stripe key", "sk_live_", word, 20, ANY),
    token("a webhook's secret", "whsec_", base64, 24, ANY),
];

/// Finds text that looks like a secret.
pub(super) fn find(bytes: &[u8]) -> Vec<SecretHit> {
    let mut hits = Vec::new();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let found = match b {
            b'A' | b'g' | b'x' | b'd' | b'h' | b's' | b'w' if begins_word(bytes, at) => token_at(bytes, at),
            b'e' if begins_word(bytes, at) => jwt_at(bytes, at),
            b'-' => private_key_at(bytes, at),
            b':' => password_at(bytes, at),
            _ => None,
        };
        let Some((what, len)) = found else {
            at += 1;
            continue;
        };
        let before = bytes.get(..at).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        hits.push(SecretHit { what, line, column });
        if hits.len() >= MAX_HITS {
            break;
        }
        at += len.max(1);
    }
    hits
}

type SecretFinding = Option<(&'static str, usize)>;

fn begins_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|i| bytes.get(i)).is_none_or(|b| !word(*b))
}

fn run(bytes: &[u8], at: usize, alphabet: fn(u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|b| alphabet(**b)).count()
}

fn token_at(bytes: &[u8], at: usize) -> SecretFinding {
    let rest = bytes.get(at..)?;
    let token = TOKENS.iter().find(|t| rest.starts_with(t.mark.as_bytes()))?;
    let len = run(rest, token.mark.len(), token.alphabet);
    let whole = rest.get(..token.mark.len() + len)?;
    // AWS's own documentation uses keys that end in `EXAMPLE`.
    let example = whole.ends_with(b"EXAMPLE");
    (len >= token.least && len <= token.most && !example).then_some((token.what, whole.len()))
}

/// Matches two JSON objects in base64 and a signature, joined by dots.
fn jwt_at(bytes: &[u8], at: usize) -> SecretFinding {
    let rest = bytes.get(at..).filter(|r| r.starts_with(b"eyJ"))?;
    let head = run(rest, 0, dashed);
    let body_at = head + 1;
    let body = run(rest, body_at, dashed);
    let joined = rest.get(head) == Some(&b'.') && rest.get(body_at..)?.starts_with(b"eyJ");
    let end = body_at + body;
    let signature = run(rest, end + 1, dashed);
    let whole = joined && rest.get(end) == Some(&b'.') && head >= 10 && body >= 10 && signature >= 10;
    whole.then_some(("a signed token (JWT)", end + 1 + signature))
}

/// Matches the first line of a private key.
fn private_key_at(bytes: &[u8], at: usize) -> SecretFinding {
    let rest = bytes.get(at..)?.strip_prefix(b"-----BEGIN ")?;
    let kind = rest.iter().take(40).take_while(|b| b.is_ascii_uppercase() || **b == b' ').count();
    let kind = rest.get(..kind)?;
    (kind.ends_with(b"PRIVATE KEY") || kind.ends_with(b"PRIVATE KEY BLOCK"))
        .then_some(("a private key", kind.len() + 11))
}

/// Matches `scheme://user:password@`. A password that names a variable or is masked does not count.
fn password_at(bytes: &[u8], at: usize) -> SecretFinding {
    const LONGEST: usize = 1024;
    let rest = bytes.get(at..)?.strip_prefix(b"://")?;
    let scheme = at.checked_sub(1).and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_alphanumeric);
    let ends =
        |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'?' | b'#');
    let user = rest.iter().take(LONGEST).take_while(|b| !ends(b) && **b != b':').count();
    let password = rest.get(user..)?.strip_prefix(b":")?;
    let len = password.iter().take(LONGEST).take_while(|b| !ends(b)).count();
    let stands_for_one = matches!(password.first(), Some(b'$' | b'{' | b'*'));
    let found = scheme && len > 0 && password.get(len) == Some(&b'@') && !stands_for_one;
    found.then_some(("a password in an address", user + len + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns texts that look like secrets. They are assembled here, so that this file contains none.
    fn secrets() -> Vec<String> {
        let (x, h) = ("a1B2c3D4".repeat(6), "0123456789abcdef".repeat(2));
        vec![
            format!("{}{}", "AKIA", "Q1W2E3R4T5Y6U7I8"),
            format!("{}{}", "AIza", x.get(..35).unwrap()),
            format!("{}{x}", "ghp_"),
            format!("{}{x}", "github_pat_"),
            format!("{}{x}", "glpat-"),
            format!("{}{x}", "xoxb-"),
            format!("{}{h}", "dapi"),
            format!("{}{h}-3", "dapi"),
            format!("{}{x}", "hf_"),
            format!("{}{x}", "sk_live_"),
            format!("{}{x}==", "whsec_"),
            format!("-----BEGIN {}-----", "PRIVATE KEY"),
            format!("-----BEGIN OPENSSH {}-----", "PRIVATE KEY"),
            format!("-----BEGIN PGP {} BLOCK-----", "PRIVATE KEY"),
            format!("{0}{x}.{0}{x}.{x}", "eyJ"),
            format!("https://bob:{x}@example.org/x"),
            format!("postgres://bob:{x}@db"),
        ]
    }

    #[test]
    fn each_shape_is_found_at_its_place() {
        for secret in secrets() {
            let text = format!("a = 1\n  key = \"{secret}\"\n");
            let hits = find(text.as_bytes());
            assert_eq!(hits.iter().map(|h| h.line).collect::<Vec<_>>(), [2], "{secret}: {hits:?}");
            assert_eq!(find(secret.as_bytes()).len(), 1, "{secret}");
        }
    }

    #[test]
    fn what_only_resembles_one_is_left_alone() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "notAKIAQ1W2E3R4T5Y6U7I8",
            "ghp_short",
            "the ghp_ tokens of GitHub",
            "https://example.org:8443/a@b",
            "https://bob@example.org",
            "https://bob:$TOKEN@example.org",
            "https://bob:${TOKEN}@example.org",
            "https://bob:<password>@example.org",
            "ssh://git@example.org:22/a",
            "git@example.org:team/models.git",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN SSH SIGNATURE-----",
            "eyJhbGciOiJIUzI1NiJ9 alone",
            "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "dapi",
            "secret = \"databricks-webhook\"",
            "",
        ] {
            assert_eq!(find(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn any_bytes_can_be_searched() {
        for secret in secrets() {
            for cut in 0..secret.len() {
                let _ = find(secret.as_bytes().get(..cut).unwrap());
                let _ = find(secret.as_bytes().get(cut..).unwrap());
            }
        }
        assert_eq!(find(&[b'-'; 100_000]), []);
        assert_eq!(find("://".repeat(50_000).as_bytes()), []);
    }
}
