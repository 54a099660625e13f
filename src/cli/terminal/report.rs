//! Errors for people: a message, its causes, hints, and the exit code. All translation of errors happens here.

use std::process::ExitCode;

use super::options::{Format, Global};
use super::output::OutputError;
use crate::apply::{EntityKind, Refusal};
use crate::artifact::ArtifactError;
use crate::artifact::import::ImportError;
use crate::format::problem::folded;
use crate::gate::GateError;
use crate::gate::verify::AuditError;
use crate::git::{GitError, PublishError};
use crate::hook::InstallError;
use crate::index::IndexError;
use crate::pushes::PushesError;
use crate::registry::{ChangeOutcome, RegistryError};
use crate::rules::RuleClass;
use crate::search::SearchError;
use crate::text::{many_lines, one_line};
use crate::view;

/// The exit codes. `greenroom --help` documents them; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Exit {
    /// Success.
    Ok = 0,
    /// A failure without a code of its own.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A named thing does not exist.
    NotFound = 3,
    /// The thing to create already exists.
    Exists = 4,
    /// A permission or rule refuses the change.
    Refused = 5,
    /// Another writer, or uncommitted changes, conflict with the change.
    Conflict = 6,
    /// A verification found a fault.
    Unverified = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for the user.
#[derive(Debug)]
pub(in crate::cli) struct CliError {
    pub(in crate::cli) exit: Exit,
    /// What is wrong.
    pub(in crate::cli) message: String,
    /// The causes, outermost first.
    pub(in crate::cli) causes: Vec<String>,
    /// Hints: what to do about the error.
    pub(in crate::cli) hints: Vec<String>,
    /// The verdict of the rules, if they refused the change.
    pub(in crate::cli) denied: Option<Box<ChangeOutcome>>,
    /// The number of the failed action, counted from 0, if the command has several actions.
    pub(in crate::cli) action: Option<usize>,
    /// The name that does not exist, so that a similar name can be suggested.
    pub(in crate::cli) absent: Option<Box<(EntityKind, String)>>,
}

impl CliError {
    /// An error with an exit code and a message.
    pub(in crate::cli) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            denied: None,
            action: None,
            absent: None,
        }
    }

    /// An error for a named thing that does not exist.
    pub(in crate::cli) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// An error for a wrong command line.
    pub(in crate::cli) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same error with one more hint.
    pub(in crate::cli) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Builds an error from any other one, with its causes.
    pub(in crate::cli) fn of(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes: Vec<String> = Vec::new();
        let mut cause = error.source();
        let message = error.to_string();
        while let Some(e) = cause {
            let text = e.to_string();
            // Some libraries repeat the cause in the error's own text.
            if !message.contains(&text) && causes.last().is_none_or(|last| !last.contains(&text)) {
                causes.push(text);
            }
            cause = e.source();
        }
        Self { causes, ..Self::new(exit, message) }
    }
}

impl From<std::io::Error> for CliError {
    fn from(e: std::io::Error) -> Self {
        Self::of(Exit::Failed, &e)
    }
}

impl From<OutputError> for CliError {
    fn from(e: OutputError) -> Self {
        match e {
            OutputError::Closed => Self::new(Exit::Ok, "standard output was closed"),
            OutputError::Io(e) => e.into(),
        }
    }
}

impl From<crate::time::InvalidDate> for CliError {
    fn from(e: crate::time::InvalidDate) -> Self {
        Self::of(Exit::Usage, &e)
    }
}

impl From<crate::tree::TreeError> for CliError {
    fn from(e: crate::tree::TreeError) -> Self {
        Self::of(Exit::Failed, &e)
    }
}

impl From<GitError> for CliError {
    fn from(e: GitError) -> Self {
        let exit = match &e {
            GitError::NotARepository { .. } | GitError::UnknownRevision { .. } => Exit::NotFound,
            GitError::Busy { .. } | GitError::Locked { .. } | GitError::CheckedOut { .. } => Exit::Conflict,
            GitError::Untrusted { .. }
            | GitError::Embedded { .. }
            | GitError::RefFormat { .. }
            | GitError::Format { .. }
            | GitError::ImplicitBare { .. }
            | GitError::Partial { .. }
            | GitError::Shallow
            | GitError::Detached
            | GitError::NoIdentity
            | GitError::Object(_)
            | GitError::Stage(_)
            | GitError::Quarantined
            | GitError::ReadOnly { .. }
            | GitError::Signing { .. }
            | GitError::Io { .. }
            | GitError::Git { .. } => Exit::Failed,
        };
        Self::of(exit, &e)
    }
}

