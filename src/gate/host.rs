//! The identity of the pusher according to the git host: each kind of host names the pusher in its own way.
//!
//! The kind is configured for a served repository, and only its variables are read. A client can set some variables
//! (`SendEnv`), so the variables of other kinds prove nothing.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use crate::authority::Pusher;
use crate::text::{is_plain, one_line, quoted};

/// A kind of git host, by the way in which it names the pusher to its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A self-managed GitLab server: `GL_USERNAME`.
    GitLab,
    /// Gitea and Forgejo: `GITEA_PUSHER_NAME`. (`GITEA_REPO_USER_NAME` is the owner of the repository.)
    Gitea,
    /// GitHub Enterprise Server: `GITHUB_USER_LOGIN`.
    GitHub,
    /// Bitbucket Data Center with the External Hooks app: `BB_USER_NAME`.
    Bitbucket,
    /// gitolite: `GL_USER`.
    Gitolite,
    /// git-http-backend behind a web server that authenticates: `REMOTE_USER`.
    Http,
    /// sshd with a shared account, where each key's forced command sets `GREENROOM_USER`.
    ForcedCommand,
    /// sshd with a shared account and `ExposeAuthInfo yes`: the file that `SSH_USER_AUTH` names contains the key.
    SshKey,
    /// One account per person: `LOGNAME`, as sshd and login set it.
    Unix,
    /// Signed pushes (`git push --signed`) that git verifies: `GIT_PUSH_CERT_SIGNER`.
    PushCertificate,
}

/// Why the pusher is unknown, or is not a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPusher {
    /// The host's variable is not set.
    #[error(
        "the git host does not name the pusher: {variable} is not set, and this repository is configured for \
         greenroom.host = {host}. Push with authentication; if you run the server, use `greenroom hook install --host \
         ...`"
    )]
    Absent {
        /// The configured host.
        host: Host,
        /// The variable that the host should set.
        variable: &'static str,
    },
    /// The host's variable has a value that the host never writes.
    #[error("the git host names the pusher in {variable}, but {why}")]
    Malformed {
        /// The name of the variable.
        variable: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The push used a key or token that belongs to a repository or a program.
    #[error("{what} does not belong to a person, so it may not push to a registry. Push as yourself")]
    Nobody {
        /// The key or token, with its number.
        what: String,
    },
    /// The push is not signed, or its signature is not valid.
    #[error("the push is not signed correctly: {why}. Use `git push --signed` with your own key")]
    Certificate {
        /// What is wrong with the certificate.
        why: String,
    },
}

/// A function that returns an environment variable by name.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The longest login, e-mail address or key that is read, in bytes.
const MAX_VALUE: usize = 1024;

