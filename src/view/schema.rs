//! The JSON Schemas (2020-12) of the output of commands, generated from the output types.
//!
//! The schemas are version 1. New keys need no new version. The removal of a key, or a change of its type or meaning,
//! needs a new version.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::*;

/// The version of the schemas, which is a folder of `schema/output`.
pub const VERSION: u32 = 1;

/// A kind of output, with its schema.
#[derive(Debug, Clone, Copy)]
pub struct OutputKind {
    /// The schema's name.
    pub name: &'static str,
    /// The command that prints this output, as Markdown for the documentation.
    pub printed_by: &'static str,
    make: fn() -> Schema,
}

impl OutputKind {
    /// Returns the schema as JSON text that ends in a line feed.
    pub fn schema(&self) -> String {
        let mut schema = (self.make)();
        schema.insert("title".to_owned(), json!(format!("Output of greenroom: {}", self.name)));
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }
}

macro_rules! outputs {
    ($($name:literal, $printed_by:literal, $type:ty;)*) => {
        $(impl Output for $type { const NAME: &'static str = $name; })*

        /// All outputs of commands and of the HTTP API, by name. Those of the API begin with `api-`.
        pub const ALL: &[OutputKind] = &[$(OutputKind { name: $name, printed_by: $printed_by, make: || of::<$type>() }),*];
    };
}

outputs! {
    "access-group", "`access group`", Vec<Group<'_>>;
    "access-list", "`access list`", Vec<Grant<'_>>;
    "alias-list", "`alias list`", Vec<Alias>;
    "alias-rules", "`alias rules`", Vec<GuardedAlias<'_>>;
    "api-activities", "`GET /api/greenroom/activities/list`", ActivityPage;
    "api-comments", "`GET /api/greenroom/comments/list`", CommentList;
    "api-event", "an event of `GET /api/greenroom/events` as a stream", FeedEvent;
    "api-events", "`GET /api/greenroom/events`", Events;
    "api-model", "`GET /api/greenroom/models/get`", Dated<FoundModel>;
    "api-models", "`GET /api/greenroom/models/list`", Dated<ModelPage>;
    "api-notifications", "`GET` and `POST /api/greenroom/notifications`", MailPreferences;
    "api-notifications-model", "`GET` and `POST /api/greenroom/notifications` with `name`", ModelMailPreferences;
    "api-requests", "`GET /api/greenroom/requests/list`", RequestPage;
    "api-version", "`GET /api/greenroom/versions/get`", Dated<FoundVersion>;
    "change", "every command that changes the registry", Change<'_>;
    "check", "`check` of the work tree", FileReport<'_>;
    "check-range", "`check BASE..HEAD`", PullReport<'_>;
    "codeowners", "`codeowners`", CodeownersFile<'_>;
    "comment-list", "`comment list`", Vec<Comment>;
    "compare", "`compare`", Comparison<'_>;
    "diff", "`diff`", Difference<'_>;
    "doctor", "`doctor`", Checks<'_>;
    "error", "every command that fails, on standard error", Failure<'_>;
    "fetch", "`fetch`", Fetched<'_>;
    "fmt", "`fmt`", FormattedFiles<'_>;
    "hook-install", "`hook install` and `hook uninstall`", HookReport<'_>;
    "hook-status", "`hook status`", HookStatus;
    "index-rebuild", "`index rebuild`", IndexRebuild;
    "index-status", "`index status`", IndexStatus<'_>;
    "log", "`log`", Vec<LogEntry>;
    "model-list", "`model list`", Vec<RegisteredModel>;
    "model-show", "`model show` and `show MODEL`", RegisteredModel;
    "notify-show", "`notify show`", MailWishes;
    "notify-test", "`notify test`", MailTest;
    "person-allowed-signers", "`person allowed-signers`", Signers;
    "person-list", "`person list`", Vec<Person>;
    "person-show", "`person show`", PersonPage;
    "proposal", "commands with `--branch`", Proposal<'_>;
    "request-list", "`request list`", Vec<TransitionRequest>;
    "request-review", "`request approve --print`", ReviewBlock<'_>;
    "request-show", "`request show`", TransitionRequest;
    "schema-list", "`schema --list`", Vec<SchemaKind>;
    "schema-write", "`schema --write`", InstalledSchemas<'_>;
    "search-models", "`search models`", ModelSearch;
    "search-versions", "`search versions`", VersionSearch;
    "secret-change", "`secret set`, `secret promote` and `secret delete`", SecretChange<'_>;
    "secret-list", "`secret list`", Vec<StoredSecret>;
    "serve", "`serve`", Address;
    "settings-show", "`settings show`", RegistrySettings<'_>;
    "show-commit", "`show COMMIT`", LogEntry;
    "show-registry", "`show`", Overview<'_>;
    "stage-list", "`stage list`", Vec<StageSetting<'_>>;
    "token-create", "`token create`", NewToken<'_>;
    "token-list", "`token list`", Vec<Token>;
    "token-revoke", "`token revoke`", RevokedTokens;
    "verify", "`verify`", Verification<'_>;
    "version-list", "`version list`", Vec<ModelVersion>;
    "version-show", "`version show` and `show MODEL/VERSION`", VersionPage;
    "watch", "`watch --once`", Vec<WatchSummary<'_>>;
    "watch-message", "`watch`, a line each on standard error", WatchMessage<'_>;
    "webhook-deliveries", "`webhook deliveries`", Deliveries<'_>;
    "webhook-list", "`webhook list`", Webhooks<'_>;
    "webhook-replay", "`webhook replay`, a line for each delivery", Replay<'_>;
    "webhook-replay-dead", "`webhook replay --dead`", Revival;
    "webhook-test", "`webhook test`", WebhookTrial<'_>;
}

fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(close));
    settings.into_generator().into_root_schema_for::<T>()
}

/// Forbids unlisted keys in objects, and removes the parts of a schema that hold only for TOML files.
fn close(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    // A file leaves out one of the keys; the output has the key with null.
    if object.get("oneOf").is_some_and(is_about_keys) {
        object.remove("oneOf");
    }
    if object.contains_key("properties") && !object.contains_key("$ref") {
        object.entry("additionalProperties").or_insert(json!(false));
    }
    object.remove("default");
    // `uint64` and similar formats are not part of JSON Schema; the date formats are.
    if object.get("format").and_then(Value::as_str).is_some_and(|f| !f.starts_with("date")) {
        object.remove("format");
    }
}

/// Returns whether the alternatives of a `oneOf` only list required keys.
fn is_about_keys(alternatives: &Value) -> bool {
    let only_keys = |one: &Value| one.as_object().is_some_and(|o| o.keys().all(|k| k == "required"));
    alternatives.as_array().is_some_and(|all| all.iter().all(only_keys))
}
