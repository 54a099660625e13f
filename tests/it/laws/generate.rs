//! Random entities, with or without each optional field, and with texts that are hard to quote.

use greenroom::entity::person::{Cadence, ModelNotifications, Notifications, Notify, SigningKey};
use greenroom::entity::settings::{
    Acknowledgement, AliasRule, Authority, Day, Evidence, Freeze, FreezeBound, IdentitySettings, Layout, MailPolicy,
    Removal, Rules, Settings, Sources, StageRule, UnreadyPolicy,
};
use greenroom::entity::version::{
    Artifacts, Column, Comparison, Environment, Metric, ModelInfo, Schema, Threshold, VersionSource, VersionStatus,
};
use greenroom::entity::webhook::{EventPattern, JobParams, PayloadProfile, WebhookJob, WebhookState};
use greenroom::entity::{
    Access, AliasPointer, Comment, Grant, Model, PermissionLevel, Person, Request, RequestState, Review, ReviewVerdict,
    StagePointer, Version, Webhook,
};
use greenroom::name::{AliasName, Digest, GroupName, Id, Key, ModelName, Principal, UserName};
use greenroom::stage::Stage;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts, many of them with characters that TOML must quote.
pub fn text() -> impl Strategy<Value = Text> {
    let hard =
        select(vec!["", "\"", "'''", "\"\"\"", "a\\b", "\n", "\n\nx\n", "# no comment", "[t]", "= {", "\t", "é🦀"]);
    let parts = vec(prop_oneof![hard.prop_map(str::to_owned), "[ -~\n\täß日]{0,12}"], 0..4);
    parts.prop_map(|p| Text::new(&p.concat()).expect("plain characters"))
}

pub fn time() -> impl Strategy<Value = Timestamp> {
    (-2_000_000_000_000_i64..4_000_000_000_000).prop_map(Timestamp::from_millis)
}

pub fn id() -> impl Strategy<Value = Id> {
    (0..4_000_000_000_000_i64, any::<[u8; 10]>()).prop_map(|(millis, random)| Id::from_parts(millis, random))
}

pub fn user() -> impl Strategy<Value = UserName> {
    "[a-zA-Z0-9][a-z0-9._@+-]{0,8}".prop_map(|s| UserName::new(s).expect("a user"))
}

fn group() -> impl Strategy<Value = GroupName> {
    "[a-zA-Z0-9][a-z0-9._-]{0,8}".prop_map(|s| GroupName::new(s).expect("a group"))
}

pub fn key() -> impl Strategy<Value = Key> {
    "[a-zß日_][a-z0-9 _.:-]{0,8}(/[a-z]{1,3})?".prop_filter_map("a key", |s| Key::new(s).ok())
}

pub fn model_name() -> impl Strategy<Value = ModelName> {
    "[ a-zA-Z0-9._%ä日\\\\\"'-]{1,12}".prop_filter_map("a model's name", |s| ModelName::new(s).ok())
}

fn alias() -> impl Strategy<Value = AliasName> {
    "[a-zA-Z_-]{1,8}".prop_filter_map("an alias", |s| AliasName::new(s).ok())
}

pub fn stage() -> impl Strategy<Value = Stage> {
    let built_in = select(Stage::BUILT_IN.to_vec());
    prop_oneof![built_in, "[A-Z][a-zA-Z0-9_-]{0,6}".prop_map(|s| s.parse().expect("a stage"))]
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![user().prop_map(Principal::User), group().prop_map(Principal::Group)]
}

fn digest() -> impl Strategy<Value = Digest> {
    "[0-9a-f]{64}".prop_map(|s| Digest::new(s).expect("a digest"))
}

fn threshold() -> impl Strategy<Value = Threshold> {
    use Comparison::{AtLeast, AtMost, Equal, Greater, Less};
    let value = prop_oneof![-1e9..1e9, select(vec![0.0, -0.0, f64::INFINITY, 0.1 + 0.2])];
    (select(vec![Less, AtMost, Equal, AtLeast, Greater]), value)
        .prop_map(|(comparison, value)| Threshold { comparison, value })
}

pub fn access() -> impl Strategy<Value = Access> {
    let grant = (principal(), select(PermissionLevel::ALL.to_vec())).prop_map(|(to, level)| Grant { to, level });
    (vec(grant, 0..4), btree_map(group(), btree_set(user(), 0..4), 0..3))
        .prop_map(|(grants, groups)| Access { grants, groups })
}

