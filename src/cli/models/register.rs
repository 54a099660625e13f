//! `greenroom register`: registers a model folder, or a URI, as a version.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::action::{Action, NewVersion};
use crate::artifact::import::{ImportOrigin, InvalidPlace, Sources};
use crate::artifact::{
    self, ArtifactLimits, ByteStorage, Content, Exclude, GitFolders, Guarded, IngestedFolder, Links, Selection, Store,
};
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::progress::{ProgressBar, size};
use crate::cli::terminal::report::CliError;
use crate::cli::terminal::report::Exit;
use crate::cli::terminal::session::Session;
use crate::cli::terminal::single_value::by_key;
use crate::cli::terminal::value_parser::{pair, text};
use crate::entity::version::{Metric, VersionSource};
use crate::git::Repo;
use crate::name::{AliasName, Key, ModelName};
use crate::registry::{ChangeOptions, Registry, RegistryError};
use crate::text::{Text, listed, one_line, quoted, uri_scheme, with_causes};

/// Register a version of a model: a folder that MLflow wrote, any files, or a URI
///
/// Examples: `greenroom register churn ./model --metric auc=0.91`; `greenroom register churn --source
/// s3://models/churn/1`
///
/// With PATH the files are copied into the registry. Small text files are committed. Other files are stored in the
/// layout of Git LFS with a pointer for each, so `git lfs push` and `git lfs pull` transfer them. The version records
/// the contents of `MLmodel` and of the environment files. runs:/RUN/PATH and models:/m-ID are fetched from the
/// tracking server, with the parameters and metrics of the run. With --source alone, only the URI is recorded. If the
/// model does not exist, the command creates it.
///
/// Files that a `.greenroomignore` in the folder names are left out; its syntax is that of `.gitignore`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RegisterArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// The model folder, or a single file; or runs:/RUN/PATH or models:/m-ID of the tracking server
    #[arg(value_name = "PATH", required_unless_present = "source")]
    path: Option<PathBuf>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    tracking: TrackingArgs,
    /// Where the model came from, such as s3://bucket/model or runs:/RUN/model
    #[arg(long, value_name = "URI", value_parser = text)]
    source: Option<Text>,
    /// The description of this version (Markdown)
    #[arg(long, value_name = "TEXT", value_parser = text)]
    description: Option<Text>,
    /// A parameter of the run; can be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    params: Vec<(Key, Text)>,
    /// A metric of the run; can be repeated
    #[arg(long = "metric", value_name = "KEY=NUMBER", value_parser = metric)]
    metrics: Vec<(Key, Metric)>,
    /// A tag; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(Key, Text)>,
    /// An alias to point to the version; can be repeated
    #[arg(long = "alias", value_name = "ALIAS")]
    aliases: Vec<AliasName>,
    /// The MLflow run that made the version; by default the run in MLmodel
    #[arg(long, value_name = "ID", value_parser = text)]
    run_id: Option<Text>,
    /// A link to the run
    #[arg(long, value_name = "URL", value_parser = text)]
    run_link: Option<Text>,
    /// The MLflow logged model; by default the one in MLmodel
    #[arg(long, value_name = "ID", value_parser = text)]
    model_id: Option<Text>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Options that select the files of a folder.
#[derive(Debug, Args)]
struct SelectionArgs {
    /// Leave out files that match the pattern (syntax of .gitignore); can be repeated
    #[arg(long, value_name = "PATTERN", requires = "path")]
    exclude: Vec<String>,
    /// Follow symbolic links and take their targets, wherever they are
    #[arg(long, requires = "path")]
    follow_links: bool,
    /// Take folders named .git as well; by default they are left out, because they may hold credentials
    #[arg(long, requires = "path")]
    with_git: bool,
}

/// The tracking server to fetch runs and logged models from.
#[derive(Debug, Args)]
struct TrackingArgs {
    /// The tracking server to fetch runs:/… and models:/m-… from. The variables MLFLOW_TRACKING_TOKEN, or
    /// MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, hold its credentials
    #[arg(long, value_name = "URL", env = "MLFLOW_TRACKING_URI", hide_env_values = true)]
    tracking_uri: Option<String>,
    /// A place where the tracking server may store files, besides the server itself: a folder, or the artifacts of
    /// another server (https://HOST/api/2.0/mlflow-artifacts/artifacts); can be repeated
    #[arg(long, value_name = "PREFIX")]
    import_from: Vec<String>,
}