impl Host {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::GitLab,
        Self::Gitea,
        Self::GitHub,
        Self::Bitbucket,
        Self::Gitolite,
        Self::Http,
        Self::ForcedCommand,
        Self::SshKey,
        Self::Unix,
        Self::PushCertificate,
    ];

    /// Returns the name in `greenroom.host` and `--host`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::GitHub => "github",
            Self::Bitbucket => "bitbucket",
            Self::Gitolite => "gitolite",
            Self::Http => "http",
            Self::ForcedCommand => "forced-command",
            Self::SshKey => "ssh-key",
            Self::Unix => "unix",
            Self::PushCertificate => "push-certificate",
        }
    }

    /// Whether people merge pull requests on web pages of this host, from branches that they sometimes rewrite.
    pub const fn is_forge(self) -> bool {
        match self {
            Self::GitLab | Self::Gitea | Self::GitHub | Self::Bitbucket => true,
            Self::Gitolite | Self::Http | Self::ForcedCommand | Self::SshKey | Self::Unix | Self::PushCertificate => {
                false
            }
        }
    }

    /// Returns the pusher, from the environment that the host gives to its hooks.
    ///
    /// `auth_info` is the text of the file that `SSH_USER_AUTH` names; only [`Self::SshKey`] needs it.
    ///
    /// # Errors
    /// [`NoPusher`] if the host does not name a person.
    pub fn pusher(self, env: Env<'_>, auth_info: Option<&str>) -> Result<Pusher, NoPusher> {
        let vars = Vars { host: self, env };
        match self {
            Self::GitLab => gitlab(&vars),
            Self::Gitea => gitea(&vars),
            Self::GitHub => github(&vars),
            Self::Bitbucket => vars.named("BB_USER_NAME", &["BB_HOOK_TRIGGER_ID"]).and_then(|pusher| {
                let email = vars.get("BB_USER_EMAIL")?;
                Ok(Pusher { email, ..pusher })
            }),
            Self::Gitolite => vars.named("GL_USER", &[]),
            Self::Http => vars.named("REMOTE_USER", &["REMOTE_ADDR"]),
            Self::ForcedCommand => vars.named("GREENROOM_USER", &["SSH_CONNECTION"]),
            Self::SshKey => ssh_key(&vars, auth_info),
            Self::Unix => unix(&vars),
            Self::PushCertificate => push_certificate(&vars),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that does not name a kind of host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a known git host; use one of {}", quoted(.0), Host::ALL.map(Host::as_str).join(", "))]
pub struct NoHost(pub String);

impl FromStr for Host {
    type Err = NoHost;
    fn from_str(s: &str) -> Result<Self, NoHost> {
        Self::ALL.into_iter().find(|host| host.as_str() == s).ok_or_else(|| NoHost(s.to_owned()))
    }
}

/// The environment of a hook under one kind of host.
struct Vars<'a> {
    host: Host,
    env: Env<'a>,
}

impl Vars<'_> {
    /// Returns a variable. An empty variable counts as unset.
    fn get(&self, variable: &'static str) -> Result<Option<String>, NoPusher> {
        let Some(value) = (self.env)(variable).filter(|v| !v.is_empty()) else { return Ok(None) };
        let malformed = |why| NoPusher::Malformed { variable, why };
        let value = value.into_string().map_err(|_| malformed("it is not UTF-8"))?;
        if value.len() > MAX_VALUE {
            return Err(malformed("it is too long"));
        }
        if !value.chars().all(is_plain) || value.trim() != value {
            return Err(malformed("it contains control or invisible characters, or space at its start or end"));
        }
        Ok(Some(value))
    }

    /// Returns a variable that the host always sets.
    fn need(&self, variable: &'static str) -> Result<String, NoPusher> {
        self.get(variable)?.ok_or(NoPusher::Absent { host: self.host, variable })
    }

    /// Returns a number that is set and not 0: hosts set 0 for "none".
    fn number(&self, variable: &'static str) -> Result<Option<String>, NoPusher> {
        Ok(self.get(variable)?.filter(|v| v != "0"))
    }

    /// Returns the pusher whose login is in a variable. Those of the other variables that are set become the detail for
    /// the record of pushes.
    fn named(&self, variable: &'static str, details: &[&'static str]) -> Result<Pusher, NoPusher> {
        let login = self.need(variable)?;
        let mut detail = Vec::new();
        for name in details {
            if let Some(value) = self.get(name)? {
                detail.push(format!("{name}={value}"));
            }
        }
        let detail = Some(detail.join(" ")).filter(|d| !d.is_empty());
        Ok(Pusher { login: Some(login), detail, via: self.host.to_string(), ..Pusher::default() })
    }
}

/// A deploy key or deploy token has a `GL_ID` but no user name.
fn gitlab(vars: &Vars<'_>) -> Result<Pusher, NoPusher> {
    let id = vars.need("GL_ID")?;
    if vars.get("GL_USERNAME")?.is_none() {
        return Err(NoPusher::Nobody { what: format!("GitLab's {id}, a deploy key or token,") });
    }
    vars.named("GL_USERNAME", &["GL_PROTOCOL", "GL_ID"])
}

/// For a deploy key or an Actions job, Gitea names a stand-in as the pusher.
fn gitea(vars: &Vars<'_>) -> Result<Pusher, NoPusher> {
    if let Some(key) = vars.number("GITEA_DEPLOY_KEY_ID")? {
        return Err(NoPusher::Nobody { what: format!("deploy key {key}") });
    }
    if let Some(task) = vars.number("GITEA_ACTIONS_TASK_ID")? {
        return Err(NoPusher::Nobody { what: format!("the token of the Actions task {task}") });
    }
    let pusher = vars.named("GITEA_PUSHER_NAME", &["GITEA_PUSH_TRIGGER", "GITEA_PR_INDEX", "GITEA_KEY_ID"])?;
    Ok(Pusher { email: vars.get("GITEA_PUSHER_EMAIL")?, ..pusher })
}