pub fn settings() -> impl Strategy<Value = Settings> {
    let moment = prop_oneof![time().prop_map(FreezeBound::At), time().prop_map(|t| FreezeBound::Day(Day(t.day()))),];
    let freeze = (moment.clone(), moment, text()).prop_map(|(from, to, reason)| Freeze { from, to, reason }).boxed();
    let evidence = (any::<[bool; 3]>(), btree_map(key(), text(), 0..3), btree_map(key(), threshold(), 0..3)).prop_map(
        |([description, artifacts, signed], tags, metrics)| Evidence { description, artifacts, signed, tags, metrics },
    );
    let evidence = evidence.boxed();
    let alias_rule = (
        option::of(vec(stage(), 0..3)),
        option::of(select(PermissionLevel::ALL.to_vec())),
        0..2_u64,
        option::of(vec(principal(), 0..3)),
        evidence.clone(),
        vec(freeze.clone(), 0..3),
    )
        .prop_map(|(from, level, approvals, approvers, require, frozen)| AliasRule {
            from,
            level,
            approvals,
            approvers,
            require,
            frozen,
        });
    let rule = (
        option::of(vec(stage(), 0..3)),
        option::of(select(PermissionLevel::ALL.to_vec())),
        (0..5_u64, 0..3_u64),
        option::of(vec(principal(), 0..3)),
        any::<bool>(),
        evidence,
        vec(freeze, 0..3),
    )
        .prop_map(|(from, level, (approvals, approvals_to_leave), approvers, exclusive, require, frozen)| {
            StageRule { from, level, approvals, approvers, approvals_to_leave, exclusive, require, frozen }
        });
    let identity =
        (select(Authority::ALL.to_vec()), any::<bool>(), btree_set(text(), 0..3), btree_set(user(), 0..3)).prop_map(
            |(authority, self_approval, web, servers)| IdentitySettings { authority, self_approval, web, servers },
        );
    let mailing = (any::<bool>(), option::of(0..99_u64)).prop_map(|(off, daily_cap)| MailPolicy { off, daily_cap });
    let rules = (select(Removal::ALL.to_vec()), option::of(select(UnreadyPolicy::ALL.to_vec())))
        .prop_map(|(removal, unready)| Rules { removal, unready });
    let sources = btree_set(text(), 0..3).prop_map(|allow| Sources { allow });
    let fault = (text(), text(), text()).prop_map(|(commit, rule, reason)| Acknowledgement { commit, rule, reason });
    let known = (sources, vec(fault, 0..3));
    let ruled = (btree_map(stage(), rule, 0..3), btree_map(alias(), alias_rule, 0..3), known);
    (id(), text(), select(Layout::ALL.to_vec()), identity, mailing, rules, ruled).prop_map(
        |(id, name, layout, identity, notifications, rules, (stages, aliases, (sources, acknowledged)))| Settings {
            id,
            name,
            format: 1,
            layout,
            identity,
            notifications,
            rules,
            sources,
            stages,
            aliases,
            acknowledged,
        },
    )
}

pub fn person() -> impl Strategy<Value = Person> {
    let signing = (text(), option::of(time()), option::of(time())).prop_map(|(key, added_at, revoked_at)| SigningKey {
        key,
        added_at,
        revoked_at,
    });
    let versions = btree_set(1..9_u64, 0..3);
    let about = (option::of(select(Notify::ALL.to_vec())), versions.clone(), versions)
        .prop_map(|(notify, follow, unfollow)| ModelNotifications { notify, follow, unfollow });
    let mail = (any::<bool>(), select(Cadence::ALL.to_vec()), any::<bool>(), btree_map(model_name(), about, 0..3))
        .prop_map(|(off, digest, mute_approvals, models)| Notifications { off, digest, mute_approvals, models });
    (text(), btree_set(text(), 0..3), btree_set(text(), 0..3), vec(signing, 0..3), mail)
        .prop_map(|(name, emails, logins, keys, notifications)| Person { name, emails, logins, keys, notifications })
}

pub fn model() -> impl Strategy<Value = Model> {
    (id(), model_name(), time(), user(), text(), option::of(1..99_u64), btree_map(key(), text(), 0..4)).prop_map(
        |(id, name, created_at, created_by, description, retired, tags)| Model {
            id,
            name,
            created_at,
            created_by,
            description,
            retired,
            tags,
        },
    )
}

pub fn metric() -> impl Strategy<Value = Metric> {
    let number = || prop_oneof![any::<f64>(), select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1e300, 3.0])];
    prop_oneof![
        number().prop_map(Metric::Value),
        (number(), option::of(any::<i64>()), option::of(time())).prop_map(|(value, step, timestamp)| Metric::At {
            value,
            step,
            timestamp
        }),
    ]
}

fn schema() -> impl Strategy<Value = Schema> {
    let column = (text(), text(), any::<bool>(), text())
        .prop_map(|(name, kind, optional, default)| Column { name, kind, optional, default })
        .boxed();
    (vec(column.clone(), 0..3), vec(column.clone(), 0..2), vec(column, 0..2))
        .prop_map(|(inputs, outputs, params)| Schema { inputs, outputs, params })
}

