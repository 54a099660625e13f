//! A verdict for CI: each host's own format for faults in files, and Markdown for people.
//!
//! Text from a repository is untrusted in each of these formats: a name must not become a command of the job, a
//! mention, or a link.

pub(super) mod github;
pub(super) mod gitlab;
pub(super) mod markdown;
pub(super) mod sarif;

use std::path::PathBuf;
use std::str::FromStr;

use crate::format::Problem;
use crate::text::one_line;

/// A format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum ReportStyle {
    /// Text for people at a terminal.
    Text,
    /// JSON for programs.
    Json,
    /// Workflow commands of GitHub, Gitea and Forgejo Actions.
    Github,
    /// GitLab's code quality report.
    Gitlab,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// A Markdown summary for people, for a job's page or a comment.
    Markdown,
}

impl ReportStyle {
    /// All formats, in the order of the help.
    const ALL: [Self; 6] = [Self::Text, Self::Json, Self::Github, Self::Gitlab, Self::Sarif, Self::Markdown];

    /// The name of the format on the command line.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Sarif => "sarif",
            Self::Markdown => "markdown",
        }
    }
}

/// A requested report: its format, and the file to write it to (standard output without a file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportRequest {
    pub(super) style: ReportStyle,
    pub(super) file: Option<PathBuf>,
}

impl FromStr for ReportRequest {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (style, file) = s.split_once('=').map_or((s, None), |(style, file)| (style, Some(file)));
        let names = || ReportStyle::ALL.map(ReportStyle::as_str).join(", ");
        let style = ReportStyle::ALL.into_iter().find(|k| k.as_str() == style);
        let style = style.ok_or_else(|| format!("must be one of {}, or STYLE=FILE", names()))?;
        match file {
            Some("") => Err("the name of the file is missing after `=`".to_owned()),
            file => Ok(Self { style, file: file.map(PathBuf::from) }),
        }
    }
}

/// A fault or a warning in a report.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Annotation<'p> {
    pub(super) problem: &'p Problem,
    /// Whether it fails the check; otherwise it is a warning.
    pub(super) fault: bool,
}

impl Annotation<'_> {
    /// The message and the hint of the finding, each in one line.
    fn said(&self) -> (String, String) {
        (one_line(&self.problem.message).into_owned(), one_line(&self.problem.help).into_owned())
    }

    /// An id by which hosts recognize the same finding in another run, even if its line number changed.
    fn fingerprint(&self, seen: usize) -> String {
        use sha2::{Digest as _, Sha256};
        let Problem { path, rule, message, .. } = self.problem;
        let hash = Sha256::digest(format!("{rule}\0{path}\0{message}\0{seen}").as_bytes());
        hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
    }
}

/// The findings with their fingerprints. Equal findings are counted, so that each fingerprint is unique.
fn fingerprints<'f, 'p>(findings: &'f [Annotation<'p>]) -> impl Iterator<Item = (&'f Annotation<'p>, String)> {
    let mut seen = std::collections::HashMap::new();
    findings.iter().map(move |f| {
        let count = seen.entry((f.problem.rule, &f.problem.path, &f.problem.message)).or_insert(0_usize);
        *count += 1;
        (f, f.fingerprint(*count))
    })
}

/// A path as a URI reference: bytes that a URI cannot hold are percent-encoded.
fn uri(path: &str) -> String {
    let kept = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A fault in which each field holds text that a report could interpret as markup or as a command.
    pub(crate) fn hostile() -> Problem {
        Problem {
            path: "models/a,b:c%0A%/x y.toml".to_owned(),
            line: 3,
            column: 7,
            rule: "toml",
            message: "bad\n::set-output name=x::y %0A ##[error]z {0} [link](http://evil) `x` | @alice <b>&".to_owned(),
            help: "\u{1b}[31mdo \u{202e}this\r\n/close".to_owned(),
        }
    }

    #[test]
    fn a_report_is_named_by_its_style_and_file() {
        assert_eq!("sarif".parse(), Ok(ReportRequest { style: ReportStyle::Sarif, file: None }));
        assert_eq!("text=a=b".parse(), Ok(ReportRequest { style: ReportStyle::Text, file: Some("a=b".into()) }));
        for bad in ["", "xml", "text=", "=x"] {
            assert!(bad.parse::<ReportRequest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn findings_that_say_the_same_have_different_fingerprints() {
        let problem = hostile();
        let finding = Annotation { problem: &problem, fault: true };
        let ids: Vec<String> = fingerprints(&[finding, finding]).map(|(_, id)| id).collect();
        assert_eq!(ids.len(), 2);
        assert_ne!(ids.first(), ids.last());
    }
}