/// The login of a GitHub App ends in `[bot]`.
fn github(vars: &Vars<'_>) -> Result<Pusher, NoPusher> {
    let details = ["GITHUB_VIA", "GITHUB_PULL_REQUEST_AUTHOR_LOGIN", "GITHUB_PUBLIC_KEY_FINGERPRINT"];
    let pusher = vars.named("GITHUB_USER_LOGIN", &details)?;
    match pusher.login.as_deref().filter(|login| login.ends_with("[bot]")) {
        Some(bot) => Err(NoPusher::Nobody { what: format!("the app {}", quoted(bot)) }),
        None => Ok(pusher),
    }
}

/// sshd and login set `LOGNAME` and `USER` to the same value. If they differ, another program set one of them.
fn unix(vars: &Vars<'_>) -> Result<Pusher, NoPusher> {
    let pusher = vars.named("LOGNAME", &["SSH_CONNECTION"])?;
    if vars.get("USER")?.is_some_and(|user| pusher.login.as_ref() != Some(&user)) {
        return Err(NoPusher::Malformed { variable: "LOGNAME", why: "USER names another account" });
    }
    Ok(pusher)
}

/// The file has a line for each method that sshd accepted: `publickey ssh-ed25519 AAAA…`.
fn ssh_key(vars: &Vars<'_>, auth_info: Option<&str>) -> Result<Pusher, NoPusher> {
    let variable = "SSH_USER_AUTH";
    // sshd creates a new file for each connection, so its name is not worth recording.
    vars.need(variable)?;
    let malformed = |why| NoPusher::Malformed { variable, why };
    let text = auth_info.ok_or(malformed("the file that it names cannot be read"))?;
    let mut keys = text.lines().filter_map(|line| line.strip_prefix("publickey "));
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(malformed("its file does not contain exactly one public key"));
    };
    let (kind, body) = key.trim().split_once(' ').unwrap_or_default();
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    let is_kind = |b: u8| b.is_ascii_alphanumeric() || b"-.@".contains(&b);
    // The longest keys in use, RSA of 16,384 bits, have about 2,800 bytes.
    if key.len() > 4096 || kind.is_empty() || !kind.bytes().all(is_kind) || !body.bytes().all(is_base64) {
        return Err(malformed("its file does not contain a public key"));
    }
    if kind.contains("-cert-") {
        return Err(malformed("its file contains a certificate; use greenroom.host = forced-command for certificates"));
    }
    let detail = vars.get("SSH_CONNECTION")?.map(|c| format!("SSH_CONNECTION={c}"));
    Ok(Pusher { key: Some(format!("{kind} {body}")), via: vars.host.to_string(), detail, ..Pusher::default() })
}