/// Parses `KEY=NUMBER`.
pub(in crate::cli) fn metric(s: &str) -> Result<(Key, Metric), String> {
    let (key, value) = s.split_once('=').ok_or("write KEY=NUMBER")?;
    let number: f64 = value.trim().parse().map_err(|_| format!("{} is not a number", crate::text::quoted(value)))?;
    let is_word = !value.contains(|c: char| c.is_ascii_digit());
    if number.is_infinite() && !is_word {
        return Err(format!("{} is too large for a metric; for infinity write inf", crate::text::quoted(value)));
    }
    Ok((key.parse().map_err(|e: crate::name::InvalidName| e.to_string())?, Metric::Value(number)))
}

pub(in crate::cli) fn run(args: RegisterArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let mut new = NewVersion {
        create_model: true,
        description: args.description.unwrap_or_default(),
        source: VersionSource {
            uri: args.source.unwrap_or_default(),
            run_id: args.run_id.unwrap_or_default(),
            run_link: args.run_link.unwrap_or_default(),
            model_id: args.model_id.unwrap_or_default(),
            location: Text::default(),
        },
        tags: by_key("--tag", args.tags)?,
        params: by_key("--param", args.params)?,
        metrics: by_key("--metric", args.metrics)?,
        aliases: args.aliases.into_iter().collect(),
        ..NewVersion::default()
    };
    let (mut warnings, mut stored) = (Vec::new(), 0);
    if let Some(path) = &args.path {
        // A person without permission gets the refusal before gigabytes are copied.
        would_pass(session, &registry, &args.change, &args.name, &new)?;
        let (taken, notes) = match remote(path) {
            Some(uri) => fetch(&registry, &uri, &args.tracking, args.change.is_dry_run(), &mut new)?,
            None => (take(session, &registry, path, &args.selection, args.change.is_dry_run())?, Vec::new()),
        };
        if !session.out.is_json() {
            session.out.line(summary(&taken));
        }
        stored = taken.files.iter().filter(|f| f.place == Content::Stored).count();
        warnings = notes;
        warnings.extend(unloadable(&taken));
        warnings.extend(same_files(&registry, &args.name, &taken)?);
        warnings.extend(artifact::record(taken, &mut new));
    }
    let comment = args.change.text()?.as_str().to_owned();
    let action = Action::CreateVersion { model: args.name, new: Box::new(new) };
    let exit = change::run(session, &registry, &args.change, &[action], comment, &warnings)?;
    if stored > 0 && matches!(exit, Exit::Ok) && !args.change.is_dry_run() {
        session.send_files(registry.repo());
        if let Some(remote) = registry.repo().push_remote(registry.branch()).filter(|_| !session.out.is_json()) {
            let files = if stored == 1 { "1 file".to_owned() } else { format!("{stored} files") };
            let name = crate::text::one_line(&remote.name).into_owned();
            session.out.line(format!("Not sent to {name} yet: {files}. Run `git push`."));
        }
    }
    Ok(exit)
}

/// Judges the registration without the files, and writes nothing.
fn would_pass(
    session: &Session,
    registry: &Registry,
    change: &ChangeArgs,
    model: &ModelName,
    new: &NewVersion,
) -> Result<(), CliError> {
    let change_author = session.change_author(registry, change.person())?;
    let now = session.now(&change_author.committer);
    let action = Action::CreateVersion { model: model.clone(), new: Box::new(new.clone()) };
    let options = ChangeOptions { dry_run: true, ..ChangeOptions::default() };
    let outcome = registry.change(&change_author, &[action], now, &options)?;
    if outcome.verdict.passes() || change.is_dry_run() {
        return Ok(());
    }
    Err(RegistryError::Denied { outcome: Box::new(outcome) }.into())
}

/// The URI of a run's artifact or of a logged model, if PATH is one.
fn remote(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    ["runs:/", "models:/"].iter().any(|scheme| text.starts_with(scheme)).then(|| text.to_owned())
}

/// Copies the files of a folder into the store; a dry run only hashes them.
fn take(
    session: &Session,
    registry: &Registry,
    path: &Path,
    selected: &SelectionArgs,
    dry_run: bool,
) -> Result<IngestedFolder, CliError> {
    if let Some(e) = no_model_folder(path, &session.path(path), selected) {
        return Err(e);
    }
    let store = Store::at(registry.repo().lfs_dir());
    let keep = if dry_run { ByteStorage::Nothing } else { ByteStorage::In(&store) };
    let path = session.path(path);
    let exclude = Exclude::new(&selected.exclude).map_err(|e| CliError::usage(e.to_string()))?;
    let links = if selected.follow_links { Links::Follow } else { Links::Refuse };
    // A model in a clone without its large files has them in the LFS store of that clone, or nowhere.
    let own = Repo::discover(&path).ok();
    let guarded = guarded(registry, own.as_ref());
    let objects = std::iter::once(store.clone()).chain(own.map(|repo| Store::at(repo.lfs_dir()))).collect();
    let git = if selected.with_git { GitFolders::Take } else { GitFolders::LeaveOut };
    let selection = Selection { exclude, links, git, guarded, objects };
    let progress = ProgressBar::new(if dry_run { "Hashing" } else { "Storing" });
    let seen = |done, total| progress.seen(done, total);
    Ok(artifact::ingest_selected(&path, &selection, keep, &ArtifactLimits::default(), &seen)?)
}

