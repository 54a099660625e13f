//! Workflow commands: `::error file=…,line=…::…`, which GitHub, Gitea and Forgejo show beside the line.

use super::Annotation;
use crate::text::one_line;

/// One workflow command, on a line of its own, for each finding.
pub(in crate::cli) fn commands(findings: &[Annotation<'_>]) -> String {
    findings.iter().map(|f| format!("{}\n", command(f))).collect()
}

/// A notice about the whole check, not about one line of a file.
pub(in crate::cli) fn notice(text: &str) -> String {
    format!("::notice title=greenroom::{}\n", data(&one_line(text)))
}

fn command(finding: &Annotation<'_>) -> String {
    let name = if finding.fault { "error" } else { "warning" };
    let p = finding.problem;
    let mut parts = Vec::new();
    if !p.path.is_empty() {
        parts.push(format!("file={}", property(&p.path)));
    }
    if p.line > 0 {
        parts.push(format!("line={},col={}", p.line, p.column));
    }
    parts.push(format!("title={}", property(p.rule)));
    let (message, help) = finding.said();
    let text = if help.is_empty() { message } else { format!("{message}\n{help}") };
    format!("::{name} {}::{}", parts.join(","), data(&text))
}

/// Escapes the text of a command: the runner would interpret percent signs and line ends.
fn data(s: &str) -> String {
    s.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command: commas and colons end a property, too.
fn property(s: &str) -> String {
    data(s).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::git_host::annotate::tests::hostile;

    #[test]
    fn nothing_foreign_is_read_by_the_runner() {
        let problem = hostile();
        let told = commands(&[Annotation { problem: &problem, fault: true }]);
        assert_eq!(
            told,
            "::error file=models/a%2Cb%3Ac%250A%25/x y.toml,line=3,col=7,title=toml::bad\\n::set-output name=x::y %250A \
             ##[error]z {0} [link](http://evil) `x` | @alice <b>&%0A\\u{1b}[31mdo \\u{202e}this\\u{d}\\n/close\n"
        );
        assert_eq!(notice("50%\n::x"), "::notice title=greenroom::50%25\\n::x\n");
    }
}
