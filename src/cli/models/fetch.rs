//! `greenroom fetch`: writes the files of a version to a folder and verifies every byte.

use std::ffi::OsString;
use std::path::Path;

use crate::artifact::{self, ArtifactLimits, Store};
use crate::cli::terminal::complete;
use crate::cli::terminal::progress::{ProgressBar, size};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::entity::Version;
use crate::entity::version::Artifacts;
use crate::reference::origin::{self, FileHolder};
use crate::snapshot::{Snapshot, VersionView};
use crate::text::one_line;
use crate::tree::Oid;
use crate::view::{Fetched, FetchedFile};
use clap::Args;

/// Write the files of a version to a folder and verify every byte
///
/// Example: `greenroom fetch churn@champion ./model`
///
/// The folder appears complete or not at all. Exit code 3: the version does not exist, or its files are not on this
/// machine. Exit code 7: the content of a file is not what was registered.
#[derive(Debug, Args)]
pub(in crate::cli) struct FetchArgs {
    /// The version, as models:/NAME/VERSION, NAME/VERSION, NAME@ALIAS or NAME VERSION, with @{TIME or REVISION} for an
    /// earlier state; then a folder that does not exist yet, or is empty
    #[arg(value_names = ["NAME", "VERSION", "OUT"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<OsString>,
    /// Take the version as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

pub(in crate::cli) fn run(args: &FetchArgs, session: &mut Session) -> Result<Exit, CliError> {
    // The folder's name may be any bytes; the words before it are text.
    let (to, version) = args.words.split_last().ok_or_else(|| CliError::usage("name a version and a folder"))?;
    let words: Vec<String> = version.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let wanted = &VersionArgument::leading(&words, 0..=0)?.0.reference_at(args.at.as_deref())?;
    let registry = session.registry()?;
    let snapshot = registry.as_of(wanted.moment.as_deref())?;
    let (_, view) = version_argument::find(&snapshot, wanted)?;
    let name = format!("{} version {}", wanted.model, view.number);
    let faulty = || CliError::new(Exit::Failed, format!("the record of {name} cannot be read")).hint("greenroom check");
    let version = view.file()?.and_then(|f| f.value).ok_or_else(faulty)?;
    let (tree, expected) = files(&snapshot, view.clone(), version, &name)?;
    let expected = &expected;
    let store = Store::at(registry.repo().lfs_dir());
    let folder = Path::new(to);
    let to = session.path(folder);
    let files = {
        let progress = ProgressBar::new("Fetching");
        let seen = |done, total| progress.seen(done, total);
        artifact::fetch(registry.repo(), &tree, &store, &to, expected, &ArtifactLimits::default(), &seen)?
    };
    if session.out.is_json() {
        let file = |f: &artifact::FileEntry<_>| FetchedFile {
            path: f.path.as_str().to_owned(),
            size: f.size,
            sha256: f.sha256.clone(),
        };
        session.out.json(&Fetched {
            model: &wanted.model,
            version: view.number,
            path: to.to_string_lossy().into_owned(),
            digest: &expected.digest,
            size: expected.size,
            files: files.iter().map(file).collect(),
        })?;
        return Ok(Exit::Ok);
    }
    let count = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    let shown = one_line(&folder.to_string_lossy()).into_owned();
    session.out.line(format!("{name}: {count}, {}, verified, in {shown}", size(expected.size)));
    Ok(Exit::Ok)
}

/// The files of a version: its own, or those of the version that its source names.
fn files(
    snapshot: &Snapshot<'_>,
    view: VersionView<'_>,
    version: Version,
    name: &str,
) -> Result<(Oid, Artifacts), CliError> {
    match origin::holder(snapshot, view, version)? {
        FileHolder::Registry(view, version) => match (view.artifacts()?, version.artifacts) {
            (Some(tree), Some(expected)) => Ok((tree, expected)),
            (None, _) | (_, None) => Err(CliError::not_found(format!("{name} has no files"))),
        },
        FileHolder::Elsewhere(place) if place.is_empty() => Err(CliError::not_found(format!("{name} has no files"))),
        FileHolder::Elsewhere(place) => {
            let place = one_line(place.as_str());
            Err(CliError::not_found(format!("the files of {name} were not copied; they are at {place}")))
        }
    }
}