/// How much is read of the file that names the newest snapshot in a cache, in bytes.
const LONGEST_REVISION: u64 = 128;

/// Returns the error for a path that is a URI, or a cache folder of the Hugging Face hub; `None` for any other path.
fn no_model_folder(given: &Path, path: &Path, selected: &SelectionArgs) -> Option<CliError> {
    let text = given.to_string_lossy();
    let scheme = uri_scheme(&text).filter(|scheme| scheme.len() > 1 && text.starts_with(&format!("{scheme}:/")));
    if let Some(scheme) = scheme.filter(|_| !path.exists()) {
        let e = CliError::usage(format!("{} is a URI, but the files must be in a folder", quoted(&text)));
        return Some(match text.strip_prefix("file://") {
            Some(folder) => e.hint(format!("give the path of the folder: {}", one_line(folder))),
            None => e
                .hint("--source records only the URI: greenroom register NAME --source URI")
                .hint(format!("to store its files in the registry, copy them from {scheme} into a folder first")),
        });
    }
    let has = |folder: &str| path.join(folder).is_dir();
    if selected.follow_links || !(has("snapshots") && has("blobs") && has("refs")) {
        return None;
    }
    let newest = std::fs::File::open(path.join("refs/main")).ok().and_then(|file| {
        let mut name = String::new();
        file.take(LONGEST_REVISION).read_to_string(&mut name).ok()?;
        Some(name.trim().to_owned())
    });
    let newest = newest.filter(|name| !name.is_empty() && !name.contains('/') && has(&format!("snapshots/{name}")));
    let snapshot = Path::new("snapshots").join(newest.as_deref().unwrap_or("REVISION"));
    let message = format!(
        "{} is the cache of a model of the Hugging Face hub; the model's files are in its snapshots",
        path.display()
    );
    Some(CliError::usage(message).hint(format!("give a snapshot: {}", given.join(snapshot).display())))
}

/// The folders of a registry, whose files must not be registered; also those in the work tree of the registry in
/// which a model lies.
fn guarded(registry: &Registry, own: Option<&Repo>) -> Guarded {
    let other = own.filter(|repo| repo.common_dir() == registry.repo().common_dir()).and_then(Repo::work_dir);
    Guarded::new(registry.own_folders().into_iter().chain(other.map(|dir| dir.join(registry.at()))))
}