pub fn version() -> impl Strategy<Value = Version> {
    let source = (text(), text(), text(), text(), text()).prop_map(|(uri, run_id, run_link, model_id, location)| {
        VersionSource { uri, run_id, run_link, model_id, location }
    });
    let artifacts = (digest(), 0..u64::from(u32::MAX), 0..99_u64).prop_map(|(digest, size, files)| Artifacts {
        digest,
        size,
        files,
    });
    let texts = || vec(text(), 0..3);
    let lists = (texts(), texts(), texts(), texts(), texts());
    let maps = (btree_map(key(), text(), 0..3), btree_map(key(), text(), 0..3));
    let info = (maps, text(), text(), option::of(time()), lists).prop_map(
        |((flavors, metadata), mlflow_version, python_version, created_at, lists)| {
            let (env_vars, resources, auth_policy, prompts, findings) = lists;
            ModelInfo {
                flavors,
                mlflow_version,
                python_version,
                created_at,
                env_vars,
                resources,
                auth_policy,
                prompts,
                metadata,
                findings,
            }
        },
    );
    let environment = (text(), vec(text(), 0..3), vec(text(), 0..3), vec(text(), 0..3))
        .prop_map(|(conda_file, channels, conda, pip)| Environment { conda_file, channels, conda, pip });
    let maps = (btree_map(key(), text(), 0..3), btree_map(key(), text(), 0..3), btree_map(key(), metric(), 0..3));
    let facts = (option::of(schema()), option::of(info), option::of(environment));
    let head = (id(), time(), user(), text(), select(VersionStatus::ALL.to_vec()), text());
    (head, source, option::of(artifacts), maps, facts).prop_map(|(head, source, artifacts, maps, facts)| {
        let (id, created_at, created_by, description, status, status_message) = head;
        let ((tags, params, metrics), (schema, model, environment)) = (maps, facts);
        Version {
            id,
            created_at,
            created_by,
            description,
            status,
            status_message,
            source,
            artifacts,
            tags,
            params,
            metrics,
            schema,
            model,
            environment,
        }
    })
}

pub fn request() -> impl Strategy<Value = Request> {
    let review = (user(), time(), select(ReviewVerdict::ALL.to_vec()), text(), digest())
        .prop_map(|(by, at, verdict, comment, subject)| Review { by, at, verdict, comment, subject });
    let head = (id(), stage(), user(), time(), text(), any::<bool>());
    let tail = (select(RequestState::ALL.to_vec()), option::of(user()), option::of(time()), text(), vec(review, 0..3));
    (head, tail).prop_map(|(head, (state, closed_by, closed_at, close_comment, review))| {
        let (id, to, created_by, created_at, comment, archive_existing) = head;
        Request {
            id,
            to,
            created_by,
            created_at,
            comment,
            archive_existing,
            state,
            closed_by,
            closed_at,
            close_comment,
            review,
        }
    })
}

pub fn comment() -> impl Strategy<Value = Comment> {
    (id(), user(), time(), option::of(time()), text()).prop_map(|(id, created_by, created_at, edited_at, text)| {
        Comment { id, created_by, created_at, edited_at, text }
    })
}

pub fn webhook() -> impl Strategy<Value = Webhook> {
    let pattern = select(vec!["*", "MODEL_VERSION_CREATED", "version.transitioned", "model.*"]);
    let events = btree_set(pattern.prop_map(|s| s.parse::<EventPattern>().expect("a pattern")), 0..4);
    let job = (text(), text(), select(JobParams::ALL.to_vec()));
    let job = job.prop_map(|(id, workspace_url, params)| WebhookJob { id, workspace_url, params });
    let head = (id(), time(), user(), option::of(time()), text(), text(), option::of(model_name()));
    let words = (select(WebhookState::ALL.to_vec()), select(PayloadProfile::ALL.to_vec()), any::<bool>());
    let tail = (option::of(text()), option::of(job), option::of(key()), option::of(key()));
    (head, events, words, tail).prop_map(
        |(head, events, (state, profile, insecure), (url, job, secret, authorization))| {
            let (id, created_at, created_by, updated_at, name, description, model) = head;
            Webhook {
                id,
                created_at,
                created_by,
                updated_at,
                name,
                description,
                model,
                events,
                state,
                profile,
                url,
                job,
                insecure,
                secret,
                authorization,
            }
        },
    )
}

pub fn stage_pointer() -> impl Strategy<Value = StagePointer> {
    btree_set(1..500_u64, 1..6).prop_map(|versions| StagePointer { versions })
}

pub fn alias_pointer() -> impl Strategy<Value = AliasPointer> {
    (1..u64::from(u32::MAX)).prop_map(|version| AliasPointer { version })
}
