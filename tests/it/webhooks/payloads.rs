//! The payloads equal the contracts, byte by byte, and their schemas are exact.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use greenroom::entity::Comment;
use greenroom::entity::webhook::{EventPattern, PayloadProfile};
use greenroom::event::{Event, TransitionCause};
use greenroom::name::{Id, ModelName, UserName};
use greenroom::payload::sample::{OWN, SampleEvent};
use greenroom::payload::{self, DATABRICKS, MAX_BODY, MLFLOW, PayloadEvent, PayloadSubject, Registry, WATCHER, schema};
use greenroom::stage::Stage;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;
use jsonschema::Validator;
use serde_json::{Value, json};

const AT: i64 = 1_589_859_029_343;
const HOOK: &str = "c5596721253c4b429368cf6f4341b88a";

/// Makes an event of model `m` by `a@example.com`, and returns what `look` makes of it.
fn told<R>(subject: PayloadSubject<'_>, is_prompt: bool, look: impl FnOnce(&PayloadEvent<'_>) -> R) -> R {
    look(&PayloadEvent {
        id: "0123456789abcdef0123456789abcdef",
        at: Timestamp::from_millis(AT),
        by: &user(),
        landed_by: None,
        comment: "",
        registry: &Registry { id: "019b8d2e-4800-7c4f-9b1e-3a5d7e9f1b2c".to_owned(), name: "Retail".to_owned() },
        commit: &Oid::from_bytes(&[0x11; 20]).expect("an id"),
        what: subject,
        is_prompt,
        stage: &Stage::None,
    })
}

fn user() -> UserName {
    UserName::new("a@example.com").expect("a name")
}

fn model(name: &str) -> ModelName {
    ModelName::new(name).expect("a name")
}

fn sample(name: &str) -> SampleEvent {
    SampleEvent::of(name, &model("m"), &user(), Timestamp::from_millis(AT))
        .unwrap_or_else(|| panic!("no sample of {name}"))
}

/// The payload of the named sample.
fn body(profile: PayloadProfile, name: &str) -> String {
    let sample = sample(name);
    let bytes = told(sample.subject(), sample.is_prompt, |told| {
        let name =
            if matches!(profile, PayloadProfile::Databricks | PayloadProfile::Mlflow) { name } else { told.name() };
        payload::body(profile, name, HOOK, told).unwrap_or_else(|| panic!("no body of {name}")).bytes
    });
    String::from_utf8(bytes).expect("UTF-8")
}

fn of(event: &Event, name: &str) -> String {
    let body =
        told(PayloadSubject::Event(event), false, |told| payload::body(PayloadProfile::Databricks, name, HOOK, told));
    String::from_utf8(body.expect("a body").bytes).expect("UTF-8")
}

#[test]
fn databricks_documented_example_comes_out_byte_by_byte() {
    let event = Event::Transitioned {
        model: model("Airline_Delay_SparkML"),
        version: 8,
        from: Stage::None,
        to: Stage::Production,
        cause: TransitionCause::Direct,
    };
    assert_eq!(
        of(&event, "MODEL_VERSION_TRANSITIONED_STAGE"),
        "{\"event\":\"MODEL_VERSION_TRANSITIONED_STAGE\",\"webhook_id\":\"c5596721253c4b429368cf6f4341b88a\",\
         \"event_timestamp\":1589859029343,\"model_name\":\"Airline_Delay_SparkML\",\"version\":\"8\",\"to_stage\":\
         \"Production\",\"from_stage\":\"None\",\"text\":\"Registered model 'Airline_Delay_SparkML' version 8 \
         transitioned from None to Production.\"}"
    );
}