/// Accepts only a signature that git finds valid, by a key that it trusts, over the challenge of this server.
fn push_certificate(vars: &Vars<'_>) -> Result<Pusher, NoPusher> {
    let wrong = |why: String| NoPusher::Certificate { why };
    if vars.get("GIT_PUSH_CERT")?.is_none() {
        return Err(wrong("it has no certificate".to_owned()));
    }
    let status = vars.need("GIT_PUSH_CERT_STATUS")?;
    if status != "G" {
        let why = match status.as_str() {
            "N" => "it has no signature",
            "B" => "the signature is wrong",
            "U" => "the server does not know the key",
            "X" | "Y" => "the signature or its key has expired",
            "R" => "the key is revoked",
            _ => "the signature cannot be checked",
        };
        return Err(wrong(why.to_owned()));
    }
    match vars.get("GIT_PUSH_CERT_NONCE_STATUS")?.as_deref() {
        Some("OK") => {}
        Some(other) => return Err(wrong(format!("the server's challenge was answered with {}", one_line(other)))),
        None => return Err(wrong("the server gave no challenge (receive.certNonceSeed)".to_owned())),
    }
    let signer = vars.need("GIT_PUSH_CERT_SIGNER")?;
    let detail = vars.get("GIT_PUSH_CERT_KEY")?.map(|key| format!("GIT_PUSH_CERT_KEY={key}"));
    // OpenPGP: `Alice <alice@example.org>`. SSH: the name next to the key in git's file of allowed signers.
    let address = signer.strip_suffix('>').and_then(|s| s.rsplit_once('<')).map(|(_, address)| address.to_owned());
    let email = address.or_else(|| signer.contains('@').then(|| signer.clone()));
    let login = Some(signer).filter(|_| email.is_none());
    Ok(Pusher { login, email, key: None, via: vars.host.to_string(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==";

    fn pusher(host: Host, vars: &[(&str, &str)]) -> Result<Pusher, NoPusher> {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        host.pusher(&env, Some(&format!("publickey {KEY}\n")))
    }

    /// Returns the variables with which each kind of host names Alice, according to its documentation.
    fn of_alice(host: Host) -> &'static [(&'static str, &'static str)] {
        match host {
            Host::GitLab => &[
                ("GL_ID", "user-7"),
                ("GL_USERNAME", "alice"),
                ("GL_PROTOCOL", "web"),
                ("GL_REPOSITORY", "project-3"),
                ("GL_PROJECT_PATH", "ml/registry"),
            ],
            Host::Gitea => &[
                ("GITEA_REPO_NAME", "registry"),
                ("GITEA_REPO_USER_NAME", "owner"),
                ("GITEA_PUSHER_NAME", "alice"),
                ("GITEA_PUSHER_ID", "7"),
                ("GITEA_PUSHER_EMAIL", "alice@example.org"),
                ("GITEA_DEPLOY_KEY_ID", "0"),
                ("GITEA_ACTIONS_TASK_ID", "0"),
                ("GITEA_PR_INDEX", "12"),
                ("GITEA_PUSH_TRIGGER", "pr-merge-to-base"),
            ],
            Host::GitHub => &[
                ("GITHUB_USER_LOGIN", "alice"),
                ("GITHUB_USER_IP", "10.0.0.7"),
                ("GITHUB_REPO_NAME", "ml/registry"),
                ("GITHUB_VIA", "pull request merge button"),
                ("GITHUB_PULL_REQUEST_AUTHOR_LOGIN", "carol"),
            ],
            Host::Bitbucket => &[
                ("BB_USER_NAME", "alice"),
                ("BB_USER_DISPLAY_NAME", "Alice"),
                ("BB_USER_EMAIL", "alice@example.org"),
                ("BB_USER_PERMISSION", "REPO_WRITE"),
                ("BB_HOOK_TRIGGER_ID", "push"),
            ],
            Host::Gitolite => &[("GL_USER", "alice"), ("GL_REPO", "registry"), ("GL_TID", "123")],
            Host::Http => &[("REMOTE_USER", "alice"), ("REMOTE_ADDR", "10.0.0.7")],
            Host::ForcedCommand => &[("GREENROOM_USER", "alice"), ("USER", "git"), ("LOGNAME", "git")],
            Host::SshKey => &[("SSH_USER_AUTH", "/tmp/sshauth.1"), ("USER", "git"), ("LOGNAME", "git")],
            Host::Unix => &[("USER", "alice"), ("LOGNAME", "alice")],
            Host::PushCertificate => &[
                ("GIT_PUSH_CERT", "0123456789abcdef0123456789abcdef01234567"),
                ("GIT_PUSH_CERT_SIGNER", "Alice <alice@example.org>"),
                ("GIT_PUSH_CERT_KEY", "SHA256:abc"),
                ("GIT_PUSH_CERT_STATUS", "G"),
                ("GIT_PUSH_CERT_NONCE_STATUS", "OK"),
            ],
        }
    }

    #[test]
    fn each_host_names_alice() {
        for host in Host::ALL {
            let found = pusher(host, of_alice(host)).unwrap();
            assert_eq!(found.via, host.as_str());
            match host {
                Host::SshKey => assert_eq!((found.key.as_deref(), found.login), (Some(KEY), None)),
                Host::PushCertificate => assert_eq!(found.email.as_deref(), Some("alice@example.org")),
                _ => assert_eq!(found.login.as_deref(), Some("alice"), "{host}"),
            }
            assert_eq!(host.as_str().parse(), Ok(host));
        }
        assert!("GitLab".parse::<Host>().unwrap_err().to_string().contains("gitlab, gitea, github"));
    }

    #[test]
    fn only_the_configured_host_is_asked() {
        for host in Host::ALL {
            let others = Host::ALL.into_iter().filter(|h| *h != host && !(*h == Host::SshKey && host == Host::Unix));
            let own = of_alice(host);
            let injected: Vec<_> = others
                .flat_map(|other| of_alice(other).iter().copied())
                .filter(|(name, _)| !own.iter().any(|(n, _)| n == name))
                .collect();
            let absent = pusher(host, &injected);
            assert!(absent.is_err(), "{host} took the pusher of another host: {absent:?}");
            let mallory: Vec<_> = own.iter().copied().chain(injected.iter().map(|(n, _)| (*n, "mallory"))).collect();
            assert_eq!(pusher(host, &mallory), pusher(host, own), "{host}");
        }
    }

    #[test]
    fn keys_and_tokens_of_repositories_and_programs_are_no_persons() {
        let with = |host: Host, name: &'static str, value: &'static str| {
            let mut vars: Vec<_> = of_alice(host).iter().copied().filter(|(n, _)| *n != name).collect();
            vars.push((name, value));
            pusher(host, &vars).unwrap_err().to_string()
        };
        assert!(
            with(Host::GitLab, "GL_USERNAME", "")
                .contains("user-7, a deploy key or token, does not belong to a person")
        );
        assert!(with(Host::Gitea, "GITEA_DEPLOY_KEY_ID", "5").contains("deploy key 5 does not belong to a person"));
        assert!(with(Host::Gitea, "GITEA_ACTIONS_TASK_ID", "9").contains("Actions task 9 does not belong to a person"));
        assert!(
            with(Host::GitHub, "GITHUB_USER_LOGIN", "ci[bot]")
                .contains("the app 'ci[bot]' does not belong to a person")
        );
    }

    #[test]
    fn the_owner_of_a_gitea_repository_is_not_its_pusher() {
        let found = pusher(Host::Gitea, &[("GITEA_REPO_USER_NAME", "owner"), ("GITEA_PUSHER_ID", "7")]);
        assert_eq!(found, Err(NoPusher::Absent { host: Host::Gitea, variable: "GITEA_PUSHER_NAME" }));
    }

    #[test]
    fn what_a_host_would_not_write_is_refused() {
        for bad in ["al\u{1b}[1mice", " alice", "alice\n", "al\u{202e}ice", &"a".repeat(2000)] {
            let found = pusher(Host::Http, &[("REMOTE_USER", bad)]);
            assert!(matches!(found, Err(NoPusher::Malformed { variable: "REMOTE_USER", .. })), "{bad:?}");
        }
        assert!(matches!(pusher(Host::Http, &[("REMOTE_USER", "")]), Err(NoPusher::Absent { .. })));
        let two = pusher(Host::Unix, &[("LOGNAME", "alice"), ("USER", "bob")]);
        assert!(two.unwrap_err().to_string().contains("USER names another account"));
    }

    #[test]
    fn sshd_tells_exactly_one_key() {
        let env = |name: &str| (name == "SSH_USER_AUTH").then(|| OsString::from("/tmp/sshauth.1"));
        let of = |text: &str| Host::SshKey.pusher(&env, Some(text));
        assert_eq!(of(&format!("publickey {KEY}\npassword\n")).unwrap().key.as_deref(), Some(KEY));
        for bad in [
            String::new(),
            "password\n".to_owned(),
            format!("publickey {KEY}\npublickey {KEY}\n"),
            "publickey ssh-ed25519\n".to_owned(),
            "publickey ssh-ed25519 AA\u{7}A\n".to_owned(),
            "publickey ssh-ed25519-cert-v01@openssh.com AAAA\n".to_owned(),
        ] {
            assert!(of(&bad).is_err(), "{bad}");
        }
        assert!(Host::SshKey.pusher(&env, None).is_err());
    }

    #[test]
    fn a_push_certificate_is_good_and_answers_this_server() {
        let with = |name: &'static str, value: &'static str| {
            let mut vars: Vec<_> = of_alice(Host::PushCertificate).iter().copied().filter(|v| v.0 != name).collect();
            vars.push((name, value));
            pusher(Host::PushCertificate, &vars)
        };
        for status in ["B", "U", "N", "X", "Y", "R", "E", "?"] {
            assert!(matches!(with("GIT_PUSH_CERT_STATUS", status), Err(NoPusher::Certificate { .. })), "{status}");
        }
        for nonce in ["BAD", "SLOP", "UNSOLICITED", "MISSING", ""] {
            assert!(with("GIT_PUSH_CERT_NONCE_STATUS", nonce).is_err(), "{nonce}");
        }
        assert!(with("GIT_PUSH_CERT", "").unwrap_err().to_string().contains("git push --signed"));
        let ssh = with("GIT_PUSH_CERT_SIGNER", "alice").unwrap();
        assert_eq!((ssh.login.as_deref(), ssh.email), (Some("alice"), None));
        let principal = with("GIT_PUSH_CERT_SIGNER", "alice@example.org").unwrap();
        assert_eq!((principal.login, principal.email.as_deref()), (None, Some("alice@example.org")));
    }
}
