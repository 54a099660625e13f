//! The fields of each type in the order of the file: one list makes both the reader and the writer.

use std::collections::BTreeSet;

use toml_edit::{Item, Table};

use super::read::{Fields, FromTable, FromToml, Node};
use super::write::{self, ToTable, ToToml, put, put_some, put_unless_default};
use crate::entity::access::{Access, Grant, PermissionLevel};
use crate::entity::comment::Comment;
use crate::entity::model::Model;
use crate::entity::person::{Cadence, ModelNotifications, Notifications, Notify, Person, SigningKey};
use crate::entity::request::{Request, RequestState, Review, ReviewVerdict};
use crate::entity::settings::{
    Acknowledgement, AliasRule, Authority, Day, Evidence, FORMAT, Freeze, FreezeBound, IdentitySettings, Layout,
    MailPolicy, Removal, Rules, Settings, Sources, StageRule, UnreadyPolicy,
};
use crate::entity::version::{
    Artifacts, Column, Environment, Metric, ModelInfo, Schema, Threshold, Version, VersionSource, VersionStatus,
};
use crate::entity::webhook::{EventPattern, JobParams, PayloadProfile, Webhook, WebhookJob, WebhookState};
use crate::entity::{AliasPointer, StagePointer};
use crate::name::{AliasName, Digest, GroupName, Id, Key, ModelName, Principal, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// Lists the fields of a table with a mode each: `required`; `pointer` (required, and names versions); `optional` (an
/// `Option`); `default` (left out if it has its default); `blocks` (an array of tables, printed as `[[key]]`);
/// `one_line` (a table printed on one line, left out if it has its default).
macro_rules! table {
    ($type:ident { $($field:ident $(as $key:literal)? : $mode:ident),* $(,)? }) => {
        impl FromTable for $type {
            fn from_table(fields: &mut Fields<'_, '_>) -> Option<Self> {
                $(let $field = table!(@read fields, $mode, table!(@key $field $($key)?));)*
                Some(Self { $($field: table!(@take $mode, $field)),* })
            }
        }
        impl ToTable for $type {
            fn to_table(&self, out: &mut Table) {
                $(table!(@write out, $mode, table!(@key $field $($key)?), &self.$field);)*
            }
        }
        impl FromToml for $type {
            fn from_toml(node: Node<'_, '_>) -> Option<Self> {
                let mut fields = node.fields()?;
                let value = Self::from_table(&mut fields);
                fields.finish();
                value
            }
        }
        impl ToToml for $type {
            fn to_toml(&self) -> Item {
                let mut out = Table::new();
                self.to_table(&mut out);
                Item::Table(out)
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@read $f:ident, required, $key:expr) => { $f.required($key) };
    (@read $f:ident, pointer, $key:expr) => { $f.checked($key, PointerVersions::named) };
    (@read $f:ident, optional, $key:expr) => { $f.optional($key) };
    (@read $f:ident, $default:ident, $key:expr) => { $f.default($key) };
    (@take required, $v:ident) => { $v? };
    (@take pointer, $v:ident) => { $v? };
    (@take $other:ident, $v:ident) => { $v };
    (@write $o:ident, required, $key:expr, $v:expr) => { put($o, $key, $v) };
    (@write $o:ident, pointer, $key:expr, $v:expr) => { put($o, $key, $v) };
    (@write $o:ident, optional, $key:expr, $v:expr) => { put_some($o, $key, $v.as_ref()) };
    (@write $o:ident, default, $key:expr, $v:expr) => { put_unless_default($o, $key, $v) };
    (@write $o:ident, blocks, $key:expr, $v:expr) => {
        if !$v.is_empty() { $o.insert($key, write::blocks($v)); }
    };
    (@write $o:ident, one_line, $key:expr, $v:expr) => {
        if *$v != Default::default() { $o.insert($key, Item::Value(write::inline($v.to_toml()))); }
    };
}

table!(Settings {
    id: required,
    name: required,
    format: required,
    layout: default,
    identity: default,
    notifications: default,
    rules: default,
    sources: default,
    stages: default,
    aliases: default,
    acknowledged: blocks,
});
table!(Acknowledgement { commit: required, rule: required, reason: default });
table!(IdentitySettings { authority: default, self_approval: default, web: default, servers: default });
table!(MailPolicy { off: default, daily_cap: optional });
table!(Rules { removal: default, unready: optional });
table!(Sources { allow: default });
table!(StageRule {
    from: optional,
    level: optional,
    approvals: default,
    approvers: optional,
    approvals_to_leave: default,
    exclusive: default,
    require: one_line,
    frozen: default,
});
table!(AliasRule {
    from: optional,
    level: optional,
    approvals: default,
    approvers: optional,
    require: one_line,
    frozen: default,
});
table!(Evidence { description: default, artifacts: default, signed: default, tags: default, metrics: default });
table!(Freeze { from: required, to: required, reason: default });
table!(Access { grants: default, groups: default });
table!(Grant { to: required, level: required });
table!(Person { name: default, emails: default, logins: default, keys: blocks, notifications: default });
table!(SigningKey { key: required, added_at: optional, revoked_at: optional });
table!(Notifications { off: default, digest: default, mute_approvals: default, models: default });
table!(ModelNotifications { notify: optional, follow: default, unfollow: default });
table!(Model {
    id: required,
    name: required,
    created_at: required,
    created_by: required,
    description: default,
    retired: optional,
    tags: default,
});
table!(Version {
    id: required,
    created_at: required,
    created_by: required,
    description: default,
    status: default,
    status_message: default,
    source: default,
    artifacts: optional,
    tags: default,
    params: default,
    metrics: default,
    schema: optional,
    model: optional,
    environment: optional,
});
table!(VersionSource { uri: default, run_id: default, run_link: default, model_id: default, location: default });
table!(Artifacts { digest: required, size: required, files: required });
table!(Schema { inputs: default, outputs: default, params: default });
table!(Column { name: default, kind as "type": required, optional: default, default: default });
table!(ModelInfo {
    flavors: default,
    mlflow_version: default,
    python_version: default,
    created_at: optional,
    env_vars: default,
    resources: default,
    auth_policy: default,
    prompts: default,
    metadata: default,
    findings: default,
});
table!(Environment { conda_file: default, channels: default, conda: default, pip: default });
table!(Request {
    id: required,
    to: required,
    created_by: required,
    created_at: required,
    comment: default,
    archive_existing: default,
    state: default,
    closed_by: optional,
    closed_at: optional,
    close_comment: default,
    review: blocks,
});
table!(Review { by: required, at: required, verdict: required, comment: default, subject: required });
table!(Comment { id: required, created_by: required, created_at: required, edited_at: optional, text: required });
table!(Webhook {
    id: required,
    created_at: required,
    created_by: required,
    updated_at: optional,
    name: default,
    description: default,
    model: optional,
    events: required,
    state: default,
    profile: default,
    url: optional,
    job: optional,
    insecure: default,
    secret: optional,
    authorization: optional,
});
table!(WebhookJob { id: required, workspace_url: default, params: default });
table!(StagePointer { versions: pointer });
table!(AliasPointer { version: pointer });

/// Version numbers that a pointer may name: at least one, and each from 1 on.
trait PointerVersions {
    fn named(&self) -> Result<(), &'static str>;
}

impl PointerVersions for u64 {
    fn named(&self) -> Result<(), &'static str> {
        if *self == 0 { Err("version numbers start at 1") } else { Ok(()) }
    }
}

impl PointerVersions for BTreeSet<u64> {
    fn named(&self) -> Result<(), &'static str> {
        if self.is_empty() {
            return Err("a stage without versions has no file; delete the file");
        }
        self.iter().try_for_each(PointerVersions::named)
    }
}

/// Types whose value is a string with a grammar of its own.
macro_rules! grammar {
    ($($type:ty),*) => {$(
        impl FromToml for $type {
            fn from_toml(node: Node<'_, '_>) -> Option<Self> {
                node.parse()
            }
        }
        impl ToToml for $type {
            fn to_toml(&self) -> Item {
                write::string(&self.to_string())
            }
        }
    )*};
}
grammar!(ModelName, AliasName, Key, UserName, GroupName, Id, Digest, Principal, Stage, Threshold, EventPattern);

/// Types whose value is one of a closed set of words.
macro_rules! words {
    ($($type:ty),*) => {$(
        impl FromToml for $type {
            fn from_toml(node: Node<'_, '_>) -> Option<Self> {
                node.word(&Self::ALL, Self::as_str)
            }
        }
        impl ToToml for $type {
            fn to_toml(&self) -> Item {
                write::string(self.as_str())
            }
        }
    )*};
}
words!(
    Layout,
    Authority,
    Removal,
    UnreadyPolicy,
    PermissionLevel,
    VersionStatus,
    RequestState,
    ReviewVerdict,
    WebhookState
);
words!(PayloadProfile, JobParams, Notify, Cadence);

impl FromToml for Text {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        node.check("text", Self::new(node.string()?))
    }
}