/// Fetches the files of a run's artifact or of a logged model into the store, and adds the measurements of its run to
/// the version. Values from the command line win. Returns the files and the notes for the user.
fn fetch(
    registry: &Registry,
    uri: &str,
    tracking: &TrackingArgs,
    dry_run: bool,
    new: &mut NewVersion,
) -> Result<(IngestedFolder, Vec<String>), CliError> {
    let Some(server) = tracking.tracking_uri.as_deref().filter(|u| !u.is_empty()) else {
        let hint = "name the server with --tracking-uri URL, or set MLFLOW_TRACKING_URI";
        return Err(CliError::usage(format!("{uri} is on a tracking server, but no server is named")).hint(hint));
    };
    if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
        let message = format!("{} is not the URL of a tracking server, which has http or https", quoted(server));
        return Err(CliError::usage(message)
            .hint("for a local store (sqlite:, file:, mlruns), register the folder of the model that holds MLmodel")
            .hint("or start a server, `mlflow server --backend-store-uri URI`, and name it with --tracking-uri"));
    }
    let wrong = |e: InvalidPlace| CliError::usage(format!("the tracking server cannot be used: {e}"));
    let credentials = crate::cli::server::serve::tracking_credentials();
    let sources = Sources::new(&tracking.import_from, Some(server), credentials).map_err(wrong)?;
    let sources = sources.guarding(guarded(registry, None));
    let origin = match sources.origin(uri) {
        Some(origin @ (ImportOrigin::LoggedModel(_) | ImportOrigin::OfRun { .. })) => origin,
        Some(ImportOrigin::Folder { .. } | ImportOrigin::Proxied { .. }) | None => {
            let hint = "write runs:/RUN/PATH, or models:/m-ID for a logged model";
            return Err(CliError::usage(format!("{uri} is not an artifact of a run or a logged model")).hint(hint));
        }
    };
    // The content of files is unknown before they are here, so a dry run fetches them to a temporary folder.
    let scratch = if dry_run { Some(tempfile::tempdir()?) } else { None };
    let folder = scratch.as_ref().map_or_else(|| registry.repo().lfs_dir(), |dir| dir.path().to_owned());
    let progress = ProgressBar::new("Fetching");
    let seen = |done, total| progress.seen(done, total);
    let taken = sources.copy(&origin, &Store::at(folder), &ArtifactLimits::default(), &seen)?;
    let first = |known: [&Text; 3]| known.into_iter().find(|id| !id.is_empty()).cloned().unwrap_or_default();
    let (run, model) = origin.ids();
    let [run, model] = [run, model].map(|id| Text::new(id).unwrap_or_default());
    new.source.run_id = first([&new.source.run_id, &run, &taken.facts.run_id]);
    new.source.model_id = first([&new.source.model_id, &model, &taken.facts.model_id]);
    if new.source.uri.is_empty() {
        new.source.uri = text(uri).map_err(CliError::usage)?;
    }
    let mut notes = Vec::new();
    match sources.evidence(new.source.run_id.as_str(), new.source.model_id.as_str()) {
        Ok(found) => {
            for (key, value) in found.params {
                new.params.entry(key).or_insert(value);
            }
            for (key, value) in found.metrics {
                new.metrics.entry(key).or_insert(value);
            }
        }
        Err(e) => notes.push(format!("the run's parameters and metrics are not recorded: {}", with_causes(&e))),
    }
    Ok((taken, notes))
}

/// A warning about files whose names MLflow's client misreads as parts of a URL.
fn unloadable(taken: &IngestedFolder) -> Option<String> {
    const SHOWN: usize = 3;
    let odd = taken.files.iter().filter(|f| !f.path.is_loadable_by_mlflow());
    let odd: Vec<String> = odd.map(|f| quoted(f.path.as_str())).collect();
    let files = match odd.len() {
        0 => return None,
        1 => "a file".to_owned(),
        n => format!("{n} files"),
    };
    let names = listed(&odd, SHOWN);
    Some(format!(
        "MLflow's client cannot load this version from the URL of a server, because it reads the names of {files} as \
         parts of a URL: {names}; use `greenroom fetch` or the plugin (greenroom+http://…), or rename the files"
    ))
}

/// The number of the newest versions that are compared with the new files.
const COMPARED: u64 = 200;

/// A note with the newest version of the model that has the same files, if one of the last versions has them.
fn same_files(registry: &Registry, model: &ModelName, taken: &IngestedFolder) -> Result<Option<String>, CliError> {
    let snapshot = registry.snapshot()?;
    let Some(view) = snapshot.model(model)? else { return Ok(None) };
    let highest = view.highest()?;
    for number in (highest.saturating_sub(COMPARED).max(1)..=highest).rev() {
        let Some(version) = view.version(number)? else { continue };
        let artifacts = version.file()?.and_then(|f| f.value).and_then(|v| v.artifacts);
        if artifacts.is_some_and(|a| a.digest == taken.artifacts.digest) {
            return Ok(Some(format!("the files are the same as those of version {number}")));
        }
    }
    Ok(None)
}

/// A line that summarizes the copied files.
fn summary(taken: &IngestedFolder) -> String {
    let stored: Vec<u64> = taken.files.iter().filter(|f| f.place == Content::Stored).map(|f| f.size).collect();
    let all = &taken.artifacts;
    let files = if all.files == 1 { "1 file".to_owned() } else { format!("{} files", all.files) };
    let digest = all.digest.as_str().get(..16).unwrap_or_default();
    let in_store = match stored.as_slice() {
        [] => String::new(),
        sizes => format!("; {} of them in Git LFS's store ({})", sizes.len(), size(sizes.iter().sum())),
    };
    format!("{files}, {}, digest {digest}{in_store}", size(all.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_a_key_and_a_number() {
        let read = |s: &str| metric(s).map(|(k, m)| (k.to_string(), m.value()));
        assert_eq!(read("auc=0.91"), Ok(("auc".to_owned(), 0.91)));
        assert_eq!(read("loss=1e-3"), Ok(("loss".to_owned(), 0.001)));
        assert!(read("loss=nan").is_ok_and(|(_, v)| v.is_nan()));
        for bad in ["auc", "auc=", "auc=high", "=1", "auc=1e400", "auc=-1e999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