impl From<Refusal> for CliError {
    fn from(e: Refusal) -> Self {
        let exit = match &e {
            Refusal::NotFound { .. } => Exit::NotFound,
            Refusal::Exists { .. } => Exit::Exists,
            Refusal::Outdated { .. } => Exit::Conflict,
            Refusal::Invalid { .. } | Refusal::Faulty { .. } | Refusal::Tree(_) => Exit::Failed,
        };
        let absent = match &e {
            Refusal::NotFound { noun, name, .. } => Some(Box::new((*noun, name.clone()))),
            Refusal::Exists { .. }
            | Refusal::Outdated { .. }
            | Refusal::Invalid { .. }
            | Refusal::Faulty { .. }
            | Refusal::Tree(_) => None,
        };
        Self { absent, ..Self::of(exit, &e) }
    }
}

impl From<ArtifactError> for CliError {
    fn from(e: ArtifactError) -> Self {
        let exit = match &e {
            ArtifactError::Missing(_) => Exit::NotFound,
            ArtifactError::Patterns { .. } | ArtifactError::Pointers(..) => Exit::Failed,
            ArtifactError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
            ArtifactError::Exists(_) => Exit::Exists,
            ArtifactError::Damaged { .. }
            | ArtifactError::Mismatch { .. }
            | ArtifactError::Pointer { .. }
            | ArtifactError::Unexpected { .. }
            | ArtifactError::Short { .. } => Exit::Unverified,
            ArtifactError::Changed(_) | ArtifactError::Removed(_) => Exit::Conflict,
            ArtifactError::Io { .. }
            | ArtifactError::Path(_)
            | ArtifactError::Several(_)
            | ArtifactError::NotAFile { .. }
            | ArtifactError::Registry { .. }
            | ArtifactError::Empty(_)
            | ArtifactError::TooMuch { .. }
            | ArtifactError::Clash(..)
            | ArtifactError::FileAndFolder(_)
            | ArtifactError::Kind { .. }
            | ArtifactError::Tree { .. } => Exit::Failed,
        };
        Self::of(exit, &e)
    }
}

impl From<ImportError> for CliError {
    fn from(e: ImportError) -> Self {
        let exit = match e {
            ImportError::Artifact(e) => return e.into(),
            ImportError::Status { status: 404, .. } => Exit::NotFound,
            ImportError::Status { .. }
            | ImportError::Unreachable { .. }
            | ImportError::Answer { .. }
            | ImportError::NotAllowed(_)
            | ImportError::Revoked(_) => Exit::Failed,
        };
        Self::of(exit, &e)
    }
}

impl From<IndexError> for CliError {
    fn from(e: IndexError) -> Self {
        match e {
            IndexError::Registry(e) => e.into(),
            IndexError::Busy { .. } | IndexError::Moved => Self::of(Exit::Conflict, &e),
            IndexError::OffLine(_) => Self::of(Exit::NotFound, &e),
            IndexError::Damaged { .. } | IndexError::Unwritable { .. } => Self::of(Exit::Failed, &e),
        }
    }
}

impl From<InstallError> for CliError {
    fn from(e: InstallError) -> Self {
        match e {
            InstallError::Git(e) => e.into(),
            InstallError::InTheWay(_) => Self::of(Exit::Conflict, &e),
            InstallError::Pattern(_) => Self::of(Exit::Usage, &e),
            InstallError::Io { .. } | InstallError::Path(_) => Self::of(Exit::Failed, &e),
        }
    }
}

impl From<PushesError> for CliError {
    fn from(e: PushesError) -> Self {
        match e {
            PushesError::Git(e) => e.into(),
            PushesError::Tree(e) => e.into(),
            PushesError::Damaged { .. } => Self::of(Exit::Unverified, &e),
            PushesError::Contended => Self::of(Exit::Conflict, &e),
            PushesError::TooMany { .. } | PushesError::Publish(_) | PushesError::Stage(_) => Self::of(Exit::Failed, &e),
        }
    }
}

impl From<GateError> for CliError {
    fn from(e: GateError) -> Self {
        AuditError::Gate(e).into()
    }
}

impl From<AuditError> for CliError {
    fn from(e: AuditError) -> Self {
        match e {
            AuditError::Gate(GateError::Git(e)) => e.into(),
            AuditError::Gate(GateError::Tree(e)) => e.into(),
            AuditError::Gate(GateError::Pushes(e)) => e.into(),
            AuditError::Gate(GateError::Setting { .. } | GateError::Late { .. } | GateError::Ids(_)) => {
                Self::of(Exit::Failed, &e)
            }
            AuditError::OffLine { .. } | AuditError::Empty(_) => Self::of(Exit::NotFound, &e),
        }
    }
}

impl From<SearchError> for CliError {
    fn from(e: SearchError) -> Self {
        let error = Self::of(Exit::Usage, &e);
        // The message is MLflow's own, which does not list greenroom's additional keys.
        if matches!(e, SearchError::Attribute { .. }) {
            return error.hint(
                "greenroom also has alias, stage, description, creation_timestamp, last_updated_timestamp and tags.KEY, \
                 and for versions params.KEY and metrics.KEY",
            );
        }
        error
    }
}

