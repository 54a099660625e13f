//! A syntax error in a file is told once, without the faults that only follow from it.

use crate::support::Sandbox;

/// The rules of the faults that `check` tells, with their paths.
#[track_caller]
fn told(sandbox: &Sandbox) -> Vec<(String, String)> {
    let alice = sandbox.alice().within("r");
    let told: serde_json::Value =
        serde_json::from_str(&alice.greenroom(["check", "-o", "json"]).any().0).expect("JSON");
    let text = |fault: &serde_json::Value, key: &str| fault[key].as_str().expect("text").to_owned();
    let faults = told["faults"].as_array().expect("a list");
    faults.iter().map(|fault| (text(fault, "path"), text(fault, "rule"))).collect()
}

#[test]
fn one_syntax_error_is_one_fault_whatever_the_file() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r");
    for line in [
        "person add bob --email bob@example.org",
        "access grant bob manage-production",
        "access group risk --add bob",
        "stage set Production --approvals 1 --approver group:risk",
        "register churn --source s3://models/churn/1 --alias champion --metric auc=0.9 --tag a=b",
        "register churn --source s3://models/churn/2",
        "transition churn 1 Staging",
        "request create churn 1 Production",
    ] {
        alice.greenroom(line.split(' ')).success();
    }
    assert_eq!(told(&sandbox), []);
    let files = alice.git(["ls-files", "*.toml"]).success().stdout().to_owned();
    let mut tried = 0;
    for file in files.lines().filter(|file| !file.starts_with('.')) {
        let path = format!("r/{file}");
        let text = sandbox.read(&path);
        sandbox.write(&path, format!("x = = 1\n{text}"));
        assert_eq!(told(&sandbox), [(file.to_owned(), "toml".to_owned())], "{file}");
        tried += 1;
        sandbox.write(&path, text);
    }
    assert!(tried > 8, "{tried}");
}

#[test]
fn the_gate_tells_a_syntax_error_once() {
    let sandbox = Sandbox::new();
    let alice = sandbox.alice().within("r").env("LOGNAME", "alice").env("USER", "alice");
    sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
    sandbox.greenroom(["hook", "install", "--bare", "served.git", "--host", "unix"]).success();
    sandbox.greenroom(["init", "r"]).success();
    alice.greenroom(["register", "churn", "--source", "s3://models/churn/1", "--alias", "champion"]).success();
    alice.git(["remote", "add", "origin", "../served.git"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    let text = sandbox.read("r/models/churn/versions/1/version.toml");
    sandbox.write("r/models/churn/versions/1/version.toml", format!("x = = 1\n{text}"));
    alice.git(["commit", "--quiet", "--all", "-m", "by hand"]).success();
    let said = alice.git(["push", "--quiet", "origin", "main"]).code(1).stderr().to_owned();
    assert!(said.contains("it breaks a rule") && said.contains("version.toml:1: "), "{said}");
}
