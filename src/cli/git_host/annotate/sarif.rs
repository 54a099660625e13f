//! SARIF 2.1.0 (OASIS): the format that code scanning reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Annotation, fingerprints, uri};
use crate::rules::RULES;

/// The log of one run. A finding that belongs to no single file is shown at `greenroom.toml`, whose path is `home`.
pub(in crate::cli) fn log(findings: &[Annotation<'_>], home: &str) -> Value {
    let known = RULES.iter().map(|r| (r.name, r.about));
    let named: BTreeSet<&str> = RULES.iter().map(|r| r.name).collect();
    // Faults of reading a file, of merging and the like belong to no rule in `RULES`.
    let others: BTreeSet<&str> = findings.iter().map(|f| f.problem.rule).filter(|r| !named.contains(r)).collect();
    let ids: Vec<&str> = known.clone().map(|(name, _)| name).chain(others.iter().copied()).collect();
    let about = known.chain(others.iter().map(|r| (*r, "The files of the registry follow the registry's format.")));
    let rules: Vec<Value> =
        about.map(|(name, about)| json!({ "id": name, "shortDescription": { "text": text(about) } })).collect();
    let results: Vec<Value> = fingerprints(findings)
        .map(|(f, fingerprint)| {
            let (message, help) = f.said();
            let said = if help.is_empty() { format!("{message}.") } else { format!("{message}. To do: {help}.") };
            let path = if f.problem.path.is_empty() { home } else { &f.problem.path };
            let mut place = json!({ "artifactLocation": { "uri": uri(path), "uriBaseId": "%SRCROOT%" } });
            if f.problem.line > 0 {
                place["region"] = json!({ "startLine": f.problem.line, "startColumn": f.problem.column.max(1) });
            }
            json!({
                "ruleId": f.problem.rule,
                "ruleIndex": ids.iter().position(|id| *id == f.problem.rule),
                "level": if f.fault { "error" } else { "warning" },
                "message": { "text": text(&said) },
                "locations": [{ "physicalLocation": place }],
                "partialFingerprints": { "greenroom/v1": fingerprint },
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "greenroom", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A plain-text message: brackets would be links and braces placeholders (SARIF 2.1.0, §3.11.5 and §3.11.6).
fn text(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\\' | '[' | ']' => out.extend(['\\', c]),
            '{' | '}' => out.extend([c, c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::git_host::annotate::tests::hostile;

    #[test]
    fn brackets_and_braces_are_only_characters() {
        assert_eq!(text("a [b](c) {0} \\"), "a \\[b\\](c) {{0}} \\\\");
        let problem = hostile();
        let log = log(&[Annotation { problem: &problem, fault: true }], "greenroom.toml");
        let result = &log["runs"][0]["results"][0];
        assert_eq!(
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "models/a%2Cb%3Ac%250A%25/x%20y.toml"
        );
        let index = result["ruleIndex"].as_u64().map(|i| i as usize);
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array();
        assert_eq!(rules.and_then(|r| r.get(index?)).map(|r| &r["id"]), Some(&json!("toml")));
    }
}
