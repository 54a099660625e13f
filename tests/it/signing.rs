//! Commits are signed if git is configured to sign, and git verifies the signatures.

use crate::support::{Sandbox, tools};

/// Makes a registry and a change with signing config; returns git's verdict on the newest commit's signature.
fn signed(sandbox: &Sandbox, settings: &[(&str, &str)], env: &[(&str, String)]) -> String {
    let shell = || env.iter().fold(sandbox.alice(), |shell, (key, value)| shell.env(key, value));
    for (key, value) in settings {
        shell().git(["config", "--global", key, value]).success();
    }
    shell().greenroom(["init", "r"]).success();
    shell().within("r").greenroom(["model", "create", "churn"]).success();
    shell().within("r").git(["verify-commit", "HEAD"]).success();
    shell().within("r").git(["log", "-1", "--format=%G?"]).success().stdout().trim().to_owned()
}

#[test]
fn with_openpgp() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    let home = tempfile::Builder::new().prefix("gnupg").tempdir().expect("a short path, as gpg's sockets need");
    let home_text = home.path().to_str().expect("UTF-8").to_owned();
    let env = [("GNUPGHOME", home_text)];
    let key = [
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-gen-key",
        "Alice <alice@example.org>",
        "ed25519",
        "sign",
        "never",
    ];
    sandbox.alice().env("GNUPGHOME", &env[0].1).run("gpg", key).success();
    let settings = [("commit.gpgSign", "true"), ("user.signingKey", "alice@example.org")];
    assert_eq!(signed(&sandbox, &settings, &env), "G");
    sandbox.alice().env("GNUPGHOME", &env[0].1).run("gpgconf", ["--kill", "all"]).success();
}

#[test]
fn with_ssh() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.alice().run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "key"]).success();
    let public = sandbox.read("key.pub");
    let public = String::from_utf8_lossy(public.as_ref()).into_owned();
    sandbox.write("signers", format!("alice@example.org {public}").as_bytes());
    let at = |name: &str| sandbox.path(name).to_str().expect("UTF-8").to_owned();
    let (key, signers) = (at("key"), at("signers"));
    let settings = [
        ("commit.gpgSign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingKey", key.as_str()),
        ("gpg.ssh.allowedSignersFile", signers.as_str()),
    ];
    assert_eq!(signed(&sandbox, &settings, &[]), "G");
}
