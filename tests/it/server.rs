//! The server as its clients see it: a process, and requests over the wire.

mod access;
mod artifacts;
mod behind_mlflow;
mod browsers;
mod clients;
mod connections;
mod crash;
mod cves;
mod databricks;
mod differential;
mod flows;
mod hardship;
mod imports;
mod life;
mod limits;
mod own;
mod protocol;
mod renamed;
mod repeats;
mod soak;
mod table;
mod webhooks;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::{Sandbox, Shell};

/// A served registry `r` of Alice's, other people with these grants, and a token for each person.
struct World {
    sandbox: Sandbox,
    tokens: Vec<(String, String)>,
}

impl World {
    /// A registry with the people of the grants: `("bob", "CAN_READ")`; an empty string means no grant.
    fn new(grants: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let mut tokens = Vec::new();
        {
            let alice = sandbox.alice().within("r");
            for (person, level) in grants {
                alice.greenroom(["person", "add", person, "--email", &format!("{person}@example.org")]).success();
                if !level.is_empty() {
                    alice.greenroom(["access", "grant", person, level]).success();
                }
            }
            for person in ["alice"].into_iter().chain(grants.iter().map(|(person, _)| *person)) {
                tokens.push((person.to_owned(), token(&alice, person, &[])));
            }
        }
        Self { sandbox, tokens }
    }

    fn token(&self, person: &str) -> &str {
        &self.tokens.iter().find(|(p, _)| p == person).expect("the person has a token").1
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("r")
    }

    fn log(&self) -> PathBuf {
        self.sandbox.path("server.log")
    }

    fn serve(&self, options: &[&str]) -> Server {
        Server::start(&self.alice(), self.log(), options)
    }

    /// The subjects of the newest commits, newest first.
    fn subjects(&self, count: usize) -> Vec<String> {
        let log = self.alice().git(["log", "--format=%an: %s", &format!("-{count}")]).success();
        log.stdout().lines().map(str::to_owned).collect()
    }

    /// Demands that git finds no fault.
    fn is_sound(&self) {
        let fsck = self.alice().git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
        assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
    }
}

/// Makes a token for a person.
fn token(alice: &Shell<'_>, person: &str, options: &[&str]) -> String {
    let made = alice.greenroom(["token", "create", "--person", person].iter().chain(options)).success();
    made.stdout().trim_end().to_owned()
}

/// The code and the message of an error.
fn said(error: &Value) -> (&str, &str) {
    (error["error_code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
}

/// The arguments that name a model.
fn named(name: &str) -> Value {
    json!({ "name": name })
}