#[test]
fn each_body_of_databricks_has_the_fields_of_the_contract_in_their_order() {
    let head = |name: &str| {
        format!("{{\"event\":\"{name}\",\"webhook_id\":\"{HOOK}\",\"event_timestamp\":{AT},\"model_name\":\"m\",")
    };
    let moved = |to: &str| {
        format!(
            "\"version\":\"1\",\"to_stage\":\"{to}\",\"from_stage\":\"None\",\
             \"text\":\"Registered model 'm' version 1 transitioned from None to {to}.\"}}"
        )
    };
    let asked = |to: &str| {
        format!(
            "\"version\":\"1\",\"to_stage\":\"{to}\",\"from_stage\":\"None\",\
             \"text\":\"a@example.com requested that registered model 'm' version 1 transition from None to {to}.\"}}"
        )
    };
    let rows: [(&str, String); 12] = [
        (
            "MODEL_VERSION_CREATED",
            "\"version\":\"1\",\"text\":\"a@example.com created version 1 of registered model 'm'.\"}".to_owned(),
        ),
        ("MODEL_VERSION_TRANSITIONED_STAGE", moved("Production")),
        ("TRANSITION_REQUEST_CREATED", asked("Production")),
        (
            "COMMENT_CREATED",
            "\"version\":\"1\",\"comment\":\"Raw text content of the comment\",\
             \"text\":\"A user commented on registered model 'm' version 1.\"}"
                .to_owned(),
        ),
        ("REGISTERED_MODEL_CREATED", "\"text\":\"a@example.com created a new registered model 'm'.\"}".to_owned()),
        (
            "MODEL_VERSION_TAG_SET",
            "\"version\":\"1\",\"tags\":[{\"key\":\"example_key\",\"value\":\"example_value\"}],\
             \"text\":\"a@example.com set version tag(s) 'example_key' => 'example_value' for registered model 'm' \
             version 1.\"}"
                .to_owned(),
        ),
        ("MODEL_VERSION_TRANSITIONED_TO_STAGING", moved("Staging")),
        ("MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", moved("Production")),
        ("MODEL_VERSION_TRANSITIONED_TO_ARCHIVED", moved("Archived")),
        ("TRANSITION_REQUEST_TO_STAGING_CREATED", asked("Staging")),
        ("TRANSITION_REQUEST_TO_PRODUCTION_CREATED", asked("Production")),
        ("TRANSITION_REQUEST_TO_ARCHIVED_CREATED", asked("Archived")),
    ];
    assert_eq!(rows.each_ref().map(|(name, _)| *name), DATABRICKS);
    for (name, tail) in rows {
        assert_eq!(body(PayloadProfile::Databricks, name), head(name) + &tail);
    }
}

#[test]
fn a_version_with_tags_tells_of_both_in_one_list() {
    let sample = sample("version.created");
    let PayloadSubject::Event(Event::VersionCreated { model, version, created, artifacts }) = sample.subject() else {
        panic!("a version");
    };
    let mut created = created.clone();
    let text = |s| Text::new(s).expect("a text");
    created.tags = [("key1", "value1"), ("key2", "value2")].map(|(k, v)| (k.parse().expect("a key"), text(v))).into();
    let event = Event::VersionCreated { model: model.clone(), version: *version, created, artifacts: *artifacts };
    let said: Value = serde_json::from_str(&of(&event, "MODEL_VERSION_TAG_SET")).expect("JSON");
    assert_eq!(said["tags"], json!([{"key": "key1", "value": "value1"}, {"key": "key2", "value": "value2"}]));
    let sentence = "a@example.com set version tag(s) 'key1' => 'value1', 'key2' => 'value2' for registered model 'm' \
                    version 1.";
    assert_eq!(said["text"], sentence);
}

