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
            let help = format!("correct it first: {others} that may follow from it are not listed");
            told.problem.help =
                if told.problem.help.is_empty() { help } else { format!("{}; {help}", told.problem.help) };
        }
    }
    faults
}

/// Whether a fault may follow from a syntax error.
fn follows(cause: &Fault, fault: &Fault) -> bool {
    if fault.problem.rule == SYNTAX {
        return false;
    }
    let is_of_form = match fault.class {
        RuleClass::Format => true,
        RuleClass::Permission | RuleClass::Policy | RuleClass::History | RuleClass::Link => false,
    };
    if fault.problem.path == cause.problem.path {
        // What stands before the error was read.
        return !(is_of_form && (1..cause.problem.line).contains(&fault.problem.line));
    }
    !is_of_form && scope(&cause.problem.path).is_some_and(|scope| fault.problem.path.starts_with(scope))
}

/// Returns the folder whose files are judged by what a file says: empty or ending in a slash. `None` if only the file itself
/// is.
fn scope(path: &str) -> Option<&str> {
    let (folder, name) = match path.rfind('/') {
        Some(at) => path.split_at(at + 1),
        None => ("", path),
    };
    let above = |folder: &'_ str, levels: usize| {
        let parts: Vec<(usize, &str)> = folder.match_indices('/').collect();
        match parts.len().checked_sub(levels + 1) {
            Some(index) => parts.get(index).map_or(0, |(at, _)| at + 1),
            None => 0,
        }
    };
    match name {
        "greenroom.toml" | "access.toml" | "model.toml" => Some(folder),
        // Stages and aliases of the model name the version.
        "version.toml" => folder.get(..above(folder, 2)),
        _ if folder == "people/" || folder.ends_with("/people/") => folder.get(..above(folder, 1)),
        _ => None,
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
    fn a_file_decides_about_the_files_of_its_folder() {
        for (path, want) in [
            ("greenroom.toml", Some("")),
            ("ml/greenroom.toml", Some("ml/")),
            ("ml/people/alice.toml", Some("ml/")),
            ("people/alice.toml", Some("")),
            ("models/churn/model.toml", Some("models/churn/")),
            ("models/churn/access.toml", Some("models/churn/")),
            ("models/churn/versions/1/version.toml", Some("models/churn/")),
            ("models/churn/stages/Production.toml", None),
        ] {
            assert_eq!(scope(path), want, "{path}");
        }
    }

    #[test]
    fn what_follows_from_a_syntax_error_is_counted_and_left_out() {
        let version = "models/churn/versions/1/version.toml";
        let all = vec![
            fault("models/churn/stages/Staging.toml", 0, "pointer", RuleClass::Link),
            fault("models/risk/model.toml", 0, "permission", RuleClass::Permission),
            fault(version, 0, "immutable", RuleClass::History),
            fault(version, 2, "unknown-key", RuleClass::Format),
            fault(version, 5, "toml", RuleClass::Format),
            fault(version, 7, "missing", RuleClass::Format),
        ];
        let told = without_consequences(all);
        let rules: Vec<&str> = told.iter().map(|f| f.problem.rule).collect();
        assert_eq!(rules, ["permission", "unknown-key", "toml"]);
        assert!(told.iter().any(|f| f.problem.help.starts_with("correct it first: 3 faults")));
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
