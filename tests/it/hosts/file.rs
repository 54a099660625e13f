//! A bare repository at a path: who may write there is whom the environment names, so this is for tests and for
//! machines of one's own.

use std::path::PathBuf;

use super::scenario::{self, Person, Server};
use crate::support::{Sandbox, Shell};

struct AtPath {
    bare: PathBuf,
    variables: &'static [&'static str],
}

impl AtPath {
    fn new(sandbox: &Sandbox, host: &str, variables: &'static [&'static str]) -> Self {
        sandbox.git(["init", "--quiet", "--bare", "served here.git"]).success();
        sandbox.greenroom(["hook", "install", "--bare", "served here.git", "--host", host]).success();
        Self { bare: sandbox.path("served here.git"), variables }
    }
}

impl Server for AtPath {
    fn bare(&self) -> PathBuf {
        self.bare.clone()
    }

    fn url(&self, _: Person) -> String {
        self.bare.to_str().expect("UTF-8").to_owned()
    }

    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s> {
        self.variables.iter().fold(shell, |shell, name| shell.env(name, person.login))
    }
}

#[test]
fn a_path_with_an_account_for_each_person() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    scenario::tell(&sandbox, &AtPath::new(&sandbox, "unix", &["LOGNAME", "USER"]));
}

#[test]
fn a_path_with_a_variable_of_a_forced_command() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    scenario::tell(&sandbox, &AtPath::new(&sandbox, "forced-command", &["GREENROOM_USER"]));
}
