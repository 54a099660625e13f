//! Leaves out what follows from a syntax error: a file that cannot be read as a whole loses what it says, and rules that
//! miss it report that as well.
//!
//! The syntax error stays, so a step with faults never becomes one without.

use super::{Fault, RuleClass};

/// The name of the rule of TOML's syntax.
const SYNTAX: &str = "toml";

/// Returns the faults without those that follow from a syntax error in a file. The help of the first syntax error of a
/// file says how many were left out because of it.
pub fn without_consequences(mut faults: Vec<Fault>) -> Vec<Fault> {
    let mut causes: Vec<Fault> = Vec::new();
    for fault in faults.iter().filter(|fault| fault.problem.rule == SYNTAX) {
        if !causes.iter().any(|known| known.problem.path == fault.problem.path) {
            causes.push(fault.clone());
        }
    }
    for cause in causes {
        let count = faults.len();
        faults.retain(|fault| !follows(&cause, fault));
        let left_out = count - faults.len();
        if let Some(told) = faults.iter_mut().find(|fault| **fault == cause).filter(|_| left_out > 0) {
            let others = crate::text::counted(left_out, "fault");
            let help = format!("correct it first; not listed: {others} that may follow from it");
            told.problem.help =
                if told.problem.help.is_empty() { help } else { format!("{}; {help}", told.problem.help) };
        }
    }
    faults
}

/// Whether a fault may follow from a syntax error: a fault of the same file that does not stand before it, and in the files
/// that name people and groups a fault about these.
fn follows(cause: &Fault, fault: &Fault) -> bool {
    if fault == cause {
        return false;
    }
    let (path, line) = (&fault.problem.path, fault.problem.line);
    match fault.class {
        RuleClass::Format if *path == cause.problem.path => !(1..cause.problem.line).contains(&line),
        RuleClass::Format => false,
        RuleClass::Permission | RuleClass::History => *path == cause.problem.path,
        RuleClass::Policy | RuleClass::Link => {
            let names =
                |folder: &str| *path == format!("{folder}greenroom.toml") || *path == format!("{folder}access.toml");
            *path == cause.problem.path || registry(&cause.problem.path).is_some_and(names)
        }
    }
}

/// Returns the folder of the registry whose people, groups and approvers a file says; `None` for any other file.
fn registry(path: &str) -> Option<&str> {
    let (folder, name) = match path.rfind('/') {
        Some(at) => path.split_at(at + 1),
        None => ("", path),
    };
    match name {
        "greenroom.toml" | "access.toml" => Some(folder),
        _ => folder.strip_suffix("people/").filter(|above| above.is_empty() || above.ends_with('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Problem;

    fn fault(path: &str, line: usize, rule: &'static str, class: RuleClass) -> Fault {
        let mut problem = Problem::of_file(path, rule, "wrong");
        problem.line = line;
        Fault { problem, class }
    }

    #[test]
    fn people_and_groups_are_named_in_two_files_of_the_registry() {
        for (path, want) in [
            ("greenroom.toml", Some("")),
            ("ml/access.toml", Some("ml/")),
            ("ml/people/alice.toml", Some("ml/")),
            ("people/alice.toml", Some("")),
            ("other-people/alice.toml", None),
            ("models/churn/model.toml", None),
        ] {
            assert_eq!(registry(path), want, "{path}");
        }
    }

    #[test]
    fn what_follows_from_a_syntax_error_is_counted_and_left_out() {
        let (version, stage) = ("models/churn/versions/1/version.toml", "models/churn/stages/Staging.toml");
        let all = vec![
            fault("access.toml", 2, "toml", RuleClass::Format),
            fault("greenroom.toml", 5, "principal", RuleClass::Link),
            fault(stage, 0, "pointer", RuleClass::Link),
            fault(version, 0, "immutable", RuleClass::History),
            fault(version, 2, "unknown-key", RuleClass::Format),
            fault(version, 5, "toml", RuleClass::Format),
            fault(version, 5, "value", RuleClass::Format),
            fault(version, 7, "toml", RuleClass::Format),
        ];
        let told = without_consequences(all);
        let shown: Vec<_> = told.iter().map(|f| (f.problem.path.as_str(), f.problem.rule)).collect();
        assert_eq!(shown, [("access.toml", "toml"), (stage, "pointer"), (version, "unknown-key"), (version, "toml")]);
        let helps: Vec<&str> = told.iter().map(|f| f.problem.help.as_str()).filter(|help| !help.is_empty()).collect();
        assert_eq!(
            helps,
            [
                "correct it first; not listed: 1 fault that may follow from it",
                "correct it first; not listed: 3 faults that may follow from it"
            ]
        );
    }

    #[test]
    fn faults_without_a_syntax_error_all_stay() {
        let all = vec![
            fault("people/bob.toml", 3, "unknown-key", RuleClass::Format),
            fault("access.toml", 0, "principal", RuleClass::Link),
        ];
        assert_eq!(without_consequences(all.clone()), all);
    }
}
