//! GitLab's code quality report: a JSON list that a job uploads as an artifact; the merge request shows it.

use serde_json::{Value, json};

use super::{Annotation, fingerprints};

/// The report. A finding that belongs to no single file is shown at `greenroom.toml`, whose path is `home`.
pub(in crate::cli) fn report(findings: &[Annotation<'_>], home: &str) -> Value {
    let one = |(f, fingerprint): (&Annotation<'_>, String)| {
        let (message, help) = f.said();
        let description = if help.is_empty() { message } else { format!("{message} ({help})") };
        json!({
            "description": description,
            "check_name": f.problem.rule,
            "fingerprint": fingerprint,
            "severity": if f.fault { "critical" } else { "minor" },
            "location": {
                "path": if f.problem.path.is_empty() { home } else { &f.problem.path },
                "lines": { "begin": f.problem.line.max(1) },
            },
        })
    };
    fingerprints(findings).map(one).collect()
}