impl ToToml for Text {
    fn to_toml(&self) -> Item {
        write::string(self.as_str())
    }
}

impl FromToml for bool {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        node.boolean()
    }
}

impl ToToml for bool {
    fn to_toml(&self) -> Item {
        toml_edit::value(*self)
    }
}

impl FromToml for u64 {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        node.check("value", Self::try_from(node.integer()?).map_err(|_| "the number must not be negative"))
    }
}

impl ToToml for u64 {
    fn to_toml(&self) -> Item {
        // TOML integers are signed. No count of a registry comes near the limit.
        toml_edit::value(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl FromToml for i64 {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        node.integer()
    }
}

impl ToToml for i64 {
    fn to_toml(&self) -> Item {
        toml_edit::value(*self)
    }
}

impl FromToml for f64 {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        node.number()
    }
}

impl ToToml for f64 {
    fn to_toml(&self) -> Item {
        toml_edit::value(*self)
    }
}

impl FromToml for Timestamp {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let d = node.datetime()?;
        if d.date.is_none() || d.time.is_none() || d.offset.is_none() {
            return node.wrong("value", "a point in time needs date, time and offset: 2026-03-01T12:00:00Z");
        }
        node.check("value", d.to_string().parse())
    }
}

impl ToToml for Timestamp {
    fn to_toml(&self) -> Item {
        datetime(&self.to_string())
    }
}