impl From<RegistryError> for CliError {
    fn from(e: RegistryError) -> Self {
        match e {
            RegistryError::Refused(e) => e.into(),
            RegistryError::RefusedAt { index, refusal } => Self { action: Some(index), ..refusal.into() },
            RegistryError::Git(e) => e.into(),
            RegistryError::Tree(e) => e.into(),
            RegistryError::Denied { outcome } => {
                let message = "the change is refused; nothing was written".to_owned();
                Self { denied: Some(outcome), ..Self::new(Exit::Refused, message) }
            }
            RegistryError::Publish(PublishError::Dirty { .. })
            | RegistryError::Contended
            | RegistryError::InProgress(_) => Self::of(Exit::Conflict, &e),
            RegistryError::NotARegistry { .. }
            | RegistryError::BranchGone { .. }
            | RegistryError::RegistryGone { .. }
            | RegistryError::NoMoment(_)
            | RegistryError::BeforeHistory(_) => Self::of(Exit::NotFound, &e),
            RegistryError::BranchExists { .. } => Self::of(Exit::Exists, &e),
            RegistryError::Reflog(_) | RegistryError::AmbiguousMoment(_) | RegistryError::Ahead(_) => {
                Self::of(Exit::Usage, &e)
            }
            RegistryError::SeveralRegistries { .. }
            | RegistryError::NoPerson { .. }
            | RegistryError::TooManyCommits { .. }
            | RegistryError::Pushes(_)
            | RegistryError::Stage(_)
            | RegistryError::Ids(_)
            | RegistryError::Publish(_) => Self::of(Exit::Failed, &e),
        }
    }
}

/// Prints a remark to stderr, so that programs do not read it as a result.
pub(in crate::cli) fn note(message: &str) {
    use std::io::Write as _;
    // A failed write to stderr cannot be reported anywhere.
    let _ = writeln!(anstream::stderr().lock(), "{}", one_line(message));
}

/// Prints a warning to stderr.
pub(in crate::cli) fn warn(message: &str) {
    use std::io::Write as _;
    let yellow = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    // A failed write to stderr cannot be reported anywhere.
    let _ = writeln!(anstream::stderr().lock(), "{yellow}warning:{yellow:#} {}", one_line(message));
}

/// Prints an error to stderr, as text or as one JSON object. A closed pipe is not an error.
pub(in crate::cli) fn print(e: &CliError, global: &Global) -> Exit {
    use std::io::Write as _;
    // The reader of stdout has seen enough.
    if e.exit == Exit::Ok {
        return Exit::Ok;
    }
    let mut err = anstream::stderr().lock();
    let text = match global.output {
        Format::Json => {
            let body = view::Failure {
                error: view::FailureDetails {
                    code: e.exit as u8,
                    message: &e.message,
                    causes: &e.causes,
                    hints: &e.hints,
                    faults: e.denied.as_ref().map(|o| o.verdict.faults.as_slice()),
                },
            };
            format!("{}\n", serde_json::to_string(&body).unwrap_or_default())
        }
        Format::Text => as_text(e),
    };
    // A failed write to stderr cannot be reported anywhere.
    let _ = err.write_all(text.as_bytes());
    e.exit
}

/// An error as text, with its causes, the verdict of the rules, and hints.
pub(in crate::cli) fn as_text(e: &CliError) -> String {
    let bold = anstyle::Style::new().bold();
    let red = bold.fg_color(Some(anstyle::AnsiColor::Red.into()));
    let mut out = format!("{red}error:{red:#} {}\n", many_lines(&e.message));
    for cause in &e.causes {
        out.push_str(&format!("  because: {}\n", one_line(cause)));
    }
    let faults: Vec<_> = e.denied.iter().flat_map(|o| &o.verdict.faults).collect();
    for (index, more) in folded(faults.iter().map(|f| ((), &f.problem))) {
        let Some(fault) = faults.get(index) else { continue };
        out.push_str(&format!("  {fault}\n"));
        if !fault.problem.help.is_empty() {
            out.push_str(&format!("    {}\n", one_line(&fault.problem.help)));
        }
        if more > 0 {
            out.push_str(&format!("    and {more} more like it\n"));
        }
    }
    for hint in &e.hints {
        out.push_str(&format!("{bold}hint:{bold:#} {}\n", many_lines(hint)));
    }
    out
}

/// The exit code for faults of files: [`Exit::Failed`] for a fault in a file, [`Exit::Refused`] for a refusal by a
/// permission or policy. A refused change always has [`Exit::Refused`].
pub(in crate::cli) fn exit_for(faults: &[crate::rules::Fault]) -> Exit {
    let refused = |c: RuleClass| match c {
        RuleClass::Permission | RuleClass::Policy | RuleClass::History => true,
        RuleClass::Format | RuleClass::Link => false,
    };
    if faults.is_empty() {
        Exit::Ok
    } else if faults.iter().any(|f| refused(f.class)) {
        Exit::Refused
    } else {
        Exit::Failed
    }
}