#[test]
fn each_body_of_mlflow_is_that_of_its_examples() {
    let of = |name: &str| {
        let said: Value = serde_json::from_str(&body(PayloadProfile::Mlflow, name)).expect("JSON");
        let keys: Vec<&String> = said.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["entity", "action", "timestamp", "data"]);
        assert_eq!(format!("{}.{}", said["entity"].as_str().unwrap(), said["action"].as_str().unwrap()), name);
        assert_eq!(said["timestamp"], "2020-05-19T03:30:29.343000+00:00");
        said["data"].to_string()
    };
    let tags = r#"{"example_key":"example_value"}"#;
    for (name, data) in [
        (
            "registered_model.created",
            format!(r#"{{"name":"m","tags":{tags},"description":"An example registered model"}}"#),
        ),
        (
            "model_version.created",
            format!(
                r#"{{"name":"m","version":"1","source":"models:/123","run_id":"abcd1234abcd5678","tags":{tags},"description":"An example model version"}}"#
            ),
        ),
        ("model_version_tag.set", r#"{"name":"m","version":"1","key":"example_key","value":"example_value"}"#.into()),
        ("model_version_tag.deleted", r#"{"name":"m","version":"1","key":"example_key"}"#.into()),
        ("model_version_alias.created", r#"{"name":"m","alias":"example_alias","version":"1"}"#.into()),
        ("model_version_alias.deleted", r#"{"name":"m","alias":"example_alias"}"#.into()),
        ("prompt.created", format!(r#"{{"name":"m","tags":{tags},"description":"An example prompt"}}"#)),
        (
            "prompt_version.created",
            format!(
                r#"{{"name":"m","version":"1","template":"Hello {{{{name}}}}!","tags":{tags},"description":"An example prompt version"}}"#
            ),
        ),
        ("prompt_tag.set", r#"{"name":"m","key":"example_key","value":"example_value"}"#.into()),
        ("prompt_tag.deleted", r#"{"name":"m","key":"example_key"}"#.into()),
        ("prompt_version_tag.set", r#"{"name":"m","version":"1","key":"example_key","value":"example_value"}"#.into()),
        ("prompt_version_tag.deleted", r#"{"name":"m","version":"1","key":"example_key"}"#.into()),
        ("prompt_alias.created", r#"{"name":"m","alias":"example_alias","version":"1"}"#.into()),
        ("prompt_alias.deleted", r#"{"name":"m","alias":"example_alias"}"#.into()),
    ] {
        assert_eq!(of(name), data, "{name}");
    }
}

#[test]
fn an_event_has_its_general_name_then_its_specific_one_and_stages_of_ones_own_only_the_general() {
    let names = |to: Stage, events: &[&str]| {
        let events: BTreeSet<EventPattern> = events.iter().map(|e| e.parse().expect("a pattern")).collect();
        let (model, cause) = (model("m"), TransitionCause::MadeWay { for_version: 2 });
        let event = Event::Transitioned { model, version: 1, from: Stage::Production, to, cause };
        told(PayloadSubject::Event(&event), false, |told| payload::names(PayloadProfile::Databricks, &events, told))
    };
    let (general, archived) = ("MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED");
    assert_eq!(names(Stage::Archived, &[archived, general]), [general, archived], "side effects are delivered, too");
    assert_eq!(names(Stage::Archived, &[archived]), [archived]);
    assert_eq!(names(Stage::Archived, &["*"]), [general], "each event is delivered once");
    assert_eq!(names(Stage::None, &[general, archived]), [general]);
    assert_eq!(names("Canary".parse().expect("a stage"), &[general, archived]), [general]);
    assert_eq!(names(Stage::Archived, &["COMMENT_CREATED"]), [""; 0]);
}

#[test]
fn a_profile_carries_its_own_names_and_says_who_carries_others() {
    let why = |profile, event: &str| payload::why_not(profile, &event.parse().expect("a pattern"));
    for name in DATABRICKS {
        assert_eq!(why(PayloadProfile::Databricks, name), None);
    }
    for name in MLFLOW.iter().chain(&["model_version_tag.*", "*"]) {
        assert_eq!(why(PayloadProfile::Mlflow, name), None, "{name}");
    }
    for profile in [PayloadProfile::Standard, PayloadProfile::Cloudevents, PayloadProfile::Slack, PayloadProfile::Teams]
    {
        for name in OWN.iter().chain(&WATCHER).chain(&DATABRICKS).chain(&MLFLOW).chain(&["version.*", "*"]) {
            assert_eq!(why(profile, name), None, "{name}");
        }
    }
    assert_eq!(
        why(PayloadProfile::Databricks, "version.transitioned").as_deref(),
        Some(
            "the profile databricks cannot send version.transitioned; these profiles can: cloudevents, slack, teams, \
             standard"
        )
    );
    assert_eq!(
        why(PayloadProfile::Mlflow, "version.imagined").as_deref(),
        Some("there is no event named version.imagined")
    );
    assert_eq!(
        why(PayloadProfile::Standard, "budget_policy.exceeded").as_deref(),
        Some("there is no event named budget_policy.exceeded")
    );
}

#[test]
fn our_own_body_is_one_of_standard_webhooks_and_a_cloud_event_holds_the_same() {
    let standard: Value = serde_json::from_str(&body(PayloadProfile::Standard, "version.transitioned")).expect("JSON");
    let event = json!({
        "event": "version.transitioned", "model": "m", "version": 1, "from": "None", "to": "Production",
        "cause": {"by": "direct"},
    });
    let data = json!({
        "registry": {"id": "019b8d2e-4800-7c4f-9b1e-3a5d7e9f1b2c", "name": "Retail"},
        "commit": "1111111111111111111111111111111111111111",
        "by": "a@example.com",
        "model": "m",
        "version": 1,
        "text": "move m version 1 from None to Production",
        "event": event,
    });
    let wanted = json!({
        "type": "version.transitioned",
        "timestamp": "2020-05-19T03:30:29.343Z",
        "id": "0123456789abcdef0123456789abcdef",
        "data": data,
    });
    assert_eq!(standard.to_string(), wanted.to_string());
    let cloud: Value = serde_json::from_str(&body(PayloadProfile::Cloudevents, "version.transitioned")).expect("JSON");
    assert_eq!(
        cloud.to_string(),
        json!({
            "specversion": "1.0",
            "id": "0123456789abcdef0123456789abcdef",
            "source": "/registries/019b8d2e-4800-7c4f-9b1e-3a5d7e9f1b2c/models/m",
            "type": "greenroom.version.transitioned",
            "subject": "m/1",
            "time": "2020-05-19T03:30:29.343Z",
            "datacontenttype": "application/json",
            "data": data,
        })
        .to_string()
    );
}

#[test]
fn what_people_write_brings_no_markup_into_a_chat() {
    let comment = Comment {
        id: Id::from_parts(AT, [0; 10]),
        created_by: user(),
        created_at: Timestamp::from_millis(AT),
        edited_at: None,
        text: Text::new("<!channel> & [click](https://evil.example)").expect("a text"),
    };
    let event = Event::CommentCreated { model: model("m"), version: 1, comment };
    let of = |profile| {
        let body =
            told(PayloadSubject::Event(&event), false, |told| payload::body(profile, "comment.created", HOOK, told));
        serde_json::from_slice::<Value>(&body.expect("a body").bytes).expect("JSON")
    };
    let slack = of(PayloadProfile::Slack);
    assert_eq!(slack["text"], "[Retail] a@example.com: comment on m version 1");
    assert_eq!(
        slack["blocks"][0]["text"]["text"],
        "*Retail* a@example.com: comment on m version 1\n> a@example.com: &lt;!channel&gt; &amp; \
         [click](https://evil.example)"
    );
    let teams = of(PayloadProfile::Teams);
    let card = &teams["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["body"][0]["text"], "\\[Retail\\] a@example.com: comment on m version 1");
    assert_eq!(card["content"]["body"][1]["text"], "a@example.com: <!channel> & \\[click\\]\\(https://evil.example\\)");
}

#[test]
fn no_body_is_larger_than_twenty_kilobytes_and_what_is_cut_says_so() {
    let long = Text::new(&"ü\"".repeat(33_000)).expect("a text");
    let comment = Comment {
        id: Id::from_parts(AT, [0; 10]),
        created_by: user(),
        created_at: Timestamp::from_millis(AT),
        edited_at: None,
        text: long.clone(),
    };
    let (name, version) = (model(&"m".repeat(256)), 1);
    let commented = Event::CommentCreated { model: name.clone(), version, comment };
    let sample = sample("version.created");
    let PayloadSubject::Event(Event::VersionCreated { created, .. }) = sample.subject() else { panic!("a version") };
    let mut created = created.clone();
    created.description = long.clone();
    created.tags = (0..300).map(|n| (format!("k{n}").parse().expect("a key"), long.clone())).collect();
    let registered = Event::VersionCreated { model: name, version, created, artifacts: None };
    let rows = [
        (PayloadProfile::Databricks, "COMMENT_CREATED", &commented),
        (PayloadProfile::Databricks, "MODEL_VERSION_TAG_SET", &registered),
        (PayloadProfile::Mlflow, "model_version.created", &registered),
    ];
    let own = [PayloadProfile::Standard, PayloadProfile::Cloudevents, PayloadProfile::Slack, PayloadProfile::Teams];
    let own = own.into_iter().flat_map(|p| [(p, "comment.created", &commented), (p, "version.created", &registered)]);
    for (profile, name, event) in rows.into_iter().chain(own) {
        let body =
            told(PayloadSubject::Event(event), false, |told| payload::body(profile, name, HOOK, told)).expect("a body");
        assert!(body.bytes.len() <= MAX_BODY, "{profile:?} {name}: {}", body.bytes.len());
        let text = String::from_utf8(body.bytes).expect("UTF-8");
        let quiet = matches!(profile, PayloadProfile::Slack | PayloadProfile::Teams);
        assert!(quiet || text.contains("bytes cut]"), "{profile:?} {name}: {text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let faults: Vec<String> = validator(profile).iter_errors(&value).map(|e| e.to_string()).collect();
        assert_eq!(faults, [""; 0], "{profile:?} {name}");
    }
}

fn validator(profile: PayloadProfile) -> Validator {
    let schema: Value = serde_json::from_str(&schema::schema(profile)).expect("a schema is JSON");
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a valid schema")
}

#[test]
fn the_committed_schemas_of_bodies_are_those_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/events/v{}", schema::VERSION));
    for profile in PayloadProfile::ALL {
        let (path, wanted) = (folder.join(format!("{}.schema.json", profile.as_str())), schema::schema(profile));
        if std::env::var_os(crate::schema::WRITE).is_some() {
            fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &wanted)).expect("the schemas can be written");
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        let write = crate::schema::WRITE;
        assert!(there == wanted, "{} is out of date: {write}=1 cargo test --test it webhooks", path.display());
        let schema: Value = serde_json::from_str(&wanted).expect("JSON");
        let faults = jsonschema::draft202012::meta::validate(&schema).map_err(|e| e.to_string());
        assert_eq!(faults, Ok(()), "{profile:?}");
    }
}

#[test]
fn every_body_is_what_its_schema_says_and_nothing_else_is() {
    for profile in PayloadProfile::ALL {
        let names: Vec<&str> = match profile {
            PayloadProfile::Databricks => DATABRICKS.to_vec(),
            PayloadProfile::Mlflow => MLFLOW.to_vec(),
            PayloadProfile::Standard | PayloadProfile::Cloudevents | PayloadProfile::Slack | PayloadProfile::Teams => {
                OWN.iter().chain(&WATCHER).copied().collect()
            }
        };
        let validator = validator(profile);
        for name in names {
            let whole: Value = serde_json::from_str(&body(profile, name)).expect("JSON");
            let faults: Vec<String> = validator.iter_errors(&whole).map(|e| e.to_string()).collect();
            assert_eq!(faults, [""; 0], "{profile:?} {name}: {whole}");
            let keys: Vec<String> = whole.as_object().expect("an object").keys().cloned().collect();
            for key in keys.iter().filter(|key| *key != "subject") {
                let mut less = whole.clone();
                less.as_object_mut().expect("an object").remove(key);
                assert!(!validator.is_valid(&less), "{profile:?} {name} is valid without {key}");
            }
            let mut more = whole.clone();
            more["surprise"] = json!(1);
            assert!(!validator.is_valid(&more), "{profile:?} {name} is valid with more");
        }
    }
}