impl FromToml for FreezeBound {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let d = node.datetime()?;
        if d.time.is_none() && d.offset.is_none() {
            return node.check("value", d.to_string().parse()).map(|t| Self::Day(Day(t)));
        }
        Timestamp::from_toml(node).map(Self::At)
    }
}

impl ToToml for FreezeBound {
    fn to_toml(&self) -> Item {
        match self {
            Self::Day(day) => datetime(&day.to_string()),
            Self::At(t) => t.to_toml(),
        }
    }
}

impl FromToml for Metric {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        if !node.is_table() {
            return node.number().map(Self::Value);
        }
        let mut fields = node.fields()?;
        let value = fields.required("value");
        let (step, timestamp) = (fields.optional("step"), fields.optional("timestamp"));
        fields.finish();
        Some(Self::At { value: value?, step, timestamp })
    }
}

impl ToToml for Metric {
    fn to_toml(&self) -> Item {
        match self {
            Self::Value(v) => v.to_toml(),
            Self::At { value, step, timestamp } => {
                let mut out = Table::new();
                put(&mut out, "value", value);
                put_some(&mut out, "step", step.as_ref());
                put_some(&mut out, "timestamp", timestamp.as_ref());
                Item::Value(write::inline(Item::Table(out)))
            }
        }
    }
}

/// Returns a date-time value. The texts that this program prints always parse.
fn datetime(s: &str) -> Item {
    s.parse::<toml_edit::Datetime>().map_or_else(|_| write::string(s), toml_edit::value)
}

/// Returns whether this program knows the format version of the settings.
pub fn known_format(settings: &Settings) -> bool {
    settings.format == FORMAT
}
