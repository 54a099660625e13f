//! Stages of a model version: None, Staging, Production, Archived, and the stages that a registry declares.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::text::quoted;

/// A stage. The names of the four built-in stages are read in any case, as in MLflow, and written in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The initial stage: no stage file names the version.
    None,
    /// The versions that are being tested.
    Staging,
    /// The versions that are in use.
    Production,
    /// The versions that are no longer used.
    Archived,
    /// A stage that `greenroom.toml` declares.
    Declared(StageName),
}

/// The name of a declared stage: a letter, then letters, digits, `-` and `_`; at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageName(String);

/// The error for a text that is not a stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid Model Version stage: {value}. Value must be one of {known}.")]
pub struct InvalidStage {
    /// The text, escaped for a message.
    pub value: String,
    /// The names of the existing stages, separated by commas.
    pub known: String,
}

impl Stage {
    /// The stages of every registry, in their order.
    pub const BUILT_IN: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// Returns the canonical name of the stage.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
            Self::Declared(name) => &name.0,
        }
    }

    /// Returns whether the stage is active: every stage except None and Archived. A version in an active stage is
    /// protected from deletion.
    pub const fn is_active(&self) -> bool {
        match self {
            Self::None | Self::Archived => false,
            Self::Staging | Self::Production | Self::Declared(_) => true,
        }
    }

    /// Finds a stage by its name among `known` (built-in and declared stages), in any case.
    ///
    /// # Errors
    /// Returns [`InvalidStage`], with MLflow's message, if no stage has that name.
    pub fn among<'a>(s: &str, known: impl IntoIterator<Item = &'a Self> + Clone) -> Result<Self, InvalidStage> {
        match known.clone().into_iter().find(|k| k.as_str().eq_ignore_ascii_case(s)) {
            Some(stage) => Ok(stage.clone()),
            None => Err(InvalidStage {
                value: crate::text::one_line(s).into_owned(),
                known: known.into_iter().map(Self::as_str).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = InvalidStage;

    /// Parses the name of a stage. The rules check later that the registry declares the stage.
    fn from_str(s: &str) -> Result<Self, InvalidStage> {
        if let Some(built_in) = Self::BUILT_IN.iter().find(|b| b.as_str().eq_ignore_ascii_case(s)) {
            return Ok(built_in.clone());
        }
        let starts = s.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        let rest = s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if starts && rest && s.len() <= 64 {
            return Ok(Self::Declared(StageName(s.to_owned())));
        }
        Err(InvalidStage { value: quoted(s), known: "None, Staging, Production, Archived or a declared stage".into() })
    }
}

impl Serialize for Stage {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl JsonSchema for Stage {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Stage".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A stage: `None`, `Staging`, `Production`, `Archived`, or one that `greenroom.toml` declares.",
            "type": "string",
            "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$",
            "examples": ["None", "Staging", "Production", "Archived"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_stages_are_read_in_any_case() {
        assert_eq!("pRoduction".parse(), Ok(Stage::Production));
        assert_eq!("Canary".parse::<Stage>().map(|s| s.to_string()), Ok("Canary".into()));
        assert!("two words".parse::<Stage>().is_err());
    }

    #[test]
    fn an_unknown_stage_is_refused_in_mlflows_words() {
        let e = Stage::among("Prod", &Stage::BUILT_IN).map_err(|e| e.to_string());
        assert_eq!(
            e,
            Err("Invalid Model Version stage: Prod. Value must be one of None, Staging, Production, Archived.".into())
        );
    }
}
