//! The version of this registry that a version was copied from, as its source names it, and the place of its files.

use super::{Found, ModelRef, Pick, resolve};
use crate::entity::Version;
use crate::entity::version::Source;
use crate::name::ModelName;
use crate::snapshot::{Snapshot, VersionView};
use crate::text::Text;
use crate::tree::TreeError;

/// How many sources are followed from one version to the next.
const MAX_HOPS: usize = 10;

/// The source of a version as far as it names a version of this registry; none of a logged model (`models:/m-ID`), which
/// a tracking server holds. URL schemes have no case.
pub fn registered(uri: &str) -> Option<&str> {
    let rest = uri.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("models:")).and_then(|_| uri.get(7..))?;
    (!rest.starts_with("/m-") || rest.contains('@') || rest.get(1..)?.contains('/')).then_some(uri)
}

/// The place of a version's files as it was recorded at registration. A location counts only beside a source that names
/// a version of this registry: nothing else may send clients to another place than the source says.
pub fn recorded(source: &Source) -> &Text {
    if source.location.is_empty() || registered(source.uri.as_str()).is_none() { &source.uri } else { &source.location }
}

/// A version that a source names.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The model.
    pub model: ModelName,
    /// The version's number.
    pub number: u64,
    /// What is recorded of the version.
    pub version: Version,
}

impl Origin {
    /// The reference that keeps its meaning when stages and aliases move.
    pub fn uri(&self) -> String {
        format!("models:/{}/{}", self.model, self.number)
    }

    /// The place of its files as a copy records it.
    pub fn place(&self) -> &Text {
        recorded(&self.version.source)
    }
}

/// Finds the version that a source names; none where the source is no reference, or there is no such version.
///
/// # Errors
/// When an object cannot be read.
pub fn find(snapshot: &Snapshot<'_>, uri: &str) -> Result<Option<Origin>, TreeError> {
    let rest = registered(uri).and_then(|uri| uri.get(7..)).filter(|rest| !rest.starts_with("//"));
    let reference = rest.and_then(|rest| format!("models:{rest}").parse::<ModelRef>().ok());
    let Some(ModelRef { model, pick, moment: None }) = reference.filter(|r| r.pick != Pick::Model) else {
        return Ok(None);
    };
    let Found::Version(number) = resolve(snapshot, &model, &pick)? else { return Ok(None) };
    let view = snapshot.model(&model)?.map(|m| m.version(number)).transpose()?.flatten();
    let version = view.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
    Ok(version.map(|version| Origin { model, number, version }))
}

/// What holds the files of a version.
pub enum Holder<'o> {
    /// This folder of the registry, of which the version says this.
    Registry(VersionView<'o>, Box<Version>),
    /// An address outside of the registry; empty where there is none.
    Elsewhere(Text),
}

/// Follows the source of a version to its files: the version's own, else the recorded place, else those of the version
/// that the source names. The answer of the server's `get-download-uri` is found the same way.
///
/// # Errors
/// When an object cannot be read.
pub fn holder<'o>(snapshot: &Snapshot<'o>, view: VersionView<'o>, version: Version) -> Result<Holder<'o>, TreeError> {
    let (mut view, mut version) = (view, version);
    for _ in 0..MAX_HOPS {
        if version.artifacts.is_some() && view.artifacts()?.is_some() {
            return Ok(Holder::Registry(view, Box::new(version)));
        }
        if !version.source.location.is_empty() {
            break;
        }
        let Some(origin) = find(snapshot, version.source.uri.as_str())? else { break };
        let next = snapshot.model(&origin.model)?.map(|m| m.version(origin.number)).transpose()?.flatten();
        let Some(next) = next else { break };
        (view, version) = (next, origin.version);
    }
    Ok(Holder::Elsewhere(recorded(&version.source).clone()))
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
            Ok::<_, crate::text::InvalidText>(Source { uri, location, ..Source::default() })
        };
        assert_eq!(recorded(&source("s3://good/x")?).as_str(), "s3://good/x");
        assert_eq!(recorded(&source("models:/m-0123")?).as_str(), "models:/m-0123");
        assert_eq!(recorded(&source("models:/wine/1")?).as_str(), "s3://other/x");
        Ok(())
    }
}
