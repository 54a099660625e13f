//! Where a version says it comes from. The server never opens a path or an address that a caller gives (SEC-33); it keeps
//! the text, refuses what can only be meant to lead elsewhere, and settles references to versions of this registry.

use crate::entity::version::Source;
use crate::index::VersionFacts;
use crate::reference::{ModelRef, Pick};
use crate::server::artifacts;
use crate::server::call::Call;
use crate::server::catalog::{Catalog, ModelCard};
use crate::server::error::ApiError;
use crate::text::Text;

/// How many references lead from one version to another before it is given up.
const MAX_HOPS: usize = 10;

/// The source of a version that is registered: checked, and a reference to another version of this registry as
/// `models:/name/number`, with what is not given taken from there.
pub fn settled(call: &Call, given: Source) -> Result<Source, ApiError> {
    check(given.uri.as_str())?;
    let Some(reference) = registered(given.uri.as_str()) else { return Ok(given) };
    let reference: ModelRef =
        reference.parse().map_err(|e: crate::reference::InvalidRef| ApiError::invalid(e.to_string()))?;
    let model = call.model(&reference.model)?;
    let version = pick(call, model, &reference.pick)?;
    let inherit = |given: Text, known: &str, what: &str| {
        if given.is_empty() {
            return Text::new(known).map_err(ApiError::from);
        }
        if given.as_str() != known {
            return Err(ApiError::invalid(format!(
                "The {what} '{given}' is not that of the model version that is copied, '{}'.",
                crate::text::one_line(known)
            )));
        }
        Ok(given)
    };
    let uri = Text::new(&format!("models:/{}/{}", model.name, version.number))?;
    Ok(Source {
        uri,
        run_id: inherit(given.run_id, &version.run_id, "run_id")?,
        run_link: given.run_link,
        model_id: inherit(given.model_id, &version.model_id, "model_id")?,
    })
}

/// The part of a source that names a version of this registry; a logged model (`models:/m-…`) is none.
pub(super) fn registered(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("models:/")?;
    (!rest.starts_with("m-") || rest.contains(['/', '@'])).then_some(uri)
}

fn pick<'m>(
    call: &Call,
    model: &'m ModelCard,
    pick: &Pick,
) -> Result<&'m crate::index::VersionFacts<'static>, ApiError> {
    let missing =
        || ApiError::not_found(format!("Model Version (name={}) that the source names not found", model.name));
    let found = match pick {
        Pick::Model => None,
        Pick::Number(n) => model.version(*n),
        Pick::Latest => model.latest(),
        Pick::Alias(alias) => model.aliases.get(alias).and_then(|n| model.version(*n)),
        Pick::Stage(stage) => {
            let known = crate::stage::Stage::among(stage.as_str(), &call.catalog.stages())?;
            model.versions.iter().rev().find(|v| v.stage == known.as_str())
        }
    };
    found.map(AsRef::as_ref).ok_or_else(missing)
}

/// Where the files of a version are: with the server, if they are in the registry; else at its source, where a version
/// of this registry leads on to its own. `base` is where the caller reaches the server.
pub fn location(catalog: &Catalog, base: &str, model: &ModelCard, version: &VersionFacts<'static>) -> String {
    let (mut model, mut version) = (model, version);
    for _ in 0..MAX_HOPS {
        if version.has_files {
            return artifacts::address(base, model, version.number);
        }
        let next = registered(&version.source).and_then(|uri| uri.parse::<ModelRef>().ok()).and_then(|reference| {
            let Pick::Number(number) = reference.pick else { return None };
            let model = catalog.model(reference.model.as_str())?;
            Some((model, model.version(number)?))
        });
        match next {
            Some(next) => (model, version) = (next.0, next.1),
            None => break,
        }
    }
    version.source.clone().into_owned()
}

/// Refuses sources that climb out of a folder, however that is spelt, and those without a path.
fn check(uri: &str) -> Result<(), ApiError> {
    let shown = crate::text::one_line(uri);
    let refuse = || Err(ApiError::invalid(format!("Invalid model version source: '{shown}'.")));
    let mut decoded = uri.to_owned();
    // As often as somebody might encode it, so that no spelling of `..` is left.
    for _ in 0..8 {
        let climbs = decoded.split(['/', '\\', '?', '#', ';']).any(|part| part.trim() == "..");
        if climbs || decoded.contains('\0') {
            return refuse();
        }
        match percent_decoded(&decoded) {
            Some(next) if next != decoded => decoded = next,
            Some(_) | None => break,
        }
    }
    if uri.contains('#') || (uri.to_ascii_lowercase().starts_with("file:") && uri.contains('\\')) {
        return refuse();
    }
    match uri.split_once("://") {
        Some((scheme, rest))
            if !matches!(scheme, "file" | "runs" | "models") && !rest.trim_end_matches('/').contains('/') =>
        {
            refuse()
        }
        Some(_) | None => Ok(()),
    }
}

/// One percent-decoding; none if what comes out is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sources_pass_and_those_that_climb_do_not() {
        for good in [
            "s3://bucket/model",
            "models:/m-0123456789abcdef0123456789abcdef",
            "runs:/abc/model",
            "file:///models/wine",
            "/models/wine..v2",
            "dbfs:/models/wine",
            "path/to/model",
            "dummy-source",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket/a/../b",
            "file:///a/%2e%2e/b",
            "file:///a/%252e%252e/b",
            "http://host/a#/../b",
            "file://\\..\\..\\etc",
            "a/..",
            "..",
            "s3://b/a?x=/../..",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn logged_models_are_no_registered_ones() {
        assert_eq!(registered("models:/m-0123"), None);
        assert_eq!(registered("models:/wine/3"), Some("models:/wine/3"));
        assert_eq!(registered("models:/m-x/3"), Some("models:/m-x/3"));
        assert_eq!(registered("s3://b/m"), None);
    }
}
