//! The origin of a version: the version of this registry that its source names, and the location of its files.

use super::{ModelRef, ReferenceTarget, VersionPick, resolve};
use crate::entity::Version;
use crate::entity::version::VersionSource;
use crate::name::ModelName;
use crate::snapshot::{Snapshot, VersionView};
use crate::text::Text;
use crate::tree::TreeError;

/// How many sources are followed from one version to the next.
const MAX_HOPS: usize = 10;

/// Returns the source of a version if it can name a version of this registry. A logged model (`models:/m-ID`) does not:
/// a tracking server holds it. URL schemes are compared without case.
pub fn registered(uri: &str) -> Option<&str> {
    let rest = uri.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("models:")).and_then(|_| uri.get(7..))?;
    (!rest.starts_with("/m-") || rest.contains('@') || rest.get(1..)?.contains('/')).then_some(uri)
}

/// Returns the location of a version's files as recorded at registration. A location counts only beside a source that
/// names a version of this registry; otherwise it could send clients to another place than the source shows.
pub fn recorded(source: &VersionSource) -> &Text {
    if source.location.is_empty() || registered(source.uri.as_str()).is_none() { &source.uri } else { &source.location }
}

/// The version that a source names.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceOrigin {
    /// The name of the model.
    pub model: ModelName,
    /// The version number.
    pub number: u64,
    /// The record of the version.
    pub version: Version,
}

impl SourceOrigin {
    /// Returns a URI that keeps its meaning when stages and aliases move.
    pub fn uri(&self) -> String {
        format!("models:/{}/{}", self.model, self.number)
    }

    /// Returns the location of the files that a copy records.
    pub fn place(&self) -> &Text {
        recorded(&self.version.source)
    }
}

/// Finds the version that a source names. Returns `None` if the source is not a reference, or the version does not exist.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn find(snapshot: &Snapshot<'_>, uri: &str) -> Result<Option<SourceOrigin>, TreeError> {
    let rest = registered(uri).and_then(|uri| uri.get(7..)).filter(|rest| !rest.starts_with("//"));
    let reference = rest.and_then(|rest| format!("models:{rest}").parse::<ModelRef>().ok());
    let Some(ModelRef { model, pick, moment: None }) = reference.filter(|r| r.pick != VersionPick::Model) else {
        return Ok(None);
    };
    let ReferenceTarget::Version(number) = resolve(snapshot, &model, &pick)? else { return Ok(None) };
    let view = snapshot.model(&model)?.map(|m| m.version(number)).transpose()?.flatten();
    let version = view.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
    Ok(version.map(|version| SourceOrigin { model, number, version }))
}

/// The place that holds the files of a version.
pub enum FileHolder<'o> {
    /// This folder of the registry, with the record of its version.
    Registry(VersionView<'o>, Box<Version>),
    /// A URI outside of the registry; empty if there is none.
    Elsewhere(Text),
}

/// Follows the source of a version to its files: the files in the version's own folder, else the recorded location,
/// else the files of the version that the source names. The server's `get-download-uri` uses the same function.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn holder<'o>(
    snapshot: &Snapshot<'o>,
    view: VersionView<'o>,
    version: Version,
) -> Result<FileHolder<'o>, TreeError> {
    let (mut view, mut version) = (view, version);
    for _ in 0..MAX_HOPS {
        if version.artifacts.is_some() && view.artifacts()?.is_some() {
            return Ok(FileHolder::Registry(view, Box::new(version)));
        }
        if !version.source.location.is_empty() {
            break;
        }
        let Some(origin) = find(snapshot, version.source.uri.as_str())? else { break };
        let next = snapshot.model(&origin.model)?.map(|m| m.version(origin.number)).transpose()?.flatten();
        let Some(next) = next else { break };
        (view, version) = (next, origin.version);
    }
    Ok(FileHolder::Elsewhere(recorded(&version.source).clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_models_are_no_registered_ones() {
        assert_eq!(registered("models:/m-0123"), None);
        assert_eq!(registered("models:/wine/3"), Some("models:/wine/3"));
        assert_eq!(registered("MODELS:/wine/3"), Some("MODELS:/wine/3"));
        assert_eq!(registered("models:/m-x/3"), Some("models:/m-x/3"));
        assert_eq!(registered("s3://b/m"), None);
    }

    #[test]
    fn a_location_counts_only_beside_a_registered_source() -> Result<(), crate::text::InvalidText> {
        let source = |uri: &str| {
            let (uri, location) = (Text::new(uri)?, Text::new("s3://other/x")?);
            Ok::<_, crate::text::InvalidText>(VersionSource { uri, location, ..VersionSource::default() })
        };
        assert_eq!(recorded(&source("s3://good/x")?).as_str(), "s3://good/x");
        assert_eq!(recorded(&source("models:/m-0123")?).as_str(), "models:/m-0123");
        assert_eq!(recorded(&source("models:/wine/1")?).as_str(), "s3://other/x");
        Ok(())
    }
}
